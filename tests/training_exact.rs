//! Does training in constant memory learn what training with stored states learns, step for step?
//!
//! The two series of the README, by the same kicks with the same contraction, once with every state stored in f32, once
//! walked back in fixed point. Blind to other methods; tests/training.rs holds the loop against a host loop in f64.

mod common;

use common::{field, gpu, parameters};
use costate::io::{Scale, Series, Standardiser};
use costate::train::{DataSet, Record, Steps, TrainOptions, Trainer};
use costate::{Activation, Adjoint, AdjointOptions, Method, Parameters};

fn data(file: &str, scale: Scale) -> DataSet {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data").join(file);
    let series = Series::read(path).expect("a file of the repository");
    let scaling = Standardiser::fit(scale, &series.values).expect("values that can be scaled");
    let values = scaling.to_model(&series.values).expect("values that can be scaled");
    DataSet::new(&series.times, values.view()).expect("a data set")
}

fn train(theta: &Parameters, data: &DataSet, adjoint: Adjoint, base: &TrainOptions) -> Vec<Record> {
    let options = TrainOptions { adjoint, ..base.clone() };
    let mut trainer = Trainer::new(gpu(), theta, data, options).expect("a small run");
    trainer.advance(base.iterations).expect("a device");
    trainer.finish().expect("no word that differs")
}

#[test]
fn exact_learns_what_stored_learns_step_for_step() {
    let cases = [
        ("spiral", data("spiral.npz", Scale::None), 50, 10, 20, 0.03, 1),
        ("hare and lynx", data("hudson-bay-lynx-hare.csv", Scale::LogStandardise), 32, 6, 64, 0.01, 2),
    ];
    for (name, data, hidden, window, batch, learning_rate, steps) in cases {
        let theta = parameters(&field(2, &[hidden], Activation::Tanh, false), 7);
        let base = TrainOptions {
            batch,
            window,
            iterations: 400,
            learning_rate,
            method: Method::BlanesMoan4,
            steps: Steps::PerInterval(steps),
            // The same contraction for both: with stored states it is not the default.
            adjoint_options: AdjointOptions { log_words: Some(4), ..AdjointOptions::default() },
            ..TrainOptions::default()
        };
        let [stored, exact] = [Adjoint::Stored, Adjoint::Exact].map(|adjoint| train(&theta, &data, adjoint, &base));
        let apart = |range: std::ops::Range<usize>| {
            let pairs = stored[range.clone()].iter().zip(&exact[range]);
            pairs.map(|(s, e)| (f64::from(s.loss) - f64::from(e.loss)).abs() / f64::from(s.loss)).fold(0.0, f64::max)
        };
        let mean = |records: &[Record]| records.iter().map(|r| f64::from(r.loss)).sum::<f64>() / records.len() as f64;
        let last = |records: &[Record]| mean(&records[380..]);
        let (first, later) = (apart(0..30), apart(30..400));
        println!(
            "{name}: {first:.1e} apart in 30 iterations, {later:.1e} later, {:.3e} and {:.3e} at the end",
            last(&stored),
            last(&exact)
        );
        // Each update repeats the rounding of a gradient, 1e-6, and later updates see it magnified.
        assert!(first < 1e-4, "{name}: losses are {first:e} apart in the first iterations");
        assert!(later < 1e-3, "{name}: losses are {later:e} apart");
        assert!(last(&exact) < 0.5 * mean(&exact[..20]), "{name}: nothing was learned: {}", last(&exact));
        // Words come back, or an update would be skipped; the drift is the rounding of x0 to the points of the whole data.
        assert!(exact.iter().all(|r| r.trajectories as usize == batch && r.skipped.is_none()), "{name}: all come back");
    }
}
