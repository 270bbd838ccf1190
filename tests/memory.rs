//! Is the device memory of a run what was promised before it, byte for byte, and independent of the steps for backsolve?
//!
//! Counts the buffers as the device layer created them. Blind to what the driver keeps for itself and to the staging
//! buffer of a readback, which lives for one call and holds at most 64 MiB.

mod common;

use common::{field, gpu, parameters, random2, random3, ways};
use costate::{Activation, AdapterRequest, Adjoint, Gpu, MemoryPlan, Method, Mlp, NeuralOde, Report, Slot, TimeGrid};

fn mlp() -> Mlp {
    field(3, &[5], Activation::Tanh, false)
}

fn problem(adjoint: Adjoint, steps: usize) -> NeuralOde {
    let grid = TimeGrid::uniform(0.0, 1.0, steps).expect("a valid grid");
    NeuralOde::builder(mlp(), grid).method(Method::Heun).adjoint(adjoint).build(gpu()).expect("a small problem")
}

/// Runs a gradient and returns its report.
fn run(ode: &NeuralOde, batch: usize) -> Report {
    let field = ode.field();
    let (x0, targets) = (random2(batch, field.dim(), 1), random3(ode.grid().saves().len(), batch, field.dim(), 2));
    ode.loss_and_gradient(&parameters(field, 1), x0.view(), targets.view()).expect("a gradient").report
}

#[test]
fn backsolve_needs_the_same_bytes_for_any_number_of_steps() {
    for batch in [1, 70] {
        let mut first: Option<MemoryPlan> = None;
        for steps in [10, 100, 1000, 10_000] {
            let ode = problem(Adjoint::Backsolve, steps);
            let plan = ode.memory_plan(batch).expect("a small problem");
            let report = run(&ode, batch);
            assert_eq!(report.steps, steps, "the run took other steps");
            assert_eq!(report.memory, plan, "N = {steps}: the run had another plan than was shown");
            assert_eq!(report.allocated_bytes, plan.total_bytes(), "N = {steps}: bytes on the device");
            assert_eq!(plan.bytes(Slot::Stored), 0, "backsolve stores states");
            let first = first.get_or_insert_with(|| plan.clone());
            assert_eq!(*first, plan, "batch {batch}: memory changed between N = 10 and N = {steps}");
        }
        println!("batch {batch}: {} bytes", first.expect("four runs").total_bytes());
    }
}

#[test]
fn stored_grows_by_one_state_per_step() {
    let batch = 70;
    let plans: Vec<(usize, MemoryPlan)> = [10, 100, 1000, 4000]
        .into_iter()
        .map(|steps| {
            let ode = problem(Adjoint::Stored, steps);
            let report = run(&ode, batch);
            assert_eq!(report.memory, ode.memory_plan(batch).expect("a small problem"), "N = {steps}: plan");
            assert_eq!(report.allocated_bytes, report.memory.total_bytes(), "N = {steps}: bytes on the device");
            (steps, report.memory)
        })
        .collect();
    for (steps, plan) in &plans {
        // One state [dim, stride] per step; the state itself says what the stride is.
        let state = plan.bytes(Slot::Initial);
        assert_eq!(state % (4 * 3), 0, "a state has 3 components");
        assert!(state / (4 * 3) >= batch as u64, "a stride below the batch");
        assert_eq!(plan.bytes(Slot::Stored), *steps as u64 * state, "N = {steps}: stored states");
        assert!([0, plan.bytes(Slot::Partials)].contains(&plan.bytes(Slot::Totals)), "N = {steps}: totals");
        for (slot, bytes) in plan.entries() {
            // Sums over many dispatches have a second level.
            if ![Slot::Stored, Slot::Totals].contains(slot) {
                assert_eq!(*bytes, plans[0].1.bytes(*slot), "N = {steps}: {slot:?} grew with the steps");
            }
        }
    }
}

#[test]
fn every_byte_on_the_device_is_in_the_plan() {
    let grid = TimeGrid::with_steps(0.0, &[0.0, 0.5, 0.7], 1.0, 2).expect("a valid grid");
    for (mlp, batch) in [
        (field(1, &[7], Activation::Sin, true), 1),
        (field(3, &[6, 9], Activation::Tanh, false), 65),
        (field(2, &[150], Activation::Tanh, false), 3),
        (field(1, &[1, 1], Activation::Sin, false), 1000),
    ] {
        for (method, adjoint) in ways(Method::Euler, Method::Strang) {
            let builder = NeuralOde::builder(mlp.clone(), grid.clone()).method(method).adjoint(adjoint);
            let ode = builder.build(gpu()).expect("a small problem");
            let plan = ode.memory_plan(batch).expect("a small problem");
            let report = run(&ode, batch);
            let case = format!("{} {method} {adjoint} batch {batch}", mlp.summary());
            assert_eq!(report.memory, plan, "{case}: plan");
            assert_eq!(report.allocated_bytes, plan.total_bytes(), "{case}: bytes on the device");
            let sum: u64 = plan.entries().iter().map(|(_, bytes)| bytes).sum();
            assert_eq!(plan.total_bytes(), sum, "{case}: total");
            assert_eq!(plan.bytes(Slot::Theta), 4 * mlp.parameter_count() as u64, "{case}: θ");
            assert!(plan.to_string().contains(&sum.to_string()), "{case}: the table does not show the total");
            let solve = ode.solve(&parameters(&mlp, 1), random2(batch, mlp.dim(), 1).view()).expect("a solve").report;
            assert_eq!(solve.allocated_bytes, solve.memory.total_bytes(), "{case}: bytes of a solve");
            assert_eq!(solve.memory.bytes(Slot::Adjoint), 0, "{case}: a solve has no adjoint");
        }
    }
}

/// A plan is made from numbers alone: it works when the device is gone, and for batches that fill its memory.
#[test]
fn a_plan_touches_no_device() {
    let own = Gpu::new(&AdapterRequest::default()).expect("these tests need a Vulkan adapter: run `make setup`");
    let grid = TimeGrid::uniform(0.0, 1.0, 10).expect("a valid grid");
    let builder = NeuralOde::builder(mlp(), grid).method(Method::Heun).adjoint(Adjoint::Backsolve);
    let ode = builder.build(&own).expect("a small problem");
    own.destroy();
    // With what its sum has rounded away.
    let state = 2 * 4 * 3;
    let batch = usize::try_from(own.caps().max_binding / state / 2).expect("a 64-bit machine");
    let plan = ode.memory_plan(batch).expect("half of the largest binding for a state");
    assert!(plan.total_bytes() > own.caps().max_binding, "the plan of {batch} trajectories is too small: {plan}");
}

/// The promise of the exact adjoint: the same bytes for 16 steps and for 100 000, of every buffer.
#[test]
fn exact_takes_the_same_bytes_for_any_number_of_steps() {
    for (method, two_words) in [(Method::BlanesMoan4, false), (Method::Strang, true)] {
        let mut first: Option<MemoryPlan> = None;
        for steps in [16, 20, 100, 1000, 100_000] {
            let grid = TimeGrid::uniform(0.0, 1.0, steps).expect("a valid grid");
            let options = costate::AdjointOptions { two_words, ..costate::AdjointOptions::default() };
            let builder = NeuralOde::builder(field(2, &[8], Activation::Tanh, false), grid).method(method);
            let ode = builder.adjoint(Adjoint::Exact).adjoint_options(options).build(gpu()).expect("a small problem");
            let plan = ode.memory_plan(70).expect("a small problem");
            if steps <= 1000 {
                let report = run(&ode, 70);
                assert_eq!(report.allocated_bytes, plan.total_bytes(), "{method}, N = {steps}: bytes on the device");
            }
            let first = first.get_or_insert_with(|| plan.clone());
            assert_eq!(*first, plan, "{method}: memory changed between N = 16 and N = {steps}");
        }
    }
}
