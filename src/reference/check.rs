//! Does what a solve is given fit together?

use ndarray::ArrayView2;

use super::Field;
use crate::error::{Error, Result};
use crate::model::RunningCost;
use crate::solver::TimeGrid;

/// By what part of the solve's length it may reach beyond the reference: the rounding of times that were computed.
const SLACK: f64 = 1e-9;

pub(super) fn check_x0(field: &Field<'_>, x0: ArrayView2<'_, f64>) -> Result<()> {
    if x0.nrows() == 0 || x0.ncols() != field.dim() {
        return Err(Error::shape(
            "x0",
            x0.shape(),
            format!("[batch, {}] with at least one trajectory", field.dim()),
            "give one row per trajectory and one column per state component",
        ));
    }
    Ok(())
}

/// Refuses a cost whose reference is for states or trajectories of another number than `[batch, dim]`, or does not cover
/// the solve.
pub(super) fn check_cost(cost: &RunningCost, grid: &TimeGrid, [batch, dim]: [usize; 2]) -> Result<()> {
    // One that weighs nothing is not looked at.
    let Some((_, reference)) = cost.reference_term().filter(|(weight, _)| *weight > 0.0) else { return Ok(()) };
    let values = reference.values();
    let (_, rows, components) = values.dim();
    if components != dim || !(reference.is_shared() || rows == batch) {
        return Err(Error::shape(
            "reference",
            values.shape(),
            format!("[times, {batch} or 1, {dim}]"),
            "give one trajectory for all, or one for each, with a column per state component",
        ));
    }
    let span = |from: f64, to: f64| if from < to { (from, to) } else { (to, from) };
    let times = reference.times();
    let (first, last) = span(times[0], times[times.len() - 1]);
    let (start, end) = span(grid.t0(), grid.t1());
    let slack = SLACK * (end - start);
    if start < first - slack || end > last + slack {
        return Err(Error::invalid(
            "reference",
            format!("from t = {first} to t = {last}, for a solve from t = {start} to t = {end}"),
            "give a reference that covers the solve",
        ));
    }
    Ok(())
}
