//! Where a choice matters: few steps on a strongly contracting field, oscillations, very many steps.

use costate::reference::{self, Field, Scheme, Seed};
use costate::{Activation, Adjoint, AdjointOptions, Gpu, Method, Mlp, NeuralOde, Parameters, TimeGrid};
use ndarray::{Array2, Array3, Axis};
use serde::Serialize;

use crate::Result;
use crate::output::{Output, print, scientific};
use crate::problems::{Way, contracting, mild, random2, random3, relative, to_f64, values};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Seed of fields and data.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Clone, Serialize)]
struct Row {
    case: &'static str,
    way: String,
    steps: usize,
    evaluations: u64,
    error: Option<f64>,
    theta_error: Option<f64>,
    copy_difference: Option<f64>,
}

pub(crate) fn run(gpu: &Gpu, output: &Output, options: &Options) -> Result<()> {
    let mut rows = few_steps(gpu, options)?;
    rows.extend(oscillation(gpu)?);
    rows.extend(many_steps(gpu, options)?);
    let header = ["", "way", "steps", "evaluations", "error of x", "error of dJ/dθ", "copies apart"].map(String::from);
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|r| {
            let numbers = [r.error, r.theta_error, r.copy_difference].map(scientific);
            let counts = [r.steps.to_string(), r.evaluations.to_string()];
            [r.case.to_owned(), r.way.clone()].into_iter().chain(counts).chain(numbers).collect()
        })
        .collect();
    print("limits", &header, &cells);
    output.write("exactness-limits", &rows)
}

/// Against the exact solution and its gradient, at few evaluations on a field that contracts by e^16 until T.
fn few_steps(gpu: &Gpu, options: &Options) -> Result<Vec<Row>> {
    const T1: f64 = 4.0;
    let mut theta = contracting(2, 64, options.seed)?;
    // Rate 4.
    let outer = theta.field().layers()[1].weight;
    theta.as_mut_slice()[outer..].iter_mut().for_each(|v| *v *= 4.0);
    let x0 = random2(16, 2, options.seed + 20)?;
    let targets = random3(2, 16, 2, options.seed + 21)?;
    let fine = TimeGrid::with_steps(0.0, &[T1 / 2.0, T1], T1, 2000)?;
    let of_theta = values(&theta);
    let field = Field::new(theta.field(), &of_theta)?;
    let wide = to_f64(&targets);
    let exact = reference::gradient(
        Method::Dopri5,
        Adjoint::Stored,
        &field,
        &fine,
        to_f64(&x0).view(),
        Seed::Targets(wide.view()),
    )?;
    let mut rows = Vec::new();
    for evaluations in [24, 48, 96, 192, 384] {
        let ways = [
            ("rk4 stored", Way::new(Method::Rk4, Adjoint::Stored), 4),
            ("strang exact", Way::new(Method::Strang, Adjoint::Exact), 2),
            ("blanes_moan4 exact", Way::new(Method::BlanesMoan4, Adjoint::Exact), 12),
        ];
        for (name, way, per_step) in ways {
            let grid = TimeGrid::with_steps(0.0, &[T1 / 2.0, T1], T1, evaluations / per_step / 2)?;
            let ode = build(gpu, &theta, &grid, way)?;
            let (mut error, mut theta_error, mut copy_difference, mut spent) = (None, None, None, 0);
            if let Ok(gradient) = ode.loss_and_gradient(&theta, x0.view(), targets.view()) {
                let states = ode.solve(&theta, x0.view())?.states;
                error = distance(&states, &exact.states);
                theta_error = relative(&gradient.theta, &exact.theta);
                copy_difference = gradient.report.copy_difference.map(f64::from);
                spent = gradient.report.field_evaluations.forward;
            }
            let (case, way, steps) = ("rate 4, T = 4", name.to_owned(), grid.steps());
            rows.push(Row { case, way, steps, evaluations: spent, error, theta_error, copy_difference });
        }
    }
    Ok(rows)
}

/// `max | |x| − 1 |` after 160 turns of a linear rotation.
fn oscillation(gpu: &Gpu) -> Result<Vec<Row>> {
    const T1: f64 = 1000.0;
    let field = Mlp::builder(2).hidden(&[2], Activation::Identity).build()?;
    let [inner, outer] = [field.layers()[0].weight, field.layers()[1].weight];
    let mut flat = vec![0.0; field.parameter_count()];
    (flat[inner], flat[inner + 3], flat[outer + 1], flat[outer + 2]) = (1.0, 1.0, 1.0, -1.0);
    let theta = Parameters::from_flat(&field, flat)?;
    let x0 = Array2::from_shape_vec((2, 2), vec![1.0, 0.0, 0.6, 0.8])?;
    let ways = [
        ("rk4", Way::new(Method::Rk4, Adjoint::Stored), 4),
        ("strang exact, 0 words", Way::exact(Method::Strang, 0), 2),
        ("strang exact, 4 words", Way::exact(Method::Strang, 4), 2),
        ("blanes_moan4 exact, 0 words", Way::exact(Method::BlanesMoan4, 0), 12),
        ("blanes_moan4 exact, 4 words", Way::exact(Method::BlanesMoan4, 4), 12),
    ];
    let mut rows = Vec::new();
    for (name, way, per_step) in ways {
        let grid = TimeGrid::uniform(0.0, T1, 19_200 / per_step)?;
        let solution = build(gpu, &theta, &grid, way)?.solve(&theta, x0.view())?;
        let norm = |x: ndarray::ArrayView1<'_, f32>| (f64::from(x[0]).hypot(f64::from(x[1])) - 1.0).abs();
        let last = solution.states.index_axis(Axis(0), 0);
        rows.push(Row {
            case: "rotation, T = 1000",
            way: name.to_owned(),
            steps: grid.steps(),
            evaluations: solution.report.field_evaluations.forward,
            error: Some(last.rows().into_iter().map(norm).fold(0.0, f64::max)),
            theta_error: None,
            copy_difference: solution.report.copy_difference.map(f64::from),
        });
    }
    Ok(rows)
}

/// Rounding alone: against the f64 twin of the same scheme, over ten and a hundred thousand steps.
fn many_steps(gpu: &Gpu, options: &Options) -> Result<Vec<Row>> {
    let theta = mild(2, 64, options.seed)?;
    let x0 = random2(4, 2, options.seed + 20)?;
    let of_theta = values(&theta);
    let field = Field::new(theta.field(), &of_theta)?;
    let two = AdjointOptions { two_words: true, ..AdjointOptions::default() };
    let ways = [
        ("strang f32", Way::new(Method::Strang, Adjoint::Reversible)),
        ("strang exact, one word", Way::new(Method::Strang, Adjoint::Exact)),
        ("strang exact, two words", Way { options: two, ..Way::new(Method::Strang, Adjoint::Exact) }),
    ];
    let mut rows = Vec::new();
    for steps in [10_000, 100_000] {
        for (name, way) in ways {
            let grid = TimeGrid::uniform(0.0, 2.0, steps)?;
            let solution = build(gpu, &theta, &grid, way)?.solve(&theta, x0.view())?;
            let contraction = way.options.contraction(way.method, way.adjoint, steps);
            let scheme = Scheme { method: way.method, contraction };
            let twin = reference::solve(scheme, &field, &grid, to_f64(&x0).view())?;
            rows.push(Row {
                case: "rounding, T = 2",
                way: name.to_owned(),
                steps,
                evaluations: solution.report.field_evaluations.forward,
                error: distance(&solution.states, &twin),
                theta_error: None,
                copy_difference: solution.report.copy_difference.map(f64::from),
            });
        }
    }
    Ok(rows)
}

fn build(gpu: &Gpu, theta: &Parameters, grid: &TimeGrid, way: Way) -> Result<NeuralOde> {
    let builder = NeuralOde::builder(theta.field().clone(), grid.clone()).method(way.method).adjoint(way.adjoint);
    Ok(builder.adjoint_options(way.options).build(gpu)?)
}

/// Largest difference; none if it is not finite.
fn distance(a: &Array3<f32>, b: &Array3<f64>) -> Option<f64> {
    let differences = a.iter().zip(b).map(|(a, b)| (f64::from(*a) - b).abs());
    Some(differences.fold(0.0_f64, |m, d| if d.is_nan() { f64::INFINITY } else { m.max(d) })).filter(|d| d.is_finite())
}
