//! What comes back from a solve or a gradient.

use std::fmt;

use ndarray::{Array2, Array3};
use serde::Serialize;

use super::estimate::ErrorEstimate;
use crate::gpu::KernelTime;
use crate::plan::{FieldEvaluations, MemoryPlan};
use crate::solver::{Adjoint, Method, TimeGradient, TimeGrid};

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
pub(super) mod status {
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
            status::NON_FINITE => TrajectoryStatus::NonFinite { step, time: time(step + 1) },
            status::COST_OVERFLOW => TrajectoryStatus::CostOverflow { step, time: time(step + 1) },
            status::OUT_OF_RANGE => TrajectoryStatus::OutOfRange { step, time: time(step + 1) },
            status::PARTED => TrajectoryStatus::Parted,
            status::COARSE => TrajectoryStatus::TooCoarse,
            status::LOSS_OVERFLOW => TrajectoryStatus::LossOverflow,
            _ => TrajectoryStatus::ReverseNonFinite { step, time: time(step) },
        }
    };
    words.iter().map(decode).collect()
}

/// What a run did and what it cost.
#[derive(Clone, Debug)]
pub struct Report {
    /// One entry per trajectory.
    pub status: Vec<TrajectoryStatus>,
    /// Number of steps, N.
    pub steps: usize,
    /// Evaluations of the field per trajectory.
    pub field_evaluations: FieldEvaluations,
    /// The buffers on the device.
    pub memory: MemoryPlan,
    /// Bytes of the buffers as they were created; equal to `memory.total_bytes()`.
    pub allocated_bytes: u64,
    /// Kernel launches.
    pub dispatches: usize,
    /// Floating-point operations of the field, counted from the shapes: two per weight and trajectory for each evaluation, and
    /// as many each for the two products that pull an adjoint back through one. Nothing else counts: no activations, no
    /// padding, no sums.
    pub flops: u64,
    /// Bytes that kernels and copies on the device must at least read from buffers and write to them, counted from the
    /// shapes: weights once per launch; states, adjoints, kept states, save times and status once where they are read and
    /// once where they are written; what evaluations leave for dJ/dθ, and the sums of it. Uploads and readback are not among them.
    pub bytes_moved: u64,
    /// Device time by kernel, in the order of their first launch, if [`NeuralOdeBuilder::profile`](crate::NeuralOdeBuilder::profile)
    /// asked for it and the adapter has timestamps.
    pub kernels: Option<Vec<KernelTime>>,
    /// Wall time of the call, uploads and readback included.
    pub seconds: f64,
    /// The way to the gradient that was taken, `None` for a solve.
    pub adjoint: Option<Adjoint>,
    /// States kept on the way, x(t0) or x(t1) among them: with the checkpointed adjoint and with anchored backsolve.
    pub anchors: Option<u64>,
    /// Methods on a pair: the largest distance of the two copies at the ends of steps, relative to the largest magnitude that
    /// the component has met, over all trajectories that went well. It should be of the size of the method's error; a large one says that the copies have parted, as they do on
    /// a contracting field without enough log words.
    pub copy_difference: Option<f32>,
    /// Fixed point: the binary points of the trajectories that went well.
    pub fraction_bits: Option<FractionBits>,
    /// Runge–Kutta methods: how large the errors of the steps may be. `None` for methods on a pair, whose copies tell as
    /// much, and for a single step.
    pub error_estimate: Option<ErrorEstimate>,
    /// What the caller should know.
    pub warnings: Vec<Warning>,
}

/// Bits below the binary points of fixed point, of which every component of every trajectory has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct FractionBits {
    /// Of the component with the widest range.
    pub min: i32,
    /// Of the component with the finest resolution.
    pub max: i32,
}

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
    /// The errors of some steps may be large: see [`ErrorEstimate`].
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
                let were =
                    if *trajectories == 1 { "1 trajectory was" } else { &format!("{trajectories} trajectories were") };
                match log_words {
                    Some(words) => write!(f, "{were} done again with {words} log words: {reason}"),
                    None => write!(f, "{were} done again in floats, with kept states: {reason}"),
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
            Self::PointsMoved { widened, refined } => {
                let parts = [
                    (*widened, "left a range of fixed point and were walked again with a wider one"),
                    (*refined, "had a component finer than its resolution and were walked again with a finer one"),
                ];
                let told: Vec<String> = parts
                    .iter()
                    .filter(|(count, _)| *count > 0)
                    .map(|(count, what)| format!("{count} trajectories {what}"))
                    .collect();
                f.write_str(&told.join("; "))
            }
        }
    }
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

impl Report {
    /// Number of trajectories that went well.
    #[must_use]
    pub fn ok(&self) -> usize {
        self.status.iter().filter(|s| **s == TrajectoryStatus::Ok).count()
    }

    /// Number of trajectories that met a non-finite value, or whose loss would have.
    #[must_use]
    pub fn non_finite(&self) -> usize {
        self.status.len() - self.ok() - self.out_of_range() - self.parted()
    }

    /// Number of trajectories whose two copies have parted.
    #[must_use]
    pub fn parted(&self) -> usize {
        self.status.iter().filter(|s| **s == TrajectoryStatus::Parted).count()
    }

    /// Number of trajectories that fixed point does not hold.
    #[must_use]
    pub fn out_of_range(&self) -> usize {
        let out =
            |s: &&TrajectoryStatus| matches!(s, TrajectoryStatus::OutOfRange { .. } | TrajectoryStatus::TooCoarse);
        self.status.iter().filter(out).count()
    }
}

/// Running costs `∫ L dt`.
#[derive(Clone, Debug, PartialEq)]
pub struct Cost {
    /// Mean over the trajectories that went well; their sum for a vector–Jacobian product.
    pub total: f64,
    /// Cost of every trajectory; NaN for a failed one.
    pub per_trajectory: Vec<f64>,
}

impl Cost {
    /// The cost of every trajectory, NaN for a failed one, with their mean or sum.
    pub(super) fn new(per_trajectory: Vec<f64>, summed: bool) -> Self {
        let well = || per_trajectory.iter().filter(|c| !c.is_nan());
        let sum: f64 = well().sum();
        let total = if summed { sum } else { sum / well().count().max(1) as f64 };
        Self { total, per_trajectory }
    }
}

/// States at the save times.
#[derive(Clone, Debug)]
pub struct Solution {
    /// `[time, batch, dim]`. NaN after a trajectory has failed.
    pub states: Array3<f32>,
    /// Running costs, if the problem has one.
    pub cost: Option<Cost>,
    /// What the run did.
    pub report: Report,
}

/// How far the reconstructed initial states are from the given ones: the certificate of a reverse pass that
/// reconstructs. Anchors of backsolve are compared like initial states, where the reconstruction of one segment ends and
/// that of the one before begins; the largest distance counts. The gradient can be trusted to about this accuracy times the sensitivity of the field.
#[derive(Clone, Debug)]
pub struct Reconstruction {
    /// Largest `|x̂(t0) − x(t0)|` over the trajectories that went well and their components.
    pub max_abs: f32,
    /// Mean over the trajectories of their largest component.
    pub mean_abs: f32,
    /// Largest `|x̂(t0) − x(t0)|` relative to the largest magnitude that the component has met on the way: what the
    /// tolerance is held against.
    pub max_relative: f32,
    /// Mean over the trajectories of that of their components.
    pub mean_relative: f32,
    /// Per trajectory the largest component; infinite for a failed trajectory.
    pub per_trajectory: Vec<f32>,
    /// The same relative to what the component has met.
    pub relative_per_trajectory: Vec<f32>,
    /// Fixed point: words of the state, over all trajectories and failed ones too, that differ from the initial ones.
    /// Always zero in a result; `None` for floats.
    pub words_differing: Option<u64>,
}

impl Reconstruction {
    /// From the distances of every trajectory, in the units of the state and relative.
    pub(super) fn new(
        per_trajectory: Vec<f32>,
        relative_per_trajectory: Vec<f32>,
        status: &[TrajectoryStatus],
        words_differing: Option<u64>,
    ) -> Self {
        let well = |drifts: &[f32]| -> (f32, f32) {
            let well = || drifts.iter().zip(status).filter(|(_, s)| s.is_ok()).map(|(d, _)| *d);
            #[expect(clippy::cast_possible_truncation, reason = "a mean that is reported as f32")]
            let mean = (well().map(f64::from).sum::<f64>() / well().count().max(1) as f64) as f32;
            (well().fold(0.0, f32::max), mean)
        };
        let ((max_abs, mean_abs), (max_relative, mean_relative)) =
            (well(&per_trajectory), well(&relative_per_trajectory));
        Self {
            max_abs,
            mean_abs,
            max_relative,
            mean_relative,
            per_trajectory,
            relative_per_trajectory,
            words_differing,
        }
    }
}

/// Gradients of the objective `J`: the loss of the observations plus the mean running cost; or a vector–Jacobian product,
/// with the sum of the running costs. What was not asked for ([`Wrt`](crate::Wrt)) is empty or `None`.
#[derive(Clone, Debug)]
pub struct Gradient {
    /// The loss of the observations; `None` for a vector–Jacobian product.
    pub loss: Option<f32>,
    /// Running costs, if the problem has one.
    pub cost: Option<Cost>,
    /// dJ/dθ, flat, in the order of [`Parameters`](crate::Parameters).
    pub theta: Vec<f32>,
    /// dJ/dx0, `[batch, dim]`; zero for a failed trajectory.
    pub x0: Array2<f32>,
    /// dJ/dt of t0, t1 and the save times.
    pub times: Option<TimeGradient>,
    /// dJ/dy of the targets, `[time, batch, dim]`; zero where they are masked.
    pub targets: Option<Array3<f32>>,
    /// dJ/d ln σ of [`Loss::GaussianNll`](crate::Loss), `[dim]`.
    pub log_scale: Option<Vec<f32>>,
    /// The certificate, if the adjoint reconstructs.
    pub reconstruction: Option<Reconstruction>,
    /// What the run did.
    pub report: Report,
}

impl Gradient {
    /// The objective: loss and running cost together. For a vector–Jacobian product the sum of the running costs alone; what the
    /// caller's cotangents belong to is not known here.
    #[must_use]
    pub fn objective(&self) -> f64 {
        f64::from(self.loss.unwrap_or_default()) + self.cost.as_ref().map_or(0.0, |cost| cost.total)
    }
}
