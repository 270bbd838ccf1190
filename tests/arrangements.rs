//! Does every arrangement of the kernels compute the same, and is one that makes no sense refused?
//!
//! Trajectories per invocation and workgroup sizes are forced one by one; states and gradients are held against the f64
//! twin, over a grid of shapes and over random ones. Blind to what is fast.

mod common;

use common::{field, gpu, parameters, random2, random3, relative, relative_max, twin_gradient};
use costate::{Activation, Adjoint, Caps, Error, Gradient, KernelOptions, Method, Mlp, NeuralOde, Solution, TimeGrid};
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

fn data(mlp: &Mlp, batch: usize) -> (costate::Parameters, ndarray::Array2<f32>, ndarray::Array3<f32>) {
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
    println!("{case}: {errors:.1e?}");
    for (what, error, bound) in errors {
        assert!(error < bound, "{case}: {what} off by {error:e}");
    }
}

#[test]
fn every_number_of_trajectories_matches_the_twin() {
    let ways = [
        (Method::Euler, Adjoint::Stored),
        (Method::Rk4, Adjoint::Backsolve),
        (Method::Heun, Adjoint::Checkpointed),
        (Method::BlanesMoan4, Adjoint::Stored),
        (Method::ReversibleHeun, Adjoint::Reversible),
    ];
    let fields = [
        field(2, &[9, 17], Activation::Tanh, true),
        field(1, &[1], Activation::Sin, false),
        field(3, &[5, 7, 6], Activation::Gelu, false),
        field(8, &[20], Activation::Elu, true),
    ];
    for (i, mlp) in fields.iter().enumerate() {
        for trajectories in [1, 2, 4, 8] {
            // Every field with two of the ways, every way with most fields.
            for way in [ways[i], ways[i + 1]] {
                compare(mlp, way, with(trajectories), 65);
            }
        }
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
    for trajectories in [1, 4, 8] {
        let pass = || run(&mlp, (Method::Rk4, Adjoint::Stored), with(trajectories), 200).expect("a run");
        let (first, second) = (pass(), pass());
        assert_eq!(first.0.states, second.0.states, "{trajectories}: states");
        assert_eq!(first.1.theta, second.1.theta, "{trajectories}: dJ/dθ");
    }
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
    #![proptest_config(ProptestConfig { cases: 10, failure_persistence: None, rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

    #[test]
    fn random_shapes_match_the_twin(
        dim in 1_usize..=8,
        hidden in proptest::collection::vec(1_usize..=40, 1..=3),
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
