//! The sizes of a run: strides, tiles, rows and how many steps one dispatch takes.

use super::caps::Caps;
use super::kernel::Lane;
use super::lane::{self, STRIDE, Trips};
use super::layout::FieldLayout;
use super::schedule::{MAX_STAGES, WINDOW};
use super::word;
use crate::error::{Error, Result};
use crate::model::Mlp;
use crate::solver::{Adjoint, Method, TimeGrid};

/// Most evaluations whose activations the scratch holds: beyond that a dispatch is long enough.
const MAX_EVALUATIONS: u64 = 64;
/// Trajectories beyond this do not fit the kernels' 32-bit counters, whatever the device.
const MAX_BATCH: u64 = 1 << 31;
/// Rows that one invocation of `outer_product` adds.
const SLICE_ROWS: u32 = 256;

/// What is integrated, how, and for how many trajectories.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Spec {
    pub field: Mlp,
    pub method: Method,
    pub grid: TimeGrid,
    /// `None` for a solve without gradient.
    pub adjoint: Option<Adjoint>,
    pub batch: usize,
}

/// Sizes that follow from a [`Spec`] and the device. All in units of values or trajectories, not bytes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Shape {
    pub lane: Lane,
    pub layout: FieldLayout,
    pub stages: u32,
    pub dim: u64,
    pub batch: u32,
    /// Distance between components: the batch rounded up.
    pub stride: u32,
    pub parameters: u32,
    /// Number of save times.
    pub saves: u32,
    pub steps: u64,
    /// Trajectories of one forward dispatch.
    pub forward_tile: u32,
    /// Steps of one forward dispatch, at most.
    pub forward_steps: u64,
    /// Trajectories of one reverse dispatch.
    pub reverse_tile: u32,
    /// Steps of one reverse dispatch, at most.
    pub reverse_steps: u64,
    /// Distance between scratch units: rows of one reverse dispatch.
    pub rows: u32,
    /// Observations in one binding.
    pub window_slots: u32,
}

impl Shape {
    pub(crate) fn new(spec: &Spec, caps: &Caps) -> Result<Self> {
        if spec.batch == 0 {
            return Err(Error::invalid("batch", "0 trajectories", "give at least one initial state"));
        }
        limit(caps, "a batch, in trajectories,", spec.batch as u64, MAX_BATCH, "use a smaller batch")?;
        let field = &spec.field;
        let lane = lane::choose(field, caps);
        let layout = FieldLayout::new(field);
        let stages = spec.method.tableau().stages();
        debug_assert!(stages <= MAX_STAGES, "the schedule uniform has room for {MAX_STAGES} stages");
        let stages = word(stages as u64, "stages")?;
        let group = u64::from(lane.group_trajectories());
        let stride = (spec.batch as u64).next_multiple_of((STRIDE as u64).max(group));
        let dim = field.dim() as u64;
        let state_bytes = dim * stride * 4;
        limit(caps, "the state [dim, batch]", state_bytes, caps.max_binding, "use a smaller batch")?;
        let saves = spec.grid.saves().len() as u64;
        limit(
            caps,
            "the observations [time, dim, batch]",
            saves * state_bytes,
            caps.max_buffer,
            "use a smaller batch or fewer save times",
        )?;
        let backsolve = spec.adjoint == Some(Adjoint::Backsolve);
        let trips = Trips::new(&layout, field.dim(), stages, lane, backsolve);
        let steps = spec.grid.steps() as u64;
        let tile_limit = u64::from(caps.max_workgroups) * group;
        let forward_tile = stride.min(tile_limit);
        let stored = spec.adjoint == Some(Adjoint::Stored);
        let stored_steps = if stored {
            limit(
                caps,
                &format!("storing {steps} states of {} trajectories", spec.batch),
                steps * state_bytes,
                caps.max_buffer,
                "use the backsolve adjoint, fewer steps or a smaller batch",
            )?;
            (caps.max_binding / state_bytes).max(1)
        } else {
            u64::MAX
        };
        let step_flops = field.flops() * u64::from(stages);
        let by_trips = |step: u64| (caps.max_trips.saturating_sub(trips.fixed)) / step;
        let needs_adjoint = spec.adjoint.is_some();
        let worst = if needs_adjoint { trips.reverse_step } else { trips.forward_step };
        limit(
            caps,
            &format!("one step of a {} field by {}", field.summary(), spec.method),
            worst + trips.fixed,
            caps.max_trips,
            "use narrower layers or a method with fewer stages (units: loop trips of one invocation)",
        )?;
        let forward_steps = by_trips(trips.forward_step)
            .min(caps.submit_flops / (step_flops * forward_tile).max(1))
            .min(stored_steps)
            .clamp(1, WINDOW as u64);
        // Scratch: as many trajectories of one step as fit the budget, then as many steps.
        let unit_bytes = layout.units as u64 * 4 * u64::from(stages);
        let fitting = (caps.scratch_bytes / unit_bytes) / group * group;
        let scratch_tile = fitting.max(group.max(STRIDE as u64)).next_multiple_of(STRIDE as u64);
        let reverse_tile = stride.min(tile_limit).min(scratch_tile);
        let reverse_steps = by_trips(trips.reverse_step)
            .min(caps.scratch_bytes / (unit_bytes * reverse_tile).max(1))
            .min(MAX_EVALUATIONS / u64::from(stages))
            .min(stored_steps)
            .max(1);
        let rows = reverse_steps * u64::from(stages) * reverse_tile;
        if needs_adjoint {
            limit(
                caps,
                &format!("the scratch of a {} field", field.summary()),
                rows * layout.units as u64 * 4,
                caps.max_binding,
                "use narrower layers",
            )?;
            limit(
                caps,
                "the gradient partials",
                rows.div_ceil(SLICE_ROWS.into()) * field.parameter_count() as u64 * 4,
                caps.max_binding,
                "use narrower layers",
            )?;
        }
        limit(caps, "the packed weights", layout.packed as u64 * 4, caps.max_binding, "use narrower layers")?;
        Ok(Self {
            lane,
            stages,
            dim,
            batch: word(spec.batch as u64, "trajectories")?,
            stride: word(stride, "trajectories")?,
            parameters: word(field.parameter_count() as u64, "parameters")?,
            saves: word(saves, "save times")?,
            steps,
            forward_tile: word(forward_tile, "trajectories")?,
            forward_steps,
            reverse_tile: word(reverse_tile, "trajectories")?,
            reverse_steps,
            rows: word(rows, "rows")?,
            window_slots: word((caps.max_binding / state_bytes).min(saves), "save times")?,
            layout,
        })
    }

    /// Values of a state-like buffer, `[dim, stride]`.
    pub(crate) fn state_values(&self) -> u64 {
        self.dim * u64::from(self.stride)
    }

    /// Bytes of a state-like buffer.
    pub(crate) fn state_bytes(&self) -> u64 {
        self.state_values() * 4
    }

    /// Slices of rows, each with its own gradient partials.
    pub(crate) fn slices(&self) -> u64 {
        u64::from(self.rows.div_ceil(SLICE_ROWS))
    }

    /// Groups of four rows in one slice.
    pub(crate) fn slice_quads(&self) -> u32 {
        SLICE_ROWS / 4
    }
}

/// An error if `needed > allowed`.
pub(crate) fn limit(caps: &Caps, what: &str, needed: u64, allowed: u64, remedy: &str) -> Result<()> {
    if needed <= allowed {
        return Ok(());
    }
    Err(Error::LimitExceeded {
        what: what.to_owned(),
        needed: needed.to_string(),
        limit: allowed.to_string(),
        adapter: caps.adapter.clone(),
        remedy: remedy.to_owned(),
    })
}
