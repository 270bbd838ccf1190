//! Does a solve tell how large the errors of its steps may be, with the right number, and only then a warning?
//!
//! The number is held against the f64 twin; the dispatches that a pass is cut into, the units of the state and the rest of
//! the batch must not matter to it. Fields that are too fast for their steps must be told of, whatever the method, mild ones
//! must not. What the estimates are worth is shown by their order in tests/order_conditions.rs. Blind to errors that fall
//! into the last step of a solve, which has no estimate.

mod common;

use common::{field, gpu, parameters, random2, random3, to_f64};
use costate::reference::{Field, error_estimate};
use costate::{
    Activation, Adjoint, Caps, Error, ErrorEstimate, Gpu, Method, NeuralOde, Parameters, Report, TimeGrid,
    TrajectoryStatus, Warning,
};
use ndarray::{Array2, s};

fn problem(gpu: &Gpu, theta: &Parameters, grid: &TimeGrid, method: Method) -> NeuralOde {
    let builder = NeuralOde::builder(theta.field().clone(), grid.clone()).method(method);
    builder.build(gpu).expect("a small problem")
}

fn solve(gpu: &Gpu, theta: &Parameters, grid: &TimeGrid, method: Method, x0: &Array2<f32>) -> Report {
    problem(gpu, theta, grid, method).solve(theta, x0.view()).expect("a solve").report
}

fn estimate(report: &Report) -> ErrorEstimate {
    report.error_estimate.clone().expect("a method with an estimate")
}

/// The twin's, per trajectory.
fn twin(theta: &Parameters, grid: &TimeGrid, method: Method, x0: &Array2<f32>) -> Vec<f64> {
    let values: Vec<f64> = theta.as_slice().iter().map(|v| f64::from(*v)).collect();
    let field = Field::new(theta.field(), &values).expect("matching parameters");
    error_estimate(method, &field, grid, to_f64(x0).view()).expect("a twin").expect("an estimate")
}

fn warned(report: &Report) -> bool {
    report.warnings.iter().any(|w| matches!(w, Warning::LargeErrorEstimate { .. }))
}

/// A field that is fast enough for errors far above the rounding of f32: that of the other tests, in less time.
fn lively() -> Parameters {
    let mut theta = parameters(&field(3, &[5], Activation::Tanh, false), 1);
    theta.as_mut_slice().iter_mut().for_each(|w| *w *= 2.5);
    theta
}

/// Unequal steps, and save times between them.
fn lively_grid() -> TimeGrid {
    let times = vec![0.0, 0.3, 0.5, 0.9, 1.3, 1.4, 1.8, 2.2, 2.5];
    TimeGrid::from_boundaries(times, vec![0, 3, 8]).expect("a valid grid")
}

#[test]
fn estimates_are_those_of_the_twin() {
    let (theta, grid) = (lively(), lively_grid());
    let x0 = random2(70, 3, 4);
    for method in Method::RUNGE_KUTTA {
        let found = estimate(&solve(gpu(), &theta, &grid, method, &x0));
        let want = twin(&theta, &grid, method, &x0);
        let largest = want.iter().fold(0.0_f64, |m, e| m.max(*e));
        assert_eq!(found.largest, found.per_trajectory.iter().fold(0.0, |m: f32, e| m.max(*e)), "{method}: largest");
        let off = |(found, want): (&f32, &f64)| (f64::from(*found) - want).abs() / (want + 1e-3);
        let worst = found.per_trajectory.iter().zip(&want).map(off).fold(0.0, f64::max);
        println!("{method}: largest {largest:.2e}, off by {worst:.1e}");
        assert!(largest > 1e-4, "{method}: {largest:e} is too small to be told from rounding");
        // Values of the field err by 1e-7 and more of themselves, and where a component passes through zero an estimate is
        // divided by a hundredth of it and less: 1e-5.
        assert!(worst < 1e-2, "{method}: estimates are off by {worst:e} of themselves and 1e-3");
    }
}

/// A trajectory's estimate is carried from dispatch to dispatch.
#[test]
fn cutting_the_way_does_not_change_the_estimate() {
    let (theta, grid) = (lively(), lively_grid());
    let x0 = random2(70, 3, 4);
    // One step in a dispatch.
    let short = gpu().restricted(&Caps { submit_flops: 1, ..gpu().caps().clone() });
    for method in [Method::Heun, Method::Tsit5] {
        let whole = estimate(&solve(gpu(), &theta, &grid, method, &x0));
        let cut = solve(&short, &theta, &grid, method, &x0);
        assert!(cut.dispatches > 8, "{method}: {} dispatches", cut.dispatches);
        assert_eq!(estimate(&cut), whole, "{method}: in single steps");
        let alone = estimate(&solve(gpu(), &theta, &grid, method, &x0.slice(s![7..8, ..]).to_owned()));
        assert_eq!(alone.per_trajectory[0], whole.per_trajectory[7], "{method}: trajectory 7 alone");
        // Segments that are walked again are no part of it.
        let ode = NeuralOde::builder(theta.field().clone(), grid.clone()).method(method);
        let ode = ode.adjoint(Adjoint::Checkpointed).build(gpu()).expect("a small problem");
        let cotangents = random3(3, 70, 3, 5);
        let gradient = ode.vjp(&theta, x0.view(), cotangents.view()).expect("a gradient");
        assert_eq!(estimate(&gradient.report), whole, "{method}: of a gradient");
    }
}

/// `dx/dt = −300 x` with steps of 0.02: no explicit method is stable there, and few steps leave the numbers finite.
#[test]
fn a_field_that_is_too_fast_for_its_steps_is_told_of() {
    let field = field(2, &[2], Activation::Identity, false);
    let fast = |rate: f32| {
        let theta = vec![1.0, 0.0, 0.0, 1.0, 0.0, 0.0, rate, 0.0, 0.0, rate, 0.0, 0.0];
        Parameters::from_flat(&field, theta).expect("as many parameters")
    };
    let x0 = random2(9, 2, 4);
    let grid = TimeGrid::uniform(0.0, 0.2, 10).expect("a valid grid");
    for method in Method::RUNGE_KUTTA {
        let report = solve(gpu(), &fast(-300.0), &grid, method, &x0);
        assert_eq!(report.ok(), 9, "{method}: all is finite");
        assert!(warned(&report), "{method}: {:?} and no warning", report.error_estimate);
    }
    // The example that called itself well: 6.8e13 times what it should be near to, which is 0.
    let grid = TimeGrid::uniform(0.0, 1.0, 100).expect("a valid grid");
    let report = solve(gpu(), &fast(-300.0), &grid, Method::Rk4, &x0);
    let found = estimate(&report);
    assert!(warned(&report) && found.largest > 1.0, "rk4: {found:?}");
    let text = report.warnings[0].to_string();
    for part in ["of a component", "rk4", "9 trajectories", "smaller steps"] {
        assert!(text.contains(part), "{part} is missing: {text}");
    }
    // Slow enough for the same steps.
    assert!(!warned(&solve(gpu(), &fast(-30.0), &grid, Method::Rk4, &x0)), "rk4 with h λ = 0.3");
    // Methods on a pair have their copies to tell, or fail; the leapfrog has but one.
    for method in Method::PAIR.into_iter().filter(|m| *m != Method::Alf) {
        let told = match problem(gpu(), &fast(-300.0), &grid, method).solve(&fast(-300.0), x0.view()) {
            Ok(solution) => solution.report.ok() < 9 || !solution.report.warnings.is_empty(),
            Err(error) => matches!(error, Error::NoneLeft { .. }),
        };
        assert!(told, "{method}: not a word");
    }
}

/// Scales the states that a field with hidden layers of tanh works on by a power of two: first and last layer.
fn scaled(theta: &Parameters, power: f32) -> Parameters {
    let layers = theta.field().layers();
    let (first, last) = (layers[0], layers[layers.len() - 1]);
    let mut values = theta.as_slice().to_vec();
    values[first.weight..first.bias].iter_mut().for_each(|w| *w /= power);
    values[last.weight..last.bias + last.n_out].iter_mut().for_each(|w| *w *= power);
    Parameters::from_flat(theta.field(), values).expect("as many parameters")
}

#[test]
fn mild_fields_are_quiet_in_any_unit_and_the_estimate_has_none() {
    let theta = parameters(&field(3, &[5], Activation::Tanh, false), 1);
    let grid = TimeGrid::uniform(0.0, 2.0, 40).expect("a valid grid");
    let x0 = random2(300, 3, 4);
    for method in Method::RUNGE_KUTTA {
        let report = solve(gpu(), &theta, &grid, method, &x0);
        println!("{method}: {:.1e}", estimate(&report).largest);
        assert!(report.warnings.is_empty(), "{method}: {:?}", report.warnings);
        for power in [2.0_f32.powi(20), 2.0_f32.powi(-30)] {
            let other = solve(gpu(), &scaled(&theta, power), &grid, method, &(&x0 * power));
            assert_eq!(estimate(&other), estimate(&report), "{method}: in units of {power:e}");
        }
    }
}

#[test]
fn failed_trajectories_and_single_steps_have_no_estimate() {
    let (theta, grid) = (lively(), lively_grid());
    let x0 = random2(8, 3, 4);
    let mut bad = x0.clone();
    bad[[3, 1]] = 3.4e38;
    let theta_identity = Parameters::from_flat(
        &field(3, &[3], Activation::Identity, false),
        [[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0]; 2].concat(),
    )
    .expect("as many parameters");
    let [mild, failed] = [&x0, &bad].map(|x0| solve(gpu(), &theta_identity, &grid, Method::Heun, x0));
    assert!(matches!(failed.status[3], TrajectoryStatus::NonFinite { .. }), "{:?}", failed.status[3]);
    for (b, (a, b_)) in estimate(&mild).per_trajectory.iter().zip(&estimate(&failed).per_trajectory).enumerate() {
        assert!(if b == 3 { b_.is_nan() } else { a == b_ }, "trajectory {b}: {a:e} and {b_:e}");
    }
    let single = TimeGrid::uniform(0.0, 0.1, 1).expect("a valid grid");
    assert_eq!(solve(gpu(), &theta, &single, Method::Heun, &x0).error_estimate, None, "one step");
    assert_eq!(solve(gpu(), &theta, &grid, Method::Strang, &x0).error_estimate, None, "a method on a pair");
}
