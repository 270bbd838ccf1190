//! Are gradients right where reconstruction is hard: on fields that contract, over many steps?
//!
//! The oracle is the f64 twin of the same scheme with stored states. Fields are 2-16-2 tanh, mild or contracting at a known
//! rate; losses look at several times, so that neither end decides alone. The gates are the crate's promise: relative L2
//! 1e-5 to 100 steps, 3e-5 to 1000, 1e-4 to 10 000. Blind to wide fields; tests/gradients.rs has those.

mod common;

use common::{contracting, gpu, mild, random2, random3, relative, twin_gradient};
use costate::{Adjoint, Error, Gradient, Method, Mlp, NeuralOde, Parameters, TimeGrid, Warning};

fn gradient(theta: &Parameters, grid: &TimeGrid, method: Method, adjoint: Adjoint) -> Gradient {
    let (x0, targets) = data(grid);
    let builder = NeuralOde::builder(theta.field().clone(), grid.clone()).method(method).adjoint(adjoint);
    let ode = builder.build(gpu()).expect("a small problem");
    ode.loss_and_gradient(theta, x0.view(), targets.view()).expect("a gradient")
}

fn data(grid: &TimeGrid) -> (ndarray::Array2<f32>, ndarray::Array3<f32>) {
    (random2(6, 2, 21), random3(grid.saves().len(), 6, 2, 22))
}

/// Largest relative error of dJ/dθ and dJ/dx0 against the stored trajectory in f64.
fn error(theta: &Parameters, grid: &TimeGrid, method: Method, adjoint: Adjoint) -> [f64; 2] {
    let (x0, targets) = data(grid);
    let found = gradient(theta, grid, method, adjoint);
    let way = if adjoint == Adjoint::Exact { Adjoint::Exact } else { Adjoint::Stored };
    let want = twin_gradient(method, way, theta, grid, &x0, Some(&targets), None);
    [relative(&found.theta, &want.theta), relative(&found.x0, want.x0.iter())]
}

/// Steps of a field that contracts at `rate` until `t1`, saved at four times.
fn grid(t1: f64, steps: usize) -> TimeGrid {
    let boundaries: Vec<f64> = (0..=steps).map(|n| t1 * n as f64 / steps as f64).collect();
    let saves = [1, 3, 6, 10].map(|tenth| steps * tenth / 10).into();
    TimeGrid::from_boundaries(boundaries, saves).expect("a valid grid")
}

fn fields() -> [(&'static str, Parameters, f64); 3] {
    [
        ("mild", mild(16, 1), 2.0),
        ("rate 1, T = 20", contracting(16, 1.0, 2), 20.0),
        ("rate 4, T = 10", contracting(16, 4.0, 3), 10.0),
    ]
}

#[test]
fn exact_gradients_keep_the_promise_at_any_number_of_steps() {
    for (name, theta, t1) in fields() {
        for (steps, gate) in [(100, 1e-5), (1000, 3e-5), (10_000, 1e-4)] {
            for method in [Method::Strang, Method::BlanesMoan4] {
                let [of_theta, of_x0] = error(&theta, &grid(t1, steps), method, Adjoint::Exact);
                println!("{name}, {method}, N = {steps}: θ {of_theta:.1e}, x0 {of_x0:.1e}");
                assert!(of_theta <= gate, "{name}, {method}, N = {steps}: dJ/dθ is off by {of_theta:.1e}");
                assert!(of_x0 <= gate, "{name}, {method}, N = {steps}: dJ/dx0 is off by {of_x0:.1e}");
            }
        }
    }
}

/// What everybody else does fails on the same field, and the certificate says so.
#[test]
fn floats_that_reconstruct_fail_and_their_certificate_says_so() {
    let theta = contracting(16, 1.0, 2);
    let grid = grid(20.0, 1000);
    let backsolve = gradient(&theta, &grid, Method::Rk4, Adjoint::Backsolve);
    let drift = backsolve.reconstruction.as_ref().map_or(0.0, |r| r.max_relative);
    assert!(drift > 0.1, "backsolve is off by {drift} only");
    let warned = backsolve.report.warnings.iter().any(|w| matches!(w, Warning::Drift { .. }));
    assert!(warned, "no warning: {:?}", backsolve.report.warnings);
    let exact = gradient(&theta, &grid, Method::BlanesMoan4, Adjoint::Exact);
    assert!(exact.report.warnings.is_empty(), "the exact adjoint warns: {:?}", exact.report.warnings);

    let (x0, targets) = data(&grid);
    let strict = NeuralOde::builder(theta.field().clone(), grid.clone())
        .method(Method::Rk4)
        .adjoint(Adjoint::Backsolve)
        .drift_is_error(true)
        .build(gpu())
        .expect("a small problem");
    let error = strict.loss_and_gradient(&theta, x0.view(), targets.view()).expect_err("too much drift");
    assert!(matches!(error, Error::Drift { .. }), "{error}");
}

/// With `auto`, a reversible scheme whose reconstruction is off hands the batch to checkpoints, and says so.
#[test]
fn auto_does_a_batch_again_from_checkpoints() {
    let theta = contracting(16, 1.0, 2);
    let grid = grid(20.0, 400);
    // Its copies stay together going forward, for which noise grows by 0.95^−1 in every step back.
    let method = Method::mccallum_foster(Method::Rk4, 0.95).expect("a valid method");
    let auto = gradient(&theta, &grid, method, Adjoint::Auto);
    let redone = auto.report.warnings.iter().any(|w| matches!(w, Warning::Redone { .. }));
    assert!(redone, "nothing was done again: {:?}", auto.report.warnings);
    assert_eq!(auto.report.adjoint, Some(Adjoint::Stored), "the way that was taken");
    let stored = gradient(&theta, &grid, method, Adjoint::Stored);
    assert_eq!(auto.theta, stored.theta, "the gradient from kept states");
    // On a mild field there is no need.
    let calm = gradient(&mild(16, 1), &self::grid(2.0, 100), Method::ReversibleHeun, Adjoint::Auto);
    assert_eq!(calm.report.adjoint, Some(Adjoint::Reversible), "the way that was taken on a mild field");
    assert!(calm.report.warnings.is_empty(), "warnings on a mild field: {:?}", calm.report.warnings);
}

/// Trajectories that do not come back at all are reconstructions that are off, too: with λ = 0.3 noise grows by 0.3^−1 in
/// every step, until infinity.
#[test]
fn auto_takes_checkpoints_for_what_is_lost_on_the_way_back() {
    let (theta, grid) = (mild(16, 1), grid(2.0, 200));
    let method = Method::mccallum_foster(Method::Rk4, 0.3).expect("a valid method");
    let stored = gradient(&theta, &grid, method, Adjoint::Stored);
    let auto = gradient(&theta, &grid, method, Adjoint::Auto);
    assert!(matches!(auto.report.warnings[..], [Warning::Redone { .. }]), "{:?}", auto.report.warnings);
    assert_eq!(auto.theta, stored.theta, "all are lost, and done again");
    assert_eq!(auto.report.ok(), 6, "every trajectory takes part");

    // The fixed point of a linear field comes back without noise, and its certificate says nothing of the other one.
    let field = Mlp::builder(2).build().expect("a valid field");
    let theta = Parameters::from_flat(&field, vec![-1.0, 0.3, -0.7, 0.1, 0.0, 0.0]).expect("six parameters");
    let ode = NeuralOde::builder(field, grid).method(method).adjoint(Adjoint::Auto).build(gpu()).expect("it is small");
    let (x0, targets) = (ndarray::array![[0.0, 0.0], [0.7, 0.4]], ndarray::Array3::ones((4, 2, 2)));
    let report = ode.loss_and_gradient(&theta, x0.view(), targets.view()).expect("a gradient").report;
    assert_eq!((report.ok(), report.adjoint), (2, Some(Adjoint::Reversible)), "{:?}", report.status);
    assert!(matches!(report.warnings[..], [Warning::Redone { trajectories: 1, .. }]), "{:?}", report.warnings);
}

/// Without a log the copies part: first there is a warning, then nothing is left; with one they do not.
#[test]
fn copies_that_part_are_reported() {
    let theta = contracting(16, 1.0, 2);
    let run = |end: f64, log_words| {
        let grid = grid(end, 400);
        let (x0, targets) = data(&grid);
        let options = costate::AdjointOptions { log_words: Some(log_words), ..costate::AdjointOptions::default() };
        let builder = NeuralOde::builder(theta.field().clone(), grid.clone()).method(Method::Strang);
        let ode = builder.adjoint(Adjoint::Exact).adjoint_options(options).build(gpu()).expect("a small problem");
        ode.loss_and_gradient(&theta, x0.view(), targets.view()).map(|gradient| gradient.report)
    };
    let told =
        |warnings: &[Warning]| warnings.iter().any(|w| matches!(w, Warning::CopiesParted { log_words: Some(0), .. }));
    let mut warned = 0;
    for end in [4.0, 6.0, 8.0, 10.0, 12.0, 14.0] {
        let Ok(report) = run(end, 0) else { continue };
        let apart = report.copy_difference.expect("a pair") > 1e-2;
        assert_eq!(told(&report.warnings), apart, "to t = {end}: {:?}, {:?}", report.copy_difference, report.warnings);
        warned += usize::from(apart);
    }
    assert!(warned > 0, "copies part by a factor of e² from one end to the next: some are between 0.01 and 0.5 apart");
    let error = run(20.0, 0).expect_err("nothing is left");
    assert!(matches!(error, Error::NoneLeft { batch: 6, .. }) && error.to_string().contains("copies"), "{error}");
    let with = run(20.0, 4).expect("a gradient");
    assert!(with.copy_difference.is_some_and(|d| d < 1e-2) && with.warnings.is_empty(), "{:?}", with.warnings);
}
