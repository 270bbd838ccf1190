//! `costate gradient`: the gradient of the objective, or a vector-Jacobian product.

use std::path::Path;

use costate::io::{Tensors, read_mask3, read_npy3};
use costate::{Error, NeuralOde, Observations, Result, Wrt};
use ndarray::{Array1, Array3, aview1};

use super::report::RunReport;
use super::units::Units;
use super::{Input, Outcome, check_readable, given, inputs, narrow, plan, planned_batch, problem};
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
    let Input { weights, units, x0 } = Input::read(&config, &args.problem)?;
    let theta = &weights.parameters;
    let out = given(args.out.as_deref(), "--out")?;
    let mut seen = Seen::read(args, &units, [times, x0.nrows(), x0.ncols()])?;
    let inputs = inputs(&config, &args.problem)
        .and("--targets", args.targets.as_deref())
        .and("--cotangents", args.cotangents.as_deref())
        .and("--observation-weights", args.observation_weights.as_deref())
        .and("--mask", args.mask.as_deref());
    output::check_files(&[out], &inputs, global.json)?;
    let (gpu, ode) = problem(&config, wrt, global)?;
    let log_scale = config.log_scale();
    let mut warnings = Vec::new();
    let gradient = if args.cotangents.is_some() {
        // Where the scaling is a curve, a cotangent means what its slope is at the state.
        let states = match units.bends() {
            true => ode.solve(theta, x0.view()).map_err(|e| config.keyed(e))?.states,
            false => Array3::zeros(seen.values.raw_dim()),
        };
        warnings.extend(units.cotangents(&mut seen.values, states.view()));
        ode.vjp(theta, x0.view(), seen.values.view())
    } else {
        ode.loss_and_gradient(theta, x0.view(), seen.observations(&log_scale))
    };
    let mut gradient = gradient.map_err(|e| config.keyed(e))?;
    warnings.extend(units.gradient("dJ/dx0", &mut gradient.x0, x0.view()));
    if let Some(targets) = &mut gradient.targets {
        warnings.extend(units.gradient("the gradient by the targets", targets, seen.values.view()));
    }
    write(out, Tensors::with_prefix(&weights.prefix), &ode, &gradient, wrt)?;
    let (arrays, model) = match args.cotangents {
        Some(_) if units.bends() => ("x0, cotangents and dJ/dx0", ", which took the states of one more solve"),
        Some(_) => ("x0, cotangents and dJ/dx0", ""),
        None => ("x0, targets and the gradients by them", ", loss and dJ/dθ are the model's"),
    };
    units.tell(arrays, model);
    let report = RunReport::new(&gpu, &ode, &gradient.report, out).with_units(units.name());
    report.with_warnings(warnings).with_gradient(&gradient, wrt).show(global)
}

impl Seen {
    /// Targets in the units of the model; cotangents as they are.
    fn read(args: &Gradient, units: &Units, expected: [usize; 3]) -> Result<Self> {
        let path = args.cotangents.as_deref().or(args.targets.as_deref());
        let path = given(path, "--targets")?;
        check_readable(&[Some(path), args.mask.as_deref(), args.observation_weights.as_deref()])?;
        let mask = match &args.mask {
            Some(path) => Some(fitting(path, read_mask3(path)?, expected)?),
            None => None,
        };
        let values = match &args.cotangents {
            Some(path) => read_npy3(path)?,
            None => units.read3(path, mask.as_ref().map(|mask| mask.view()))?,
        };
        let values = fitting(path, values, expected)?;
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
fn write(out: &Path, mut tensors: Tensors, ode: &NeuralOde, gradient: &costate::Gradient, wrt: Wrt) -> Result<()> {
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
