//! The way there and back: the commands of the forward pass and of the reverse pass with its adjoint.

use std::sync::Arc;

use super::buffers::Slot;
use super::call::{FIRST, LAST, OuterCall, StepCall};
use super::kernel::{Kernel, Lane, StepKernel, Terms};
use super::outer::Outer;
use super::program::{Binding, Command, Program};
use super::schedule::WINDOW;
use super::shape::Shape;
use super::solve::{Observe, Plan};
use super::steps::{Chunk, chunks};
use super::track::Track;
use super::word;
use crate::error::Result;
use crate::solver::Adjoint;

impl Plan {
    /// From the initial states to t1, keeping on the way what the adjoint asks for.
    pub(crate) fn forward(&self, observe: Observe) -> Result<Program> {
        let mut program = Program::default();
        match self.spec.method.pair() {
            Some(_) => self.start_pair(&mut program)?,
            None => {
                // Nothing has been rounded away yet.
                program.clear(Slot::State);
                program.copy((Slot::Initial, 0), (Slot::State, 0), self.shape.state_bytes());
            }
        }
        if self.shape.keeping.revolve {
            self.revolve_forward(&mut program, observe)?;
            return self.finished(program, observe);
        }
        for (number, segment) in self.segments(self.shape.forward_steps).into_iter().enumerate() {
            if self.checkpointed() {
                self.keep(&mut program, number);
            } else if self.anchored() && number > 0 {
                self.keep(&mut program, number - 1);
            }
            self.forward_segment(&mut program, &segment, observe, self.keeps_states())?;
        }
        self.finished(program, observe)
    }

    /// With the verdict on a pair, and the states between steps, unless their cotangents are there already.
    fn finished(&self, mut program: Program, observe: Observe) -> Result<Program> {
        if self.spec.method.pair().is_some() {
            self.finish_pair(&mut program)?;
        }
        if self.spec.grid.is_dense() && observe == Observe::Save {
            self.interpolate(&mut program, observe)?;
        }
        Ok(program)
    }

    /// From t1 back to the initial states, with the adjoint and the parameter gradient.
    pub(crate) fn reverse(&self) -> Result<Program> {
        let mut program = Program::default();
        if !self.spec.wrt.reverses() {
            return Ok(program);
        }
        for slot in [Slot::Adjoint, Slot::Partials, Slot::Drift] {
            if self.memory.bytes(slot) > 0 {
                program.clear(slot);
            }
        }
        self.cost_adjoint(&mut program)?;
        if self.spec.grid.is_dense() {
            self.interpolate_back(&mut program)?;
        }
        if self.shape.keeping.revolve {
            self.revolve_reverse(&mut program)?;
            return self.sum_gradient(program);
        }
        let segments = self.segments(self.shape.reverse_steps);
        let again = self.segments(self.shape.forward_steps);
        for (number, segment) in segments.iter().enumerate().rev() {
            // What the last segment needs is still there from the forward pass.
            if number + 1 < segments.len() {
                if self.checkpointed() {
                    self.restore(&mut program, number);
                    self.forward_segment(&mut program, &again[number], Observe::Again, true)?;
                } else if self.anchored() {
                    self.compare(&mut program, self.anchor(number))?;
                    self.restore(&mut program, number);
                }
            }
            self.reverse_segment(&mut program, segment)?;
        }
        self.sum_gradient(program)
    }

    fn checkpointed(&self) -> bool {
        self.spec.way_back() == Some(Adjoint::Checkpointed)
    }

    /// True if a reconstruction starts anew at every segment's end.
    fn anchored(&self) -> bool {
        self.spec.way_back() == Some(Adjoint::Backsolve) && self.shape.keeping.anchors > 0
    }

    pub(super) fn keeps_states(&self) -> bool {
        self.spec.way_back().is_some_and(|a| a.keeps_states())
    }

    /// The state into an anchor's place.
    pub(super) fn keep(&self, program: &mut Program, place: usize) {
        let bytes = self.shape.kept_bytes();
        program.copy((Slot::State, 0), (Slot::Anchors, place as u64 * bytes), bytes);
    }

    fn anchor(&self, place: usize) -> Binding {
        let bytes = self.shape.kept_bytes();
        Binding { slot: Slot::Anchors, offset: place as u64 * bytes, bytes: Some(bytes) }
    }

    /// The state out of an anchor's place.
    pub(super) fn restore(&self, program: &mut Program, place: usize) {
        let bytes = self.shape.kept_bytes();
        program.copy((Slot::Anchors, place as u64 * bytes), (Slot::State, 0), bytes);
    }

    /// The dispatches of each segment: at most `most` steps in one.
    fn segments(&self, most: u64) -> Vec<Vec<Chunk>> {
        let segment = self.shape.keeping.segment;
        let mut segments: Vec<Vec<Chunk>> = Vec::new();
        for chunk in chunks(&self.track, 0..self.track.entries, most, segment, self.shape.window_slots) {
            let number = usize::try_from(chunk.first as u64 / segment).unwrap_or(usize::MAX);
            if number == segments.len() {
                segments.push(Vec::new());
            }
            segments[number].push(chunk);
        }
        segments
    }

    /// Advances the state through a segment, and with `keep` stores the states on the way.
    pub(super) fn forward_segment(
        &self,
        program: &mut Program,
        segment: &[Chunk],
        observe: Observe,
        keep: bool,
    ) -> Result<()> {
        if self.spec.method.pair().is_some() {
            return self.pair_forward(program, segment, observe, keep);
        }
        // Reconstruction is a matter of the way back.
        let adjoint = keep.then_some(Adjoint::Stored);
        let terms = Terms { clock: false, ..self.shape.terms };
        let lane = self.shape.arrangement.forward;
        let kernel = Arc::new(Kernel::StepForward(StepKernel { adjoint, terms, lane, ..self.step_kernel() }));
        for chunk in segment {
            program.commands.push(Command::Window(chunk.first / WINDOW));
            for tile in Tiles::new(self.shape.stride, self.shape.forward_tile) {
                let mut bindings: Vec<Binding> = vec![Slot::Weights.into(), Slot::Schedule.into(), Slot::State.into()];
                bindings.extend([self.observed(chunk), Slot::Status.into(), Slot::Measures.into()]);
                bindings.extend(self.stored(chunk).filter(|_| keep));
                bindings.extend(self.shape.terms.estimate.map(|_| Binding::from(Slot::Estimates)));
                bindings.extend(self.reference());
                let call = StepCall { mode: self.mode(observe), ..self.step_call(chunk, tile.first)? };
                let flops = self.step_flops(chunk, tile.count);
                let groups = groups(self.shape.arrangement.forward, tile.count);
                program.dispatch(kernel.clone(), bindings, groups, &call, flops);
            }
        }
        Ok(())
    }

    /// Walks back through a segment. Mirror of [`Self::forward_segment`].
    pub(super) fn reverse_segment(&self, program: &mut Program, segment: &[Chunk]) -> Result<()> {
        if self.spec.method.pair().is_some() {
            return self.pair_reverse(program, segment);
        }
        let kernel = Arc::new(match self.spec.adjoint {
            Some(Adjoint::Continuous) => Kernel::ContinuousReverse(self.step_kernel()),
            _ => Kernel::StepReverse(self.step_kernel()),
        });
        let lanes = self.shape.arrangement.reverse.own_trajectories();
        let inside = self.shape.inside.is_some();
        for chunk in segment.iter().rev() {
            program.commands.push(Command::Window(chunk.first / WINDOW));
            for tile in Tiles::new(self.shape.stride, self.shape.reverse_tile) {
                let mut bindings: Vec<Binding> =
                    vec![Slot::Weights.into(), Slot::Schedule.into(), Slot::State.into(), Slot::Adjoint.into()];
                bindings.extend([self.observed(chunk), Slot::Status.into()]);
                bindings.push(if inside { Slot::Partials.into() } else { Slot::Scratch.into() });
                bindings.extend(self.stored(chunk));
                bindings.extend(self.reference());
                let call = StepCall {
                    mode: self.ends(chunk),
                    event: self.segment(chunk.first)?,
                    rows: self.shape.rows / lanes,
                    tile: tile.count / lanes,
                    ..self.step_call(chunk, tile.first)?
                };
                let flops = 4 * self.step_flops(chunk, tile.count);
                let groups = groups(self.shape.arrangement.reverse, tile.count);
                program.dispatch(kernel.clone(), bindings, groups, &call, flops);
                if !inside {
                    self.outer_product_of(program, self.evaluation_rows(chunk), tile.count)?;
                }
            }
        }
        Ok(())
    }

    /// Rows of scratch, for each trajectory, that the evaluations of a chunk take.
    pub(super) fn evaluation_rows(&self, chunk: &Chunk) -> u64 {
        chunk.count as u64 * u64::from(self.shape.stages * self.shape.terms.evaluation_rows())
    }

    /// dJ/dθ, if it is wanted, from the scratch that a dispatch has filled.
    pub(super) fn outer_product_of(&self, program: &mut Program, rows: u64, trajectories: u32) -> Result<()> {
        let used = rows * u64::from(trajectories);
        if used == 0 || !self.spec.wrt.theta {
            return Ok(());
        }
        let outer = Outer::from(self.shape.arrangement.other);
        let rectangles = self.shape.rectangles;
        let call = OuterCall {
            rectangles,
            rows: self.shape.rows / 4,
            used: word(used / 4, "scratch rows")?,
            slice: self.shape.slice_quads(),
            parameters: self.shape.parameters,
        };
        let slices = (used / 4).div_ceil(u64::from(call.slice));
        let groups = [word(outer.groups(rectangles.into()), "rectangles")?, word(slices, "slices")?];
        let bindings = vec![Slot::Scratch.into(), Slot::Rectangles.into(), Slot::Partials.into()];
        let flops = used * self.spec.field.flops();
        program.dispatch(Kernel::OuterProduct(outer), bindings, groups, &call, flops);
        Ok(())
    }

    fn step_kernel(&self) -> StepKernel {
        StepKernel {
            field: self.spec.field.clone(),
            stages: self.shape.stages,
            lane: self.shape.arrangement.reverse,
            // For the kernels a checkpointed segment is a stored one.
            adjoint: self.spec.adjoint.map(|a| if a.is_exact() { Adjoint::Stored } else { a }),
            terms: Terms { estimate: None, ..self.shape.terms },
        }
    }

    /// What a forward pass does on the way.
    pub(super) fn mode(&self, observe: Observe) -> u32 {
        observe.mode(self.spec.grid.is_dense())
    }

    /// Whether a chunk has the first or the last step of the grid.
    fn ends(&self, chunk: &Chunk) -> u32 {
        let last = chunk.count > 0 && chunk.first + chunk.count == self.track.entries;
        let first = if chunk.first == 0 && chunk.count > 0 { FIRST } else { 0 };
        first | if last { LAST } else { 0 }
    }

    /// The segment of the grid, between kept boundaries, t0 and t1, that an entry lies in.
    fn segment(&self, entry: usize) -> Result<u32> {
        word(self.track.saves.partition_point(|&s| s <= entry) as u64, "save times")
    }

    /// The reference of the running cost, if the kernels look at one.
    pub(super) fn reference(&self) -> Option<Binding> {
        self.shape.terms.reference.map(|_| Slot::Reference.into())
    }

    pub(super) fn step_call(&self, chunk: &Chunk, first_trajectory: u32) -> Result<StepCall> {
        Ok(StepCall {
            first_step: word((chunk.first % WINDOW) as u64, "steps")?,
            steps: word(chunk.count as u64, "steps")?,
            first_trajectory,
            batch: self.shape.batch,
            stride: self.shape.stride,
            slot_base: chunk.slot_base,
            outer_slot: chunk.outer_slot,
            step_number: word(chunk.first as u64, "steps")?,
            segment: self.segment((chunk.first + chunk.count).max(1) - 1)?,
            ..StepCall::default()
        })
    }

    pub(super) fn step_flops(&self, chunk: &Chunk, trajectories: u32) -> u64 {
        self.spec.field.flops() * u64::from(self.shape.stages) * chunk.count as u64 * u64::from(trajectories)
    }

    pub(super) fn observed(&self, chunk: &Chunk) -> Binding {
        let slots = self.shape.window_slots.min(self.shape.saves - chunk.slot_base);
        self.slots(chunk.slot_base, slots)
    }

    fn stored(&self, chunk: &Chunk) -> Option<Binding> {
        let bytes = self.shape.state_bytes();
        self.spec.way_back().filter(|a| a.is_exact()).map(|_| Binding {
            slot: Slot::Stored,
            offset: chunk.first as u64 % self.shape.keeping.segment * bytes,
            // A binding may not be empty.
            bytes: Some(chunk.count.max(1) as u64 * bytes),
        })
    }
}

/// Workgroups for so many trajectories.
pub(super) fn groups(lane: Lane, trajectories: u32) -> [u32; 2] {
    [trajectories / lane.group_trajectories(), 1]
}

/// Dispatches of the reverse pass that have entries, for one tile of the batch.
pub(super) fn reverse_dispatches(track: &Track, shape: &Shape) -> u64 {
    reverse_chunks(track, shape).iter().filter(|c| c.count > 0).count() as u64
}

fn reverse_chunks(track: &Track, shape: &Shape) -> Vec<Chunk> {
    chunks(track, 0..track.entries, shape.reverse_steps, shape.keeping.segment, shape.window_slots)
}

/// Additions of the reverse pass to the gradient's partials: one a dispatch, or one an evaluation.
pub(super) fn additions(track: &Track, shape: &Shape) -> u64 {
    let tiles = u64::from(shape.stride.div_ceil(shape.reverse_tile));
    match shape.inside {
        Some(_) => {
            reverse_chunks(track, shape).iter().map(|c| c.count as u64).sum::<u64>() * u64::from(shape.stages) * tiles
        }
        None => reverse_dispatches(track, shape) * tiles,
    }
}

/// A part of the batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tile {
    pub first: u32,
    pub count: u32,
}

/// Walks the batch in tiles.
pub(super) struct Tiles {
    next: u32,
    end: u32,
    size: u32,
}

impl Tiles {
    pub(super) fn new(end: u32, size: u32) -> Self {
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
