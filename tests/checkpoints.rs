//! Is the checkpointed adjoint the stored one in less memory, however few states it keeps?
//!
//! A state that is found again by running must be the very state of the first time, so states, dJ/dx0 and certificate are
//! equal bit for bit; dJ/dθ is summed over other cuts of the same terms, and equal too where the cuts are. Blind to whether
//! the stored gradient itself is right, which tests/gradients.rs asks of both. What is kept when, and what it costs, is
//! tested in src/plan.

mod common;

use common::{field, gpu, parameters, random2, random3};
use costate::{
    Activation, Adjoint, AdjointOptions, Caps, Gpu, Gradient, MemoryPlan, Method, Mlp, NeuralOde, Slot, TimeGrid,
};

fn mlp() -> Mlp {
    field(2, &[7], Activation::Tanh, true)
}

fn build(gpu: &Gpu, grid: &TimeGrid, method: Method, adjoint: Adjoint, anchors: Option<usize>) -> NeuralOde {
    let options = AdjointOptions { anchors, ..AdjointOptions::default() };
    let builder = NeuralOde::builder(mlp(), grid.clone()).method(method).adjoint(adjoint).adjoint_options(options);
    builder.build(gpu).expect("a small problem")
}

/// The gradient of a batch of 70 with everything fixed.
fn run(gpu: &Gpu, grid: &TimeGrid, method: Method, adjoint: Adjoint, anchors: Option<usize>) -> Gradient {
    let (x0, targets) = (random2(70, 2, 1), random3(grid.saves().len(), 70, 2, 2));
    let ode = build(gpu, grid, method, adjoint, anchors);
    ode.loss_and_gradient(&parameters(&mlp(), 5), x0.view(), targets.view()).expect("a gradient")
}

/// Segments that end with the grid and that do not; save times inside and at the edges of segments, and t0.
fn grids() -> [TimeGrid; 4] {
    [
        TimeGrid::uniform(0.0, 1.0, 1),
        TimeGrid::with_steps(0.0, &[0.0, 0.3, 0.5, 1.0], 1.2, 4),
        TimeGrid::with_steps(1.0, &[0.2, 0.0], 0.0, 8),
        TimeGrid::with_steps(0.0, &[0.4, 1.0, 2.0], 2.0, 700),
    ]
    .map(|g| g.expect("a valid grid"))
}

/// Few states and many, for both ways of finding the others again: as told, and around the root where they change.
fn anchors(steps: usize) -> Vec<Option<usize>> {
    let root = steps.isqrt();
    let given = [1, 2, 5, root.saturating_sub(1), root, root + 1, root + 40, steps];
    // One state for 2100 steps means 2.2 million of them.
    let fitting = given.into_iter().filter(|a| (1..=steps).contains(a) && (*a > 1 || steps < 100));
    std::iter::once(None).chain(fitting.map(Some)).collect()
}

fn off(got: &Gradient, want: &Gradient) -> f64 {
    let norm = want.theta.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
    let pairs = got.theta.iter().zip(&want.theta);
    pairs.map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt() / norm
}

#[test]
fn checkpoints_change_no_bit() {
    let short = gpu().restricted(&Caps { max_trips: 4000, scratch_bytes: 60_000, ..gpu().caps().clone() });
    for grid in &grids() {
        let steps = grid.steps();
        let stored = run(gpu(), grid, Method::Heun, Adjoint::Stored, None);
        for (gpu, anchors) in [gpu(), &short].iter().flat_map(|g| anchors(steps).into_iter().map(move |a| (g, a))) {
            let got = run(gpu, grid, Method::Heun, Adjoint::Checkpointed, anchors);
            let case = format!("{steps} steps, {anchors:?} anchors");
            assert_eq!(got.loss, stored.loss, "{case}: the loss");
            assert_eq!(got.x0, stored.x0, "{case}: dJ/dx0");
            // Sums of N terms in another order: two levels keep them at a few roundings of 6e-8.
            let error = off(&got, &stored);
            assert!(error <= 1e-6, "{case}: dJ/dθ off by {error:e}");
            let evaluations = got.report.field_evaluations;
            let again = evaluations.reverse - stored.report.field_evaluations.reverse;
            if anchors.is_none_or(|a| a * a >= steps) {
                assert!(
                    again <= evaluations.forward,
                    "{case}: a step runs again once at most, not {again} evaluations"
                );
            } else {
                assert!(again > 0, "{case}: nothing runs again");
            }
        }
    }
}

/// Where every dispatch of the way back has one entry, the sums are cut alike.
#[test]
fn equal_cuts_give_equal_sums() {
    let single = gpu().restricted(&Caps { scratch_bytes: 1, trajectory_flops: 1, ..gpu().caps().clone() });
    let foster = Method::mccallum_foster(Method::Midpoint, 0.9).expect("a valid method");
    let [_, grid, backward, _] = grids();
    let long = TimeGrid::with_steps(0.0, &[0.5, 2.0], 2.0, 150).expect("a valid grid");
    for (method, grid) in [
        (Method::Heun, &grid),
        (Method::Heun, &long),
        (Method::BlanesMoan4, &backward),
        (Method::ReversibleHeun, &grid),
        (Method::Alf, &grid),
        (Method::Alf, &long),
        (foster, &backward),
    ] {
        let stored = run(&single, grid, method, Adjoint::Stored, None);
        for anchors in [None, Some(1), Some(2), Some(4), Some(grid.steps())] {
            let case = format!("{method}, {} steps, {anchors:?} anchors", grid.steps());
            let got = run(&single, grid, method, Adjoint::Checkpointed, anchors);
            assert_eq!(got.loss, stored.loss, "{case}: the loss");
            assert_eq!(got.x0, stored.x0, "{case}: dJ/dx0");
            assert_eq!(got.theta, stored.theta, "{case}: dJ/dθ");
            assert_eq!(got.report.status, stored.report.status, "{case}: status");
        }
    }
}

/// States of a segment and of anchors, which have a rest each.
fn states_kept(plan: &MemoryPlan) -> [u64; 2] {
    [plan.bytes(Slot::Stored) / plan.bytes(Slot::Initial), plan.bytes(Slot::Anchors) / plan.bytes(Slot::State)]
}

#[test]
fn memory_grows_with_the_root_of_the_steps() {
    for (steps, kept) in [(1, [1, 1]), (10, [4, 3]), (100, [10, 10]), (101, [11, 10]), (10_000, [100, 100])] {
        let grid = TimeGrid::uniform(0.0, 1.0, steps).expect("a valid grid");
        let ode = build(gpu(), &grid, Method::Heun, Adjoint::Checkpointed, None);
        let plan = ode.memory_plan(64).expect("a plan");
        let got = states_kept(&plan);
        assert_eq!(got, kept, "{steps} steps keep a segment and its anchors");
    }
}

#[test]
fn memory_is_that_of_the_anchors() {
    let grid = TimeGrid::uniform(0.0, 1.0, 1000).expect("a valid grid");
    // Given anchors, and the states in segments and anchors that they make.
    for (anchors, kept) in
        [(1, [1, 1]), (2, [1, 2]), (31, [1, 31]), (32, [32, 32]), (100, [10, 100]), (1000, [1, 1000])]
    {
        let ode = build(gpu(), &grid, Method::Heun, Adjoint::Checkpointed, Some(anchors));
        let plan = ode.memory_plan(64).expect("a plan");
        let got = states_kept(&plan);
        assert_eq!(got, kept, "{anchors} anchors");
        if anchors <= 32 && anchors > 1 {
            let report = run(gpu(), &grid, Method::Heun, Adjoint::Checkpointed, Some(anchors)).report;
            assert_eq!(report.allocated_bytes, report.memory.total_bytes(), "{anchors} anchors: bytes on the device");
        }
    }
}
