//! The continuous adjoint: the equations of Pontryagin's principle, discretised backward on their own.
//!
//! ```text
//! a(t1) = 0 + jump    a' = −a ∂f/∂x − ∂L/∂x    a(t_k⁻) = a(t_k⁺) + jump    θ̄ = ∫ (a ∂f/∂θ + ∂L/∂θ) dt
//! ```
//!
//! With the multiplier λ = −a of a Lagrangian that has `λ (ẋ − f)` in it the same reads `θ̄ = ∫ (∂L/∂θ − λ ∂f/∂θ) dt`.

use ndarray::ArrayView2;

use super::rates::Rates;
use super::step::{add_scaled, dot};
use crate::solver::{Tableau, TimeGrid};

/// Steps x and a back from `t_next` to `t_next − h` with one tableau: stages `X_i = x − h Σ_j a_ij f_j` and
/// `A_i = a + h Σ_j a_ij V_j` at `t_next − c_i h`, where `V_i = A_i ∂f/∂x + ∂L/∂x`. Adds
/// `h Σ_i b_i (A_i ∂f/∂θ + ∂L/∂θ)` to `theta_bar`.
pub(super) fn costate_step(
    tableau: &Tableau,
    rates: &Rates<'_>,
    (t_next, h): (f64, f64),
    x: &mut [f64],
    a: &mut [f64],
    theta_bar: &mut [f64],
) {
    let mut slopes: Vec<(Vec<f64>, Vec<f64>)> = Vec::with_capacity(tableau.stages());
    for i in 0..tableau.stages() {
        let (mut x_stage, mut a_stage) = (x.to_vec(), a.to_vec());
        for (j, (f, v)) in slopes.iter().enumerate() {
            add_scaled(&mut x_stage, -h * tableau.a(i, j), f);
            add_scaled(&mut a_stage, h * tableau.a(i, j), v);
        }
        let mut in_theta = vec![0.0; theta_bar.len()];
        let pull = rates.pull(&x_stage, t_next - tableau.c[i] * h, &a_stage, 1.0, &mut in_theta);
        add_scaled(theta_bar, h * tableau.b[i], &in_theta);
        slopes.push((pull.f, pull.x));
    }
    for (b, (f, v)) in tableau.b.iter().zip(&slopes) {
        add_scaled(x, -h * b, f);
        add_scaled(a, h * b, v);
    }
}

/// The states at both ends of a solve and the adjoint at its start, after the jump there if t0 is a save time.
pub(super) struct Ends<'a> {
    pub(super) x0: &'a [f64],
    pub(super) x1: &'a [f64],
    pub(super) a0: &'a [f64],
}

/// Adds the gradients in time by the Hamiltonian `⟨a, f⟩ + L` of one trajectory to those of the boundaries, `[N + 1]`:
/// `⟨jump, f⟩` at a save time, `L` and the jump's part at t1, `−⟨a, f⟩ − L` at t0. `saved` and `jumps` are
/// `[save, dim]`.
///
/// A save time at t0 moves with it and holds x0 wherever that is, so its jump does not count. Save times of a dense grid
/// stay where they are when t0 and t1 move: what they ask of x counts at t0, and nothing of it at t1.
pub(super) fn hamiltonian_times(
    rates: &Rates<'_>,
    grid: &TimeGrid,
    ends: &Ends<'_>,
    saved: ArrayView2<'_, f64>,
    jumps: ArrayView2<'_, f64>,
    boundaries: &mut [f64],
) {
    let mut a0 = ends.a0.to_vec();
    if !grid.is_dense() {
        for (row, &n) in grid.saves().iter().enumerate() {
            let jump = jumps.row(row).to_vec();
            if n == 0 {
                add_scaled(&mut a0, -1.0, &jump);
            } else {
                let f = rates.field().eval(&saved.row(row).to_vec(), grid.times()[n]);
                boundaries[n] += dot(&jump, &f);
            }
        }
    }
    let (_, cost) = rates.worth(ends.x1, grid.t1());
    boundaries[grid.steps()] += cost;
    let (f, cost) = rates.worth(ends.x0, grid.t0());
    boundaries[0] -= dot(&a0, &f) + cost;
}
