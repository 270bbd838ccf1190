//! The programs of one pass: pack the weights, measure the loss, certify. The way there and back is in `passes`.

use super::accumulate::block;
use super::buffers::{MemoryPlan, Slot};
use super::caps::Caps;
use super::fold::fold;
use super::kernel::{CertificateCall, CountCall, DriftCall, FinishCall, Kernel, LossCall, Words};
use super::memory::{check_memory, memory};
use super::passes::additions;
use super::program::{Binding, Program};
use super::reduce::{PARTIAL_RUN, reduce};
use super::schedule::write_window;
use super::shape::{Shape, Spec};
use super::track::Track;
use super::word;
use crate::error::Result;
use crate::solver::Adjoint;

/// Columns of the loss partials: sum of squares, trajectories that count.
pub(super) const LOSS_COLUMNS: u64 = 2;
/// Columns of the drift partials: largest, sum and number over trajectories that are finite to the end, words that
/// differ, largest distance of the copies.
pub(super) const DRIFT_COLUMNS: u64 = 5;
/// Those that take the maximum, as a mask.
const DRIFT_MAXIMA: u32 = 0b10001;

/// Places in [`Slot::Summary`].
pub(crate) mod summary {
    /// Mean squared error.
    pub(crate) const LOSS: usize = 0;
    /// Factor from residuals to cotangents.
    pub(crate) const SCALE: usize = 1;
    /// Trajectories that count.
    pub(crate) const TRAJECTORIES: usize = 2;
    /// Sum of squared residuals; the next value is the number of trajectories as reduced.
    pub(crate) const SQUARES: u32 = 3;
    /// Largest drift; the next value is the sum of drifts.
    pub(crate) const DRIFT: u32 = 5;
    /// Trajectories that are finite after the reverse pass too.
    pub(crate) const SURVIVORS: usize = 7;
    /// Words of fixed point that differ from the initial ones after the reverse pass.
    pub(crate) const DIFFERING: usize = 8;
    /// Largest distance of the copies of a pair.
    pub(crate) const SPREAD: usize = 9;
    /// Squared norm of the gradient.
    pub(crate) const NORM: u32 = 10;
    /// Number of values.
    pub(crate) const LEN: usize = 11;
}

/// What the forward pass does at a save time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Observe {
    /// Write the state into the observations.
    Save = 0,
    /// Replace the target by the residual x − y.
    Residual = 1,
    /// Leave the observations alone: they hold cotangents.
    Nothing = 2,
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

impl Plan {
    /// Plans a pass; every limit is checked here, before any allocation.
    pub(crate) fn new(spec: Spec, caps: &Caps) -> Result<Self> {
        let track = Track::new(spec.method, &spec.grid, spec.contraction)?;
        let shape = Shape::new(&spec, &track, caps)?;
        let block = block(additions(&track, &shape));
        let memory = memory(&spec, &shape, block);
        check_memory(&memory, caps)?;
        let fused = spec.adjoint == Some(Adjoint::Reversible);
        Ok(Self { spec, track, shape, memory, block, fused, caps: caps.clone() })
    }

    /// The uniform with the steps of window `index`.
    pub(crate) fn window(&self, index: usize) -> Result<Vec<u8>> {
        write_window(self.spec.method, &self.spec.grid, &self.track, index)
    }

    /// Parameters into the kernels' layout.
    pub(crate) fn pack(&self) -> Result<Program> {
        let mut program = Program::default();
        let count = self.shape.layout.packed as u64;
        let call = CountCall { count: word(count, "packed weights")? };
        let bindings = vec![Slot::Theta.into(), Slot::PackTable.into(), Slot::Weights.into()];
        program.dispatch(Kernel::PackWeights, bindings, fold(count, 64, &self.caps)?, &call, count);
        Ok(program)
    }

    /// Forgets which trajectories failed.
    pub(crate) fn start(&self) -> Program {
        let mut program = Program::default();
        program.clear(Slot::Status);
        if self.memory.bytes(Slot::Spread) > 0 {
            program.clear(Slot::Spread);
        }
        program
    }

    /// Mean squared error of the residuals, and the factor that makes cotangents of them.
    pub(crate) fn loss(&self) -> Result<Program> {
        let mut program = Program::default();
        let shape = &self.shape;
        let mut first_row = 0;
        let mut slot = 0;
        while slot < shape.saves {
            let slots = shape.window_slots.min(shape.saves - slot);
            let count = u64::from(slots) * shape.state_values();
            let rows = count.div_ceil(PARTIAL_RUN);
            let call = LossCall {
                count: word(count, "observations of one binding")?,
                stride: shape.stride,
                batch: shape.batch,
                first_row: word(first_row, "loss partials")?,
                rows: word(rows, "loss partials")?,
                counts: u32::from(slot == 0),
            };
            let bindings = vec![self.slots(slot, slots), Slot::Status.into(), Slot::Sums.into()];
            program.dispatch(Kernel::LossPartials, bindings, fold(rows, 64, &self.caps)?, &call, count);
            first_row += rows;
            slot += slots;
        }
        reduce(&mut program, &self.caps, Slot::Sums, first_row, LOSS_COLUMNS, 0, Slot::Summary, summary::SQUARES)?;
        #[expect(clippy::cast_precision_loss, reason = "a factor of a mean, exact below 2^24")]
        let call = FinishCall { per_trajectory: (u64::from(shape.saves) * shape.dim) as f32 };
        program.dispatch(Kernel::LossFinish, vec![Slot::Summary.into()], [1, 1], &call, 1);
        Ok(program)
    }

    /// After the reverse pass: per trajectory |x̂(t0) − x(t0)|, or if it is larger |x̂ − x| at an anchor, its maximum and sum, and how many trajectories are left.
    /// Not only for adjoints that reconstruct: any of them may meet a non-finite value on the way back.
    pub(crate) fn certificate(&self) -> Result<Program> {
        let mut program = Program::default();
        self.compare(&mut program, Slot::Initial.into())?;
        let batch = u64::from(self.shape.batch);
        let rows = batch.div_ceil(PARTIAL_RUN);
        let bindings = [Slot::Drift, Slot::Spread, Slot::Sums].map(Binding::from).to_vec();
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
            fraction: self.spec.arithmetic.fraction_bits(),
            failed: u32::from(!self.fused),
        };
        let bindings = vec![Slot::State.into(), known, Slot::Status.into(), Slot::Drift.into()];
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
