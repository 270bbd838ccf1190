//! Every buffer of a pass and its size.

use super::buffers::{MemoryPlan, Slot};
use super::caps::Caps;
use super::kernel::Words;
use super::reduce::{PARTIAL_RUN, sums_sizes};
use super::schedule::schedule_bytes;
use super::shape::{Shape, Spec, Unit, limit};
use super::solve::{DRIFT_COLUMNS, LOSS_COLUMNS, summary};
use crate::error::Result;

/// Every buffer of a pass. With an adjoint the loss buffers are there too: their size does not depend on the steps.
pub(super) fn memory(spec: &Spec, shape: &Shape, block: Option<u64>) -> MemoryPlan {
    let mut memory = MemoryPlan::default();
    let parameters = u64::from(shape.parameters);
    let packed = shape.layout.packed as u64;
    memory.add(Slot::Theta, parameters);
    memory.add(Slot::Weights, packed);
    memory.add(Slot::PackTable, packed);
    memory.add(Slot::Schedule, schedule_bytes() / 4);
    memory.add(Slot::Initial, shape.state_values());
    memory.add(Slot::State, shape.kept_values());
    memory.add(Slot::Observed, u64::from(shape.saves) * shape.state_values());
    memory.add(Slot::Status, u64::from(shape.stride));
    if spec.method.pair().is_some() {
        memory.add(Slot::Stored, shape.stored * shape.state_values());
        if spec.arithmetic.words() != Words::Float {
            memory.add(Slot::BitLog, shape.log_words * shape.state_values());
        }
    }
    if spec.method.pair().is_some() || spec.adjoint.is_some() {
        memory.add(Slot::Spread, u64::from(shape.stride));
    }
    let Some(adjoint) = spec.adjoint else { return memory };
    memory.add(Slot::Adjoint, shape.adjoint_values());
    memory.add(Slot::Scratch, u64::from(shape.rows) * shape.layout.units as u64);
    memory.add(Slot::Blocks, 8 * shape.layout.blocks as u64);
    memory.add(Slot::Partials, shape.slices() * parameters);
    // An adjoint whose memory does not depend on the number of steps has them even if they are not needed.
    if block.is_some() || !adjoint.keeps_states() {
        memory.add(Slot::Totals, shape.slices() * parameters);
    }
    memory.add(Slot::Gradient, parameters);
    memory.add(Slot::Summary, summary::LEN as u64);
    let columns = if spec.arithmetic.words() == Words::Float { 1 } else { 2 };
    memory.add(Slot::Drift, columns * u64::from(shape.stride));
    if spec.method.pair().is_none() && adjoint.keeps_states() {
        memory.add(Slot::Stored, shape.stored * shape.state_values());
    }
    if shape.keeping.anchors > 0 {
        memory.add(Slot::Anchors, shape.keeping.anchors * shape.kept_values());
    }
    let window = u64::from(shape.window_slots) * shape.state_values();
    let loss_rows = u64::from(shape.saves).div_ceil(u64::from(shape.window_slots)) * window.div_ceil(PARTIAL_RUN);
    let gradient = sums_sizes(shape.slices(), parameters);
    let loss = sums_sizes(loss_rows, LOSS_COLUMNS);
    let partials = loss_rows * LOSS_COLUMNS;
    let drift = u64::from(shape.batch).div_ceil(PARTIAL_RUN) * DRIFT_COLUMNS;
    let norm = parameters.div_ceil(PARTIAL_RUN);
    memory.add(Slot::Sums, partials.max(gradient[0]).max(drift).max(norm));
    memory.add(Slot::SumsOfSums, gradient[1].max(loss[0]).max(drift).max(norm));
    memory
}

/// Every buffer must exist, and those that dispatches see as a whole must fit one binding.
pub(super) fn check_memory(memory: &MemoryPlan, caps: &Caps) -> Result<()> {
    for &(slot, bytes) in memory.entries() {
        let allowed = match slot {
            Slot::Observed | Slot::Stored | Slot::Anchors => caps.max_buffer,
            _ => caps.max_binding.min(caps.max_buffer),
        };
        let remedy = "use a smaller batch, fewer save times or narrower layers";
        limit(caps, &format!("buffer {slot:?}"), bytes, allowed, Unit::Bytes, remedy)?;
    }
    Ok(())
}
