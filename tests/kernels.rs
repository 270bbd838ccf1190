//! Does every kernel compute what its f64 twin says, whatever the batch, the widths, the depth, the activation?
//!
//! The kernels run as parts of a whole solve and gradient, so a wrong sum, index, tile or padded row shows up in the
//! states, dJ/dθ or dJ/dx0 of some trajectory; every one of them is compared. The last test looks at the activations
//! alone, point by point. Blind to errors that twin and kernel share (tests/reference_gradients.rs holds the twin
//! against finite differences) and to long times (tests/convergence.rs, tests/invariance.rs).

mod common;

use common::{checked_gpu, field, gpu, parameters, random2, random3, relative, relative_max, twin_gradient, ways};
use costate::{Activation, Adjoint, Caps, Gpu, Method, Mlp, NeuralOde, Parameters, Slot, TimeGrid, reference};
use ndarray::{Array2, Array3, Axis, s};

/// Unit roundoff of f32.
const U: f64 = 6e-8;
/// A field evaluation with sums over n terms errs by about √n u, activations by a few u; N ≤ 5 mild steps of one or two
/// stages keep that size. Three times √130 u, the widest sum of this file, covers the worst trajectory of a batch;
/// the largest distances seen are 2 u for states, 4 u for gradients.
const STATE: f64 = 30.0 * U;
/// The gradient goes through the same sums forward and back, with slopes that err by some 2 u each.
const GRADIENT: f64 = 2.0 * STATE;

fn problem(gpu: &Gpu, mlp: &Mlp, grid: &TimeGrid, method: Method, adjoint: Adjoint) -> NeuralOde {
    let builder = NeuralOde::builder(mlp.clone(), grid.clone()).method(method).adjoint(adjoint);
    builder.build(gpu).expect("a field that fits the device")
}

/// Compares states, loss, dJ/dθ and each trajectory's dJ/dx0 with the twin.
fn compare(gpu: &Gpu, case: &str, theta: &Parameters, grid: &TimeGrid, method: Method, batch: usize) {
    let mlp = theta.field();
    let x0 = random2(batch, mlp.dim(), 11);
    let targets = random3(grid.saves().len(), batch, mlp.dim(), 12);
    for adjoint in Method::Euler.adjoints().iter().copied() {
        let case = format!("{case}, {}, batch {batch}, {method}, {adjoint}", mlp.summary());
        let want = twin_gradient(method, adjoint, theta, grid, &x0, Some(&targets), None);
        let ode = problem(gpu, mlp, grid, method, adjoint);
        let got = ode.loss_and_gradient(theta, x0.view(), targets.view()).expect(&case);
        let loss = want.loss.expect("targets give a loss");
        let loss_error = (f64::from(got.loss.expect("a loss")) - loss).abs() / loss;
        let theta_error = relative(&got.theta, &want.theta);
        let x0_error = relative_max(&got.x0, &want.x0);
        println!("{case}: loss {loss_error:.1e}, θ {theta_error:.1e}, x0 {x0_error:.1e}");
        assert!(loss_error < STATE, "{case}: loss off by {loss_error:e}");
        assert!(theta_error < GRADIENT, "{case}: dJ/dθ off by {theta_error:e}");
        assert!(x0_error < GRADIENT, "{case}: dJ/dx0 off by {x0_error:e}");
        if adjoint == Adjoint::Stored {
            let solution = ode.solve(theta, x0.view()).expect(&case);
            let error = relative_max(&solution.states, &want.states);
            println!("{case}: states {error:.1e}");
            assert!(error < STATE, "{case}: states off by {error:e}");
        }
    }
}

/// Unequal steps with saves at both ends and in between.
fn grid() -> TimeGrid {
    TimeGrid::from_boundaries(vec![0.0, 0.1, 0.15, 0.3, 0.4], vec![0, 2, 4]).expect("a valid grid")
}

/// The field of the batch tests, also used by tests/invariance.rs: pipelines are compiled once and cached on disk.
fn small_field() -> Mlp {
    field(3, &[5], Activation::Tanh, false)
}

#[test]
fn every_batch_size_around_the_edges_of_groups_matches() {
    let theta = parameters(&small_field(), 1);
    for batch in [1, 7, 63, 64, 65, 1000] {
        compare(gpu(), "edges", &theta, &grid(), Method::Heun, batch);
    }
}

#[test]
fn a_batch_that_needs_folded_or_cut_dispatches_matches() {
    let theta = parameters(&small_field(), 1);
    let grid = TimeGrid::uniform(0.0, 0.3, 2).expect("a valid grid");
    compare(gpu(), "one dispatch", &theta, &grid, Method::Heun, 70_000);
    let cut = gpu().restricted(&Caps { max_workgroups: 100, ..gpu().caps().clone() });
    let whole = problem(gpu(), &small_field(), &grid, Method::Heun, Adjoint::Backsolve);
    let x0 = random2(70_000, 3, 11);
    let targets = random3(1, 70_000, 3, 12);
    let parts = problem(&cut, &small_field(), &grid, Method::Heun, Adjoint::Backsolve);
    let whole = whole.loss_and_gradient(&theta, x0.view(), targets.view()).expect("a gradient");
    let parts = parts.loss_and_gradient(&theta, x0.view(), targets.view()).expect("a gradient in parts");
    let counts = (whole.report.dispatches, parts.report.dispatches);
    assert!(counts.1 > counts.0, "100 workgroups are too few for 70 000 trajectories: {counts:?} dispatches");
    assert_eq!(whole.x0, parts.x0, "dJ/dx0 of a trajectory depends on the dispatch that it is in");
    compare(&cut, "many dispatches", &theta, &grid, Method::Heun, 70_000);
}

#[test]
fn every_depth_width_and_activation_matches() {
    use Activation::{Elu, Gelu, Identity, Relu, Silu, Sin, Softplus, Tanh};
    let mixed = |dim, layers: [(usize, Activation); 3], output, time| {
        let mut builder = Mlp::builder(dim).output_activation(output).time_input(time);
        for (width, activation) in layers {
            builder = builder.hidden(&[width], activation);
        }
        builder.build().expect("a valid field")
    };
    let one_layer = Mlp::builder(3).output_activation(Tanh).build().expect("a valid field");
    let fields = [
        ("depth 1 with output activation", one_layer),
        ("depth 2, dim 1", field(1, &[7], Sin, true)),
        ("depth 3", field(3, &[6, 9], Tanh, false)),
        ("depth 4, four activations", mixed(2, [(5, Tanh), (7, Silu), (3, Gelu)], Sin, true)),
        ("depth 4, the other four", mixed(3, [(6, Elu), (9, Softplus), (5, Relu)], Identity, false)),
        ("width 1 everywhere", field(1, &[1, 1], Sin, false)),
    ];
    for (case, mlp) in fields {
        compare(gpu(), case, &parameters(&mlp, 3), &grid(), Method::Euler, 9);
    }
}

/// The packed weights of such a field have zeros where biases would be, and no sum of its gradient is one of theirs.
#[test]
fn fields_without_biases_match() {
    let timed = Mlp::builder(3).hidden(&[5], Activation::Tanh).time_input(true).bias(false);
    let bare = Mlp::builder(2).output_activation(Activation::Sigmoid).bias(false);
    for builder in [timed, bare] {
        let mlp = builder.build().expect("a valid field");
        let weights = mlp.layers().iter().map(|l| l.n_in * l.n_out).sum::<usize>();
        assert_eq!(mlp.parameter_count(), weights, "weights only");
        compare(gpu(), "no biases", &parameters(&mlp, 3), &grid(), Method::Heun, 9);
    }
}

/// Layers of more than 128 inputs are read block by block: other text, padding between blocks.
#[test]
fn wide_layers_match() {
    let grid = TimeGrid::from_boundaries(vec![0.0, 0.2, 0.3], vec![1, 2]).expect("a valid grid");
    for (case, mlp) in [
        ("wide state, the time the last of 131 inputs", field(130, &[9], Activation::Tanh, true)),
        ("wide hidden layer", field(2, &[150], Activation::Tanh, false)),
    ] {
        compare(gpu(), case, &parameters(&mlp, 4), &grid, Method::Euler, 5);
    }
}

/// Where private arrays would be long they are in a buffer, and a dispatch has as many trajectories as that has room for.
#[test]
fn arrays_in_a_buffer_match() {
    let mlp = field(40, &[9], Activation::Tanh, true);
    let grid = TimeGrid::from_boundaries(vec![0.0, 0.2, 0.3], vec![1, 2]).expect("a valid grid");
    let memory = problem(gpu(), &mlp, &grid, Method::Rk4, Adjoint::Stored).memory_plan(150).expect("it fits");
    let kept = memory.bytes(Slot::Spilled);
    assert!(gpu().caps().subgroup != Some(8) || kept > 0, "no array is in a buffer: the test is about nothing");
    let narrow = gpu().restricted(&Caps { scratch_bytes: 1, ..gpu().caps().clone() });
    for gpu in [gpu(), &narrow] {
        compare(gpu, "state of 40", &parameters(&mlp, 4), &grid, Method::Rk4, 150);
        let ode = problem(gpu, &mlp, &grid, Method::BlanesMoan4, Adjoint::Exact);
        let (theta, x0, targets) = (parameters(&mlp, 4), random2(150, 40, 1), random3(2, 150, 40, 2));
        let got = ode.loss_and_gradient(&theta, x0.view(), targets.view()).expect("an exact gradient");
        let want = twin_gradient(Method::BlanesMoan4, Adjoint::Exact, &theta, &grid, &x0, Some(&targets), None);
        let errors = [relative(&got.theta, &want.theta), relative(&got.x0, &want.x0)];
        assert!(errors.iter().all(|e| *e < GRADIENT), "exact: dJ/dθ, dJ/dx0 off by {errors:?}");
    }
}

/// The build without bounds and loop checks must do the same. Not bit for bit: the extra code lets the compiler fuse
/// other multiplications and additions, so the distance is that of two roundings of the same sums.
#[test]
fn checked_and_trusted_shaders_agree() {
    let grids = [grid(), TimeGrid::from_boundaries(vec![0.0, 0.2, 0.3], vec![1, 2]).expect("a valid grid")];
    let fields = [(small_field(), Method::Heun), (field(2, &[150], Activation::Tanh, false), Method::Euler)];
    for ((mlp, method), grid) in fields.into_iter().zip(grids) {
        let theta = parameters(&mlp, 4);
        let x0 = random2(65, mlp.dim(), 11);
        let targets = random3(grid.saves().len(), 65, mlp.dim(), 12);
        for (method, adjoint) in ways(method, Method::Strang) {
            let run = |gpu| {
                let ode = problem(gpu, &mlp, &grid, method, adjoint);
                let gradient = ode.loss_and_gradient(&theta, x0.view(), targets.view()).expect("a gradient");
                (ode.solve(&theta, x0.view()).expect("a solve").states, gradient)
            };
            let ((trusted_states, trusted), (checked_states, checked)) = (run(gpu()), run(checked_gpu()));
            let case = format!("{} {method} {adjoint}", mlp.summary());
            let errors = [
                relative_max(&trusted_states, &common::to_f64(&checked_states)),
                relative(&trusted.theta, checked.theta.iter().map(|v| f64::from(*v)).collect::<Vec<_>>().iter()),
                relative_max(&trusted.x0, &common::to_f64(&checked.x0)),
            ];
            println!("{case}: trusted against checked {errors:?}");
            assert!(errors.iter().all(|e| *e < STATE), "{case}: trusted and checked differ by {errors:?}");
        }
    }
}

/// `a` in units of the last place of `exact` as f32.
fn ulp_error(a: f32, exact: f64) -> f64 {
    let exponent = exact.abs().max(f64::from(f32::MIN_POSITIVE)).log2().floor();
    (f64::from(a) - exact).abs() / (exponent - 23.0).exp2()
}

/// Bounds on an activation's value and slope at p, as absolute errors: `ulps` units in the last place, or `floor`.
fn bounds(activation: Activation, p: f64, value: f64, slope: f64) -> [f64; 2] {
    let ulps = |n: f64, v: f64| n * 2.0 * U * v.abs();
    match activation {
        Activation::Identity | Activation::Relu => [0.0, 0.0],
        // math.md §11 #21: 4 ulp; the slope 1 − a² doubles the error of a (4 ulp of 1 at most) and rounds twice.
        Activation::Tanh => [ulps(4.0, value), 10.0 * U],
        // 2^y − 1 with y = p / ln 2 rounded: 2 ulp and three roundings. The slope a + 1 has the absolute error of a.
        Activation::Elu => [ulps(5.0, value), 10.0 * U],
        Activation::Softplus => [ulps(4.0, value), ulps(4.0, slope)],
        // p times the sigmoid. Slope s (1 + p (1 − s)): 1 − s errs by u absolutely, times p s.
        Activation::Silu => [ulps(5.0, value), 8.0 * U * (1.0 + p.abs())],
        // e^(−z²) with z² = p²/2 rounded three times: relative 2 p² u; the rest is 8 ulp. Right of 0, 1 − tail.
        Activation::Gelu => {
            let tail = 16.0 * U + 4.0 * U * p * p;
            [if p < 0.0 { tail * value.abs() } else { 4.0 * U * value.abs() + tail * 0.5 * p }, 30.0 * U]
        }
        // math.md §11 #21.
        Activation::Sin => [5e-7, 5e-7],
        // The exponential, a sum, a quotient, a product. The slope a (1 − a) errs by u absolutely.
        Activation::Sigmoid => [ulps(4.0, value), 4.0 * U],
        // 0.01 as f32, and a product.
        Activation::LeakyRelu => [ulps(1.0, value), ulps(1.0, slope)],
        _ => unreachable!("a new activation needs a bound"),
    }
}

/// A field on (u, v) with `du/dt = φ(0)` and `dv/dt = φ(u)`, one step of Euler with h = 1 from (p, 0): v ends at
/// 0 + 1·φ(p), and with the cotangent of v alone dJ/du0 = φ'(p). Both without any rounding but that of φ and φ'.
#[test]
fn every_activation_keeps_its_error_bound() {
    let grid = TimeGrid::uniform(0.0, 1.0, 1).expect("a valid grid");
    // A dense grid, every magnitude around zero, and arguments at which careless formulas overflow.
    let dense = (-20_000..=20_000).map(|i| i as f32 * 1e-3);
    let small = (-30..2).flat_map(|e| [-1.37_f32, 1.37].map(|m| m * 10.0_f32.powi(e)));
    let large = [50.0_f32, 87.0, 88.5, 104.0, 1e3].into_iter().flat_map(|p| [p, -p]);
    let points: Vec<f32> = dense.chain(small).chain(large).collect();
    let x0 = Array2::from_shape_fn((points.len(), 2), |(b, c)| if c == 0 { points[b] } else { 0.0 });
    let cotangents = Array3::from_shape_fn((1, points.len(), 2), |(_, _, c)| if c == 1 { 1.0 } else { 0.0 });
    for activation in Activation::ALL {
        let mlp = Mlp::builder(2).output_activation(activation).build().expect("a valid field");
        let theta = Parameters::from_flat(&mlp, vec![0.0, 0.0, 1.0, 0.0, 0.0, 0.0]).expect("six parameters");
        let ode = problem(gpu(), &mlp, &grid, Method::Euler, Adjoint::Stored);
        let states = ode.solve(&theta, x0.view()).expect("a solve").states;
        let slopes = ode.vjp(&theta, x0.view(), cotangents.view()).expect("a vjp").x0;
        let values = states.index_axis(Axis(0), 0);
        let (values, slopes) = (values.slice(s![.., 1]), slopes.slice(s![.., 0]));
        let exact_kind = matches!(activation, Activation::Identity | Activation::Relu);
        let mut worst = [(0.0, 0.0, 0.0); 2];
        let mut worst_ulp = (0.0, 0.0);
        for ((p, value), slope) in points.iter().zip(values).zip(slopes) {
            let p = f64::from(*p);
            let (exact, exact_slope) = reference::activation(activation, p);
            let limits = bounds(activation, p, exact, exact_slope);
            for (i, (got, exact)) in [(*value, exact), (*slope, exact_slope)].into_iter().enumerate() {
                let error = (f64::from(got) - exact).abs();
                // e^x is cut off at x = −87, where it is 1.6e-38, and erfc at 9, where it is 4e-37; silu and gelu multiply
                // that by p or p/2.
                let limit = if exact_kind { 0.0 } else { limits[i].max(3e-37 * (1.0 + p.abs())) };
                let ratio = if error == 0.0 { 0.0 } else { error / limit };
                if ratio > worst[i].0 {
                    worst[i] = (ratio, p, error);
                }
                if i == 0 && exact.abs() > 1e-36 && ulp_error(got, exact) > worst_ulp.0 {
                    worst_ulp = (ulp_error(got, exact), p);
                }
            }
        }
        println!("{activation}: error/bound, p, error: value {:?}, slope {:?}; ulp {worst_ulp:?}", worst[0], worst[1]);
        let fits = worst.iter().all(|w| w.0 <= 1.0);
        assert!(fits, "{activation}: error / bound, p, error: value {:?}, slope {:?}", worst[0], worst[1]);
    }
}

/// The certificate of many components for many trajectories: one invocation of its kernel looks at 256 trajectories,
/// and lavapipe silently leaves all loops of an invocation after 65 535 trips.
#[test]
fn the_certificate_of_a_wide_state_covers_the_whole_batch() {
    let mlp = field(300, &[1], Activation::Tanh, false);
    let theta = parameters(&mlp, 3);
    let grid = TimeGrid::uniform(0.0, 1.0, 2).expect("a valid grid");
    let (x0, cotangents) = (random2(256, 300, 11), random3(1, 256, 300, 12));
    let ode = problem(gpu(), &mlp, &grid, Method::Euler, Adjoint::Backsolve);
    let got = ode.vjp(&theta, x0.view(), cotangents.view()).expect("a vjp");
    let want = twin_gradient(Method::Euler, Adjoint::Backsolve, &theta, &grid, &x0, None, Some(&cotangents));
    let reconstruction = got.reconstruction.expect("backsolve has a certificate");
    for (b, (got, want)) in reconstruction.per_trajectory.iter().zip(&want.reconstruction).enumerate() {
        // States of size 2, each rounded a few times on the way forth and back.
        assert!((f64::from(*got) - want).abs() < 16.0 * U, "trajectory {b}: certificate {got:e}, twin {want:e}");
    }
    let largest = want.reconstruction.iter().copied().fold(0.0, f64::max);
    assert!((f64::from(reconstruction.max_abs) - largest).abs() < 16.0 * U, "the largest certificate");
}

/// Beyond the range where its argument has digits left, the sine is any number in ±1, never more.
#[test]
fn the_sine_of_huge_arguments_stays_bounded() {
    let mlp = Mlp::builder(1).output_activation(Activation::Sin).build().expect("a valid field");
    let theta = Parameters::from_flat(&mlp, vec![1.0, 0.0]).expect("two parameters");
    // Powers of 1.07 up to 2e29, with both signs.
    let mut x = 1.0_f32;
    let x0 = Array2::from_shape_simple_fn((1000, 1), || {
        x *= -1.07;
        x
    });
    let grid = TimeGrid::uniform(0.0, 1.0, 1).expect("a valid grid");
    // dJ/dx0 = 1 + cos x0: between 0 and 2.
    let ode = problem(gpu(), &mlp, &grid, Method::Euler, Adjoint::Stored);
    let got = ode.vjp(&theta, x0.view(), Array3::ones((1, 1000, 1)).view()).expect("a vjp");
    for (x, slope) in x0.iter().zip(&got.x0) {
        assert!((0.0..=2.0).contains(slope) || (slope - 1.0).abs() <= 1.0 + 1e-6, "cos({x}) = {}", slope - 1.0);
    }
}
