//! Does trouble stay with the trajectory that has it, when the objective has more terms than a squared error?
//!
//! Linear fields whose numbers are known by hand: trajectories that fail on the way back, costs and residuals that overflow,
//! times that f32 cannot tell apart, layers too wide. Blind to drivers that order dispatches differently.

mod common;

use common::gpu;
use costate::{
    Adjoint, Error, Gradient, Loss, Method, Mlp, NeuralOde, NeuralOdeBuilder, Observations, Parameters, Reference,
    RunningCost, TimeGrid, TrajectoryStatus,
};
use ndarray::{Array2, Array3, array};

/// x' = rate x + drift.
fn linear(rate: f32, drift: f32) -> Parameters {
    let field = Mlp::builder(1).build().expect("a valid field");
    Parameters::from_flat(&field, vec![rate, drift]).expect("finite parameters")
}

fn builder(theta: &Parameters, grid: TimeGrid, method: Method) -> NeuralOdeBuilder {
    NeuralOde::builder(theta.field().clone(), grid).method(method)
}

/// A reference of ones on these times.
fn ones(times: &[f64]) -> RunningCost {
    let reference = Reference::new(times, Array3::ones((times.len(), 1, 1)).view()).expect("a valid reference");
    RunningCost::new().reference(1.0, reference).expect("a valid weight")
}

fn uniform(t0: f64, t1: f64, steps: usize) -> TimeGrid {
    TimeGrid::uniform(t0, t1, steps).expect("a valid grid")
}

/// Euler on x' = −19 x with steps of 0.1: what does not start at 0 overflows on the way back, and the pass is made again.
#[test]
fn a_second_pass_pays_the_running_cost_once() {
    let theta = linear(-19.0, 0.0);
    let ode = builder(&theta, uniform(0.0, 10.0, 100), Method::Euler).adjoint(Adjoint::Backsolve);
    let ode = ode.running_cost(ones(&[0.0, 10.0])).build(gpu()).expect("a small problem");
    let targets = Array3::zeros((1, 2, 1));
    let x0 = array![[0.0], [1.0]];
    let run = |loss: bool| -> Gradient {
        if loss {
            ode.loss_and_gradient(&theta, x0.view(), targets.view()).expect("a gradient of the first")
        } else {
            ode.vjp(&theta, x0.view(), Array3::ones((1, 2, 1)).view()).expect("a product of the first")
        }
    };
    for loss in [true, false] {
        let found = run(loss);
        assert!(
            matches!(found.report.status[1], TrajectoryStatus::ReverseNonFinite { .. }),
            "{:?}",
            found.report.status
        );
        let cost = found.cost.expect("a running cost");
        // x stays at 0, at a distance of 1 from the reference for 10.
        assert!((cost.per_trajectory[0] - 10.0).abs() < 1e-5, "cost {:?}", cost.per_trajectory);
        assert!((cost.total - 10.0).abs() < 1e-5 && cost.per_trajectory[1].is_nan(), "{cost:?}");
    }
}

#[test]
fn a_running_cost_that_overflows_takes_its_trajectory_out() {
    // |f| is 1e25 where x is, so that its square is no number, but a step is short.
    let theta = linear(1e25, 0.0);
    let cost = RunningCost::new().kinetic(1.0).expect("a valid weight");
    for (method, adjoint) in [(Method::Euler, Adjoint::Stored), (Method::Strang, Adjoint::Exact)] {
        let ode = builder(&theta, uniform(0.0, 1e-26, 1), method).adjoint(adjoint).running_cost(cost.clone());
        let ode = ode.build(gpu()).expect("a small problem");
        let x0 = array![[0.0], [1.0], [0.0]];
        let found = ode.loss_and_gradient(&theta, x0.view(), Array3::zeros((1, 3, 1)).view()).expect("a gradient");
        assert!(matches!(found.report.status[1], TrajectoryStatus::CostOverflow { step: 0, .. }), "{method}");
        assert_eq!(found.report.ok(), 2, "{method}: the others");
        assert_eq!(found.cost.expect("a running cost").total, 0.0, "{method}: their costs");
        assert!(found.theta.iter().all(|g| g.is_finite()), "{method}: {:?}", found.theta);
    }
}

#[test]
fn residuals_of_many_scales_do_not_kill_the_batch() {
    let theta = linear(-1.0, 0.0);
    let ode = builder(&theta, uniform(0.0, 1.0, 8), Method::Rk4).adjoint(Adjoint::Stored).loss(Loss::GaussianNll);
    let ode = ode.build(gpu()).expect("a small problem");
    let (x0, targets) = (array![[1.0], [1e8]], Array3::from_shape_vec((1, 2, 1), vec![0.3, 0.0]).expect("two targets"));
    for scale in [[-30.0], [-20.0]] {
        let observations = Observations::new(targets.view()).log_scale(&scale);
        let found = ode.loss_and_gradient(&theta, x0.view(), observations).expect("finite numbers");
        assert!(found.x0[[0, 0]].is_finite() && found.loss.is_some_and(f32::is_finite), "ln σ = {scale:?}: {found:?}");
    }
}

/// A field that is infinite at the end of a step, where a save time lies: 0 · ∞.
#[test]
fn a_state_between_steps_that_is_no_number_is_named() {
    let theta = linear(1e35, 0.0);
    let grid = TimeGrid::dense_with_steps(0.0, &[1.0], 1.0, 1).expect("a valid grid");
    let ode = builder(&theta, grid, Method::Euler).adjoint(Adjoint::Stored).build(gpu()).expect("a small problem");
    let found = ode.solve(&theta, array![[1e-25], [0.0]].view()).expect("a solve of the second");
    assert!(matches!(found.report.status[0], TrajectoryStatus::NonFinite { step: 0, .. }), "{:?}", found.report.status);
    assert_eq!((found.report.status[1], found.states[[0, 1, 0]]), (TrajectoryStatus::Ok, 0.0), "the other");
}

#[test]
fn times_that_single_precision_cannot_tell_apart_are_refused() {
    let theta = linear(0.0, 0.0);
    let refused = |built: Result<NeuralOde, Error>, part: &str| {
        let error = built.expect_err(part);
        assert!(error.is_usage() && error.to_string().contains(part), "{part}: {error}");
    };
    // The kernels count from t0: how far that is from zero does not matter.
    let far = builder(&theta, uniform(1.7e9, 1.7e9 + 1.0, 100), Method::Rk4);
    far.running_cost(ones(&[1.7e9, 1.7e9 + 1.0])).build(gpu()).expect("times near t0");
    let wide: Vec<f64> = [0.0, 1e-3, 1e4, 1e5].map(|t| 1e4 + t).to_vec();
    let fine = builder(&theta, uniform(1e4, 1e4 + 1.0, 10), Method::Rk4).running_cost(ones(&wide));
    refused(fine.build(gpu()), "times of the reference");
    let tiny = builder(&theta, uniform(0.0, 1e-38, 100), Method::Rk4);
    refused(tiny.build(gpu()), "ordinary f32 numbers");
}

/// Lavapipe leaves loops silently after 65 535 trips: a save time between steps takes two evaluations and their adjoints.
#[test]
fn a_save_time_that_does_not_fit_a_dispatch_is_refused() {
    let wide = Mlp::builder(1).hidden(&[1024, 1024], costate::Activation::Tanh).build().expect("a valid field");
    let grid = TimeGrid::dense_with_steps(0.0, &[1.0], 1.0, 1).expect("a valid grid");
    let built = NeuralOde::builder(wide.clone(), grid).method(Method::Euler).adjoint(Adjoint::Stored).build(gpu());
    if gpu().caps().max_trips < 1 << 20 {
        let ode = built.expect("a solve is small enough");
        let theta = Parameters::init(&wide, costate::Init::Torch, 0).expect("parameters");
        let (x0, c) = (Array2::ones((1, 1)), Array3::ones((1, 1, 1)));
        let error = ode.vjp(&theta, x0.view(), c.view()).expect_err("too many trips").to_string();
        assert!(error.contains("a save time between steps") && error.contains("narrower"), "{error}");
    }
}
