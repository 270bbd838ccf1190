//! What is kept of the way there for the way back, and what finding the rest again costs.

use serde::Serialize;

use super::passes::reverse_dispatches;
use super::replay::leaves_walked;
use super::revolve;
use super::shape::Shape;
use super::spec::Spec;
use super::track::Track;
use crate::solver::Adjoint;

/// What is kept of the entries of a track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Keeping {
    /// Entries of one segment: of the part of the track whose states are stored at a time, or that is reconstructed from
    /// one state.
    pub segment: u64,
    /// States that [`Slot::Anchors`](super::Slot) holds: those before segments with the checkpointed adjoint, those after
    /// all segments but the last with backsolve.
    pub anchors: u64,
    /// True if the places of the anchors are used again and again, as [`revolve::Revolve`] says.
    pub revolve: bool,
}

impl Keeping {
    /// For the adjoint of the spec and its anchors.
    pub(super) fn new(spec: &Spec, entries: u64) -> Self {
        let segments = |number: u64| entries.div_ceil(number.clamp(1, entries));
        let given = spec.options.anchors.map(|a| a as u64);
        match spec.way_back() {
            Some(Adjoint::Checkpointed) => {
                // √N balances stored states against anchors.
                let root = root(entries);
                match given {
                    Some(states) if states < root => Self { segment: 1, anchors: states.max(1), revolve: true },
                    _ => {
                        let segment = given.map_or(root, segments);
                        Self { segment, anchors: entries.div_ceil(segment), revolve: false }
                    }
                }
            }
            Some(Adjoint::Backsolve) => {
                let segment = given.map_or(entries, segments);
                // The last segment ends with the state at t1, which is at hand.
                Self { segment, anchors: entries.div_ceil(segment) - 1, revolve: false }
            }
            _ => Self { segment: entries, anchors: 0, revolve: false },
        }
    }
}

/// Evaluations of the field per trajectory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FieldEvaluations {
    /// Evaluations going forward.
    pub forward: u64,
    /// Evaluations going back: reconstruction and recomputed stages. Vector–Jacobian products come on top.
    pub reverse: u64,
}

impl FieldEvaluations {
    /// Both together.
    #[must_use]
    pub const fn total(self) -> u64 {
        self.forward.saturating_add(self.reverse)
    }
}

/// What a pass evaluates; `fused` tells whether the kernel of a pair's adjoint walks back itself.
pub(super) fn evaluations(spec: &Spec, shape: &Shape, track: &Track, fused: bool) -> FieldEvaluations {
    let stages = u64::from(shape.stages);
    let entries = shape.entries;
    // To pull back through an increment is to evaluate it again.
    let back = match spec.way_back() {
        None => 0,
        Some(adjoint) if adjoint.keeps_states() => entries.saturating_add(entries_again(shape, track)),
        Some(Adjoint::Exact | Adjoint::Reversible) if fused => entries,
        // The stages back serve the state and its adjoint alike.
        Some(Adjoint::Continuous) => entries,
        Some(_) => 2 * entries,
    };
    // Where the sums are made inside, what an argument is made of is evaluated before the stage itself.
    let before = if shape.inside.is_some() { stages - 1 } else { 0 };
    // A reconstruction's first stage is known from the step done before, except at the start of a dispatch.
    let hands_out = shape.inside.is_some() && shape.arrangement.reverse.hands_out_values();
    let known = match spec.way_back() {
        Some(Adjoint::Backsolve) if hands_out => entries - reverse_dispatches(track, shape),
        _ => 0,
    };
    let reverse = back.saturating_mul(stages).saturating_add(entries * before) - known;
    FieldEvaluations { forward: entries * stages, reverse }
}

/// Entries that states are run through on the way back.
fn entries_again(shape: &Shape, track: &Track) -> u64 {
    let Keeping { segment, anchors, revolve } = shape.keeping;
    match (anchors, revolve) {
        (0, _) => 0,
        // The last segment is still there from the forward pass.
        (_, false) => (shape.segments() - 1) * segment,
        // The first run ahead, to before the last entry, is a part of the forward pass.
        (_, true) => (revolve::cost(shape.entries, anchors) - (shape.entries - 1)).saturating_add(leaves_walked(track)),
    }
}

/// The least number whose square is not smaller.
pub(super) fn root(entries: u64) -> u64 {
    entries.isqrt() + u64::from(entries.isqrt().pow(2) < entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Activation, Mlp};
    use crate::plan::{Caps, Command, Kernel, Plan, Program, Slot, Trips};
    use crate::solver::{AdjointOptions, Method, TimeGrid};

    fn spec(method: Method, adjoint: Adjoint, steps: usize, anchors: Option<usize>, batch: usize) -> Spec {
        let field = Mlp::builder(2).hidden(&[5], Activation::Tanh).build().expect("a valid field");
        let save_at: Vec<f64> = (0..=5).map(f64::from).collect();
        let grid = match steps {
            1 => TimeGrid::uniform(0.0, 1.0, 1),
            _ => TimeGrid::with_steps(0.0, &save_at, 5.5, steps.div_ceil(6)),
        };
        let options = AdjointOptions { anchors, ..AdjointOptions::default() };
        Spec::gradient(field, method, grid.expect("a valid grid"), adjoint, options, batch)
    }

    /// Evaluations of the field by the first tile of the batch, counted in the dispatches.
    fn counted(program: &Program, stages: u32, backsolve: bool) -> u64 {
        let dispatches = program.commands.iter().filter_map(|c| match c {
            Command::Dispatch(dispatch) => Some(dispatch),
            _ => None,
        });
        let steps = dispatches.filter(|d| d.call[2] == 0).map(|d| match &*d.kernel {
            Kernel::StepForward(_) | Kernel::PairWalk(_) | Kernel::PairReverse(_) => u64::from(d.call[1]),
            Kernel::StepReverse(_) => u64::from(d.call[1]) * if backsolve { 2 } else { 1 },
            _ => 0,
        });
        steps.sum::<u64>() * u64::from(stages)
    }

    /// Copies must stay inside of their buffers, and nothing may be taken from an anchor's place that holds nothing.
    fn check_copies(plan: &Plan, programs: [&Program; 2], case: &str) {
        let mut filled = std::collections::HashSet::new();
        for command in programs.iter().flat_map(|p| &p.commands) {
            let Command::Copy { from, to, bytes } = command else { continue };
            for (slot, offset) in [from, to] {
                assert!(offset + bytes <= plan.memory.bytes(*slot), "{case}: a copy beyond {slot:?}: {command:?}");
            }
            if to.0 == Slot::Anchors {
                filled.insert(to.1);
            }
            assert!(from.0 != Slot::Anchors || filled.contains(&from.1), "{case}: nothing is kept for {command:?}");
        }
        let places = filled.len() as u64;
        assert_eq!(places, plan.shape.keeping.anchors, "{case}: places of anchors in use");
    }

    /// No invocation makes more loop trips than the device allows, and elements of sums all have one.
    fn check_trips(plan: &Plan, programs: [&Program; 2], case: &str) {
        let (shape, spec) = (&plan.shape, &plan.spec);
        let trips = Trips::of(&shape.layout, spec, shape.stages, shape.arrangement);
        for command in programs.iter().flat_map(|p| &p.commands) {
            let Command::Dispatch(d) = command else { continue };
            let steps = u64::from(d.call[1]);
            let made = match &*d.kernel {
                Kernel::StepForward(_) | Kernel::PairWalk(_) => steps * trips.forward_step + trips.fixed,
                Kernel::StepReverse(_) | Kernel::PairReverse(_) => steps * trips.reverse_step + trips.fixed,
                // Rows of a slice; the sum over 64 rows; the components that are compared.
                Kernel::OuterProduct(_) => u64::from(d.call[3]) + 1,
                Kernel::Reduce => 65,
                Kernel::Certificate | Kernel::CertificateFixed(_) => 2 * shape.dim + 1,
                // Loops over the components of a trajectory.
                Kernel::PairStart(_) => trips.forward_step,
                Kernel::PairFinish(_) => 2 * shape.dim + 1,
                Kernel::Accumulate => {
                    let threads = u64::from(d.groups[0]) * u64::from(d.groups[1]) * 64;
                    let values = shape.partials();
                    assert!(threads >= values && u64::from(d.call[0]) == values, "{case}: {threads} for {values} sums");
                    0
                }
                other => panic!("{case}: {} in a pass", other.name()),
            };
            assert!(made <= plan.caps.max_trips, "{case}: {} makes {made} trips", d.kernel.name());
            let groups = d.groups.iter().max().copied().unwrap_or(0);
            assert!(groups <= plan.caps.max_workgroups, "{case}: {groups} groups of {}", d.kernel.name());
        }
    }

    #[test]
    fn reported_evaluations_are_those_of_the_dispatches() {
        let cases = [
            (Method::Rk4, Adjoint::Stored),
            (Method::Rk4, Adjoint::Checkpointed),
            (Method::Euler, Adjoint::Backsolve),
            (Method::BlanesMoan4, Adjoint::Checkpointed),
            (Method::Alf, Adjoint::Checkpointed),
            (Method::Alf, Adjoint::Reversible),
            (Method::Strang, Adjoint::Exact),
        ];
        // Whole dispatches; one entry in each, and bindings of what is measured of a pair; few trips.
        let narrow = Caps { max_binding: 5 * 4000_u64.next_multiple_of(64) * 8, scratch_bytes: 1, ..Caps::cpu("test") };
        let short = Caps { max_trips: 4000, max_workgroups: 64, ..Caps::cpu("test") };
        let problems = [
            (Caps::cpu("test"), 130, &[1, 4, 100, 1200][..]),
            (narrow, 4000, &[1, 60][..]),
            (short, 300, &[1, 100][..]),
        ];
        for ((caps, batch, many), (method, adjoint)) in problems.iter().flat_map(|p| cases.map(|case| (p, case))) {
            let ways = [None, Some(1), Some(2), Some(7), Some(50)];
            for (&steps, anchors) in many.iter().flat_map(|s| ways.map(|a| (s, a))) {
                let spec = spec(method, adjoint, steps, anchors, *batch);
                if spec.options.check(method, adjoint, spec.grid.steps()).is_err() {
                    continue;
                }
                let case = format!("{method}, {adjoint}, {steps} steps, {anchors:?} anchors");
                let plan = Plan::new(spec, caps).unwrap_or_else(|e| panic!("{case}: {e}"));
                let there = plan.forward(crate::plan::Observe::Save).expect("a program");
                let back = plan.reverse().expect("a program");
                let stages = plan.shape.stages;
                let [forward, reverse] = [&there, &back].map(|p| counted(p, stages, adjoint == Adjoint::Backsolve));
                assert_eq!(plan.evaluations(), FieldEvaluations { forward, reverse }, "{case}: evaluations");
                if adjoint == Adjoint::Exact {
                    let mut fused = plan.clone();
                    fused.set_fused(true);
                    let reverse = counted(&fused.reverse().expect("a program"), stages, false);
                    assert_eq!(fused.evaluations().reverse, reverse, "{case}: evaluations of the fused kernel");
                }
                check_copies(&plan, [&there, &back], &case);
                check_trips(&plan, [&there, &back], &case);
            }
        }
    }

    #[test]
    fn anchors_decide_between_segments_and_repetition() {
        // Steps, anchors, and what follows: entries of a segment, states kept, whether places are used again.
        for (steps, anchors, segment, kept, revolve) in [
            (100, None, 10, 10, false),
            (101, None, 11, 10, false),
            (100, Some(10), 10, 10, false),
            (100, Some(11), 10, 10, false),
            (100, Some(30), 4, 25, false),
            (100, Some(100), 1, 100, false),
            (100, Some(9), 1, 9, true),
            (100, Some(1), 1, 1, true),
            (1, Some(1), 1, 1, false),
            (2, Some(1), 1, 1, true),
        ] {
            let spec = spec(Method::Heun, Adjoint::Checkpointed, 1, anchors, 1);
            let found = Keeping::new(&spec, steps);
            assert_eq!(found, Keeping { segment, anchors: kept, revolve }, "{steps} steps, {anchors:?} anchors");
        }
        for (steps, anchors, segment, kept) in [
            (100, None, 100, 0),
            (100, Some(1), 100, 0),
            (100, Some(7), 15, 6),
            (100, Some(100), 1, 99),
            (1, Some(1), 1, 0),
        ] {
            let spec = spec(Method::Heun, Adjoint::Backsolve, 1, anchors, 1);
            let found = Keeping::new(&spec, steps);
            let wanted = Keeping { segment, anchors: kept, revolve: false };
            assert_eq!(found, wanted, "backsolve, {steps} steps, {anchors:?} anchors");
        }
    }
}
