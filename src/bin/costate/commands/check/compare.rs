//! The lines of the table: who is compared with whom, and how close they must be.

use costate::reference;
use costate::solver::Contraction;
use costate::{Adjoint, AdjointOptions, Error, Gpu, Gradient, NeuralOde, Observations, Result, Solution, Warning, Wrt};
use ndarray::Array3;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

use super::parts::{Argument, Parts, largest, ratio};
use super::slopes::{Directions, Slopes};
use super::twin::{Twin, relative_max};
use super::{Line, Sample, halved, with_adjoint};
use crate::commands::builder;
use crate::config::Config;
use crate::output;

/// f32 states over at most 100 steps of a mild field; errors beyond add up like a random walk.
const STATE: f64 = 1e-5;
/// Bits below its point that a component in fixed point has at least, for each unit of its size.
const OWN_BITS: u32 = 26;
/// f32 gradients, likewise.
const GRADIENT: f64 = 2e-5;
/// f64 gradients against four-point differences.
const DIFFERENCES: f64 = 1e-6;
/// The copies of a pair should be within the method's error of each other.
const PARTED: f64 = 1e-2;
/// How much the gradient may differ for each unit of reconstruction error.
pub(super) const SENSITIVITY: f64 = 10.0;

/// The continuous adjoint may be off by so many times what its twin is.
const DISCRETISED: f64 = 2.0;
/// Losses of residuals of 1 are measured by this at least: they may be near zero.
const LOSS: f64 = 0.1;

/// The verdict on an adjoint that the run does not use.
const UNUSED: &str = "not used";

/// What is compared.
pub(super) struct Comparison<'a> {
    pub(super) config: &'a Config,
    pub(super) gpu: &'a Gpu,
    pub(super) ode: &'a NeuralOde,
    pub(super) sample: &'a Sample,
    pub(super) seed: u64,
    /// All that the problem has.
    pub(super) wrt: Wrt,
}

/// A gradient of the run with what it is held against.
struct Own<'g> {
    /// Of the device.
    found: &'g Parts,
    /// The twin's, by the same adjoint.
    twin: &'g Parts,
    /// The twin's, of the computed objective.
    exact: &'g Parts,
    /// How far reconstructed states are off.
    drift: f64,
}

impl Comparison<'_> {
    pub(super) fn lines(&self) -> Result<Vec<Line>> {
        let Self { ode, sample, config, .. } = self;
        let (loss, cost) = (config.loss.loss()?, config.running_cost()?);
        let twin = Twin::new(ode, self.contraction(ode.adjoint()), loss, cost, sample)?;
        let solution = ode.solve(&sample.theta, sample.x0.view())?;
        let want = twin.gradient(ode.adjoint(), None)?;
        let states = relative_max(&solution.states, &want.states, &sample.x0);
        let scale = self.scale(solution.report.fraction_bits.is_some());
        let mut lines = vec![Line::new("device states vs f64", states, scale.of(STATE))];
        lines.push(halved::line(&twin, &want.states)?);
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
        lines.extend(objective(&solution, &own, &want, LOSS * twin.usual_loss(), scale));

        let found = Parts::of_device(&own, ode.grid(), &sample.sizes);
        let want = Parts::of_twin(&want, ode.grid(), &sample.sizes);
        let exact = match ode.adjoint().is_exact() {
            true => want.clone(),
            false => Parts::of_twin(&twin.gradient(Adjoint::Stored, None)?, ode.grid(), &sample.sizes),
        };
        let drift = own.reconstruction.as_ref().map_or(0.0, |r| f64::from(r.max_relative));
        let parts = Own { found: &found, twin: &want, exact: &exact, drift };
        lines.extend(self.arguments(&twin, &parts, scale)?);
        lines.push(self.product(&twin, &parts, scale)?);
        lines.extend(self.masked(&twin, &parts, scale)?);
        if let Some(apart) = own.report.copy_difference {
            lines.push(Line::new("distance of the copies", apart.into(), PARTED));
        }
        lines.extend(self.adjoints(&twin, own, &exact)?);
        Ok(lines)
    }

    /// The gradient by everything that the problem has: against its twin, and both against differences.
    fn arguments(&self, twin: &Twin<'_>, own: &Own<'_>, scale: Scale) -> Result<Vec<Line>> {
        let slopes = Slopes::new(twin, own.exact, self.seed)?;
        let arguments = Argument::all(&twin.grid, twin.loss);
        let line = |what: &str, argument: Argument, value: f64, tolerance: f64| {
            let (who, whom) = what.split_once(" vs ").unwrap_or((what, ""));
            Line::new(format!("{who} dJ/d{} vs {whom}", argument.name()), value, tolerance)
        };
        let mut lines = Vec::new();
        for &a in &arguments {
            let close = if self.rests_on_drift(a) { scale.slack(own.drift) } else { scale.of(GRADIENT) };
            lines.push(line("device vs f64", a, own.twin.distance(own.found, a), close));
        }
        for &a in &arguments {
            lines.push(line("f64 vs differences", a, slopes.mismatch(own.exact, a), DIFFERENCES));
        }
        for &a in &arguments {
            let slack = scale.slack(if a.is_walked() { own.drift } else { 0.0 }) + self.discretised(own, a);
            lines.push(line("device vs differences", a, slopes.mismatch(own.found, a), slack));
        }
        Ok(lines)
    }

    /// True where the device may be off its twin by what the reconstructed states are off. The twin of backsolve has the
    /// same drift; in f64 the inverse of a reversible scheme has next to none, and the continuous adjoint has the
    /// Hamiltonian of the states that were computed going forward.
    fn rests_on_drift(&self, argument: Argument) -> bool {
        match self.ode.adjoint() {
            Adjoint::Reversible => argument.is_walked(),
            Adjoint::Continuous => argument.is_time(),
            _ => false,
        }
    }

    /// How far the adjoint of the run may be from the gradient of the computed objective since it is another.
    fn discretised(&self, own: &Own<'_>, argument: Argument) -> f64 {
        match self.ode.adjoint() {
            Adjoint::Continuous => DISCRETISED * own.exact.distance(own.twin, argument),
            _ => 0.0,
        }
    }

    /// `⟨J v, w⟩ = ⟨v, Jᵀ w⟩` for the solve from θ and x0 to the states at the save times, and to the running costs: the left
    /// side by differences of the twin, the right side by the device, with the kernels of the description's own gradient.
    fn product(&self, twin: &Twin<'_>, own: &Own<'_>, scale: Scale) -> Result<Line> {
        let Self { sample, .. } = self;
        let wrt = Wrt { theta: true, x0: true, targets: false, loss: false, ..self.config.wrt(None)? };
        let ode = with_adjoint(self.config, self.gpu, self.ode.adjoint(), wrt)?;
        let w = &sample.targets;
        let pulled = ode.vjp(&sample.theta, sample.x0.view(), w.view())?;
        let mut rng = Pcg64::seed_from_u64(self.seed ^ 0x1405_7b7e_f767_814f);
        let directions = Directions::along(&mut rng, twin, |point| twin.product(point, w))?;
        let gradient: Vec<f64> = pulled.theta.iter().chain(&pulled.x0).map(|g| f64::from(*g)).collect();
        let mismatch = ratio(directions.mismatch(&gradient), directions.size());
        let apart = Argument::WALKED.into_iter().map(|a| self.discretised(own, a)).fold(0.0, largest);
        Ok(Line::new("⟨J v, w⟩ vs ⟨v, Jᵀ w⟩", mismatch, scale.slack(own.drift) + apart))
    }

    /// Weights and a mask: against the twin, and what is masked must not matter.
    fn masked(&self, twin: &Twin<'_>, own: &Own<'_>, scale: Scale) -> Result<Vec<Line>> {
        let Self { ode, sample, .. } = self;
        if sample.targets.len() < 2 {
            return Ok(Vec::new());
        }
        let mut rng = Pcg64::seed_from_u64(self.seed ^ 0x2545_f491_4f6c_dd1d);
        let mut mask = Array3::from_shape_simple_fn(sample.targets.raw_dim(), || rng.random_bool(0.5));
        // Something is seen, and something is not.
        let ends = [mask.first_mut().map(|seen| *seen = true), mask.last_mut().map(|seen| *seen = false)];
        debug_assert!(ends.iter().all(Option::is_some), "there are two observations at least");
        let weights = Array3::from_shape_simple_fn(mask.raw_dim(), || rng.random_range(0.5_f32..1.5));
        let mut gaps = sample.targets.clone();
        gaps.iter_mut().zip(&mask).filter(|(_, seen)| !**seen).for_each(|(y, _)| *y = f32::NAN);
        let run = |targets: &Array3<f32>| {
            let observations = Observations::new(targets.view()).log_scale(&sample.log_scale);
            let observations = observations.weights(weights.view()).mask(mask.view());
            ode.loss_and_gradient(&sample.theta, sample.x0.view(), observations)
        };
        let (full, holed) = (run(&sample.targets)?, run(&gaps)?);
        let (found, again) =
            (Parts::of_device(&full, &twin.grid, &sample.sizes), Parts::of_device(&holed, &twin.grid, &sample.sizes));
        let differ = found.words_differing(&again) + usize::from(full.loss != holed.loss);

        let weights = weights.mapv(f64::from);
        let want = twin.gradient(ode.adjoint(), Some((mask.view(), weights.view())))?;
        let want = Parts::of_twin(&want, &twin.grid, &sample.sizes);
        let drifts = self.rests_on_drift(Argument::Theta);
        let close = if drifts { scale.slack(own.drift) } else { scale.of(GRADIENT) };
        Ok(vec![
            Line::new("masked and weighted dJ/dθ vs f64", want.distance(&found, Argument::Theta), close),
            Line::new("what is masked: words that change", differ as f64, 0.0),
        ])
    }

    /// Every adjoint of the method against one that stores the same forward pass, and how far it is off.
    fn adjoints(&self, twin: &Twin<'_>, own: Gradient, exact: &Parts) -> Result<Vec<Line>> {
        let used = self.ode.adjoint();
        // Gradients with stored states, by the contraction of their forward pass.
        let mut references: Vec<(Option<Contraction>, Parts)> = Vec::new();
        let mut lines = Vec::new();
        if used == Adjoint::Stored {
            references.push((self.contraction(used), Parts::of_device(&own, self.ode.grid(), &self.sample.sizes)));
        } else {
            lines.extend(self.adjoint(used, (twin, exact), own, &mut references)?);
        }
        let continuous = self.ode.method().pair().is_none().then_some(Adjoint::Continuous);
        let all = self.ode.method().adjoints().iter().copied().chain(continuous);
        for other in all.filter(|a| ![used, Adjoint::Stored].contains(a)) {
            let found = match gradient(&with_adjoint(self.config, self.gpu, other, self.wrt)?, self.sample) {
                Err(Error::NotReversed { words, .. }) => {
                    lines.push(Line::new(words_line(other), words as f64, 0.0));
                    continue;
                }
                // An adjoint that the run does not use may fail.
                Err(Error::NonFinite { .. } | Error::Coarse { .. }) => {
                    lines.push(Line::shown(against(other, Argument::Theta), f64::NAN, UNUSED));
                    continue;
                }
                found => found?,
            };
            lines.extend(self.adjoint(other, (twin, exact), found, &mut references)?);
        }
        Ok(lines)
    }

    /// One adjoint that does not store all states.
    fn adjoint(
        &self,
        adjoint: Adjoint,
        (twin, exact): (&Twin<'_>, &Parts),
        found: Gradient,
        references: &mut Vec<(Option<Contraction>, Parts)>,
    ) -> Result<Vec<Line>> {
        let contraction = self.contraction(adjoint);
        let reference = match references.iter().position(|(c, _)| *c == contraction) {
            Some(place) => place,
            None => {
                references.push((contraction, self.stored(adjoint)?));
                references.len() - 1
            }
        };
        let scale = self.scale(found.report.fraction_bits.is_some());
        let drift = found.reconstruction.as_ref().map(|r| f64::from(r.max_relative));
        let slack = scale.slack(drift.unwrap_or(0.0));
        let parts = Parts::of_device(&found, self.ode.grid(), &self.sample.sizes);
        let mut lines = Vec::new();
        // Of the continuous adjoint the twin says how far it is from the gradient of the computed objective.
        let continuous = match adjoint {
            Adjoint::Continuous => {
                Some(Parts::of_twin(&twin.gradient(adjoint, None)?, self.ode.grid(), &self.sample.sizes))
            }
            _ => None,
        };
        for argument in Argument::WALKED {
            let apart = continuous.as_ref().map_or(0.0, |twin| DISCRETISED * exact.distance(twin, argument));
            let difference = references[reference].1.distance(&parts, argument);
            lines.push(Line::new(against(adjoint, argument), difference, slack + apart));
        }
        // That of the run has been held against it before.
        if let Some(twin) = continuous.filter(|_| adjoint != self.ode.adjoint()) {
            lines.extend(Argument::WALKED.map(|argument| {
                let check = format!("{adjoint} vs its f64 dJ/d{}", argument.name());
                Line::new(check, twin.distance(&parts, argument), slack)
            }));
        }
        if let Some(drift) = drift {
            lines.push(self.reconstruction(adjoint, drift));
        }
        if let Some(words) = found.reconstruction.and_then(|r| r.words_differing) {
            lines.push(Line::new(words_line(adjoint), words as f64, 0.0));
        }
        Ok(lines)
    }

    fn reconstruction(&self, adjoint: Adjoint, drift: f64) -> Line {
        let check = format!("{adjoint}: reconstruction error");
        let automatic = self.config.solve.adjoint == Adjoint::Auto && adjoint == Adjoint::Reversible;
        if adjoint != self.ode.adjoint() {
            Line::shown(check, drift, UNUSED)
        } else if automatic {
            Line::shown(check, drift, "mended")
        } else {
            Line::new(check, drift, self.config.solve.reconstruction_tolerance.into())
        }
    }

    /// The gradient with the states stored of the forward pass that `adjoint` has.
    fn stored(&self, adjoint: Adjoint) -> Result<Parts> {
        let AdjointOptions { log_words, .. } = self.config.solve.options_for(adjoint);
        let log_words = if adjoint == self.ode.adjoint() { self.config.solve.log_words_used() } else { log_words };
        let options = AdjointOptions { log_words, ..AdjointOptions::default() };
        let builder = builder(self.config, self.wrt)?.adjoint(Adjoint::Stored).adjoint_options(options);
        let found = gradient(&builder.build(self.gpu)?, self.sample)?;
        Ok(Parts::of_device(&found, self.ode.grid(), &self.sample.sizes))
    }

    /// The contraction of the forward pass that `adjoint` has.
    fn contraction(&self, adjoint: Adjoint) -> Option<Contraction> {
        let options = self.config.solve.options_for(adjoint);
        options.contraction(self.ode.method(), adjoint, self.ode.grid().steps())
    }

    /// How tolerances grow with the length of the run and the grain of fixed point.
    fn scale(&self, fixed: bool) -> Scale {
        let steps = self.ode.grid().steps() as f64;
        // Components have points of their own, unless one was given, and at least so many bits.
        let bits = self.config.solve.fraction_bits.unwrap_or(OWN_BITS).min(OWN_BITS);
        // An update rounds by up to half a grain; ten or so make a step.
        let rounding = (-f64::from(bits)).exp2() * (10.0 * steps).sqrt();
        let grain = if fixed && self.config.solve.state_words != Some(2) { rounding } else { 0.0 };
        Scale { walk: (steps / 100.0).sqrt().max(1.0), grain }
    }
}

/// Loss, measured by `least` at least, and running costs of the forward pass.
fn objective(solution: &Solution, own: &Gradient, want: &reference::Gradient, least: f64, scale: Scale) -> Vec<Line> {
    let mut lines = Vec::new();
    if let (Some(found), Some(want)) = (own.loss, want.loss) {
        let off = (f64::from(found) - want).abs() / want.abs().max(least);
        lines.push(Line::new("device loss vs f64", off, scale.of(GRADIENT)));
    }
    if let Some(want) = &want.cost {
        let size = want.iter().map(|c| c.abs()).fold(0.0, largest);
        let found = [&own.cost, &solution.cost];
        let off = found.map(|found| {
            let found = found.as_ref().map_or(&[][..], |cost| &cost.per_trajectory);
            if found.len() != want.len() {
                return f64::NAN;
            }
            found.iter().zip(want).map(|(a, b)| (a - b).abs()).fold(0.0, largest)
        });
        lines.push(Line::new("device running costs vs f64", ratio(largest(off[0], off[1]), size), scale.of(GRADIENT)));
    }
    lines
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

fn against(adjoint: Adjoint, argument: Argument) -> String {
    format!("{adjoint} vs stored dJ/d{}", argument.name())
}

fn words_line(adjoint: Adjoint) -> String {
    format!("{adjoint}: words that differ")
}

fn gradient(ode: &NeuralOde, sample: &Sample) -> Result<Gradient> {
    let observations = Observations::new(sample.targets.view()).log_scale(&sample.log_scale);
    ode.loss_and_gradient(&sample.theta, sample.x0.view(), observations)
}
