//! What training does where numbers get very large or very small: updates that are right, or skipped and counted.
//!
//! Linear fields of one component, whose gradients are known or come from the f64 twin. Blind to wide fields,
//! whose norm is a tree of several levels (src/gpu/norm_tests.rs).
#![expect(clippy::cast_possible_truncation, reason = "data that are f32")]

mod common;

use common::{field, gpu, parameters, twin_gradient};
use costate::train::{DataSet, Evaluation, Optimizer, Record, Skip, Steps, TrainOptions, Trainer};
use costate::{Activation, Adjoint, Loss, Method, Mlp, Parameters, TimeGrid};
use ndarray::{Array3, s};

fn linear(weight: f32, bias: f32) -> Parameters {
    let field = Mlp::builder(1).build().expect("a linear field");
    Parameters::from_flat(&field, vec![weight, bias]).expect("two parameters")
}

/// One series of one component.
fn series(times: &[f64], values: &[f32]) -> DataSet {
    let values = Array3::from_shape_vec((1, times.len(), 1), values.to_vec()).expect("as many values");
    DataSet::new(times, values.view()).expect("valid data")
}

fn options() -> TrainOptions {
    TrainOptions {
        batch: 1,
        iterations: 30,
        learning_rate: 0.01,
        method: Method::Midpoint,
        adjoint: Adjoint::Stored,
        steps: Steps::PerInterval(4),
        ..TrainOptions::default()
    }
}

fn train(theta: &Parameters, data: &DataSet, options: TrainOptions) -> (Vec<Record>, Trainer) {
    let iterations = options.iterations;
    let mut trainer = Trainer::new(gpu(), theta, data, options).expect("a small run");
    trainer.advance(iterations).expect("a device");
    let records = trainer.finish().expect("a device");
    (records, trainer)
}

/// The same in f64, with Adam's own second moment. Returns parameters and the norm of every gradient.
fn host_loop(theta: &Parameters, data: &DataSet, options: &TrainOptions) -> (Vec<f64>, Vec<f64>) {
    let Optimizer::Adam { beta1, beta2, epsilon } = options.optimizer else { panic!("this loop knows adam only") };
    let Steps::PerInterval(steps) = options.steps else { panic!("this loop knows steps per interval only") };
    let times = data.times();
    let grid = TimeGrid::with_steps(times[0], &times[1..], times[times.len() - 1], steps).expect("a grid");
    let x0 = data.values().slice(s![.., 0, ..]).to_owned();
    let targets = data.values().slice(s![.., 1.., ..]).permuted_axes([1, 0, 2]).to_owned();
    let mut values: Vec<f64> = theta.as_slice().iter().map(|v| f64::from(*v)).collect();
    let (mut m, mut v) = (vec![0.0; values.len()], vec![0.0; values.len()]);
    let mut norms = Vec::new();
    for iteration in 0..options.iterations {
        let now = values.iter().map(|v| *v as f32).collect();
        let now = Parameters::from_flat(theta.field(), now).expect("finite parameters");
        let twin = twin_gradient(options.method, options.adjoint, &now, &grid, &x0, Some(&targets), None);
        norms.push(twin.theta.iter().map(|g| g * g).sum::<f64>().sqrt());
        for (i, g) in twin.theta.iter().enumerate() {
            let power = i32::try_from(iteration).expect("a short run") + 1;
            m[i] = beta1 * m[i] + (1.0 - beta1) * g;
            v[i] = beta2 * v[i] + (1.0 - beta2) * g * g;
            let root = (v[i] / (1.0 - beta2.powi(power))).sqrt();
            values[i] -= options.rate(iteration) * m[i] / (1.0 - beta1.powi(power)) / (root + epsilon);
        }
    }
    (values, norms)
}

/// A decay from 1e12 has a gradient of 1e24 by the weight, whose square overflows f32; one from 1e-14 has one of 1e-28, whose
/// square underflows. Both train as in f64.
#[test]
fn squares_of_gradients_may_leave_f32() {
    let times: Vec<f64> = (0..6).map(|i| 0.2 * f64::from(i)).collect();
    for (scale, weight, learning_rate, epsilon, beyond) in
        [(1e12, -0.5, 0.01, 1e-8, 1e20..1e30), (1e-14, 0.0, 1e-16, 1e-36, 1e-16..1e-13)]
    {
        let theta = linear(weight, 0.0);
        let values: Vec<f32> = times.iter().map(|t| (scale * (-t).exp()) as f32).collect();
        let data = series(&times, &values);
        let optimizer = Optimizer::Adam { beta1: 0.9, beta2: 0.999, epsilon };
        let options = TrainOptions { optimizer, learning_rate, ..options() };
        let (records, trainer) = train(&theta, &data, options.clone());
        let (want, norms) = host_loop(&theta, &data, &options);
        for (record, norm) in records.iter().zip(&norms) {
            assert!(beyond.contains(norm), "{scale:e}: the norm of iteration {} is {norm:e}", record.iteration);
            let error = (record.gradient_norm / norm - 1.0).abs();
            assert!(error < 1e-4, "{scale:e}: the norm of iteration {} is off by {error:e}", record.iteration);
            assert_eq!(record.skipped, None, "{scale:e}: iteration {}", record.iteration);
        }
        assert_eq!(trainer.skips().total(), 0, "{scale:e}: nothing was skipped");
        let trained = trainer.parameters().expect("finite parameters");
        for ((got, want), start) in trained.as_slice().iter().zip(&want).zip(theta.as_slice()) {
            let way = (want - f64::from(*start)).abs();
            assert!(way > 10.0 * learning_rate, "{scale:e}: something is learned: {way:e}");
            let error = (f64::from(*got) - want).abs();
            assert!(error < 1e-4 * way, "{scale:e}: off by {error:e} after a way of {way:e}");
        }
    }
}

/// Beyond its delta, Huber's loss has the slope delta: a power of two scales the gradient by itself, and nothing else. A
/// clipped update is then the same to the last bit, and scaled limits scale it.
#[test]
fn scaled_gradients_are_clipped_to_the_same_bits() {
    let times: Vec<f64> = (0..5).map(|i| 0.25 * f64::from(i)).collect();
    let data = series(&times, &[1.0, 7.0, -6.0, 5.0, 8.0]);
    let run = |delta: f32, clip: f64, learning_rate: f64| {
        let (records, trainer) = train(
            &linear(-0.3, 0.2),
            &data,
            TrainOptions {
                optimizer: Optimizer::Sgd { momentum: 0.5 },
                loss: Loss::Huber { delta },
                clip_norm: Some(clip),
                learning_rate,
                ..options()
            },
        );
        assert!(records.iter().all(|r| r.gradient_norm > clip && r.skipped.is_none()), "clipped: {records:?}");
        let bits = |p: &Parameters| -> Vec<u32> { p.as_slice().iter().map(|v| v.to_bits()).collect() };
        (bits(&trainer.parameters().expect("finite parameters")), records[0].gradient_norm)
    };
    let two = |power: i32| 2.0_f64.powi(power);
    let (want, norm) = run(0.5, two(-100), 0.004 * two(100));
    assert_ne!(want, [(-0.3_f32).to_bits(), 0.2_f32.to_bits()], "something is learned");
    for power in [-20, -85] {
        let (got, scaled) = run(two(power - 1) as f32, two(-100), 0.004 * two(100));
        assert_eq!(got, want, "gradients scaled by 2^{power}");
        assert_eq!(scaled, norm * two(power), "their norm");
    }
    let (got, _) = run(two(-41) as f32, two(-60), 0.004 * two(60));
    assert_eq!(got, want, "limit and rate scaled");
}

/// The state stays, and each of four Euler steps adds 2 r h = 2e38 to dJ/db, which overflows. Nothing is learned from it.
#[test]
fn a_gradient_that_is_not_finite_is_skipped_and_counted() {
    let theta = linear(0.0, 0.0);
    let base = TrainOptions { iterations: 5, method: Method::Euler, steps: Steps::PerInterval(4), ..options() };
    for optimizer in [Optimizer::default(), Optimizer::Sgd { momentum: 0.9 }] {
        let data = series(&[0.0, 4e28], &[0.0, 1e10]);
        let (records, trainer) = train(&theta, &data, TrainOptions { optimizer, ..base.clone() });
        let refused = |r: &Record| r.skipped == Some(Skip::GradientNotFinite) && r.gradient_norm.is_nan();
        assert!(records.iter().all(refused), "{optimizer:?}: {records:?}");
        assert!(records.iter().all(|r| r.loss == 1e20 && r.trajectories == 1), "{optimizer:?}: all else is fine");
        let skips = trainer.skips();
        assert_eq!((skips.total(), skips.count(Skip::GradientNotFinite)), (5, 5), "{optimizer:?}");
        assert_eq!(trainer.parameters().expect("finite parameters"), theta, "{optimizer:?}: nothing was learned");
    }
}

/// A rate of 1e30 takes the bias of a good gradient, −2e10, out of f32. The weight's own step would be zero.
#[test]
fn an_update_that_would_not_be_finite_is_skipped_as_a_whole() {
    let theta = linear(0.0, 0.0);
    let data = series(&[0.0, 1.0], &[0.0, 1e10]);
    let base = TrainOptions { iterations: 4, method: Method::Euler, steps: Steps::PerInterval(1), ..options() };
    let sgd = TrainOptions { optimizer: Optimizer::Sgd { momentum: 0.0 }, learning_rate: 1e30, ..base.clone() };
    let (records, trainer) = train(&theta, &data, sgd.clone());
    assert!(records.iter().all(|r| r.skipped == Some(Skip::UpdateNotFinite)), "{records:?}");
    assert!(records.iter().all(|r| (r.gradient_norm / 2e10 - 1.0).abs() < 1e-6), "the gradient is good: {records:?}");
    assert_eq!(trainer.skips().count(Skip::UpdateNotFinite), 4);
    assert_eq!(trainer.parameters().expect("finite parameters"), theta, "not even in part");

    let (records, trainer) = train(&theta, &data, TrainOptions { clip_norm: Some(1e-30), ..sgd });
    assert_eq!(trainer.skips().total(), 0, "clipped it is fine: {records:?}");
    // Euler with w = 0 and b: dJ/db = 2 (b - 1e10), dJ/dw = 0 from x0 = 0. Each step has a length of one.
    let want = linear(0.0, 4.0);
    for (got, want) in trainer.parameters().expect("finite parameters").as_slice().iter().zip(want.as_slice()) {
        assert!((got - want).abs() < 1e-5, "four steps of length one: {got}, not {want}");
    }
}

/// Nine points in windows of four: those that start at 0, 3 and 5 see every later point. In portions of the minibatch.
#[test]
fn an_evaluation_sees_the_whole_data_set_and_changes_nothing() {
    let field = field(2, &[7], Activation::Tanh, false);
    let theta = parameters(&field, 4);
    let times: Vec<f64> = (0..9).map(|i| 0.1 * f64::from(i)).collect();
    let values = Array3::from_shape_fn((3, 9, 2), |(s, i, c)| {
        let phase = times[i] + 0.7 * s as f64;
        (if c == 0 { phase.cos() } else { phase.sin() }) as f32
    });
    let data = DataSet::new(&times, values.view()).expect("valid data");
    let grid = TimeGrid::with_steps(0.0, &times[1..4], times[3], 1).expect("a grid");
    let starts = [0, 3, 5];
    let mut sum = 0.0;
    for s in 0..3 {
        for start in starts {
            let x0 = values.slice(s![s..=s, start, ..]).to_owned();
            let targets = values.slice(s![s..=s, start + 1..start + 4, ..]).permuted_axes([1, 0, 2]).to_owned();
            let twin = twin_gradient(Method::Midpoint, Adjoint::Stored, &theta, &grid, &x0, Some(&targets), None);
            sum += twin.loss.expect("a loss");
        }
    }
    let want = sum / 9.0;
    for batch in [4, 10] {
        let options = TrainOptions { batch, window: 4, steps: Steps::PerInterval(1), ..options() };
        let (_, plain) = train(&theta, &data, options.clone());
        let mut trainer = Trainer::new(gpu(), &theta, &data, options).expect("a small run");
        assert_eq!(trainer.evaluation_passes(), if batch == 4 { 3 } else { 1 });
        let start = trainer.evaluate().expect("a device");
        let error = (start.loss / want - 1.0).abs();
        assert!(error < 1e-5, "batch {batch}: {} instead of {want}", start.loss);
        assert_eq!((start.iteration, start.windows, start.failed, start.cost), (0, 9, 0, 0.0), "batch {batch}");
        for portion in [1, 9, 20] {
            trainer.advance(portion).expect("a device");
            trainer.evaluate().expect("a device");
        }
        let end = trainer.evaluate().expect("a device");
        assert!(end.iteration == 30 && end.is_better_than(&start), "batch {batch}: {end:?} after {start:?}");
        let trained = trainer.parameters().expect("finite parameters");
        assert_eq!(trained, plain.parameters().expect("finite parameters"), "batch {batch}: it is only looked at");
    }
}

/// A window that fails is counted, and what is left is the loss.
#[test]
fn an_evaluation_counts_what_failed() {
    let theta = linear(0.0, 0.0);
    let values = Array3::from_shape_vec((3, 2, 1), vec![0.0, 1.0, 1e12, 1e12, 0.0, 3.0]).expect("six values");
    let data = DataSet::new(&[0.0, 1.0], values.view()).expect("valid data");
    // Takes 1e12 out of f32, and leaves 0 where it is.
    let weight = linear(1e30, 0.0);
    let options = TrainOptions { batch: 2, method: Method::Euler, steps: Steps::PerInterval(1), ..options() };
    let of = |theta: &Parameters| -> Evaluation {
        let mut trainer = Trainer::new(gpu(), theta, &data, options.clone()).expect("a small run");
        trainer.evaluate().expect("a device")
    };
    let (good, bad) = (of(&theta), of(&weight));
    assert_eq!((good.failed, good.windows), (0, 3));
    assert!((good.loss - 10.0 / 3.0).abs() < 1e-6, "(1 + 0 + 9) / 3, not {}", good.loss);
    assert_eq!(bad.failed, 1);
    assert!((bad.loss - 5.0).abs() < 1e-6, "(1 + 9) / 2, not {}", bad.loss);
    assert!(good.is_better_than(&bad), "fewer failures");
}
