//! The programs of one pass: pack the weights, measure the loss, certify. The way there and back is in `passes`.

use super::accumulate::block;
use super::buffers::{MemoryPlan, Slot};
use super::call::{CertificateCall, DriftCall, PAY, SAVE};
use super::caps::Caps;
use super::dense;
use super::fold::fold;
use super::keep::{FieldEvaluations, evaluations};
use super::kernel::{Kernel, Words};
use super::memory::{check_memory, memory};
use super::passes::additions;
use super::program::{Binding, Program};
use super::reduce::{PARTIAL_RUN, reduce};
use super::schedule::write_window;
use super::shape::Shape;
use super::spec::Spec;
use super::track::Track;
use super::word;
use crate::error::Result;
use crate::solver::Adjoint;

/// Columns of the loss partials: sum of the losses, observations and trajectories that count, sum of the running costs.
pub(super) const LOSS_COLUMNS: u64 = 4;
/// Columns of the drift partials: largest, sum and number over trajectories that are finite to the end, words that
/// differ, largest distance of the copies.
pub(super) const DRIFT_COLUMNS: u64 = 5;
/// Those that take the maximum, as a mask.
const DRIFT_MAXIMA: u32 = 0b10001;

/// Places in [`Slot::Summary`]; mirror of shaders/summary.wgsl.
pub(crate) mod summary {
    /// Mean loss of the observations.
    pub(crate) const LOSS: usize = 0;
    /// Trajectories that count.
    pub(crate) const TRAJECTORIES: usize = 2;
    /// Sum of the losses; the next values are the numbers of observations and trajectories and the sum of the running costs.
    pub(crate) const SUMS: u32 = 3;
    /// Mean running cost, without the term ‖θ‖².
    pub(crate) const COST: usize = 7;
    /// Cotangent of a trajectory's running cost.
    pub(crate) const COST_SCALE: usize = 8;
    /// Largest drift; the next value is the sum of drifts.
    pub(crate) const DRIFT: u32 = 9;
    /// Trajectories that are finite after the reverse pass too.
    pub(crate) const SURVIVORS: usize = 11;
    /// Words of fixed point that differ from the initial ones after the reverse pass.
    pub(crate) const DIFFERING: usize = 12;
    /// Largest distance of the copies of a pair.
    pub(crate) const SPREAD: usize = 13;
    /// Norm of the gradient: its exponent, then its sum; see [`norm`](crate::plan::norm).
    pub(crate) const NORM: u32 = 14;
    /// The same of θ.
    pub(crate) const THETA: u32 = 16;
    /// Not 0 if an update would leave the finite numbers.
    pub(crate) const OVERFLOWING: usize = 18;
    /// Number of values.
    pub(crate) const LEN: usize = 19;
}

/// What the forward pass does at a save time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Observe {
    /// Write the state down.
    Save,
    /// Leave the observations alone: they hold cotangents. The running cost is paid.
    Cotangents,
    /// Nothing at all: this part of the way was walked before.
    Again,
}

impl Observe {
    /// Bits of [`StepCall::mode`](super::StepCall). On a dense grid the cotangents are those of the states in between.
    pub(super) fn mode(self, dense: bool) -> u32 {
        match self {
            Self::Save => SAVE | PAY,
            Self::Cotangents if dense => SAVE | PAY,
            Self::Cotangents => PAY,
            Self::Again => 0,
        }
    }
}

/// A planned pass: sizes and bytes, and the commands of its parts.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub spec: Spec,
    pub track: Track,
    pub shape: Shape,
    pub memory: MemoryPlan,
    /// Dispatches whose dJ/dθ is summed before it is added to the totals; `None` if there are no totals.
    pub(super) block: Option<u64>,
    /// True if the adjoint of a pair walks back itself: one evaluation for the inverse and the adjoint of an update. In
    /// fixed point only where a test has found that this kernel repeats the bits of the way there.
    pub(super) fused: bool,
    pub(super) caps: Caps,
}

/// What a pass takes.
pub(super) struct Sizes {
    pub shape: Shape,
    pub memory: MemoryPlan,
    /// As in [`Plan`].
    pub block: Option<u64>,
}

impl Sizes {
    /// Checks every limit.
    pub(super) fn new(spec: &Spec, track: &Track, caps: &Caps) -> Result<Self> {
        let shape = Shape::new(spec, track, caps)?;
        let block = block(additions(track, &shape) + dense::additions(spec, &shape, caps));
        let memory = memory(spec, &shape, block);
        check_memory(&memory, caps)?;
        Ok(Self { shape, memory, block })
    }
}

impl Plan {
    /// Plans a pass; every limit is checked here, before any allocation.
    pub(crate) fn new(spec: Spec, caps: &Caps) -> Result<Self> {
        let track = Track::new(spec.method, &spec.grid, spec.contraction)?;
        let Sizes { shape, block, memory } = Sizes::new(&spec, &track, caps)?;
        let fused = spec.adjoint == Some(Adjoint::Reversible);
        Ok(Self { spec, track, shape, memory, block, fused, caps: caps.clone() })
    }

    /// Evaluations of the field per trajectory.
    pub(crate) fn evaluations(&self) -> FieldEvaluations {
        evaluations(&self.spec, &self.shape, &self.track, self.fused)
    }

    /// States kept on the way, if the adjoint keeps any but those of one segment.
    pub(crate) fn anchors(&self) -> Option<u64> {
        match self.spec.adjoint {
            Some(Adjoint::Checkpointed) => Some(self.shape.keeping.anchors),
            // The last one is x(t1), which is at hand.
            Some(Adjoint::Backsolve) if self.shape.keeping.anchors > 0 => Some(self.shape.keeping.anchors + 1),
            _ => None,
        }
    }

    /// The uniform with the steps of window `index`.
    pub(crate) fn window(&self, index: usize) -> Result<Vec<u8>> {
        write_window(&self.spec, &self.track, index)
    }

    /// Forgets what was measured, and unless this is a second pass without them, which trajectories failed.
    pub(crate) fn start(&self, again: bool) -> Program {
        let mut program = Program::default();
        if !again {
            program.clear(Slot::Status);
        }
        program.clear(Slot::Measures);
        if self.shape.terms.estimate.is_some() {
            program.clear(Slot::Estimates);
        }
        program
    }

    /// After the reverse pass: per trajectory |x̂(t0) − x(t0)|, or if it is larger |x̂ − x| at an anchor, its maximum and sum, and how many trajectories are left.
    /// Not only for adjoints that reconstruct: any of them may meet a non-finite value on the way back.
    pub(crate) fn certificate(&self) -> Result<Program> {
        let mut program = Program::default();
        if !self.spec.wrt.reverses() {
            return Ok(program);
        }
        self.compare(&mut program, Slot::Initial.into())?;
        let batch = u64::from(self.shape.batch);
        let rows = batch.div_ceil(PARTIAL_RUN);
        let bindings = [Slot::Drift, Slot::Measures, Slot::Sums].map(Binding::from).to_vec();
        let fixed = u32::from(self.spec.arithmetic.words() != Words::Float);
        let call = DriftCall { count: self.shape.batch, stride: self.shape.stride, fixed };
        program.dispatch(Kernel::DriftPartials, bindings, fold(rows, 64, &self.caps)?, &call, batch);
        reduce(&mut program, &self.caps, Slot::Sums, rows, DRIFT_COLUMNS, DRIFT_MAXIMA, Slot::Summary, summary::DRIFT)?;
        Ok(program)
    }

    /// Compares the state that the reverse pass has come to with a known one; the larger of this and earlier distances
    /// stays.
    pub(super) fn compare(&self, program: &mut Program, known: Binding) -> Result<()> {
        let call = CertificateCall {
            dim: word(self.shape.dim, "components")?,
            stride: self.shape.stride,
            batch: self.shape.batch,
            copies: match self.spec.method.pair() {
                Some(_) if self.reconstructs() => 2,
                // The stored sources of a pair do not come back to the state.
                Some(_) => 0,
                None => 1,
            },
            failed: u32::from(!self.fused),
        };
        let bindings = vec![Slot::State.into(), known, Slot::Status.into(), Slot::Measures.into(), Slot::Drift.into()];
        let groups = fold(self.shape.batch.into(), 64, &self.caps)?;
        let words = self.spec.arithmetic.words();
        let kernel = if words == Words::Float { Kernel::Certificate } else { Kernel::CertificateFixed(words) };
        program.dispatch(kernel, bindings, groups, &call, self.shape.state_values());
        Ok(())
    }

    /// The observations `slot .. slot + slots`.
    pub(super) fn slots(&self, slot: u32, slots: u32) -> Binding {
        let bytes = self.shape.state_bytes();
        Binding { slot: Slot::Observed, offset: u64::from(slot) * bytes, bytes: Some(u64::from(slots) * bytes) }
    }
}
