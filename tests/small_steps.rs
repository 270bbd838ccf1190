//! Do many small increments add up, each of them less than the state's last place?
//!
//! Runge-Kutta methods keep what their sums round away, there and back; closed forms say what must come out. Kicks are rounded
//! one by one: what they lose is told. Blind to methods that blend two copies or drift.

mod common;

use common::gpu;
use costate::{Adjoint, AdjointOptions, Method, Mlp, NeuralOde, Parameters, Report, TimeGrid, Warning};
use ndarray::{Array2, Array3, array};

/// x' = rate x + drift.
fn linear(rate: f32, drift: f32) -> Parameters {
    let field = Mlp::builder(1).build().expect("a valid field");
    Parameters::from_flat(&field, vec![rate, drift]).expect("finite parameters")
}

/// x0 = 10 000 and x' = 1 in 100 000 steps to 10: an increment is a tenth of the last place. It gets there, and back.
#[test]
fn increments_below_the_last_place_are_not_lost() {
    let theta = linear(0.0, 1.0);
    let grid = TimeGrid::uniform(0.0, 10.0, 100_000).expect("a valid grid");
    let x0 = array![[10_000.0_f32], [-10_000.0]];
    let cotangents = Array3::ones((1, 2, 1));
    for adjoint in [Adjoint::Stored, Adjoint::Checkpointed, Adjoint::Backsolve, Adjoint::Continuous] {
        let ode = NeuralOde::builder(theta.field().clone(), grid.clone()).method(Method::Euler).adjoint(adjoint);
        let ode = ode.build(gpu()).expect("a small problem");
        let states = ode.solve(&theta, x0.view()).expect("a solve").states;
        assert_eq!(states, array![[[10_010.0], [-9990.0]]], "{adjoint}");
        let gradient = ode.vjp(&theta, x0.view(), cotangents.view()).expect("a gradient");
        assert_eq!(gradient.x0, array![[1.0], [1.0]], "{adjoint}: dJ/dx0");
        // The time, of two trajectories.
        let by_drift = gradient.theta[1];
        assert!((by_drift - 20.0).abs() < 2e-5, "{adjoint}: dJ/d drift is {by_drift}");
        if let Some(certificate) = gradient.reconstruction {
            assert!(certificate.max_abs < 1e-3, "{adjoint}: comes back to within {}", certificate.max_abs);
        }
    }
}

/// A million steps of 1e-9.
#[test]
fn a_million_tiny_steps_add_up() {
    let theta = linear(0.0, 1.0);
    let grid = TimeGrid::uniform(0.0, 1e-3, 1_000_000).expect("a valid grid");
    let ode = NeuralOde::builder(theta.field().clone(), grid).method(Method::Euler).adjoint(Adjoint::Backsolve);
    let found = ode.build(gpu()).expect("a small problem").solve(&theta, array![[1.0_f32]].view()).expect("a solve");
    assert_eq!(found.states[[0, 0, 0]], 1.001, "the state after a thousandth");
}

/// The adjoint is a sum of small increments too: x' = −x/10 000 over 10, in steps that change it by less than f32 shows.
#[test]
fn the_adjoint_of_tiny_steps_moves() {
    let theta = linear(-1e-4, 0.0);
    let rate = f64::from(theta.as_slice()[0]);
    let grid = TimeGrid::uniform(0.0, 10.0, 100_000).expect("a valid grid");
    let x0 = array![[1.0_f32]];
    let cotangents = Array3::ones((1, 1, 1));
    for adjoint in [Adjoint::Stored, Adjoint::Backsolve, Adjoint::Continuous] {
        let ode = NeuralOde::builder(theta.field().clone(), grid.clone()).method(Method::Euler).adjoint(adjoint);
        let ode = ode.build(gpu()).expect("a small problem");
        let gradient = ode.vjp(&theta, x0.view(), cotangents.view()).expect("a gradient");
        let (found, wanted) = (f64::from(gradient.x0[[0, 0]]), (10.0 * rate).exp());
        assert!((found - wanted).abs() < 1.2e-7, "{adjoint}: dJ/dx0 is {found}, not {wanted}");
    }
}

/// The report of a solve by kicks from these states, and how far the first comes.
fn kicked(theta: &Parameters, adjoint: Adjoint, two_words: bool, x0: &[f32], t1: f64, steps: usize) -> (Report, f64) {
    let grid = TimeGrid::uniform(0.0, t1, steps).expect("a valid grid");
    let options = AdjointOptions { two_words, ..AdjointOptions::default() };
    let ode = NeuralOde::builder(theta.field().clone(), grid).method(Method::Strang).adjoint(adjoint);
    let ode = ode.adjoint_options(options).build(gpu()).expect("a small problem");
    let x0 = Array2::from_shape_vec((x0.len(), 1), x0.to_vec()).expect("a column");
    let found = ode.solve(theta, x0.view()).expect("a solve");
    (found.report, f64::from(found.states[[0, 0, 0]]) - f64::from(x0[[0, 0]]))
}

/// Trajectories that lost increments, by the warning.
fn losing(report: &Report) -> usize {
    let warned = report.warnings.iter().find_map(|w| match w {
        Warning::LostIncrements { trajectories, share, steps, .. } => Some((*trajectories, *share, *steps)),
        _ => None,
    });
    warned.map_or(0, |(trajectories, share, steps)| {
        assert!(share > 5e-5 && share < 2e-3 && steps == report.steps, "{:?}", report.warnings);
        trajectories
    })
}

#[test]
fn kicks_that_are_lost_are_told() {
    let theta = linear(0.0, 1.0);
    // One trajectory is so small that nothing is lost.
    let x0 = [100.0, 0.01, -100.0];
    let (report, way) = kicked(&theta, Adjoint::Stored, false, &x0, 0.1, 100_000);
    assert!(way < 0.05, "kicks in f32 come {way} far");
    assert_eq!(losing(&report), 2, "{:?}", report.warnings);
    // Two words keep all of it.
    let (report, way) = kicked(&theta, Adjoint::Exact, true, &x0, 0.1, 100_000);
    assert!((way - 0.1).abs() < 1e-5, "kicks of two words come {way} far");
    assert_eq!(report.warnings, [], "two words");
}

/// What a state at rest loses is of no account, however long it rests, and random roundings are not lost.
#[test]
fn states_at_rest_lose_nothing() {
    // x' = 0.7 − 0.7 x, from rest, near it and from afar.
    let theta = linear(-0.7, 0.7);
    for (adjoint, steps) in [(Adjoint::Stored, 40_000), (Adjoint::Exact, 40_000)] {
        let (report, _) = kicked(&theta, adjoint, false, &[1.0, 1.000_001, 2.0, 0.0, -30.0], 40.0, steps);
        assert_eq!(losing(&report), 0, "{adjoint}: {:?}", report.warnings);
    }
}
