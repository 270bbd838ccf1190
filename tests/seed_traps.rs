//! Does the gradient stay clear of three mistakes that derivations of the adjoint method like to make?
//!
//! 1. `∂x_{n+1}/∂x_n = h f_x` instead of `I + h f_x`: the adjoint loses its identity term. Training still seems to
//!    descend, because the wrong gradient keeps a positive cosine with the right one.
//! 2. "Uniqueness of solutions lets Euler run backward": `x_n ≈ x_{n+1} − h f(x_{n+1})` undoes a step only to first
//!    order. That is legal (it is backsolve) but must be known to be an approximation.
//! 3. The Lagrange multiplier with `λ(T) = −∂F/∂x` is minus the adjoint, so `∫ λᵀ f_θ` is minus the gradient.
//!
//! Each wrong version is written out here and held against the library, and the library against central differences.
//!
//! Blind spots: explicit Euler with a terminal cost only; the other methods and costs are in `reference_gradients.rs`.

use costate::reference::{Field, Gradient, Seed, gradient, solve};
use costate::{Activation, Adjoint, Init, Method, Mlp, Parameters, TimeGrid};
use ndarray::{Array2, ArrayView2, Axis, array};

const STEPS: [usize; 5] = [10, 20, 40, 80, 160];
const T: f64 = 2.0;
/// Start and target of the terminal cost `F = mean (x(T) − y)²`.
const X0: [f64; 2] = [0.9, -0.6];
const Y: [f64; 2] = [-0.5, 0.8];

/// A 3-5-2 tanh field that takes the time, of moderate size.
fn setup() -> (Mlp, Vec<f64>) {
    let mlp = Mlp::builder(2).hidden(&[5], Activation::Tanh).time_input(true).build().expect("the field is valid");
    let theta = Parameters::init(&mlp, Init::Torch, 3).expect("the initialiser is valid");
    let theta = theta.as_slice().iter().map(|&v| 1.5 * f64::from(v)).collect();
    (mlp, theta)
}

fn grid(steps: usize) -> TimeGrid {
    TimeGrid::uniform(0.0, T, steps).expect("the grid is valid")
}

fn row(x: &[f64; 2]) -> Array2<f64> {
    array![[x[0], x[1]]]
}

fn library(adjoint: Adjoint, steps: usize) -> Gradient {
    let (mlp, theta) = setup();
    let field = Field::new(&mlp, &theta).expect("the parameters fit");
    let target = row(&Y).insert_axis(Axis(0));
    gradient(Method::Euler, adjoint, &field, &grid(steps), row(&X0).view(), Seed::Targets(target.view()))
        .expect("the shapes fit")
}

/// `J(x0, θ)` as the library computes it.
fn loss(steps: usize, x0: &[f64], theta: &[f64]) -> f64 {
    let (mlp, _) = setup();
    let field = Field::new(&mlp, theta).expect("the parameters fit");
    let x0 = ArrayView2::from_shape((1, 2), x0).expect("the length fits");
    let x = solve(Method::Euler, &field, &grid(steps), x0).expect("the shapes fit");
    x.iter().zip(&Y).map(|(x, y)| (x - y).powi(2)).sum::<f64>() / 2.0
}

/// The adjoint of explicit Euler by hand: from `end_bar(x_N)`, with `keep` times the identity in `∂x_{n+1}/∂x_n`.
/// Returns the gradients in θ and x0.
fn euler_adjoint(steps: usize, keep: f64, end_bar: impl Fn(f64, f64) -> f64) -> (Vec<f64>, Vec<f64>) {
    let (mlp, theta) = setup();
    let field = Field::new(&mlp, &theta).expect("the parameters fit");
    let (grid, h) = (grid(steps), T / steps as f64);
    let mut states = vec![X0.to_vec()];
    for n in 0..steps {
        let f = field.eval(&states[n], grid.times()[n]);
        states.push(states[n].iter().zip(f).map(|(x, f)| x + h * f).collect());
    }
    let mut a: Vec<f64> = states[steps].iter().zip(&Y).map(|(x, y)| end_bar(*x, *y)).collect();
    let mut theta_bar = vec![0.0; theta.len()];
    for n in (0..steps).rev() {
        let k: Vec<f64> = a.iter().map(|a| h * a).collect();
        let (x_bar, _) = field.vjp(&states[n], grid.times()[n], &k, &mut theta_bar);
        a = a.iter().zip(x_bar).map(|(a, x_bar)| keep * a + x_bar).collect();
    }
    (theta_bar, a)
}

fn norm(v: &[f64]) -> f64 {
    v.iter().map(|v| v * v).sum::<f64>().sqrt()
}

/// `‖a − b‖ / ‖b‖`.
fn relative(a: &[f64], b: &[f64]) -> f64 {
    norm(&a.iter().zip(b).map(|(a, b)| a - b).collect::<Vec<_>>()) / norm(b)
}

fn cosine(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>() / (norm(a) * norm(b))
}

/// Central differences of the loss; error about 1e-10 for ε = 1e-5 (see `reference_gradients.rs`).
fn differences(v: &[f64], j: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    let eps = 1e-5;
    let at = |i: usize, by: f64| {
        let mut v = v.to_vec();
        v[i] += by;
        j(&v)
    };
    (0..v.len()).map(|i| (at(i, eps) - at(i, -eps)) / (2.0 * eps)).collect()
}

#[test]
fn the_adjoint_keeps_its_identity_term() {
    let (_, theta) = setup();
    let mut wrong_before = 0.0;
    for steps in STEPS {
        let found = library(Adjoint::Stored, steps);
        let exact = differences(&theta, |theta| loss(steps, &X0, theta));
        let (error, error_x0) = (
            relative(&found.theta, &exact),
            relative(found.x0.as_slice().expect("contiguous"), &differences(&X0, |x0| loss(steps, x0, &theta))),
        );
        assert!(
            error < 1e-8 && error_x0 < 1e-8,
            "N = {steps}: off the differences by {error:e} (θ), {error_x0:e} (x0)"
        );

        let (with, x0_with) = euler_adjoint(steps, 1.0, |x, y| x - y);
        let agree = relative(&with, &found.theta).max(relative(&x0_with, found.x0.as_slice().expect("contiguous")));
        assert!(agree < 1e-13, "N = {steps}: the recursion by hand differs by {agree:e}");

        let (without, _) = euler_adjoint(steps, 0.0, |x, y| x - y);
        let wrong = relative(&without, &found.theta);
        println!(
            "N = {steps}: library {error:.1e}, without I {wrong:.3}, cosine {:.3}",
            cosine(&without, &found.theta)
        );
        assert!(wrong > 0.5, "N = {steps}: without the identity the gradient is off by {wrong} only");
        assert!(wrong >= wrong_before, "N = {steps}: the error {wrong} of the missing identity shrinks with h");
        wrong_before = wrong;
    }
}

#[test]
fn euler_by_minus_h_is_a_first_order_inverse() {
    let errors = STEPS.map(|steps| {
        let (stored, backsolve) = (library(Adjoint::Stored, steps), library(Adjoint::Backsolve, steps));
        let errors = (backsolve.reconstruction[0], relative(&backsolve.theta, &stored.theta));
        println!("N = {steps}: state {:.3e}, gradient {:.3e}", errors.0, errors.1);
        errors
    });
    // An error C h + O(h²) halves with h; the second term bends the ratio by O(h), most for N = 10.
    for (pair, steps) in errors.windows(2).zip(STEPS) {
        for (what, ratio) in [("state", pair[0].0 / pair[1].0), ("gradient", pair[0].1 / pair[1].1)] {
            assert!((ratio - 2.0).abs() < 0.2, "{what}: from N = {steps} to {} the error falls by {ratio}", 2 * steps);
        }
    }
    assert!(errors[0].1 > 1e-3, "the error at N = 10 is {:e}: too small to be a test", errors[0].1);
}

#[test]
fn the_multiplier_is_minus_the_adjoint() {
    for steps in STEPS {
        let found = library(Adjoint::Stored, steps);
        // λ(T) = −F_x with F = mean (x − y)², λ' = −λᵀ f_x, summed up as Σ h λᵀ f_θ.
        let (multiplier, lambda0) = euler_adjoint(steps, 1.0, |x, y| -(x - y));
        let cosine = cosine(&multiplier, &found.theta);
        assert!((cosine + 1.0).abs() < 1e-12, "N = {steps}: cosine of Σ h λᵀ f_θ with the gradient is {cosine}");
        let minus: Vec<f64> = lambda0.iter().map(|l| -l).collect();
        let error = relative(&minus, found.x0.as_slice().expect("contiguous"));
        assert!(error < 1e-13, "N = {steps}: −λ(t0) differs from ∂J/∂x0 by {error:e}");
    }
}
