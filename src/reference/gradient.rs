//! The gradient of a loss over a batch: the forward pass, then reverse and adjoint steps hand in hand.

use ndarray::{Array2, Array3, ArrayView1, ArrayView2, ArrayView3, Axis};

use super::solve::{check_x0, forward};
use super::{Field, step_reverse, step_vjp};
use crate::error::{Error, Result};
use crate::solver::{Adjoint, Method, Tableau, TimeGrid};

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
    /// Per trajectory `max_i |x̂_i(t0) − x_i(t0)|`: how far the states that the adjoint used had drifted at the end.
    pub reconstruction: Vec<f64>,
}

/// The gradient of the loss that `seed` describes, with respect to θ and x0.
///
/// With [`Adjoint::Stored`] and [`Adjoint::Checkpointed`] this is the exact gradient of the computed loss. With [`Adjoint::Backsolve`] every
/// `x_n` is replaced by `x̂_n = Φ_{−h}(t_{n+1}, x̂_{n+1})`, starting at the exact `x_N`; the adjoint steps are the same.
/// The cotangent of an observation is made from the state of the forward pass in both cases.
///
/// # Errors
/// [`Error::Shape`] if `x0` is not `[batch ≥ 1, dim]` or the seed not `[time, batch, dim]`.
pub fn gradient(
    method: Method,
    adjoint: Adjoint,
    field: &Field<'_>,
    grid: &TimeGrid,
    x0: ArrayView2<'_, f64>,
    seed: Seed<'_>,
) -> Result<Gradient> {
    check_x0(field, x0)?;
    let tableau = method.tableau();
    let mut states = Array3::zeros((grid.saves().len(), x0.nrows(), x0.ncols()));
    check_seed(seed, states.shape())?;

    let mut sources = Vec::with_capacity(x0.nrows());
    for (x0, saved) in x0.rows().into_iter().zip(states.axis_iter_mut(Axis(1))) {
        sources.push(match adjoint {
            // Running a segment again gives the same states: for the twin there is no difference.
            Adjoint::Auto | Adjoint::Stored | Adjoint::Checkpointed | Adjoint::Reversible | Adjoint::Exact => {
                let mut kept = Vec::with_capacity(grid.times().len());
                forward(tableau, field, grid, x0.to_vec(), saved, |x| kept.push(x.to_vec()));
                Source::Stored(kept)
            }
            Adjoint::Backsolve => Source::Backsolve(forward(tableau, field, grid, x0.to_vec(), saved, |_| ())),
        });
    }

    let (loss, jumps) = cotangents(&states, seed);
    let mut theta = vec![0.0; field.parameter_count()];
    let mut a0 = Array2::zeros(x0.raw_dim());
    let mut reconstruction = Vec::with_capacity(x0.nrows());
    for (b, source) in sources.into_iter().enumerate() {
        let (a, x) = reverse(tableau, field, grid, source, jumps.index_axis(Axis(1), b), &mut theta);
        a0.row_mut(b).iter_mut().zip(&a).for_each(|(to, from)| *to = *from);
        reconstruction.push(distance(&x, x0.row(b)));
    }
    Ok(Gradient { loss, states, theta, x0: a0, reconstruction })
}

/// Where the reverse pass takes the state at the start of a step from: the only difference between the adjoints.
enum Source {
    /// `x_0 … x_N` as the forward pass left them.
    Stored(Vec<Vec<f64>>),
    /// The state at the end of the step, at first `x_N`: stepped back and overwritten.
    Backsolve(Vec<f64>),
}

/// Walks one trajectory from `t_N` to `t_0`; `jumps: [time, dim]` are the cotangents of its saved states.
///
/// Before the step that ends at a save time is undone, the adjoint jumps: `a ← a + ∂J/∂x(t_k)`. Returns
/// `a_0 = ∂J/∂x0` and the state that the walk arrived at, adds to `theta_bar`.
fn reverse(
    tableau: &Tableau,
    field: &Field<'_>,
    grid: &TimeGrid,
    mut source: Source,
    jumps: ArrayView2<'_, f64>,
    theta_bar: &mut [f64],
) -> (Vec<f64>, Vec<f64>) {
    let times = grid.times();
    let observe = |boundary: usize, a: &mut [f64]| {
        if let Ok(row) = grid.saves().binary_search(&boundary) {
            a.iter_mut().zip(jumps.row(row)).for_each(|(a, jump)| *a += jump);
        }
    };
    let mut a = vec![0.0; field.dim()];
    let mut x_start = vec![0.0; field.dim()];
    for n in (0..grid.steps()).rev() {
        let (t, h) = (times[n], times[n + 1] - times[n]);
        observe(n + 1, &mut a);
        x_start = match &mut source {
            Source::Stored(kept) => std::mem::take(&mut kept[n]),
            Source::Backsolve(x) => {
                *x = step_reverse(tableau, field, times[n + 1], h, x);
                x.clone()
            }
        };
        a = step_vjp(tableau, field, t, h, &x_start, &a, theta_bar);
    }
    observe(0, &mut a);
    (a, x_start)
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

/// `max_i |x_i − y_i|`, NaN if any difference is.
fn distance(x: &[f64], y: ArrayView1<'_, f64>) -> f64 {
    x.iter().zip(y).map(|(x, y)| (x - y).abs()).fold(0.0, |m, d| if m.is_nan() || d <= m { m } else { d })
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
