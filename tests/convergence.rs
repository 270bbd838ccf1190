//! Does every solver converge at its order on the device, and do the two classic mistakes of the adjoint method stay out?
//!
//! Orders are slopes of log error over log h by least squares, from step counts where the error is far above f32
//! rounding and small enough to be asymptotic. Blind to error constants, and to orders above the fifth.

mod common;

use common::{gpu, parameters, random2, random3, to_f64};
use costate::reference::{self, Field};
use costate::{Activation, Adjoint, AdjointOptions, Method, Mlp, NeuralOde, Parameters, TimeGrid};
use ndarray::{Array2, Array3, ArrayView2, array};

/// Rounding of ~100 steps is about 1e-6: errors below twenty times that are left out, so that it moves no slope by more
/// than 1/20/ln 2 = 0.07. Errors above 0.1 are not asymptotic on orbits of size 1.
const WINDOW: std::ops::Range<f64> = 2e-5..0.1;

/// `x' = sin y + 0.3 sin t, y' = −sin x`: a driven pendulum-like rotation, smooth and without decay, so that the errors
/// of high orders add up to something that f32 can see while the step is still small against the time scale 1.
fn rotation() -> (Mlp, Parameters) {
    let mlp = Mlp::builder(2).hidden(&[3], Activation::Sin).time_input(true).build().expect("a valid field");
    // Hidden sin(y), sin(x), sin(t).
    let hidden = [0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0];
    let output = [1.0, 0.0, 0.3, 0.0, -1.0, 0.0, 0.0, 0.0];
    let theta = Parameters::from_flat(&mlp, [&hidden[..], &output[..]].concat()).expect("as many parameters");
    (mlp, theta)
}

const T1: f64 = 4.0;

fn x0() -> Array2<f32> {
    array![[0.9, 0.0], [0.3, -0.8], [-1.1, 0.4], [0.0, 0.5], [-0.6, -0.7]]
}

/// The fifth-order methods were made for small principal errors: with steps whose errors f32 can see, those of order 6
/// and 7 weigh more and the slope comes out too steep (Tsit5's principal term wins below h = 0.2, at errors of 1e-9). So
/// their slope is bounded from below only; that the device takes the very steps of the method is seen from the second
/// criterion, the slope of the f64 twin over the same step counts, whose own limit tests/reference_convergence.rs takes.
#[test]
fn every_solver_converges_at_its_order() {
    let (mlp, theta) = rotation();
    let values: Vec<f64> = theta.as_slice().iter().map(|v| f64::from(*v)).collect();
    let twin = Field::new(&mlp, &values).expect("matching parameters");
    let exact = |method, steps| {
        let grid = TimeGrid::uniform(0.0, T1, steps).expect("a valid grid");
        // As the device does by default: kicks are contracted, and walked in fixed point.
        let adjoint = Adjoint::Auto.resolve(method).expect("every method has one");
        let contraction = AdjointOptions::default().contraction(method, adjoint, steps);
        let scheme = reference::Scheme { method, contraction };
        reference::solve(scheme, &twin, &grid, to_f64(&x0()).view()).expect("a reference solution")
    };
    // Fifth order at h = 0.001: 1e-15.
    let limit = exact(Method::Tsit5, 4000);
    let distance = |a: &Array3<f64>| (a - &limit).mapv(|d| d * d).sum().sqrt();
    for method in Method::RUNGE_KUTTA.into_iter().chain(Method::PAIR) {
        let (mut device, mut reference) = (Vec::new(), Vec::new());
        for steps in [3, 4, 5, 7, 10, 14, 20, 28, 40, 57, 80, 113, 160, 226, 320, 640] {
            let grid = TimeGrid::uniform(0.0, T1, steps).expect("a valid grid");
            let ode = NeuralOde::builder(mlp.clone(), grid).method(method).build(gpu()).expect("a small problem");
            let error = distance(&to_f64(&ode.solve(&theta, x0().view()).expect("a solve").states));
            if WINDOW.contains(&error) {
                let h = (T1 / steps as f64).ln();
                device.push((h, error.ln()));
                reference.push((h, distance(&exact(method, steps)).ln()));
            }
        }
        let count = device.len();
        assert!(count >= 3, "{method}: only {count} step counts are measurable: {device:?}");
        let (order, of_twin) = (slope(&device), slope(&reference));
        let claimed = f64::from(method.order());
        println!("{method}: order {order:.2} of {claimed}, twin {of_twin:.2}, from {count} step counts");
        // The least error is 20 times rounding or more, over at least a factor of 2 in h.
        assert!((order - of_twin).abs() < 0.1, "{method}: order {order:.2}, the twin has {of_twin:.2}: {device:?}");
        let fits = order > claimed - 0.3 && (order < claimed + 0.3 || claimed > 4.5);
        assert!(fits, "{method}: order {order:.2} instead of {claimed} from {device:?}");
    }
}

fn slope(points: &[(f64, f64)]) -> f64 {
    let n = points.len() as f64;
    let (x, y) = points.iter().fold((0.0, 0.0), |(x, y), p| (x + p.0 / n, y + p.1 / n));
    let covariance: f64 = points.iter().map(|p| (p.0 - x) * (p.1 - y)).sum();
    covariance / points.iter().map(|p| (p.0 - x).powi(2)).sum::<f64>()
}

/// Stepping Euler by −h does not undo a step by h: the defect is h² per step, h in total. The certificate must say so.
#[test]
fn the_reconstruction_error_of_euler_halves_with_the_step() {
    let (mlp, theta) = rotation();
    let cotangents = random3(1, x0().nrows(), 2, 4);
    let mut previous: Option<f64> = None;
    for steps in [10, 20, 40, 80, 160] {
        let grid = TimeGrid::uniform(0.0, 1.0, steps).expect("a valid grid");
        let builder = NeuralOde::builder(mlp.clone(), grid).method(Method::Euler).adjoint(Adjoint::Backsolve);
        let ode = builder.build(gpu()).expect("a small problem");
        let gradient = ode.vjp(&theta, x0().view(), cotangents.view()).expect("a vjp");
        let reconstruction = gradient.reconstruction.expect("backsolve has a certificate");
        let largest = reconstruction.per_trajectory.iter().copied().fold(0.0, f32::max);
        assert_eq!(largest, reconstruction.max_abs, "the summary disagrees with the trajectories");
        let error = f64::from(reconstruction.max_abs);
        if let Some(previous) = previous {
            let ratio = previous / error;
            println!("N = {steps}: reconstruction error {error:.2e}, ratio {ratio:.2}");
            assert!((ratio - 2.0).abs() < 0.2, "N = {steps}: the error {error:e} fell by {ratio} instead of 2");
        } else {
            assert!(error > 0.01, "N = {steps}: an error of {error:e} is too small to be Euler's");
        }
        previous = Some(error);
    }
}

/// Euler's step has the Jacobian I + h ∂f/∂x. Leaving out the I still gives a direction along which training may
/// descend, so only numbers can tell: those of the device's own loss.
#[test]
fn the_gradient_is_that_of_the_devices_own_loss() {
    const STEPS: usize = 10;
    let mlp = common::field(2, &[5], Activation::Tanh, true);
    let theta = parameters(&mlp, 3);
    let x0 = random2(6, 2, 1);
    let targets = random3(1, 6, 2, 2);
    let grid = TimeGrid::uniform(0.0, 1.0, STEPS).expect("a valid grid");
    let ode =
        NeuralOde::builder(mlp.clone(), grid.clone()).method(Method::Euler).build(gpu()).expect("a small problem");
    let got = ode.loss_and_gradient(&theta, x0.view(), targets.view()).expect("a gradient");

    let loss = |theta: &Parameters, x0: &Array2<f32>| {
        let states = ode.solve(theta, x0.view()).expect("a solve").states;
        let squares = states.iter().zip(&targets).map(|(x, y)| (f64::from(*x) - f64::from(*y)).powi(2));
        squares.sum::<f64>() / targets.len() as f64
    };
    // Along a direction of size ~1: truncation ε²/6 J''' ~ 2e-5, rounding of the loss 1e-7 / ε = 1e-5, of slopes ~0.1.
    const EPSILON: f32 = 1e-2;
    const TOLERANCE: f64 = 3e-3;
    for seed in 0..4 {
        let direction = random2(1, theta.as_slice().len(), 30 + seed);
        let shifted = |sign: f32| {
            let mut moved = theta.clone();
            moved.as_mut_slice().iter_mut().zip(&direction).for_each(|(p, d)| *p += sign * EPSILON * d);
            loss(&moved, &x0)
        };
        let difference = (shifted(1.0) - shifted(-1.0)) / (2.0 * f64::from(EPSILON));
        let along = dot(&got.theta, direction.as_slice().expect("contiguous"));
        let scale = norm(&got.theta) * norm(direction.as_slice().expect("contiguous"));
        println!("direction {seed}: θ {along:.5} against {difference:.5} of {scale:.5}");
        assert!((along - difference).abs() < TOLERANCE * scale, "dJ/dθ · v = {along}, differences say {difference}");
    }
    let wrong = without_identity(&mlp, &theta, &grid, &x0, &targets);
    for seed in 0..4 {
        let direction = random2(6, 2, 40 + seed);
        let shifted = |sign: f32| loss(&theta, &(&x0 + &(&direction * (sign * EPSILON))));
        let difference = (shifted(1.0) - shifted(-1.0)) / (2.0 * f64::from(EPSILON));
        let flat = direction.as_slice().expect("contiguous");
        let along = dot(got.x0.as_slice().expect("contiguous"), flat);
        let scale = norm(got.x0.as_slice().expect("contiguous")) * norm(flat);
        assert!((along - difference).abs() < TOLERANCE * scale, "dJ/dx0 · v = {along}, differences say {difference}");
    }
    let x0_gradient = to_f64(&got.x0);
    let distance = (&wrong - &x0_gradient).mapv(|d| d * d).sum().sqrt() / x0_gradient.mapv(|d| d * d).sum().sqrt();
    println!("without the identity dJ/dx0 is off by {distance:.2}");
    assert!(distance > 0.5, "this problem cannot tell whether the identity is there: {distance}");
}

/// dJ/dx0 of Euler as it comes out when `∂x_{n+1}/∂x_n` is taken as `h ∂f/∂x`.
fn without_identity(
    mlp: &Mlp,
    theta: &Parameters,
    grid: &TimeGrid,
    x0: &Array2<f32>,
    targets: &Array3<f32>,
) -> Array2<f64> {
    let values: Vec<f64> = theta.as_slice().iter().map(|v| f64::from(*v)).collect();
    let field = Field::new(mlp, &values).expect("matching parameters");
    let count = targets.len() as f64;
    let mut result = Array2::zeros(x0.raw_dim());
    for (b, start) in to_f64(x0).rows().into_iter().enumerate() {
        let mut states = vec![start.to_vec()];
        for n in 0..grid.steps() {
            let h = grid.times()[n + 1] - grid.times()[n];
            let one = ArrayView2::from_shape((1, 2), &states[n]).expect("one row");
            let step = TimeGrid::uniform(grid.times()[n], grid.times()[n] + h, 1).expect("a valid grid");
            states
                .push(reference::solve(Method::Euler, &field, &step, one).expect("a step").into_raw_vec_and_offset().0);
        }
        let end = &states[grid.steps()];
        let mut a: Vec<f64> = end
            .iter()
            .zip(targets.slice(ndarray::s![0, b, ..]))
            .map(|(x, y)| 2.0 / count * (x - f64::from(*y)))
            .collect();
        for n in (0..grid.steps()).rev() {
            let h = grid.times()[n + 1] - grid.times()[n];
            let k: Vec<f64> = a.iter().map(|a| h * a).collect();
            a = field.vjp(&states[n], grid.times()[n], &k, &mut vec![0.0; values.len()]).0;
        }
        result.row_mut(b).iter_mut().zip(&a).for_each(|(to, from)| *to = *from);
    }
    result
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

fn norm(a: &[f32]) -> f64 {
    dot(a, a).sqrt()
}
