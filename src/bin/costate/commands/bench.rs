//! `costate bench`: throughput of solves and gradients over the batch size, and what else is varied.

mod arrange;
mod compare;
mod measure;
mod progress;
mod scaling;
mod show;
mod sweep;

use costate::{Adjoint, Error, Gpu, Method, Result};
use serde::Serialize;

use super::{Outcome, request};
use crate::cli::{Bench, Global, Phase};
use crate::output::Inputs;
use crate::{output, plots};
use arrange::{Arrange, Measured};
use compare::{Comparison, Earlier};
use measure::{Case, Row, Shape, Subject, can_go_on};
use progress::Progress;
use scaling::{Scaling, scaling};
use sweep::{Axis, Series, base, sweeps};

/// Names of the files of a run.
const REPORT: &str = "bench.json";
const PLOT: &str = "throughput.svg";

/// A measurement that was not made; one of a method without that adjoint would have no batch, no phase and no shape.
#[derive(Clone, Debug, Serialize)]
struct LeftOut {
    batch: Option<usize>,
    state: Option<usize>,
    hidden: Option<Vec<usize>>,
    method: String,
    adjoint: String,
    steps: Option<usize>,
    phase: Option<Phase>,
    reason: String,
}

/// What a bench found; its keys are a promise.
#[derive(Serialize)]
struct Results<'a> {
    version: &'static str,
    commit: &'static str,
    date: String,
    adapter: &'a str,
    driver: &'a str,
    repeats: usize,
    warmup: usize,
    peak_gflops: Option<f64>,
    peak_gigabytes_per_second: Option<f64>,
    results: Vec<Row>,
    left_out: Vec<LeftOut>,
    tuning: Vec<Measured>,
    scaling: Vec<Scaling>,
    compared: Option<Comparison>,
}

/// Measures, prints and, if asked to, writes files.
pub(crate) fn run(args: &Bench, global: &Global) -> Result<Outcome> {
    base(args).check(args.activation)?;
    let sweeps = sweeps(args)?;
    let earlier = args.compare.as_deref().map(Earlier::read).transpose()?;
    let mut left_out = Vec::new();
    let cases = cases(args, &mut left_out)?;
    let folder = args.out.as_deref().map(output::make_folder).transpose()?;
    if let Some(folder) = &folder {
        let outputs = [REPORT, PLOT].map(|name| folder.join(name));
        let inputs = Inputs::default().and("--compare", args.compare.as_deref());
        output::check_files(&outputs.each_ref().map(|path| path.as_path()), &inputs, global.json)?;
    }
    let gpu = Gpu::new(&request(global))?;
    if args.profile && !gpu.has_timestamps() {
        output::warn(&format!("{} has no timestamps: --profile has nothing to show", gpu.adapter()));
    }
    let of_a_case = args.batch.0.len() + sweeps.iter().map(|(_, shapes)| shapes.len()).sum::<usize>();
    let progress = Progress::new(cases.len() * of_a_case);
    let arrange = Arrange::new(args);
    let (rows, series) = (Vec::new(), Vec::new());
    let mut bench = Run { args, gpu: &gpu, arrange, progress, rows, series, left_out, refused: None };
    let broken = cases.iter().try_for_each(|case| bench.case(*case, &sweeps)).err();
    bench.progress.end();
    let Run { rows: mut results, series, left_out, refused, arrange, .. } = bench;
    let tuning = arrange.end();
    if let (true, Some(error)) = (results.is_empty() && broken.is_none(), refused) {
        return Err(error);
    }
    let compared = earlier.map(|earlier| earlier.compare(gpu.adapter(), gpu.driver(), &mut results));
    compared.iter().flat_map(|c| &c.warnings).for_each(|w| output::warn(w));
    let results = Results {
        version: env!("CARGO_PKG_VERSION"),
        commit: env!("COSTATE_COMMIT"),
        date: output::now(),
        adapter: gpu.adapter(),
        driver: gpu.driver(),
        repeats: args.repeats,
        warmup: args.warmup,
        peak_gflops: args.peak,
        peak_gigabytes_per_second: args.peak_bandwidth,
        scaling: scaling(&results, &series),
        results,
        left_out,
        tuning,
        compared,
    };
    if let Some(folder) = folder {
        output::write_json(&folder.join(REPORT), &results)?;
        plots::throughput(&folder.join(PLOT), &curves(&results.results, &series))?;
    }
    if global.json {
        output::print_json(&results)?;
    } else if !results.results.is_empty() {
        output::print(&show::text(&results, &series))?;
    }
    // What was measured before is out by now.
    if let Some(error) = broken {
        return Err(error);
    }
    if results.results.is_empty() {
        return Ok(Outcome::Failed("no batch fits the device; use smaller ones".into()));
    }
    Ok(Outcome::Done)
}

/// What is measured for every batch; adjoints that a method does not have are left out.
///
/// A solve has no adjoint: it is measured with the first one, and in fixed point too if the exact one is among them.
fn cases(args: &Bench, left_out: &mut Vec<LeftOut>) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    let single = args.method.len() * args.adjoint.len() == 1;
    for &method in &args.method {
        let mut adjoints: Vec<Adjoint> = Vec::new();
        for &adjoint in &args.adjoint {
            match adjoint.resolve(method) {
                Err(e) if single => return Err(e),
                Err(e) => {
                    output::warn(&format!("{method} with {adjoint} is left out: {e}"));
                    left_out.push(LeftOut::of(method, adjoint, &e));
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
            cases.extend(phases.map(|&phase| Case { method, adjoint: *adjoint, phase }));
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

impl LeftOut {
    fn of(method: Method, adjoint: Adjoint, reason: &Error) -> Self {
        Self {
            batch: None,
            state: None,
            hidden: None,
            method: method.to_string(),
            adjoint: adjoint.to_string(),
            steps: None,
            phase: None,
            reason: reason.to_string(),
        }
    }
}

/// A bench under way.
struct Run<'a> {
    args: &'a Bench,
    gpu: &'a Gpu,
    arrange: Arrange,
    progress: Progress,
    rows: Vec<Row>,
    series: Vec<Series>,
    left_out: Vec<LeftOut>,
    /// Why the first base that could not be built was refused.
    refused: Option<Error>,
}

impl Run<'_> {
    /// All batches with the base, then every sweep with the largest batch that could be measured.
    fn case(&mut self, case: Case, sweeps: &[(Axis, Vec<Shape>)]) -> Result<()> {
        let base = base(self.args);
        let mut batches = Vec::new();
        match Subject::new(self.args, self.gpu, case, base.clone()) {
            Ok(mut subject) => {
                for &batch in &self.args.batch.0 {
                    batches.extend(self.point(&mut subject, case, &base, batch)?);
                }
            }
            Err(e) if can_go_on(&e) => {
                self.leave_out(case, &base, None, &e);
                self.progress.done(self.args.batch.0.len());
                self.refused.get_or_insert(e);
            }
            Err(e) => return Err(e),
        }
        let largest = batches.iter().copied().max_by_key(|i| self.rows[*i].batch);
        self.series.push(Series { axis: Axis::Batch, rows: batches });
        for (axis, shapes) in sweeps {
            let Some(largest) = largest else {
                self.progress.done(shapes.len());
                continue;
            };
            let mut rows = Vec::new();
            for shape in shapes {
                if *shape == base {
                    // Measured already.
                    rows.push(largest);
                    self.progress.done(1);
                    continue;
                }
                rows.extend(self.swept(case, shape, self.rows[largest].batch)?);
            }
            self.series.push(Series { axis: *axis, rows });
        }
        Ok(())
    }

    fn swept(&mut self, case: Case, shape: &Shape, batch: usize) -> Result<Option<usize>> {
        match Subject::new(self.args, self.gpu, case, shape.clone()) {
            Ok(mut subject) => self.point(&mut subject, case, shape, batch),
            Err(e) if can_go_on(&e) => {
                self.leave_out(case, shape, Some(batch), &e);
                self.progress.done(1);
                Ok(None)
            }
            Err(e) => Err(e),
        }
    }

    /// One measurement, by its place in the results; none if it had to be left out.
    fn point(&mut self, subject: &mut Subject<'_>, case: Case, shape: &Shape, batch: usize) -> Result<Option<usize>> {
        let Case { method, adjoint, phase } = case;
        self.progress.begin(format!("batch {batch}, {method}, {adjoint}"));
        let measured = subject.measure(batch, &mut self.arrange, &self.progress);
        self.progress.done(1);
        match measured {
            Ok(row) => {
                tracing::info!(batch, %method, %adjoint, ?phase, ?shape, seconds = row.seconds, "measured");
                self.rows.push(row);
                Ok(Some(self.rows.len() - 1))
            }
            Err(e) if can_go_on(&e) => {
                self.leave_out(case, shape, Some(batch), &e);
                Ok(None)
            }
            Err(e) => Err(e),
        }
    }

    fn leave_out(&mut self, case: Case, shape: &Shape, batch: Option<usize>, reason: &Error) {
        let Case { method, adjoint, phase } = case;
        let what = batch.map_or("every batch".to_owned(), |batch| format!("batch {batch}"));
        let shaped = if *shape == base(self.args) {
            String::new()
        } else {
            format!(" (state {}, hidden {:?}, {} steps)", shape.state, shape.hidden, shape.steps)
        };
        self.progress
            .aside(|| output::warn(&format!("{what} with {method} and {adjoint}{shaped} is left out: {reason}")));
        self.left_out.push(LeftOut {
            batch,
            state: Some(shape.state),
            hidden: Some(shape.hidden.clone()),
            steps: Some(shape.steps),
            phase: Some(phase),
            ..LeftOut::of(method, adjoint, reason)
        });
    }
}

/// Throughput over the batch size, one curve for each case.
fn curves(rows: &[Row], series: &[Series]) -> Vec<(String, Vec<(f64, f64)>)> {
    let mut curves = Vec::new();
    for series in series.iter().filter(|s| s.axis == Axis::Batch) {
        let mut along: Vec<&Row> = series.rows.iter().map(|i| &rows[*i]).collect();
        along.sort_by_key(|row| row.batch);
        let points = along.iter().map(|r| (r.batch as f64, r.trajectory_steps_per_second)).collect();
        curves.extend(along.first().map(|row| (row.label(), points)));
    }
    curves
}
