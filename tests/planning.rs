//! Does every plan keep the limits that it was made for, or say which one it cannot keep?
//!
//! Problems and limits are drawn at random; plans are made through the public `memory_plan`, so nothing is allocated and
//! no kernel compiled. Blind to whether the plan is any good: speed is a matter for the benchmarks.

mod common;

use common::gpu;
use costate::{Activation, Adjoint, AdjointOptions, Caps, Error, MemoryPlan, Method, Mlp, NeuralOde, Slot, TimeGrid};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

#[derive(Clone, Debug)]
struct Problem {
    dim: usize,
    hidden: Vec<usize>,
    time_input: bool,
    method: Method,
    adjoint: Adjoint,
    steps: usize,
    saves: usize,
    batch: usize,
    anchors: Option<usize>,
    memory: Option<u64>,
}

impl Problem {
    fn plan(&self, caps: &Caps) -> costate::Result<MemoryPlan> {
        let mlp = Mlp::builder(self.dim).hidden(&self.hidden, Activation::Tanh).time_input(self.time_input).build()?;
        let save_at: Vec<f64> = (1..=self.saves).map(|i| i as f64).collect();
        let grid = TimeGrid::with_steps(0.0, &save_at, self.saves as f64, self.steps)?;
        let options = AdjointOptions { anchors: self.anchors, memory: self.memory, ..AdjointOptions::default() };
        let builder = NeuralOde::builder(mlp, grid).method(self.method).adjoint(self.adjoint);
        let builder = builder.adjoint_options(options);
        builder.build(&gpu().restricted(caps))?.memory_plan(self.batch)
    }
}

impl Problem {
    /// Steps, or updates of a pair.
    fn entries(&self) -> u64 {
        let steps = (self.steps * self.saves) as u64;
        let save_at: Vec<f64> = (1..=self.saves).map(|i| i as f64).collect();
        let grid = TimeGrid::with_steps(0.0, &save_at, self.saves as f64, self.steps).expect("a valid grid");
        self.method.pair().map_or(steps, |pair| pair.updates(&grid, None).count() as u64)
    }

    /// States in segments and anchors; `None` where the number of states in a segment is that of a dispatch.
    fn kept(&self) -> (Option<u64>, u64) {
        let entries = self.entries();
        let root = (1..=entries).find(|k| k * k >= entries).unwrap_or(0);
        let anchors = self.anchors.map(|a| a as u64);
        let segment = |segments: u64| entries.div_ceil(segments);
        match (self.adjoint, anchors) {
            (Adjoint::Stored, _) => (Some(entries), 0),
            (Adjoint::Checkpointed, Some(a)) if a < root => (Some(1), a),
            (Adjoint::Checkpointed, Some(a)) => (Some(segment(a)), entries.div_ceil(segment(a))),
            (Adjoint::Checkpointed, None) => (Some(root), entries.div_ceil(root)),
            // The end of the last segment is at hand.
            (Adjoint::Backsolve, a) => (Some(0), a.map_or(0, |a| entries.div_ceil(segment(a)) - 1)),
            _ => (None, 0),
        }
    }
}

fn problems() -> impl Strategy<Value = Problem> {
    let shape = (1_usize..200, prop::collection::vec(1_usize..300, 0..4), any::<bool>());
    let all = Method::RUNGE_KUTTA.into_iter().chain(Method::PAIR);
    let ways: Vec<(Method, Adjoint)> = all.flat_map(|m| m.adjoints().iter().map(move |a| (m, *a))).collect();
    let way = prop::sample::select(ways);
    let size = (1_usize..50, 1_usize..50, prop_oneof![1_usize..200, 1_usize..2_000_000]);
    let part = prop::option::of(0_usize..=100);
    (shape, way, size, part).prop_map(|((dim, hidden, time_input), (method, adjoint), (steps, saves, batch), part)| {
        let has_anchors = matches!(adjoint, Adjoint::Checkpointed | Adjoint::Backsolve);
        let anchors = part.filter(|_| has_anchors).map(|part| (steps * saves * part / 100).max(1));
        Problem { dim, hidden, time_input, method, adjoint, steps, saves, batch, anchors, memory: None }
    })
}

/// From what a small phone grants to more than any device has.
fn limits() -> impl Strategy<Value = Caps> {
    let bytes = |from: u32, to: u32| (from..to).prop_map(|bits| 1_u64 << bits);
    (bytes(20, 32), 1_u64..1000, 64_u32..70_000, 1_000_u64..100_000, bytes(14, 24)).prop_map(
        |(max_binding, bindings, max_workgroups, max_trips, scratch)| Caps {
            max_binding,
            // A binding is never larger than a buffer.
            max_buffer: max_binding * bindings,
            max_workgroups,
            max_trips,
            scratch_bytes: scratch.min(max_binding),
            ..gpu().caps().clone()
        },
    )
}

/// Slots that a dispatch sees window by window: they may be larger than one binding.
const WINDOWED: [Slot; 5] = [Slot::Observed, Slot::Targets, Slot::Weighting, Slot::Stored, Slot::Anchors];

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

    #[test]
    fn a_plan_keeps_its_limits_or_names_the_one_that_it_cannot(problem in problems(), caps in limits()) {
        let granted = gpu().restricted(&caps);
        match problem.plan(&caps) {
            Ok(plan) => {
                for (slot, bytes) in plan.entries() {
                    prop_assert!(*bytes > 0 && bytes % 4 == 0, "{:?} has {} bytes", slot, bytes);
                    prop_assert!(*bytes <= granted.caps().max_buffer, "{:?} of {} bytes is too large", slot, bytes);
                    let bound = WINDOWED.contains(slot) || *bytes <= granted.caps().max_binding;
                    prop_assert!(bound, "{:?} of {} bytes cannot be bound as one", slot, bytes);
                }
                let state = plan.bytes(Slot::State);
                // Both copies of a pair, or a state and what its sum has rounded away.
                let copies = 2;
                // In fixed point with the binary points and the exponents of the first increments behind them.
                let points = 2 * u64::from(problem.adjoint == Adjoint::Exact);
                let state = state / (copies + points);
                prop_assert!(state >= 4 * (problem.dim * problem.batch) as u64, "the state has {} bytes", state);
                prop_assert_eq!(plan.bytes(Slot::Observed), problem.saves as u64 * state);
                let (stored, anchors) = problem.kept();
                // What one dispatch takes, for pairs: a constant.
                let stored = stored.unwrap_or(plan.bytes(Slot::Stored) / state);
                prop_assert!(stored <= 64 || problem.adjoint.is_exact(), "a dispatch of {} updates", stored);
                prop_assert_eq!(plan.bytes(Slot::Stored), stored * state);
                prop_assert_eq!(plan.bytes(Slot::Anchors), anchors * state * copies);
            }
            Err(Error::LimitExceeded { what, needed, limit, adapter, remedy }) => {
                let number = |text: &str| text.split(' ').next().and_then(|n| n.parse::<u64>().ok());
                let (needed, limit) = (number(&needed), number(&limit));
                prop_assert!(needed.is_some() && needed > limit, "{} needs {:?} of {:?}", what, needed, limit);
                prop_assert!(adapter == gpu().adapter() && !remedy.is_empty(), "{} {}", adapter, remedy);
            }
            Err(other) => prop_assert!(false, "a problem that is too large is a limit exceeded, not {}", other),
        }
    }

    #[test]
    fn a_smaller_batch_never_needs_more(problem in problems(), part in 1_usize..100) {
        let caps = gpu().caps();
        if let Ok(plan) = problem.plan(caps) {
            let smaller = Problem { batch: (problem.batch * part).div_ceil(100), ..problem };
            let smaller = smaller.plan(caps);
            prop_assert!(smaller.is_ok(), "a smaller batch does not fit: {:?}", smaller);
            let bytes = smaller.map_or(u64::MAX, |p| p.total_bytes());
            // The scratch holds whole tiles and whole steps: its rounding may go either way by a part of its budget.
            let slack = 2 * caps.scratch_bytes;
            prop_assert!(bytes <= plan.total_bytes() + slack, "{} bytes, more than {}", bytes, plan.total_bytes());
        }
    }

    #[test]
    fn a_budget_is_kept_or_refused_with_what_would_do(
        problem in problems(), caps in limits(), auto: bool, memory in 1_u64 << 12..1 << 34, few in 0_u32..20,
    ) {
        let adjoint = if auto { Adjoint::Auto } else { problem.adjoint };
        let anchors = problem.anchors.filter(|_| !auto);
        let problem = Problem { adjoint, anchors, memory: Some(memory >> few), ..problem };
        match problem.plan(&caps) {
            Ok(plan) => prop_assert!(plan.total_bytes() <= memory >> few, "{} of {:?}", plan.total_bytes(), problem.memory),
            Err(Error::BudgetExceeded { needed, budget, remedy, .. }) => {
                prop_assert!(needed > budget && Some(budget) == problem.memory, "{} of {}", needed, budget);
                prop_assert!(remedy.contains(&needed.to_string()), "{}", remedy);
                let enough = Problem { memory: Some(needed), ..problem.clone() }.plan(&caps);
                prop_assert_eq!(enough.ok().map(|plan| plan.total_bytes()), Some(needed));
                let less = Problem { memory: Some(needed - 1), ..problem }.plan(&caps);
                prop_assert!(matches!(less, Err(Error::BudgetExceeded { .. })), "a byte less would do: {:?}", less);
            }
            Err(Error::LimitExceeded { .. }) => (),
            Err(other) => prop_assert!(false, "neither the budget nor a limit: {}", other),
        }
    }
}
