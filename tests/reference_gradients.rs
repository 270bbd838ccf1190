//! Are the f64 twins right: the activations, the field, one step and the whole gradient?
//!
//! Activations are held against values computed with 60 digits; every derivative against central differences of the
//! corresponding function value, which shares no code with the derivative.
//!
//! Central differences with step ε have an error of about `ε² f'''/6 + u f/ε` (u = 1.1e-16): with ε = 1e-5 and
//! functions of size 1 that is 1e-10 … 1e-11, so 1e-7 relative to the largest derivative leaves room for third
//! derivatives of size 1e3 and still sees a missing term of any size that matters.
//!
//! Blind spots: a `solve` that integrates something else consistently (`reference_convergence.rs` looks at that), and
//! parameters larger than those of a fresh network.

use costate::reference::{Field, Gradient, Seed, activation, gradient, solve, step, step_reverse, step_vjp};
use costate::{Activation, Adjoint, Error, Init, Method, Mlp, Parameters, TimeGrid};
use ndarray::{Array2, Array3, ArrayView2, Axis};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

const EPS: f64 = 1e-5;
const TOLERANCE: f64 = 1e-7;

/// `n` values from `[-1, 1)`, the same for the same seed.
fn random(n: usize, seed: u64) -> Vec<f64> {
    let mut rng = Pcg64::seed_from_u64(seed);
    (0..n).map(|_| rng.random_range(-1.0..1.0)).collect()
}

/// Weights and biases of a fresh network, all different from zero.
fn parameters(mlp: &Mlp, seed: u64) -> Vec<f64> {
    let theta = Parameters::init(mlp, Init::Torch, seed).expect("the initialiser is valid");
    theta.as_slice().iter().map(|&v| f64::from(v)).collect()
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

/// Holds `found` against `expected`, relative to the largest entry of `expected`.
#[track_caller]
fn assert_close(what: &str, found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len(), "{what}: length");
    let scale = expected.iter().fold(0.0_f64, |m, e| m.max(e.abs()));
    let error = found.iter().zip(expected).fold(0.0_f64, |m, (f, e)| m.max((f - e).abs()));
    // Negated, so that NaN fails.
    assert!(!(error.is_nan() || error > TOLERANCE * scale), "{what}: off by {error:e}, the largest entry is {scale:e}");
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// (activation, p, φ(p), φ'(p)), computed with 60 digits and rounded.
const EXACT: [(Activation, f64, f64, f64); 42] = [
    (Activation::Tanh, -9.0, -0.999999969540041, 6.091991712323229e-08),
    (Activation::Tanh, -2.5, -0.9866142981514303, 0.02659222668316062),
    (Activation::Tanh, -0.001, -0.0009999996666668, 0.9999990000006667),
    (Activation::Tanh, 0.4, 0.3799489622552249, 0.8556387860811777),
    (Activation::Tanh, 2.0, 0.9640275800758169, 0.07065082485316447),
    (Activation::Tanh, 6.5, 0.9999954793514042, 9.04127675535057e-06),
    (Activation::Elu, -9.0, -0.9998765901959134, 0.00012340980408667956),
    (Activation::Elu, -2.5, -0.9179150013761012, 0.0820849986238988),
    (Activation::Elu, -0.001, -0.0009995001666250085, 0.999000499833375),
    (Activation::Elu, 0.4, 0.4, 1.0),
    (Activation::Elu, 2.0, 2.0, 1.0),
    (Activation::Elu, 6.5, 6.5, 1.0),
    (Activation::Softplus, -9.0, 0.00012340218972325883, 0.00012339457598623172),
    (Activation::Softplus, -2.5, 0.07888973429254963, 0.07585818002124355),
    (Activation::Softplus, -0.001, 0.6926473055599401, 0.4997500000208333),
    (Activation::Softplus, 0.4, 0.9130152523999526, 0.598687660112452),
    (Activation::Softplus, 2.0, 2.1269280110429727, 0.8807970779778824),
    (Activation::Softplus, 6.5, 6.501502310159754, 0.998498817743263),
    (Activation::Silu, -9.0, -0.0011105511838760856, -0.0009870195718974083),
    (Activation::Silu, -2.5, -0.18964545005310887, -0.09940111134152683),
    (Activation::Silu, -0.001, -0.0004997500000208334, 0.49950000008333334),
    (Activation::Silu, 0.4, 0.2394750640449808, 0.6947919584090637),
    (Activation::Silu, 2.0, 1.7615941559557649, 1.0907842487848955),
    (Activation::Silu, 6.5, 6.490242315331209, 1.0082418543489617),
    (Activation::Gelu, -9.0, -1.0157295653584566e-18, -9.138937373906639e-18),
    (Activation::Gelu, -2.5, -0.015524163314440337, -0.03761108590814521),
    (Activation::Gelu, -0.001, -0.000499601057786089, 0.4992021157051586),
    (Activation::Gelu, 0.4, 0.2621686966441297, 0.8027297977316535),
    (Activation::Gelu, 2.0, 1.9544997361036416, 1.085231801078197),
    (Activation::Gelu, 6.5, 6.49999999973896, 1.0000000016950519),
    (Activation::Sin, -9.0, -0.4121184852417566, -0.9111302618846769),
    (Activation::Sin, -2.5, -0.5984721441039565, -0.8011436155469337),
    (Activation::Sin, -0.001, -0.0009999998333333417, 0.9999995000000417),
    (Activation::Sin, 0.4, 0.3894183423086505, 0.9210609940028851),
    (Activation::Sin, 2.0, 0.9092974268256817, -0.4161468365471424),
    (Activation::Sin, 6.5, 0.21511998808781552, 0.9765876257280235),
    (Activation::Sigmoid, -9.0, 0.00012339457598623172, 0.0001233793497648489),
    (Activation::Sigmoid, -2.5, 0.07585818002124355, 0.07010371654510816),
    (Activation::Sigmoid, -0.001, 0.4997500000208333, 0.24999993750001043),
    (Activation::Sigmoid, 0.4, 0.598687660112452, 0.24026074574152914),
    (Activation::Sigmoid, 2.0, 0.8807970779778824, 0.10499358540350652),
    (Activation::Sigmoid, 6.5, 0.998498817743263, 0.0014989287085690496),
];

#[test]
fn activations_have_the_exact_values() {
    for (a, p, value, derivative) in EXACT {
        let (found, slope) = activation(a, p);
        // Relative error: the worst case is the tail of gelu at −9, where p²/2 = 40 in the exponent magnifies the
        // rounding of p/√2 to 2 · 40 · 1.1e-16 = 9e-15.
        for (what, found, exact) in [("value", found, value), ("derivative", slope, derivative)] {
            let error = ((found - exact) / exact).abs();
            assert!(error < 2e-14, "{a} at {p}: {what} {found:e}, exact {exact:e}, relative error {error:e}");
        }
    }
    for p in [-2.0, 0.0, 3.0] {
        assert_eq!(activation(Activation::Identity, p), (p, 1.0));
    }
    assert_eq!([-1.5, 0.0, 1.5].map(|p| activation(Activation::Relu, p)), [(0.0, 0.0), (0.0, 0.0), (1.5, 1.0)]);
    let leaky = [-1.5, 0.0, 1.5].map(|p| activation(Activation::LeakyRelu, p));
    assert_eq!(leaky, [(-0.015, 0.01), (0.0, 0.01), (1.5, 1.0)]);
    // Beyond e^−708 there is still something left: no exponential overflows on the way.
    let (tail, slope) = activation(Activation::Sigmoid, -700.0);
    assert!((tail / (-700.0_f64).exp() - 1.0).abs() < 1e-15 && slope == tail, "sigmoid(-700) = {tail:e}, {slope:e}");
}

#[test]
fn activations_have_the_derivative_of_their_value() {
    for a in Activation::ALL {
        // 161 points of [-8.05, 7.95], none nearer to the kink of relu at 0 than ε.
        for p in (0..=160).map(|i| -8.05 + 0.1 * f64::from(i)).filter(|p| p.abs() > 2.0 * EPS) {
            let slope = (activation(a, p + EPS).0 - activation(a, p - EPS).0) / (2.0 * EPS);
            let error = (activation(a, p).1 - slope).abs();
            assert!(error < 1e-9, "{a}' at {p} differs from the difference quotient by {error:e}");
        }
    }
}

#[test]
fn activations_do_not_overflow() {
    for a in Activation::ALL {
        for p in [-1e6, -1e3, -710.0, -40.0, 40.0, 710.0, 1e3, 1e6] {
            let (value, slope) = activation(a, p);
            assert!(value.is_finite() && slope.is_finite(), "{a} at {p}: value {value}, derivative {slope}");
            assert!(value.abs() <= p.abs().max(1.0), "{a} at {p} grows faster than its argument: {value}");
        }
        assert!(activation(a, f64::NAN).0.is_nan(), "{a} hides NaN");
    }
}

/// The field written out once more, straight from the layout of the parameters; also returns the smallest
/// pre-activation by size of the layers with a kink at 0.
fn eval_by_hand(mlp: &Mlp, theta: &[f64], x: &[f64], t: f64) -> (Vec<f64>, f64) {
    let (mut v, mut offset, mut nearest) = (x.to_vec(), 0, f64::INFINITY);
    if mlp.time_input() {
        v.push(t);
    }
    for layer in mlp.layers() {
        let bias = offset + layer.n_in * layer.n_out;
        let shift = |j: usize| if mlp.bias() { theta[bias + j] } else { 0.0 };
        let p: Vec<f64> =
            (0..layer.n_out).map(|j| dot(&theta[offset + j * layer.n_in..][..layer.n_in], &v) + shift(j)).collect();
        if matches!(layer.activation, Activation::Relu | Activation::Elu | Activation::LeakyRelu) {
            nearest = p.iter().fold(nearest, |m, p| m.min(p.abs()));
        }
        v = p.iter().map(|&p| activation(layer.activation, p).0).collect();
        offset = bias + if mlp.bias() { layer.n_out } else { 0 };
    }
    (v, nearest)
}

#[test]
fn field_and_its_vjp() {
    const HIDDEN: [usize; 3] = [5, 7, 6];
    let (x, t, k) = (random(3, 1), 0.7, random(3, 2));
    for a in Activation::ALL {
        for (depth, time_input) in [1, 2, 3, 4].into_iter().flat_map(|depth| [(depth, false), (depth, true)]) {
            let what = format!("{a}, {depth} layers, time {time_input}");
            let builder = Mlp::builder(3).hidden(&HIDDEN[..depth - 1], a).time_input(time_input);
            // The last layer is linear in deep fields; with one layer it must carry the activation to be a test of it.
            let output = if depth == 1 { a } else { Activation::Identity };
            // Fields of two layers have no biases.
            let mlp = builder.output_activation(output).bias(depth != 2).build().expect("the field is valid");
            // Seeds are tried until no unit is nearer to a kink than any difference quotient can reach.
            let theta = (10..)
                .map(|seed| parameters(&mlp, seed))
                .find(|theta| eval_by_hand(&mlp, theta, &x, t).1 > 1e-3)
                .expect("the seeds do not end");
            let field = Field::new(&mlp, &theta).expect("the parameters fit");
            assert_close(&format!("{what}: value"), &field.eval(&x, t), &eval_by_hand(&mlp, &theta, &x, t).0);

            let before = random(theta.len(), 3);
            let mut theta_bar = before.clone();
            let (x_bar, t_bar) = field.vjp(&x, t, &k, &mut theta_bar);
            let added: Vec<f64> = theta_bar.iter().zip(&before).map(|(after, before)| after - before).collect();
            let j = |x: &[f64], t: f64, theta: &[f64]| dot(&k, &eval_by_hand(&mlp, theta, x, t).0);
            assert_close(&format!("{what}: x"), &x_bar, &differences(&x, |x| j(x, t, &theta)));
            assert_close(&format!("{what}: t"), &[t_bar], &differences(&[t], |t| j(&x, t[0], &theta)));
            assert_close(&format!("{what}: theta"), &added, &differences(&theta, |theta| j(&x, t, theta)));
        }
    }
}

/// A field whose every derivative is smooth and none vanishes.
fn smooth_field(time_input: bool) -> (Mlp, Vec<f64>) {
    let mlp = Mlp::builder(3)
        .hidden(&[5], Activation::Tanh)
        .hidden(&[6], Activation::Silu)
        .time_input(time_input)
        .build()
        .expect("the field is valid");
    let theta = parameters(&mlp, 5);
    (mlp, theta)
}

#[test]
fn vjp_of_a_step() {
    let (x, a_next, t) = (random(3, 6), random(3, 7), 0.4);
    for (method, time_input) in Method::RUNGE_KUTTA.into_iter().flat_map(|m| [(m, false), (m, true)]) {
        let (mlp, theta) = smooth_field(time_input);
        let (field, tableau) = (Field::new(&mlp, &theta).expect("the parameters fit"), method.tableau());
        // A large step, so that the terms of high order in h are seen.
        for h in [0.8, -0.8] {
            let what = format!("{method}, time {time_input}, h = {h}");
            let before = random(theta.len(), 8);
            let mut theta_bar = before.clone();
            let a = step_vjp(tableau, &field, t, h, &x, &a_next, &mut theta_bar);
            let added: Vec<f64> = theta_bar.iter().zip(&before).map(|(after, before)| after - before).collect();
            let in_x = differences(&x, |x| dot(&a_next, &step(tableau, &field, t, h, x)));
            let in_theta = differences(&theta, |theta| {
                let field = Field::new(&mlp, theta).expect("the parameters fit");
                dot(&a_next, &step(tableau, &field, t, h, &x))
            });
            assert_close(&format!("{what}: x"), &a, &in_x);
            assert_close(&format!("{what}: theta"), &added, &in_theta);
        }
    }
}

/// Unequal steps; saved at t0, twice on the way and at the end.
fn uneven_grid(forward: bool) -> TimeGrid {
    let times = [0.2, 0.5, 0.6, 1.0, 1.1, 1.6, 1.8];
    let times = times.map(|t| if forward { t } else { 2.0 - t });
    TimeGrid::from_boundaries(times.to_vec(), vec![0, 2, 5, 6]).expect("the grid is valid")
}

fn random_array(shape: (usize, usize, usize), seed: u64) -> Array3<f64> {
    Array3::from_shape_vec(shape, random(shape.0 * shape.1 * shape.2, seed)).expect("the length fits the shape")
}

fn random_x0(batch: usize) -> Array2<f64> {
    Array2::from_shape_vec((batch, 3), random(batch * 3, 9)).expect("the length fits the shape")
}

#[test]
fn gradient_of_a_whole_solve() {
    let x0 = random_x0(2);
    let start = x0.as_slice().expect("the array is contiguous");
    let weights = random_array((4, 2, 3), 11);
    for (method, time_input, forward) in
        Method::RUNGE_KUTTA.into_iter().flat_map(|m| [(m, false, true), (m, true, true), (m, true, false)])
    {
        let ((mlp, theta), grid) = (smooth_field(time_input), uneven_grid(forward));
        let field = Field::new(&mlp, &theta).expect("the parameters fit");
        let states = |x0: &[f64], theta: &[f64]| {
            let field = Field::new(&mlp, theta).expect("the parameters fit");
            let x0 = ArrayView2::from_shape((2, 3), x0).expect("the length fits the shape");
            solve(method, &field, &grid, x0).expect("the shapes fit")
        };
        let check = |what: &str, found: &Gradient, j: &dyn Fn(&[f64], &[f64]) -> f64| {
            let what = format!("{method}, time {time_input}, forward {forward}, {what}");
            let in_x0 = differences(start, |x0| j(x0, &theta));
            assert_close(&format!("{what}: x0"), found.x0.as_slice().expect("the array is contiguous"), &in_x0);
            assert_close(&format!("{what}: theta"), &found.theta, &differences(&theta, |theta| j(start, theta)));
            assert_eq!(found.states, states(start, &theta), "{what}: the states are those of solve");
            assert_eq!(found.reconstruction, [0.0, 0.0], "{what}: stored states cannot drift");
        };

        let mse = |x0: &[f64], theta: &[f64]| {
            (states(x0, theta) - &weights).iter().map(|r| r * r).sum::<f64>() / weights.len() as f64
        };
        let found = gradient(method, Adjoint::Stored, &field, &grid, x0.view(), Seed::Targets(weights.view()));
        let found = found.expect("the shapes fit");
        assert_close(&format!("{method}: loss"), &found.loss.into_iter().collect::<Vec<_>>(), &[mse(start, &theta)]);
        check("targets", &found, &mse);

        let weighted = |x0: &[f64], theta: &[f64]| (states(x0, theta) * &weights).sum();
        let found = gradient(method, Adjoint::Stored, &field, &grid, x0.view(), Seed::Cotangents(weights.view()));
        let found = found.expect("the shapes fit");
        assert_eq!(found.loss, None, "cotangents say nothing of the loss");
        check("cotangents", &found, &weighted);
    }
}

#[test]
fn steps_after_the_last_save_do_not_count() {
    let (mlp, theta) = smooth_field(true);
    let field = Field::new(&mlp, &theta).expect("the parameters fit");
    let (x0, cotangent) = (random_x0(1), random_array((1, 1, 3), 12));
    let run = |times: Vec<f64>| {
        let grid = TimeGrid::from_boundaries(times, vec![2]).expect("the grid is valid");
        gradient(Method::Rk4, Adjoint::Stored, &field, &grid, x0.view(), Seed::Cotangents(cotangent.view()))
            .expect("the shapes fit")
    };
    let (short, mut long) = (run(vec![0.0, 0.3, 0.5]), run(vec![0.0, 0.3, 0.5, 0.6, 1.0]));
    assert_eq!(long.boundaries.split_off(3), [0.0, 0.0], "times after the last save do not count either");
    assert_eq!(short, long);
}

#[test]
fn backsolve_takes_residuals_from_the_forward_pass() {
    let (mlp, theta) = smooth_field(true);
    let field = Field::new(&mlp, &theta).expect("the parameters fit");
    let (grid, x0) = (uneven_grid(true), random_x0(2));
    for method in Method::RUNGE_KUTTA {
        let targets = solve(method, &field, &grid, x0.view()).expect("the shapes fit");
        let run = |targets: &Array3<f64>, adjoint| {
            gradient(method, adjoint, &field, &grid, x0.view(), Seed::Targets(targets.view())).expect("the shapes fit")
        };
        // A perfect fit has a zero gradient, to the bit, however far the reconstructed states have drifted.
        let perfect = run(&targets, Adjoint::Backsolve);
        assert_eq!(perfect.loss, Some(0.0), "{method}: loss of a perfect fit");
        assert!(perfect.theta.iter().chain(&perfect.x0).all(|g| *g == 0.0), "{method}: gradient of a perfect fit");
        // 4e-11 with EES(2,7), whose reversal has order 7.
        assert!(perfect.reconstruction.iter().all(|&r| r > 1e-12), "{method}: steps this large must drift visibly");

        let other = random_array(targets.dim(), 13);
        let (stored, backsolve) = (run(&other, Adjoint::Stored), run(&other, Adjoint::Backsolve));
        assert_eq!(
            (stored.loss, stored.states),
            (backsolve.loss, backsolve.states),
            "{method}: the forward pass is one"
        );
        assert_ne!(stored.theta, backsolve.theta, "{method}: drift must reach the gradient");
    }
}

#[test]
fn backsolve_reports_the_drift_of_its_states() {
    let (mlp, theta) = smooth_field(true);
    let field = Field::new(&mlp, &theta).expect("the parameters fit");
    let (grid, x0) = (uneven_grid(false), random_x0(3));
    let zero = Array3::zeros((4, 3, 3));
    let tableau = Method::Heun.tableau();
    let found = gradient(Method::Heun, Adjoint::Backsolve, &field, &grid, x0.view(), Seed::Cotangents(zero.view()))
        .expect("the shapes fit");
    for (b, start) in x0.rows().into_iter().enumerate() {
        let mut x = found.states.index_axis(Axis(0), 3).row(b).to_vec();
        for pair in grid.times().windows(2).rev() {
            x = step_reverse(tableau, &field, pair[1], pair[1] - pair[0], &x);
        }
        let drift = x.iter().zip(start).map(|(x, y)| (x - y).abs()).fold(0.0, f64::max);
        assert_eq!(found.reconstruction[b], drift, "trajectory {b}");
    }
}

#[test]
fn a_bad_trajectory_is_seen_and_stays_alone() {
    let (mlp, theta) = smooth_field(true);
    let field = Field::new(&mlp, &theta).expect("the parameters fit");
    let (grid, mut x0) = (uneven_grid(true), random_x0(2));
    let zero = Array3::zeros((4, 2, 3));
    let run = |x0: &Array2<f64>, adjoint| {
        gradient(Method::Rk4, adjoint, &field, &grid, x0.view(), Seed::Targets(zero.view())).expect("the shapes fit")
    };
    let good = run(&x0, Adjoint::Backsolve);
    x0[[1, 0]] = f64::NAN;
    let bad = run(&x0, Adjoint::Backsolve);
    assert_eq!(bad.x0.row(0), good.x0.row(0), "the gradient of the good trajectory");
    assert_eq!(bad.reconstruction[0], good.reconstruction[0], "the drift of the good trajectory");
    assert!(bad.reconstruction[1].is_nan(), "a drift of {} hides the NaN", bad.reconstruction[1]);
    assert!(bad.loss.is_some_and(f64::is_nan), "a loss of {:?} hides the NaN", bad.loss);
}

#[test]
fn wrong_shapes_are_errors() {
    let (mlp, theta) = smooth_field(false);
    assert!(matches!(Field::new(&mlp, &theta[1..]), Err(Error::Shape { .. })), "one parameter too few");
    let field = Field::new(&mlp, &theta).expect("the parameters fit");
    let grid = uneven_grid(true);
    for shape in [(2, 2), (2, 4), (0, 3)] {
        let result = solve(Method::Euler, &field, &grid, Array2::zeros(shape).view());
        assert!(matches!(result, Err(Error::Shape { .. })), "x0 of shape {shape:?}: {result:?}");
    }
    for shape in [(3, 2, 3), (4, 1, 3), (4, 2, 2)] {
        let array = Array3::zeros(shape);
        for seed in [Seed::Targets(array.view()), Seed::Cotangents(array.view())] {
            let result = gradient(Method::Euler, Adjoint::Stored, &field, &grid, random_x0(2).view(), seed);
            assert!(matches!(result, Err(Error::Shape { .. })), "seed of shape {shape:?}: {result:?}");
        }
    }
}
