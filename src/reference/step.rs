//! One step of an explicit Runge–Kutta method: forward, reverse and adjoint.

use super::Field;
use crate::solver::Tableau;

/// Takes one step: `x⁺ = Φ_h(t, x) = x + h Σ_i b_i k_i`.
///
/// Stages `X_i = x + h Σ_{j<i} a_ij k_j` and `k_i = f(X_i, t + c_i h)`; `x` and the result are `[dim]`.
///
/// # Panics
/// If `x` does not have the dimension of the field.
#[must_use]
pub fn step(tableau: &Tableau, field: &Field<'_>, t: f64, h: f64, x: &[f64]) -> Vec<f64> {
    let mut x_next = x.to_vec();
    add_scaled(&mut x_next, 1.0, &increment(tableau, field, t, h, x));
    x_next
}

/// What a step adds: `Ψ_h(t, x) = Φ_h(t, x) − x`, without the rounding of that difference.
pub(super) fn increment(tableau: &Tableau, field: &Field<'_>, t: f64, h: f64, x: &[f64]) -> Vec<f64> {
    let (_, k) = stages(tableau, field, t, h, x);
    let mut sum = vec![0.0; x.len()];
    for (b, k) in tableau.b.iter().zip(&k) {
        add_scaled(&mut sum, h * b, k);
    }
    sum
}

/// Undoes a step approximately: `x̂ = Φ_{−h}(t⁺, x⁺)`, the same method run the other way from the step's end `t⁺ = t + h`.
///
/// The defect is `O(h^{r+1})` with the tableau's reversal order r: no explicit method undoes itself exactly.
///
/// # Panics
/// If `x_next` does not have the dimension of the field.
#[must_use]
pub fn step_reverse(tableau: &Tableau, field: &Field<'_>, t_next: f64, h: f64, x_next: &[f64]) -> Vec<f64> {
    step(tableau, field, t_next, -h, x_next)
}

/// The exact vector–Jacobian product of [`step`] at `x`, for the adjoint `a_next = ∂J/∂x⁺`.
///
/// Returns `a = ∂J/∂x: [dim]` and adds `∂J/∂θ` of this step to `theta_bar`. From the last stage to the first:
/// `K_i = h (b_i a⁺ + Σ_{j>i} a_ji X̄_j)` and `X̄_i = K_i · ∂f/∂x(X_i, t + c_i h)`; then `a = a⁺ + Σ_i X̄_i`. The leading
/// `a⁺` is the identity in `∂x⁺/∂x = I + h(…)`.
///
/// # Panics
/// If `x` or `a_next` does not have the dimension of the field or `theta_bar` not one entry per parameter.
#[must_use]
pub fn step_vjp(
    tableau: &Tableau,
    field: &Field<'_>,
    t: f64,
    h: f64,
    x: &[f64],
    a_next: &[f64],
    theta_bar: &mut [f64],
) -> Vec<f64> {
    let mut a = a_next.to_vec();
    add_scaled(&mut a, 1.0, &increment_vjp(tableau, field, t, h, x, a_next, theta_bar));
    a
}

/// The vector–Jacobian product of [`increment`]: that of [`step`] without the leading `a⁺`.
pub(super) fn increment_vjp(
    tableau: &Tableau,
    field: &Field<'_>,
    t: f64,
    h: f64,
    x: &[f64],
    a_next: &[f64],
    theta_bar: &mut [f64],
) -> Vec<f64> {
    let (stage_states, _) = stages(tableau, field, t, h, x);
    let mut a = vec![0.0; x.len()];
    let mut x_bars: Vec<Vec<f64>> = vec![Vec::new(); tableau.stages()];
    for i in (0..tableau.stages()).rev() {
        let mut k = vec![0.0; field.dim()];
        add_scaled(&mut k, h * tableau.b[i], a_next);
        for (j, x_bar) in x_bars.iter().enumerate().skip(i + 1) {
            add_scaled(&mut k, h * tableau.a(j, i), x_bar);
        }
        let (x_bar, _) = field.vjp(&stage_states[i], t + tableau.c[i] * h, &k, theta_bar);
        add_scaled(&mut a, 1.0, &x_bar);
        x_bars[i] = x_bar;
    }
    a
}

/// The stage states `X_i` and the field values `k_i`, each `[stages][dim]`.
fn stages(tableau: &Tableau, field: &Field<'_>, t: f64, h: f64, x: &[f64]) -> (Vec<Vec<f64>>, Vec<Vec<f64>>) {
    let (mut states, mut values): (Vec<Vec<f64>>, Vec<Vec<f64>>) = (Vec::new(), Vec::new());
    for i in 0..tableau.stages() {
        let mut state = x.to_vec();
        for (j, k) in values.iter().enumerate() {
            add_scaled(&mut state, h * tableau.a(i, j), k);
        }
        values.push(field.eval(&state, t + tableau.c[i] * h));
        states.push(state);
    }
    (states, values)
}

/// `y += s v`.
pub(super) fn add_scaled(y: &mut [f64], s: f64, v: &[f64]) {
    for (y, v) in y.iter_mut().zip(v) {
        *y += s * v;
    }
}
