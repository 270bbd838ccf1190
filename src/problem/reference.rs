//! The reference of a running cost: does it fit the problem, and how the device gets it.

use crate::error::{Error, Result};
use crate::model::{Reference, RunningCost};
use crate::plan::{Origin, Plan};
use crate::solver::TimeGrid;

/// Share of the span that rounding may leave open at its ends.
const SLACK: f64 = 1e-9;

/// The reference that a cost looks at.
pub(crate) fn reference_of(cost: &RunningCost) -> Option<&Reference> {
    cost.reference_term().filter(|(weight, _)| *weight > 0.0).map(|(_, reference)| reference)
}

/// Refuses a reference of another dimension, or one that does not cover the solve.
pub(crate) fn check_reference(cost: &RunningCost, grid: &TimeGrid, dim: usize) -> Result<()> {
    let Some(reference) = reference_of(cost) else { return Ok(()) };
    let [times, batch, components] = reference.values().dim().into();
    if components != dim {
        let remedy = "give one value per component of the state";
        let expected = format!("[time, batch or 1, {dim}]");
        return Err(Error::shape("reference", &[times, batch, components], expected, remedy));
    }
    // Pieces that f32 cannot tell apart would have no length.
    let farthest = reference.times().iter().fold(0.0, |m: f64, t| m.max((t - grid.t0()).abs()));
    let resolution = f64::from(f32::EPSILON) * farthest;
    let shortest = reference.times().windows(2).map(|w| (w[1] - w[0]).abs()).fold(f64::INFINITY, f64::min);
    if shortest < 4.0 * resolution {
        return Err(Error::invalid(
            "times of the reference",
            format!("{shortest:e} apart and up to {farthest:e} from t0, where f32 resolves {resolution:.1e}"),
            "give fewer of them, and those near the span of the solve only",
        ));
    }
    let ends = [reference.times()[0], reference.times()[times - 1]];
    let [first, last] = [ends[0].min(ends[1]), ends[0].max(ends[1])];
    let [start, end] = [grid.t0().min(grid.t1()), grid.t0().max(grid.t1())];
    let slack = SLACK * (end - start);
    if first > start + slack || last < end - slack {
        return Err(Error::invalid(
            "times of the reference",
            format!("{first} to {last} do not cover the solve from t0 = {} to t1 = {}", grid.t0(), grid.t1()),
            "give the reference from t0 to t1 at least",
        ));
    }
    Ok(())
}

/// Refuses a reference of single trajectories for another batch.
pub(crate) fn check_reference_batch(cost: &RunningCost, batch: usize) -> Result<()> {
    match reference_of(cost) {
        Some(reference) if !reference.is_shared() && reference.values().dim().1 != batch => {
            let [times, found, dim] = reference.values().dim().into();
            let remedy = "give the reference of each trajectory, or one for all";
            Err(Error::shape("reference", &[times, found, dim], format!("[time, {batch} or 1, dim]"), remedy))
        }
        _ => Ok(()),
    }
}

/// Times since t0, then values and slopes: `[count]`, `[count, 2, dim]` or `[count, 2, dim, stride]`.
pub(crate) fn device_reference(reference: &Reference, plan: &Plan) -> Vec<f32> {
    let origin = Origin::of(&plan.spec.grid);
    let mut values: Vec<f32> = reference.times().iter().map(|t| origin.since(*t)).collect();
    let places = if reference.is_shared() { 1 } else { plan.shape.stride as usize };
    let (found, slopes) = (reference.values(), reference.slopes());
    for (x, m) in found.outer_iter().zip(slopes.outer_iter()) {
        for column in x.columns().into_iter().chain(m.columns()) {
            values.extend(column.iter());
            values.extend(std::iter::repeat_n(0.0, places - column.len()));
        }
    }
    values
}
