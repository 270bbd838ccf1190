//! `costate check`: the device against f64, f64 against finite differences, every adjoint of the method against stored.

mod compare;
mod halved;
mod parts;
mod slopes;
mod twin;

use std::path::Path;

use costate::io::read_weights;
use costate::reference::{self, Field, Scheme};
use costate::{Adjoint, Error, Gpu, Init, Mlp, NeuralOde, Parameters, Result, Wrt};
use ndarray::{Array2, Array3};
use rand::SeedableRng;
use rand_distr::{Distribution, Uniform};
use rand_pcg::Pcg64;
use serde::Serialize;

use super::units::Units;
use super::{Outcome, builder, narrow, request, states};
use crate::cli::{Check, Global};
use crate::config::Config;
use crate::output;
use compare::{Comparison, SENSITIVITY};

/// One line of the table.
#[derive(Clone, Debug, Serialize)]
struct Line {
    check: String,
    value: f64,
    /// None: shown, but nothing depends on it.
    tolerance: Option<f64>,
    ok: bool,
    /// The verdict of a line that is only shown, or that is not quite what it should be.
    #[serde(skip)]
    remark: &'static str,
}

impl Line {
    /// Written so that a NaN fails.
    fn new(check: impl Into<String>, value: f64, tolerance: f64) -> Self {
        Self { check: check.into(), value, tolerance: Some(tolerance), ok: value <= tolerance, remark: "" }
    }

    fn shown(check: impl Into<String>, value: f64, remark: &'static str) -> Self {
        Self { check: check.into(), value, tolerance: None, ok: true, remark }
    }

    fn row(self) -> [String; 4] {
        let verdict = match (self.ok, self.remark) {
            (true, "") => "ok",
            (true, remark) => remark,
            (false, _) => "FAIL",
        };
        let tolerance = self.tolerance.map_or_else(|| "-".to_owned(), |t| format!("{t:.1e}"));
        [self.check, format!("{:.2e}", self.value), tolerance, verdict.to_owned()]
    }
}

#[derive(Serialize)]
struct Report<'a> {
    adapter: &'a str,
    driver: &'a str,
    method: String,
    adjoint: String,
    steps: usize,
    batch: usize,
    /// The file of the initial states, if they are not drawn.
    x0: Option<&'a Path>,
    units: &'static str,
    seed: u64,
    checks: &'a [Line],
    passed: bool,
}

/// A problem of the size that the arguments ask for, random where they give nothing.
struct Sample {
    theta: Parameters,
    x0: Array2<f32>,
    targets: Array3<f32>,
    /// ln σ of the loss; empty if it has none.
    log_scale: Vec<f32>,
    /// How large each component of the state is: 1 where it is drawn.
    sizes: Vec<f64>,
}

/// Compares and reports; a line that fails makes the outcome a failure.
pub(crate) fn run(args: &Check, global: &Global) -> Result<Outcome> {
    let config = Config::read(&args.config)?;
    config.grid()?;
    let field = config.field()?;
    let weights = args.weights.as_ref().map(|path| Ok((read_weights(path, &field)?, path.as_path()))).transpose()?;
    let units = Units::choose(args.units, weights.as_ref().map(|(weights, path)| (weights, *path)))?;
    let x0 = args.x0.as_ref().map(|path| states(&config, &units, path)).transpose()?;
    let theta = match weights {
        Some((weights, _)) => weights.parameters,
        // Biases too are drawn, so that every parameter matters.
        None => Parameters::init(&field, Init::Torch, args.seed)?,
    };
    let gpu = Gpu::new(&request(global))?;
    let adjoint = config.solve.adjoint.resolve(config.solve.method)?;
    let wrt = Wrt::all(config.loss.loss()?);
    let ode = with_adjoint(&config, &gpu, adjoint, wrt)?;
    let sizes = match &x0 {
        Some(x0) => sizes(&config, &ode, &theta, x0)?,
        None => vec![1.0; field.dim()],
    };
    let units = match &x0 {
        Some(_) => {
            units.tell("the states of --x0", ", what is compared is in the model's");
            units.name()
        }
        None => "model",
    };
    let sample = draw(theta, ode.grid().observations(), config.log_scale(), (x0, sizes), args)?;
    let lines = Comparison { config: &config, gpu: &gpu, ode: &ode, sample: &sample, seed: args.seed, wrt }.lines()?;
    let failed: Vec<String> = lines.iter().filter(|l| !l.ok).map(|l| l.check.clone()).collect();
    show(global, &gpu, &ode, args, (&sample, units), &lines)?;
    if failed.is_empty() {
        return Ok(Outcome::Done);
    }
    Ok(Outcome::Failed(format!("{} of {} checks failed: {}", failed.len(), lines.len(), failed.join("; "))))
}

/// How large each component is in the given states and at the save times, by the f64 twin: what its errors are measured by.
fn sizes(config: &Config, ode: &NeuralOde, theta: &Parameters, x0: &Array2<f32>) -> Result<Vec<f64>> {
    let (method, adjoint) = (ode.method(), ode.adjoint());
    let contraction = config.solve.options_for(adjoint).contraction(method, adjoint, ode.grid().steps());
    let theta: Vec<f64> = theta.as_slice().iter().map(|v| f64::from(*v)).collect();
    let x0 = x0.mapv(f64::from);
    let scheme = Scheme { method, contraction };
    let saved = reference::solve(scheme, &Field::new(ode.field(), &theta)?, ode.grid(), x0.view())?;
    let mut sizes = vec![0.0_f64; x0.ncols()];
    let dim = sizes.len();
    // A trajectory that fails is no measure for the others.
    for (i, x) in x0.iter().chain(&saved).enumerate().filter(|(_, x)| x.is_finite()) {
        sizes[i % dim] = sizes[i % dim].max(x.abs());
    }
    // What stays at zero is measured by the others.
    let largest = sizes.iter().copied().fold(0.0, f64::max);
    let least = if largest > 0.0 { largest } else { 1.0 };
    sizes.iter_mut().filter(|size| **size == 0.0).for_each(|size| *size = least);
    Ok(sizes)
}

fn draw(
    theta: Parameters,
    times: usize,
    log_scale: Vec<f32>,
    (given, sizes): (Option<Array2<f32>>, Vec<f64>),
    args: &Check,
) -> Result<Sample> {
    let mut rng = Pcg64::seed_from_u64(args.seed);
    let uniform = Uniform::new_inclusive(-1.0_f32, 1.0).map_err(|e| Error::Invalid {
        what: "range".into(),
        problem: e.to_string(),
        remedy: "use a finite range".into(),
    })?;
    let dim = theta.field().dim();
    let x0 = given.unwrap_or_else(|| Array2::from_shape_simple_fn((args.batch, dim), || uniform.sample(&mut rng)));
    let shape = (times, x0.nrows(), dim);
    let targets = Array3::from_shape_fn(shape, |(_, _, c)| narrow(sizes[c] * f64::from(uniform.sample(&mut rng))));
    Ok(Sample { theta, x0, targets, log_scale, sizes })
}

/// The problem with one adjoint of its method. An automatic one is not asked for, since it would hide what it mends.
fn with_adjoint(config: &Config, gpu: &Gpu, adjoint: Adjoint, wrt: Wrt) -> Result<NeuralOde> {
    let options = config.solve.options_for(adjoint);
    let builder = builder(config, wrt)?.adjoint(adjoint).adjoint_options(options).drift_is_error(false);
    builder.build(gpu).map_err(|e| config.keyed(e))
}

fn show(
    global: &Global,
    gpu: &Gpu,
    ode: &NeuralOde,
    args: &Check,
    (sample, units): (&Sample, &'static str),
    lines: &[Line],
) -> Result<()> {
    let steps = ode.grid().steps();
    let passed = lines.iter().all(|l| l.ok);
    if global.json {
        return output::print_json(&Report {
            adapter: gpu.adapter(),
            driver: gpu.driver(),
            method: ode.method().to_string(),
            adjoint: ode.adjoint().to_string(),
            steps,
            batch: sample.x0.nrows(),
            x0: args.x0.as_deref(),
            units,
            seed: args.seed,
            checks: lines,
            passed,
        });
    }
    let table = output::table(["check", "value", "tolerance", ""], 3, lines.iter().cloned().map(Line::row));
    let field: &Mlp = ode.field();
    let absolute = match args.x0 {
        Some(_) => {
            "Errors are relative, of each component, those of reconstructions and the distance of the copies to the \
                    largest state"
        }
        None => "Errors are relative, those of reconstructions and the distance of the copies are absolute",
    };
    output::print(&format!(
        "{}, {}, {}, {steps} steps, {} trajectories, on {}\n\n{table}\n\n{absolute}. Device tolerances grow as the root of steps/100 beyond 100 steps, \
         and with the grain of fixed point; where states are reconstructed the gradient may be off by {SENSITIVITY} times \
         the reconstruction error.",
        field.summary(),
        ode.method(),
        ode.adjoint(),
        sample.x0.nrows(),
        gpu.adapter(),
    ))
}
