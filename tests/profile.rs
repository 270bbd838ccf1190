//! Does a profile say where the time goes: every kernel, no more seconds than the call took, and the same results?
//!
//! Blind to whether the clock of the device is right but for its sum; on an adapter without timestamps only that there is
//! no profile then.

mod common;

use costate::{Activation, Adjoint, Init, KernelOptions, Method, Mlp, NeuralOde, Parameters, Report, TimeGrid};
use ndarray::{Array2, Array3};

/// Device time may exceed the wall time by so much: two clocks.
const CLOCKS: f64 = 1.2;

fn problem(method: Method, adjoint: Adjoint, steps: usize) -> (NeuralOde, Parameters) {
    let field = Mlp::builder(2).hidden(&[16, 16], Activation::Tanh).build().expect("a field");
    let theta = Parameters::init(&field, Init::Xavier, 0).expect("an initialiser");
    let grid = TimeGrid::uniform(0.0, 1.0, steps).expect("a grid");
    let builder = NeuralOde::builder(field, grid).method(method).adjoint(adjoint);
    (builder.profile(true).build(common::gpu()).expect("a small problem"), theta)
}

fn states(batch: usize) -> (Array2<f32>, Array3<f32>) {
    let x0 = Array2::from_shape_fn((batch, 2), |(b, c)| ((b * 7 + c * 3) % 11) as f32 / 11.0);
    let targets = Array3::zeros((1, batch, 2));
    (x0, targets)
}

/// The kernels of a report, whose times and counts must fit the whole.
#[track_caller]
fn kernels(report: &Report) -> Option<Vec<&'static str>> {
    let Some(times) = &report.kernels else {
        assert!(!common::gpu().has_timestamps(), "an adapter with timestamps should give a profile");
        return None;
    };
    let seconds: f64 = times.iter().map(|t| t.seconds).sum();
    assert!(seconds > 0.0 && seconds <= CLOCKS * report.seconds, "{seconds} s of {} s: {times:?}", report.seconds);
    assert_eq!(times.iter().map(|t| t.dispatches).sum::<usize>(), report.dispatches, "launches: {times:?}");
    assert_eq!(times.iter().map(|t| t.flops).sum::<u64>(), report.flops, "operations: {times:?}");
    // Copies and clears are not kernels.
    let bytes: u64 = times.iter().map(|t| t.bytes).sum();
    assert!(bytes > 0 && bytes <= report.bytes_moved, "{bytes} bytes of {}", report.bytes_moved);
    Some(times.iter().map(|t| t.kernel).collect())
}

#[test]
fn a_profile_names_every_kernel() {
    for (method, adjoint, there, back) in [
        (Method::Rk4, Adjoint::Backsolve, "step_forward", "step_reverse"),
        (Method::Rk4, Adjoint::Continuous, "step_forward", "continuous_reverse"),
        (Method::Strang, Adjoint::Exact, "pair_walk", "pair_reverse"),
    ] {
        let (ode, theta) = problem(method, adjoint, 20);
        let (x0, targets) = states(1000);
        let gradient = ode.loss_and_gradient(&theta, x0.view(), targets.view()).expect("a gradient");
        if let Some(kernels) = kernels(&gradient.report) {
            for name in ["pack_weights", there, "loss_partials", back, "reduce"] {
                assert!(kernels.contains(&name), "{method}, {adjoint}: {name} should be among {kernels:?}");
            }
        }
        let solution = ode.solve(&theta, x0.view()).expect("a solve");
        if let Some(kernels) = kernels(&solution.report) {
            assert!(kernels.contains(&there) && !kernels.contains(&back), "{method}: a solve runs {kernels:?}");
        }
        let operations = 20 * 1000 * 2 * (2 * 16 + 16 * 16 + 16 * 2);
        assert!(solution.report.flops >= operations, "{method}: {} operations", solution.report.flops);
    }
}

#[test]
fn a_profile_changes_no_result_and_can_be_turned_off() {
    let (mut ode, theta) = problem(Method::Rk4, Adjoint::Stored, 10);
    let (x0, targets) = states(130);
    let profiled = ode.loss_and_gradient(&theta, x0.view(), targets.view()).expect("a gradient");
    ode.set_profile(false);
    let plain = ode.loss_and_gradient(&theta, x0.view(), targets.view()).expect("a gradient");
    assert!(plain.report.kernels.is_none(), "no profile unless asked for");
    assert_eq!(profiled.theta, plain.theta, "the same bits");
    assert_eq!(profiled.report.flops, plain.report.flops, "operations are counted either way");
    assert_eq!(profiled.report.bytes_moved, plain.report.bytes_moved, "and so are bytes");
}

#[test]
fn more_launches_than_a_set_of_timestamps_holds() {
    // Euler's backsolve with little scratch, by kernels that need it: thousands of launches.
    let limits = costate::Caps { scratch_bytes: 1, ..common::gpu().caps().clone() };
    let gpu = common::gpu().restricted(&limits);
    let field = Mlp::builder(2).hidden(&[3], Activation::Tanh).build().expect("a field");
    let theta = Parameters::init(&field, Init::Xavier, 0).expect("an initialiser");
    let grid = TimeGrid::uniform(0.0, 1.0, 2500).expect("a grid");
    let builder = NeuralOde::builder(field, grid).method(Method::Euler).adjoint(Adjoint::Backsolve).profile(true);
    let kernels_of_four = KernelOptions { trajectories: Some(4), ..KernelOptions::default() };
    let ode = builder.kernels(kernels_of_four).build(&gpu).expect("a small problem");
    let (x0, targets) = states(64);
    let gradient = ode.loss_and_gradient(&theta, x0.view(), targets.view()).expect("a gradient");
    assert!(gradient.report.dispatches > 2 * 2048, "{} launches", gradient.report.dispatches);
    kernels(&gradient.report);
}
