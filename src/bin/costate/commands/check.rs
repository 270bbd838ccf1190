//! `costate check`: the device against f64, f64 against finite differences, stored against reconstructed states.

mod twin;

use costate::io::read_parameters;
use costate::{Adjoint, Error, Gpu, Gradient, Init, Mlp, NeuralOde, Parameters, Result};
use ndarray::{Array2, Array3};
use rand::SeedableRng;
use rand_distr::{Distribution, Uniform};
use rand_pcg::Pcg64;
use serde::Serialize;

use super::{Outcome, problem};
use crate::cli::{Check, Global};
use crate::config::Config;
use crate::output;
use twin::{Slopes, Twin, relative, relative_max};

/// f32 states over at most 100 steps of a mild field; errors beyond add up like a random walk.
const STATE: f64 = 1e-5;
/// f32 gradients, likewise.
const GRADIENT: f64 = 2e-5;
/// f64 gradients against four-point differences.
const DIFFERENCES: f64 = 1e-6;
/// How much the gradient may differ for each unit of reconstruction error.
const SENSITIVITY: f64 = 10.0;

/// One line of the table.
#[derive(Clone, Debug, Serialize)]
struct Line {
    check: String,
    value: f64,
    /// None: shown, but nothing depends on it.
    tolerance: Option<f64>,
    ok: bool,
}

impl Line {
    /// Written so that a NaN fails.
    fn new(check: impl Into<String>, value: f64, tolerance: f64) -> Self {
        Self { check: check.into(), value, tolerance: Some(tolerance), ok: value <= tolerance }
    }

    fn shown(check: impl Into<String>, value: f64) -> Self {
        Self { check: check.into(), value, tolerance: None, ok: true }
    }

    fn row(self) -> [String; 4] {
        let verdict = match (self.ok, self.tolerance) {
            (true, Some(_)) => "ok",
            (true, None) => "not used",
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
    seed: u64,
    checks: &'a [Line],
    passed: bool,
}

/// A random problem of the size that the arguments ask for.
struct Sample {
    theta: Parameters,
    x0: Array2<f32>,
    targets: Array3<f32>,
}

/// Compares and reports; a line that fails makes the outcome a failure.
pub(crate) fn run(args: &Check, global: &Global) -> Result<Outcome> {
    let config = Config::read(&args.config)?;
    config.grid()?;
    let field = config.field()?;
    let theta = match &args.weights {
        Some(path) => read_parameters(path, &field)?,
        // Biases too are drawn, so that every parameter matters.
        None => Parameters::init(&field, Init::Torch, args.seed)?,
    };
    let (gpu, ode) = problem(&config, global)?;
    let sample = draw(theta, ode.grid().saves().len(), args)?;
    let lines = compare(&gpu, &ode, &sample, config.solve.reconstruction_tolerance, args.seed)?;
    let failed: Vec<String> = lines.iter().filter(|l| !l.ok).map(|l| l.check.clone()).collect();
    show(global, &gpu, &ode, args, &lines)?;
    if failed.is_empty() {
        return Ok(Outcome::Done);
    }
    Ok(Outcome::Failed(format!("{} of {} checks failed: {}", failed.len(), lines.len(), failed.join("; "))))
}

fn draw(theta: Parameters, times: usize, args: &Check) -> Result<Sample> {
    let mut rng = Pcg64::seed_from_u64(args.seed);
    let uniform = Uniform::new_inclusive(-1.0_f32, 1.0).map_err(|e| Error::Invalid {
        what: "range".into(),
        problem: e.to_string(),
        remedy: "use a finite range".into(),
    })?;
    let dim = theta.field().dim();
    let x0 = Array2::from_shape_simple_fn((args.batch, dim), || uniform.sample(&mut rng));
    let targets = Array3::from_shape_simple_fn((times, args.batch, dim), || uniform.sample(&mut rng));
    Ok(Sample { theta, x0, targets })
}

fn compare(gpu: &Gpu, ode: &NeuralOde, sample: &Sample, tolerance: f64, seed: u64) -> Result<Vec<Line>> {
    let twin = Twin::new(ode, &sample.theta, &sample.x0, &sample.targets);
    let walk = (ode.grid().steps() as f64 / 100.0).sqrt().max(1.0);

    let own = gradient(ode, sample)?;
    let solution = ode.solve(&sample.theta, sample.x0.view())?;
    let want = twin.gradient(ode.adjoint())?;
    let mut lines = vec![
        Line::new("device states vs f64", relative_max(&solution.states, &want.states), STATE * walk),
        Line::new("device dJ/dθ vs f64", relative(&own.theta, &want.theta), GRADIENT * walk),
        Line::new("device dJ/dx0 vs f64", relative(&own.x0, &want.x0), GRADIENT * walk),
    ];

    let exact = if ode.adjoint().is_exact() { want } else { twin.gradient(Adjoint::Stored)? };
    let Slopes { theta: along_theta, x0: along_x0 } = twin.slopes(seed)?;
    lines.push(Line::new("f64 dJ/dθ vs differences", along_theta.mismatch(&exact.theta), DIFFERENCES));
    lines.push(Line::new("f64 dJ/dx0 vs differences", along_x0.mismatch(exact.x0.iter()), DIFFERENCES));

    let drift = own.reconstruction.as_ref().map(|r| f64::from(r.max_abs));
    let slack = |drift: f64| (GRADIENT * walk).max(SENSITIVITY * drift);
    let against = slack(drift.unwrap_or(0.0));
    lines.push(Line::new("device dJ/dθ vs differences", along_theta.mismatch(&own.theta), against));
    lines.push(Line::new("device dJ/dx0 vs differences", along_x0.mismatch(own.x0.iter()), against));
    lines.extend(reconstruction(gpu, ode, sample, own, tolerance, &slack)?);
    Ok(lines)
}

/// The stored adjoint against one that reconstructs, and how far that one is off.
fn reconstruction(
    gpu: &Gpu,
    ode: &NeuralOde,
    sample: &Sample,
    own: Gradient,
    tolerance: f64,
    slack: &dyn Fn(f64) -> f64,
) -> Result<Vec<Line>> {
    const AGAINST: &str = "stored vs backsolve dJ/dθ";
    const DRIFT: &str = "reconstruction error";
    let stores = ode.adjoint().is_exact();
    let other = if stores { Adjoint::Backsolve } else { Adjoint::Stored };
    let builder = NeuralOde::builder(ode.field().clone(), ode.grid().clone()).method(ode.method()).adjoint(other);
    let other = match gradient(&builder.build(gpu)?, sample) {
        // An adjoint that the run does not use may fail.
        Err(Error::NonFinite { .. }) if stores => {
            return Ok(vec![Line::shown(AGAINST, f64::NAN), Line::shown(DRIFT, f64::NAN)]);
        }
        other => other?,
    };
    let (stored, back) = if stores { (own, other) } else { (other, own) };
    let drift = back.reconstruction.map_or(0.0, |r| f64::from(r.max_abs));
    let difference = relative(&back.theta, &stored.theta.iter().map(|g| f64::from(*g)).collect::<Vec<_>>());
    let drift_line = if stores { Line::shown(DRIFT, drift) } else { Line::new(DRIFT, drift, tolerance) };
    Ok(vec![Line::new(AGAINST, difference, slack(drift)), drift_line])
}

fn gradient(ode: &NeuralOde, sample: &Sample) -> Result<Gradient> {
    ode.loss_and_gradient(&sample.theta, sample.x0.view(), sample.targets.view())
}

fn show(global: &Global, gpu: &Gpu, ode: &NeuralOde, args: &Check, lines: &[Line]) -> Result<()> {
    let steps = ode.grid().steps();
    let passed = lines.iter().all(|l| l.ok);
    if global.json {
        return output::print_json(&Report {
            adapter: gpu.adapter(),
            driver: gpu.driver(),
            method: ode.method().to_string(),
            adjoint: ode.adjoint().to_string(),
            steps,
            batch: args.batch,
            seed: args.seed,
            checks: lines,
            passed,
        });
    }
    let table = output::table(["check", "value", "tolerance", ""], 3, lines.iter().cloned().map(Line::row));
    let field: &Mlp = ode.field();
    output::print(&format!(
        "{}, {}, {}, {steps} steps, {} trajectories, on {}\n\n{table}\n\nErrors are relative, that of the reconstruction \
         is absolute. Device tolerances grow as the root of steps/100 beyond 100 steps; where states are reconstructed \
         the gradient may be off by {SENSITIVITY} times the reconstruction error.",
        field.summary(),
        ode.method(),
        ode.adjoint(),
        args.batch,
        gpu.adapter(),
    ))
}
