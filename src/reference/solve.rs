//! The forward pass over a batch.

use ndarray::{Array2, Array3, ArrayView2, Axis};

use super::Field;
use super::check::{check_cost, check_x0};
use super::dense::interpolate;
use super::rates::Rates;
use super::reverse::{Forward, forward};
use super::walk::{Double, Scheme, Single};
use crate::error::Result;
use crate::model::RunningCost;
use crate::solver::TimeGrid;

/// Integrates every trajectory of `x0: [batch, dim]` over the grid and returns the states at its save times,
/// `[time, batch, dim]`.
///
/// Step n goes from `t_n` to `t_{n+1}` with `h_n = t_{n+1} − t_n`; a save at `t_0` returns `x0` itself. Save times of a
/// dense grid are interpolated by the cubic Hermite polynomial of both ends of their step. A [`Method`] does for a scheme
/// without contraction.
///
/// [`Method`]: crate::Method
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) if `x0` is not `[batch ≥ 1, dim]`, [`Error::Invalid`](crate::Error::Invalid) for
/// a contraction that the method cannot have.
pub fn solve(
    scheme: impl Into<Scheme>,
    field: &Field<'_>,
    grid: &TimeGrid,
    x0: ArrayView2<'_, f64>,
) -> Result<Array3<f64>> {
    let scheme = scheme.into();
    scheme.check()?;
    check_x0(field, x0)?;
    let mut states = Array3::zeros((grid.observations(), x0.nrows(), x0.ncols()));
    for (x0, mut observed) in x0.rows().into_iter().zip(states.axis_iter_mut(Axis(1))) {
        let (saved, _) = run(scheme, Rates::of(field), grid, &x0.to_vec());
        observed.assign(&interpolate(field, grid, saved.view()));
    }
    Ok(states)
}

/// The running cost of every trajectory of `x0: [batch, dim]`, `∫ L(x, t, θ) dt` by the weights that the solver gives its
/// evaluations of the field, the term `‖θ‖²` exactly.
///
/// ```
/// use costate::reference::{Field, running_cost};
/// use costate::{Method, Mlp, RunningCost, TimeGrid};
/// use ndarray::array;
/// let mlp = Mlp::builder(1).build()?;
/// let field = Field::new(&mlp, &[0.0, 3.0])?; // dx/dt = 3
/// let cost = RunningCost::new().kinetic(0.5)?;
/// let grid = TimeGrid::uniform(0.0, 2.0, 4)?;
/// let costs = running_cost(Method::Rk4, &field, &grid, array![[0.0]].view(), &cost)?;
/// assert!((costs[0] - 0.5 * 9.0 * 2.0).abs() < 1e-12);
/// # Ok::<(), costate::Error>(())
/// ```
///
/// # Errors
/// As [`solve`]; and for a reference that does not fit the batch or the state, or does not cover the grid.
pub fn running_cost(
    scheme: impl Into<Scheme>,
    field: &Field<'_>,
    grid: &TimeGrid,
    x0: ArrayView2<'_, f64>,
    cost: &RunningCost,
) -> Result<Vec<f64>> {
    let scheme = scheme.into();
    scheme.check()?;
    check_x0(field, x0)?;
    check_cost(cost, grid, x0.dim().into())?;
    let constant = cost_of_parameters(cost, field, grid);
    let trajectories = (0..).zip(x0.rows());
    let cost_of = |b: u32, x0: Vec<f64>| run(scheme, Rates::with_cost(field, Some(cost), b, 1.0), grid, &x0).1;
    Ok(trajectories.map(|(b, x0)| cost_of(b, x0.to_vec()) + constant).collect())
}

/// `∫ parameters · ‖θ‖² dt`, the same for every trajectory.
pub(super) fn cost_of_parameters(cost: &RunningCost, field: &Field<'_>, grid: &TimeGrid) -> f64 {
    rate_of_parameters(cost, field) * (grid.t1() - grid.t0())
}

/// `parameters · ‖θ‖²`.
pub(super) fn rate_of_parameters(cost: &RunningCost, field: &Field<'_>) -> f64 {
    cost.parameters_weight() * field.theta().iter().map(|v| v * v).sum::<f64>()
}

/// One trajectory: the states that the grid keeps, `[save, dim]`, and its cost.
fn run(scheme: Scheme, rates: Rates<'_>, grid: &TimeGrid, x0: &[f64]) -> (Array2<f64>, f64) {
    match scheme.method.pair() {
        None => {
            let Forward { saved, cost, .. } =
                forward(&Single::new(scheme.method, rates, grid, false), grid, x0, |_| ());
            (saved, cost)
        }
        Some(pair) => {
            let Forward { saved, cost, .. } =
                forward(&Double::new(pair, scheme.contraction, rates, grid), grid, x0, |_| ());
            (saved, cost)
        }
    }
}
