//! Loss curves of training with stored, exact and backsolve gradients.
//!
//! The data are linear spirals onto the origin: the faster they contract, the less of x(t0) is left in x(t1) for backsolve
//! to find. Everything but the gradient is the same: evaluations, data, start, optimiser.

use costate::reference::{self, Field};
use costate::train::{DataSet, Record, Steps, TrainOptions, Trainer};
use costate::{Activation, Adjoint, Gpu, Init, Method, Mlp, Parameters, TimeGrid};
use ndarray::Array3;
use serde::Serialize;

use crate::Result;
use crate::figure::{Axis, Curve, Figure, Panel, Value};
use crate::output::{Output, median, print};
use crate::problems::{Way, random2, to_f64, values};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Rates of contraction.
    #[arg(long, value_delimiter = ',', default_values_t = [0.5, 1.0, 2.0])]
    rate: Vec<f64>,
    /// The rate of the plot; its learning rate is the last one.
    #[arg(long, default_value_t = 1.0)]
    plot_rate: f64,
    /// Starts, each with its own data.
    #[arg(long, default_value_t = 5)]
    seeds: u64,
    /// Iterations.
    #[arg(long, default_value_t = 400)]
    iterations: u64,
    /// Learning rates of Adam.
    #[arg(long, value_delimiter = ',', default_values_t = [0.01, 0.02])]
    learning_rate: Vec<f64>,
    /// End of the series.
    #[arg(long, default_value_t = 10.0)]
    t1: f64,
    /// Initial states are uniform in ± this.
    #[arg(long, default_value_t = 2.0)]
    range: f32,
    /// Angular frequency of the spiral.
    #[arg(long, default_value_t = 0.5)]
    turn: f64,
    /// Evaluations between neighbouring save times, a multiple of 12.
    #[arg(long, default_value_t = 24)]
    evaluations: usize,
}

const SERIES: usize = 64;
const TIMES: usize = 10;

/// What is left of the loss after one run, and how far off its reconstructions were.
#[derive(Clone, Serialize)]
struct Row {
    learning_rate: f64,
    rate: f64,
    seed: u64,
    method: String,
    adjoint: String,
    /// Of the trained field, solved in f64.
    final_loss: f64,
    largest_drift: f64,
    /// Updates that were left out since the gradient was not finite.
    skipped: usize,
}

/// A point of a curve in the plot.
#[derive(Serialize)]
struct Point {
    seed: u64,
    method: String,
    adjoint: String,
    iteration: u64,
    loss: f64,
    drift: f64,
}

struct Run {
    way: usize,
    row: Row,
    records: Vec<Record>,
}

fn ways() -> [(Way, usize, &'static str); 3] {
    [
        (Way::new(Method::Rk4, Adjoint::Stored), 4, "rk4 stored"),
        (Way::new(Method::BlanesMoan4, Adjoint::Exact), 12, "blanes_moan4 exact"),
        (Way::new(Method::Rk4, Adjoint::Backsolve), 4, "rk4 backsolve"),
    ]
}

pub(crate) fn run(gpu: &Gpu, output: &Output, options: &Options) -> Result<()> {
    let mut runs = Vec::new();
    for (learning_rate, rate) in cases(options) {
        for seed in 0..options.seeds {
            for way in 0..ways().len() {
                let run = train(gpu, options, (learning_rate, rate), seed, way)?;
                eprintln!("{learning_rate}, rate {rate}, seed {seed}, {}: {:.3e}", ways()[way].2, run.row.final_loss);
                runs.push(run);
            }
        }
    }
    show(options, &runs);
    output.plot("exactness-training", &figure(options, &runs))?;
    output.write("exactness-training", &runs.iter().map(|r| r.row.clone()).collect::<Vec<_>>())?;
    let plotted = runs.iter().filter(|r| r.case() == options.plotted());
    output.write("exactness-training-curves", &plotted.flat_map(points).collect::<Vec<_>>())
}

/// Learning rates of Adam and rates of contraction.
fn cases(options: &Options) -> Vec<(f64, f64)> {
    options.learning_rate.iter().flat_map(|l| options.rate.iter().map(|r| (*l, *r))).collect()
}

impl Options {
    /// The case of the plot.
    fn plotted(&self) -> (f64, f64) {
        (self.learning_rate.last().copied().unwrap_or_default(), self.plot_rate)
    }
}

impl Run {
    fn case(&self) -> (f64, f64) {
        (self.row.learning_rate, self.row.rate)
    }
}

/// Every tenth iteration.
fn points(run: &Run) -> Vec<Point> {
    let point = |record: &Record| Point {
        seed: run.row.seed,
        method: run.row.method.clone(),
        adjoint: run.row.adjoint.clone(),
        iteration: record.iteration,
        loss: record.loss.into(),
        drift: record.drift_max.into(),
    };
    run.records.iter().step_by(10).map(point).collect()
}

fn train(gpu: &Gpu, options: &Options, (learning_rate, rate): (f64, f64), seed: u64, way: usize) -> Result<Run> {
    let data = data(options, rate, seed)?;
    let field = Mlp::builder(2).hidden(&[50], Activation::Tanh).build()?;
    let theta = Parameters::init(&field, Init::Xavier, seed)?;
    let (Way { method, adjoint, options: adjoint_options }, per_step, _) = ways()[way];
    let train = TrainOptions {
        batch: SERIES,
        iterations: options.iterations,
        learning_rate,
        method,
        adjoint,
        adjoint_options,
        steps: Steps::PerInterval(options.evaluations / per_step),
        ..TrainOptions::default()
    };
    let mut trainer = Trainer::new(gpu, &theta, &data, train)?;
    trainer.advance(options.iterations)?;
    let records = trainer.finish()?;
    let skipped = |r: &&Record| r.skipped.is_some();
    let row = Row {
        learning_rate,
        rate,
        seed,
        method: method.to_string(),
        adjoint: adjoint.to_string(),
        final_loss: final_loss(&trainer.parameters()?, &data)?,
        largest_drift: records.iter().fold(0.0_f32, |m, r| m.max(r.drift_max)).into(),
        skipped: records.iter().filter(skipped).count(),
    };
    Ok(Run { way, row, records })
}

/// Spirals dx/dt = −rate x + turn J x from random points, in closed form.
fn data(options: &Options, rate: f64, seed: u64) -> Result<DataSet> {
    let x0 = random2(SERIES, 2, 100 + seed)? * options.range;
    let times: Vec<f64> = (0..=TIMES).map(|i| options.t1 * i as f64 / TIMES as f64).collect();
    #[expect(clippy::cast_possible_truncation, reason = "the data set is f32")]
    let values = Array3::from_shape_fn((SERIES, TIMES + 1, 2), |(s, i, c)| {
        let [x, y] = [f64::from(x0[[s, 0]]), f64::from(x0[[s, 1]])];
        let (sin, cos) = (options.turn * times[i]).sin_cos();
        let turned = if c == 0 { cos * x + sin * y } else { cos * y - sin * x };
        ((-rate * times[i]).exp() * turned) as f32
    });
    Ok(DataSet::new(&times, values.view())?)
}

/// The mean squared error of the trained field in f64, the same fine solution for all.
fn final_loss(theta: &Parameters, data: &DataSet) -> Result<f64> {
    let values = values(theta);
    let field = Field::new(theta.field(), &values)?;
    let times = data.times();
    let grid = TimeGrid::with_steps(times[0], &times[1..], times[TIMES], 20)?;
    let states = reference::solve(Method::Dopri5, &field, &grid, to_f64(&data.initial_states()).view())?;
    let mut sum = 0.0;
    for ((i, s, c), x) in states.indexed_iter() {
        sum += (x - f64::from(data.values()[[s, i + 1, c]])).powi(2);
    }
    Ok(sum / states.len() as f64)
}

fn show(options: &Options, runs: &[Run]) {
    let header = ["Adam", "rate", "way", "final loss (median)", "least", "largest", "largest drift", "skipped updates"];
    let mut cells = Vec::new();
    for (learning_rate, rate) in cases(options) {
        for (way, (_, _, label)) in ways().iter().enumerate() {
            let these = || runs.iter().filter(|r| (r.case(), r.way) == ((learning_rate, rate), way)).map(|r| &r.row);
            let losses: Vec<f64> = these().map(|r| r.final_loss).collect();
            cells.push(vec![
                learning_rate.to_string(),
                rate.to_string(),
                (*label).to_owned(),
                format!("{:.2e}", median(losses.clone())),
                format!("{:.2e}", losses.iter().copied().fold(f64::INFINITY, f64::min)),
                format!("{:.2e}", losses.iter().copied().fold(0.0, f64::max)),
                format!("{:.1e}", these().fold(0.0_f64, |m, r| m.max(r.largest_drift))),
                these().map(|r| r.skipped).sum::<usize>().to_string(),
            ]);
        }
    }
    let title = format!("loss after {} iterations, {} seeds, field solved in f64", options.iterations, options.seeds);
    print(&title, &header.map(String::from), &cells);
}

/// Every run pale, their median on top.
fn figure(options: &Options, runs: &[Run]) -> Figure {
    let case = options.plotted();
    let mut curves = Vec::new();
    for (way, (_, _, label)) in ways().iter().enumerate() {
        let these = || runs.iter().filter(|r| (r.case(), r.way) == (case, way));
        let points = |losses: &mut dyn Iterator<Item = (u64, f64)>| -> Vec<(f64, Value)> {
            let value = |loss: f64| if loss.is_finite() { Value::At(loss) } else { Value::Failed };
            losses.map(|(i, loss)| (i as f64, value(loss))).collect()
        };
        let curve = |label: &str, faint: bool, points| Curve {
            mark: None,
            faint,
            dashed: way == 1 && !faint,
            ..Curve::new(way, label, points)
        };
        // Those of the exact gradient lie on those of stored states.
        for run in these().filter(|r| ways()[r.way].0.adjoint != Adjoint::Exact) {
            let mut losses = run.records.iter().map(|r| (r.iteration, f64::from(r.loss)));
            curves.push(curve("", true, points(&mut losses)));
        }
        let at = |i: u64| -> Vec<f64> {
            let of = |r: &Run| r.records.iter().find(|record| record.iteration == i).map(|r| f64::from(r.loss));
            these().filter_map(of).collect()
        };
        let mut medians = (0..options.iterations).map(|i| (i, median(at(i))));
        curves.push(curve(label, false, points(&mut medians)));
    }
    Figure {
        title: format!("training on spirals that contract at rate {}, T = {}, Adam at {}", case.1, options.t1, case.0),
        width: 760.0,
        x: Axis::linear("iteration"),
        y: Axis::log("loss (mean squared error)"),
        panels: vec![Panel { title: format!("(median of {} starts; pale: each of them)", options.seeds), curves }],
    }
}
