//! `costate bench`: throughput of solves and gradients over the batch size.

use costate::{Adjoint, Error, Gpu, Init, Method, Mlp, NeuralOde, Parameters, Report, Result, TimeGrid};
use ndarray::{Array2, Array3};
use rand::SeedableRng;
use rand_distr::{Distribution, StandardNormal};
use rand_pcg::Pcg64;
use serde::Serialize;

use super::{Outcome, request};
use crate::cli::{Bench, Global, Phase};
use crate::{output, plots};

/// One measurement; its keys are a promise.
#[derive(Clone, Debug, Serialize)]
struct Row {
    batch: usize,
    state: usize,
    hidden: Vec<usize>,
    activation: String,
    method: String,
    adjoint: String,
    steps: usize,
    phase: Phase,
    seconds: f64,
    trajectory_steps_per_second: f64,
    gflops: f64,
    device_bytes: u64,
}

/// A measurement that was not made; one of a method without that adjoint would have no batch and no phase.
#[derive(Clone, Debug, Serialize)]
struct LeftOut {
    batch: Option<usize>,
    method: String,
    adjoint: String,
    phase: Option<Phase>,
    reason: String,
}

#[derive(Serialize)]
struct Results<'a> {
    adapter: &'a str,
    driver: &'a str,
    repeats: usize,
    results: Vec<Row>,
    left_out: Vec<LeftOut>,
}

/// Measures, prints and, if asked to, writes files.
pub(crate) fn run(args: &Bench, global: &Global) -> Result<Outcome> {
    let field = Mlp::builder(args.state).hidden(&args.hidden.0, args.activation).build()?;
    TimeGrid::uniform(0.0, 1.0, args.steps)?;
    let mut left_out = Vec::new();
    let cases = cases(args, &mut left_out)?;
    let folder = args.out.as_deref().map(output::make_folder).transpose()?;
    let gpu = Gpu::new(&request(global))?;
    let theta = Parameters::init(&field, Init::Torch, 0)?;
    let mut results = Vec::new();
    for (method, adjoint, phase) in cases {
        let case = Case { args, theta: &theta, method, adjoint, phase };
        let grid = TimeGrid::uniform(0.0, 1.0, args.steps)?;
        let ode = NeuralOde::builder(field.clone(), grid).method(method).adjoint(adjoint).build(&gpu)?;
        for &batch in &args.batch {
            match case.measure(&ode, batch) {
                Ok(row) => {
                    tracing::info!(batch, %method, %adjoint, ?phase, seconds = row.seconds, "measured");
                    results.push(row);
                }
                Err(e @ (Error::LimitExceeded { .. } | Error::OutOfMemory { .. })) => {
                    let reason = e.to_string();
                    output::warn(&format!("batch {batch} with {method} and {adjoint} is left out: {reason}"));
                    left_out.push(LeftOut {
                        batch: Some(batch),
                        method: method.to_string(),
                        adjoint: adjoint.to_string(),
                        phase: Some(phase),
                        reason,
                    });
                }
                Err(e) => return Err(e),
            }
        }
    }
    let results = Results { adapter: gpu.adapter(), driver: gpu.driver(), repeats: args.repeats, results, left_out };
    if let Some(folder) = folder {
        output::write_json(&folder.join("bench.json"), &results)?;
        plots::throughput(&folder.join("throughput.svg"), &curves(&results.results))?;
    }
    show(global, &results)?;
    if results.results.is_empty() {
        return Ok(Outcome::Failed("no batch fits the device; use smaller ones".into()));
    }
    Ok(Outcome::Done)
}

/// What is measured for every batch; adjoints that a method does not have are left out.
///
/// A solve has no adjoint: it is measured with the first one, and in fixed point too if the exact one is among them.
fn cases(args: &Bench, left_out: &mut Vec<LeftOut>) -> Result<Vec<(Method, Adjoint, Phase)>> {
    let mut cases = Vec::new();
    let single = args.method.len() * args.adjoint.len() == 1;
    for &method in &args.method {
        let mut adjoints: Vec<Adjoint> = Vec::new();
        for &adjoint in &args.adjoint {
            match adjoint.resolve(method) {
                Err(e) if single => return Err(e),
                Err(e) => {
                    let (method, adjoint, reason) = (method.to_string(), adjoint.to_string(), e.to_string());
                    output::warn(&format!("{method} with {adjoint} is left out: {reason}"));
                    left_out.push(LeftOut { batch: None, method, adjoint, phase: None, reason });
                }
                // An automatic one may be another of the list.
                Ok(adjoint) if adjoints.contains(&adjoint) => {}
                Ok(adjoint) => adjoints.push(adjoint),
            }
        }
        let is_fixed = |adjoint: &Adjoint| *adjoint == Adjoint::Exact;
        for (i, adjoint) in adjoints.iter().enumerate() {
            let new = !adjoints[..i].iter().any(|before| is_fixed(before) == is_fixed(adjoint));
            let phases = args.phase.iter().filter(|phase| new || **phase != Phase::Forward);
            cases.extend(phases.map(|&phase| (method, *adjoint, phase)));
        }
    }
    if cases.is_empty() {
        return Err(Error::Invalid {
            what: "--adjoint".into(),
            problem: "no method of the list has any of these".into(),
            remedy: "use auto, or stored, which every method has".into(),
        });
    }
    Ok(cases)
}

/// One curve of the benchmark.
struct Case<'a> {
    args: &'a Bench,
    theta: &'a Parameters,
    method: Method,
    adjoint: Adjoint,
    phase: Phase,
}

impl Case<'_> {
    /// The median of the repeats, after one run that compiles and allocates.
    fn measure(&self, ode: &NeuralOde, batch: usize) -> Result<Row> {
        // Refused before the host makes arrays of that size.
        match self.phase {
            Phase::Forward => ode.solve_memory_plan(batch)?,
            Phase::Gradient => ode.memory_plan(batch)?,
        };
        let mut rng = Pcg64::seed_from_u64(1);
        let x0 = Array2::from_shape_simple_fn((batch, self.args.state), || StandardNormal.sample(&mut rng));
        let targets = Array3::zeros((1, batch, self.args.state));
        let call = || -> Result<Report> {
            Ok(match self.phase {
                Phase::Forward => ode.solve(self.theta, x0.view())?.report,
                Phase::Gradient => ode.loss_and_gradient(self.theta, x0.view(), targets.view())?.report,
            })
        };
        let report = call()?;
        for warning in &report.warnings {
            output::warn(&format!("batch {batch} with {} and {}: {warning}", self.method, self.adjoint));
        }
        let mut seconds = (0..self.args.repeats).map(|_| Ok(call()?.seconds)).collect::<Result<Vec<f64>>>()?;
        seconds.sort_unstable_by(f64::total_cmp);
        let median = (seconds[seconds.len() / 2] + seconds[(seconds.len() - 1) / 2]) / 2.0;
        Ok(self.row(ode.field(), batch, median, &report))
    }

    fn row(&self, field: &Mlp, batch: usize, seconds: f64, report: &Report) -> Row {
        let evaluations = report.field_evaluations;
        // One product with the Jacobian for every evaluation forward; it counts as two evaluations.
        let products = if self.phase == Phase::Gradient { evaluations.forward } else { 0 };
        let units = (evaluations.forward + evaluations.reverse + 2 * products) as f64;
        let trajectories = batch as f64;
        Row {
            batch,
            state: self.args.state,
            hidden: self.args.hidden.0.clone(),
            activation: self.args.activation.to_string(),
            method: self.method.to_string(),
            adjoint: self.adjoint.to_string(),
            steps: self.args.steps,
            phase: self.phase,
            seconds,
            trajectory_steps_per_second: trajectories * self.args.steps as f64 / seconds,
            gflops: units * field.flops() as f64 * trajectories / seconds / 1e9,
            device_bytes: report.allocated_bytes,
        }
    }
}

/// The name of the curve that a row belongs to.
fn label(row: &Row) -> String {
    match row.phase {
        Phase::Forward if row.adjoint == Adjoint::Exact.name() => format!("{}, forward, fixed point", row.method),
        Phase::Forward => format!("{}, forward", row.method),
        Phase::Gradient => format!("{}, gradient, {}", row.method, row.adjoint),
    }
}

/// Rows of the same case are neighbours.
fn curves(rows: &[Row]) -> Vec<(String, Vec<(f64, f64)>)> {
    let curve = |rows: &[Row]| rows.iter().map(|r| (r.batch as f64, r.trajectory_steps_per_second)).collect();
    rows.chunk_by(|a, b| label(a) == label(b)).map(|rows| (label(&rows[0]), curve(rows))).collect()
}

fn show(global: &Global, results: &Results<'_>) -> Result<()> {
    if global.json {
        return output::print_json(results);
    }
    let Some(first) = results.results.first() else { return Ok(()) };
    let header = ["", "batch", "seconds", "trajectory-steps/s", "GFLOP/s", "device memory"];
    let rows = results.results.iter().map(|row| {
        [
            label(row),
            row.batch.to_string(),
            format!("{:.4}", row.seconds),
            output::prefixed(row.trajectory_steps_per_second),
            format!("{:.2}", row.gflops),
            output::bytes(row.device_bytes),
        ]
    });
    output::print(&format!(
        "state {}, hidden {:?}, {}, {} steps, on {} ({})\n\n{}",
        first.state,
        first.hidden,
        first.activation,
        first.steps,
        results.adapter,
        results.driver,
        output::table(header, 5, rows)
    ))
}
