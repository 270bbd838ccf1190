//! Calls whose trajectories may need more than one way: the parts are found, done, and put together.

use ndarray::ArrayView2;

use super::outcome::{Gradient, Solution};
use super::parts::{Input, Left, Way, counted, join_gradients, join_solutions};
use super::session::Seed;
use super::status::TrajectoryStatus;
use super::warning::Warning;
use super::{NeuralOde, Purpose};
use crate::error::{Error, Result};
use crate::model::Parameters;
use crate::plan::Elsewhere;
use crate::solver::{Adjoint, Contraction, DEFAULT_LOG_WORDS};

/// A larger log than was asked for has so many times its words.
const LARGER: u32 = 8;
/// More words are no net: kept states of a few steps take less.
const MOST_WORDS: u32 = 256;

/// A way, and the places in the batch of the trajectories that are done by it.
type Part<T> = (Way, Vec<usize>, T);

impl NeuralOde {
    pub(super) fn solve_in_parts(&self, theta: &Parameters, x0: ArrayView2<'_, f32>) -> Result<Solution> {
        let batch = x0.nrows();
        let parts = self.parts(x0, None, |way, input| {
            let purpose = Purpose { way, ..Purpose::SOLVE };
            let solution = self.with_session(purpose, input.x0.nrows(), false, |s| s.solve(theta, input.x0.view()))?;
            let left = self.left(&solution.report.status, None);
            Ok((solution, left))
        })?;
        let (parts, warnings) = parts;
        // Rows that were left to the next way go; the rest of the part is right as it is.
        let kept = parts.into_iter().map(|(_, rows, solution)| (rows, solution)).collect();
        let mut whole = join_solutions(kept, batch).ok_or_else(no_trajectory)?;
        tell(&mut whole.report.warnings, warnings);
        self.judge_range(&whole.report.status)?;
        Ok(whole)
    }

    pub(super) fn gradient(&self, theta: &Parameters, x0: ArrayView2<'_, f32>, seed: Seed<'_>) -> Result<Gradient> {
        let batch = x0.nrows();
        let summed = matches!(seed, Seed::Cotangents(_));
        let run = |way: Way, input: &Input, elsewhere: Elsewhere| {
            let Some(seed) = input.seed() else { return Err(no_trajectory()) };
            let weighted = matches!(seed, Seed::Targets(observations) if observations.is_weighted());
            let purpose = Purpose { way, ..Purpose::GRADIENT };
            self.with_session(purpose, input.x0.nrows(), weighted, |s| {
                s.gradient(theta, input.x0.view(), &seed, elsewhere)
            })
        };
        let (parts, mut warnings) = self.parts(x0, Some(&seed), |way, input| {
            let gradient = run(way, input, Elsewhere::default())?;
            let drifts = gradient.reconstruction.as_ref().map(|r| r.relative_per_trajectory.as_slice());
            let left = self.left(&gradient.report.status, drifts);
            Ok((gradient, left))
        })?;
        let parts = self.with_common_means(parts, x0, &seed, run)?;
        let mut whole = join_gradients(parts, batch, summed).ok_or_else(no_trajectory)?;
        if let Some(first) = whole.report.status.first().filter(|_| whole.report.ok() == 0) {
            self.judge_range(&whole.report.status)?;
            return Err(Error::NoneLeft { batch, first: first.to_string() });
        }
        warnings.extend(self.judge_drift(&whole)?);
        warnings.extend(underflow(&whole));
        tell(&mut whole.report.warnings, warnings);
        self.judge_range(&whole.report.status)?;
        Ok(whole)
    }

    /// Gradients of parts are of means over their own observations: once more, if there are several, with those of all.
    fn with_common_means(
        &self,
        parts: Vec<Part<Gradient>>,
        x0: ArrayView2<'_, f32>,
        seed: &Seed<'_>,
        run: impl Fn(Way, &Input, Elsewhere) -> Result<Gradient>,
    ) -> Result<Vec<(Vec<usize>, Gradient)>> {
        if parts.len() == 1 {
            return Ok(parts.into_iter().map(|(_, rows, gradient)| (rows, gradient)).collect());
        }
        let counts: Vec<Elsewhere> = parts
            .iter()
            .map(|(_, rows, gradient)| {
                let input = Input::select(x0, Some(seed), rows);
                input.seed().map_or_else(Elsewhere::default, |seed| counted(&seed, &gradient.report.status))
            })
            .collect();
        let sum = |of: fn(&Elsewhere) -> f32| counts.iter().map(of).sum::<f32>();
        let all = Elsewhere { observations: sum(|c| c.observations), trajectories: sum(|c| c.trajectories) };
        let mut done = Vec::new();
        for ((way, rows, first), own) in parts.into_iter().zip(counts) {
            let elsewhere = Elsewhere {
                observations: all.observations - own.observations,
                trajectories: all.trajectories - own.trajectories,
            };
            let mut gradient = run(way, &Input::select(x0, Some(seed), &rows), elsewhere)?;
            gradient.report.dispatches += first.report.dispatches;
            gradient.report.flops += first.report.flops;
            gradient.report.bytes_moved += first.report.bytes_moved;
            gradient.report.seconds += first.report.seconds;
            done.push((rows, gradient));
        }
        Ok(done)
    }

    /// Finds which trajectories are done which way. Those that a way leaves go to the next, alone.
    fn parts<T: Rows>(
        &self,
        x0: ArrayView2<'_, f32>,
        seed: Option<&Seed<'_>>,
        run: impl Fn(Way, &Input) -> Result<(T, Left)>,
    ) -> Result<(Vec<Part<T>>, Vec<Warning>)> {
        let mut rows: Vec<usize> = (0..x0.nrows()).collect();
        let (mut parts, mut warnings, mut waiting) = (Vec::new(), Vec::new(), Vec::new());
        let ways = self.ways();
        for (number, way) in ways.iter().enumerate() {
            let next = ways.get(number + 1);
            if next.is_none() {
                rows.append(&mut waiting);
                rows.sort_unstable();
            }
            // An empty batch is refused by its plan.
            if rows.is_empty() && number > 0 {
                continue;
            }
            let (done, left) = match run(*way, &Input::select(x0, seed, &rows)) {
                // The driver does not repeat its own bits: nothing of this part is right.
                Err(Error::NotReversed { words, .. }) if next.is_some() => {
                    warnings.push(Warning::RedoneInexact { words });
                    continue;
                }
                other => other?,
            };
            let Some(next) = next else {
                parts.push((*way, rows, done));
                break;
            };
            let left = self.separable(left, rows.len());
            let stay: Vec<usize> = (0..rows.len()).filter(|place| !left.has(*place)).collect();
            let of = |places: &[usize]| -> Vec<usize> { places.iter().map(|place| rows[*place]).collect() };
            let (stay_rows, [helped, others]) = (of(&stay), left.split(*next));
            warnings.extend(helped.warnings(*next));
            warnings.extend(others.warnings(Way::Kept));
            waiting.extend(of(&others.places));
            rows = of(&helped.places);
            if !stay.is_empty() {
                parts.push((*way, stay_rows, done.rows(&stay)));
            }
        }
        Ok((parts, warnings))
    }

    /// What is left of a part: all of it, where what is done to a trajectory follows from its place.
    fn separable(&self, left: Left, part: usize) -> Left {
        let placed = self.spec.cost.as_ref().is_some_and(|cost| {
            cost.jacobian_weight() > 0.0 || cost.reference_term().is_some_and(|(_, reference)| !reference.is_shared())
        });
        if placed { left.with_all(part) } else { left }
    }

    /// The ways that a trajectory may be done, in order.
    fn ways(&self) -> Vec<Way> {
        let mut ways = vec![Way::Asked];
        if !self.policy.redo || !matches!(self.adjoint, Adjoint::Exact | Adjoint::Reversible) {
            return ways;
        }
        let strongest = self.spec.contraction == Some(Contraction::STRONGEST);
        if self.adjoint == Adjoint::Exact && self.spec.options.log_words.is_none() && !strongest {
            let needed = u32::try_from(self.spec.grid.steps().div_ceil(4)).unwrap_or(u32::MAX);
            ways.push(Way::LargerLog { words: (LARGER * DEFAULT_LOG_WORDS).min(needed).min(MOST_WORDS) });
        }
        ways.push(Way::Kept);
        ways
    }

    fn left(&self, status: &[TrajectoryStatus], drifts: Option<&[f32]>) -> Left {
        // Words that came back are off by the rounding of x0 at most, which no other way mends.
        let drifts = drifts.filter(|_| self.adjoint != Adjoint::Exact);
        Left::of(status, drifts, self.policy.tolerance)
    }

    /// A given resolution that is too coarse is an error where nothing else was allowed.
    fn judge_range(&self, status: &[TrajectoryStatus]) -> Result<()> {
        let coarse = |s: &&TrajectoryStatus| **s == TrajectoryStatus::TooCoarse;
        let Some(trajectory) = status.iter().position(|s| coarse(&s)) else { return Ok(()) };
        let others = status.iter().filter(coarse).count() - 1;
        Err(Error::Coarse { trajectory, others, fraction_bits: self.spec.options.fraction_bits })
    }

    /// What a reconstruction that is off means: a warning, or an error if that was asked for.
    fn judge_drift(&self, gradient: &Gradient) -> Result<Option<Warning>> {
        let tolerance = self.policy.tolerance;
        let Some(drift) =
            gradient.reconstruction.as_ref().map(|r| r.max_relative).filter(|d| d.is_nan() || *d > tolerance)
        else {
            return Ok(None);
        };
        if self.policy.strict {
            let remedy = "use an exact adjoint (stored, checkpointed, or exact with blanes_moan4), smaller steps or more anchors";
            return Err(Error::Drift { drift, tolerance, remedy: remedy.into() });
        }
        Ok(Some(Warning::Drift { drift, tolerance, adjoint: self.adjoint }))
    }
}

/// Something with rows, of which some may go.
trait Rows {
    fn rows(self, places: &[usize]) -> Self;
}

impl Rows for Solution {
    fn rows(mut self, places: &[usize]) -> Self {
        self.states = self.states.select(ndarray::Axis(1), places);
        self.report.status = places.iter().map(|p| self.report.status[*p]).collect();
        if let Some(cost) = &mut self.cost {
            cost.per_trajectory = places.iter().map(|p| cost.per_trajectory[*p]).collect();
        }
        self
    }
}

/// Its sums are those of all rows still: [`NeuralOde::with_common_means`] finds them again.
impl Rows for Gradient {
    fn rows(mut self, places: &[usize]) -> Self {
        self.report.status = places.iter().map(|p| self.report.status[*p]).collect();
        self
    }
}

/// A loss of tiny residuals may vanish where its gradient does not.
fn underflow(gradient: &Gradient) -> Option<Warning> {
    let loss = gradient.loss.filter(|loss| loss.abs() < f32::MIN_POSITIVE)?;
    let seen = gradient.theta.iter().chain(&gradient.x0).any(|g| *g != 0.0);
    seen.then_some(Warning::LossUnderflow { loss })
}

/// Warnings about the whole come first, and go to the log.
fn tell(warnings: &mut Vec<Warning>, first: Vec<Warning>) {
    warnings.splice(0..0, first);
    for warning in warnings.iter() {
        tracing::warn!("{warning}");
    }
}

/// Every batch has a part: a bug, but not one to panic over.
fn no_trajectory() -> Error {
    Error::Device { what: "the parts of a batch".into(), message: "there are none".into() }
}
