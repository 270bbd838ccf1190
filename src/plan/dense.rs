//! States at save times between steps, and their way back: interpolation after the forward pass, its adjoint before the
//! reverse pass.

use std::sync::Arc;

use bytemuck::{Pod, Zeroable};

use super::buffers::Slot;
use super::call::StepCall;
use super::caps::Caps;
use super::kernel::{Kernel, StepKernel, Terms};
use super::lane::Trips;
use super::origin::Origin;
use super::passes::{Tiles, groups};
use super::program::{Binding, Command, Program};
use super::shape::Shape;
use super::solve::{Observe, Plan};
use super::spec::Spec;
use super::word;
use crate::error::Result;
use crate::model::hermite;

/// A save time as the kernels get it: shaders/dense_table.wgsl. Pairs are those of the start and the end of the step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Interpolation {
    /// Weights of the states.
    pub states: [f32; 2],
    /// Weights of the field, times the length of the step.
    pub fields: [f32; 2],
    /// Derivatives of the weights with respect to the place u in the step.
    pub state_slopes: [f32; 2],
    pub field_slopes: [f32; 2],
    /// Since t0.
    pub times: [f32; 2],
    /// Observations that hold the states.
    pub slots: [u32; 2],
    /// Weights of the field without the length of the step.
    pub shapes: [f32; 2],
    /// Entries of the track before the states, for the status.
    pub entries: [u32; 2],
}

/// Values that one save time adds to the gradient with respect to times: by place, by length, by the times of both ends.
pub(crate) const TIME_PARTS: usize = 4;
/// Evaluations of the field for one save time.
const EVALUATIONS: u64 = 2;

/// Dispatches back that add to the gradient's partials.
pub(super) fn additions(spec: &Spec, shape: &Shape, caps: &Caps) -> u64 {
    let tiles = u64::from(shape.stride.div_ceil(shape.reverse_tile));
    (spec.grid.outputs().len() as u64).div_ceil(reverse_most(spec, shape, caps)) * tiles
}

/// Save times of one dispatch back.
fn reverse_most(spec: &Spec, shape: &Shape, caps: &Caps) -> u64 {
    most(spec, shape, caps, u64::from(shape.rows / shape.reverse_tile))
}

/// Save times of one dispatch, whose scratch has room for so many evaluations. [`Shape`] has seen to it that one fits.
fn most(spec: &Spec, shape: &Shape, caps: &Caps, evaluations: u64) -> u64 {
    let trips = Trips::dense(&shape.layout, &spec.field, shape.arrangement.other);
    (evaluations / EVALUATIONS).min(caps.max_trips.saturating_sub(trips.fixed) / trips.reverse_step).max(1)
}

impl Plan {
    /// The save times of a dense grid; empty for others.
    #[expect(clippy::cast_possible_truncation, reason = "host f64 becomes device f32, rounded once")]
    pub(crate) fn dense_table(&self) -> Vec<Interpolation> {
        let grid = &self.spec.grid;
        let origin = Origin::of(grid);
        let row = |output: &crate::solver::Output| {
            let ends = [output.step, output.step + 1];
            let slots = ends.map(|n| grid.saves().partition_point(|&s| s < n));
            let h = grid.times()[ends[1]] - grid.times()[ends[0]];
            let [[x0, m0, x1, m1], [sx0, sm0, sx1, sm1]] = hermite(output.u);
            let place = |v: usize| u32::try_from(v).unwrap_or(u32::MAX);
            Interpolation {
                states: [x0, x1].map(|v| v as f32),
                fields: [h * m0, h * m1].map(|v| v as f32),
                state_slopes: [sx0, sx1].map(|v| v as f32),
                field_slopes: [h * sm0, h * sm1].map(|v| v as f32),
                times: ends.map(|n| origin.since(grid.times()[n])),
                slots: slots.map(place),
                shapes: [m0, m1].map(|v| v as f32),
                entries: slots.map(|s| place(self.track.saves[s].max(1) - 1)),
            }
        };
        grid.outputs().iter().map(row).collect()
    }

    /// Interpolates, once the states at the ends of steps are there.
    pub(super) fn interpolate(&self, program: &mut Program, observe: Observe) -> Result<()> {
        let kernel = Arc::new(Kernel::Dense(self.dense_kernel(false)));
        let tile = self.shape.forward_tile;
        let most = most(&self.spec, &self.shape, &self.caps, u64::MAX);
        self.over_outputs(program, tile, most, |program, call, tile| {
            let slots = [Slot::Weights, Slot::Schedule, Slot::Observed, Slot::Outputs, Slot::DenseTable, Slot::Status];
            let call = StepCall { mode: self.mode(observe), ..call };
            let flops = self.dense_flops(call.steps, tile);
            let groups = groups(self.shape.arrangement.other, tile);
            program.dispatch(kernel.clone(), slots.map(Binding::from).to_vec(), groups, &call, flops);
            Ok(())
        })
    }

    /// Makes cotangents of the states at the ends of steps of those at the save times.
    pub(super) fn interpolate_back(&self, program: &mut Program) -> Result<()> {
        let shape = &self.shape;
        let bytes = u64::from(shape.saves) * shape.state_bytes();
        program.copy((Slot::Observed, 0), (Slot::Ends, 0), bytes);
        program.clear(Slot::Observed);
        let kernel = Arc::new(Kernel::DenseReverse(self.dense_kernel(true)));
        let lanes = shape.arrangement.other.trajectories;
        let most = reverse_most(&self.spec, shape, &self.caps);
        self.over_outputs(program, shape.reverse_tile, most, |program, call, tile| {
            let slots = [
                Slot::Weights,
                Slot::Schedule,
                Slot::Ends,
                Slot::Outputs,
                Slot::Observed,
                Slot::Status,
                Slot::Scratch,
                Slot::DenseTimes,
                Slot::DenseTable,
            ];
            let call = StepCall { rows: shape.rows / lanes, tile: tile / lanes, ..call };
            let flops = 3 * self.dense_flops(call.steps, tile);
            let groups = groups(shape.arrangement.other, tile);
            program.dispatch(kernel.clone(), slots.map(Binding::from).to_vec(), groups, &call, flops);
            self.outer_product_of(program, EVALUATIONS * u64::from(call.steps), tile)
        })
    }

    fn over_outputs(
        &self,
        program: &mut Program,
        tile: u32,
        most: u64,
        mut dispatch: impl FnMut(&mut Program, StepCall, u32) -> Result<()>,
    ) -> Result<()> {
        // The kernels look at no step, but the uniform must hold some window.
        program.commands.push(Command::Window(0));
        let outputs = self.spec.grid.outputs().len() as u64;
        let mut first = 0;
        while first < outputs {
            let count = most.min(outputs - first);
            for tile in Tiles::new(self.shape.stride, tile) {
                let call = StepCall {
                    first_step: word(first, "save times")?,
                    steps: word(count, "save times")?,
                    first_trajectory: tile.first,
                    batch: self.shape.batch,
                    stride: self.shape.stride,
                    ..StepCall::default()
                };
                dispatch(program, call, tile.count)?;
            }
            first += count;
        }
        Ok(())
    }

    fn dense_kernel(&self, back: bool) -> StepKernel {
        let terms = Terms { clock: back && self.shape.terms.clock, ..Terms::default() };
        StepKernel {
            field: self.spec.field.clone(),
            stages: 1,
            lane: self.shape.arrangement.other,
            adjoint: None,
            terms,
        }
    }

    fn dense_flops(&self, outputs: u32, trajectories: u32) -> u64 {
        EVALUATIONS * self.spec.field.flops() * u64::from(outputs) * u64::from(trajectories)
    }
}
