//! Wall time of loss and gradient. Ways take turns, so that what else the machine does hits them alike.

use costate::{Activation, Adjoint, Gpu, Init, Method, Mlp, NeuralOde, Parameters, TimeGrid};
use ndarray::Array3;
use serde::Serialize;

use crate::Result;
use crate::figure::{Bar, bars};
use crate::output::{Output, median, print};
use crate::problems::{Way, random2};

const WIDTH: usize = 64;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Batches.
    #[arg(long, value_delimiter = ',', default_values_t = [256, 4096])]
    batch: Vec<usize>,
    /// Rounds; each measures every way once.
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// Evaluations forward, a multiple of 12.
    #[arg(long, default_value_t = 120)]
    evaluations: usize,
}

#[derive(Clone, Serialize)]
struct Row {
    method: String,
    adjoint: String,
    batch: usize,
    steps: usize,
    evaluations_forward: u64,
    evaluations_reverse: u64,
    seconds: f64,
    /// To the same method with stored states, in the same round.
    to_stored: f64,
    /// To rk4 with stored states, in the same round.
    to_rk4_stored: f64,
    device_bytes: u64,
}

fn ways() -> Vec<(Way, usize)> {
    use Adjoint::{Backsolve, Checkpointed, Exact, Reversible, Stored};
    let mut ways = Vec::new();
    let mut add = |method, per_step, adjoints: &[Adjoint]| {
        ways.extend(adjoints.iter().map(|a| (Way::new(method, *a), per_step)));
    };
    add(Method::Rk4, 4, &[Stored, Checkpointed, Backsolve]);
    add(Method::BlanesMoan4, 12, &[Stored, Checkpointed, Reversible, Exact]);
    add(Method::Strang, 2, &[Stored, Checkpointed, Reversible, Exact]);
    ways
}

pub(crate) fn run(gpu: &Gpu, output: &Output, options: &Options) -> Result<()> {
    let mut rows = Vec::new();
    for &batch in &options.batch {
        rows.extend(measure(gpu, options, batch)?);
    }
    let header = ["", "batch", "N", "evaluations", "going back", "seconds", "to stored", "to rk4 stored", "device MB"];
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|r| {
            vec![
                format!("{} {}", r.method, r.adjoint),
                r.batch.to_string(),
                r.steps.to_string(),
                r.evaluations_forward.to_string(),
                r.evaluations_reverse.to_string(),
                format!("{:.4}", r.seconds),
                format!("{:.2}", r.to_stored),
                format!("{:.2}", r.to_rk4_stored),
                format!("{:.1}", r.device_bytes as f64 / 1e6),
            ]
        })
        .collect();
    let title = format!("loss and gradient, 2-{WIDTH}-{WIDTH}-2 tanh, medians of {} rounds", options.rounds);
    print(&title, &header.map(String::from), &cells);
    let groups: Vec<(String, Vec<Bar>)> = options
        .batch
        .iter()
        .map(|batch| {
            let of_batch = rows.iter().filter(|r| r.batch == *batch);
            let bar = |r: &Row| Bar {
                label: format!("{} {}", r.method, r.adjoint),
                colour: ["rk4", "blanes_moan4", "strang"].iter().position(|m| *m == r.method).unwrap_or(0),
                value: r.to_rk4_stored,
                note: format!("{:.2} ({} evaluations)", r.to_rk4_stored, r.evaluations_forward),
            };
            (format!("{batch} trajectories"), of_batch.map(bar).collect())
        })
        .collect();
    let title =
        format!("time of loss and gradient, {} evaluations forward and those of contractions", options.evaluations);
    output.plot_text("exactness-time", &bars(&title, "wall time, rk4 stored = 1", &groups))?;
    output.write("exactness-time", &rows)
}

fn measure(gpu: &Gpu, options: &Options, batch: usize) -> Result<Vec<Row>> {
    let field = Mlp::builder(2).hidden(&[WIDTH, WIDTH], Activation::Tanh).build()?;
    let theta = Parameters::init(&field, Init::Torch, 0)?;
    let x0 = random2(batch, 2, 1)?;
    let targets = Array3::zeros((1, batch, 2));
    let ways = ways();
    let mut problems = Vec::new();
    for (way, per_step) in &ways {
        let steps = options.evaluations / per_step;
        let builder = NeuralOde::builder(field.clone(), TimeGrid::uniform(0.0, 1.0, steps)?);
        problems.push(builder.method(way.method).adjoint(way.adjoint).build(gpu)?);
    }
    let call = |ode: &NeuralOde| ode.loss_and_gradient(&theta, x0.view(), targets.view());
    // Compiles and allocates.
    let reports = problems.iter().map(|ode| Ok(call(ode)?.report)).collect::<Result<Vec<_>>>()?;
    let mut seconds = vec![Vec::new(); ways.len()];
    for round in 0..options.rounds {
        eprintln!("batch {batch}, round {round}");
        for (ode, times) in problems.iter().zip(&mut seconds) {
            times.push(call(ode)?.report.seconds);
        }
    }
    let ratio = |i: usize, base: usize| median((0..options.rounds).map(|r| seconds[i][r] / seconds[base][r]).collect());
    let stored = |i: usize| {
        let same = |(w, _): &(Way, usize)| w.method == ways[i].0.method && w.adjoint == Adjoint::Stored;
        ways.iter().position(same).unwrap_or(0)
    };
    Ok((0..ways.len())
        .map(|i| Row {
            method: ways[i].0.method.to_string(),
            adjoint: ways[i].0.adjoint.to_string(),
            batch,
            steps: options.evaluations / ways[i].1,
            evaluations_forward: reports[i].field_evaluations.forward,
            evaluations_reverse: reports[i].field_evaluations.reverse,
            seconds: median(seconds[i].clone()),
            to_stored: ratio(i, stored(i)),
            to_rk4_stored: ratio(i, 0),
            device_bytes: reports[i].allocated_bytes,
        })
        .collect())
}
