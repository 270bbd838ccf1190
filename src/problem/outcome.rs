//! What comes back from a solve or a gradient.

use ndarray::{Array2, Array3};
use serde::Serialize;

use super::estimate::ErrorEstimate;
use super::status::TrajectoryStatus;
use super::warning::Warning;
use crate::gpu::KernelTime;
use crate::plan::{FieldEvaluations, MemoryPlan};
use crate::solver::{Adjoint, TimeGradient};

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
