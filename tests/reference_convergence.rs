//! Do the f64 twins converge to the solution of the differential equation and to its gradient, at the order that each
//! method claims, and does backsolve drift at the reversal order?
//!
//! Orders are slopes of log error over log N by least squares. The smallest errors, of the methods of order 5 at
//! N = 160, are 2e-13 in the states and 1.6e-12 in θ; rounding, as two finer solves with 500 and 700 steps differ, is
//! 3e-14 and 1.4e-13. A linear field has closed forms for the state and both gradients.
//!
//! Blind spots: fields with kinks (relu lowers every order) and stiff fields.

use costate::reference::{Field, Gradient, Scheme, Seed, gradient, solve};
use costate::solver::Contraction;
use costate::{Activation, Adjoint, Init, Method, Mlp, Parameters, TimeGrid};
use ndarray::{Array2, Array3, Axis, array, concatenate, s};

/// From 20 steps on the slopes of the fifth-order methods would still be 0.2 too high.
const STEPS: [usize; 3] = [40, 80, 160];
/// Stands for the exact solution: its error is (160/500)⁵ = 0.3 % of the smallest one; more steps only add rounding.
const LIMIT_STEPS: usize = 500;

/// Runge–Kutta methods, pairs, and McCallum–Foster without and with a coupling.
fn methods() -> impl Iterator<Item = Method> {
    let foster = [(Method::Rk4, 1.0), (Method::Rk4, 0.99), (Method::Midpoint, 1.0)];
    let foster = foster.map(|(base, coupling)| Method::mccallum_foster(base, coupling).expect("a valid method"));
    Method::RUNGE_KUTTA.into_iter().chain(Method::PAIR).chain(foster)
}

/// A field with enough curvature over `[0, 3]` to keep the errors of the fifth-order methods away from rounding, and
/// little enough that 40 steps of them are already asymptotic.
fn smooth_field() -> (Mlp, Vec<f64>) {
    let mlp = Mlp::builder(2).hidden(&[7, 5], Activation::Tanh).time_input(true).build().expect("the field is valid");
    let theta = Parameters::init(&mlp, Init::Torch, 0).expect("the initialiser is valid");
    let theta = theta.as_slice().iter().map(|&v| 1.8 * f64::from(v)).collect();
    (mlp, theta)
}

/// Eight points around the origin: many trajectories, so that no slope hangs on where one error changes its sign.
fn x0() -> Array2<f64> {
    Array2::from_shape_fn((8, 2), |(b, i)| (1.0 + 0.05 * b as f64) * (0.8 * b as f64 + 1.6 * i as f64).cos())
}

fn grid(steps: usize) -> TimeGrid {
    TimeGrid::uniform(0.0, 3.0, steps).expect("the grid is valid")
}

fn run(method: Method, adjoint: Adjoint, steps: usize) -> Gradient {
    let (mlp, theta) = smooth_field();
    let field = Field::new(&mlp, &theta).expect("the parameters fit");
    let cotangent = Array3::from_shape_fn((1, 8, 2), |(_, b, i)| (1.3 * b as f64 + 0.7 * i as f64).sin());
    gradient(method, adjoint, &field, &grid(steps), x0().view(), Seed::Cotangents(cotangent.view()))
        .expect("the shapes fit")
}

/// `‖a − b‖₂`.
fn distance<'a>(a: impl IntoIterator<Item = &'a f64>, b: impl IntoIterator<Item = &'a f64>) -> f64 {
    a.into_iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
}

/// The order of decay: minus the least-squares slope of `log error` over `log N`.
fn order(errors: &[f64]) -> f64 {
    let n = errors.len() as f64;
    let x: Vec<f64> = STEPS.iter().map(|&steps| (steps as f64).ln()).collect();
    let y: Vec<f64> = errors.iter().map(|e| e.ln()).collect();
    let (x_mean, y_mean) = (x.iter().sum::<f64>() / n, y.iter().sum::<f64>() / n);
    let covariance: f64 = x.iter().zip(&y).map(|(x, y)| (x - x_mean) * (y - y_mean)).sum();
    -covariance / x.iter().map(|x| (x - x_mean).powi(2)).sum::<f64>()
}

#[test]
fn states_converge_at_the_claimed_order() {
    let (mlp, theta) = smooth_field();
    let field = Field::new(&mlp, &theta).expect("the parameters fit");
    let end = |method, steps| solve(method, &field, &grid(steps), x0().view()).expect("the shapes fit");
    let limit = end(Method::Tsit5, LIMIT_STEPS);
    for method in methods() {
        let errors = STEPS.map(|steps| distance(&end(method, steps), &limit));
        let (found, claimed) = (order(&errors), f64::from(method.order()));
        println!("{method}: order {found:.2}, errors {:.1e} … {:.1e}", errors[0], errors[2]);
        assert!((found - claimed).abs() < 0.2, "{method}: order {found:.2} instead of {claimed}, errors {errors:?}");
    }
}

#[test]
fn contraction_keeps_the_order() {
    let (mlp, theta) = smooth_field();
    let field = Field::new(&mlp, &theta).expect("the parameters fit");
    let limit = solve(Method::Tsit5, &field, &grid(LIMIT_STEPS), x0().view()).expect("the shapes fit");
    for method in methods().filter(|m| m.pair().is_some_and(|p| p.is_additive())) {
        for (bits, period) in [(1, 1), (8, 1), (1, 3)] {
            let scheme = Scheme { method, contraction: Some(Contraction { bits, period }) };
            let end = |steps| solve(scheme, &field, &grid(steps), x0().view()).expect("the shapes fit");
            let errors = STEPS.map(|steps| distance(&end(steps), &limit));
            let (found, claimed) = (order(&errors), f64::from(method.order()));
            println!(
                "{method}, {bits} bits, period {period}: order {found:.2}, errors {:.1e} … {:.1e}",
                errors[0], errors[2]
            );
            assert!((found - claimed).abs() < 0.2, "{scheme:?}: order {found:.2} instead of {claimed}, {errors:?}");
        }
    }
}

#[test]
fn gradients_converge_at_the_claimed_order() {
    let limit = run(Method::Tsit5, Adjoint::Stored, LIMIT_STEPS);
    for method in methods() {
        let found = STEPS.map(|steps| run(method, Adjoint::Stored, steps));
        let claimed = f64::from(method.order());
        for (what, errors) in [
            ("x0", found.each_ref().map(|g| distance(&g.x0, &limit.x0))),
            ("theta", found.each_ref().map(|g| distance(&g.theta, &limit.theta))),
        ] {
            let slope = order(&errors);
            println!("{method}, gradient in {what}: order {slope:.2}");
            assert!(
                (slope - claimed).abs() < 0.2,
                "{method}, {what}: order {slope:.2} instead of {claimed}, {errors:?}"
            );
        }
    }
}

#[test]
fn backsolve_drifts_at_the_reversal_order() {
    for method in Method::RUNGE_KUTTA {
        // Order 7 reaches the rounding of f64 at once: longer steps.
        let grids = STEPS.map(|steps| if method.tableau().reversal_order > 5 { steps / 4 } else { steps });
        let stored = grids.map(|steps| run(method, Adjoint::Stored, steps));
        let found = grids.map(|steps| run(method, Adjoint::Backsolve, steps));
        let drift = found.each_ref().map(|g| distance(&g.reconstruction, &[0.0; 8]));
        let theta: Vec<f64> = found.iter().zip(&stored).map(|(f, s)| distance(&f.theta, &s.theta)).collect();
        let (slope, claimed) = (order(&drift), f64::from(method.tableau().reversal_order));
        println!("{method}: drift order {slope:.2}, of the gradient {:.2}", order(&theta));
        assert!(
            (slope - claimed).abs() < 0.3,
            "{method}: drift order {slope:.2} instead of {claimed}, drift {drift:?}"
        );
        // The adjoint sees the drifted states at first order, so its error has the order of the drift.
        let slope = order(&theta);
        assert!((slope - claimed).abs() < 0.3, "{method}: gradient drift {slope:.2} instead of {claimed}, {theta:?}");
    }
}

/// `e^m` by scaling and squaring of the Taylor sum: with ‖m‖₁ ≤ 1/2 after scaling, 18 terms leave 1e-21.
fn exponential(m: &Array2<f64>) -> Array2<f64> {
    let norm = m.columns().into_iter().map(|c| c.iter().map(|v| v.abs()).sum::<f64>()).fold(0.0, f64::max);
    let (mut scaled, mut squarings) = (m.clone(), 0);
    let mut bound = norm;
    while bound > 0.5 {
        bound *= 0.5;
        scaled *= 0.5;
        squarings += 1;
    }
    let mut sum = Array2::eye(m.nrows());
    let mut term = Array2::eye(m.nrows());
    for n in 1..=18 {
        term = term.dot(&scaled) / f64::from(n);
        sum += &term;
    }
    (0..squarings).fold(sum, |e, _| e.dot(&e))
}

#[test]
fn linear_field_matches_the_matrix_exponential() {
    // f = W x + b with one layer: θ = [W | b]. With X = [x | 1] as a row and M = T [[Wᵀ, 0], [b, 0]], X(T) = X(0) e^M.
    let mlp = Mlp::builder(3).build().expect("the field is valid");
    let (w, b) = (array![[-0.3, 0.9, 0.1], [-1.1, -0.2, 0.4], [0.2, -0.5, 0.3]], array![0.5, -0.3, 0.2]);
    let theta = w.iter().chain(&b).copied().collect::<Vec<f64>>();
    let field = Field::new(&mlp, &theta).expect("the parameters fit");
    let (x0, cotangent) = (array![[0.7, -0.4, 1.2], [-1.0, 0.3, 0.1]], array![[0.6, 1.0, -0.8], [-0.2, 0.5, 0.9]]);
    let length = -1.5;
    let grid = TimeGrid::uniform(0.5, 0.5 + length, 200).expect("the grid is valid");

    let mut m = Array2::zeros((4, 4));
    m.slice_mut(s![..3, ..3]).assign(&(&w.t() * length));
    m.slice_mut(s![3, ..3]).assign(&(&b * length));
    let with = |x: &Array2<f64>, last: f64| {
        concatenate(Axis(1), &[x.view(), Array2::from_elem((2, 1), last).view()]).expect("the rows fit")
    };
    let (start, end_bar) = (with(&x0, 1.0), with(&cotangent, 0.0));
    let (end, start_bar) = (start.dot(&exponential(&m)), end_bar.dot(&exponential(&m).reversed_axes()));
    // The derivative of the exponential: the corner block of exp [[Mᵀ, XᵀX̄], [0, Mᵀ]] is ∂J/∂M.
    let mut block = Array2::zeros((8, 8));
    block.slice_mut(s![..4, ..4]).assign(&m.t());
    block.slice_mut(s![4.., 4..]).assign(&m.t());
    block.slice_mut(s![..4, 4..]).assign(&start.t().dot(&end_bar));
    let m_bar = exponential(&block).slice(s![..4, 4..]).to_owned() * length;
    let theta_bar: Vec<f64> =
        m_bar.slice(s![..3, ..3]).t().iter().chain(m_bar.slice(s![3, ..3]).iter()).copied().collect();

    let seed: Array3<f64> = cotangent.insert_axis(Axis(0));
    for method in [Method::Rk4, Method::Dopri5, Method::Tsit5, Method::BlanesMoan4] {
        let found = gradient(method, Adjoint::Stored, &field, &grid, x0.view(), Seed::Cotangents(seed.view()));
        let found = found.expect("the shapes fit");
        // h = 0.0075, ‖W‖ about 1.5: rk4 leaves |T| h⁴ ‖W‖⁵ / 120 = 3e-10, the others less.
        for (what, error) in [
            ("state", distance(&found.states, end.slice(s![.., ..3]))),
            ("x0", distance(&found.x0, start_bar.slice(s![.., ..3]))),
            ("theta", distance(&found.theta, &theta_bar)),
        ] {
            println!("{method}, {what}: {error:.1e}");
            assert!(error < 1e-9, "{method}: {what} differs from the closed form by {error:e}");
        }
    }
}
