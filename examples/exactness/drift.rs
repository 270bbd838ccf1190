//! Drift of the reconstruction, error of the solution and errors of both gradients, for every scheme.
//!
//! A random field at fixed T over the number of steps, and a contracting one at fixed h over T. The errors of gradients are
//! against the f64 twin of the same scheme with stored states, that of the solution against a fine solution in f64.

use costate::reference::{self, Field};
use costate::{Adjoint, AdjointOptions, Error, Gpu, Gradient, Method, NeuralOde, Parameters, TimeGrid};
use serde::Serialize;

use crate::Result;
use crate::figure::{Axis, Curve, Figure, Panel, Value};
use crate::output::{Output, print, scientific};
use crate::problems::{Way, contracting, four_looks, mild, random2, random3, relative, to_f64, twin, values};

const BATCH: usize = 4;
const WIDTH: usize = 64;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Components of the state.
    #[arg(long, default_value_t = 2)]
    dim: usize,
    /// Numbers of steps.
    #[arg(long, value_delimiter = ',', default_values_t = [10, 100, 1000, 10_000])]
    steps: Vec<usize>,
    /// Only schemes whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
    /// Seed of field and data.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Table {
    /// T = 2, h = 2/N.
    Random,
    /// h = 0.02, T = h N.
    Contracting,
}

impl Table {
    const fn name(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::Contracting => "contracting",
        }
    }

    fn t1(self, steps: usize) -> f64 {
        match self {
            Self::Random => 2.0,
            Self::Contracting => 0.02 * steps as f64,
        }
    }

    fn theta(self, options: &Options) -> Result<Parameters> {
        match self {
            Self::Random => mild(options.dim, WIDTH, options.seed),
            Self::Contracting => contracting(options.dim, WIDTH, options.seed),
        }
    }
}

/// A scheme of the table; schemes of a group share a panel.
struct Entry {
    label: String,
    group: usize,
    way: Way,
}

const GROUPS: [&str; 4] = ["stored", "backsolve", "published reversible schemes", "kicks"];

fn entries() -> Result<Vec<Entry>> {
    let mut all = Vec::new();
    let mut add = |group: usize, label: String, way: Way| all.push(Entry { label, group, way });
    use Method::{BlanesMoan4, Dopri5, Ees25, Ees27, Euler, Midpoint, Rk4, Strang};
    for method in [Rk4, Strang, BlanesMoan4] {
        add(0, format!("{method} stored"), Way::new(method, Adjoint::Stored));
    }
    for method in [Euler, Midpoint, Rk4, Dopri5, Ees25, Ees27] {
        add(1, format!("{method} backsolve"), Way::new(method, Adjoint::Backsolve));
    }
    let foster = |base, coupling| Method::mccallum_foster(base, coupling);
    let published = [
        Method::ReversibleHeun,
        Method::Alf,
        foster(Midpoint, 0.99)?,
        foster(Midpoint, 0.999)?,
        foster(Midpoint, 1.0)?,
        foster(Rk4, 0.999)?,
        foster(Rk4, 1.0)?,
    ];
    for method in published {
        add(2, method.to_string(), Way::new(method, Adjoint::Reversible));
    }
    for method in [Strang, BlanesMoan4] {
        add(3, format!("{method} f32 reversible"), Way::new(method, Adjoint::Reversible));
    }
    for method in [Strang, BlanesMoan4] {
        for words in [0, 4, 16] {
            add(3, format!("{method} exact, {words} words"), Way::exact(method, words));
        }
    }
    let options = AdjointOptions { two_words: true, log_words: Some(16), ..AdjointOptions::default() };
    let two = Way { options, ..Way::new(BlanesMoan4, Adjoint::Exact) };
    add(3, "blanes_moan4 exact, 16 words, 64 bit".into(), two);
    Ok(all)
}

/// One cell; its keys are the columns of the CSV.
#[derive(Clone, Serialize)]
struct Row {
    table: &'static str,
    scheme: String,
    group: &'static str,
    method: String,
    adjoint: String,
    log_words: Option<u32>,
    two_words: bool,
    dim: usize,
    steps: usize,
    t1: f64,
    evaluations: Option<u64>,
    /// `ok`, or what failed.
    outcome: String,
    /// The library's own warning.
    warned: bool,
    drift: Option<f64>,
    words_differing: Option<u64>,
    copy_difference: Option<f64>,
    forward_error: Option<f64>,
    theta_error: Option<f64>,
    x0_error: Option<f64>,
    seconds: Option<f64>,
}

pub(crate) fn run(gpu: &Gpu, output: &Output, options: &Options) -> Result<()> {
    let mut entries = entries()?;
    entries.retain(|e| e.label.contains(&options.only));
    let mut rows = Vec::new();
    for table in [Table::Random, Table::Contracting] {
        let first = rows.len();
        for &steps in &options.steps {
            let fine = fine(table, options, steps)?;
            for entry in &entries {
                let row = cell(gpu, table, options, entry, steps, &fine)?;
                eprintln!("{} N = {steps}, {}: {}", row.table, row.scheme, row.outcome);
                rows.push(row);
            }
        }
        show(table, options, &entries, &rows[first..]);
        plots(output, table, options, &entries, &rows[first..])?;
    }
    output.write(&format!("exactness-drift{}", suffix(options)), &rows)
}

fn suffix(options: &Options) -> String {
    if options.dim == 2 { String::new() } else { format!("-{}d", options.dim) }
}

/// x(t1) in f64, to far below the rounding of f32.
fn fine(table: Table, options: &Options, steps: usize) -> Result<ndarray::Array2<f64>> {
    let theta = table.theta(options)?;
    let values = values(&theta);
    let field = Field::new(theta.field(), &values)?;
    let grid = TimeGrid::uniform(0.0, table.t1(steps), steps.max(1000))?;
    let x0 = to_f64(&random2(BATCH, options.dim, options.seed + 20)?);
    let states = reference::solve(Method::Dopri5, &field, &grid, x0.view())?;
    Ok(states.index_axis(ndarray::Axis(0), 0).to_owned())
}

fn cell(
    gpu: &Gpu,
    table: Table,
    options: &Options,
    entry: &Entry,
    steps: usize,
    fine: &ndarray::Array2<f64>,
) -> Result<Row> {
    let theta = table.theta(options)?;
    let t1 = table.t1(steps);
    let grid = four_looks(t1, steps)?;
    let x0 = random2(BATCH, options.dim, options.seed + 20)?;
    let targets = random3(4, BATCH, options.dim, options.seed + 21)?;
    let way = entry.way;
    let ode = NeuralOde::builder(theta.field().clone(), grid.clone())
        .method(way.method)
        .adjoint(way.adjoint)
        .adjoint_options(way.options)
        .build(gpu)?;
    let mut row = Row {
        table: table.name(),
        scheme: entry.label.clone(),
        group: GROUPS[entry.group],
        method: way.method.to_string(),
        adjoint: way.adjoint.to_string(),
        log_words: way.options.log_words,
        two_words: way.options.two_words,
        dim: options.dim,
        steps,
        t1,
        evaluations: None,
        outcome: "ok".into(),
        warned: false,
        drift: None,
        words_differing: None,
        copy_difference: None,
        forward_error: None,
        theta_error: None,
        x0_error: None,
        seconds: None,
    };
    let gradient = match failure(ode.loss_and_gradient(&theta, x0.view(), targets.view()))? {
        Ok(gradient) => gradient,
        Err(what) => {
            row.outcome = what.into();
            return Ok(row);
        }
    };
    if let Ok(solution) = failure(ode.solve(&theta, x0.view()))? {
        let last = solution.states.index_axis(ndarray::Axis(0), 3).mapv(f64::from);
        let off = (&last - fine).iter().fold(0.0_f64, |m, e| if e.is_nan() { f64::NAN } else { m.max(e.abs()) });
        row.forward_error = Some(off).filter(|e| e.is_finite());
    }
    fill(&mut row, &gradient);
    if gradient.report.ok() == BATCH {
        let twin = twin(way, &theta, &grid, &x0, &targets)?;
        row.theta_error = relative(&gradient.theta, &twin.theta);
        row.x0_error = relative(&gradient.x0, twin.x0.iter());
    }
    Ok(row)
}

/// Failures that are results; others stay errors.
fn failure<T>(result: costate::Result<T>) -> Result<std::result::Result<T, &'static str>> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(Error::NonFinite { .. }) => Ok(Err("not finite")),
        Err(Error::NoneLeft { .. }) => Ok(Err("none left")),
        Err(Error::NotReversed { .. }) => Ok(Err("words differ")),
        Err(error) => Err(error.into()),
    }
}

fn fill(row: &mut Row, gradient: &Gradient) {
    let report = &gradient.report;
    if report.ok() < BATCH {
        row.outcome = format!("{} of {BATCH} trajectories failed", BATCH - report.ok());
    }
    row.warned = !report.warnings.is_empty();
    row.evaluations = Some(report.field_evaluations.forward);
    row.copy_difference = report.copy_difference.map(f64::from);
    row.seconds = Some(report.seconds);
    if let Some(reconstruction) = &gradient.reconstruction {
        row.drift = Some(f64::from(reconstruction.max_abs)).filter(|d| d.is_finite());
        row.words_differing = reconstruction.words_differing;
    }
}

/// A quantity of the table: its name for files, its axis, and where it is in a row.
type Quantity = (&'static str, &'static str, fn(&Row) -> Option<f64>);

const QUANTITIES: [Quantity; 4] = [
    ("drift", "drift  max |x̂(t0) − x(t0)|", |r| r.drift),
    ("forward", "error of x(t1) against a fine f64 solution", |r| r.forward_error),
    ("theta", "relative error of dJ/dθ", |r| r.theta_error),
    ("x0", "relative error of dJ/dx0", |r| r.x0_error),
];

fn show(table: Table, options: &Options, entries: &[Entry], rows: &[Row]) {
    for (_, name, of) in QUANTITIES {
        let header: Vec<String> = std::iter::once(table.name().to_owned())
            .chain(options.steps.iter().map(|n| format!("N = {n}, T = {}", table.t1(*n))))
            .collect();
        let cells: Vec<Vec<String>> = entries
            .iter()
            .map(|entry| {
                let of_scheme = rows.iter().filter(|r| r.scheme == entry.label);
                let cells = of_scheme.map(|r| if r.outcome == "ok" { scientific(of(r)) } else { r.outcome.clone() });
                std::iter::once(entry.label.clone()).chain(cells).collect()
            })
            .collect();
        print(&format!("{name}, {} field, dim {}", table.name(), options.dim), &header, &cells);
    }
}

fn plots(output: &Output, table: Table, options: &Options, entries: &[Entry], rows: &[Row]) -> Result<()> {
    for (file, name, of) in QUANTITIES {
        let panel = |group: usize| {
            let schemes = entries.iter().filter(|e| e.group == group).enumerate();
            let curves = schemes.map(|(i, entry)| {
                let of_scheme = rows.iter().filter(|r| r.scheme == entry.label);
                let value = |r: &Row| of(r).filter(|_| r.outcome == "ok").map_or(Value::Failed, Value::At);
                let x = |r: &Row| if table == Table::Random { r.steps as f64 } else { r.t1 };
                Curve::new(i, entry.label.clone(), of_scheme.map(|r| (x(r), value(r))).collect())
            });
            let note = if group == 3 && file == "drift" { " (exact: 0 words differ)" } else { "" };
            Panel { title: format!("{}{note}", GROUPS[group]), curves: curves.collect() }
        };
        let (problem, x) = match table {
            Table::Random => ("random tanh field, T = 2", "steps N"),
            Table::Contracting => ("tanh field contracting at rate 1, h = 0.02", "time T"),
        };
        let zero = (file == "drift").then(|| "0".to_owned());
        let figure = Figure {
            title: format!("{} — {problem}", name.replace("  ", ", ")),
            width: 1100.0,
            x: Axis::log(x),
            y: Axis { zero, failed: Some(("> 10³".into(), 1e3)), ..Axis::log(name) },
            panels: [1, 2, 3].map(panel).into(),
        };
        output.plot(&format!("exactness-{}-{file}{}", table.name(), suffix(options)), &figure)?;
    }
    Ok(())
}
