//! Does a gradient cost what was asked for, and are impossible requests refused before anything is dispatched?
//!
//! Dispatches are counted, memory is planned for few and many steps, masked observations are compared bit for bit, and bad
//! input must be named. Values are held against the twin in tests/objectives.rs.

mod common;

use std::f32::consts::PI;

use common::{field, gpu, parameters, random2, random3};
use costate::{
    Activation, Adjoint, Error, Gradient, Loss, Method, NeuralOde, NeuralOdeBuilder, Observations, Parameters,
    Reference, RunningCost, Slot, TimeGrid, Wrt,
};
use ndarray::{Array2, Array3, s};

const BATCH: usize = 12;

fn builder(grid: TimeGrid) -> NeuralOdeBuilder {
    NeuralOde::builder(field(2, &[5], Activation::Tanh, false), grid)
}

fn grid(steps: usize) -> TimeGrid {
    TimeGrid::with_steps(0.0, &[0.5, 1.0], 1.0, steps).expect("a valid grid")
}

fn inputs() -> (Parameters, Array2<f32>, Array3<f32>) {
    let theta = parameters(&field(2, &[5], Activation::Tanh, false), 1);
    (theta, random2(BATCH, 2, 2), random3(2, BATCH, 2, 3))
}

fn gradient(builder: NeuralOdeBuilder) -> Gradient {
    let (theta, x0, targets) = inputs();
    let ode = builder.build(gpu()).expect("a valid problem");
    ode.loss_and_gradient(&theta, x0.view(), targets.view()).expect("a gradient")
}

#[test]
fn what_is_not_asked_for_costs_no_dispatch() {
    for (method, adjoint) in [(Method::Rk4, Adjoint::Stored), (Method::Strang, Adjoint::Exact)] {
        let with = |wrt: Wrt| gradient(builder(grid(6)).method(method).adjoint(adjoint).gradients(wrt));
        let usual = with(Wrt::default());
        let only_theta = with(Wrt { theta: true, ..Wrt::nothing() });
        let only_x0 = with(Wrt { x0: true, ..Wrt::nothing() });
        let with_times = with(Wrt { t0: true, ..Wrt::default() });
        let only_targets = with(Wrt { targets: true, ..Wrt::nothing() });
        let case = format!("{method}, {adjoint}");

        // One reverse dispatch: its outer product, and one sum over the slices.
        assert_eq!(usual.report.dispatches - only_x0.report.dispatches, 2, "{case}: dispatches for θ");
        assert_eq!(usual.report.dispatches, only_theta.report.dispatches, "{case}: x0 is on the way to θ");
        assert_eq!(usual.report.dispatches, with_times.report.dispatches, "{case}: times are on the way too");
        assert_eq!(usual.theta, only_theta.theta, "{case}: θ does not depend on what else is asked for");
        assert_eq!(usual.x0, only_x0.x0, "{case}: nor does x0");
        assert!(only_x0.theta.is_empty() && only_theta.x0.is_empty(), "{case}: what was not asked for is empty");
        assert!(usual.times.is_none() && usual.targets.is_none() && usual.log_scale.is_none(), "{case}: or none");

        // Weights, forward, limits of the loss, loss, two for its sums and the end, cotangents: no way back. Fixed point
        // starts by itself, and is looked at in the end.
        let forward = if adjoint == Adjoint::Exact { 9 } else { 7 };
        assert_eq!(only_targets.report.dispatches, forward, "{case}: dispatches without a way back");
        assert!(only_targets.reconstruction.is_none(), "{case}: nothing was reconstructed");
        assert_eq!(only_targets.loss, usual.loss, "{case}: the loss is the same");
        let plan =
            |wrt| builder(grid(6)).method(method).adjoint(adjoint).gradients(wrt).build(gpu()).expect("a problem");
        let memory = plan(Wrt { x0: true, ..Wrt::nothing() }).memory_plan(BATCH).expect("a plan");
        assert_eq!(memory.bytes(Slot::Partials), 0, "{case}: no sums of θ are kept");
        let memory = plan(Wrt { targets: true, ..Wrt::nothing() }).memory_plan(BATCH).expect("a plan");
        let way_back = [Slot::Adjoint, Slot::Scratch, Slot::Drift].map(|slot| memory.bytes(slot));
        assert_eq!(way_back, [0; 3], "{case}: nothing is kept for a way back that is not gone");
        assert!(memory.bytes(Slot::Stored) <= memory.bytes(Slot::State), "{case}: nor are states");
    }
}

#[test]
fn memory_does_not_grow_with_the_steps_whatever_is_asked_for() {
    let reference = Reference::new(&[0.0, 1.0], Array3::zeros((2, 1, 2)).view()).expect("a valid reference");
    let cost =
        RunningCost::new().kinetic(1.0).and_then(|c| c.jacobian(1.0, 3)).and_then(|c| c.reference(1.0, reference));
    let cost = cost.expect("valid weights");
    let dense = |steps| TimeGrid::dense_with_steps(0.0, &[0.31, 0.5, 0.99], 1.0, steps).expect("a valid grid");
    for (method, adjoint) in
        [(Method::Rk4, Adjoint::Backsolve), (Method::Rk4, Adjoint::Continuous), (Method::BlanesMoan4, Adjoint::Exact)]
    {
        for make in [grid as fn(usize) -> TimeGrid, dense] {
            let bytes = |steps| {
                let problem = builder(make(steps)).method(method).adjoint(adjoint).loss(Loss::GaussianNll);
                let problem = problem.running_cost(cost.clone()).gradients(Wrt::all(Loss::GaussianNll));
                let ode = problem.build(gpu()).expect("a valid problem");
                ode.memory_plan(BATCH).expect("a plan").total_bytes()
            };
            // Scratch grows until a dispatch is full.
            let few = bytes(200);
            assert_eq!([bytes(2000), bytes(20_000)], [few, few], "{method}, {adjoint}: bytes");
        }
    }
}

#[test]
fn a_masked_observation_changes_nothing_bit_for_bit() {
    let (theta, x0, targets) = inputs();
    let mask = random3(2, BATCH, 2, 8).mapv(|v| v > 0.0);
    for (method, adjoint) in [(Method::Rk4, Adjoint::Checkpointed), (Method::BlanesMoan4, Adjoint::Exact)] {
        let wrt = Wrt { targets: true, saves: true, ..Wrt::default() };
        let ode = builder(grid(5)).method(method).adjoint(adjoint).gradients(wrt).build(gpu()).expect("a problem");
        let run = |under: f32| {
            let hidden = ndarray::Zip::from(&targets).and(&mask).map_collect(|&y, &seen| if seen { y } else { under });
            let observations = Observations::new(hidden.view()).mask(mask.view());
            ode.loss_and_gradient(&theta, x0.view(), observations).expect("a gradient")
        };
        let plain = run(0.0);
        for under in [f32::NAN, 1e30, f32::NEG_INFINITY, -PI] {
            let other = run(under);
            let case = format!("{method}, {adjoint}, {under} under the mask");
            assert_eq!(other.loss.map(f32::to_bits), plain.loss.map(f32::to_bits), "{case}: loss");
            assert_eq!((&other.theta, &other.x0), (&plain.theta, &plain.x0), "{case}: gradients");
            assert_eq!((&other.times, &other.targets), (&plain.times, &plain.targets), "{case}: gradients");
        }
        let cotangents = plain.targets.expect("asked for");
        let silent = ndarray::Zip::from(&cotangents).and(&mask).fold(true, |all, c, &seen| all && (seen || *c == 0.0));
        assert!(silent, "{method}: a masked target has a gradient");
    }
}

/// Each trajectory with times of its own on the grid of all: the same as alone on that grid.
#[test]
fn trajectories_with_times_of_their_own_share_a_grid() {
    let (theta, x0, targets) = inputs();
    let ode = builder(grid(8)).method(Method::Rk4).adjoint(Adjoint::Stored).build(gpu()).expect("a problem");
    // The first half looks at 0.5, the second at 1.
    let mask = Array3::from_shape_fn((2, BATCH, 2), |(time, b, _)| (time == 0) == (b < BATCH / 2));
    let together = Observations::new(targets.view()).mask(mask.view());
    let together = ode.loss_and_gradient(&theta, x0.view(), together).expect("a gradient");
    let first =
        NeuralOde::builder(ode.field().clone(), TimeGrid::with_steps(0.0, &[0.5], 1.0, 8).expect("a valid grid"))
            .method(Method::Rk4)
            .adjoint(Adjoint::Stored)
            .build(gpu())
            .expect("a problem");
    let half = BATCH / 2;
    let alone = first
        .loss_and_gradient(&theta, x0.slice(s![..half, ..]), targets.slice(s![..1, ..half, ..]))
        .expect("a gradient");
    // Means over as many observations each: half of them here.
    let error = (&together.x0.slice(s![..half, ..]) * 2.0 - &alone.x0).mapv(f32::abs).fold(0.0_f32, |m, v| m.max(*v));
    assert!(error < 1e-7, "dJ/dx0 differs by {error}");
}

#[test]
fn impossible_requests_are_refused_with_the_remedy() {
    let (theta, x0, targets) = inputs();
    let refused = |result: Result<NeuralOde, Error>, part: &str| {
        let error = result.expect_err(part);
        assert!(error.is_usage() && error.to_string().contains(part), "{part}: {error}");
    };
    refused(builder(grid(4)).gradients(Wrt::nothing()).build(gpu()), "none is wanted");
    refused(builder(grid(4)).gradients(Wrt { loss: true, ..Wrt::default() }).build(gpu()), "which has none");
    refused(builder(grid(4)).loss(Loss::Huber { delta: -1.0 }).build(gpu()), "delta");
    let of = |times: &[f64], dim: usize, batch: usize| {
        let reference = Reference::new(times, Array3::zeros((times.len(), batch, dim)).view()).expect("a reference");
        RunningCost::new().reference(1.0, reference).expect("a valid weight")
    };
    refused(builder(grid(4)).running_cost(of(&[0.0, 0.9], 2, 1)).build(gpu()), "do not cover");
    refused(builder(grid(4)).running_cost(of(&[0.0, 1.0], 3, 1)).build(gpu()), "one value per component");
    let continuous = builder(grid(4)).method(Method::Strang).adjoint(Adjoint::Continuous).build(gpu());
    refused(continuous, "Runge–Kutta");

    let ode =
        builder(grid(4)).loss(Loss::GaussianNll).running_cost(of(&[0.0, 1.0], 2, 7)).build(gpu()).expect("a problem");
    let scales = [0.0, 0.1];
    let full = Observations::new(targets.view()).log_scale(&scales);
    let error = ode.loss_and_gradient(&theta, x0.view(), full).expect_err("another batch").to_string();
    assert!(error.contains("[time, 12 or 1, dim]"), "{error}");

    let ode = builder(grid(4)).loss(Loss::GaussianNll).build(gpu()).expect("a problem");
    let (negative, wrong) = (targets.mapv(|_| -0.5), Array3::<f32>::ones((1, BATCH, 2)));
    let (nothing, partly) = (targets.mapv(|_| false), Array3::from_elem((2, BATCH, 1), true));
    let mut holes = targets.clone();
    holes[[1, 3, 0]] = f32::NAN;
    let mut seen = targets.mapv(|_| true);
    seen[[0, 0, 0]] = false;
    for (observations, part) in [
        (full.weights(negative.view()), "use weights ≥ 0"),
        (full.weights(wrong.view()), "weights has shape [1, 12, 2]"),
        (full.mask(nothing.view()), "nothing is observed"),
        (full.mask(partly.view()), "mask has shape [2, 12, 1]"),
        (Observations::new(holes.view()).log_scale(&scales), "[1, 3, 0]"),
        (Observations::new(holes.view()).log_scale(&scales).mask(seen.view()), "[1, 3, 0]"),
        (Observations::new(targets.view()), "give ln σ of every component"),
        (full.log_scale(&[0.0]), "one ln σ per component"),
        (full.log_scale(&[0.0, f32::NAN]), "component 1"),
        (full.log_scale(&[99.0, 0.0]), "component 0"),
    ] {
        let error = ode.loss_and_gradient(&theta, x0.view(), observations).expect_err(part);
        assert!(error.is_usage() && error.to_string().contains(part), "{part}: {error}");
    }
    let plain = builder(grid(4)).build(gpu()).expect("a problem");
    let error = plain.loss_and_gradient(&theta, x0.view(), full).expect_err("log scales").to_string();
    assert!(error.contains("gaussian_nll"), "{error}");
    let asked = builder(grid(4)).gradients(Wrt { targets: true, ..Wrt::default() }).build(gpu()).expect("a problem");
    let error = asked.vjp(&theta, x0.view(), targets.view()).expect_err("no targets").to_string();
    assert!(error.contains("with a loss only"), "{error}");
}
