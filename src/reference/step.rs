//! One step of an explicit Runge–Kutta method: forward, reverse and adjoint, with the running cost along the way.

use super::Field;
use super::rates::Rates;
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
    add_scaled(&mut x_next, 1.0, &increment(tableau, &Rates::of(field), t, h, x).0);
    x_next
}

/// What a step adds to the state and to the cost: `Ψ_h(t, x) = Φ_h(t, x) − x`, without the rounding of that difference,
/// and `h Σ_i b_i L(X_i, t + c_i h)`.
pub(super) fn increment(tableau: &Tableau, rates: &Rates<'_>, t: f64, h: f64, x: &[f64]) -> (Vec<f64>, f64) {
    let stages = stages(tableau, rates, t, h, x);
    let mut sum = vec![0.0; x.len()];
    let mut cost = 0.0;
    for (b, stage) in tableau.b.iter().zip(&stages) {
        add_scaled(&mut sum, h * b, &stage.k);
        cost += h * b * stage.cost;
    }
    (sum, cost)
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
    let span = Span { t, h, share: 1.0 };
    let mut a = a_next.to_vec();
    add_scaled(&mut a, 1.0, &increment_vjp(tableau, &Rates::of(field), span, x, a_next, theta_bar).x);
    a
}

/// An increment from t to t + h, and how much of its cost counts.
#[derive(Clone, Copy)]
pub(super) struct Span {
    pub(super) t: f64,
    pub(super) h: f64,
    /// 1 for a step of its own; `±½` for the two halves of a McCallum–Foster step.
    pub(super) share: f64,
}

/// Cotangents of the arguments of an increment.
pub(super) struct SpanBar {
    /// Of the state, `[dim]`.
    pub(super) x: Vec<f64>,
    /// Of its start t, the length being fixed.
    pub(super) t: f64,
    /// Of its length h.
    pub(super) h: f64,
}

/// The vector–Jacobian product of [`increment`] for the cotangent `a_next: [dim]` of what it adds to the state, the cost
/// being worth what `rates` and the share say.
///
/// As [`step_vjp`] without the leading `a⁺`, and with the cost: `X̄_i = K_i · ∂f/∂x + h b_i · ∂L/∂x`. With
/// `T_i` the cotangent of the time of stage i, `t̄ = Σ_i T_i` and
/// `h̄ = Σ_i (b_i ⟨k_i, a⁺⟩ + b_i L_i + c_i T_i) + Σ_{j<i} a_ij ⟨k_j, X̄_i⟩`.
pub(super) fn increment_vjp(
    tableau: &Tableau,
    rates: &Rates<'_>,
    Span { t, h, share }: Span,
    x: &[f64],
    a_next: &[f64],
    theta_bar: &mut [f64],
) -> SpanBar {
    let stages = stages(tableau, rates, t, h, x);
    let mut bar = SpanBar { x: vec![0.0; x.len()], t: 0.0, h: 0.0 };
    let mut x_bars: Vec<Vec<f64>> = vec![Vec::new(); tableau.stages()];
    for i in (0..tableau.stages()).rev() {
        // ∂J/∂k_i / h.
        let mut k = vec![0.0; x.len()];
        add_scaled(&mut k, tableau.b[i], a_next);
        for (j, x_bar) in x_bars.iter().enumerate().skip(i + 1) {
            add_scaled(&mut k, tableau.a(j, i), x_bar);
        }
        bar.h += dot(&k, &stages[i].k);
        k.iter_mut().for_each(|k| *k *= h);
        let weight = share * tableau.b[i];
        let pull = rates.pull(&stages[i].x, t + tableau.c[i] * h, &k, h * weight, theta_bar);
        bar.t += pull.t;
        bar.h += tableau.c[i] * pull.t + weight * pull.cost;
        add_scaled(&mut bar.x, 1.0, &pull.x);
        x_bars[i] = pull.x;
    }
    bar
}

/// A stage: its state `X_i` and the values `k_i`, both `[dim]`, and `L_i` there.
pub(super) struct Stage {
    x: Vec<f64>,
    pub(super) k: Vec<f64>,
    cost: f64,
}

pub(super) fn stages(tableau: &Tableau, rates: &Rates<'_>, t: f64, h: f64, x: &[f64]) -> Vec<Stage> {
    let mut stages: Vec<Stage> = Vec::with_capacity(tableau.stages());
    for i in 0..tableau.stages() {
        let mut x = x.to_vec();
        for (j, stage) in stages.iter().enumerate() {
            add_scaled(&mut x, h * tableau.a(i, j), &stage.k);
        }
        let (k, cost) = rates.eval(&x, t + tableau.c[i] * h);
        stages.push(Stage { x, k, cost });
    }
    stages
}

/// `y += s v`.
pub(super) fn add_scaled(y: &mut [f64], s: f64, v: &[f64]) {
    for (y, v) in y.iter_mut().zip(v) {
        *y += s * v;
    }
}

/// `⟨a, b⟩`.
pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
