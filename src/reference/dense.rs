//! States between step boundaries: the cubic Hermite polynomial through both ends of a step, and its adjoint.

use ndarray::{Array2, ArrayView2};

use super::Field;
use super::reverse::Sums;
use super::step::{add_scaled, dot};
use crate::solver::{Output, TimeGrid};

/// The basis at `u`: weights of `x_n`, `h f_n`, `x_{n+1}`, `h f_{n+1}`, and their derivatives with respect to u.
fn basis(u: f64) -> [[f64; 4]; 2] {
    let (u2, u3) = (u * u, u * u * u);
    [
        [2.0 * u3 - 3.0 * u2 + 1.0, u3 - 2.0 * u2 + u, 3.0 * u2 - 2.0 * u3, u3 - u2],
        [6.0 * (u2 - u), 3.0 * u2 - 4.0 * u + 1.0, 6.0 * (u - u2), 3.0 * u2 - 2.0 * u],
    ]
}

/// Both ends of the step that an output lies in.
struct Ends {
    /// Their times.
    times: [f64; 2],
    /// Their rows among the saved states.
    rows: [usize; 2],
    /// The states and the field there, each `[dim]`.
    states: [Vec<f64>; 2],
    fields: [Vec<f64>; 2],
}

impl Ends {
    fn of(output: &Output, field: &Field<'_>, grid: &TimeGrid, saved: ArrayView2<'_, f64>) -> Self {
        let times = [output.step, output.step + 1].map(|n| grid.times()[n]);
        // A dense grid keeps the states at both ends of every step that an output lies in.
        let rows = [output.step, output.step + 1].map(|n| grid.saves().partition_point(|&s| s < n));
        let states = rows.map(|row| saved.row(row).to_vec());
        let fields = [field.eval(&states[0], times[0]), field.eval(&states[1], times[1])];
        Self { times, rows, states, fields }
    }

    fn h(&self) -> f64 {
        self.times[1] - self.times[0]
    }

    /// `w_0 x_n + w_1 h f_n + w_2 x_{n+1} + w_3 h f_{n+1}: [dim]`.
    fn blend(&self, w: [f64; 4]) -> Vec<f64> {
        let mut x = vec![0.0; self.states[0].len()];
        for end in [0, 1] {
            add_scaled(&mut x, w[2 * end], &self.states[end]);
            add_scaled(&mut x, w[2 * end + 1] * self.h(), &self.fields[end]);
        }
        x
    }
}

/// The states at the save times, `[observation, dim]`, from those at the boundaries that the grid keeps, `[save, dim]`.
pub(super) fn interpolate(field: &Field<'_>, grid: &TimeGrid, saved: ArrayView2<'_, f64>) -> Array2<f64> {
    if !grid.is_dense() {
        return saved.to_owned();
    }
    let mut states = Array2::zeros((grid.observations(), saved.ncols()));
    for (output, mut state) in grid.outputs().iter().zip(states.rows_mut()) {
        let x = Ends::of(output, field, grid, saved).blend(basis(output.u)[0]);
        state.iter_mut().zip(x).for_each(|(state, x)| *state = x);
    }
    states
}

/// The vector–Jacobian product of [`interpolate`] for the cotangents `jumps: [observation, dim]`: returns those of the
/// kept states, `[save, dim]`, and adds to the sums what the field at both ends and the times contribute.
pub(super) fn interpolate_vjp(
    field: &Field<'_>,
    grid: &TimeGrid,
    saved: ArrayView2<'_, f64>,
    jumps: ArrayView2<'_, f64>,
    sums: &mut Sums,
) -> Array2<f64> {
    if !grid.is_dense() {
        return jumps.to_owned();
    }
    let mut spread = Array2::zeros(saved.raw_dim());
    for (row, output) in grid.outputs().iter().enumerate() {
        let (ends, jump) = (Ends::of(output, field, grid, saved), jumps.row(row).to_vec());
        let [w, w_slope] = basis(output.u);
        let mut h_bar = 0.0;
        for end in [0, 1] {
            let h_weight = w[2 * end + 1];
            h_bar += h_weight * dot(&jump, &ends.fields[end]);
            let k: Vec<f64> = jump.iter().map(|g| h_weight * ends.h() * g).collect();
            let (mut x_bar, t_bar) = field.vjp(&ends.states[end], ends.times[end], &k, &mut sums.theta);
            add_scaled(&mut x_bar, w[2 * end], &jump);
            spread.row_mut(ends.rows[end]).iter_mut().zip(&x_bar).for_each(|(to, from)| *to += from);
            sums.boundaries[output.step + end] += t_bar;
        }
        // u = (t − τ_n) / h with h = τ_{n+1} − τ_n.
        let u_bar = dot(&jump, &ends.blend(w_slope)) / ends.h();
        sums.outputs[row] += u_bar;
        sums.boundaries[output.step] += (output.u - 1.0) * u_bar - h_bar;
        sums.boundaries[output.step + 1] += h_bar - output.u * u_bar;
    }
    spread
}
