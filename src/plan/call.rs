//! The numbers that kernels get per dispatch.

use bytemuck::{Pod, Zeroable};

/// Marks the absence of an observation.
pub(crate) const NO_SLOT: u32 = u32::MAX;

/// Numbers of a dispatch of `step_forward`, `step_reverse`, `pair_walk` or `pair_reverse`. Steps are entries of the track.
#[derive(Clone, Copy, Debug, Default, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct StepCall {
    /// First step of this dispatch within the schedule window.
    pub first_step: u32,
    pub steps: u32,
    /// First trajectory of this dispatch.
    pub first_trajectory: u32,
    /// Trajectories that exist; the rest up to `stride` is padding.
    pub batch: u32,
    /// Distance between components in state-like buffers.
    pub stride: u32,
    /// Observation index at the start of the bound window.
    pub slot_base: u32,
    /// Observation at the outer end of the dispatch (t0), or `NO_SLOT`.
    pub outer_slot: u32,
    /// Number of the dispatch's first step in the whole grid, for the status.
    pub step_number: u32,
    /// Reverse: distance between scratch units, in groups of the trajectories of an invocation.
    pub rows: u32,
    /// Reverse: rows of one evaluation, in the same groups.
    pub tile: u32,
    /// [`BACKWARD`], [`KEEP`], [`SAVE`], [`PAY`], [`FIRST`], [`LAST`].
    pub mode: u32,
    /// Pairs: contractions before the first update of a walk forward, or before the end of a walk back. Continuous adjoint:
    /// segment of the grid that the dispatch's first step lies in.
    pub event: u32,
    /// Pairs: bits that one contraction drops.
    pub bits: u32,
    /// `pair_start`: |t1 − t0|.
    pub span: f32,
    /// Reverse: segment of the grid, between knots, that the dispatch's last step lies in.
    pub segment: u32,
    /// Always 0. Mesa unrolls loops of up to 32 known trips that index arrays of as many elements, however long their body:
    /// text that takes a minute to compile and runs slower. The loops over units have this added to their bound.
    pub idle: u32,
}

/// Bit of [`StepCall::mode`]: walk back.
pub(crate) const BACKWARD: u32 = 1;
/// Bit of [`StepCall::mode`]: keep the source of every update.
pub(crate) const KEEP: u32 = 2;
/// Bit of [`StepCall::mode`]: write states at save times down.
pub(crate) const SAVE: u32 = 4;
/// Bit of [`StepCall::mode`]: add up the running cost, and estimate the errors of steps.
pub(crate) const PAY: u32 = 16;
/// Bit of [`StepCall::mode`]: the dispatch has the first step of the grid.
pub(crate) const FIRST: u32 = 32;
/// Bit of [`StepCall::mode`]: the dispatch has the last step of the grid.
pub(crate) const LAST: u32 = 64;

/// Numbers of `pair_finish`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct FinishCall {
    pub dim: u32,
    pub stride: u32,
    pub batch: u32,
    /// Relative distance of the copies beyond which a trajectory is worthless.
    pub parted: f32,
    /// Fixed point: what a resolution that is not small against a component does, as [`Coarse`].
    pub coarse: u32,
}

/// Numbers of `share_points`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct ShareCall {
    pub stride: u32,
    pub batch: u32,
}

/// Numbers of a dispatch over `count` elements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct CountCall {
    pub count: u32,
}

/// Numbers of `time_column`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct ShiftCall {
    /// Units of layer 0.
    pub units: u32,
    /// Its inputs, the last of which is the time.
    pub inputs: u32,
    /// Its first bias in θ.
    pub first_bias: u32,
    /// The time that the kernels count from, as a sum.
    pub high: f32,
    pub low: f32,
}

/// Numbers of `pack_weights`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct PackCall {
    pub count: u32,
    /// Units of layer 0 whose bias takes t0 up: none if the time does not enter or counts from zero.
    pub units: u32,
    pub inputs: u32,
    pub first_bias: u32,
    pub high: f32,
    pub low: f32,
    /// 1 if the activation of layer 0 has the period 2π.
    pub periodic: u32,
    /// Always 0, see [`StepCall::idle`].
    pub idle: u32,
}

/// Numbers of `outer_product`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct OuterCall {
    pub rectangles: u32,
    /// Distance between scratch units in groups of four rows.
    pub rows: u32,
    /// Groups of four rows in use.
    pub used: u32,
    /// Groups of four rows per slice.
    pub slice: u32,
    pub parameters: u32,
}

/// Numbers of `reduce`: `[rows, columns]` to `[ceil(rows / run), columns]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct ReduceCall {
    pub rows: u32,
    pub columns: u32,
    /// Bit c set: column c takes the maximum instead of the sum.
    pub maximum: u32,
    /// Offset of the result in values.
    pub target: u32,
}

/// Numbers of `norm_sums`: `[rows, 2]` to `[ceil(rows / run), 2]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct NormCall {
    pub rows: u32,
    /// Offset of the result in values.
    pub target: u32,
}

/// Numbers of `loss_limits`, `loss_partials`, `loss_cotangents` and `loss_parameters`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct LossCall {
    /// Elements of the bound window of observations.
    pub count: u32,
    pub stride: u32,
    pub dim: u32,
    pub batch: u32,
    /// First row of partials.
    pub first_row: u32,
    /// Rows of partials of this dispatch.
    pub rows: u32,
    /// 1 if the window holds the first observation, whose first component counts the trajectories.
    pub counts: u32,
    /// First parameter of the loss in θ.
    pub parameters: u32,
    /// Where the parabola of Huber's loss ends.
    pub delta: f32,
    /// Largest term that the sums over all observations can hold.
    pub most: f32,
}

/// Numbers of `loss_finish`: what of the same batch takes part in passes of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Elsewhere {
    pub observations: f32,
    pub trajectories: f32,
}

/// Numbers of `cost_adjoint`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct CostCall {
    /// First place in the adjoint.
    pub at: u32,
    pub count: u32,
}

/// Numbers of `cost_parameters`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct WeightCall {
    pub count: u32,
    /// 2 weight (t1 − t0).
    pub factor: f32,
}

/// Numbers of `certificate` and `certificate_fixed`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct CertificateCall {
    pub dim: u32,
    pub stride: u32,
    pub batch: u32,
    /// Copies that are compared: 2 for pairs, 1 otherwise.
    pub copies: u32,
    /// Fixed point: 1 if failed trajectories must come back too.
    pub failed: u32,
}

/// Numbers of `drift_partials`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct DriftCall {
    pub count: u32,
    pub stride: u32,
    /// 1 if the drifts are followed by the numbers of words that differ.
    pub fixed: u32,
}

/// Numbers of `foresee` and `update`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct OptimizerCall {
    pub count: u32,
    /// Step size: learning rate, for Adam divided by 1 − β₁ᵗ.
    pub rate: f32,
    /// Adam β₁ or SGD momentum.
    pub decay: f32,
    /// Adam 1 − β₁.
    pub share: f32,
    /// Adam √β₂.
    pub second_decay: f32,
    /// Adam √(1 − β₂).
    pub second_share: f32,
    /// Adam: 1 / √(1 − β₂ᵗ).
    pub correction: f32,
    pub epsilon: f32,
    /// 1 − learning rate × weight decay.
    pub shrink: f32,
    /// Largest allowed norm of the gradient; infinity for none.
    pub clip: f32,
    /// Values that shrink: the parameters of the field, not those of the loss.
    pub shrinking: u32,
}

/// Numbers of `gather`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct GatherCall {
    pub seed: u32,
    pub iteration: u32,
    pub batch: u32,
    pub stride: u32,
    pub dim: u32,
    /// Series in the data set.
    pub series: u32,
    /// Points per series.
    pub times: u32,
    /// Points per sample, the initial state included.
    pub window: u32,
    /// Windows that each series is cut into, to be taken in order; 0 to draw them.
    pub ordered: u32,
    /// The first of those.
    pub first: u32,
}
