//! Every buffer of a pass and its size.

use super::buffers::{MemoryPlan, Slot};
use super::caps::Caps;
use super::dense::{Interpolation, TIME_PARTS};
use super::errors::estimate_rows;
use super::inside::SumRow;
use super::kernel::Words;
use super::limits::{Unit, limit};
use super::outer::Rectangle;
use super::reduce::{PARTIAL_RUN, sums_sizes};
use super::schedule::schedule_bytes;
use super::shape::Shape;
use super::solve::{DRIFT_COLUMNS, LOSS_COLUMNS, summary};
use super::spec::Spec;
use crate::error::Result;
use crate::solver::Adjoint;

/// Every buffer of a pass. With an adjoint the loss buffers are there too: their size does not depend on the steps.
pub(super) fn memory(spec: &Spec, shape: &Shape, block: Option<u64>) -> MemoryPlan {
    let mut memory = MemoryPlan::default();
    let parameters = u64::from(shape.parameters);
    let packed = shape.layout.packed as u64;
    let loss_parameters = u64::from(shape.loss_parameters);
    memory.add(Slot::Theta, parameters + loss_parameters);
    memory.add(Slot::Weights, packed);
    memory.add(Slot::PackTable, packed);
    memory.add(Slot::Schedule, schedule_bytes() / 4);
    memory.add(Slot::Initial, shape.state_values());
    memory.add(Slot::State, shape.state_buffer_values());
    memory.add(Slot::Observed, u64::from(shape.saves) * shape.state_values());
    memory.add(Slot::Status, u64::from(shape.stride));
    if spec.method.pair().is_some() {
        memory.add(Slot::Stored, shape.stored * shape.state_values());
        if spec.arithmetic.words() != Words::Float {
            memory.add(Slot::BitLog, shape.log_words * shape.state_values());
            memory.add(Slot::AskedPoints, shape.asked_values());
        }
    }
    if shape.spilled > 0 {
        memory.add(Slot::Spilled, shape.spilled);
    }
    memory.add(Slot::Measures, shape.measures_values());
    if shape.terms.estimate.is_some() {
        memory.add(Slot::Estimates, estimate_rows(shape.dim) * shape.estimated);
    }
    if let Some(values) = reference_values(spec, shape) {
        memory.add(Slot::Reference, values);
    }
    let observed = u64::from(shape.observations) * shape.state_values();
    if spec.grid.is_dense() {
        memory.add(Slot::Outputs, observed);
        memory.add(Slot::DenseTable, u64::from(shape.observations) * (size_of::<Interpolation>() / 4) as u64);
    }
    if spec.adjoint.is_none() {
        return memory;
    }
    memory.add(Slot::Targets, observed);
    if spec.weighted {
        memory.add(Slot::Weighting, observed);
    }
    memory.add(Slot::Gradient, parameters + loss_parameters);
    memory.add(Slot::Summary, summary::LEN as u64);
    if let Some(adjoint) = spec.way_back() {
        way_back(&mut memory, spec, shape, adjoint, block);
    }
    let window = u64::from(shape.loss_window) * shape.state_values();
    let loss_rows = u64::from(shape.observations).div_ceil(shape.loss_window.into()) * window.div_ceil(PARTIAL_RUN);
    // Rows over single components, for the parameters of the loss.
    let scale_rows = loss_rows.div_ceil(shape.dim) + u64::from(shape.observations);
    let scales = sums_sizes(scale_rows, if loss_parameters > 0 { shape.dim } else { 0 });
    let gradient = sums_sizes(shape.partial_rows(), shape.partial_columns());
    let loss = sums_sizes(loss_rows, LOSS_COLUMNS);
    let partials = (loss_rows * LOSS_COLUMNS).max(scale_rows * loss_parameters);
    let drift = u64::from(shape.batch).div_ceil(PARTIAL_RUN) * DRIFT_COLUMNS;
    let norm = 2 * (parameters + loss_parameters).div_ceil(PARTIAL_RUN);
    memory.add(Slot::Sums, partials.max(gradient[0]).max(drift).max(norm));
    memory.add(Slot::SumsOfSums, gradient[1].max(loss[0]).max(scales[0]).max(drift).max(norm));
    memory
}

/// What the way back takes.
fn way_back(memory: &mut MemoryPlan, spec: &Spec, shape: &Shape, adjoint: Adjoint, block: Option<u64>) {
    if spec.grid.is_dense() {
        memory.add(Slot::Ends, u64::from(shape.saves) * shape.state_values());
        let parts = if shape.terms.clock { TIME_PARTS as u64 } else { 0 };
        memory.add(Slot::DenseTimes, parts * u64::from(shape.observations) * u64::from(shape.stride));
    }
    memory.add(Slot::Adjoint, shape.adjoint_values() + shape.adjoint_extra());
    if shape.inside.is_none() {
        memory.add(Slot::Scratch, u64::from(shape.rows) * shape.layout.units as u64);
    }
    if spec.wrt.theta {
        match &shape.inside {
            Some(SumRow::Units(_)) => {
                memory.add(Slot::SumTable, shape.parameters.into());
                memory.add(Slot::SumRow, shape.partial_columns());
            }
            Some(SumRow::Flat { .. }) => (),
            None => memory.add(Slot::Rectangles, u64::from(shape.rectangles) * (size_of::<Rectangle>() / 4) as u64),
        }
        memory.add(Slot::Partials, shape.partials());
        // An adjoint whose memory does not depend on the number of steps has them even if they are not needed.
        if block.is_some() || !adjoint.keeps_states() {
            memory.add(Slot::Totals, shape.partials());
        }
    }
    let columns = if spec.arithmetic.words() == Words::Float { 2 } else { 3 };
    memory.add(Slot::Drift, columns * u64::from(shape.stride));
    if spec.method.pair().is_none() && adjoint.keeps_states() {
        memory.add(Slot::Stored, shape.stored * shape.state_values());
    }
    if shape.keeping.anchors > 0 {
        memory.add(Slot::Anchors, shape.keeping.anchors * shape.kept_values());
    }
}

/// Values of the reference of the running cost, if it has one: times, values and slopes.
pub(super) fn reference_values(spec: &Spec, shape: &Shape) -> Option<u64> {
    let reference = shape.terms.reference?;
    let batch = if reference.shared { 1 } else { u64::from(shape.stride) };
    let dim = spec.field.dim() as u64;
    Some(u64::from(reference.times) * (1 + 2 * dim * batch))
}

/// Every buffer must exist, and those that dispatches see as a whole must fit one binding.
pub(super) fn check_memory(memory: &MemoryPlan, caps: &Caps) -> Result<()> {
    // The kernels of a dense grid see all save times at once.
    let dense = memory.bytes(Slot::Outputs) > 0;
    for &(slot, bytes) in memory.entries() {
        let allowed = match slot {
            Slot::Observed | Slot::Targets | Slot::Weighting if !dense => caps.max_buffer,
            Slot::Stored | Slot::Anchors => caps.max_buffer,
            _ => caps.max_binding.min(caps.max_buffer),
        };
        let remedy = "use a smaller batch, fewer save times or narrower layers";
        limit(caps, &format!("buffer {slot:?}"), bytes, allowed, Unit::Bytes, remedy)?;
    }
    Ok(())
}
