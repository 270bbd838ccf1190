//! Do results depend on units, or on the rest of the batch?
//!
//! Every component is scaled by a power of two of its own, the field, targets, cotangents and weights of observations to
//! match: states and gradients must scale by exactly those powers, and no other bit may change. Then the examples that
//! single units got wrong, with their right values. Blind to numbers that are wrong in every unit: the tests against f64
//! have those.

mod common;

use common::{field, gpu, parameters, random2, random3, relative};
use costate::{
    Activation, Adjoint, AdjointOptions, Error, Init, Loss, Method, Mlp, NeuralOde, Observations, Parameters,
    RunningCost, TimeGrid, TrajectoryStatus, Warning,
};
use ndarray::{Array2, Array3, Axis, array};

const DIM: usize = 2;
const BATCH: usize = 5;

/// The parameters of the field of the scaled components: x = s y, so that the first layer divides and the last multiplies.
fn scaled_theta(theta: &Parameters, scale: &[f32; DIM]) -> Parameters {
    let field = theta.field().clone();
    let mut values = theta.as_slice().to_vec();
    let layers: Vec<_> = field.layers().to_vec();
    let (first, last) = (&layers[0], &layers[layers.len() - 1]);
    for j in 0..first.n_out {
        for (i, s) in scale.iter().enumerate() {
            values[first.weight + j * first.n_in + i] /= s;
        }
    }
    for (i, s) in scale.iter().enumerate() {
        for j in 0..last.n_in {
            values[last.weight + i * last.n_in + j] *= s;
        }
        values[last.bias + i] *= s;
    }
    Parameters::from_flat(&field, values).expect("finite parameters")
}

/// dJ/dθ of the scaled field, back in the units of the plain one; `of_j` is the power of two that the objective scales by.
fn plain_gradient(gradient: &[f32], theta: &Parameters, scale: &[f32; DIM], of_j: f32) -> Vec<f32> {
    let ones = vec![1.0; gradient.len()];
    let factors = scaled_theta(&Parameters::from_flat(theta.field(), ones).expect("ones"), scale);
    gradient.iter().zip(factors.as_slice()).map(|(g, f)| g * f / of_j).collect()
}

fn scaled(values: &Array3<f32>, factor: impl Fn(usize) -> f32) -> Array3<f32> {
    let mut values = values.clone();
    values.indexed_iter_mut().for_each(|((_, _, i), v)| *v *= factor(i));
    values
}

fn bits<'a>(values: impl IntoIterator<Item = &'a f32>) -> Vec<u32> {
    // Zeros have no scale, but a sign.
    values.into_iter().map(|v| (v + 0.0).to_bits()).collect()
}

/// Every method with every adjoint that it has.
fn every_way() -> Vec<(Method, Adjoint)> {
    let foster = Method::mccallum_foster(Method::Midpoint, 0.99).expect("a valid method");
    let kicking = Method::mccallum_foster(Method::Heun, 1.0).expect("a valid method");
    let methods = Method::RUNGE_KUTTA.into_iter().chain(Method::PAIR).chain([foster, kicking]);
    methods
        .flat_map(|method| {
            let continuous = method.pair().is_none().then_some(Adjoint::Continuous);
            let own = method.adjoints().iter().copied().chain(continuous).chain([Adjoint::Auto]);
            own.map(move |adjoint| (method, adjoint)).collect::<Vec<_>>()
        })
        .collect()
}

struct Case {
    theta: Parameters,
    x0: Array2<f32>,
    targets: Array3<f32>,
    weights: Array3<f32>,
    grid: TimeGrid,
}

fn case() -> Case {
    let grid = TimeGrid::with_steps(0.0, &[0.4, 1.0], 1.0, 4).expect("a valid grid");
    let mut x0 = random2(BATCH, DIM, 3);
    // A component that starts from nothing: its scale is that of its motion.
    x0[[1, 0]] = 0.0;
    let weights = random3(2, BATCH, DIM, 7).mapv(|w| w.abs() + 0.1);
    let theta = parameters(&field(DIM, &[6], Activation::Tanh, false), 11);
    Case { theta, x0, targets: random3(2, BATCH, DIM, 5), weights, grid }
}

/// States, dJ/dθ and dJ/dx0 in the units of the plain problem, as bits.
fn run(case: &Case, ode: &NeuralOde, loss: Option<Loss>, scale: &[f32; DIM]) -> [Vec<u32>; 3] {
    let theta = scaled_theta(&case.theta, scale);
    let mut x0 = case.x0.clone();
    x0.indexed_iter_mut().for_each(|((_, i), v)| *v *= scale[i]);
    let states = ode.solve(&theta, x0.view()).expect("a solve").states;
    // The objective scales where no weight takes that back.
    let (of_j, gradient) = match loss {
        None => {
            let cotangents = scaled(&case.targets, |i| 1.0 / scale[i]);
            (1.0, ode.vjp(&theta, x0.view(), cotangents.view()))
        }
        Some(loss) => {
            let targets = scaled(&case.targets, |i| scale[i]);
            let (weights, of_j) = match loss {
                Loss::Mse => (scaled(&case.weights, |i| (1.0 / scale[i]).powi(2)), 1.0),
                Loss::Mae => (scaled(&case.weights, |i| 1.0 / scale[i]), 1.0),
                // The parabola and the line scale alike where delta does.
                _ => (case.weights.clone(), scale[0].powi(2)),
            };
            let observations = Observations::new(targets.view()).weights(weights.view());
            (of_j, ode.loss_and_gradient(&theta, x0.view(), observations))
        }
    };
    let gradient = gradient.expect("a gradient");
    let of_x0 = Array2::from_shape_fn((BATCH, DIM), |(b, i)| gradient.x0[[b, i]] * scale[i] / of_j);
    let plain = scaled(&states, |i| 1.0 / scale[i]);
    [bits(&plain), bits(&plain_gradient(&gradient.theta, &case.theta, scale, of_j)), bits(&of_x0)]
}

const fn power(e: u32, negative: bool) -> f32 {
    let exponent = if negative { 127 - e } else { 127 + e };
    f32::from_bits(exponent << 23)
}

/// Powers far from 1 and from each other, and one common power.
const SCALES: [[f32; DIM]; 3] =
    [[power(33, true), power(20, false)], [power(17, false), power(40, true)], [power(30, true), power(30, true)]];

/// Scales every problem and holds its bits against those of the plain one.
fn check(ways: &[(Method, Adjoint)], loss: Option<Loss>, build: impl Fn(Method, Adjoint, f32) -> NeuralOde) {
    let case = case();
    // The line and the parabola of Huber's loss, and the terms of a cost, are of all components together.
    let common = matches!(loss, Some(Loss::Huber { .. }));
    let scales = SCALES.iter().filter(|s| !common || s[0] == s[1]);
    for (method, adjoint) in ways {
        let plain = run(&case, &build(*method, *adjoint, 1.0), loss, &[1.0; DIM]);
        for scale in scales.clone() {
            let found = run(&case, &build(*method, *adjoint, scale[0]), loss, scale);
            for (what, (found, plain)) in ["states", "dJ/dθ", "dJ/dx0"].iter().zip(found.iter().zip(&plain)) {
                assert_eq!(found, plain, "{method} {adjoint} {loss:?}: {what} with the scales {scale:?}");
            }
        }
    }
}

fn build(method: Method, adjoint: Adjoint, loss: Loss) -> NeuralOde {
    let Case { theta, grid, .. } = case();
    let builder = NeuralOde::builder(theta.field().clone(), grid).method(method).adjoint(adjoint).loss(loss);
    builder.build(gpu()).expect("a small problem")
}

#[test]
fn no_bit_depends_on_the_units_of_a_component() {
    let ways = every_way();
    check(&ways, None, |method, adjoint, _| build(method, adjoint, Loss::Mse));
    for loss in [Loss::Mse, Loss::Mae] {
        check(&ways, Some(loss), |method, adjoint, _| build(method, adjoint, loss));
    }
    let huber = |scale: f32| Loss::huber(0.5 * scale).expect("a valid delta");
    check(&ways, Some(huber(1.0)), |method, adjoint, scale| build(method, adjoint, huber(scale)));
}

/// The likelihood has a logarithm: it scales to rounding.
#[test]
fn a_likelihood_does_not_depend_on_units() {
    let case = case();
    let gradient = |ode: &NeuralOde, scale: &[f32; DIM]| {
        let log_scale: Vec<f32> = scale.iter().map(|s| (0.3 * s).ln()).collect();
        let mut x0 = case.x0.clone();
        x0.indexed_iter_mut().for_each(|((_, i), v)| *v *= scale[i]);
        let targets = scaled(&case.targets, |i| scale[i]);
        let observations = Observations::new(targets.view()).log_scale(&log_scale);
        let theta = scaled_theta(&case.theta, scale);
        let gradient = ode.loss_and_gradient(&theta, x0.view(), observations).expect("a gradient");
        plain_gradient(&gradient.theta, &case.theta, scale, 1.0)
    };
    for (method, adjoint) in every_way() {
        let ode = build(method, adjoint, Loss::GaussianNll);
        let plain: Vec<f64> = gradient(&ode, &[1.0; DIM]).into_iter().map(f64::from).collect();
        for scale in &SCALES {
            // ln σ is given as f32: what its rounding does to σ, the gradient feels twice.
            let rounding = |s: &f32| (f64::from((0.3 * s).ln()) - f64::from(0.3 * s).ln()).abs();
            let gate = 1e-6 + 2.0 * scale.iter().map(rounding).fold(0.0, f64::max);
            let off = relative(&gradient(&ode, scale), &plain);
            assert!(off < gate, "{method} {adjoint}: dJ/dθ is off by {off:e} with the scales {scale:?}");
        }
    }
}

/// Running costs scale by one power of all components.
#[test]
fn a_running_cost_does_not_depend_on_units() {
    let cost = |scale: f32| RunningCost::new().kinetic(f64::from(scale).powi(-2)).expect("a valid weight");
    let case = case();
    for (method, adjoint) in every_way() {
        let ode = |scale| {
            let builder = NeuralOde::builder(case.theta.field().clone(), case.grid.clone()).method(method);
            builder.adjoint(adjoint).running_cost(cost(scale)).build(gpu()).expect("a small problem")
        };
        let plain = run(&case, &ode(1.0), None, &[1.0; DIM]);
        let scale = SCALES[2];
        assert_eq!(run(&case, &ode(scale[0]), None, &scale), plain, "{method} {adjoint}");
    }
}

/// A neighbour of ten thousand times the size, before and behind.
#[test]
fn a_large_neighbour_changes_no_bit() {
    let theta = parameters(&field(DIM, &[6], Activation::Tanh, false), 11);
    let grid = TimeGrid::with_steps(0.0, &[0.5, 1.0], 1.0, 4).expect("a valid grid");
    let alone = array![[0.3_f32, 0.2]];
    let batch = array![[3e3_f32, 3e3], [0.3, 0.2], [8e3, -2e3]];
    let cotangents = random3(2, 3, DIM, 9);
    for (method, adjoint) in every_way() {
        let builder = NeuralOde::builder(theta.field().clone(), grid.clone()).method(method).adjoint(adjoint);
        let ode = builder.build(gpu()).expect("a small problem");
        let own = ode.solve(&theta, alone.view()).expect("a solve").states;
        let beside = ode.solve(&theta, batch.view()).expect("a solve").states;
        assert_eq!(bits(&own), bits(&beside.select(Axis(1), &[1])), "{method} {adjoint}: states");
        let one = ode.vjp(&theta, alone.view(), cotangents.select(Axis(1), &[1]).view()).expect("a vjp").x0;
        let three = ode.vjp(&theta, batch.view(), cotangents.view()).expect("a vjp").x0;
        assert_eq!(bits(&one), bits(&three.select(Axis(0), &[1])), "{method} {adjoint}: dJ/dx0");
    }
}

/// Linear fields dx/dt = A x + b.
fn linear(a: &[f32], b: &[f32]) -> Parameters {
    let field = Mlp::builder(b.len()).build().expect("a valid field");
    Parameters::from_flat(&field, [a, b].concat()).expect("finite parameters")
}

fn ode(theta: &Parameters, grid: &TimeGrid, method: Option<Method>, adjoint: Adjoint) -> NeuralOde {
    let builder = NeuralOde::builder(theta.field().clone(), grid.clone()).adjoint(adjoint);
    method.into_iter().fold(builder, |builder, method| builder.method(method)).build(gpu()).expect("a small problem")
}

#[test]
fn decays_of_any_size_are_right() {
    let grid = TimeGrid::uniform(0.0, 2.0, 20).expect("a valid grid");
    for method in [None, Some(Method::BlanesMoan4), Some(Method::Strang)] {
        // Strang's error is that of order 2.
        let gate = if method == Some(Method::Strang) { 2e-3 } else { 2e-6 };
        for size in [1.0_f32, 1e-5, 1e-7, 1e-9, 1e9] {
            let ode = ode(&linear(&[-1.0], &[0.0]), &grid, method, Adjoint::Auto);
            let x0 = array![[size]];
            let exact = f64::from(size) * (-2.0_f64).exp();
            let found = ode.loss_and_gradient(&linear(&[-1.0], &[0.0]), x0.view(), Array3::zeros((1, 1, 1)).view());
            let found = found.expect("a gradient");
            let state = ode.solve(&linear(&[-1.0], &[0.0]), x0.view()).expect("a solve").states[[0, 0, 0]];
            let off = (f64::from(state) / exact - 1.0).abs();
            assert!(off < gate, "{method:?} from {size:e}: the state is off by {off:e}");
            let slope = 2.0 * exact * (-2.0_f64).exp();
            let off = (f64::from(found.x0[[0, 0]]) / slope - 1.0).abs();
            assert!(off < 2.0 * gate, "{method:?} from {size:e}: dJ/dx0 is off by {off:e}");
            assert!(found.report.warnings.is_empty(), "{method:?} from {size:e}: {:?}", found.report.warnings);
        }
        for pair in [[1000.0_f32, 1e-3], [5000.0, 1e-4]] {
            let theta = linear(&[-1.0, 0.0, 0.0, -1.0], &[0.0; 2]);
            let states = ode(&theta, &grid, method, Adjoint::Auto).solve(&theta, array![pair].view());
            let states = states.expect("a solve").states;
            for (i, from) in pair.iter().enumerate() {
                let off = (f64::from(states[[0, 0, i]]) / f64::from(*from) * 2.0_f64.exp() - 1.0).abs();
                assert!(off < gate, "{method:?} from {pair:?}: component {i} is off by {off:e}");
            }
        }
    }
}

/// The field dx/dt = A (x − s (1, 1)) in any units: the gradient is the same number, or there is a warning.
#[test]
fn gradients_in_any_units_are_right_or_warned_about() {
    let a = [-1.0_f32, 0.5, -0.5, -1.0];
    let grid = TimeGrid::with_steps(0.0, &[10.0, 20.0], 20.0, 200).expect("a valid grid");
    let foster = Method::mccallum_foster(Method::Rk4, 0.999).expect("a valid method");
    let ways = [
        (None, Adjoint::Auto),
        (Some(Method::BlanesMoan4), Adjoint::Exact),
        (Some(Method::Rk4), Adjoint::Backsolve),
        (Some(foster), Adjoint::Auto),
    ];
    for s in [1.0_f32, 1e-5, 1e-6, 1e6] {
        let theta = linear(&a, &[0.5 * s, 1.5 * s]);
        for (method, adjoint) in ways {
            let found = ode(&theta, &grid, method, adjoint).loss_and_gradient(
                &theta,
                array![[2.0 * s, -s]].view(),
                Array3::zeros((2, 1, 2)).view(),
            );
            let case = format!("{method:?} {adjoint} at s = {s:e}");
            match found {
                // The copies of the base part on this field, whatever is kept.
                Err(Error::NoneLeft { .. }) => assert_eq!(method, Some(foster), "{case}: nothing is left"),
                Err(other) => panic!("{case}: {other}"),
                Ok(found) => {
                    let right = [0.400, 0.400, 1.200, 1.200];
                    let off = |(g, w): (&f32, f64)| (f64::from(*g) / f64::from(s).powi(2) - w).abs();
                    let worst = found.theta[..4].iter().zip(right).map(off).fold(0.0, f64::max);
                    let warned = !found.report.warnings.is_empty();
                    assert_eq!(warned, adjoint == Adjoint::Backsolve, "{case}: {:?}", found.report.warnings);
                    assert!(warned || worst < 6e-4, "{case}: off by {worst:e}");
                    for (g, right) in found.x0.iter().zip([2.82e-5, -1.53e-5]) {
                        let off = (f64::from(*g) / f64::from(s) / right - 1.0).abs();
                        assert!(warned || off < 3e-3, "{case}: dJ/dx0 is off by {off:e}");
                    }
                }
            }
        }
    }
}

/// u' = 2 − p u, v' = u − q v: kicks whose copies part on it are done with a larger log, or are no result.
#[test]
fn copies_that_part_are_no_result() {
    let (p, q) = (2.5_f32, 4.5_f32);
    let theta = linear(&[-p, 0.0, 1.0, -q], &[2.0, 0.0]);
    let grid = TimeGrid::with_step(0.0, &[0.0, 0.5, 0.75, 20.0], 20.0, 0.05).expect("a valid grid");
    let (x0, targets) = (array![[1.0_f32, 1.0]], Array3::ones((4, 1, 2)));
    let run =
        |method, adjoint| ode(&theta, &grid, method, adjoint).loss_and_gradient(&theta, x0.view(), targets.view());
    for (method, gate) in [(None, 1e-5), (Some(Method::BlanesMoan4), 1e-5), (Some(Method::Strang), 2e-3)] {
        let found = run(method, Adjoint::Auto).expect("a gradient");
        let values = [found.loss.unwrap_or_default(), -found.theta[0], -found.theta[3]];
        for (value, right) in values.iter().zip([0.236_451_9, 0.070_171_8, 0.035_160_7]) {
            let off = (f64::from(*value) / right - 1.0).abs();
            assert!(off < gate, "{method:?}: {value} instead of {right}");
        }
        let redone = found.report.warnings.iter().any(|w| matches!(w, Warning::Redone { trajectories: 1, .. }));
        assert_eq!(redone, method.is_some(), "{method:?}: {:?}", found.report.warnings);
    }
    for adjoint in [Adjoint::Exact, Adjoint::Stored] {
        let error = run(Some(Method::Strang), adjoint).expect_err("two copies that have parted");
        assert!(error.to_string().contains("copies"), "{adjoint}: {error}");
        let solution = ode(&theta, &grid, Some(Method::Strang), adjoint).solve(&theta, x0.view()).expect("a solve");
        assert_eq!(solution.report.status, [TrajectoryStatus::Parted], "{adjoint}");
        assert!(solution.states.slice(ndarray::s![1.., .., ..]).iter().all(|v| v.is_nan()), "{adjoint}: {solution:?}");
    }
    // Data of a million that are solved to 1e-8 are not said to part.
    let large = linear(&[-0.1, 0.0, 0.1, -0.1], &[0.0, 0.0]);
    let grid = TimeGrid::uniform(0.0, 1.0, 20).expect("a valid grid");
    let solution =
        ode(&large, &grid, Some(Method::BlanesMoan4), Adjoint::Exact).solve(&large, array![[1e6, -2e6]].view());
    let report = solution.expect("a solve").report;
    assert!(report.warnings.is_empty() && report.copy_difference.is_some_and(|d| d < 1e-6), "{:?}", report.warnings);
}

/// A batch of which one trajectory parts: the others keep the bits that they have alone, and the means are over all.
#[test]
fn a_batch_in_parts_is_the_batch() {
    // x' = −4.5 tanh x: stiff near 0, at rest in its slope far away.
    let field = field(1, &[1], Activation::Tanh, false);
    let stiff = Parameters::from_flat(&field, vec![1.0, 0.0, -4.5, 0.0]).expect("four parameters");
    let grid = TimeGrid::with_step(0.0, &[1.0, 20.0], 20.0, 0.05).expect("a valid grid");
    let x0 = array![[100.0_f32], [1.0], [-120.0]];
    let ode = ode(&stiff, &grid, Some(Method::Strang), Adjoint::Auto);
    let targets = random3(2, 3, 1, 4);
    let found = ode.loss_and_gradient(&stiff, x0.view(), targets.view()).expect("a gradient");
    assert_eq!(found.report.ok(), 3, "{:?}", found.report.status);
    let redone = |w: &Warning| matches!(w, Warning::Redone { trajectories: 1, .. });
    assert!(found.report.warnings.iter().any(redone), "all are done alike: {:?}", found.report.warnings);
    let cotangents = random3(2, 3, 1, 5);
    let whole = ode.vjp(&stiff, x0.view(), cotangents.view()).expect("a vjp");
    let mut sum = vec![0.0_f64; whole.theta.len()];
    let mut loss = 0.0;
    for b in 0..3 {
        let rows = |values: &Array3<f32>| values.select(Axis(1), &[b]);
        let one = ode.vjp(&stiff, x0.select(Axis(0), &[b]).view(), rows(&cotangents).view()).expect("a vjp");
        assert_eq!(bits(one.x0.row(0)), bits(whole.x0.row(b)), "dJ/dx0 of trajectory {b}");
        sum.iter_mut().zip(&one.theta).for_each(|(s, g)| *s += f64::from(*g));
        let own = ode.loss_and_gradient(&stiff, x0.select(Axis(0), &[b]).view(), rows(&targets).view());
        loss += f64::from(own.expect("a gradient").loss.unwrap_or_default()) / 3.0;
    }
    // Sums over 400 steps of about a dozen terms, in another order: u √n.
    let off = relative(&whole.theta, &sum);
    assert!(off < 4e-6, "dJ/dθ is off the sum by {off:e}: {:?} and {sum:?}", whole.theta);
    approx::assert_relative_eq!(f64::from(found.loss.unwrap_or_default()), loss, max_relative = 1e-6);
}

/// The example of the README, as it stands, with states of any size.
#[test]
fn the_example_of_the_readme_is_right_at_any_size() {
    let theta = Parameters::init(&field(2, &[64, 64], Activation::Tanh, false), Init::Xavier, 0).expect("parameters");
    let grid = TimeGrid::with_step(0.0, &[0.5, 1.0], 1.0, 0.05).expect("a valid grid");
    let ode = NeuralOde::builder(theta.field().clone(), grid.clone()).build(gpu()).expect("a small problem");
    for size in [1.0_f32, 1e-9, 1e9] {
        let x0 = array![[size, 0.0], [0.0, size]];
        let states = ode.solve(&theta, x0.view()).expect("a solve").states;
        let targets = &states * 0.9;
        let found = ode.loss_and_gradient(&theta, x0.view(), targets.view()).expect("a gradient");
        let twin = common::twin_gradient(Method::Tsit5, Adjoint::Stored, &theta, &grid, &x0, Some(&targets), None);
        let off = common::relative_max(&states, &twin.states);
        assert!(off < 1e-6, "states of {size:e} are off by {off:e}");
        let [of_theta, of_x0] = [relative(&found.theta, &twin.theta), relative(&found.x0, &twin.x0)];
        assert!(of_theta < 1e-5 && of_x0 < 1e-5, "gradients at {size:e} are off by {of_theta:e} and {of_x0:e}");
        assert!(found.report.warnings.is_empty(), "{:?}", found.report.warnings);
    }
    // What the loss cannot show is said.
    let tiny = ode.loss_and_gradient(&theta, array![[1e-25_f32, 0.0]].view(), Array3::zeros((2, 1, 2)).view());
    let warnings = tiny.expect("a gradient").report.warnings;
    assert!(matches!(warnings[..], [Warning::LossUnderflow { .. }]), "{warnings:?}");
}

/// A binary point that is given and too coarse is an error, and no wrong number.
#[test]
fn a_given_resolution_that_is_too_coarse_is_an_error() {
    let theta = linear(&[-1.0], &[0.0]);
    let grid = TimeGrid::uniform(0.0, 2.0, 20).expect("a valid grid");
    let options = AdjointOptions { fraction_bits: Some(26), ..AdjointOptions::default() };
    let build = |adjoint| {
        let builder = NeuralOde::builder(theta.field().clone(), grid.clone()).method(Method::BlanesMoan4);
        builder.adjoint(adjoint).adjoint_options(options).build(gpu()).expect("a small problem")
    };
    let error = build(Adjoint::Exact).solve(&theta, array![[1e-5_f32]].view()).expect_err("a coarse point");
    assert!(matches!(error, Error::Coarse { trajectory: 0, others: 0, fraction_bits: Some(26) }), "{error}");
    let solution = build(Adjoint::Auto).solve(&theta, array![[1e-5_f32]].view()).expect("a solve in floats");
    let off = (f64::from(solution.states[[0, 0, 0]]) / 1e-5 * 2.0_f64.exp() - 1.0).abs();
    assert!(off < 2e-6, "off by {off:e}");
    assert!(matches!(solution.report.warnings[..], [Warning::Redone { .. }]), "{:?}", solution.report.warnings);
}
