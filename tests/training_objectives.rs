//! Does training on the whole objective do what a loop on the host would?
//!
//! Series observed at times of their own, a likelihood whose scale is learnt, a running cost with every term: the update
//! of each iteration is made again in f64 from the twin's gradient. Blind to the draw of windows (tests/training.rs).

mod common;

use common::{field, gpu, parameters, random3, to_f64};
use costate::reference::{self, Field, Scheme, Seed};
use costate::train::{DataSet, Optimizer, Steps, TrainOptions, Trainer};
use costate::{Activation, Adjoint, AdjointOptions, Loss, Method, Reference, RunningCost, TimeGrid};
use ndarray::{Array3, s};

const SERIES: usize = 5;
const TIMES: usize = 7;
const RATE: f64 = 0.02;
const DECAY: f64 = 0.1;

fn times() -> Vec<f64> {
    (0..TIMES).map(|i| 0.2 * i as f64 + 0.05 * (i % 2) as f64).collect()
}

/// Values of which a third is missing, none at the start.
fn values() -> Array3<f32> {
    let missing = random3(SERIES, TIMES, 2, 5);
    let mut values = random3(SERIES, TIMES, 2, 4);
    for ((s, i, c), v) in values.indexed_iter_mut() {
        if i > 0 && missing[[s, i, c]] < -0.3 {
            *v = f32::NAN;
        }
    }
    values
}

fn cost() -> RunningCost {
    let shape = random3(3, 1, 2, 9);
    let reference = Reference::new(&[0.0, 0.6, 1.5], shape.view()).expect("a valid reference");
    let cost = RunningCost::new().kinetic(0.1).and_then(|c| c.jacobian(0.05, 3));
    cost.and_then(|c| c.reference(0.2, reference)).and_then(|c| c.parameters(0.01)).expect("valid weights")
}

#[test]
fn device_loop_equals_host_loop_with_every_term() {
    let theta = parameters(&field(2, &[6], Activation::Tanh, true), 1);
    let (times, values, cost) = (times(), values(), cost());
    let data = DataSet::with_missing(&times, values.view()).expect("valid data");
    assert!(data.has_missing(), "a third of the data");
    for (method, adjoint) in [(Method::Heun, Adjoint::Backsolve), (Method::Strang, Adjoint::Exact)] {
        let options = TrainOptions {
            batch: SERIES,
            iterations: 30,
            optimizer: Optimizer::Sgd { momentum: 0.0 },
            learning_rate: RATE,
            weight_decay: DECAY,
            method,
            adjoint,
            steps: Steps::PerInterval(2),
            loss: Loss::GaussianNll,
            log_scale: vec![0.2, -0.3],
            learn_log_scale: true,
            running_cost: Some(cost.clone()),
            ..TrainOptions::default()
        };
        let mut trainer = Trainer::new(gpu(), &theta, &data, options.clone()).expect("a small run");
        trainer.advance(options.iterations).expect("a device");
        let records = trainer.finish().expect("a device");

        let grid = TimeGrid::with_steps(times[0], &times[1..], times[TIMES - 1], 2).expect("a valid grid");
        let x0 = to_f64(&values.slice(s![.., 0, ..]));
        let targets = to_f64(&values.slice(s![.., 1.., ..])).permuted_axes([1, 0, 2]).as_standard_layout().into_owned();
        let mask = targets.mapv(|v| !v.is_nan());
        let scheme =
            Scheme { method, contraction: AdjointOptions::default().contraction(method, adjoint, grid.steps()) };
        let mut weights: Vec<f64> = theta.as_slice().iter().map(|v| f64::from(*v)).collect();
        let mut log_scale = vec![0.2, -0.3];
        for record in &records {
            let seed = Seed::Observations(reference::Observations {
                loss: Loss::GaussianNll,
                targets: targets.view(),
                weights: None,
                mask: Some(mask.view()),
                log_scale: &log_scale,
            });
            let field = Field::new(theta.field(), &weights).expect("matching parameters");
            let twin = reference::gradient_with_cost(scheme, adjoint, &field, &grid, x0.view(), seed, Some(&cost));
            let twin = twin.expect("a valid problem");
            let loss = twin.loss.expect("a loss");
            let paid = twin.cost.expect("a cost").iter().sum::<f64>() / SERIES as f64;
            let case = format!("{method}, iteration {}", record.iteration);
            assert!(
                (f64::from(record.loss) - loss).abs() < 2e-5 * loss.abs(),
                "{case}: loss {} and {loss}",
                record.loss
            );
            assert!((f64::from(record.cost) - paid).abs() < 2e-5 * paid, "{case}: cost {} and {paid}", record.cost);
            let gradient = twin.theta.iter().zip(weights.iter_mut());
            gradient.for_each(|(g, w)| *w = *w * (1.0 - RATE * DECAY) - RATE * g);
            // Weight decay is for the field.
            twin.log_scale.iter().zip(log_scale.iter_mut()).for_each(|(g, s)| *s -= RATE * g);
        }
        let learnt = trainer.parameters().expect("finite parameters");
        let error = learnt.as_slice().iter().zip(&weights).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max);
        assert!(error < 5e-6, "{method}: parameters are off by {error}");
        let scales = trainer.log_scale().expect("finite scales");
        let error = scales.iter().zip(&log_scale).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max);
        assert!(error < 5e-6, "{method}: log scales are off by {error}");
        assert!((log_scale[0] - 0.2).abs() > 1e-2, "{method}: the scale did not move: {log_scale:?}");
    }
}

#[test]
fn what_does_not_go_with_windows_is_refused() {
    let theta = parameters(&field(2, &[6], Activation::Tanh, false), 1);
    let even: Vec<f64> = (0..TIMES).map(|i| 0.2 * i as f64).collect();
    let mut holes = random3(SERIES, TIMES, 2, 4);
    holes[[2, 3, 1]] = f32::NAN;
    let data = DataSet::with_missing(&even, holes.view()).expect("valid data");
    let whole = DataSet::new(&even, random3(SERIES, TIMES, 2, 4).view()).expect("valid data");
    let windows = TrainOptions { window: 3, ..TrainOptions::default() };
    let refused = |data: &DataSet, options: TrainOptions, part: &str| {
        let error = Trainer::new(gpu(), &theta, data, options).expect_err(part);
        assert!(error.is_usage() && error.to_string().contains(part), "{part}: {error}");
    };
    refused(&data, windows.clone(), "series 2 is missing at point 3");
    // No window of six points starts there.
    Trainer::new(gpu(), &theta, &data, TrainOptions { window: 6, ..windows.clone() }).expect("a run on long windows");
    refused(&whole, TrainOptions { running_cost: Some(cost()), ..windows.clone() }, "windows start at different times");
    let own = Reference::new(&[0.0, 2.0], random3(2, 64, 2, 1).view()).expect("a valid reference");
    let own = RunningCost::new().reference(1.0, own).expect("a valid weight");
    refused(&whole, TrainOptions { running_cost: Some(own), window: 0, ..windows.clone() }, "drawn anew");
    let short = Reference::new(&[0.0, 0.5], random3(2, 1, 2, 1).view()).expect("a valid reference");
    let short = RunningCost::new().reference(1.0, short).expect("a valid weight");
    refused(&whole, TrainOptions { running_cost: Some(short), window: 0, ..windows.clone() }, "do not cover");
    refused(&whole, TrainOptions { learn_log_scale: true, ..windows.clone() }, "gaussian_nll");
    refused(&whole, TrainOptions { loss: Loss::GaussianNll, ..windows }, "ln σ of every component");

    let mut start = random3(SERIES, TIMES, 2, 4);
    start[[1, 0, 0]] = f32::NAN;
    let error = DataSet::with_missing(&even, start.view()).expect_err("a missing start").to_string();
    assert!(error.contains("component 0 of series 1 is missing"), "{error}");
}
