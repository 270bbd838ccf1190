//! The adjoint along its way, for plots.

use ndarray::{Array3, ArrayView2};

use super::Field;
use super::gradient::Task;
use super::objective::Seed;
use super::walk::Scheme;
use crate::error::Result;
use crate::model::RunningCost;
use crate::solver::{Adjoint, TimeGrid};

/// The adjoint of every trajectory along its way; see [`adjoint_path`].
#[derive(Clone, Debug, PartialEq)]
pub struct AdjointPath {
    /// The times of the points, from t0 to t1: every step boundary once, those where the adjoint jumps twice.
    pub times: Vec<f64>,
    /// `a(t) = ∂J/∂x(t): [point, batch, dim]`. Of two points at one time the first counts the observation there, the
    /// second, just after it, does not any more.
    pub values: Array3<f64>,
}

/// The adjoint `a(t) = ∂J/∂x(t)` at every step boundary: what a change of the state there would change of the objective,
/// by what comes later. Arguments as for [`gradient_with_cost`](super::gradient_with_cost).
///
/// For a method on a pair this is the gradient with respect to the state of a solve that starts there anew, with both
/// copies equal: the sum of the cotangents of both copies.
///
/// # Errors
/// As [`gradient_with_cost`](super::gradient_with_cost).
pub fn adjoint_path(
    scheme: impl Into<Scheme>,
    adjoint: Adjoint,
    field: &Field<'_>,
    grid: &TimeGrid,
    x0: ArrayView2<'_, f64>,
    seed: Seed<'_>,
    cost: Option<&RunningCost>,
) -> Result<AdjointPath> {
    let mut points = Vec::new();
    Task::new(scheme.into(), adjoint, (field, grid, x0), seed, cost)?.run(Some(&mut points));
    let per_trajectory = grid.times().len() + grid.saves().len();
    // The walk went from t1 to t0.
    let times = points[..per_trajectory].iter().rev().map(|(n, _)| grid.times()[*n]).collect();
    let values = Array3::from_shape_fn((per_trajectory, x0.nrows(), x0.ncols()), |(point, b, c)| {
        points[(b + 1) * per_trajectory - 1 - point].1[c]
    });
    Ok(AdjointPath { times, values })
}
