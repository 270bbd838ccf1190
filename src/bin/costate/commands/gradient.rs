//! `costate gradient`: the gradient of the objective, or a vector-Jacobian product.

use std::path::Path;

use costate::io::{Tensors, read_mask3, read_npy3, read_npy3_masked};
use costate::{Error, NeuralOde, Observations, Result, Wrt};
use ndarray::{Array1, Array3, aview1};

use super::report::RunReport;
use super::{Outcome, check_readable, given, input, narrow, plan, planned_batch, problem};
use crate::cli::{Global, Gradient};
use crate::config::Config;
use crate::output;

/// What the reverse pass starts from, `[time, batch, dim]` each.
struct Seen {
    /// Targets or cotangents.
    values: Array3<f32>,
    weights: Option<Array3<f32>>,
    mask: Option<Array3<bool>>,
}

/// Differentiates and writes tensors named as the weights, `x0`, with targets `loss`, and what else is asked for.
pub(crate) fn run(args: &Gradient, global: &Global) -> Result<Outcome> {
    let config = Config::read(&args.problem.config)?;
    let wrt = config.wrt(args.wrt)?;
    if args.problem.plan {
        let batch = planned_batch(&args.problem)?;
        let (gpu, ode) = problem(&config, wrt, global)?;
        return plan::gradient((&config, wrt), (&gpu, &ode), batch, global);
    }
    let times = config.grid()?.observations();
    let (theta, x0) = input(&config, &args.problem)?;
    let out = given(args.out.as_deref(), "--out")?;
    let seen = Seen::read(args, [times, x0.nrows(), x0.ncols()])?;
    output::check_file(out)?;
    let (gpu, ode) = problem(&config, wrt, global)?;
    let log_scale = config.log_scale();
    let gradient = if args.cotangents.is_some() {
        ode.vjp(&theta, x0.view(), seen.values.view())
    } else {
        ode.loss_and_gradient(&theta, x0.view(), seen.observations(&log_scale))
    };
    let gradient = gradient.map_err(|e| config.solve.keyed(e))?;
    write(out, &ode, &gradient, wrt)?;
    RunReport::new(&gpu, &ode, &gradient.report, out).with_gradient(&gradient, wrt).show(global)
}

impl Seen {
    fn read(args: &Gradient, expected: [usize; 3]) -> Result<Self> {
        let path = args.cotangents.as_deref().or(args.targets.as_deref());
        let path = given(path, "--targets")?;
        check_readable(&[Some(path), args.mask.as_deref(), args.observation_weights.as_deref()])?;
        let mask = match &args.mask {
            Some(path) => Some(fitting(path, read_mask3(path)?, expected)?),
            None => None,
        };
        let values = match &mask {
            Some(mask) => read_npy3_masked(path, mask.view())?,
            None => fitting(path, read_npy3(path)?, expected)?,
        };
        let weights = match &args.observation_weights {
            Some(path) => Some(fitting(path, read_npy3(path)?, expected)?),
            None => None,
        };
        Ok(Self { values, weights, mask })
    }

    fn observations<'a>(&'a self, log_scale: &'a [f32]) -> Observations<'a> {
        let mut observations = Observations::new(self.values.view()).log_scale(log_scale);
        if let Some(weights) = &self.weights {
            observations = observations.weights(weights.view());
        }
        if let Some(mask) = &self.mask {
            observations = observations.mask(mask.view());
        }
        observations
    }
}

/// Refuses an array of another shape.
fn fitting<A>(path: &Path, array: Array3<A>, expected: [usize; 3]) -> Result<Array3<A>> {
    if array.shape() == expected {
        return Ok(array);
    }
    Err(Error::Shape {
        what: path.display().to_string(),
        found: format!("{:?}", array.shape()),
        expected: format!("[time, batch, dim] = {expected:?}"),
        remedy: "give one value per save time, trajectory and component".into(),
    })
}

/// Writes what was asked for.
fn write(out: &Path, ode: &NeuralOde, gradient: &costate::Gradient, wrt: Wrt) -> Result<()> {
    let mut tensors = Tensors::new();
    if wrt.theta {
        tensors = tensors.theta(ode.field(), &gradient.theta)?;
    }
    if wrt.x0 {
        tensors = tensors.array("x0", gradient.x0.view());
    }
    if let Some(loss) = gradient.loss {
        tensors = tensors.array("loss", aview1(&[loss]));
    }
    let vector = |values: &[f64]| -> Array1<f32> { values.iter().copied().map(narrow).collect() };
    if let Some(cost) = &gradient.cost {
        tensors = tensors.array("cost", vector(&cost.per_trajectory).view());
    }
    if let Some(times) = &gradient.times {
        let all =
            [("t0", wrt.t0, &[times.t0][..]), ("t1", wrt.t1, &[times.t1]), ("save_times", wrt.saves, &times.saves)];
        for (name, _, values) in all.into_iter().filter(|(_, wanted, _)| *wanted) {
            tensors = tensors.array(name, vector(values).view());
        }
    }
    if let Some(targets) = &gradient.targets {
        tensors = tensors.array("targets", targets.view());
    }
    if let Some(log_scale) = &gradient.log_scale {
        tensors = tensors.array("log_scale", aview1(log_scale));
    }
    tensors.write(out)
}
