//! Does a run with a memory budget stay within it, take the way that it was shown, and still give the exact gradient?
//!
//! The choice itself is tested in src/plan/budget.rs against every other; here it is carried out. Blind to what the driver
//! keeps for itself.

mod common;

use common::{gpu, mild, random2, random3, relative};
use costate::train::{DataSet, TrainOptions, Trainer};
use costate::{AdapterRequest, Adjoint, AdjointOptions, Candidate, Error, Gpu, Gradient, Method, NeuralOde, TimeGrid};
use ndarray::Array3;

const STEPS: usize = 900;

fn try_build(gpu: &Gpu, method: Method, adjoint: Adjoint, memory: Option<u64>) -> costate::Result<NeuralOde> {
    let grid = TimeGrid::with_steps(0.0, &[0.5, 1.0, 2.0], 2.0, STEPS / 3).expect("a valid grid");
    // A walk back in a kernel of its own: otherwise exact kicks are as cheap as stored ones, and always taken.
    let options = AdjointOptions { memory, separate: true, ..AdjointOptions::default() };
    let builder = NeuralOde::builder(mild(16, 1).field().clone(), grid).method(method).adjoint(adjoint);
    builder.adjoint_options(options).build(gpu)
}

fn build(method: Method, adjoint: Adjoint, memory: Option<u64>) -> NeuralOde {
    try_build(gpu(), method, adjoint, memory).expect("a small problem")
}

fn gradient(ode: &NeuralOde, batch: usize) -> costate::Result<Gradient> {
    let (x0, targets) = (random2(batch, 2, 1), random3(3, batch, 2, 2));
    ode.loss_and_gradient(&mild(16, 1), x0.view(), targets.view())
}

fn way(candidate: &Candidate) -> (Adjoint, Option<u64>) {
    let anchors = candidate.anchors.map(|a| a as u64);
    // The root of 900 steps is its own number.
    (candidate.adjoint, anchors.or((candidate.adjoint == Adjoint::Checkpointed).then_some(30)))
}

#[test]
fn a_run_takes_the_way_that_it_was_shown() {
    let stored = gradient(&build(Method::Heun, Adjoint::Stored, None), 70).expect("a gradient");
    let mut ways = Vec::new();
    let shown = build(Method::Heun, Adjoint::Auto, None).candidates(70).expect("a small problem");
    assert!(shown.iter().all(|c| c.fits), "without a budget everything fits that the device grants");
    for budget in shown.iter().flat_map(|c| [c.bytes, c.bytes + 10_000]) {
        let ode = build(Method::Heun, Adjoint::Auto, Some(budget));
        let got = gradient(&ode, 70).expect("a gradient");
        let report = &got.report;
        let case = format!("{budget} bytes: {:?} with {:?} anchors", report.adjoint, report.anchors);
        let candidates = ode.candidates(70).expect("a small problem");
        let chosen = candidates.iter().find(|c| c.fits).expect("one fits");
        assert_eq!(report.adjoint.map(|a| (a, report.anchors)), Some(way(chosen)), "{case}: not the first that fits");
        assert_eq!(report.allocated_bytes, chosen.bytes, "{case}: bytes on the device");
        assert_eq!(report.memory, ode.memory_plan(70).expect("a plan"), "{case}: another plan than was shown");
        assert_eq!(report.field_evaluations, chosen.field_evaluations, "{case}: evaluations");
        assert!(report.allocated_bytes <= budget, "{case}: more than allowed");
        assert_eq!(got.x0, stored.x0, "{case}: dJ/dx0");
        let error = relative(&got.theta, stored.theta.iter().map(|v| f64::from(*v)).collect::<Vec<_>>().iter());
        assert!(error <= 1e-6, "{case}: dJ/dθ off by {error:e}");
        ways.push((report.adjoint, report.anchors));
    }
    ways.dedup();
    println!("{ways:?}");
    assert!(ways.len() > shown.len(), "the room between two candidates is not used: {ways:?}");
}

/// The budget is that of the batch at hand.
#[test]
fn a_larger_batch_keeps_fewer_states() {
    let enough = build(Method::Heun, Adjoint::Stored, None).memory_plan(100).expect("a plan").total_bytes();
    let ode = build(Method::Heun, Adjoint::Auto, Some(enough));
    let mut kept = Vec::new();
    for batch in [100, 1000, 20_000, 100] {
        let report = gradient(&ode, batch).expect("a gradient").report;
        assert!(report.allocated_bytes <= enough, "batch {batch}: {} bytes", report.allocated_bytes);
        kept.push((report.adjoint, report.anchors));
    }
    println!("{kept:?}");
    assert_eq!(kept[0], (Some(Adjoint::Stored), None), "what fits exactly is taken");
    assert_eq!(kept[0], kept[3], "the same batch again");
    assert_eq!(kept[1].0, Some(Adjoint::Checkpointed), "batch 1000");
    assert!(kept[2].1 < kept[1].1, "batch 20 000 keeps as many states as batch 1000: {kept:?}");
}

/// Kicks of the automatic adjoint: stored in floats if there is room, else exact; the solution stays the same.
#[test]
fn kicks_are_stored_where_there_is_room() {
    let exact = gradient(&build(Method::Strang, Adjoint::Auto, None), 70).expect("a gradient");
    assert_eq!(exact.report.adjoint, Some(Adjoint::Exact), "without a budget");
    let candidates = build(Method::Strang, Adjoint::Auto, None).candidates(70).expect("a small problem");
    for candidate in candidates {
        let got = gradient(&build(Method::Strang, Adjoint::Auto, Some(candidate.bytes)), 70).expect("a gradient");
        let case = format!("{} bytes: {:?} with {:?} anchors", candidate.bytes, got.report.adjoint, got.report.anchors);
        assert!(got.report.allocated_bytes <= candidate.bytes, "{case}: more than allowed");
        let exact_theta: Vec<f64> = exact.theta.iter().map(|v| f64::from(*v)).collect();
        let errors = [relative(&got.theta, &exact_theta), relative(&got.x0, exact.x0.mapv(f64::from).iter())];
        println!("{case}: dJ/dθ, dJ/dx0 differ by {errors:?}");
        // Fixed point against floats over 900 steps.
        assert!(errors.iter().all(|e| *e < 2e-5), "{case}: dJ/dθ, dJ/dx0 differ by {errors:?}");
    }
}

#[test]
fn too_small_a_budget_is_refused_before_anything_is_allocated() {
    let own = Gpu::new(&AdapterRequest::default()).expect("these tests need a Vulkan adapter: run `make setup`");
    let ode = try_build(&own, Method::Heun, Adjoint::Auto, Some(5000)).expect("a small problem");
    own.destroy();
    let least = ode.candidates(70).expect("a small problem").iter().map(|c| c.bytes).min().expect("some candidates");
    let error = gradient(&ode, 70).expect_err("5 kB are too few");
    let Error::BudgetExceeded { needed, budget, ref remedy, .. } = error else { panic!("another error: {error}") };
    assert_eq!((needed, budget), (least, 5000), "the numbers of the error");
    assert!(remedy.contains(&least.to_string()) && remedy.contains("smaller batch"), "the remedy: {remedy}");
    assert!(error.is_usage(), "it is for the caller to mend");
    assert!(gradient(&ode, 70).is_err() && ode.memory_plan(70).is_err(), "every time");
}

#[test]
fn training_stays_within_its_budget() {
    let times: Vec<f64> = (0..=300).map(|i| f64::from(i) * 0.01).collect();
    let values = Array3::from_shape_fn((5, 301, 2), |(s, i, c)| (0.01 * i as f32 + (s + c) as f32).sin());
    let data = DataSet::new(&times, values.view()).expect("valid data");
    let theta = mild(16, 1);
    let run = |memory| {
        let options = TrainOptions {
            batch: 100,
            iterations: 3,
            method: Method::Heun,
            adjoint: Adjoint::Auto,
            adjoint_options: AdjointOptions { memory, ..AdjointOptions::default() },
            ..TrainOptions::default()
        };
        let mut trainer = Trainer::new(gpu(), &theta, &data, options)?;
        trainer.advance(3)?;
        let losses: Vec<f32> = trainer.finish()?.iter().map(|r| r.loss).collect();
        costate::Result::Ok(((trainer.adjoint(), trainer.anchors()), trainer.memory_plan().total_bytes(), losses))
    };
    let (adjoint, usual, losses) = run(None).expect("three iterations");
    assert_eq!(adjoint, (Adjoint::Stored, None), "few states are stored without a budget");
    let Err(Error::BudgetExceeded { needed: least, .. }) = run(Some(1000)) else { panic!("1000 bytes are too few") };
    let mut states = Vec::new();
    for budget in [1 << 30, usual, (usual + least) / 2, (usual + 3 * least) / 4, (usual + 7 * least) / 8, least] {
        let (adjoint, bytes, same) = run(Some(budget)).expect("three iterations");
        println!("{budget} bytes: {adjoint:?}, {bytes} bytes");
        assert!(bytes <= budget, "{bytes} bytes of {budget}");
        let pairs = losses.iter().zip(&same);
        assert!(pairs.clone().all(|(a, b)| (a - b).abs() <= 1e-6 * a), "{adjoint:?}: losses {losses:?} and {same:?}");
        states.push(adjoint);
    }
    assert_eq!(states[0], (Adjoint::Stored, None), "with room for everything");
    assert_eq!(states[5].0, Adjoint::Checkpointed, "with the least that will do: {states:?}");
    let error = run(Some(1000)).expect_err("1000 bytes are too few").to_string();
    assert!(error.contains("memory budget is 1000 bytes"), "{error}");
}
