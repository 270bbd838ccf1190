//! The forward pass over a batch.

use ndarray::{Array3, ArrayView2, ArrayViewMut2, Axis};

use super::Field;
use super::walk::{Double, Scheme, Single, Walk};
use crate::error::{Error, Result};
use crate::solver::TimeGrid;

/// Integrates every trajectory of `x0: [batch, dim]` over the grid and returns the states at its save times,
/// `[time, batch, dim]`.
///
/// Step n goes from `t_n` to `t_{n+1}` with `h_n = t_{n+1} − t_n`; a save at `t_0` returns `x0` itself. A [`Method`] does
/// for a scheme without contraction.
///
/// [`Method`]: crate::Method
///
/// # Errors
/// [`Error::Shape`] if `x0` is not `[batch ≥ 1, dim]`, [`Error::Invalid`] for a contraction that the method cannot have.
pub fn solve(
    scheme: impl Into<Scheme>,
    field: &Field<'_>,
    grid: &TimeGrid,
    x0: ArrayView2<'_, f64>,
) -> Result<Array3<f64>> {
    let scheme = scheme.into();
    scheme.check()?;
    check_x0(field, x0)?;
    Ok(match scheme.method.pair() {
        None => states(&Single::new(scheme.method, field, grid), grid, x0),
        Some(pair) => states(&Double::new(pair, scheme.contraction, field, grid), grid, x0),
    })
}

fn states(walk: &impl Walk, grid: &TimeGrid, x0: ArrayView2<'_, f64>) -> Array3<f64> {
    let mut states = Array3::zeros((grid.saves().len(), x0.nrows(), x0.ncols()));
    for (x0, saved) in x0.rows().into_iter().zip(states.axis_iter_mut(Axis(1))) {
        forward(walk, grid, &x0.to_vec(), saved, |_| ());
    }
    states
}

/// Integrates one trajectory from `x0: [dim]` to the end of the grid and returns the last state; writes the outputs at
/// the save times to `saved: [time, dim]` and shows `visit` the state at every boundary, the last one included.
pub(super) fn forward<W: Walk>(
    walk: &W,
    grid: &TimeGrid,
    x0: &[f64],
    mut saved: ArrayViewMut2<'_, f64>,
    mut visit: impl FnMut(&W::State),
) -> W::State {
    let mut state = walk.start(x0);
    for n in 0..=grid.steps() {
        if n > 0 {
            walk.advance(n - 1, &mut state);
        }
        if let Ok(row) = grid.saves().binary_search(&n) {
            saved.row_mut(row).iter_mut().zip(walk.output(&state)).for_each(|(s, x)| *s = x);
        }
        visit(&state);
    }
    state
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
