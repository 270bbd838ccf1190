//! The adjoint of one step of a method on a pair of states, with the running cost along the way.

use super::Field;
use super::pair::{Pair, PairStep, drift, pair_step, target};
use super::rates::Rates;
use super::step::{Span, add_scaled, dot, increment_vjp};
use crate::solver::{Kick, PairKind, PairScheme};

/// The vector–Jacobian product of [`pair_start`](super::pair_start): returns `∂J/∂x0` for the cotangents of the first pair
/// and adds to `theta_bar` what the evaluation at the start contributes.
///
/// # Panics
/// If a vector does not have the length that the field asks for.
#[must_use]
pub fn pair_start_vjp(
    scheme: &PairScheme,
    field: &Field<'_>,
    t0: f64,
    x0: &[f64],
    bar: &Pair,
    theta_bar: &mut [f64],
) -> Vec<f64> {
    start_pull(scheme, field, t0, x0, bar, theta_bar).0
}

/// As [`pair_start_vjp`], with the cotangent of t0.
pub(super) fn start_pull(
    scheme: &PairScheme,
    field: &Field<'_>,
    t0: f64,
    x0: &[f64],
    bar: &Pair,
    theta_bar: &mut [f64],
) -> (Vec<f64>, f64) {
    let mut a = bar.y.clone();
    match scheme.kind {
        PairKind::Alf => {
            let (x_bar, t_bar) = field.vjp(x0, t0, &bar.z, theta_bar);
            add_scaled(&mut a, 1.0, &x_bar);
            (a, t_bar)
        }
        PairKind::Kicks { .. } | PairKind::McCallumFoster { .. } => {
            add_scaled(&mut a, 1.0, &bar.z);
            (a, 0.0)
        }
    }
}

/// The exact vector–Jacobian product of [`pair_step`] at the pair `start`.
///
/// Turns the cotangents `bar` of the pair after the step into those of the pair before it, and adds `∂J/∂θ` of this step
/// to `theta_bar`.
///
/// # Panics
/// If a vector does not have the length that the field asks for.
pub fn pair_step_vjp(
    scheme: &PairScheme,
    field: &Field<'_>,
    step: PairStep,
    start: &Pair,
    bar: &mut Pair,
    theta_bar: &mut [f64],
) {
    pair_pull(scheme, &Rates::of(field), step, start, bar, theta_bar);
}

/// Cotangents of the times of a step.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct StepBar {
    /// Of its start t, the length being fixed.
    pub(super) t: f64,
    /// Of its length h.
    pub(super) h: f64,
}

/// As [`pair_step_vjp`], with the running cost and the cotangents of the step's times.
pub(super) fn pair_pull(
    scheme: &PairScheme,
    rates: &Rates<'_>,
    step: PairStep,
    start: &Pair,
    bar: &mut Pair,
    theta_bar: &mut [f64],
) -> StepBar {
    match scheme.kind {
        PairKind::Kicks { kicks, swap } => kicks_pull((kicks, swap), rates, step, start, bar, theta_bar),
        PairKind::Alf => leapfrog_pull(rates, step, start, bar, theta_bar),
        PairKind::McCallumFoster { coupling } => foster_pull((scheme, coupling), rates, step, start, bar, theta_bar),
    }
}

/// A kick `target += c h f(source, τ)` with the cost `½ c h L(source, τ)` at `τ = t + node · h`: the source gets
/// `VJP(c h · target_bar) + ½ c h ∂L/∂x`, the length `c ⟨f, target_bar⟩ + ½ c L + node · T`.
fn kicks_pull(
    (kicks, swap): (&[Kick], bool),
    rates: &Rates<'_>,
    step: PairStep,
    start: &Pair,
    bar: &mut Pair,
    theta_bar: &mut [f64],
) -> StepBar {
    let PairStep { t, h, .. } = step;
    let mut pair = start.clone();
    let mut sources = Vec::with_capacity(kicks.len());
    for kick in kicks {
        let (target, source) = pair.split(target(kick, swap, step));
        sources.push(source.to_vec());
        add_scaled(target, kick.weight * h, &rates.field().eval(source, t + kick.node * h));
    }
    let mut times = StepBar::default();
    for (kick, source) in kicks.iter().zip(&sources).rev() {
        let side = target(kick, swap, step);
        let target_bar = bar.split(side).0.to_vec();
        let k: Vec<f64> = target_bar.iter().map(|a| kick.weight * h * a).collect();
        let pull = rates.pull(source, t + kick.node * h, &k, 0.5 * kick.weight * h, theta_bar);
        add_scaled(bar.split(side.other()).0, 1.0, &pull.x);
        times.t += pull.t;
        times.h += kick.node * pull.t + kick.weight * (dot(&pull.f, &target_bar) + 0.5 * pull.cost);
    }
    times
}

/// The asynchronous leapfrog: `y += h/2 z`, `z ← 2 f(y) − z` with the cost `h L(y)`, `y += h/2 z`.
fn leapfrog_pull(
    rates: &Rates<'_>,
    PairStep { t, h, .. }: PairStep,
    start: &Pair,
    bar: &mut Pair,
    theta_bar: &mut [f64],
) -> StepBar {
    let mut middle = start.clone();
    drift(&mut middle, 0.5 * h);
    // The cotangents of the second drift, of the reflection and of the first drift.
    add_scaled(&mut bar.z, 0.5 * h, &bar.y);
    let k: Vec<f64> = bar.z.iter().map(|a| 2.0 * a).collect();
    let pull = rates.pull(&middle.y, t + 0.5 * h, &k, h, theta_bar);
    let reflected: Vec<f64> = pull.f.iter().zip(&middle.z).map(|(f, z)| 2.0 * f - z).collect();
    let mut h_bar = 0.5 * dot(&reflected, &bar.y);
    add_scaled(&mut bar.y, 1.0, &pull.x);
    bar.z.iter_mut().for_each(|a| *a = -*a);
    h_bar += 0.5 * dot(&start.z, &bar.y) + 0.5 * pull.t + pull.cost;
    add_scaled(&mut bar.z, 0.5 * h, &bar.y);
    StepBar { t: pull.t, h: h_bar }
}

/// McCallum–Foster: `y⁺ = z + λ (y − z) + Ψ_h(t, z)`, `z⁺ = z − Ψ_{−h}(t + h, y⁺)`. The second increment runs from t + h
/// with the length −h, so its cotangents `t̂` and `ĥ` are worth `t̂` to t and `t̂ − ĥ` to h.
fn foster_pull(
    (scheme, coupling): (&PairScheme, f64),
    rates: &Rates<'_>,
    step: PairStep,
    start: &Pair,
    bar: &mut Pair,
    theta_bar: &mut [f64],
) -> StepBar {
    let PairStep { t, h, .. } = step;
    let mut end = start.clone();
    pair_step(scheme, rates.field(), step, &mut end);
    let k: Vec<f64> = bar.z.iter().map(|a| -a).collect();
    let span = Span { t: t + h, h: -h, share: -0.5 };
    let down = increment_vjp(scheme.increment, rates, span, &end.y, &k, theta_bar);
    add_scaled(&mut bar.y, 1.0, &down.x);
    let span = Span { t, h, share: 0.5 };
    let up = increment_vjp(scheme.increment, rates, span, &start.z, &bar.y, theta_bar);
    add_scaled(&mut bar.z, 1.0 - coupling, &bar.y);
    add_scaled(&mut bar.z, 1.0, &up.x);
    bar.y.iter_mut().for_each(|a| *a *= coupling);
    StepBar { t: up.t + down.t, h: up.h + down.t - down.h }
}
