//! The gradient of a loss over a batch: the forward pass, then reverse and adjoint steps hand in hand.

use ndarray::{Array2, Array3, ArrayView2, ArrayView3, Axis};

use super::Field;
use super::solve::{check_x0, forward};
use super::walk::{Double, Scheme, Single, Walk};
use crate::error::{Error, Result};
use crate::solver::{Adjoint, TimeGrid};

/// Where the adjoint starts: what the saved states are worth. Both arrays are `[time, batch, dim]`, like the states.
#[derive(Clone, Copy, Debug)]
pub enum Seed<'a> {
    /// Observations `y`: the loss is the mean of `(x − y)²` over time, batch and components.
    Targets(ArrayView3<'a, f64>),
    /// Cotangents `∂J/∂x(t_k)` of any loss the caller has in mind.
    Cotangents(ArrayView3<'a, f64>),
}

/// What [`gradient`] computes.
#[derive(Clone, Debug, PartialEq)]
pub struct Gradient {
    /// The mean squared error; none if the seed gave cotangents.
    pub loss: Option<f64>,
    /// States at the save times, `[time, batch, dim]`, from the forward pass.
    pub states: Array3<f64>,
    /// `∂J/∂θ`, flat, summed over the batch.
    pub theta: Vec<f64>,
    /// `∂J/∂x0: [batch, dim]`.
    pub x0: Array2<f64>,
    /// Per trajectory `max_i |x̂_i(t0) − x_i(t0)|`: how far the states that the adjoint used had drifted at the end. For a
    /// pair the larger drift of its two copies.
    pub reconstruction: Vec<f64>,
}

/// The gradient of the loss that `seed` describes, with respect to θ and x0. A [`Method`](crate::Method) does for a
/// scheme without contraction.
///
/// With [`Adjoint::Stored`] and [`Adjoint::Checkpointed`] this is the exact gradient of the computed loss, and with
/// [`Adjoint::Exact`] too: in real arithmetic there is nothing to round. With [`Adjoint::Backsolve`] every `x_n` is
/// replaced by `x̂_n = Φ_{−h}(t_{n+1}, x̂_{n+1})`, starting at the exact `x_N`, and with [`Adjoint::Reversible`] every pair
/// by what the inverse steps find; the adjoint steps are the same. The cotangent of an observation is always made from
/// the state of the forward pass.
///
/// # Errors
/// [`Error::Shape`] if `x0` is not `[batch ≥ 1, dim]` or the seed not `[time, batch, dim]`; [`Error::Invalid`] for an
/// adjoint or a contraction that the method cannot have, or a contraction that the adjoint cannot take back.
pub fn gradient(
    scheme: impl Into<Scheme>,
    adjoint: Adjoint,
    field: &Field<'_>,
    grid: &TimeGrid,
    x0: ArrayView2<'_, f64>,
    seed: Seed<'_>,
) -> Result<Gradient> {
    let scheme = scheme.into();
    let keep = match scheme.resolve(adjoint)? {
        // Running a segment again gives the same states: for the twin there is no difference.
        Adjoint::Auto | Adjoint::Stored | Adjoint::Checkpointed | Adjoint::Exact => true,
        Adjoint::Backsolve | Adjoint::Reversible | Adjoint::Continuous => false,
    };
    check_x0(field, x0)?;
    check_seed(seed, &[grid.saves().len(), x0.nrows(), x0.ncols()])?;
    Ok(match scheme.method.pair() {
        None => there_and_back(&Single::new(scheme.method, field, grid), keep, field, grid, x0, seed),
        Some(pair) => there_and_back(&Double::new(pair, scheme.contraction, field, grid), keep, field, grid, x0, seed),
    })
}

/// The forward pass of all trajectories, the loss, and the reverse pass of all.
fn there_and_back<W: Walk>(
    walk: &W,
    keep: bool,
    field: &Field<'_>,
    grid: &TimeGrid,
    x0: ArrayView2<'_, f64>,
    seed: Seed<'_>,
) -> Gradient {
    let mut states = Array3::zeros((grid.saves().len(), x0.nrows(), x0.ncols()));
    let mut sources = Vec::with_capacity(x0.nrows());
    for (x0, saved) in x0.rows().into_iter().zip(states.axis_iter_mut(Axis(1))) {
        sources.push(if keep {
            let mut kept = Vec::with_capacity(grid.times().len());
            forward(walk, grid, &x0.to_vec(), saved, |state| kept.push(state.clone()));
            Source::Stored(kept)
        } else {
            Source::Walked(forward(walk, grid, &x0.to_vec(), saved, |_| ()))
        });
    }

    let (loss, jumps) = cotangents(&states, seed);
    let mut theta = vec![0.0; field.parameter_count()];
    let mut a0 = Array2::zeros(x0.raw_dim());
    let mut reconstruction = Vec::with_capacity(x0.nrows());
    for (b, source) in sources.into_iter().enumerate() {
        let start = x0.row(b).to_vec();
        let (bar, state) = reverse(walk, grid, source, jumps.index_axis(Axis(1), b), &mut theta);
        reconstruction.push(walk.drift(&start, &state));
        let a = walk.finish(&start, bar, &mut theta);
        a0.row_mut(b).iter_mut().zip(&a).for_each(|(to, from)| *to = *from);
    }
    Gradient { loss, states, theta, x0: a0, reconstruction }
}

/// Where the reverse pass takes the state at the start of a step from: the only difference between the adjoints.
enum Source<S> {
    /// The states at the boundaries `0 … N` as the forward pass left them.
    Stored(Vec<S>),
    /// The state at the end of the step, at first the last one: stepped back and overwritten.
    Walked(S),
}

/// Walks one trajectory from `t_N` to `t_0`; `jumps: [time, dim]` are the cotangents of its saved states.
///
/// Before the step that ends at a save time is undone, the adjoint jumps: `a ← a + ∂J/∂x(t_k)`. Returns the cotangent of
/// the first state and the state that the walk arrived at, adds to `theta_bar`.
fn reverse<W: Walk>(
    walk: &W,
    grid: &TimeGrid,
    mut source: Source<W::State>,
    jumps: ArrayView2<'_, f64>,
    theta_bar: &mut [f64],
) -> (W::State, W::State) {
    let observe = |boundary: usize, bar: &mut W::State| {
        if let Ok(row) = grid.saves().binary_search(&boundary) {
            walk.observe(bar, jumps.row(row));
        }
    };
    let mut bar = walk.zero();
    let mut start = walk.zero();
    for n in (0..grid.steps()).rev() {
        observe(n + 1, &mut bar);
        start = match &mut source {
            Source::Stored(kept) => kept.swap_remove(n),
            Source::Walked(state) => {
                walk.retreat(n, state);
                state.clone()
            }
        };
        walk.pull_back(n, &start, &mut bar, theta_bar);
    }
    observe(0, &mut bar);
    (bar, start)
}

/// The loss, if the seed has targets, and the cotangents of the saved states, `[time, batch, dim]`.
fn cotangents(states: &Array3<f64>, seed: Seed<'_>) -> (Option<f64>, Array3<f64>) {
    match seed {
        Seed::Targets(targets) => {
            let residual = states - &targets;
            let count = residual.len() as f64;
            (Some(residual.iter().map(|r| r * r).sum::<f64>() / count), residual * (2.0 / count))
        }
        Seed::Cotangents(cotangents) => (None, cotangents.to_owned()),
    }
}

fn check_seed(seed: Seed<'_>, expected: &[usize]) -> Result<()> {
    let (what, array) = match seed {
        Seed::Targets(targets) => ("targets", targets),
        Seed::Cotangents(cotangents) => ("cotangents", cotangents),
    };
    if array.shape() != expected {
        return Err(Error::shape(
            what,
            array.shape(),
            format!("{expected:?} = [time, batch, dim]"),
            "give one value per save time, trajectory and state component",
        ));
    }
    Ok(())
}
