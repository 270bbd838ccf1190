//! One trajectory there and back: the forward pass, and the reverse pass with its adjoint.

use ndarray::{Array2, ArrayView2};

use super::Field;
use super::walk::Walk;
use crate::solver::TimeGrid;

/// What a forward pass leaves.
pub(super) struct Forward<S> {
    /// The state at the end of the grid.
    pub(super) end: S,
    /// The outputs at the boundaries that the grid keeps, `[save, dim]`.
    pub(super) saved: Array2<f64>,
    /// The running cost, without the term that does not depend on the state.
    pub(super) cost: f64,
}

/// Integrates one trajectory from `x0: [dim]` to the end of the grid and shows `visit` the state at every boundary, the
/// last one included.
pub(super) fn forward<W: Walk>(
    walk: &W,
    grid: &TimeGrid,
    x0: &[f64],
    mut visit: impl FnMut(&W::State),
) -> Forward<W::State> {
    let mut saved = Array2::zeros((grid.saves().len(), x0.len()));
    let mut state = walk.start(x0);
    let mut cost = 0.0;
    for n in 0..=grid.steps() {
        if n > 0 {
            cost += walk.advance(n - 1, &mut state);
        }
        if let Ok(row) = grid.saves().binary_search(&n) {
            saved.row_mut(row).iter_mut().zip(walk.output(&state)).for_each(|(s, x)| *s = x);
        }
        visit(&state);
    }
    Forward { end: state, saved, cost }
}

/// Sums over all trajectories that the reverse passes add to.
#[derive(Clone, Debug)]
pub(super) struct Sums {
    /// `∂J/∂θ`.
    pub(super) theta: Vec<f64>,
    /// `∂J/∂τ_n` of every step boundary, the others fixed.
    pub(super) boundaries: Vec<f64>,
    /// `∂J/∂t` of every save time of a dense grid.
    pub(super) outputs: Vec<f64>,
}

impl Sums {
    pub(super) fn new(field: &Field<'_>, grid: &TimeGrid) -> Self {
        Self {
            theta: vec![0.0; field.parameter_count()],
            boundaries: vec![0.0; grid.times().len()],
            outputs: vec![0.0; grid.outputs().len()],
        }
    }
}

/// Where the reverse pass takes the state at the start of a step from: the only difference between the discrete adjoints.
pub(super) enum Source<S> {
    /// The states at the boundaries `0 … N` as the forward pass left them.
    Stored(Vec<S>),
    /// The state at the end of the step, at first the last one: stepped back and overwritten.
    Walked(S),
}

/// Walks one trajectory from `t_N` to `t_0`; `jumps: [save, dim]` are the cotangents of its kept states.
///
/// Before the step that ends at a save time is undone, the adjoint jumps: `a ← a + ∂J/∂x(t_k)`. Returns the cotangent of
/// the first state and the state that the walk arrived at, and adds to the sums. `show` sees the number of every boundary,
/// the state and the cotangent there; at a save time twice, before and after the jump.
pub(super) fn reverse<W: Walk>(
    walk: &W,
    grid: &TimeGrid,
    source: Source<W::State>,
    jumps: ArrayView2<'_, f64>,
    sums: &mut Sums,
    mut show: impl FnMut(usize, &W::State, &W::State),
) -> (W::State, W::State) {
    let (mut state, mut kept) = match source {
        Source::Walked(end) => (end, None),
        Source::Stored(mut kept) => (kept.swap_remove(grid.steps()), Some(kept)),
    };
    let mut bar = walk.zero();
    for n in (0..=grid.steps()).rev() {
        if n < grid.steps() {
            let times = match &mut kept {
                Some(kept) => {
                    state = kept.swap_remove(n);
                    walk.pull_back(n, &state, &mut bar, &mut sums.theta)
                }
                None => walk.go_back(n, &mut state, &mut bar, &mut sums.theta),
            };
            // t = τ_n and h = τ_{n+1} − τ_n.
            sums.boundaries[n] += times.t - times.h;
            sums.boundaries[n + 1] += times.h;
        }
        show(n, &state, &bar);
        if let Ok(row) = grid.saves().binary_search(&n) {
            walk.observe(&mut bar, jumps.row(row));
            show(n, &state, &bar);
        }
    }
    (bar, state)
}
