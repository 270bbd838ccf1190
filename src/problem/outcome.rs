//! What comes back from a solve or a gradient.

use std::fmt;

use ndarray::{Array2, Array3};
use serde::Serialize;

use crate::gpu::KernelTime;
use crate::plan::{FieldEvaluations, MemoryPlan};
use crate::solver::{Adjoint, TimeGradient, TimeGrid, range};

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
    /// The state was finite, but at the end of this step, where it is observed, beyond 1e15, or the running cost up to there
    /// was not finite: the objective of the batch would overflow.
    LossOverflow {
        /// Number of the step, from 0.
        step: usize,
        /// Time at the end of the step.
        time: f64,
    },
    /// The state left the range of fixed point in this step of the forward pass.
    OutOfRange {
        /// Number of the step, from 0.
        step: usize,
        /// Time at the end of the step.
        time: f64,
    },
    /// The reconstructed state or the adjoint was NaN or infinite in this step of the reverse pass.
    ReverseNonFinite {
        /// Number of the step, from 0.
        step: usize,
        /// Time at the start of the step.
        time: f64,
    },
}

/// Decodes the status words of the kernels (shaders/status.wgsl); `step_of` tells the step of an entry of the track.
pub(crate) fn read_status(words: &[u32], grid: &TimeGrid, step_of: impl Fn(usize) -> usize) -> Vec<TrajectoryStatus> {
    let decode = |&word: &u32| {
        let step = if word == 0 { 0 } else { step_of((word & 0x0fff_ffff) as usize) };
        let time = |n: usize| grid.times().get(n).copied().unwrap_or(f64::NAN);
        match word >> 28 {
            0 => TrajectoryStatus::Ok,
            1 => TrajectoryStatus::NonFinite { step, time: time(step + 1) },
            4 => TrajectoryStatus::OutOfRange { step, time: time(step + 1) },
            3 => TrajectoryStatus::LossOverflow { step, time: time(step + 1) },
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
    /// Methods on a pair: the largest distance of the two copies at the ends of steps, over all trajectories that went
    /// well. It should be of the size of the method's error; a large one says that the copies have parted, as they do on
    /// a contracting field without enough log words.
    pub copy_difference: Option<f32>,
    /// Fixed point: bits below the binary point.
    pub fraction_bits: Option<u32>,
    /// What the caller should know.
    pub warnings: Vec<Warning>,
}

/// Something that is no error, but that the caller should know.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Warning {
    /// The reconstruction of x(t0) is off by more than the tolerance.
    Drift {
        /// Largest |x̂(t0) − x(t0)|.
        drift: f32,
        /// The tolerance.
        tolerance: f32,
        /// The adjoint that reconstructed.
        adjoint: Adjoint,
    },
    /// As `Drift`, and the batch was done again from checkpoints; what is returned is exact.
    Redone {
        /// Largest |x̂(t0) − x(t0)|.
        drift: f32,
        /// The tolerance.
        tolerance: f32,
    },
    /// The words of fixed point did not come back, and the batch was done again from checkpoints.
    RedoneInexact {
        /// Words that differed.
        words: u64,
    },
    /// Data or states do not fit the range of fixed point, and the batch was done in floats, a gradient from checkpoints.
    RedoneInFloats {
        /// What did not fit.
        reason: String,
    },
    /// The two copies of a pair have parted.
    CopiesParted {
        /// Their largest distance.
        difference: f32,
        /// The distance beyond which there is a warning.
        limit: f32,
        /// Words of the contraction log as they were asked for; `None` if more of them would not help.
        log_words: Option<u32>,
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
    /// The range of fixed point was too small, and the batch was done again with a wider one.
    Widened {
        /// Bits below the point now.
        fraction_bits: u32,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Drift { drift, tolerance, adjoint } => write!(
                f,
                "the reconstructed x(t0) is off by {drift:.2e}, more than {tolerance:.2e}: do not trust this gradient; use an exact adjoint (blanes_moan4 with exact, or checkpointed) instead of {adjoint}"
            ),
            Self::Redone { drift, tolerance } => write!(
                f,
                "the reconstructed x(t0) was off by {drift:.2e}, more than {tolerance:.2e}: the batch was done again from checkpoints, and this gradient is exact"
            ),
            Self::RedoneInexact { words } => write!(
                f,
                "{words} words of the state did not come back: the driver does not repeat its own bits; the batch was done again from checkpoints"
            ),
            Self::CopiesParted { difference, limit, log_words } => write!(
                f,
                "the two copies of the state are {difference:.2e} apart, more than {limit:.2e}: the solution may be far from the field's; use smaller steps{}",
                log_words.map_or(String::new(), |words| format!(" or more log words than {words}"))
            ),
            Self::RedoneInFloats { reason } => {
                write!(f, "the batch was done in floats instead of fixed point: {reason}")
            }
            Self::LostIncrements { trajectories, share, steps, fixed } => write!(
                f,
                "in {trajectories} trajectories the increments of {steps} steps are so small beside the state that rounding has taken {share:.1e} of a component, which should have moved by that much: use fewer, longer steps, {}, or subtract the offset from the data",
                if *fixed {
                    "two words of state (state_words = 2)"
                } else {
                    "a Runge-Kutta method, whose sums keep them"
                }
            ),
            Self::Widened { fraction_bits } => write!(
                f,
                "a state left the fixed-point range, so the batch was done again with {fraction_bits} fraction bits (±{})",
                range(*fraction_bits)
            ),
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
        self.status.len() - self.ok() - self.out_of_range()
    }

    /// Number of trajectories that left the range of fixed point.
    #[must_use]
    pub fn out_of_range(&self) -> usize {
        self.status.iter().filter(|s| matches!(s, TrajectoryStatus::OutOfRange { .. })).count()
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

/// States at the save times.
#[derive(Clone, Debug)]
pub struct Solution {
    /// `[time, batch, dim]`. Rows of a failed trajectory hold what the solver computed, from some time on NaN or infinity.
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
    /// Per trajectory the largest component; infinite for a failed trajectory.
    pub per_trajectory: Vec<f32>,
    /// Fixed point: words of the state, over all trajectories and failed ones too, that differ from the initial ones.
    /// Always zero in a result; `None` for floats.
    pub words_differing: Option<u64>,
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
