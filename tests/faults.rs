//! Is every kind of bad input refused by name, with the value and the remedy, and does one bad trajectory stay alone?
//!
//! Every mistake must come back as the error variant that is meant for it, without a panic, and its text must hold the
//! words that lead the user to the cause. Trajectories that leave the finite numbers are values, not errors.
//! Blind to files (tests/files) and to the command line.

mod common;

use common::{field, gpu, parameters, random2, random3, relative};
use costate::{
    Activation, AdapterRequest, Adjoint, Caps, Error, Gpu, Gradient, Init, Method, Mlp, NeuralOde, Parameters,
    TimeGrid, TrajectoryStatus,
};
use ndarray::{Array2, Array3, Axis, s};

fn mlp() -> Mlp {
    field(3, &[5], Activation::Tanh, false)
}

fn grid() -> TimeGrid {
    TimeGrid::from_boundaries(vec![0.0, 0.1, 0.15, 0.3, 0.4], vec![0, 2, 4]).expect("a valid grid")
}

fn problem() -> NeuralOde {
    NeuralOde::builder(mlp(), grid()).method(Method::Heun).build(gpu()).expect("a small problem")
}

/// The error, whose text must hold all of `words`.
#[track_caller]
fn refused<T>(result: costate::Result<T>, words: &[&str]) -> Error {
    let Err(error) = result else { panic!("this should be refused with {words:?}") };
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "the message should say {word:?}: {text}");
    }
    error
}

macro_rules! assert_error {
    ($result:expr, $variant:pat, $words:expr) => {{
        let error = refused($result, &$words);
        assert!(matches!(error, $variant), "{error:?} is another kind of error");
    }};
}

#[test]
fn wrong_shapes_are_refused() {
    let (ode, theta) = (problem(), parameters(&mlp(), 1));
    let (x0, targets) = (random2(4, 3, 1), random3(3, 4, 3, 2));
    assert_error!(ode.solve(&theta, random2(4, 2, 1).view()), Error::Shape { .. }, ["x0", "[4, 2]", "[batch, 3]"]);
    for (shape, text) in [((2, 4, 3), "[2, 4, 3]"), ((3, 5, 3), "[3, 5, 3]"), ((3, 4, 1), "[3, 4, 1]")] {
        let wrong = random3(shape.0, shape.1, shape.2, 2);
        let result = ode.loss_and_gradient(&theta, x0.view(), wrong.view());
        assert_error!(result, Error::Shape { .. }, ["targets", text, "[3, 4, 3]"]);
        assert_error!(ode.vjp(&theta, x0.view(), wrong.view()), Error::Shape { .. }, ["cotangents", text, "[3, 4, 3]"]);
    }
    assert_error!(
        Parameters::from_flat(&mlp(), vec![0.0; 7]),
        Error::Shape { .. },
        ["parameter vector", "[7]", "[38]"]
    );
    // The problem is as good as new after all that.
    ode.loss_and_gradient(&theta, x0.view(), targets.view()).expect("a gradient");
}

#[test]
fn an_empty_batch_is_refused() {
    let (ode, theta) = (problem(), parameters(&mlp(), 1));
    let (x0, targets) = (Array2::zeros((0, 3)), Array3::zeros((3, 0, 3)));
    assert_error!(ode.solve(&theta, x0.view()), Error::Invalid { .. }, ["batch", "0 trajectories"]);
    assert_error!(ode.vjp(&theta, x0.view(), targets.view()), Error::Invalid { .. }, ["batch"]);
    assert_error!(ode.loss_and_gradient(&theta, x0.view(), targets.view()), Error::Invalid { .. }, ["batch"]);
    assert_error!(ode.memory_plan(0), Error::Invalid { .. }, ["batch"]);
}

#[test]
fn impossible_fields_are_refused() {
    assert_error!(Mlp::builder(0).build(), Error::Invalid { .. }, ["state dimension", "at least 1"]);
    let zero = Mlp::builder(2).hidden(&[4, 0, 4], Activation::Tanh).build();
    assert_error!(zero, Error::Invalid { .. }, ["hidden layer 1", "0"]);
    let huge = Mlp::builder(2).hidden(&[1 << 20, 1 << 20], Activation::Tanh).build();
    assert_error!(huge, Error::Invalid { .. }, ["1048576", "parameters"]);
    assert!(Mlp::builder(usize::MAX).time_input(true).build().is_err(), "a width at the end of the integers");
    assert_error!(Parameters::init(&mlp(), Init::Normal(f64::NAN), 0), Error::Invalid { .. }, ["initialiser", "NaN"]);
    // Larger than any buffer of the device, found when the problem is stated.
    let wide = field(2, &[30_000, 30_000], Activation::Tanh, false);
    let built = NeuralOde::builder(wide, grid()).method(Method::Euler).build(gpu());
    assert_error!(built, Error::LimitExceeded { .. }, [gpu().adapter(), "narrower"]);
}

#[test]
fn impossible_grids_are_refused() {
    let cases: [(costate::Result<TimeGrid>, &[&str]); 12] = [
        (TimeGrid::uniform(0.0, 1.0, 0), &["number of steps", "0"]),
        (TimeGrid::uniform(2.0, 2.0, 5), &["t0 = t1 = 2"]),
        (TimeGrid::uniform(f64::NAN, 1.0, 5), &["t0", "NaN"]),
        (TimeGrid::uniform(0.0, f64::INFINITY, 5), &["t1", "inf"]),
        (TimeGrid::with_step(0.0, &[], 1.0, 0.0), &["step", "> 0"]),
        (TimeGrid::with_step(0.0, &[], 1.0, f64::NAN), &["step", "NaN"]),
        (TimeGrid::with_step(0.0, &[], 1.0, 1e-12), &["number of steps"]),
        (TimeGrid::with_step(0.0, &[0.5, 0.2], 1.0, 0.1), &["save time 1", "0.2"]),
        (TimeGrid::with_step(0.0, &[0.5, 0.5], 1.0, 0.1), &["save time 1", "0.5"]),
        (TimeGrid::with_step(0.0, &[1.25], 1.0, 0.1), &["save time 0", "1.25", "t1 = 1"]),
        (TimeGrid::with_step(1.0, &[1.25], 0.0, 0.1), &["save time 0", "1.25", "t0 = 1"]),
        (TimeGrid::from_boundaries(vec![0.0, 0.5, 0.4, 1.0], vec![3]), &["step boundary 2", "0.4"]),
    ];
    for (result, words) in cases {
        assert_error!(result, Error::Invalid { .. }, *words);
    }
    assert_error!(TimeGrid::from_boundaries(vec![0.0], vec![0]), Error::Invalid { .. }, ["time grid", "t1"]);
    assert_error!(TimeGrid::from_boundaries(vec![0.0, 1.0], vec![]), Error::Invalid { .. }, ["save indices"]);
    assert_error!(TimeGrid::from_boundaries(vec![0.0, 1.0], vec![2]), Error::Invalid { .. }, ["save indices", "2"]);
    assert_error!(TimeGrid::from_boundaries(vec![1.0, 1.0], vec![1]), Error::Invalid { .. }, ["1"]);
}

#[test]
fn unknown_names_are_refused_with_the_known_ones() {
    assert_error!("rk5".parse::<Method>(), Error::UnknownName { .. }, ["rk5", "euler", "dopri5", "tsit5"]);
    assert_error!("checkpoint".parse::<Adjoint>(), Error::UnknownName { .. }, ["checkpoint", "stored", "backsolve"]);
    assert_error!("tahn".parse::<Activation>(), Error::UnknownName { .. }, ["tahn", "tanh", "gelu"]);
    for (spelt, activation) in [
        ("Tanh", Activation::Tanh),
        ("SiLU", Activation::Silu),
        ("swish", Activation::Silu),
        ("ReLU", Activation::Relu),
        ("GELU", Activation::Gelu),
        ("ELU", Activation::Elu),
        ("Softplus", Activation::Softplus),
        ("nn.Sigmoid", Activation::Sigmoid),
        ("LeakyReLU", Activation::LeakyRelu),
        ("leaky_relu", Activation::LeakyRelu),
        ("torch.nn.Identity", Activation::Identity),
    ] {
        assert_eq!(spelt.parse::<Activation>().expect(spelt), activation, "{spelt}");
    }
    for activation in Activation::ALL {
        assert_eq!(activation.name().parse::<Activation>().expect("its own name"), activation, "{activation}");
    }
    assert_error!("PReLU".parse::<Activation>(), Error::UnknownName { .. }, ["PReLU", "sigmoid, leaky_relu"]);
    assert_error!("".parse::<Activation>(), Error::UnknownName { .. }, ["''"]);
    assert_error!("".parse::<Method>(), Error::UnknownName { .. }, ["''"]);
}

#[test]
fn non_finite_data_are_named_by_index() {
    let (ode, theta) = (problem(), parameters(&mlp(), 1));
    let (x0, targets) = (random2(4, 3, 1), random3(3, 4, 3, 2));
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut bad = x0.clone();
        bad[[2, 1]] = value;
        assert_error!(ode.solve(&theta, bad.view()), Error::NonFiniteData { .. }, ["x0", "[2, 1]"]);
        let mut bad = targets.clone();
        bad[[1, 3, 0]] = value;
        let gradient = ode.loss_and_gradient(&theta, x0.view(), bad.view());
        assert_error!(gradient, Error::NonFiniteData { .. }, ["targets", "[1, 3, 0]"]);
        assert_error!(ode.vjp(&theta, x0.view(), bad.view()), Error::NonFiniteData { .. }, ["cotangents", "[1, 3, 0]"]);
        let mut bad = theta.clone();
        bad.as_mut_slice()[17] = value;
        assert_error!(ode.solve(&bad, x0.view()), Error::NonFiniteData { .. }, ["parameter vector", "[17]"]);
        let flat = Parameters::from_flat(&mlp(), bad.as_slice().to_vec());
        assert_error!(flat, Error::NonFiniteData { .. }, ["parameter vector", "[17]"]);
    }
    // An array in another memory order has the same indices.
    let mut turned = x0.clone().reversed_axes().as_standard_layout().into_owned().reversed_axes();
    turned[[2, 1]] = f32::NAN;
    assert_error!(ode.solve(&theta, turned.view()), Error::NonFiniteData { .. }, ["x0", "[2, 1]"]);
}

#[test]
fn parameters_of_another_field_are_refused() {
    // As many parameters, but another activation.
    let other = parameters(&field(3, &[5], Activation::Sin, false), 1);
    let result = problem().solve(&other, random2(4, 3, 1).view());
    assert_error!(result, Error::Invalid { .. }, ["parameters", "3-5-3 sin", "3-5-3 tanh"]);
}

#[test]
fn a_batch_beyond_the_device_is_refused_before_anything_is_allocated() {
    for adjoint in Method::Euler.adjoints().iter().copied() {
        let ode = NeuralOde::builder(mlp(), grid()).method(Method::Heun).adjoint(adjoint).build(gpu());
        let ode = ode.expect("a small problem");
        for batch in [200_000_000, usize::MAX / 2] {
            let plan = ode.memory_plan(batch);
            assert_error!(plan, Error::LimitExceeded { .. }, [gpu().adapter(), "batch"]);
        }
    }
    // State [3, 64] of 4 bytes: 768 fit, 1 more does not.
    let small = gpu().restricted(&Caps { max_buffer: 100_000, ..gpu().caps().clone() });
    let ode = NeuralOde::builder(mlp(), grid()).method(Method::Heun).build(&small).expect("a small problem");
    let x0 = random2(100_000, 3, 1);
    let error = refused(ode.solve(&parameters(&mlp(), 1), x0.view()), &["100000", "use a batch of at most"]);
    let Error::LimitExceeded { needed, limit, .. } = error else { panic!("another kind of error: {error:?}") };
    let number = |text: &str| text.split(' ').next().and_then(|n| n.parse::<u64>().ok()).expect("a number");
    assert!(number(&needed) > number(&limit), "needs {needed}, limit {limit}");
    assert_eq!(number(&limit), 100_000, "the limit that was set");
    // Stored states are what does not fit here; the message says what would.
    let long = TimeGrid::uniform(0.0, 1.0, 1000).expect("a valid grid");
    let build = |adjoint| NeuralOde::builder(mlp(), long.clone()).method(Method::Heun).adjoint(adjoint).build(&small);
    let stored = build(Adjoint::Stored).and_then(|ode| ode.memory_plan(64));
    assert_error!(stored, Error::LimitExceeded { .. }, ["storing 1000 states", "backsolve"]);
}

#[test]
fn an_unknown_adapter_is_refused_with_the_list() {
    for wanted in ["no such adapter", "99"] {
        let request = AdapterRequest { adapter: Some(wanted.into()), ..AdapterRequest::default() };
        assert_error!(Gpu::new(&request), Error::UnknownName { .. }, [wanted, gpu().adapter(), "[0]"]);
    }
    // The name, in part and in capitals, and the index are accepted.
    let names: Vec<String> = costate::adapters().into_iter().map(|a| a.name).collect();
    let index = names.iter().position(|n| n == gpu().adapter()).expect("the adapter in use is listed");
    for wanted in [gpu().adapter().to_uppercase(), index.to_string()] {
        let request = AdapterRequest { adapter: Some(wanted.clone()), ..AdapterRequest::default() };
        assert_eq!(Gpu::new(&request).expect("a listed adapter").adapter(), gpu().adapter(), "asked for {wanted}");
    }
}

/// Problems that have run before, and one that has not and so must make its buffers on a device that is gone.
#[test]
fn a_lost_device_is_an_error_from_then_on() {
    let (theta, x0, targets) = (parameters(&mlp(), 1), random2(4, 3, 1), random3(3, 4, 3, 2));
    for call in 0..4 {
        let own = Gpu::new(&AdapterRequest::default()).expect("these tests need a Vulkan adapter: run `make setup`");
        let build = || NeuralOde::builder(mlp(), grid()).method(Method::Heun).build(&own).expect("a small problem");
        let (used, unused) = (build(), build());
        used.loss_and_gradient(&theta, x0.view(), targets.view()).expect("a gradient while the device is there");
        used.solve(&theta, x0.view()).expect("a solve while the device is there");
        own.destroy();
        for _ in 0..2 {
            let ode = if call < 2 { &used } else { &unused };
            let error = match call % 2 {
                0 => ode.solve(&theta, x0.view()).map(|_| ()),
                _ => ode.loss_and_gradient(&theta, x0.view(), targets.view()).map(|_| ()),
            };
            assert_error!(error, Error::DeviceLost { .. }, ["lost", "new `Gpu`"]);
        }
    }
    // The device of the other tests is another one.
    problem().solve(&theta, x0.view()).expect("a solve on a device that is still there");
}

/// `dx/dt = rate · x` in two components, by way of two hidden units: Euler multiplies by 1 + h rate.
fn growth(rate: f32) -> Parameters {
    let mlp = field(2, &[2], Activation::Identity, false);
    let theta = vec![1.0, 0.0, 0.0, 1.0, 0.0, 0.0, rate, 0.0, 0.0, rate, 0.0, 0.0];
    Parameters::from_flat(&mlp, theta).expect("as many parameters")
}

/// Rows of the batch, and of observations, without those in `bad`.
fn without(bad: &[usize], batch: usize) -> Vec<usize> {
    (0..batch).filter(|b| !bad.contains(b)).collect()
}

/// The gradient of the rest of the batch must be that of a batch that never had the bad ones.
fn compare_with_the_rest(case: &str, got: &Gradient, rest: &Gradient, bad: &[usize]) {
    let batch = got.x0.nrows();
    for (row, b) in without(bad, batch).into_iter().enumerate() {
        assert_eq!(got.report.status[b], TrajectoryStatus::Ok, "{case}: trajectory {b}");
        assert_eq!(got.x0.row(b), rest.x0.row(row), "{case}: dJ/dx0 of trajectory {b}");
    }
    for &b in bad {
        assert!(got.x0.row(b).iter().all(|v| *v == 0.0), "{case}: dJ/dx0 of the failed {b} is {}", got.x0.row(b));
    }
    assert_eq!((got.report.ok(), got.report.non_finite()), (batch - bad.len(), bad.len()), "{case}: counts");
    // The same sums with zeros in between: another order of at most 1000 terms.
    let want: Vec<f64> = rest.theta.iter().map(|v| f64::from(*v)).collect();
    let error = relative(&got.theta, &want);
    assert!(error < 1e-6, "{case}: dJ/dθ off by {error:e}");
    if let (Some(a), Some(b)) = (got.loss, rest.loss) {
        assert!((a - b).abs() <= 1e-6 * b, "{case}: loss {a} instead of {b}");
    }
}

#[test]
fn a_trajectory_that_leaves_the_finite_numbers_takes_no_part() {
    let theta = growth(0.5);
    let grid = TimeGrid::with_steps(0.0, &[1.0, 2.0, 3.0], 3.0, 4).expect("a valid grid");
    let bad = [5, 64];
    let mut x0 = random2(100, 2, 1);
    // Factor 1.125 per step, the largest f32 is 3.4e38: out after the 7th and after the 2nd step.
    x0[[5, 1]] = 1.5e38;
    x0[[64, 0]] = -2.8e38;
    let expected = [(5, 6), (64, 1)];
    let targets = random3(3, 100, 2, 2);
    let rest = without(&bad, 100);
    let (rest_x0, rest_targets) = (x0.select(Axis(0), &rest), targets.select(Axis(1), &rest));
    for adjoint in Method::Euler.adjoints().iter().copied() {
        let builder = NeuralOde::builder(theta.field().clone(), grid.clone()).method(Method::Euler).adjoint(adjoint);
        let ode = builder.build(gpu()).expect("a small problem");
        let solution = ode.solve(&theta, x0.view()).expect("a failed trajectory is no error");
        for (b, step) in expected {
            let TrajectoryStatus::NonFinite { step: found, time } = solution.report.status[b] else {
                panic!("{adjoint}: trajectory {b} is {:?}", solution.report.status[b])
            };
            assert_eq!((found, time), (step, grid.times()[step + 1]), "{adjoint}: trajectory {b}");
        }
        let own = ode.solve(&theta, rest_x0.view()).expect("a solve of the rest");
        assert_eq!(solution.states.select(Axis(1), &rest), own.states, "{adjoint}: states of the rest");
        assert!(solution.states.slice(s![0, 5, ..]).iter().all(|v| v.is_finite()), "{adjoint}: states before the step");

        let got = ode.loss_and_gradient(&theta, x0.view(), targets.view()).expect("a gradient of the rest");
        assert_eq!(got.report.status, solution.report.status, "{adjoint}: status of gradient and solve");
        let alone = ode.loss_and_gradient(&theta, rest_x0.view(), rest_targets.view()).expect("a gradient");
        compare_with_the_rest(&format!("{adjoint} loss"), &got, &alone, &bad);
        if let Some(reconstruction) = &got.reconstruction {
            assert!(reconstruction.max_abs.is_finite(), "{adjoint}: the certificate counts a failed trajectory");
            assert_eq!(reconstruction.max_abs, alone.reconstruction.expect("a certificate").max_abs, "certificate");
        }
        let got = ode.vjp(&theta, x0.view(), targets.view()).expect("a vjp of the rest");
        let alone = ode.vjp(&theta, rest_x0.view(), rest_targets.view()).expect("a vjp");
        compare_with_the_rest(&format!("{adjoint} vjp"), &got, &alone, &bad);
    }
}

/// One trajectory far from its target: the sum of squares of the whole batch would be infinite.
#[test]
fn a_trajectory_too_far_from_its_target_takes_no_part() {
    let theta = growth(0.0);
    let grid = TimeGrid::with_steps(0.0, &[0.5, 1.0], 1.0, 2).expect("a valid grid");
    let mut x0 = random2(64, 2, 1);
    x0[[63, 0]] = 1e20;
    let targets = random3(2, 64, 2, 2);
    let rest = without(&[63], 64);
    let (rest_x0, rest_targets) = (x0.select(Axis(0), &rest), targets.select(Axis(1), &rest));
    for adjoint in Method::Euler.adjoints().iter().copied() {
        let builder = NeuralOde::builder(theta.field().clone(), grid.clone()).method(Method::Euler).adjoint(adjoint);
        let ode = builder.build(gpu()).expect("a small problem");
        let got = ode.loss_and_gradient(&theta, x0.view(), targets.view()).expect("a gradient of the rest");
        let alone = ode.loss_and_gradient(&theta, rest_x0.view(), rest_targets.view()).expect("a gradient");
        assert_eq!(got.report.status[63], TrajectoryStatus::LossOverflow, "{adjoint}");
        compare_with_the_rest(&adjoint.to_string(), &got, &alone, &[63]);
    }
}

/// Euler on a fast decay: forward times −0.9 per step, back times 2.9. What starts large overflows on the way back.
#[test]
fn a_trajectory_whose_reconstruction_overflows_takes_no_part() {
    let theta = growth(-1.9);
    let grid = TimeGrid::uniform(0.0, 10.0, 10).expect("a valid grid");
    let bad = [3, 70];
    let mut x0 = random2(90, 2, 1);
    // 0.9^10 · 2.9^n > 3.4e38 / 1e36 for n = 7: found in the step from t = 4 to t = 3, and later for the other.
    x0[[3, 0]] = 1e36;
    x0[[70, 1]] = 1e35;
    let targets = random3(1, 90, 2, 2);
    let rest = without(&bad, 90);
    let (rest_x0, rest_targets) = (x0.select(Axis(0), &rest), targets.select(Axis(1), &rest));
    let build = |adjoint| {
        let builder = NeuralOde::builder(theta.field().clone(), grid.clone()).method(Method::Euler).adjoint(adjoint);
        builder.build(gpu()).expect("a small problem")
    };
    let ode = build(Adjoint::Backsolve);
    let solution = ode.solve(&theta, x0.view()).expect("a solve");
    assert_eq!(solution.report.non_finite(), 0, "forward all is finite");
    for loss in [true, false] {
        let run = |x0: &Array2<f32>, targets: &Array3<f32>| {
            if loss {
                ode.loss_and_gradient(&theta, x0.view(), targets.view()).expect("a gradient of the rest")
            } else {
                ode.vjp(&theta, x0.view(), targets.view()).expect("a vjp of the rest")
            }
        };
        let (got, alone) = (run(&x0, &targets), run(&rest_x0, &rest_targets));
        for b in bad {
            match got.report.status[b] {
                // 1e35 squared would overflow the loss before anything goes back.
                TrajectoryStatus::LossOverflow => assert!(loss, "trajectory {b}: far from its target at t1"),
                TrajectoryStatus::ReverseNonFinite { step, time } => {
                    assert!(!loss, "trajectory {b} should not go back: step {step}");
                    assert_eq!(time, grid.times()[step], "trajectory {b}: the time of step {step}");
                }
                other => panic!("trajectory {b} is {other:?}"),
            }
        }
        if !loss {
            assert_eq!(got.report.status[3], TrajectoryStatus::ReverseNonFinite { step: 3, time: 3.0 }, "trajectory 3");
        }
        compare_with_the_rest(if loss { "loss" } else { "vjp" }, &got, &alone, &bad);
        // The certificate tells how bad the others are.
        assert!(got.reconstruction.expect("a certificate").max_abs > 1.0, "this reconstruction is worthless");
    }
    // Stored needs no reconstruction. The cotangents are given: a loss of 1e35² would not be finite.
    let stored = build(Adjoint::Stored).vjp(&theta, x0.view(), targets.view()).expect("a vjp");
    assert_eq!(stored.report.non_finite(), 0, "the stored adjoint has all states");
}

#[test]
fn a_batch_of_failures_has_no_gradient() {
    let theta = growth(0.5);
    let grid = TimeGrid::with_steps(0.0, &[1.0, 2.0, 3.0], 3.0, 4).expect("a valid grid");
    let x0 = Array2::from_elem((3, 2), 3e38_f32);
    let targets = random3(3, 3, 2, 2);
    for adjoint in Method::Euler.adjoints().iter().copied() {
        let builder = NeuralOde::builder(theta.field().clone(), grid.clone()).method(Method::Euler).adjoint(adjoint);
        let ode = builder.build(gpu()).expect("a small problem");
        assert_eq!(ode.solve(&theta, x0.view()).expect("a solve").report.non_finite(), 3, "all fail");
        let gradient = ode.loss_and_gradient(&theta, x0.view(), targets.view());
        assert_error!(gradient, Error::NoneLeft { batch: 3, .. }, ["none of 3 trajectories", "infinite", "step"]);
        assert_error!(ode.vjp(&theta, x0.view(), targets.view()), Error::NoneLeft { .. }, ["none of 3 trajectories"]);
        // The next run starts clean.
        let fine = ode.loss_and_gradient(&theta, random2(3, 2, 1).view(), targets.view()).expect("a gradient");
        assert_eq!(fine.report.ok(), 3, "{adjoint}: the status of the run before is still there");
    }
}
