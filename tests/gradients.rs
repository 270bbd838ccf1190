//! Is the device's gradient that of the computed loss, for every solver and adjoint?
//!
//! Compares loss, states, dJ/dθ, dJ/dx0 and the certificate with the f64 twin, which tests/reference_gradients.rs holds
//! against finite differences. Blind to errors that twin and kernel share; the twin knows nothing of tiles and dispatches.

mod common;

use approx::assert_relative_eq;
use common::{field, gpu, parameters, random2, random3, relative, relative_max, twin_gradient, ways};
use costate::{Activation, Adjoint, Caps, Method, NeuralOde, TimeGrid};

/// f32 rounding, u = 6e-8: one evaluation over 11 inputs errs by about √11 u, tanh by 1.3 ulp; N ≤ 100 steps of a mild
/// field add up to ~1e-6 (math.md §11). The gate is ten to twenty times that.
const GRADIENT: f64 = 2e-5;
const STATE: f64 = 1e-5;

fn grids() -> [TimeGrid; 2] {
    [
        // Unequal steps, t0 and t1 observed.
        TimeGrid::from_boundaries(vec![0.0, 0.03, 0.1, 0.14, 0.25, 0.3, 0.42, 0.5, 0.55], vec![0, 3, 4, 8]),
        // Backward in time, the last save before t1.
        TimeGrid::with_steps(1.0, &[0.8, 0.5], 0.2, 6),
    ]
    .map(|g| g.expect("a valid grid"))
}

#[test]
fn every_solver_and_adjoint_matches_the_twin() {
    for time_input in [false, true] {
        let mlp = field(3, &[11, 6], Activation::Tanh, time_input);
        let theta = parameters(&mlp, 5);
        let x0 = random2(9, 3, 1);
        for (method, adjoint, grid) in cases() {
            let ode = NeuralOde::builder(mlp.clone(), grid.clone()).method(method).adjoint(adjoint).build(gpu());
            let ode = ode.expect("a small problem");
            let targets = random3(grid.saves().len(), 9, 3, 2);
            let case = format!("{method} {adjoint} time_input={time_input} from t={} to t={}", grid.t0(), grid.t1());

            let got = ode.loss_and_gradient(&theta, x0.view(), targets.view()).expect(&case);
            let want = twin_gradient(method, adjoint, &theta, &grid, &x0, Some(&targets), None);
            let loss = want.loss.expect("targets give a loss");
            assert_relative_eq!(f64::from(got.loss.expect("a loss")), loss, max_relative = STATE);
            let errors = [relative(&got.theta, &want.theta), relative(&got.x0, &want.x0)];
            assert!(errors.iter().all(|e| *e < GRADIENT), "{case}: dJ/dθ, dJ/dx0 off by {errors:?}");
            let reconstructs = matches!(adjoint, Adjoint::Backsolve | Adjoint::Reversible | Adjoint::Exact);
            assert_eq!(got.reconstruction.is_some(), reconstructs, "{case}: a certificate if and only if");
            if let Some(reconstruction) = got.reconstruction {
                for (got, want) in reconstruction.per_trajectory.iter().zip(&want.reconstruction) {
                    assert!((f64::from(*got) - want).abs() < 2e-6, "{case}: certificate {got:e}, twin {want:e}");
                }
            }

            let solution = ode.solve(&theta, x0.view()).expect(&case);
            let error = relative_max(&solution.states, &want.states);
            assert!(error < STATE, "{case}: states off by {error:e}");
        }
    }
}

/// The kernels as a GPU gets them (one trajectory per invocation, groups of 64, no broadcasts) are right here too.
#[test]
fn kernels_made_for_a_gpu_match_the_twin() {
    let as_gpu = gpu().restricted(&Caps::gpu("a GPU"));
    let mlp = field(3, &[11, 6], Activation::Gelu, true);
    let theta = parameters(&mlp, 5);
    let x0 = random2(130, 3, 1);
    let [grid, _] = grids();
    let targets = random3(grid.saves().len(), 130, 3, 2);
    for (method, adjoint) in ways(Method::Bosh3, Method::Strang) {
        let builder = NeuralOde::builder(mlp.clone(), grid.clone()).method(method).adjoint(adjoint);
        let ode = builder.build(&as_gpu).expect("a small problem");
        let got = ode.loss_and_gradient(&theta, x0.view(), targets.view()).expect("a gradient");
        let want = twin_gradient(method, adjoint, &theta, &grid, &x0, Some(&targets), None);
        let errors = [relative(&got.theta, &want.theta), relative(&got.x0, &want.x0)];
        assert!(errors.iter().all(|e| *e < GRADIENT), "{method} {adjoint}: dJ/dθ, dJ/dx0 off by {errors:?}");
    }
}

#[test]
fn a_vjp_takes_the_callers_cotangents() {
    let mlp = field(2, &[7], Activation::Silu, false);
    let theta = parameters(&mlp, 3);
    let x0 = random2(33, 2, 1);
    let [grid, _] = grids();
    let cotangents = random3(grid.saves().len(), 33, 2, 8);
    for (method, adjoint) in ways(Method::Dopri5, Method::BlanesMoan4) {
        let ode = NeuralOde::builder(mlp.clone(), grid.clone()).method(method).adjoint(adjoint).build(gpu());
        let got = ode.expect("a small problem").vjp(&theta, x0.view(), cotangents.view()).expect("a vjp");
        let want = twin_gradient(method, adjoint, &theta, &grid, &x0, None, Some(&cotangents));
        let errors = [relative(&got.theta, &want.theta), relative(&got.x0, &want.x0)];
        assert!(got.loss.is_none(), "a vjp has no loss");
        assert!(errors.iter().all(|e| *e < GRADIENT), "{method} {adjoint}: dJ/dθ, dJ/dx0 off by {errors:?}");
    }
}

/// math.md §11 #11: a power of two passes through every rounding.
#[test]
fn a_vjp_is_linear_in_powers_of_two_bit_for_bit() {
    let mlp = field(2, &[9], Activation::Tanh, true);
    let theta = parameters(&mlp, 3);
    let x0 = random2(20, 2, 1);
    let grid = TimeGrid::uniform(0.0, 1.0, 12).expect("a valid grid");
    let cotangents = random3(1, 20, 2, 8);
    for (method, adjoint) in ways(Method::Rk4, Method::BlanesMoan4) {
        let ode = NeuralOde::builder(mlp.clone(), grid.clone()).method(method).adjoint(adjoint).build(gpu());
        let ode = ode.expect("a small problem");
        let once = ode.vjp(&theta, x0.view(), cotangents.view()).expect("a vjp");
        let scaled = ode.vjp(&theta, x0.view(), cotangents.mapv(|c| 64.0 * c).view()).expect("a vjp");
        let linear = once.theta.iter().zip(&scaled.theta).all(|(a, b)| 64.0 * a == *b);
        assert!(linear, "{method} {adjoint}: dJ/dθ is not linear");
        assert_eq!(once.x0.mapv(|a| 64.0 * a), scaled.x0, "{method} {adjoint}: dJ/dx0 is not linear");
    }
}

/// Every method with each of its adjoints on each grid.
fn cases() -> Vec<(Method, Adjoint, TimeGrid)> {
    let foster = |base, coupling| Method::mccallum_foster(base, coupling).expect("a valid method");
    let fosters = [foster(Method::Rk4, 0.9), foster(Method::Midpoint, 1.0)];
    let methods = Method::RUNGE_KUTTA.into_iter().chain(Method::PAIR).chain(fosters);
    let ways = methods.flat_map(|m| m.adjoints().iter().map(move |a| (m, *a)));
    ways.flat_map(|(m, a)| grids().map(|g| (m, a, g))).collect()
}
