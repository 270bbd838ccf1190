//! The sizes of a run: strides, tiles, rows and how many steps one dispatch takes.

use super::arrangement::{Arrangement, Family};
use super::caps::Caps;
use super::errors::estimated;
use super::inside::{InsideLayout, SumRow};
use super::keep::Keeping;
use super::kernel::{Sums, Terms, Words};
use super::lane::{STRIDE, Trips};
use super::layout::FieldLayout;
use super::limits::{Limits, Unit, check_spec, limit};
use super::outer::rectangles;
use super::schedule::WINDOW;
use super::spec::{Arithmetic, Spec};
use super::spill::spilled_values;
use super::track::Track;
use super::word;
use crate::error::Result;
use crate::solver::DEFAULT_LOG_WORDS;

/// Most evaluations whose activations the scratch holds: beyond that a dispatch is long enough.
const MAX_EVALUATIONS: u64 = 64;
/// Rows that one invocation of `outer_product` adds.
const SLICE_ROWS: u32 = 256;

/// Sizes that follow from a [`Spec`] and the device. All in units of values or trajectories, not bytes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Shape {
    pub arrangement: Arrangement,
    pub layout: FieldLayout,
    /// Where reverse kernels make their sums, if they do so themselves.
    pub inside: Option<SumRow>,
    /// Rectangles of weights for dJ/dθ.
    pub rectangles: u32,
    pub stages: u32,
    pub dim: u64,
    pub batch: u32,
    /// Distance between components: the batch rounded up.
    pub stride: u32,
    pub parameters: u32,
    /// Parameters of the loss, which follow those of the field.
    pub loss_parameters: u32,
    pub terms: Terms,
    /// Trajectories, from the first, whose steps' errors are estimated, if any are.
    pub estimated: u64,
    /// Number of boundaries whose states are kept: of save times, or on a dense grid of the ends of their steps.
    pub saves: u32,
    /// Number of save times.
    pub observations: u32,
    /// Entries of the track: steps, or updates of a pair.
    pub entries: u64,
    /// What is kept of them.
    pub keeping: Keeping,
    /// States that [`Slot::Stored`](super::Slot) holds: a segment, or for a pair that walks back one reverse dispatch.
    pub stored: u64,
    /// States that are stored of an entry: one, or of an update with a drift the target too, for its gradient with respect to
    /// times.
    pub entry_states: u64,
    /// Planes of the state: with what its sum has rounded away two, or two copies of one or two words.
    pub planes: u64,
    /// True for a pair of states.
    pub pair: bool,
    /// True if the state is in fixed point.
    pub fixed: bool,
    /// Words of the contraction log per component.
    pub log_words: u64,
    /// Trajectories of one forward dispatch.
    pub forward_tile: u32,
    /// Steps of one forward dispatch, at most.
    pub forward_steps: u64,
    /// Trajectories of one reverse dispatch.
    pub reverse_tile: u32,
    /// Steps of one reverse dispatch, at most.
    pub reverse_steps: u64,
    /// Values of private arrays that a dispatch keeps in a buffer.
    pub spilled: u64,
    /// Distance between scratch units: rows of one reverse dispatch.
    pub rows: u32,
    /// Kept boundaries in one binding.
    pub window_slots: u32,
    /// Save times in one binding.
    pub loss_window: u32,
}

impl Shape {
    pub(crate) fn new(spec: &Spec, track: &Track, caps: &Caps) -> Result<Self> {
        check_spec(spec, caps)?;
        let field = &spec.field;
        let layout = FieldLayout::new(field);
        let arrangement = Arrangement::new(spec, &layout, caps)?;
        let inside = (arrangement.reverse.sums() == Sums::Inside).then(|| match arrangement.reverse.family {
            Family::Lane => SumRow::Units(InsideLayout::new(field)),
            Family::Tile => SumRow::Flat { parameters: field.parameter_count() as u64 },
        });
        let stages = word(spec.method.tableau().stages() as u64, "stages")?;
        let group = u64::from(arrangement.group_trajectories());
        let stride = (spec.batch as u64).next_multiple_of(u64::from(STRIDE).max(group));
        let (dim, saves) = (field.dim() as u64, spec.grid.saves().len() as u64);
        let state_bytes = dim.saturating_mul(stride * 4);
        let limits = Limits { spec, caps, state_bytes, group };
        let keeping = Keeping::new(spec, track.entries as u64);
        let mut terms = spec.terms();
        let estimated = estimated(dim, stride, caps);
        if estimated == 0 {
            terms.estimate = None;
        }
        let drifts = spec.method.pair().is_some_and(|p| !p.has_copies());
        let entry_states = if drifts && terms.clock { 2 } else { 1 };
        let stored_steps = (limits.check(keeping.segment)? / entry_states).max(1);

        let trips = Trips::of(&layout, spec, stages, arrangement);
        let worst = if spec.adjoint.is_some() { trips.reverse_step } else { trips.forward_step };
        let step = format!("one step of a {} field by {}", field.summary(), spec.method);
        let remedy = "use narrower layers or a method with fewer stages";
        limit(caps, &step, worst + trips.fixed, caps.max_trips, Unit::Trips, remedy)?;

        if spec.grid.is_dense() {
            let trips = Trips::dense(&layout, field, arrangement.other);
            let worst = if spec.way_back().is_some() { trips.reverse_step } else { trips.forward_step };
            let what = format!("a save time between steps of a {} field", field.summary());
            let remedy = "use narrower layers, or let steps end at save times";
            limit(caps, &what, worst + trips.fixed, caps.max_trips, Unit::Trips, remedy)?;
        }

        let step_flops = (field.flops() * u64::from(stages)).max(1);
        let most_steps = |step_trips: u64| {
            ((caps.max_trips - trips.fixed) / step_trips).min(caps.trajectory_flops / step_flops).min(stored_steps)
        };
        let tile_limit = u64::from(caps.max_workgroups).saturating_mul(arrangement.least_trajectories().into());
        let tile_limit = (tile_limit / group * group).max(group);
        let scratch = caps.scratch_bytes.min(spec.scratch);
        let unit = u64::from(STRIDE).max(group);
        let spilled =
            spilled_values(field, stages, [arrangement.forward, arrangement.reverse, arrangement.other], terms);
        let tile_limit = match (scratch / 4).checked_div(spilled) {
            Some(fitting) => tile_limit.min((fitting / unit * unit).max(unit)),
            None => tile_limit,
        };
        let forward_tile = stride.min(tile_limit);
        let forward_steps = most_steps(trips.forward_step)
            .min(caps.submit_flops / step_flops.saturating_mul(forward_tile))
            .clamp(1, WINDOW as u64);
        // Scratch: as many trajectories of one step as fit the budget, then as many steps.
        let evaluation_rows = u64::from(stages * terms.evaluation_rows());
        let unit_bytes = layout.units as u64 * 4 * evaluation_rows;
        let fitting = |bytes: u64| match &inside {
            // Rows of partials take its place.
            Some(inside) => bytes / inside.bytes() * u64::from(arrangement.reverse.group_trajectories()),
            None => bytes / unit_bytes,
        };
        let bound = (fitting(caps.max_binding) / unit * unit).max(unit);
        let reverse_tile = stride.min(tile_limit).min(fitting(scratch).max(1).next_multiple_of(unit)).min(bound);
        let scratch_steps = match inside {
            Some(_) => caps.submit_flops / (4 * step_flops).saturating_mul(reverse_tile),
            None => (scratch / (unit_bytes * reverse_tile)).min(MAX_EVALUATIONS / u64::from(stages)),
        };
        // A pair that walks back has room for the states of one dispatch.
        let pair = spec.method.pair().is_some();
        let walks_back = pair && spec.way_back().is_some_and(|adjoint| !adjoint.keeps_states());
        let reverse_steps = most_steps(trips.reverse_step)
            .min(scratch_steps)
            .min(if walks_back { scratch / state_bytes } else { u64::MAX })
            .min(if keeping.revolve { 1 } else { WINDOW as u64 })
            .max(1);
        // A save time between steps takes two evaluations at a time.
        let least = if spec.grid.is_dense() { 2 } else { 1 };
        let observations = spec.grid.observations() as u64;
        let stored = match spec.way_back() {
            Some(adjoint) if adjoint.keeps_states() => keeping.segment,
            Some(_) if pair => reverse_steps,
            _ => 1,
        };
        Ok(Self {
            stored: stored * entry_states,
            entry_states,
            planes: match (pair, spec.arithmetic.words()) {
                (false, _) | (true, Words::Float | Words::One) => 2,
                (true, Words::Two) => 4,
            },
            pair,
            fixed: pair && spec.arithmetic != Arithmetic::Float,
            // All of them, however few the steps need; a binding may not be empty.
            log_words: spec.options.log_words.unwrap_or(DEFAULT_LOG_WORDS).max(1).into(),
            rectangles: word(rectangles(&layout, field, arrangement.other.into()).len() as u64, "rectangles")?,
            arrangement,
            stages,
            dim,
            batch: word(spec.batch as u64, "trajectories")?,
            stride: word(stride, "trajectories")?,
            parameters: word(field.parameter_count() as u64, "parameters")?,
            loss_parameters: word(spec.loss.parameter_count(field.dim()) as u64, "parameters of the loss")?,
            terms,
            estimated,
            observations: word(observations, "save times")?,
            loss_window: word((caps.max_binding / state_bytes).min(observations), "save times")?,
            saves: word(saves, "save times")?,
            entries: track.entries as u64,
            keeping,
            spilled: spilled * forward_tile.max(reverse_tile),
            forward_tile: word(forward_tile, "trajectories")?,
            forward_steps,
            reverse_tile: word(reverse_tile, "trajectories")?,
            reverse_steps,
            rows: match inside {
                Some(_) => 0,
                None => word((reverse_steps * evaluation_rows).max(least) * reverse_tile, "rows")?,
            },
            inside,
            window_slots: word((caps.max_binding / state_bytes).min(saves), "save times")?,
            layout,
        })
    }

    /// Number of segments.
    pub(crate) fn segments(&self) -> u64 {
        self.entries.div_ceil(self.keeping.segment)
    }

    /// Values of a state-like buffer, `[dim, stride]`.
    pub(crate) fn state_values(&self) -> u64 {
        self.dim * u64::from(self.stride)
    }

    /// Values of what must be kept to go on from a time: the state and its rest, or both copies of a pair.
    pub(crate) fn kept_values(&self) -> u64 {
        self.planes * self.state_values()
    }

    /// Values of the buffer of the state: in fixed point the binary points follow the copies, and how far the field takes a
    /// component from its start.
    pub(crate) fn state_buffer_values(&self) -> u64 {
        self.kept_values() + if self.fixed { 2 * self.state_values() } else { 0 }
    }

    /// Values of the binary points that are asked for, and of the least that a range may be widened to.
    pub(crate) fn asked_values(&self) -> u64 {
        self.state_values() + self.dim
    }

    /// Values of what is measured going forward: distance of the copies, running cost, largest magnitudes, and of a pair
    /// by component the distances of its copies, what is lost and what was asked for.
    pub(crate) fn measures_values(&self) -> u64 {
        let rows = if self.pair { 4 } else { 1 };
        2 * u64::from(self.stride) + rows * self.state_values()
    }

    /// Where the increments that a pair has lost lie in them.
    pub(crate) fn losses_at(&self) -> u64 {
        2 * u64::from(self.stride) + 2 * self.state_values()
    }

    /// Values of the adjoint of the state: with its rest, or of both copies of a pair.
    pub(crate) fn adjoint_values(&self) -> u64 {
        2 * self.state_values()
    }

    /// Values behind them: the adjoint of the cost, and two sums for each segment between knots.
    pub(crate) fn adjoint_extra(&self) -> u64 {
        let sums = if self.terms.clock { 2 * self.knot_segments() } else { 0 };
        let rows = if self.terms.pay() || self.terms.clock { 1 + sums } else { 0 };
        rows * u64::from(self.stride)
    }

    /// Segments of the grid between kept boundaries, t0 and t1; some may be empty.
    pub(crate) fn knot_segments(&self) -> u64 {
        u64::from(self.saves) + 1
    }

    /// The same in bytes.
    pub(crate) fn kept_bytes(&self) -> u64 {
        self.kept_values() * 4
    }

    /// Bytes of a state-like buffer.
    pub(crate) fn state_bytes(&self) -> u64 {
        self.state_values() * 4
    }

    /// Rows of gradient partials: one for each slice of the scratch, or for each workgroup of a reverse dispatch.
    pub(crate) fn partial_rows(&self) -> u64 {
        match self.inside {
            Some(_) => u64::from(self.reverse_tile / self.arrangement.reverse.group_trajectories()),
            None => u64::from(self.rows.div_ceil(SLICE_ROWS)),
        }
    }

    /// Values of a row of gradient partials.
    pub(crate) fn partial_columns(&self) -> u64 {
        self.inside.as_ref().map_or(self.parameters.into(), |inside| inside.bytes() / 4)
    }

    /// Values of all gradient partials.
    pub(crate) fn partials(&self) -> u64 {
        self.partial_rows() * self.partial_columns()
    }

    /// Groups of four rows in one slice.
    pub(crate) fn slice_quads(&self) -> u32 {
        SLICE_ROWS / 4
    }
}

#[cfg(test)]
mod tests {
    use crate::model::{Activation, Mlp};
    use crate::plan::{Caps, KernelOptions, Plan, Slot, Spec};
    use crate::solver::{Adjoint, AdjointOptions, Method, TimeGrid};

    fn spec(width: usize, steps: usize, batch: usize) -> Spec {
        let field = Mlp::builder(2).hidden(&[width, width], Activation::Tanh).build().expect("a valid field");
        let grid = TimeGrid::uniform(0.0, 1.0, steps).expect("a valid grid");
        Spec::gradient(field, Method::Euler, grid, Adjoint::Backsolve, AdjointOptions::default(), batch)
    }

    /// Scratch and rows of partials may be as large as a binding: whole groups of trajectories must not make them larger.
    #[test]
    fn a_large_batch_fits_the_bindings() {
        let caps = Caps::gpu("test");
        assert_eq!(caps.scratch_bytes, caps.max_binding, "as much scratch as a binding holds");
        for width in [16, 64, 150, 200, 256, 512] {
            let plan = Plan::new(spec(width, 10, 1 << 20), &caps);
            assert!(plan.is_ok(), "width {width}: {:?}", plan.err());
        }
    }

    /// The kernels, and with them the bytes, do not depend on the number of steps.
    #[test]
    fn memory_is_flat_in_the_number_of_steps() {
        let pairs = Caps { int64: true, subgroup: Some(8), ..Caps::cpu("test") };
        for caps in [Caps::gpu("test"), Caps::cpu("test"), pairs] {
            for trajectories in [None, Some(1), Some(4)] {
                let bytes = |steps| {
                    let kernels = KernelOptions { trajectories, ..KernelOptions::default() };
                    let plan = Plan::new(Spec { kernels, ..spec(16, steps, 1000) }, &caps).expect("a small problem");
                    (plan.memory.total_bytes(), plan.memory.bytes(Slot::Partials))
                };
                let least = bytes(1000);
                assert!([10_000, 100_000].map(bytes).iter().all(|b| *b == least), "{trajectories:?}: {least:?} grows");
            }
        }
    }
}
