//! Are the f64 twins of methods on a pair of states right: one step forward, back and its adjoint, the contraction, and
//! the gradient of a whole solve?
//!
//! Derivatives are held against central differences of the forward pass, which share no code with them; with ε = 1e-5
//! their error is 1e-10 … 1e-11 for functions of size 1 (see `reference_gradients.rs`). Inverses are held against where
//! they came from. Pairs are drawn with y far from z, where a confusion of the copies shows at once: on the diagonal, where
//! solves live, many mistakes cancel.
//!
//! Blind spots: a step that is consistent with its own inverse and adjoint but no step of the method
//! (`kick_tables.rs` and `reference_convergence.rs` look at that).

use costate::reference::{
    Field, Gradient, Pair, PairStep, Scheme, Seed, gradient, pair_contract, pair_start, pair_start_vjp, pair_step,
    pair_step_reverse, pair_step_vjp, solve,
};
use costate::solver::Contraction;
use costate::{Activation, Adjoint, Error, Init, Method, Mlp, Parameters, TimeGrid};
use ndarray::{Array2, Array3, ArrayView2};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

const EPS: f64 = 1e-5;
const TOLERANCE: f64 = 1e-8;
const DIM: usize = 3;

/// `n` values from `[-1, 1)`, the same for the same seed.
fn random(n: usize, seed: u64) -> Vec<f64> {
    let mut rng = Pcg64::seed_from_u64(seed);
    (0..n).map(|_| rng.random_range(-1.0..1.0)).collect()
}

/// A field whose every derivative is smooth and none vanishes.
fn smooth_field(time_input: bool) -> (Mlp, Vec<f64>) {
    let mlp = Mlp::builder(DIM)
        .hidden(&[5], Activation::Tanh)
        .hidden(&[6], Activation::Silu)
        .time_input(time_input)
        .build()
        .expect("the field is valid");
    let theta = Parameters::init(&mlp, Init::Torch, 5).expect("the initialiser is valid");
    let theta = theta.as_slice().iter().map(|&v| 2.0 * f64::from(v)).collect();
    (mlp, theta)
}

/// Every method without parameters, and McCallum–Foster over bases of one, two and four stages.
fn methods() -> Vec<Method> {
    let foster = [(Method::Euler, 1.0), (Method::Midpoint, 0.9), (Method::Rk4, 1.0), (Method::Rk4, 0.99)];
    let foster = foster.map(|(base, coupling)| Method::mccallum_foster(base, coupling).expect("a valid method"));
    Method::PAIR.into_iter().chain(foster).collect()
}

/// No contraction, and where the method can have them one after every step and one after every other step.
fn contractions(method: Method) -> Vec<Option<Contraction>> {
    let mut found = vec![None];
    if method.pair().is_some_and(|p| p.is_additive()) {
        found.extend([Contraction { bits: 1, period: 1 }, Contraction { bits: 2, period: 2 }].map(Some));
    }
    found
}

fn random_pair(seed: u64) -> Pair {
    Pair { y: random(DIM, seed), z: random(DIM, seed + 1000) }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn joined(pair: &Pair) -> Vec<f64> {
    [pair.y.as_slice(), &pair.z].concat()
}

fn parted(v: &[f64]) -> Pair {
    Pair { y: v[..DIM].to_vec(), z: v[DIM..].to_vec() }
}

/// `max |a − b|`, NaN if any difference is.
fn distance(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len(), "lengths to compare");
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, |m, d| if m.is_nan() || d <= m { m } else { d })
}

/// `∂j/∂v_i` for every i by central differences.
fn differences(v: &[f64], mut j: impl FnMut(&[f64]) -> f64) -> Vec<f64> {
    let mut moved = v.to_vec();
    (0..v.len())
        .map(|i| {
            let mut at = |value: f64| {
                moved[i] = value;
                j(&moved)
            };
            let slope = (at(v[i] + EPS) - at(v[i] - EPS)) / (2.0 * EPS);
            moved[i] = v[i];
            slope
        })
        .collect()
}

/// Holds `found` against `expected`, relative to the largest entry of `expected`, and returns the error.
#[track_caller]
fn assert_close(what: &str, found: &[f64], expected: &[f64]) -> f64 {
    let scale = expected.iter().fold(0.0_f64, |m, e| m.max(e.abs()));
    let error = distance(found, expected) / scale;
    assert!(error <= TOLERANCE, "{what}: off by {error:e} of the largest entry, {scale:e}");
    error
}

#[test]
fn a_step_has_its_adjoint() {
    let mut worst = 0.0_f64;
    for (method, time_input) in methods().into_iter().flat_map(|m| [(m, false), (m, true)]) {
        let scheme = method.pair().expect("a method on a pair");
        let (mlp, theta) = smooth_field(time_input);
        let field = Field::new(&mlp, &theta).expect("the parameters fit");
        // Long steps, so that the terms of high order in h are seen; both parities, for the copies that change roles.
        for (number, h) in [(0, 0.7), (1, 0.7), (1, -0.7)] {
            let what = format!("{method}, time {time_input}, step {number} of {h}");
            let step = PairStep { number, t: 0.4, h };
            let (start, weights) = (random_pair(1), joined(&random_pair(2)));
            let j = |pair: &[f64], theta: &[f64]| {
                let field = Field::new(&mlp, theta).expect("the parameters fit");
                let mut pair = parted(pair);
                pair_step(&scheme, &field, step, &mut pair);
                dot(&weights, &joined(&pair))
            };
            let before = random(theta.len(), 8);
            let (mut bar, mut theta_bar) = (parted(&weights), before.clone());
            pair_step_vjp(&scheme, &field, step, &start, &mut bar, &mut theta_bar);
            let added: Vec<f64> = theta_bar.iter().zip(&before).map(|(after, before)| after - before).collect();
            let in_pair = differences(&joined(&start), |pair| j(pair, &theta));
            let in_theta = differences(&theta, |theta| j(&joined(&start), theta));
            worst = worst.max(assert_close(&format!("{what}: pair"), &joined(&bar), &in_pair));
            worst = worst.max(assert_close(&format!("{what}: theta"), &added, &in_theta));
        }
    }
    println!("adjoints of one step: off the differences by at most {worst:.1e}");
}

#[test]
fn a_step_back_undoes_a_step() {
    let (mlp, theta) = smooth_field(true);
    let field = Field::new(&mlp, &theta).expect("the parameters fit");
    for method in methods() {
        let scheme = method.pair().expect("a method on a pair");
        let mut worst = 0.0_f64;
        for (number, seed) in (0..6).flat_map(|number| [(number, 20), (number, 30)]) {
            let (start, h) = (random_pair(seed), if number % 3 == 2 { -0.6 } else { 0.6 });
            let step = PairStep { number, t: -0.3, h };
            let mut pair = start.clone();
            pair_step(&scheme, &field, step, &mut pair);
            let moved = distance(&joined(&pair), &joined(&start));
            assert!(moved > 0.05, "{method}: a step of {h} moves the pair by {moved:e} only");
            pair_step_reverse(&scheme, &field, step, &mut pair);
            worst = worst.max(distance(&joined(&pair), &joined(&start)));
        }
        println!("{method}: there and back is off by {worst:.1e}");
        // A few roundings of numbers of size 3; a coupling of 0.9 divides them by it.
        assert!(worst < 4e-15, "{method}: a step back misses the start by {worst:e}");
    }
}

#[test]
fn the_start_has_its_adjoint() {
    let (mlp, theta) = smooth_field(true);
    let x0 = random(DIM, 3);
    for method in methods() {
        let scheme = method.pair().expect("a method on a pair");
        let weights = joined(&random_pair(4));
        let start = |x0: &[f64], theta: &[f64]| {
            let field = Field::new(&mlp, theta).expect("the parameters fit");
            joined(&pair_start(&scheme, &field, 0.3, x0))
        };
        let j = |x0: &[f64], theta: &[f64]| dot(&weights, &start(x0, theta));
        let field = Field::new(&mlp, &theta).expect("the parameters fit");
        let mut theta_bar = vec![0.0; theta.len()];
        let x0_bar = pair_start_vjp(&scheme, &field, 0.3, &x0, &parted(&weights), &mut theta_bar);
        assert_close(&format!("{method}: x0"), &x0_bar, &differences(&x0, |x0| j(x0, &theta)));
        let in_theta = differences(&theta, |theta| j(&x0, theta));
        if method == Method::Alf {
            assert_eq!(start(&x0, &theta)[DIM..], field.eval(&x0, 0.3), "the velocity starts as the field");
            assert_close(&format!("{method}: theta"), &theta_bar, &in_theta);
        } else {
            assert_eq!(start(&x0, &theta), [x0.as_slice(), &x0].concat(), "{method}: both copies start as x0");
            assert!(theta_bar.iter().chain(&in_theta).all(|g| *g == 0.0), "{method}: copying has no parameters");
        }
    }
}

#[test]
fn a_contraction_keeps_the_mean_and_is_symmetric() {
    for bits in [1, 2, 4, 8] {
        let contraction = Contraction { bits, period: 1 };
        let apply = |pair: &Pair| {
            let mut pair = pair.clone();
            pair_contract(contraction, &mut pair);
            pair
        };
        let (v, w) = (random_pair(5), random_pair(6));
        let after = apply(&v);
        let halves = |p: &Pair, sign: f64| p.y.iter().zip(&p.z).map(|(y, z)| y + sign * z).collect::<Vec<_>>();
        let mean = distance(&halves(&after, 1.0), &halves(&v, 1.0));
        let small: Vec<f64> = halves(&v, -1.0).iter().map(|d| d / f64::from(1_u32 << bits)).collect();
        let difference = distance(&halves(&after, -1.0), &small);
        assert!(mean.max(difference) < 1e-15, "{bits} bits: mean off by {mean:e}, difference by {difference:e}");
        let asymmetry = (dot(&joined(&after), &joined(&w)) - dot(&joined(&v), &joined(&apply(&w)))).abs();
        assert!(asymmetry < 1e-15, "{bits} bits: ⟨Cv, w⟩ − ⟨v, Cw⟩ = {asymmetry:e}");
    }
}

/// Unequal steps, an odd number of them; saved at t0, twice on the way and at the end.
fn uneven_grid(forward: bool) -> TimeGrid {
    let times = [0.2, 0.5, 0.6, 1.0, 1.1, 1.6, 1.8, 2.1];
    let times = times.map(|t| if forward { t } else { 2.0 - t });
    TimeGrid::from_boundaries(times.to_vec(), vec![0, 2, 5, 7]).expect("the grid is valid")
}

fn random_array(shape: (usize, usize, usize), seed: u64) -> Array3<f64> {
    Array3::from_shape_vec(shape, random(shape.0 * shape.1 * shape.2, seed)).expect("the length fits the shape")
}

fn random_x0(batch: usize) -> Array2<f64> {
    Array2::from_shape_vec((batch, DIM), random(batch * DIM, 9)).expect("the length fits the shape")
}

/// A loss of x0 and θ.
type Loss<'a> = &'a dyn Fn(&[f64], &[f64]) -> f64;

/// The gradients of one scheme, with every adjoint that it has, against differences; returns the worst error.
fn check_gradients(scheme: Scheme, time_input: bool, forward: bool) -> f64 {
    let (mlp, theta) = smooth_field(time_input);
    let (grid, x0, weights) = (uneven_grid(forward), random_x0(2), random_array((4, 2, DIM), 11));
    let start = x0.as_slice().expect("the array is contiguous");
    let field = Field::new(&mlp, &theta).expect("the parameters fit");
    let states = |x0: &[f64], theta: &[f64]| {
        let field = Field::new(&mlp, theta).expect("the parameters fit");
        let x0 = ArrayView2::from_shape((2, DIM), x0).expect("the length fits the shape");
        solve(scheme, &field, &grid, x0).expect("the shapes fit")
    };
    let mse = |x0: &[f64], theta: &[f64]| {
        (states(x0, theta) - &weights).iter().map(|r| r * r).sum::<f64>() / weights.len() as f64
    };
    let weighted = |x0: &[f64], theta: &[f64]| (states(x0, theta) * &weights).sum();
    let losses: [(Seed<'_>, Loss<'_>); 2] =
        [(Seed::Targets(weights.view()), &mse), (Seed::Cotangents(weights.view()), &weighted)];
    let mut worst = 0.0_f64;
    for (seed, j) in losses {
        let in_x0 = differences(start, |x0| j(x0, &theta));
        let in_theta = differences(&theta, |theta| j(start, theta));
        for adjoint in scheme.method.adjoints() {
            let what = format!("{scheme:?}, {adjoint}, time {time_input}, forward {forward}");
            let found = gradient(scheme, *adjoint, &field, &grid, x0.view(), seed);
            if *adjoint == Adjoint::Reversible && scheme.contraction.is_some() {
                assert!(matches!(found, Err(Error::Invalid { .. })), "{what}: floats cannot take a contraction back");
                continue;
            }
            let found: Gradient = found.expect("the shapes fit");
            let x0_bar = found.x0.as_slice().expect("the array is contiguous");
            worst = worst.max(assert_close(&format!("{what}: x0"), x0_bar, &in_x0));
            worst = worst.max(assert_close(&format!("{what}: theta"), &found.theta, &in_theta));
            assert_eq!(found.states, states(start, &theta), "{what}: the states are those of solve");
            let drift = found.reconstruction.iter().copied().fold(0.0, f64::max);
            if *adjoint == Adjoint::Reversible {
                assert!(drift > 0.0 && drift < 1e-14, "{what}: walking back drifts by {drift:e}");
            } else {
                assert_eq!(drift, 0.0, "{what}: stored states cannot drift");
            }
        }
    }
    worst
}

#[test]
fn gradients_of_a_whole_solve() {
    for method in methods() {
        for contraction in contractions(method) {
            let scheme = Scheme { method, contraction };
            let runs = [(false, true), (true, true), (true, false)];
            let worst =
                runs.map(|(time, forward)| check_gradients(scheme, time, forward)).into_iter().fold(0.0, f64::max);
            println!("{method}, {contraction:?}: gradient off the differences by {worst:.1e}");
        }
    }
}

#[test]
fn the_drift_is_that_of_both_copies() {
    let (mlp, theta) = smooth_field(true);
    let field = Field::new(&mlp, &theta).expect("the parameters fit");
    let (grid, x0, zero) = (uneven_grid(true), random_x0(8), random_array((4, 8, DIM), 1));
    let mut larger = [0, 0];
    for method in methods() {
        let found = gradient(method, Adjoint::Reversible, &field, &grid, x0.view(), Seed::Cotangents(zero.view()));
        let found = found.expect("the shapes fit").reconstruction;
        for (x0, found) in x0.rows().into_iter().zip(found) {
            let scheme = method.pair().expect("a method on a pair");
            let kept = pairs(method, &field, grid.times(), &x0.to_vec());
            let mut pair = kept[grid.steps()].clone();
            for (number, ends) in grid.times().windows(2).enumerate().rev() {
                pair_step_reverse(&scheme, &field, PairStep { number, t: ends[0], h: ends[1] - ends[0] }, &mut pair);
            }
            let drifts = [distance(&pair.y, &kept[0].y), distance(&pair.z, &kept[0].z)];
            assert_eq!(found, drifts[0].max(drifts[1]), "{method}: the drifts of y and z are {drifts:?}");
            larger[usize::from(drifts[1] > drifts[0])] += 1;
        }
    }
    assert!(larger.iter().all(|n| *n > 5), "each copy must drift more than the other at times: {larger:?}");
}

#[test]
fn contractions_change_the_numbers_and_wrong_ones_are_refused() {
    let (mlp, theta) = smooth_field(true);
    let field = Field::new(&mlp, &theta).expect("the parameters fit");
    let (grid, x0) = (uneven_grid(true), random_x0(2));
    for method in methods() {
        let run = |contraction| solve(Scheme { method, contraction }, &field, &grid, x0.view());
        let plain = run(None).expect("a valid scheme");
        let same = solve(method, &field, &grid, x0.view()).expect("a valid scheme");
        assert_eq!(plain, same, "{method}: a method by itself has no contraction");
        let contracted = run(Some(Contraction { bits: 1, period: 1 }));
        if method.pair().is_some_and(|p| p.is_additive()) {
            let contracted = contracted.expect("a valid scheme");
            let change = (&contracted - &plain).iter().fold(0.0_f64, |m, d| m.max(d.abs()));
            println!("{method}: contraction changes the states by {change:.1e}");
            // Else the gradients with contractions would be no test of their adjoint. The copies of the methods of higher
            // order hardly part; that one code serves all of them has to do.
            let enough = if method.order() == 2 { 1e-5 } else { 1e-12 };
            assert!(change > enough, "{method}: contraction changes the states by {change:e} only");
        } else {
            assert!(matches!(contracted, Err(Error::Invalid { .. })), "{method} has no contraction: {contracted:?}");
        }
    }
    let scheme = Scheme { method: Method::Rk4, contraction: Some(Contraction { bits: 1, period: 1 }) };
    let refused = solve(scheme, &field, &grid, x0.view());
    assert!(matches!(refused, Err(Error::Invalid { .. })), "a Runge–Kutta method has no contraction: {refused:?}");
}

#[test]
fn adjoints_that_a_method_does_not_have_are_refused() {
    let (mlp, theta) = smooth_field(true);
    let field = Field::new(&mlp, &theta).expect("the parameters fit");
    let (grid, x0, zero) = (uneven_grid(true), random_x0(1), random_array((4, 1, DIM), 1));
    for (method, adjoint) in [
        (Method::Rk4, Adjoint::Reversible),
        (Method::Rk4, Adjoint::Exact),
        (Method::Strang, Adjoint::Backsolve),
        (Method::Alf, Adjoint::Exact),
    ] {
        let found = gradient(method, adjoint, &field, &grid, x0.view(), Seed::Cotangents(zero.view()));
        assert!(matches!(found, Err(Error::Invalid { .. })), "{method} with {adjoint}: {found:?}");
    }
}

/// The pairs of a solve at all boundaries.
fn pairs(method: Method, field: &Field<'_>, times: &[f64], x0: &[f64]) -> Vec<Pair> {
    let scheme = method.pair().expect("a method on a pair");
    let mut found = vec![pair_start(&scheme, field, times[0], x0)];
    for (number, ends) in times.windows(2).enumerate() {
        let mut pair = found[number].clone();
        pair_step(&scheme, field, PairStep { number, t: ends[0], h: ends[1] - ends[0] }, &mut pair);
        found.push(pair);
    }
    found
}
