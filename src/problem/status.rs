//! What became of a trajectory.

use std::fmt;

use serde::Serialize;

use crate::solver::TimeGrid;

/// What became of one trajectory. A failure is a value, not an error: the other trajectories go on, and a failed one
/// takes no part in loss and gradient.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
#[non_exhaustive]
pub enum TrajectoryStatus {
    /// Finite from t0 to t1 and back.
    Ok,
    /// The state was NaN or infinite at the end of this step of the forward pass.
    NonFinite {
        /// Number of the step, from 0.
        step: usize,
        /// Time at the end of the step.
        time: f64,
    },
    /// The state was finite, but its running cost was not at the end of this step: the objective of the batch would overflow.
    CostOverflow {
        /// Number of the step, from 0.
        step: usize,
        /// Time at the end of the step.
        time: f64,
    },
    /// The states were finite, but so far from a target that the sum of the losses would overflow.
    LossOverflow,
    /// The state left the range of fixed point in this step of the forward pass.
    OutOfRange {
        /// Number of the step, from 0.
        step: usize,
        /// Time at the end of the step.
        time: f64,
    },
    /// The two copies of a pair have parted: at the end of some step they were further from each other than half of the
    /// largest magnitude that a component has met, so that neither is a solution.
    Parted,
    /// The resolution of fixed point is not small against a component: against what it has met, with the binary point that was
    /// given, or against its first value, with one that holds the largest.
    TooCoarse,
    /// The reconstructed state or the adjoint was NaN or infinite in this step of the reverse pass.
    ReverseNonFinite {
        /// Number of the step, from 0.
        step: usize,
        /// Time at the start of the step.
        time: f64,
    },
}

impl TrajectoryStatus {
    /// True if nothing went wrong.
    #[must_use]
    pub fn is_ok(self) -> bool {
        self == Self::Ok
    }

    /// The time at which it failed, if that is known.
    #[must_use]
    pub fn time(self) -> Option<f64> {
        match self {
            Self::NonFinite { time, .. }
            | Self::CostOverflow { time, .. }
            | Self::OutOfRange { time, .. }
            | Self::ReverseNonFinite { time, .. } => Some(time),
            Self::Ok | Self::LossOverflow | Self::Parted | Self::TooCoarse => None,
        }
    }
}

impl fmt::Display for TrajectoryStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ok => f.write_str("went well"),
            Self::NonFinite { step, time } => write!(
                f,
                "became NaN or infinite in step {step}, at t = {time}: use smaller steps, or look for weights that make the field explode"
            ),
            Self::CostOverflow { step, time } => {
                write!(f, "its running cost overflowed in step {step}, at t = {time}: use smaller weights of the cost")
            }
            Self::LossOverflow => f.write_str(
                "its loss overflowed f32, so far is a state from its target: use smaller steps, weights of the observations that fit their units, or mask outliers",
            ),
            Self::OutOfRange { step, time } => write!(
                f,
                "left the range of fixed point in step {step}, at t = {time}: use smaller steps, or the stored adjoint"
            ),
            Self::Parted => f.write_str(
                "the two copies of its state have parted, so that neither is a solution: use smaller steps, more log words, or a Runge–Kutta method",
            ),
            Self::TooCoarse => f.write_str(
                "fixed point of one word does not hold a component of its state to a millionth, from its first value to its largest: use two words, or the stored adjoint",
            ),
            Self::ReverseNonFinite { step, time } => write!(
                f,
                "its reconstruction or adjoint became NaN or infinite in step {step} of the reverse pass, at t = {time}: use the stored or checkpointed adjoint, or smaller steps"
            ),
        }
    }
}

/// Kinds of status words, above the number of the entry; mirror of `shaders/status.wgsl`.
pub(super) mod kind {
    pub(in crate::problem) const NON_FINITE: u32 = 1;
    pub(in crate::problem) const COST_OVERFLOW: u32 = 3;
    pub(in crate::problem) const OUT_OF_RANGE: u32 = 4;
    pub(in crate::problem) const PARTED: u32 = 5;
    pub(in crate::problem) const COARSE: u32 = 6;
    pub(in crate::problem) const LOSS_OVERFLOW: u32 = 7;
}

/// Decodes the status words of the kernels (shaders/status.wgsl); `step_of` tells the step of an entry of the track.
pub(crate) fn read_status(words: &[u32], grid: &TimeGrid, step_of: impl Fn(usize) -> usize) -> Vec<TrajectoryStatus> {
    let decode = |&word: &u32| {
        let step = if word == 0 { 0 } else { step_of((word & 0x0fff_ffff) as usize) };
        let time = |n: usize| grid.times().get(n).copied().unwrap_or(f64::NAN);
        match word >> 28 {
            0 => TrajectoryStatus::Ok,
            kind::NON_FINITE => TrajectoryStatus::NonFinite { step, time: time(step + 1) },
            kind::COST_OVERFLOW => TrajectoryStatus::CostOverflow { step, time: time(step + 1) },
            kind::OUT_OF_RANGE => TrajectoryStatus::OutOfRange { step, time: time(step + 1) },
            kind::PARTED => TrajectoryStatus::Parted,
            kind::COARSE => TrajectoryStatus::TooCoarse,
            kind::LOSS_OVERFLOW => TrajectoryStatus::LossOverflow,
            _ => TrajectoryStatus::ReverseNonFinite { step, time: time(step) },
        }
    };
    words.iter().map(decode).collect()
}
