//! The forward pass over a batch.

use ndarray::{Array3, ArrayView2, ArrayViewMut2, Axis};

use super::{Field, step};
use crate::error::{Error, Result};
use crate::solver::{Method, Tableau, TimeGrid};

/// Integrates every trajectory of `x0: [batch, dim]` over the grid and returns the states at its save times,
/// `[time, batch, dim]`.
///
/// Step n goes from `t_n` to `t_{n+1}` with `h_n = t_{n+1} − t_n`; a save at `t_0` returns `x0` itself.
///
/// # Errors
/// [`Error::Shape`] if `x0` is not `[batch ≥ 1, dim]`.
pub fn solve(method: Method, field: &Field<'_>, grid: &TimeGrid, x0: ArrayView2<'_, f64>) -> Result<Array3<f64>> {
    check_x0(field, x0)?;
    let mut states = Array3::zeros((grid.saves().len(), x0.nrows(), x0.ncols()));
    for (x0, saved) in x0.rows().into_iter().zip(states.axis_iter_mut(Axis(1))) {
        forward(method.tableau(), field, grid, x0.to_vec(), saved, |_| ());
    }
    Ok(states)
}

/// Integrates one trajectory from `x: [dim]` to the end of the grid and returns the last state; writes the states at
/// the save times to `saved: [time, dim]` and shows `visit` the state at every boundary, the last one included.
pub(super) fn forward(
    tableau: &Tableau,
    field: &Field<'_>,
    grid: &TimeGrid,
    mut x: Vec<f64>,
    mut saved: ArrayViewMut2<'_, f64>,
    mut visit: impl FnMut(&[f64]),
) -> Vec<f64> {
    let times = grid.times();
    for (n, &t) in times.iter().enumerate() {
        if n > 0 {
            let t_before = times[n - 1];
            x = step(tableau, field, t_before, t - t_before, &x);
        }
        if let Ok(row) = grid.saves().binary_search(&n) {
            saved.row_mut(row).iter_mut().zip(&x).for_each(|(s, x)| *s = *x);
        }
        visit(&x);
    }
    x
}

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
