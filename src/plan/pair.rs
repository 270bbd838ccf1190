//! The way there and back of a pair of states. Mirror of the segments of single states in `passes`.

use std::sync::Arc;

use super::arrangement::KernelOptions;
use super::buffers::Slot;
use super::call::{BACKWARD, FinishCall, KEEP, ShareCall, StepCall};
use super::fold::fold;
use super::kernel::{Kernel, PairKernel, Sources, Terms, Words};
use super::passes::{Tiles, groups};
use super::program::{Binding, Command, Program};
use super::schedule::WINDOW;
use super::solve::{Observe, Plan};
use super::steps::Chunk;
use super::word;
use crate::error::Result;
use crate::solver::Adjoint;

impl Plan {
    /// True if the states of the way back are those that the reverse walk finds, chunk by chunk.
    pub(super) fn reconstructs(&self) -> bool {
        self.spec.adjoint.is_some_and(|a| !a.keeps_states())
    }

    /// The kernel of the way there, and the one that would walk back and pull the adjoint back in one, if the states are to
    /// come back bit for bit: the second must repeat the bits of the first.
    pub(crate) fn fused_kernels(&self) -> Option<(Kernel, Kernel)> {
        let pull = PairKernel { sources: Sources::Walked, ..self.pair_kernel() };
        let exact = self.spec.adjoint == Some(Adjoint::Exact);
        exact.then(|| (Kernel::PairWalk(self.walk_kernel()), Kernel::PairReverse(pull)))
    }

    /// The arrangement of the way there, as options that make another plan choose it too.
    pub(crate) fn arrangement(&self) -> KernelOptions {
        self.shape.arrangement.forward.into()
    }

    /// Whether that kernel is used; programs made before are those of the other way.
    pub(crate) fn set_fused(&mut self, fused: bool) {
        self.fused = fused;
    }

    /// True if it is.
    pub(crate) fn is_fused(&self) -> bool {
        self.fused
    }

    /// Initial states into both copies.
    pub(super) fn start_pair(&self, program: &mut Program) -> Result<()> {
        let bytes = self.shape.state_bytes();
        let words = self.spec.arithmetic.words();
        if words == Words::Float {
            program.copy((Slot::Initial, 0), (Slot::State, 0), bytes);
            program.copy((Slot::Initial, 0), (Slot::State, bytes), bytes);
            return Ok(());
        }
        program.commands.push(Command::Window(0));
        let kernel = Arc::new(Kernel::PairStart(self.start_kernel()));
        let slots = [Slot::Weights, Slot::Schedule, Slot::State, Slot::Initial, Slot::AskedPoints];
        let grid = &self.spec.grid;
        #[expect(clippy::cast_possible_truncation, reason = "rounded once for the device")]
        let span = (grid.t1() - grid.t0()).abs() as f32;
        for tile in Tiles::new(self.shape.stride, self.shape.forward_tile) {
            let call = StepCall {
                first_trajectory: tile.first,
                batch: self.shape.batch,
                stride: self.shape.stride,
                span,
                ..StepCall::default()
            };
            let flops = self.spec.field.flops() * u64::from(tile.count);
            let groups = groups(self.shape.arrangement.other, tile.count);
            program.dispatch(kernel.clone(), slots.map(Binding::from).to_vec(), groups, &call, flops);
        }
        Ok(())
    }

    /// What the way there was worth: distances of the copies, binary points.
    pub(super) fn finish_pair(&self, program: &mut Program) -> Result<()> {
        let words = self.spec.arithmetic.words();
        let call = FinishCall {
            dim: word(self.shape.dim, "components")?,
            stride: self.shape.stride,
            batch: self.shape.batch,
            parted: self.spec.parted,
            coarse: self.spec.coarse as u32,
        };
        let mut bindings = [Slot::Measures, Slot::Status].map(Binding::from).to_vec();
        if words != Words::Float {
            bindings.extend([Slot::State, Slot::AskedPoints, Slot::Initial].map(Binding::from));
        }
        let groups = fold(self.shape.batch.into(), 64, &self.caps)?;
        program.dispatch(Kernel::PairFinish(words), bindings, groups, &call, self.shape.state_values());
        Ok(())
    }

    /// Lets all trajectories of the next minibatch have the points that one of this has asked for.
    pub(super) fn share_points(&self, program: &mut Program) -> Result<()> {
        if self.spec.arithmetic.words() == Words::Float {
            return Ok(());
        }
        let call = ShareCall { stride: self.shape.stride, batch: self.shape.batch };
        let groups = [word(self.shape.dim, "components")?, 1];
        program.dispatch(Kernel::SharePoints, vec![Slot::AskedPoints.into()], groups, &call, 1);
        Ok(())
    }

    /// The kernel that starts a pair: it needs the field alone.
    fn start_kernel(&self) -> PairKernel {
        PairKernel { stages: 1, lane: self.shape.arrangement.other, terms: Terms::default(), ..self.pair_kernel() }
    }

    /// Walks the pair through a segment, and with `keep` keeps the sources.
    pub(super) fn pair_forward(
        &self,
        program: &mut Program,
        segment: &[Chunk],
        observe: Observe,
        keep: bool,
    ) -> Result<()> {
        let kernel = Arc::new(Kernel::PairWalk(self.walk_kernel()));
        let mode = self.mode(observe) | if keep { KEEP } else { 0 };
        for chunk in segment {
            program.commands.push(Command::Window(chunk.first / WINDOW));
            for tile in Tiles::new(self.shape.stride, self.shape.forward_tile) {
                let call = StepCall { mode, event: self.event(chunk.first)?, ..self.pair_call(chunk, tile.first)? };
                let flops = self.step_flops(chunk, tile.count);
                program.dispatch(
                    kernel.clone(),
                    self.walk_bindings(chunk),
                    groups(self.shape.arrangement.forward, tile.count),
                    &call,
                    flops,
                );
            }
        }
        Ok(())
    }

    /// Pulls the adjoint back through a segment; if the sources are not stored, the pair walks back first, dispatch by
    /// dispatch, or in the same kernel.
    pub(super) fn pair_reverse(&self, program: &mut Program, segment: &[Chunk]) -> Result<()> {
        let walk = Arc::new(Kernel::PairWalk(self.walk_kernel()));
        let pull = Arc::new(Kernel::PairReverse(self.pull_kernel()));
        let lanes = self.shape.arrangement.reverse.trajectories;
        let inside = self.shape.inside.is_some();
        for chunk in segment.iter().rev() {
            program.commands.push(Command::Window(chunk.first / WINDOW));
            for tile in Tiles::new(self.shape.stride, self.shape.reverse_tile) {
                let flops = self.step_flops(chunk, tile.count);
                let call = self.pair_call(chunk, tile.first)?;
                let call = StepCall { event: self.event(chunk.first + chunk.count)?, ..call };
                if self.reconstructs() && !self.fused && chunk.count > 0 {
                    let call = StepCall { mode: BACKWARD | KEEP, ..call };
                    program.dispatch(
                        walk.clone(),
                        self.walk_bindings(chunk),
                        groups(self.shape.arrangement.forward, tile.count),
                        &call,
                        flops,
                    );
                }
                let mut bindings: Vec<Binding> =
                    [Slot::Weights, Slot::Schedule, Slot::Adjoint].map(Binding::from).into();
                bindings.extend([self.observed(chunk), Slot::Status.into()]);
                bindings.push(if inside { Slot::Partials.into() } else { Slot::Scratch.into() });
                if self.fused && self.reconstructs() {
                    bindings.push(Slot::State.into());
                    bindings.extend(self.log_binding());
                } else {
                    bindings.push(self.sources(chunk));
                }
                bindings.extend(self.reference());
                let call = StepCall { rows: self.shape.rows / lanes, tile: tile.count / lanes, ..call };
                program.dispatch(
                    pull.clone(),
                    bindings,
                    groups(self.shape.arrangement.reverse, tile.count),
                    &call,
                    3 * flops,
                );
                if !inside {
                    self.outer_product_of(program, self.evaluation_rows(chunk), tile.count)?;
                }
            }
        }
        Ok(())
    }

    fn pair_kernel(&self) -> PairKernel {
        PairKernel {
            field: self.spec.field.clone(),
            stages: self.shape.stages,
            lane: self.shape.arrangement.reverse,
            words: self.spec.arithmetic.words(),
            sources: Sources::Stored,
            terms: self.shape.terms,
            drifts: self.spec.method.pair().is_some_and(|p| !p.has_copies()),
        }
    }

    /// Both ways of the walk are one kernel, whichever gradient is wanted; only what is kept of drifts depends on it.
    fn walk_kernel(&self) -> PairKernel {
        let kernel = self.pair_kernel();
        let clock = kernel.kept() > 1;
        PairKernel { terms: Terms { clock, ..kernel.terms }, lane: self.shape.arrangement.forward, ..kernel }
    }

    fn pull_kernel(&self) -> PairKernel {
        if self.fused && self.reconstructs() {
            PairKernel { sources: Sources::Walked, ..self.pair_kernel() }
        } else {
            PairKernel { words: Words::Float, ..self.pair_kernel() }
        }
    }

    /// The log, in fixed point.
    fn log_binding(&self) -> Option<Binding> {
        (self.spec.arithmetic.words() != Words::Float).then(|| Slot::BitLog.into())
    }

    fn pair_call(&self, chunk: &Chunk, first_trajectory: u32) -> Result<StepCall> {
        Ok(StepCall { bits: self.spec.contraction.map_or(0, |c| c.bits), ..self.step_call(chunk, first_trajectory)? })
    }

    /// Contractions before an entry.
    fn event(&self, entry: usize) -> Result<u32> {
        word(self.track.contractions_before(entry) as u64, "contractions")
    }

    fn walk_bindings(&self, chunk: &Chunk) -> Vec<Binding> {
        let mut bindings: Vec<Binding> = [Slot::Weights, Slot::Schedule, Slot::State].map(Binding::from).into();
        bindings.extend([self.observed(chunk), Slot::Status.into(), self.sources(chunk), Slot::Measures.into()]);
        bindings.extend(self.log_binding());
        bindings.extend(self.reference());
        bindings
    }

    /// Where the sources of a chunk lie: in their segment if states are kept, else at the front.
    fn sources(&self, chunk: &Chunk) -> Binding {
        let bytes = self.shape.entry_states * self.shape.state_bytes();
        let kept = self.keeps_states();
        let first = if kept { chunk.first as u64 % self.shape.keeping.segment } else { 0 };
        // A binding may not be empty; without a gradient nothing is written.
        let count = if self.spec.way_back().is_some() { chunk.count.max(1) as u64 } else { 1 };
        Binding {
            slot: Slot::Stored,
            offset: first * bytes,
            bytes: Some(count.min(self.shape.stored / self.shape.entry_states) * bytes),
        }
    }
}
