//! Bytes on the device over the number of steps, from the plan alone.

use costate::{Activation, Adjoint, Error, Gpu, Method, Mlp, NeuralOde, TimeGrid};
use serde::Serialize;

use crate::Result;
use crate::figure::{Axis, Curve, Figure, Panel, Value};
use crate::output::{Output, print};
use crate::problems::Way;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Trajectories of the plot.
    #[arg(long, default_value_t = 4096)]
    batch: usize,
    /// Components of the state.
    #[arg(long, default_value_t = 2)]
    dim: usize,
    /// Units of both hidden layers.
    #[arg(long, default_value_t = 64)]
    width: usize,
}

/// One plan.
#[derive(Clone, Serialize)]
struct Row {
    method: String,
    adjoint: String,
    batch: usize,
    steps: usize,
    evaluations: usize,
    bytes: u64,
    /// True if the device could not hold it, and the bytes are those of shorter runs drawn out in a straight line.
    extrapolated: bool,
}

/// Ways and the evaluations of their steps.
fn ways() -> [(Way, usize, &'static str); 5] {
    use Adjoint::{Backsolve, Checkpointed, Exact, Stored};
    [
        (Way::new(Method::Rk4, Stored), 4, "rk4 stored"),
        (Way::new(Method::BlanesMoan4, Stored), 12, "blanes_moan4 stored"),
        (Way::new(Method::Rk4, Checkpointed), 4, "rk4 checkpointed"),
        (Way::new(Method::Rk4, Backsolve), 4, "rk4 backsolve (inexact)"),
        (Way::new(Method::BlanesMoan4, Exact), 12, "blanes_moan4 exact"),
    ]
}

pub(crate) fn run(gpu: &Gpu, output: &Output, options: &Options) -> Result<()> {
    let mut rows = Vec::new();
    let mut curves = Vec::new();
    for (i, (way, evaluations, label)) in ways().into_iter().enumerate() {
        let mut points = Vec::new();
        for steps in [12, 30, 60, 120, 300, 600, 1200, 3000, 6000, 12_000, 30_000, 60_000, 120_000] {
            let row = plan(gpu, options, options.batch, way, evaluations, 4 * steps)?;
            points.push((row.evaluations as f64, Value::At(row.bytes as f64)));
            rows.push(row);
        }
        curves.push(Curve::new(i, label, points));
    }
    // What autograd would keep, for the eye: computed, not planned.
    let tape = |e: f64| Value::At(e * (tape_bytes(options) * options.batch) as f64);
    let ends = [48.0, 480_000.0].map(|e| (e, tape(e))).into();
    let label = format!("activations on a tape, {} B per evaluation and trajectory (computed)", tape_bytes(options));
    curves.push(Curve { mark: None, dashed: true, ..Curve::new(6, label, ends) });
    let shape = format!("{0}-{1}-{1}-{0}", options.dim, options.width);
    let figure = Figure {
        title: format!("device memory of loss and gradient, {} trajectories, {shape}", options.batch),
        width: 760.0,
        x: Axis::log("evaluations of the field, forward"),
        y: Axis::log("bytes on the device"),
        panels: vec![Panel { title: String::new(), curves }],
    };
    output.plot("exactness-memory", &figure)?;
    table(&format!("{} trajectories, {shape}", options.batch), &rows);
    words_per_trajectory(gpu, options)?;
    let example = seed_example(gpu, options)?;
    rows.extend(example);
    output.write("exactness-memory", &rows)
}

/// What a trajectory costs, buffer by buffer; what does not grow with the batch is left out.
fn words_per_trajectory(gpu: &Gpu, options: &Options) -> Result<()> {
    let mut cells = Vec::new();
    for (way, evaluations, label) in ways().into_iter().filter(|(w, ..)| !w.adjoint.keeps_states()) {
        let plan = |batch: usize| ode(gpu, options, way, 1200 / evaluations)?.memory_plan(batch);
        let [small, large] = [plan(1 << 15)?, plan(1 << 16)?];
        for (slot, bytes) in large.entries() {
            let words = (bytes - small.bytes(*slot)) as f64 / f64::from(4 << 15);
            if words >= 0.05 {
                cells.push(vec![label.to_owned(), format!("{slot:?}"), format!("{words:.1}")]);
            }
        }
    }
    let header = ["", "buffer", "words per trajectory"].map(String::from);
    print(&format!("dim {}, one save time", options.dim), &header, &cells);
    Ok(())
}

/// "A GPU with 40 GB, and each evaluation consumes 1 GB through the activation storage": the batch for which it does, if a
/// tape keeps what the products with the Jacobian need, the input of every layer, and what the adjoints need for it.
fn seed_example(gpu: &Gpu, options: &Options) -> Result<Vec<Row>> {
    let kept = tape_bytes(options);
    let batch = 1_000_000_000 / kept;
    println!("\na tape keeps {kept} B per evaluation and trajectory: 1 GB per evaluation for {batch} trajectories");
    let mut rows = Vec::new();
    for (way, evaluations, _) in ways() {
        for total in [48, 480, 4800, 48_000] {
            rows.push(plan(gpu, options, batch, way, evaluations, total)?);
        }
    }
    table(&format!("{batch} trajectories; the tape needs 1 GB per evaluation"), &rows);
    Ok(rows)
}

/// The input of every layer.
fn tape_bytes(options: &Options) -> usize {
    4 * (options.dim + 2 * options.width)
}

fn ode(gpu: &Gpu, options: &Options, way: Way, steps: usize) -> costate::Result<NeuralOde> {
    let field = Mlp::builder(options.dim).hidden(&[options.width; 2], Activation::Tanh).build()?;
    let builder = NeuralOde::builder(field, TimeGrid::uniform(0.0, 1.0, steps)?);
    builder.method(way.method).adjoint(way.adjoint).build(gpu)
}

fn plan(gpu: &Gpu, options: &Options, batch: usize, way: Way, per_step: usize, evaluations: usize) -> Result<Row> {
    let bytes =
        |steps: usize| -> costate::Result<u64> { Ok(ode(gpu, options, way, steps)?.memory_plan(batch)?.total_bytes()) };
    let steps = evaluations / per_step;
    let (bytes, extrapolated) = match bytes(steps) {
        Ok(bytes) => (bytes, false),
        // The stored adjoint grows by the same for every step.
        Err(Error::LimitExceeded { .. }) if way.adjoint == Adjoint::Stored => {
            let [one, two] = [bytes(1)?, bytes(2)?];
            (one + (two - one) * (steps as u64 - 1), true)
        }
        Err(error) => return Err(error.into()),
    };
    let (method, adjoint) = (way.method.to_string(), way.adjoint.to_string());
    Ok(Row { method, adjoint, batch, steps, evaluations, bytes, extrapolated })
}

fn table(title: &str, rows: &[Row]) {
    let header = ["", "steps", "evaluations", "MB on the device", ""].map(String::from);
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|r| {
            let note = if r.extrapolated { "more than the device has" } else { "" };
            let megabytes = format!("{:.1}", r.bytes as f64 / 1e6);
            let numbers = [r.steps.to_string(), r.evaluations.to_string(), megabytes, note.into()];
            std::iter::once(format!("{} {}", r.method, r.adjoint)).chain(numbers).collect()
        })
        .collect();
    print(title, &header, &cells);
}
