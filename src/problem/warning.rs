//! What a caller should know of a run that has not failed.

use std::fmt;

use crate::solver::{Adjoint, Method};

/// Why trajectories were done another way than the rest of their batch.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Reason {
    /// The two copies of the state have parted.
    Parted,
    /// Fixed point does not hold the state: its range was left, or the binary point that was given is too coarse.
    Range,
    /// The reconstruction of x(t0) was off by more than the tolerance.
    Drift {
        /// The largest distance, relative to what the component has met; infinite where nothing came back.
        drift: f32,
        /// The tolerance.
        tolerance: f32,
    },
}

/// Something that is no error, but that the caller should know.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Warning {
    /// The reconstruction of x(t0) is off by more than the tolerance.
    Drift {
        /// Largest |x̂(t0) − x(t0)| relative to what the component has met.
        drift: f32,
        /// The tolerance.
        tolerance: f32,
        /// The adjoint that reconstructed.
        adjoint: Adjoint,
    },
    /// Trajectories that were done again another way, apart from the rest of the batch.
    Redone {
        /// How many.
        trajectories: usize,
        /// Why.
        reason: Reason,
        /// How: words of the log of an exact walk, or `None` for floats, and states that are kept.
        log_words: Option<u32>,
    },
    /// The words of fixed point did not come back, and the batch was done again from checkpoints.
    RedoneInexact {
        /// Words that differed.
        words: u64,
    },
    /// The two copies of a pair have parted.
    CopiesParted {
        /// Their largest distance, relative to what the component has met.
        difference: f32,
        /// The distance beyond which there is a warning.
        limit: f32,
        /// Words of the contraction log as they were asked for; `None` if more of them would not help.
        log_words: Option<u32>,
    },
    /// The errors of some steps may be large: see [`ErrorEstimate`](crate::ErrorEstimate).
    LargeErrorEstimate {
        /// The largest estimate, relative.
        estimate: f32,
        /// What is no cause for a warning.
        limit: f32,
        /// How many trajectories are beyond that.
        trajectories: usize,
        /// The first of them.
        trajectory: usize,
        /// The method.
        method: Method,
    },
    /// Kicks were lost to rounding: so many increments are smaller than the last place of the state that what they add up to
    /// is missing from the solution.
    LostIncrements {
        /// Trajectories that lost more than is of no account.
        trajectories: usize,
        /// The largest part of a component that is missing.
        share: f32,
        /// Steps of the solve.
        steps: usize,
        /// True if more bits of fixed point would have kept them.
        fixed: bool,
    },
    /// The loss is below the normal numbers of f32, so that it says nothing, though its gradient does.
    LossUnderflow {
        /// The loss.
        loss: f32,
    },
    /// Binary points of fixed point were not where the trajectories took their components, and were moved.
    PointsMoved {
        /// Trajectories that left a range.
        widened: usize,
        /// Trajectories with a component whose resolution was not small against it.
        refined: usize,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Drift { drift, tolerance, adjoint } => write!(
                f,
                "the reconstructed x(t0) is off by {drift:.2e} of its size, more than {tolerance:.2e}: do not trust this gradient; use an exact adjoint (blanes_moan4 with exact, or checkpointed) instead of {adjoint}"
            ),
            Self::Redone { trajectories, reason, log_words } => {
                write!(f, "done again, {}", counted(*trajectories))?;
                match log_words {
                    Some(words) => write!(f, " with {words} log words: {reason}"),
                    None => write!(f, " in floats, with kept states: {reason}"),
                }
            }
            Self::RedoneInexact { words } => write!(
                f,
                "{words} words of the state did not come back: the driver does not repeat its own bits; the batch was done again from checkpoints"
            ),
            Self::CopiesParted { difference, limit, log_words } => write!(
                f,
                "the two copies of the state are {difference:.2e} of their size apart, more than {limit:.2e}: the solution may be far from the field's; use smaller steps{}",
                log_words.map_or(String::new(), |words| format!(" or more log words than {words}"))
            ),
            Self::LostIncrements { trajectories, share, steps, fixed } => write!(
                f,
                "in {trajectories} trajectories the increments of {steps} steps are so small beside the state that rounding has taken {share:.1e} of a component, which should have moved by that much: use fewer, longer steps, {}, or subtract the offset from the data",
                if *fixed {
                    "two words of state (state_words = 2)"
                } else {
                    "a Runge-Kutta method, whose sums keep them"
                }
            ),
            Self::LargeErrorEstimate { estimate, limit, trajectories, trajectory, method } => write!(
                f,
                "some steps may err by {estimate:.2e} of a component, more than {limit:.0e}, by {} ({trajectories} trajectories, the first is {trajectory}): the solution may be far from the field's; use smaller steps{}",
                if method.tableau().embedded {
                    format!("the embedded estimate of {method}")
                } else {
                    format!("the stages of {method} and the field at the ends of its steps")
                },
                if method.order() < 4 { " or a method of higher order" } else { "" }
            ),
            Self::LossUnderflow { loss } => write!(
                f,
                "the loss {loss:e} is below the numbers of f32, though its gradient is not zero: give the observations weights that fit their units"
            ),
            Self::PointsMoved { widened, refined } => {
                let parts = [
                    (*widened, "left a range of fixed point, and the walk was repeated with a wider one"),
                    (*refined, "had a component below its resolution, and the walk was repeated with a finer one"),
                ];
                let told = parts.iter().filter(|(count, _)| *count > 0);
                let told: Vec<String> = told.map(|(count, what)| format!("{} {what}", counted(*count))).collect();
                f.write_str(&told.join("; "))
            }
        }
    }
}

/// A number of trajectories.
fn counted(count: usize) -> String {
    if count == 1 { "1 trajectory".into() } else { format!("{count} trajectories") }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Parted => f.write_str("the two copies of the state had parted"),
            Self::Range => f.write_str("fixed point did not hold the state"),
            Self::Drift { drift, tolerance } => {
                write!(f, "the reconstructed x(t0) was off by {drift:.2e} of its size, more than {tolerance:.2e}")
            }
        }
    }
}
