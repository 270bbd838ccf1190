//! Does every arrangement of the kernels compute the same, and is one that makes no sense refused?
//!
//! Trajectories per invocation and workgroup sizes are forced one by one; states and gradients are held against the f64
//! twin, over a grid of shapes and over random ones. Blind to what is fast.

mod common;

use common::{field, gpu, parameters, random2, random3, relative, relative_max, twin_gradient};
use costate::{
    Activation, Adjoint, Caps, Error, Gradient, KernelOptions, Method, Mlp, NeuralOde, Parameters, Solution, TimeGrid,
    TrajectoryStatus,
};
use ndarray::{Array2, Array3, Axis};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// As in tests/kernels.rs: three times √130 units of rounding for a state; gradients go there and back.
const STATE: f64 = 30.0 * 6e-8;
const GRADIENT: f64 = 2.0 * STATE;

fn grid() -> TimeGrid {
    TimeGrid::from_boundaries(vec![0.0, 0.1, 0.15, 0.3], vec![0, 2, 3]).expect("a valid grid")
}

fn with(trajectories: u32) -> KernelOptions {
    KernelOptions { trajectories: Some(trajectories), ..KernelOptions::default() }
}

/// Solution and gradient of random data.
fn run(mlp: &Mlp, way: (Method, Adjoint), kernels: KernelOptions, batch: usize) -> Result<(Solution, Gradient), Error> {
    let builder = NeuralOde::builder(mlp.clone(), grid()).method(way.0).adjoint(way.1);
    let ode = builder.kernels(kernels).build(gpu())?;
    let (theta, x0, targets) = data(mlp, batch);
    Ok((ode.solve(&theta, x0.view())?, ode.loss_and_gradient(&theta, x0.view(), targets.view())?))
}

fn data(mlp: &Mlp, batch: usize) -> (Parameters, Array2<f32>, Array3<f32>) {
    (parameters(mlp, 5), random2(batch, mlp.dim(), 6), random3(grid().saves().len(), batch, mlp.dim(), 7))
}

fn compare(mlp: &Mlp, (method, adjoint): (Method, Adjoint), kernels: KernelOptions, batch: usize) {
    let case = format!("{}, {method}, {adjoint}, batch {batch}, {kernels:?}", mlp.summary());
    let (solution, gradient) = run(mlp, (method, adjoint), kernels, batch).expect(&case);
    let (theta, x0, targets) = data(mlp, batch);
    let want = twin_gradient(method, adjoint, &theta, &grid(), &x0, Some(&targets), None);
    let errors = [
        ("states", relative_max(&solution.states, &want.states), STATE),
        ("dJ/dθ", relative(&gradient.theta, &want.theta), GRADIENT),
        ("dJ/dx0", relative_max(&gradient.x0, &want.x0), GRADIENT),
    ];
    for (what, error, bound) in errors {
        println!("{case}: {what} {error:.1e}");
        assert!(error < bound, "{case}: {what} off by {error:e}");
    }
}

#[test]
fn every_number_of_trajectories_matches_the_twin() {
    let timed = field(2, &[9, 17], Activation::Tanh, true);
    let least = field(1, &[1], Activation::Sin, false);
    let deep = field(3, &[5, 7, 6], Activation::Gelu, false);
    let broad = field(8, &[20], Activation::Elu, true);
    let foster = Method::mccallum_foster(Method::Midpoint, 0.9).expect("a valid method");
    // Compiling takes most of the time: every way back with one field, every field with at least one way.
    for (mlp, way) in [
        (&timed, (Method::Euler, Adjoint::Stored)),
        (&least, (Method::Rk4, Adjoint::Backsolve)),
        (&deep, (Method::Heun, Adjoint::Checkpointed)),
        (&broad, (Method::BlanesMoan4, Adjoint::Stored)),
        (&least, (Method::ReversibleHeun, Adjoint::Reversible)),
        (&timed, (Method::Strang, Adjoint::Exact)),
        (&least, (foster, Adjoint::Reversible)),
    ] {
        compare(mlp, way, with(8), 65);
    }
    for trajectories in [1, 2, 4] {
        compare(&least, (Method::Rk4, Adjoint::Backsolve), with(trajectories), 65);
    }
}

#[test]
fn workgroups_of_any_size_match_the_twin() {
    let mlp = field(2, &[9, 17], Activation::Tanh, true);
    for workgroup in [1, 8, 32, 128] {
        let kernels = KernelOptions { workgroup: Some(workgroup), ..KernelOptions::default() };
        compare(&mlp, (Method::Heun, Adjoint::Stored), kernels, 131);
    }
}

/// Two runs of each arrangement give the same bits.
#[test]
fn arrangements_repeat_their_bits() {
    let mlp = field(2, &[33], Activation::Tanh, false);
    let mut all = Vec::new();
    for trajectories in [1, 4, 8] {
        let pass = || run(&mlp, (Method::Rk4, Adjoint::Stored), with(trajectories), 200).expect("a run");
        let (first, second) = (pass(), pass());
        assert_eq!(first.0.states, second.0.states, "{trajectories}: states");
        assert_eq!(first.1.theta, second.1.theta, "{trajectories}: dJ/dθ");
        all.push(first.0.states);
    }
    // The order of the sums of an evaluation is the same in all; drivers that fuse multiplications and additions may
    // still round otherwise.
    let first = all[0].mapv(f64::from);
    assert!(all.iter().all(|states| relative_max(states, &first) < 1e-6), "states differ by more than roundings");
}

#[test]
fn arrangements_that_make_no_sense_are_refused() {
    let narrow = field(2, &[5], Activation::Tanh, false);
    let wide = field(2, &[150], Activation::Tanh, false);
    let most = gpu().caps().max_workgroup;
    let cases = [
        (&narrow, KernelOptions { trajectories: Some(3), ..KernelOptions::default() }, "use 1, 2, 4 or 8"),
        (&narrow, KernelOptions { trajectories: Some(0), ..KernelOptions::default() }, "use 1, 2, 4 or 8"),
        (&narrow, KernelOptions { workgroup: Some(0), ..KernelOptions::default() }, "power of two"),
        (&narrow, KernelOptions { workgroup: Some(48), ..KernelOptions::default() }, "power of two"),
        (
            &narrow,
            KernelOptions { workgroup: Some(2 * most), ..KernelOptions::default() },
            "use a workgroup size of at most",
        ),
        (&narrow, KernelOptions { workgroup: Some(16), ..with(8) }, "use 8 with 8 trajectories"),
        (&wide, with(8), "at most 128 units"),
    ];
    for (mlp, kernels, expected) in cases {
        let error = run(mlp, (Method::Euler, Adjoint::Stored), kernels, 3).expect_err("a refusal").to_string();
        assert!(error.contains(expected), "{kernels:?}: {error}");
    }
    let plain = gpu().restricted(&Caps { int64: false, ..gpu().caps().clone() });
    let builder = NeuralOde::builder(narrow, grid()).kernels(with(8));
    let error = builder.build(&plain).expect_err("no integers of 64 bits").to_string();
    assert!(error.contains("integers of 64 bits"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4, failure_persistence: None, rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

    #[test]
    fn random_shapes_match_the_twin(
        dim in 1_usize..=8,
        hidden in proptest::collection::vec(1_usize..=40, 1..=2),
        activation in prop::sample::select(Activation::ALL.to_vec()),
        time in any::<bool>(),
        way in prop::sample::select(vec![
            (Method::Euler, Adjoint::Stored),
            (Method::Midpoint, Adjoint::Backsolve),
            (Method::Strang, Adjoint::Stored),
        ]),
        trajectories in prop::sample::select(vec![None, Some(4), Some(8)]),
        batch in 1_usize..=140,
    ) {
        let mlp = field(dim, &hidden, activation, time);
        compare(&mlp, way, KernelOptions { trajectories, ..KernelOptions::default() }, batch);
    }
}

/// A trajectory that leaves the finite numbers shares registers and sums with seven others, and a subgroup with 56 more.
#[test]
fn one_that_fails_leaves_the_others_alone() {
    let mlp = field(2, &[9, 17], Activation::Identity, false);
    let values = parameters(&mlp, 5).as_slice().iter().map(|v| 3.0 * v).collect();
    let theta = Parameters::from_flat(&mlp, values).expect("finite parameters");
    let (bad, batch) = (70, 131);
    let mut x0 = random2(batch, 2, 6);
    let targets = random3(2, batch, 2, 7);
    x0[[bad, 0]] = 3e38;
    let rest: Vec<usize> = (0..batch).filter(|b| *b != bad).collect();
    let (rest_x0, rest_targets) = (x0.select(Axis(0), &rest), targets.select(Axis(1), &rest));
    let grid = TimeGrid::from_boundaries(vec![0.0, 0.3, 0.6, 1.0], vec![2, 3]).expect("a valid grid");
    for (method, adjoint) in [
        (Method::Rk4, Adjoint::Stored),
        (Method::Rk4, Adjoint::Backsolve),
        (Method::ReversibleHeun, Adjoint::Reversible),
    ] {
        let builder = NeuralOde::builder(mlp.clone(), grid.clone()).method(method).adjoint(adjoint).kernels(with(8));
        let ode = builder.build(gpu()).expect("a small problem");
        let got = ode.loss_and_gradient(&theta, x0.view(), targets.view()).expect("a gradient of the rest");
        let alone = ode.loss_and_gradient(&theta, rest_x0.view(), rest_targets.view()).expect("a gradient");
        assert_ne!(got.report.status[bad], TrajectoryStatus::Ok, "{adjoint}: it should fail");
        assert_eq!(got.report.ok(), batch - 1, "{adjoint}: nobody else fails");
        assert_eq!(got.x0.select(Axis(0), &rest), alone.x0, "{adjoint}: dJ/dx0 of the others");
        assert!(got.x0.row(bad).iter().all(|v| *v == 0.0), "{adjoint}: dJ/dx0 of the one that failed");
        let want: Vec<f64> = alone.theta.iter().map(|v| f64::from(*v)).collect();
        let error = relative(&got.theta, &want);
        assert!(error < GRADIENT, "{adjoint}: dJ/dθ off by {error:e}");
    }
}
