//! Does the training loop on the device do what a loop on the host would?
//!
//! The minibatch of an iteration is drawn again on the host (train::draw), its gradient taken from the f64 twin and the
//! update made in f64: after many iterations parameters and losses must agree. Blind to whether training is wise.
#![expect(clippy::cast_possible_truncation, reason = "small counts, and data that are f32")]

mod common;

use common::{field, gpu, parameters, random3, twin_gradient};
use costate::train::{DataSet, Optimizer, Record, Schedule, Skip, Steps, TrainOptions, Trainer, draw};
use costate::{Activation, Adjoint, Error, Init, Method, Mlp, Parameters, TimeGrid};
use ndarray::{Array2, Array3, s};

const SPACING: f64 = 0.1;

fn mlp() -> Mlp {
    field(2, &[7], Activation::Tanh, false)
}

/// Smooth series, so that there is something to learn.
fn data(series: usize, times: usize) -> DataSet {
    let t: Vec<f64> = (0..times).map(|i| SPACING * i as f64).collect();
    let values = Array3::from_shape_fn((series, times, 2), |(s, i, c)| {
        let phase = t[i] + 0.7 * s as f64;
        (if c == 0 { phase.cos() } else { phase.sin() }) as f32
    });
    DataSet::new(&t, values.view()).expect("valid data")
}

/// One loop in f64 over `options.iterations`; returns the losses and the parameters.
fn host_loop(theta: &Parameters, data: &DataSet, options: &TrainOptions) -> (Vec<f64>, Vec<f64>) {
    let [series, times, dim] = data.values().dim().into();
    let window = if options.window == 0 { times } else { options.window };
    let Steps::PerInterval(steps) = options.steps else { panic!("the host loop knows steps per interval") };
    let grid = TimeGrid::with_steps(0.0, &data.times()[1..window], data.times()[window - 1], steps).expect("a grid");
    let mut values: Vec<f64> = theta.as_slice().iter().map(|v| f64::from(*v)).collect();
    let (mut m, mut v) = (vec![0.0; values.len()], vec![0.0; values.len()]);
    let mut losses = Vec::new();
    for iteration in 0..options.iterations {
        let mut x0 = Array2::zeros((options.batch, dim));
        let mut targets = Array3::zeros((window - 1, options.batch, dim));
        for b in 0..options.batch {
            let (series, start) = if options.batch == series && window == times {
                (b, 0)
            } else {
                let whole = (series as u32, times as u32, window as u32);
                let (series, start) = draw(options.seed as u32, iteration as u32, b as u32, whole.0, whole.1, whole.2);
                (series as usize, start as usize)
            };
            x0.row_mut(b).assign(&data.values().slice(s![series, start, ..]));
            let points = data.values();
            targets.slice_mut(s![.., b, ..]).assign(&points.slice(s![series, start + 1..start + window, ..]));
        }
        let now = Parameters::from_flat(theta.field(), values.iter().map(|v| *v as f32).collect()).expect("finite");
        let twin = twin_gradient(options.method, options.adjoint, &now, &grid, &x0, Some(&targets), None);
        losses.push(twin.loss.expect("a loss"));
        let norm = twin.theta.iter().map(|g| g * g).sum::<f64>().sqrt();
        let factor = options.clip_norm.map_or(1.0, |c| (c / norm).min(1.0));
        let rate = options.rate(iteration);
        for (i, g) in twin.theta.iter().map(|g| g * factor).enumerate() {
            values[i] *= 1.0 - rate * options.weight_decay;
            match options.optimizer {
                Optimizer::Adam { beta1, beta2, epsilon } => {
                    let power = iteration as i32 + 1;
                    m[i] = beta1 * m[i] + (1.0 - beta1) * g;
                    v[i] = beta2 * v[i] + (1.0 - beta2) * g * g;
                    let root = (v[i] / (1.0 - beta2.powi(power))).sqrt();
                    values[i] -= rate * m[i] / (1.0 - beta1.powi(power)) / (root + epsilon);
                }
                Optimizer::Sgd { momentum } => {
                    m[i] = momentum * m[i] + g;
                    values[i] -= rate * m[i];
                }
                other => panic!("{other:?} has no host loop"),
            }
        }
    }
    (losses, values)
}

fn train(theta: &Parameters, data: &DataSet, options: &TrainOptions) -> (Vec<Record>, Parameters) {
    let mut trainer = Trainer::new(gpu(), theta, data, options.clone()).expect("a small run");
    trainer.advance(options.iterations).expect("a device");
    let records = trainer.finish().expect("a device");
    (records, trainer.parameters().expect("finite parameters"))
}

/// Each update repeats the relative error of a gradient (1e-6, tests/gradients.rs); Adam divides by the gradient's size,
/// so early steps of tiny components magnify it. 40 iterations stay below 1e-4 of the distance travelled.
#[test]
fn device_loop_equals_host_loop() {
    let theta = parameters(&mlp(), 4);
    let base = TrainOptions {
        batch: 10,
        window: 4,
        iterations: 40,
        learning_rate: 0.01,
        method: Method::Midpoint,
        seed: 11,
        ..TrainOptions::default()
    };
    let cases = [
        ("adam, windows", base.clone()),
        (
            "adam, cosine, weight decay, backsolve",
            TrainOptions {
                schedule: Schedule::Cosine { final_rate: 1e-3 },
                weight_decay: 0.1,
                adjoint: Adjoint::Backsolve,
                ..base.clone()
            },
        ),
        (
            "sgd with momentum, clipped, whole series in order",
            TrainOptions {
                optimizer: Optimizer::Sgd { momentum: 0.9 },
                schedule: Schedule::Exponential { final_rate: 2e-3 },
                clip_norm: Some(0.3),
                batch: 3,
                window: 0,
                steps: Steps::PerInterval(2),
                ..base
            },
        ),
    ];
    for (case, options) in cases {
        let data = data(3, 9);
        let (records, trained) = train(&theta, &data, &options);
        let (losses, want) = host_loop(&theta, &data, &options);
        assert_eq!(records.len(), losses.len(), "{case}: one record per iteration");
        for (record, want) in records.iter().zip(&losses) {
            let error = (f64::from(record.loss) - want).abs() / want;
            assert!(error < 1e-4, "{case}: loss of iteration {} off by {error:e}", record.iteration);
            assert_eq!(record.trajectories as usize, options.batch, "{case}: every trajectory takes part");
        }
        let pairs = || trained.as_slice().iter().zip(&want).zip(theta.as_slice());
        let error = pairs().map(|((got, want), _)| (f64::from(*got) - want).powi(2)).sum::<f64>().sqrt();
        let travelled = pairs().map(|((_, want), start)| (want - f64::from(*start)).powi(2)).sum::<f64>().sqrt();
        assert!(error < 1e-4 * travelled, "{case}: parameters off by {error:e} after a way of {travelled:e}");
    }
}

#[test]
fn runs_repeat_bit_for_bit_and_in_any_portions() {
    let theta = parameters(&mlp(), 4);
    let data = data(3, 9);
    let options =
        TrainOptions { batch: 10, window: 4, iterations: 600, method: Method::Midpoint, ..TrainOptions::default() };
    let (records, trained) = train(&theta, &data, &options);
    let mut trainer = Trainer::new(gpu(), &theta, &data, options).expect("a small run");
    let mut portions = Vec::new();
    for portion in [1, 7, 300, 92, 200] {
        trainer.advance(portion).expect("a device");
        portions.extend(trainer.records().expect("a device"));
    }
    portions.extend(trainer.finish().expect("a device"));
    assert_eq!(records, portions, "records must not depend on the portions");
    assert_eq!(trained, trainer.parameters().expect("finite parameters"), "parameters must not depend on the portions");
    assert!(records.windows(2).all(|w| w[1].iteration == w[0].iteration + 1), "records come in order");
}

/// A trajectory that blows up in training is left out, counted, and does not spoil the parameters.
#[test]
fn a_diverging_trajectory_does_not_stop_training() {
    let mlp = field(2, &[7], Activation::Relu, false);
    let theta = parameters(&mlp, 4);
    let mut values = random3(1, 4, 2, 3).into_shape_with_order((4, 1, 2)).expect("as many values");
    let last = values.clone();
    values.append(ndarray::Axis(1), last.view()).expect("equal shapes");
    // Large enough that a step overflows f32.
    values[[2, 0, 0]] = 3e38;
    values[[2, 0, 1]] = -3e38;
    let data = DataSet::new(&[0.0, 100.0], values.view()).expect("valid data");
    let options = TrainOptions { batch: 4, iterations: 5, method: Method::Midpoint, ..TrainOptions::default() };
    let (records, trained) = train(&theta, &data, &options);
    assert!(records.iter().all(|r| r.trajectories == 3 && r.loss.is_finite()), "three of four take part: {records:?}");
    assert_ne!(trained, theta, "the others still train");
}

/// Euler on a fast decay towards a moving point: the distance shrinks by −0.5 per step, and going back the rounding grows
/// by 2.5, which overflows f32 within 120 steps. The adjoint shrinks as the states grow, so the gradient to which they
/// have added is finite and worthless: no update may be made of it, and the records must say so.
#[test]
fn an_update_after_failures_on_the_way_back_is_skipped() {
    let mlp = Mlp::builder(1).time_input(true).build().expect("a linear field");
    let theta = Parameters::from_flat(&mlp, vec![-15.0, 0.1, 15.1]).expect("three parameters");
    let values = Array3::from_shape_fn((64, 2, 1), |(s, i, _)| if i == 0 { 0.1 * s as f32 } else { 0.5 });
    let data = DataSet::new(&[0.0, 12.0], values.view()).expect("valid data");
    let options = TrainOptions {
        iterations: 3,
        method: Method::Euler,
        steps: Steps::PerInterval(120),
        optimizer: Optimizer::Sgd { momentum: 0.0 },
        ..TrainOptions::default()
    };
    let (records, trained) = train(&theta, &data, &TrainOptions { adjoint: Adjoint::Backsolve, ..options.clone() });
    let worthless = |r: &Record| r.reverse_failed > 0 && r.gradient_norm.is_finite() && r.gradient_norm > 0.0;
    assert!(records.iter().all(worthless), "trajectories fail on the way back, with a finite gradient: {records:?}");
    assert!(records.iter().all(|r| r.skipped == Some(Skip::ReverseFailed)), "the records say so: {records:?}");
    assert_eq!(trained, theta, "no update may be made of such a gradient");
    let (records, trained) = train(&theta, &data, &options);
    assert!(records.iter().all(|r| r.reverse_failed == 0 && r.drift_max == 0.0), "stored has all states: {records:?}");
    assert_ne!(trained, theta, "the stored gradient is good");
}

#[test]
fn options_and_data_that_make_no_sense_are_refused() {
    let theta = Parameters::init(&mlp(), Init::Xavier, 0).expect("a valid initialiser");
    let good = TrainOptions { batch: 4, window: 4, ..TrainOptions::default() };
    let uneven = DataSet::new(&[0.0, 0.1, 0.3, 0.4, 0.5], data(1, 5).values()).expect("valid data");
    let refused = |data: &DataSet, options: TrainOptions| {
        let error = Trainer::new(gpu(), &theta, data, options.clone()).err();
        let error = error.unwrap_or_else(|| panic!("{options:?} must be refused"));
        assert!(matches!(error, Error::Invalid { .. }), "{options:?}: {error}");
    };
    for bad in [
        TrainOptions { batch: 0, ..good.clone() },
        TrainOptions { window: 1, ..good.clone() },
        TrainOptions { window: 10, ..good.clone() },
        TrainOptions { iterations: 0, ..good.clone() },
        TrainOptions { learning_rate: 0.0, ..good.clone() },
        TrainOptions { learning_rate: f64::NAN, ..good.clone() },
        // Infinite or zero as f32.
        TrainOptions { learning_rate: 1e39, ..good.clone() },
        TrainOptions { learning_rate: 1e38, ..good.clone() },
        TrainOptions { clip_norm: Some(1e-40), ..good.clone() },
        TrainOptions { clip_norm: Some(-1.0), ..good.clone() },
        TrainOptions { weight_decay: -0.1, ..good.clone() },
        TrainOptions { steps: Steps::PerInterval(0), ..good.clone() },
        TrainOptions { steps: Steps::Step(-0.1), ..good.clone() },
        TrainOptions { optimizer: Optimizer::Sgd { momentum: 1.0 }, ..good.clone() },
        TrainOptions { schedule: Schedule::Exponential { final_rate: 0.0 }, ..good.clone() },
    ] {
        refused(&data(3, 9), bad);
    }
    refused(&uneven, good);
    for bad in [
        DataSet::new(&[0.0], Array3::zeros((1, 1, 2)).view()),
        DataSet::new(&[0.0, 0.0], Array3::zeros((1, 2, 2)).view()),
        DataSet::new(&[0.0, 1.0], Array3::zeros((0, 2, 2)).view()),
        DataSet::new(&[0.0, 1.0, 2.0], Array3::zeros((1, 2, 2)).view()),
        DataSet::new(&[0.0, 1.0], Array3::from_elem((1, 2, 2), f32::NAN).view()),
    ] {
        assert!(bad.is_err(), "{bad:?} must be refused");
    }
}
