//! λ = −a along one trajectory.

use costate::reference::AdjointPath;
use costate::{Adjoint, Method};

use crate::Result;
use crate::figure::{Axis, Curve, Figure, Panel, Value};
use crate::multiplier::Multiplier;
use crate::output::{print, scientific};
use crate::problem::{LOOKS, Problem};

/// Steps per unit of time of the two panels.
const COARSE: usize = 4;
const FINE: usize = 64;
/// λ and a of one discretisation differ by rounding.
const ROUNDING: f64 = 1e-13;

/// Holds λ against a, of the same discretisation and of the discrete adjoint; the figure shows Euler's.
///
/// # Errors
/// If λ ≠ −a, or if the gradients that λ gives are not those of the continuous adjoint.
pub(crate) fn run(problem: &Problem) -> Result<Figure> {
    let mut rows = Vec::new();
    let mut panels = Vec::new();
    for (method, per_unit) in [Method::Euler, Method::Midpoint, Method::Rk4].map(|m| [(m, COARSE), (m, FINE)]).concat()
    {
        let grid = Problem::grid(per_unit)?;
        let multiplier = Multiplier::new(problem, method, &grid)?;
        let [discrete, continuous] = [Adjoint::Stored, Adjoint::Continuous];
        let [by_steps, by_equation] =
            [problem.twin_path(method, discrete, &grid)?, problem.twin_path(method, continuous, &grid)?];
        let gradient = problem.twin(method, continuous, &grid)?;
        let times = gradient.times(&grid);
        let errors = [
            distance(&multiplier, &by_equation)?,
            largest(&multiplier.theta, &gradient.theta),
            largest(&[multiplier.t0, multiplier.t1], &[times.t0, times.t1]),
        ];
        let apart = distance(&multiplier, &by_steps)?;
        let cells = errors.map(|e| scientific(Some(e)));
        rows.push(
            [vec![format!("{method}, h = 1/{per_unit}")], cells.to_vec(), vec![scientific(Some(apart))]].concat(),
        );
        // Written so that NaN is refused.
        if !errors.iter().all(|e| *e <= ROUNDING) {
            return Err(format!("{method}, h = 1/{per_unit}: λ, dJ/dθ, dJ/dt by λ are off by {errors:?}").into());
        }
        if method == Method::Euler {
            panels.push(panel(per_unit, &by_steps, &multiplier));
        }
    }
    let header = ["", "continuous a", "dJ/dθ by λ", "dJ/dt0, dJ/dt1 by λ", "discrete a"];
    print(
        "λ of the Lagrangian against a of the library: largest difference by the largest value",
        &header.map(String::from),
        &rows,
    );
    Ok(Figure {
        title: format!("−λ(t) and a(t) = ∂J/∂x(t), observations at t = {}, {}, {}", LOOKS[0], LOOKS[1], LOOKS[2]),
        width: 900.0,
        x: Axis::linear("t"),
        y: Axis::linear("−λ and a"),
        panels,
    })
}

/// Largest `|λ + a|` over all points, relative to the largest `|a|`.
fn distance(multiplier: &Multiplier, path: &AdjointPath) -> Result<f64> {
    if !multiplier.points.iter().map(|p| p.0).eq(path.times.iter().copied()) {
        return Err("λ and a are not at the same times".into());
    }
    let minus_lambda: Vec<f64> = multiplier.points.iter().flat_map(|p| &p.1).map(|l| -l).collect();
    Ok(largest(&minus_lambda, &path.values.iter().copied().collect::<Vec<_>>()))
}

/// `max |a_i − b_i| / max |b_i|`, NaN if any is.
fn largest(a: &[f64], b: &[f64]) -> f64 {
    let most = |v: &mut dyn Iterator<Item = f64>| v.fold(0.0, |m, d: f64| if d > m || d.is_nan() { d } else { m });
    most(&mut a.iter().zip(b).map(|(a, b)| (a - b).abs())) / most(&mut b.iter().map(|b| b.abs()))
}

/// The discrete adjoint in colour, −λ dashed on top. The first panel has the legend of both.
fn panel(per_unit: usize, path: &AdjointPath, multiplier: &Multiplier) -> Panel {
    let bare = |colour: usize, dashed: bool, label: &str, points: Vec<(f64, Value)>| {
        let label = if per_unit == COARSE { label } else { "" };
        Curve { dashed, mark: None, ..Curve::new(colour, label, points) }
    };
    let a = |c: usize| path.times.iter().enumerate().map(|(i, t)| (*t, Value::At(path.values[[i, 0, c]]))).collect();
    let minus_lambda = |c: usize| multiplier.points.iter().map(|(t, l)| (*t, Value::At(-l[c]))).collect();
    let curves = vec![
        bare(0, false, "a₁, discrete: the gradient of the computed objective", a(0)),
        bare(1, false, "a₂, likewise", a(1)),
        bare(
            6,
            true,
            "−λ₁ and −λ₂, continuous: the equation of λ solved backward in steps of the same method and size",
            minus_lambda(0),
        ),
        bare(6, true, "", minus_lambda(1)),
    ];
    Panel { title: format!("Euler, h = 1/{per_unit}"), curves }
}
