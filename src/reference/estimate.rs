//! How large the errors of the steps may be, by the estimates of the tableaux.

use ndarray::ArrayView2;

use super::Field;
use super::check::check_x0;
use super::rates::Rates;
use super::step::{add_scaled, stages};
use crate::error::Result;
use crate::solver::{Method, TimeGrid};

/// What a component is to the size that its trajectory has met, at least.
const SHARE: f64 = 1e-3;

/// The largest relative error estimate of a step of every trajectory of `x0: [batch, dim]`, as
/// [`ErrorEstimate`](crate::ErrorEstimate) defines it; the last step is left out. `None` for methods on a pair and for
/// a single step.
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) if `x0` is not `[batch ≥ 1, dim]`.
pub fn error_estimate(
    method: Method,
    field: &Field<'_>,
    grid: &TimeGrid,
    x0: ArrayView2<'_, f64>,
) -> Result<Option<Vec<f64>>> {
    check_x0(field, x0)?;
    if method.pair().is_some() || grid.steps() < 2 {
        return Ok(None);
    }
    Ok(Some(x0.rows().into_iter().map(|x0| of_trajectory(method, field, grid, x0.to_vec())).collect()))
}

fn of_trajectory(method: Method, field: &Field<'_>, grid: &TimeGrid, mut x: Vec<f64>) -> f64 {
    let tableau = method.tableau();
    let (weights, last) = tableau.error.split_at(tableau.stages());
    let mut met: Vec<f64> = x.iter().map(|x| x.abs()).collect();
    // The largest of every component, weighed or not.
    let mut worst = vec![0.0_f64; x.len()];
    for times in grid.times().windows(2).take(grid.steps() - 1) {
        let (t, h) = (times[0], times[1] - times[0]);
        let stages = stages(tableau, &Rates::of(field), t, h, &x);
        let (mut next, mut error) = (x.clone(), vec![0.0; x.len()]);
        for (i, stage) in stages.iter().enumerate() {
            add_scaled(&mut next, h * tableau.b[i], &stage.k);
            add_scaled(&mut error, h * weights[i], &stage.k);
        }
        add_scaled(&mut error, h * last[0], &field.eval(&next, times[1]));
        for i in 0..x.len() {
            met[i] = met[i].max(next[i].abs());
            let weight = x[i].abs().max(next[i].abs()) + SHARE * met[i];
            worst[i] = worst[i].max(match tableau.embedded {
                true if weight == 0.0 => 0.0,
                true => error[i].abs() / weight,
                false => error[i].abs(),
            });
        }
        x = next;
    }
    let weighed = worst.iter().zip(&met).map(|(worst, met)| match tableau.embedded {
        true => *worst,
        false if *met == 0.0 => 0.0,
        false => worst / met,
    });
    weighed.fold(0.0, f64::max)
}
