//! One file per subcommand, and what they share.

pub(crate) mod adapters;
pub(crate) mod bench;
pub(crate) mod check;
pub(crate) mod gradient;
mod plan;
mod report;
pub(crate) mod solve;
pub(crate) mod train;
mod units;

use std::path::Path;

use costate::io::{Weights, read_npy2, read_weights};
use costate::{AdapterRequest, Error, Gpu, NeuralOde, NeuralOdeBuilder, Result, Wrt, check_host_memory};
use ndarray::Array2;

use crate::cli::{Global, Problem};
use crate::config::{Config, OnDrift};
use crate::output::Inputs;
use crate::signals::Signal;
use units::Units;

/// How a subcommand ended that did not meet an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// As it should.
    Done,
    /// The report is out, and it says that something is wrong: one sentence about it.
    Failed(String),
    /// The report is out, but a signal ended the run before its time: one sentence about what was written.
    Interrupted(Signal, String),
}

/// The adapter that the arguments ask for.
pub(crate) fn request(global: &Global) -> AdapterRequest {
    AdapterRequest { adapter: global.adapter.clone(), ..AdapterRequest::default() }
}

/// The problem of a run description.
fn builder(config: &Config, wrt: Wrt) -> Result<NeuralOdeBuilder> {
    let solve = &config.solve;
    let builder = NeuralOde::builder(config.field()?, config.grid()?)
        .method(solve.method)
        .adjoint(solve.adjoint)
        .adjoint_options(solve.adjoint_options())
        .reconstruction_tolerance(solve.reconstruction_tolerance)
        .drift_is_error(solve.on_drift == OnDrift::Error)
        .loss(config.loss.loss()?)
        .gradients(wrt)
        .kernels(config.kernels);
    Ok(match config.running_cost()? {
        Some(cost) => builder.running_cost(cost),
        None => builder,
    })
}

/// The problem of a run description, on a device.
fn problem(config: &Config, wrt: Wrt, global: &Global) -> Result<(Gpu, NeuralOde)> {
    let builder = builder(config, wrt)?;
    let gpu = Gpu::new(&request(global))?;
    let ode = builder.build(&gpu).map_err(|e| config.keyed(e))?;
    Ok((gpu, ode))
}

/// The files that a run description and these arguments name.
fn inputs(config: &Config, args: &Problem) -> Inputs {
    Inputs::default()
        .and("--config", Some(&args.config))
        .and("--weights", args.weights.as_deref())
        .and("--x0", args.x0.as_deref())
        .and("cost.reference", config.reference_file())
}

/// Bytes for each byte of a file of arrays while it is read: the file, its values in f64, and in f32.
const READING: u64 = 4;

/// Refuses files that there is no memory for. What cannot be looked at is for the reader to tell.
fn check_readable(files: &[Option<&Path>]) -> Result<()> {
    let sizes = files.iter().flatten().filter_map(|path| std::fs::metadata(path).ok()).map(|data| data.len());
    let needed = sizes.fold(0, u64::saturating_add).saturating_mul(READING);
    check_host_memory("reading the input", needed, "give fewer trajectories or save times, or raise the limit")
}

/// Weights and initial states in the units of the model, read and checked before a device is opened.
struct Input {
    weights: Weights,
    units: Units,
    x0: Array2<f32>,
}

impl Input {
    fn read(config: &Config, args: &Problem) -> Result<Self> {
        check_readable(&[args.weights.as_deref(), args.x0.as_deref()])?;
        let file = given(args.weights.as_deref(), "--weights")?;
        let weights = read_weights(file, &config.field()?)?;
        let units = Units::choose(args.units, Some((&weights, file)))?;
        let x0 = states(config, &units, given(args.x0.as_deref(), "--x0")?)?;
        Ok(Self { weights, units, x0 })
    }
}

/// Initial states, in the units of the model.
fn states(config: &Config, units: &Units, path: &Path) -> Result<Array2<f32>> {
    let x0 = units.read2(path)?;
    if x0.nrows() == 0 || x0.ncols() != config.field.state {
        return Err(Error::Shape {
            what: format!("x0 in {}", path.display()),
            found: format!("{:?}", x0.shape()),
            expected: format!("[batch, {}] with at least one trajectory", config.field.state),
            remedy: "give one row per trajectory and one column per component of the state".into(),
        });
    }
    Ok(x0)
}

/// An argument that the parser requires unless a plan is asked for.
fn given<'a>(argument: Option<&'a Path>, name: &str) -> Result<&'a Path> {
    argument.ok_or_else(|| Error::Invalid {
        what: name.into(),
        problem: "it is missing".into(),
        remedy: "it can only be left out with --plan".into(),
    })
}

/// Number of trajectories to plan for.
fn planned_batch(args: &Problem) -> Result<usize> {
    args.batch.map_or_else(|| Ok(read_npy2(given(args.x0.as_deref(), "--x0")?)?.nrows()), Ok)
}

/// Rounds for a file of f32.
#[expect(clippy::cast_possible_truncation, reason = "files hold f32")]
fn narrow(value: f64) -> f32 {
    value as f32
}
