//! The continuous adjoint against the discrete one, and the adjoint along its way.

use costate::reference::{
    Pair, PairStep, Seed, adjoint_path, gradient_with_cost, pair_output, pair_start, pair_start_vjp, pair_step,
    pair_step_vjp, solve,
};
use costate::{Adjoint, Loss, Method, Reference, TimeGrid};
use ndarray::{Axis, s};

use super::{Case, Times, assert_close, flat};

/// `‖a − b‖ / ‖b‖`.
fn distance(a: &[f64], b: &[f64]) -> f64 {
    let square = |v: &mut dyn Iterator<Item = f64>| v.map(|v| v * v).sum::<f64>().sqrt();
    square(&mut a.iter().zip(b).map(|(a, b)| a - b)) / square(&mut b.iter().copied())
}

#[test]
fn it_approaches_the_discrete_gradient_with_the_order_of_the_method() {
    // Saved at t0 and t1, and neither; dense.
    let base = Times { t0: 0.0, t1: 1.0, inner: vec![0.4], ends: [true, true], steps: 0, dense: false };
    let inside = Times { ends: [false, false], ..base.clone() };
    let dense = Times { inner: vec![0.33, 0.71], dense: true, ..inside.clone() };
    for (method, order) in [(Method::Euler, 1.0_f64), (Method::Heun, 2.0), (Method::Rk4, 4.0)] {
        for times in [&base, &inside, &dense] {
            let errors = |steps: usize| {
                let grid = Times { steps, ..times.clone() }.grid();
                let mut case = Case::new(grid.observations(), Loss::Mse);
                // Knots of the reference lie between step boundaries: a term less smooth than order 4 wants.
                let values = case.cost.reference_term().expect("a reference").1.values().to_owned();
                let line = values.slice(s![..2, .., ..]);
                let line = Reference::new(&[-1.0, 2.0], line).expect("a valid reference");
                case.cost = case.cost.clone().reference(0.9, line).expect("a valid weight");
                let [discrete, continuous] =
                    [Adjoint::Stored, Adjoint::Continuous].map(|a| case.gradient(method.into(), a, &grid));
                assert_eq!(discrete.cost, continuous.cost, "{method}: the value is that of the forward pass");
                assert_eq!(discrete.loss, continuous.loss, "{method}: the value is that of the forward pass");
                let times = [discrete.times(&grid), continuous.times(&grid)]
                    .map(|t| [t.saves.as_slice(), &[t.t0, t.t1]].concat());
                [
                    distance(&continuous.theta, &discrete.theta),
                    distance(flat(&continuous.x0), flat(&discrete.x0)),
                    distance(&times[1], &times[0]),
                ]
            };
            let (coarse, fine) = (errors(10), errors(40));
            let slopes = [0, 1, 2].map(|i| (coarse[i] / fine[i]).log2() / 2.0);
            println!(
                "{method}, dense {}: theta, x0, times {slopes:.2?}, off by {:.1e} at most",
                times.dense,
                fine.iter().fold(0.0_f64, |m, e| m.max(*e))
            );
            // Times of order 4 on a dense grid meet the error of the interpolant's slope, of order 3.
            let expected = [order, order, if times.dense { order.min(3.0) } else { order }];
            // From below only: theta and x0 with Heun agree to order 3.
            for (slope, expected) in slopes.iter().zip(expected) {
                assert!(*slope > expected - 0.35, "{method}, {times:?}: {slopes:.2?}, not {expected}");
            }
            assert!(fine[0] > 1e-13, "{method}: the two are different things, off by {:e}", fine[0]);
        }
    }
}

/// `dJ/dθ = ∫ (a ∂f/∂θ + ∂L/∂θ) dt`: with the multiplier `λ = −a` of a Lagrangian the first term is `−λ ∂f/∂θ`.
#[test]
fn the_adjoint_along_its_way_has_the_sign_of_the_gradient() {
    let case = Case::new(2, Loss::Mse);
    let field = case.field();
    let grid = TimeGrid::with_steps(0.0, &[0.4, 1.0], 1.0, 100).expect("a valid grid");
    let all = TimeGrid::from_boundaries(grid.times().to_vec(), (0..=grid.steps()).collect()).expect("a valid grid");
    let states = solve(Method::Rk4, &field, &all, case.x0.view()).expect("a valid problem");
    for adjoint in [Adjoint::Stored, Adjoint::Continuous] {
        let found = gradient_with_cost(Method::Rk4, adjoint, &field, &grid, case.x0.view(), case.seed(), None);
        let found = found.expect("a valid problem");
        let path = adjoint_path(Method::Rk4, adjoint, &field, &grid, case.x0.view(), case.seed(), None);
        let path = path.expect("a valid problem");
        assert_eq!(path.times.len(), grid.times().len() + 2, "every boundary once, save times twice");
        assert_eq!(path.values.index_axis(Axis(0), 0), found.x0, "the adjoint starts as the gradient of x0");
        assert!(path.values.index_axis(Axis(0), path.times.len() - 1).iter().all(|a| *a == 0.0), "and ends as nothing");

        // The trapezoidal rule over every interval between two points; jumps are intervals of no length.
        let mut integral = vec![0.0; case.theta.len()];
        for (point, span) in path.times.windows(2).enumerate() {
            for (end, t) in [(point, span[0]), (point + 1, span[1])] {
                let n = grid.times().partition_point(|&u| u < t);
                for b in 0..super::BATCH {
                    let a = path.values.index_axis(Axis(0), end).row(b).to_vec();
                    let weighted: Vec<f64> = a.iter().map(|a| 0.5 * (span[1] - span[0]) * a).collect();
                    let x = states.index_axis(Axis(0), n).row(b).to_vec();
                    let _ = field.vjp(&x, t, &weighted, &mut integral);
                }
            }
        }
        assert_close(&format!("{adjoint}: ∫ a f_θ dt"), &integral, &found.theta, 1e-4);
    }
}

/// The adjoint at a boundary is the gradient of the rest of the solve with respect to where it starts.
#[test]
fn the_adjoint_at_a_boundary_is_the_gradient_of_the_rest() {
    let case = Case::new(2, Loss::Mse);
    let times = [0.0, 0.2, 0.5, 0.6, 1.0];
    let grid = |from: usize, saves: Vec<usize>| {
        TimeGrid::from_boundaries(times[from..].to_vec(), saves).expect("a valid grid")
    };
    let (whole, rest) = (grid(0, vec![2, 4]), grid(2, vec![0, 2]));
    let (field, seed) = (case.field(), super::random3((2, super::BATCH, super::DIM), 9));
    let seed = Seed::Cotangents(seed.view());
    for method in [Method::Heun, Method::Rk4] {
        let found = gradient_with_cost(method, Adjoint::Stored, &field, &whole, case.x0.view(), seed, Some(&case.cost));
        let middle = found.expect("a valid problem").states.index_axis(Axis(0), 0).to_owned();
        let found = gradient_with_cost(method, Adjoint::Stored, &field, &rest, middle.view(), seed, Some(&case.cost));
        let found = found.expect("a valid problem");
        let path = adjoint_path(method, Adjoint::Stored, &field, &whole, case.x0.view(), seed, Some(&case.cost));
        let path = path.expect("a valid problem");
        assert_eq!(path.times, [0.0, 0.2, 0.5, 0.5, 0.6, 1.0, 1.0], "{method}: both sides of a jump");
        let before = path.values.index_axis(Axis(0), 2).to_owned();
        assert_close(&format!("{method}: before the observation"), flat(&before), flat(&found.x0), 1e-14);
        let jump = &before - &path.values.index_axis(Axis(0), 3);
        let Seed::Cotangents(cotangents) = seed else { panic!("the seed is made of cotangents") };
        let expected = cotangents.index_axis(Axis(0), 0).to_owned();
        assert_close(&format!("{method}: the jump"), flat(&jump), flat(&expected), 1e-14);
    }
}

/// For a pair it is the gradient of a solve that starts anew with the state found: the cotangents of both copies, and
/// of the leapfrog's velocity at that time.
#[test]
fn the_adjoint_of_a_pair_is_that_of_a_new_start() {
    let case = Case::new(1, Loss::Mse);
    let (field, times) = (case.field(), [0.1, 0.4, 0.8]);
    let grid = TimeGrid::from_boundaries(times.to_vec(), vec![2]).expect("a valid grid");
    let cotangents = super::random3((1, super::BATCH, super::DIM), 9);
    let seed = Seed::Cotangents(cotangents.view());
    for method in Method::PAIR {
        let scheme = method.pair().expect("a method on a pair");
        let path = adjoint_path(method, Adjoint::Stored, &field, &grid, case.x0.view(), seed, None);
        let path = path.expect("a valid problem");
        let step = |n: usize| PairStep { number: n, t: times[n], h: times[n + 1] - times[n] };
        for b in 0..super::BATCH {
            let mut pair = pair_start(&scheme, &field, times[0], &case.x0.row(b).to_vec());
            pair_step(&scheme, &field, step(0), &mut pair);
            let part = |weight: f64| cotangents.slice(s![0, b, ..]).iter().map(|g| weight * g).collect::<Vec<_>>();
            let [in_y, in_z] = scheme.output();
            let mut bar = Pair { y: part(in_y), z: part(in_z) };
            let mut unused = vec![0.0; case.theta.len()];
            pair_step_vjp(&scheme, &field, step(1), &pair, &mut bar, &mut unused);
            let x = pair_output(&scheme, &pair);
            let expected = pair_start_vjp(&scheme, &field, times[1], &x, &bar, &mut unused);
            let found = path.values.slice(s![1, b, ..]).to_vec();
            assert_close(&format!("{method}, trajectory {b}"), &found, &expected, 1e-15);
        }
        let found = gradient_with_cost(method, Adjoint::Stored, &field, &grid, case.x0.view(), seed, None);
        let a0 = found.expect("a valid problem").x0;
        assert_eq!(path.values.index_axis(Axis(0), 0), a0, "{method}: it starts as the gradient of x0");
    }
}
