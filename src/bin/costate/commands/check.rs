//! `costate check`: the device against f64, f64 against finite differences, every adjoint of the method against stored.

mod twin;

use costate::io::read_parameters;
use costate::solver::Contraction;
use costate::{Adjoint, AdjointOptions, Error, Gpu, Gradient, Init, Mlp, NeuralOde, Parameters, Result, Warning, Wrt};
use ndarray::{Array2, Array3};
use rand::SeedableRng;
use rand_distr::{Distribution, Uniform};
use rand_pcg::Pcg64;
use serde::Serialize;

use super::{Outcome, builder, request};
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
/// The copies of a pair should be within the method's error of each other.
const PARTED: f64 = 1e-2;
/// How much the gradient may differ for each unit of reconstruction error.
const SENSITIVITY: f64 = 10.0;

/// The verdict on an adjoint that the run does not use.
const UNUSED: &str = "not used";

/// One line of the table.
#[derive(Clone, Debug, Serialize)]
struct Line {
    check: String,
    value: f64,
    /// None: shown, but nothing depends on it.
    tolerance: Option<f64>,
    ok: bool,
    /// The verdict of a line that is only shown.
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
        let verdict = match (self.ok, self.tolerance) {
            (true, Some(_)) => "ok",
            (true, None) => self.remark,
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
    let gpu = Gpu::new(&request(global))?;
    let adjoint = config.solve.adjoint.resolve(config.solve.method)?;
    let ode = with_adjoint(&config, &gpu, adjoint)?;
    let sample = draw(theta, ode.grid().saves().len(), args)?;
    let lines = Comparison { config: &config, gpu: &gpu, ode: &ode, sample: &sample, seed: args.seed }.lines()?;
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

/// The problem with one adjoint of its method. An automatic one is not asked for, since it would hide what it mends.
fn with_adjoint(config: &Config, gpu: &Gpu, adjoint: Adjoint) -> Result<NeuralOde> {
    let options = config.solve.options_for(adjoint);
    let builder = builder(config, Wrt::default())?.adjoint(adjoint).adjoint_options(options).drift_is_error(false);
    builder.build(gpu).map_err(|e| config.solve.keyed(e))
}

/// What is compared.
struct Comparison<'a> {
    config: &'a Config,
    gpu: &'a Gpu,
    ode: &'a NeuralOde,
    sample: &'a Sample,
    seed: u64,
}

impl Comparison<'_> {
    fn lines(&self) -> Result<Vec<Line>> {
        let Self { ode, sample, .. } = self;
        let twin = Twin::new(ode, self.contraction(ode.adjoint()), &sample.theta, &sample.x0, &sample.targets);
        let solution = ode.solve(&sample.theta, sample.x0.view())?;
        let want = twin.gradient(ode.adjoint())?;
        let scale = self.scale(solution.report.fraction_bits);
        let states = relative_max(&solution.states, &want.states, &sample.x0);
        let mut lines = vec![Line::new("device states vs f64", states, scale.of(STATE))];
        let own = match gradient(ode, sample) {
            Err(Error::NotReversed { words, .. }) => {
                lines.push(Line::new(words_line(ode.adjoint()), words as f64, 0.0));
                return Ok(lines);
            }
            own => own?,
        };
        for warning in &own.report.warnings {
            // These two have lines of their own.
            if !matches!(warning, Warning::Drift { .. } | Warning::CopiesParted { .. }) {
                output::warn(&warning.to_string());
            }
        }

        let drift = own.reconstruction.as_ref().map_or(0.0, |r| f64::from(r.max_abs));
        // The twin of backsolve has the same drift; in f64 the inverse of a reversible scheme has next to none.
        let close = if ode.adjoint() == Adjoint::Reversible { scale.slack(drift) } else { scale.of(GRADIENT) };
        lines.push(Line::new("device dJ/dθ vs f64", relative(&own.theta, &want.theta), close));
        lines.push(Line::new("device dJ/dx0 vs f64", relative(&own.x0, &want.x0), close));

        let exact = if ode.adjoint().is_exact() { want } else { twin.gradient(Adjoint::Stored)? };
        let Slopes { theta: along_theta, x0: along_x0 } = twin.slopes(self.seed)?;
        lines.push(Line::new("f64 dJ/dθ vs differences", along_theta.mismatch(&exact.theta), DIFFERENCES));
        lines.push(Line::new("f64 dJ/dx0 vs differences", along_x0.mismatch(exact.x0.iter()), DIFFERENCES));
        lines.push(Line::new("device dJ/dθ vs differences", along_theta.mismatch(&own.theta), scale.slack(drift)));
        lines.push(Line::new("device dJ/dx0 vs differences", along_x0.mismatch(own.x0.iter()), scale.slack(drift)));
        if let Some(apart) = own.report.copy_difference {
            lines.push(Line::new("distance of the copies", apart.into(), PARTED));
        }
        lines.extend(self.adjoints(own)?);
        Ok(lines)
    }

    /// Every adjoint of the method against one that stores the same forward pass, and how far it is off.
    fn adjoints(&self, own: Gradient) -> Result<Vec<Line>> {
        let used = self.ode.adjoint();
        // Gradients with stored states, by the contraction of their forward pass.
        let mut references: Vec<(Option<Contraction>, Vec<f64>)> = Vec::new();
        let mut lines = Vec::new();
        if used == Adjoint::Stored {
            references.push((self.contraction(used), wide(&own.theta)));
        } else {
            lines.extend(self.adjoint(used, own, &mut references)?);
        }
        let others = self.ode.method().adjoints().iter().filter(|a| ![used, Adjoint::Stored].contains(a));
        for &other in others {
            let found = match gradient(&with_adjoint(self.config, self.gpu, other)?, self.sample) {
                Err(Error::NotReversed { words, .. }) => {
                    lines.push(Line::new(words_line(other), words as f64, 0.0));
                    continue;
                }
                // An adjoint that the run does not use may fail.
                Err(Error::NonFinite { .. } | Error::OutOfRange { .. }) => {
                    lines.push(Line::shown(against(other), f64::NAN, UNUSED));
                    continue;
                }
                found => found?,
            };
            lines.extend(self.adjoint(other, found, &mut references)?);
        }
        Ok(lines)
    }

    /// One adjoint that does not store all states.
    fn adjoint(
        &self,
        adjoint: Adjoint,
        found: Gradient,
        references: &mut Vec<(Option<Contraction>, Vec<f64>)>,
    ) -> Result<Vec<Line>> {
        let contraction = self.contraction(adjoint);
        let reference = match references.iter().position(|(c, _)| *c == contraction) {
            Some(place) => place,
            None => {
                references.push((contraction, self.stored(adjoint)?));
                references.len() - 1
            }
        };
        let scale = self.scale(found.report.fraction_bits);
        let difference = relative(&found.theta, &references[reference].1);
        let drift = found.reconstruction.as_ref().map(|r| f64::from(r.max_abs));
        let mut lines = vec![Line::new(against(adjoint), difference, scale.slack(drift.unwrap_or(0.0)))];
        if let Some(drift) = drift {
            let check = format!("{adjoint}: reconstruction error");
            let automatic = self.config.solve.adjoint == Adjoint::Auto && adjoint == Adjoint::Reversible;
            lines.push(if adjoint != self.ode.adjoint() {
                Line::shown(check, drift, UNUSED)
            } else if automatic {
                Line::shown(check, drift, "mended")
            } else {
                Line::new(check, drift, self.config.solve.reconstruction_tolerance.into())
            });
        }
        if let Some(words) = found.reconstruction.and_then(|r| r.words_differing) {
            lines.push(Line::new(words_line(adjoint), words as f64, 0.0));
        }
        Ok(lines)
    }

    /// The gradient with the states stored of the forward pass that `adjoint` has.
    fn stored(&self, adjoint: Adjoint) -> Result<Vec<f64>> {
        let AdjointOptions { log_words, .. } = self.config.solve.options_for(adjoint);
        let log_words = if adjoint == self.ode.adjoint() { self.config.solve.log_words_used() } else { log_words };
        let options = AdjointOptions { log_words, ..AdjointOptions::default() };
        let builder = builder(self.config, Wrt::default())?.adjoint(Adjoint::Stored).adjoint_options(options);
        Ok(wide(&gradient(&builder.build(self.gpu)?, self.sample)?.theta))
    }

    /// The contraction of the forward pass that `adjoint` has.
    fn contraction(&self, adjoint: Adjoint) -> Option<Contraction> {
        let options = self.config.solve.options_for(adjoint);
        options.contraction(self.ode.method(), adjoint, self.ode.grid().steps())
    }

    /// How tolerances grow with the length of the run and the grain of fixed point.
    fn scale(&self, fraction_bits: Option<u32>) -> Scale {
        let steps = self.ode.grid().steps() as f64;
        let one_word = fraction_bits.filter(|_| self.config.solve.state_words != Some(2));
        // An update rounds by up to half a grain; ten or so make a step.
        let grain = one_word.map_or(0.0, |bits| (-f64::from(bits)).exp2() * (10.0 * steps).sqrt());
        Scale { walk: (steps / 100.0).sqrt().max(1.0), grain }
    }
}

/// How tolerances grow.
#[derive(Clone, Copy)]
struct Scale {
    walk: f64,
    grain: f64,
}

impl Scale {
    /// A tolerance of a run of 100 steps, for this one.
    fn of(self, tolerance: f64) -> f64 {
        tolerance * self.walk + self.grain
    }

    /// What a gradient may be off by whose states were.
    fn slack(self, drift: f64) -> f64 {
        self.of(GRADIENT).max(SENSITIVITY * drift)
    }
}

fn against(adjoint: Adjoint) -> String {
    format!("{adjoint} vs stored dJ/dθ")
}

fn words_line(adjoint: Adjoint) -> String {
    format!("{adjoint}: words that differ")
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|v| f64::from(*v)).collect()
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
        "{}, {}, {}, {steps} steps, {} trajectories, on {}\n\n{table}\n\nErrors are relative, those of reconstructions \
         and the distance of the copies are absolute. Device tolerances grow as the root of steps/100 beyond 100 steps, \
         and with the grain of fixed point; where states are reconstructed the gradient may be off by {SENSITIVITY} times \
         the reconstruction error.",
        field.summary(),
        ode.method(),
        ode.adjoint(),
        args.batch,
        gpu.adapter(),
    ))
}
