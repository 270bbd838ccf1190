//! The programs of one pass: pack the weights, go forward, measure the loss, go back, reduce the gradient.

use std::sync::Arc;

use super::buffers::{MemoryPlan, Slot};
use super::caps::Caps;
use super::fold::fold;
use super::kernel::{CertificateCall, CountCall, FinishCall, Kernel, LossCall, OuterCall, StepCall, StepKernel};
use super::program::{Binding, Command, Program};
use super::reduce::{PARTIAL_RUN, reduce, sums_sizes};
use super::schedule::{WINDOW, schedule_bytes, write_window};
use super::shape::{Shape, Spec, Unit, limit};
use super::steps::{Chunk, chunks};
use super::word;
use crate::error::Result;
use crate::solver::Adjoint;

/// Columns of the loss partials: sum of squares, trajectories that count.
const LOSS_COLUMNS: u64 = 2;
/// Columns of the drift partials: largest, sum and number over trajectories that are finite to the end.
const DRIFT_COLUMNS: u64 = 3;

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
    /// Squared norm of the gradient.
    pub(crate) const NORM: u32 = 8;
    /// Number of values.
    pub(crate) const LEN: usize = 9;
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
    pub shape: Shape,
    pub memory: MemoryPlan,
    caps: Caps,
}

impl Plan {
    /// Plans a pass; every limit is checked here, before any allocation.
    pub(crate) fn new(spec: Spec, caps: &Caps) -> Result<Self> {
        let shape = Shape::new(&spec, caps)?;
        let memory = memory(&spec, &shape);
        check_memory(&memory, caps)?;
        Ok(Self { spec, shape, memory, caps: caps.clone() })
    }

    /// The uniform with the steps of window `index`.
    pub(crate) fn window(&self, index: usize) -> Result<Vec<u8>> {
        write_window(self.spec.method.tableau(), &self.spec.grid, index)
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
        program
    }

    /// From the initial states to t1. The checkpointed adjoint keeps the state before each segment on the way.
    pub(crate) fn forward(&self, observe: Observe) -> Result<Program> {
        let mut program = Program::default();
        let bytes = self.shape.state_bytes();
        program.copy((Slot::Initial, 0), (Slot::State, 0), bytes);
        for (number, segment) in self.segments(self.shape.forward_steps).into_iter().enumerate() {
            if self.checkpointed() {
                program.copy((Slot::State, 0), (Slot::Anchors, number as u64 * bytes), bytes);
            }
            self.forward_segment(&mut program, &segment, observe)?;
        }
        Ok(program)
    }

    /// From t1 back to the initial states, with the adjoint and the parameter gradient.
    pub(crate) fn reverse(&self) -> Result<Program> {
        let mut program = Program::default();
        program.clear(Slot::Adjoint);
        program.clear(Slot::Partials);
        let bytes = self.shape.state_bytes();
        let segments = self.segments(self.shape.reverse_steps);
        let again = self.segments(self.shape.forward_steps);
        for (number, segment) in segments.iter().enumerate().rev() {
            // The states of the last segment are still there from the forward pass.
            if self.checkpointed() && number + 1 < segments.len() {
                program.copy((Slot::Anchors, number as u64 * bytes), (Slot::State, 0), bytes);
                self.forward_segment(&mut program, &again[number], Observe::Nothing)?;
            }
            self.reverse_segment(&mut program, segment)?;
        }
        let slices = self.shape.slices();
        let parameters = u64::from(self.shape.parameters);
        reduce(&mut program, &self.caps, Slot::Partials, slices, parameters, 0, Slot::Gradient, 0)?;
        Ok(program)
    }

    fn checkpointed(&self) -> bool {
        self.spec.adjoint == Some(Adjoint::Checkpointed)
    }

    /// The dispatches of each segment: at most `most` steps in one.
    fn segments(&self, most: u64) -> Vec<Vec<Chunk>> {
        let segment = self.shape.segment;
        let mut segments: Vec<Vec<Chunk>> = Vec::new();
        for chunk in chunks(&self.spec.grid, most, segment, self.shape.window_slots) {
            let number = usize::try_from(chunk.first as u64 / segment).unwrap_or(usize::MAX);
            if number == segments.len() {
                segments.push(Vec::new());
            }
            segments[number].push(chunk);
        }
        segments
    }

    /// Advances the state through a segment.
    fn forward_segment(&self, program: &mut Program, segment: &[Chunk], observe: Observe) -> Result<()> {
        let kernel = Arc::new(Kernel::StepForward(StepKernel {
            // Reconstruction is a matter of the way back.
            adjoint: self.step_kernel().adjoint.filter(|a| *a == Adjoint::Stored),
            ..self.step_kernel()
        }));
        for chunk in segment {
            program.commands.push(Command::Window(chunk.first / WINDOW));
            for tile in Tiles::new(self.shape.stride, self.shape.forward_tile) {
                let mut bindings: Vec<Binding> = vec![Slot::Weights.into(), Slot::Schedule.into(), Slot::State.into()];
                bindings.extend([self.observed(chunk), Slot::Status.into()]);
                bindings.extend(self.stored(chunk));
                let call = StepCall { residual: observe as u32, ..self.step_call(chunk, tile.first)? };
                let flops = self.step_flops(chunk, tile.count);
                program.dispatch(kernel.clone(), bindings, self.groups(tile.count), &call, flops);
            }
        }
        Ok(())
    }

    /// Walks back through a segment. Mirror of [`Self::forward_segment`].
    fn reverse_segment(&self, program: &mut Program, segment: &[Chunk]) -> Result<()> {
        let kernel = Arc::new(Kernel::StepReverse(self.step_kernel()));
        let lanes = self.shape.lane.trajectories;
        for chunk in segment.iter().rev() {
            program.commands.push(Command::Window(chunk.first / WINDOW));
            for tile in Tiles::new(self.shape.stride, self.shape.reverse_tile) {
                let mut bindings: Vec<Binding> =
                    vec![Slot::Weights.into(), Slot::Schedule.into(), Slot::State.into(), Slot::Adjoint.into()];
                bindings.extend([self.observed(chunk), Slot::Status.into()]);
                bindings.extend([Slot::Scratch, Slot::Summary].map(Binding::from));
                bindings.extend(self.stored(chunk));
                let call = StepCall {
                    rows: self.shape.rows / lanes,
                    tile: tile.count / lanes,
                    ..self.step_call(chunk, tile.first)?
                };
                let flops = 4 * self.step_flops(chunk, tile.count);
                program.dispatch(kernel.clone(), bindings, self.groups(tile.count), &call, flops);
                let used = chunk.count as u64 * u64::from(self.shape.stages) * u64::from(tile.count);
                if used > 0 {
                    self.outer_product(program, used)?;
                }
            }
        }
        Ok(())
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

    /// After the reverse pass: per trajectory |x̂(t0) − x(t0)|, its maximum and sum, and how many trajectories are left.
    /// Not only for adjoints that reconstruct: any of them may meet a non-finite value on the way back.
    pub(crate) fn certificate(&self) -> Result<Program> {
        let mut program = Program::default();
        let batch = u64::from(self.shape.batch);
        let call = CertificateCall {
            dim: word(self.shape.dim, "components")?,
            stride: self.shape.stride,
            batch: self.shape.batch,
        };
        let bindings = [Slot::State, Slot::Initial, Slot::Status, Slot::Drift].map(Binding::from).to_vec();
        let groups = fold(batch, 64, &self.caps)?;
        program.dispatch(Kernel::Certificate, bindings, groups, &call, self.shape.state_values());
        let rows = batch.div_ceil(PARTIAL_RUN);
        let bindings = [Slot::Drift, Slot::Sums].map(Binding::from).to_vec();
        let call = CountCall { count: self.shape.batch };
        program.dispatch(Kernel::DriftPartials, bindings, fold(rows, 64, &self.caps)?, &call, batch);
        reduce(&mut program, &self.caps, Slot::Sums, rows, DRIFT_COLUMNS, 1, Slot::Summary, summary::DRIFT)?;
        Ok(program)
    }

    fn outer_product(&self, program: &mut Program, used: u64) -> Result<()> {
        let blocks = self.shape.layout.blocks as u64;
        let call = OuterCall {
            blocks: word(blocks, "gradient blocks")?,
            rows: self.shape.rows / 4,
            used: word(used / 4, "scratch rows")?,
            slice: self.shape.slice_quads(),
            parameters: self.shape.parameters,
        };
        let slices = (used / 4).div_ceil(u64::from(call.slice));
        let group = u64::from(self.shape.lane.workgroup);
        let groups = [word(blocks.div_ceil(group), "gradient blocks")?, word(slices, "slices")?];
        let bindings = vec![Slot::Scratch.into(), Slot::Blocks.into(), Slot::Partials.into()];
        let flops = used * self.spec.field.flops();
        program.dispatch(Kernel::OuterProduct(self.shape.lane.workgroup), bindings, groups, &call, flops);
        Ok(())
    }

    fn step_kernel(&self) -> StepKernel {
        StepKernel {
            field: self.spec.field.clone(),
            stages: self.shape.stages,
            lane: self.shape.lane,
            // For the kernels a checkpointed segment is a stored one.
            adjoint: self.spec.adjoint.map(|a| if a.is_exact() { Adjoint::Stored } else { a }),
        }
    }

    fn step_call(&self, chunk: &Chunk, first_trajectory: u32) -> Result<StepCall> {
        Ok(StepCall {
            first_step: word((chunk.first % WINDOW) as u64, "steps")?,
            steps: word(chunk.count as u64, "steps")?,
            first_trajectory,
            batch: self.shape.batch,
            stride: self.shape.stride,
            slot_base: chunk.slot_base,
            outer_slot: chunk.outer_slot,
            step_number: word(chunk.first as u64, "steps")?,
            ..StepCall::default()
        })
    }

    fn step_flops(&self, chunk: &Chunk, trajectories: u32) -> u64 {
        self.spec.field.flops() * u64::from(self.shape.stages) * chunk.count as u64 * u64::from(trajectories)
    }

    fn groups(&self, trajectories: u32) -> [u32; 2] {
        [trajectories / self.shape.lane.group_trajectories(), 1]
    }

    /// The observations `slot .. slot + slots`.
    fn slots(&self, slot: u32, slots: u32) -> Binding {
        let bytes = self.shape.state_bytes();
        Binding { slot: Slot::Observed, offset: u64::from(slot) * bytes, bytes: Some(u64::from(slots) * bytes) }
    }

    fn observed(&self, chunk: &Chunk) -> Binding {
        let slots = self.shape.window_slots.min(self.shape.saves - chunk.slot_base);
        self.slots(chunk.slot_base, slots)
    }

    fn stored(&self, chunk: &Chunk) -> Option<Binding> {
        let bytes = self.shape.state_bytes();
        self.spec.adjoint.filter(|a| a.is_exact()).map(|_| Binding {
            slot: Slot::Stored,
            offset: chunk.first as u64 % self.shape.segment * bytes,
            // A binding may not be empty.
            bytes: Some(chunk.count.max(1) as u64 * bytes),
        })
    }
}

/// Every buffer of a pass. With an adjoint the loss buffers are there too: their size does not depend on the steps.
fn memory(spec: &Spec, shape: &Shape) -> MemoryPlan {
    let mut memory = MemoryPlan::default();
    let parameters = u64::from(shape.parameters);
    let packed = shape.layout.packed as u64;
    memory.add(Slot::Theta, parameters);
    memory.add(Slot::Weights, packed);
    memory.add(Slot::PackTable, packed);
    memory.add(Slot::Schedule, schedule_bytes() / 4);
    memory.add(Slot::Initial, shape.state_values());
    memory.add(Slot::State, shape.state_values());
    memory.add(Slot::Observed, u64::from(shape.saves) * shape.state_values());
    memory.add(Slot::Status, u64::from(shape.stride));
    let Some(adjoint) = spec.adjoint else { return memory };
    memory.add(Slot::Adjoint, shape.state_values());
    memory.add(Slot::Scratch, u64::from(shape.rows) * shape.layout.units as u64);
    memory.add(Slot::Blocks, 8 * shape.layout.blocks as u64);
    memory.add(Slot::Partials, shape.slices() * parameters);
    memory.add(Slot::Gradient, parameters);
    memory.add(Slot::Summary, summary::LEN as u64);
    memory.add(Slot::Drift, u64::from(shape.stride));
    if adjoint.is_exact() {
        memory.add(Slot::Stored, shape.segment * shape.state_values());
    }
    if adjoint == Adjoint::Checkpointed {
        memory.add(Slot::Anchors, shape.segments() * shape.state_values());
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

/// A part of the batch.
#[derive(Clone, Copy, Debug)]
struct Tile {
    first: u32,
    count: u32,
}

/// Walks the batch in tiles.
struct Tiles {
    next: u32,
    end: u32,
    size: u32,
}

impl Tiles {
    fn new(end: u32, size: u32) -> Self {
        Self { next: 0, end, size }
    }
}

impl Iterator for Tiles {
    type Item = Tile;

    fn next(&mut self) -> Option<Tile> {
        let count = self.size.min(self.end - self.next);
        let tile = Tile { first: self.next, count };
        self.next += count;
        (count > 0).then_some(tile)
    }
}
