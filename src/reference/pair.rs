//! One step of a method on a pair of states: start, forward, reverse, adjoint and output, straight from the kick tables.
//!
//! Nothing here uses [`PairScheme::updates`], which merges kicks across steps for the kernels: each checks the other.

use super::Field;
use super::step::{add_scaled, increment, increment_vjp};
use crate::solver::{Contraction, Kick, PairKind, PairScheme, Side};

/// The two copies, or their cotangents, each `[dim]`. With the asynchronous leapfrog z is the velocity.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// The first copy.
    pub y: Vec<f64>,
    /// The second copy.
    pub z: Vec<f64>,
}

/// A step of the grid, from t to t + h.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PairStep {
    /// Its number from 0: methods whose copies change roles depend on its parity.
    pub number: usize,
    /// Its start.
    pub t: f64,
    /// Its length, negative backward in time.
    pub h: f64,
}

impl Pair {
    /// Two copies of one state.
    #[must_use]
    pub fn doubled(x: &[f64]) -> Self {
        Self { y: x.to_vec(), z: x.to_vec() }
    }

    /// The copy that changes, and the one that decides how.
    fn split(&mut self, target: Side) -> (&mut [f64], &[f64]) {
        match target {
            Side::Y => (&mut self.y, &self.z),
            Side::Z => (&mut self.z, &self.y),
        }
    }
}

/// The pair that a solve starts with: `(x0, x0)`, or `(x0, f(x0, t0))` with the asynchronous leapfrog.
///
/// # Panics
/// If `x0` does not have the dimension of the field.
#[must_use]
pub fn pair_start(scheme: &PairScheme, field: &Field<'_>, t0: f64, x0: &[f64]) -> Pair {
    match scheme.kind {
        PairKind::Alf => Pair { y: x0.to_vec(), z: field.eval(x0, t0) },
        PairKind::Kicks { .. } | PairKind::McCallumFoster { .. } => Pair::doubled(x0),
    }
}

/// The vector–Jacobian product of [`pair_start`]: returns `∂J/∂x0` for the cotangents of the first pair and adds to
/// `theta_bar` what the evaluation at the start contributes.
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
    let mut a = bar.y.clone();
    match scheme.kind {
        PairKind::Alf => add_scaled(&mut a, 1.0, &field.vjp(x0, t0, &bar.z, theta_bar).0),
        PairKind::Kicks { .. } | PairKind::McCallumFoster { .. } => add_scaled(&mut a, 1.0, &bar.z),
    }
    a
}

/// The state that a pair stands for.
#[must_use]
pub fn pair_output(scheme: &PairScheme, pair: &Pair) -> Vec<f64> {
    let [in_y, in_z] = scheme.output();
    pair.y.iter().zip(&pair.z).map(|(y, z)| in_y * y + in_z * z).collect()
}

/// Takes one step.
///
/// # Panics
/// If the pair does not have the dimension of the field.
pub fn pair_step(scheme: &PairScheme, field: &Field<'_>, step: PairStep, pair: &mut Pair) {
    let PairStep { t, h, .. } = step;
    match scheme.kind {
        PairKind::Kicks { kicks, swap } => {
            for kick in kicks {
                let (target, source) = pair.split(target(kick, swap, step));
                add_scaled(target, kick.weight * h, &field.eval(source, t + kick.node * h));
            }
        }
        PairKind::Alf => {
            drift(pair, 0.5 * h);
            let f = field.eval(&pair.y, t + 0.5 * h);
            reflect(&mut pair.z, &f);
            drift(pair, 0.5 * h);
        }
        PairKind::McCallumFoster { coupling } => {
            let up = increment(scheme.increment, field, t, h, &pair.z);
            for ((y, z), up) in pair.y.iter_mut().zip(&pair.z).zip(&up) {
                *y = z + coupling * (*y - z) + up;
            }
            let down = increment(scheme.increment, field, t + h, -h, &pair.y);
            add_scaled(&mut pair.z, -1.0, &down);
        }
    }
}

/// Undoes a step: the inverse in real arithmetic, whatever the pair.
///
/// # Panics
/// If the pair does not have the dimension of the field.
pub fn pair_step_reverse(scheme: &PairScheme, field: &Field<'_>, step: PairStep, pair: &mut Pair) {
    let PairStep { t, h, .. } = step;
    match scheme.kind {
        PairKind::Kicks { kicks, swap } => {
            for kick in kicks.iter().rev() {
                let (target, source) = pair.split(target(kick, swap, step));
                add_scaled(target, -kick.weight * h, &field.eval(source, t + kick.node * h));
            }
        }
        PairKind::Alf => {
            drift(pair, -0.5 * h);
            let f = field.eval(&pair.y, t + 0.5 * h);
            reflect(&mut pair.z, &f);
            drift(pair, -0.5 * h);
        }
        PairKind::McCallumFoster { coupling } => {
            let down = increment(scheme.increment, field, t + h, -h, &pair.y);
            add_scaled(&mut pair.z, 1.0, &down);
            let up = increment(scheme.increment, field, t, h, &pair.z);
            for ((y, z), up) in pair.y.iter_mut().zip(&pair.z).zip(&up) {
                *y = z + (*y - z - up) / coupling;
            }
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
    let PairStep { t, h, .. } = step;
    let mut pair = start.clone();
    match scheme.kind {
        PairKind::Kicks { kicks, swap } => {
            let mut sources = Vec::with_capacity(kicks.len());
            for kick in kicks {
                let (target, source) = pair.split(target(kick, swap, step));
                sources.push(source.to_vec());
                add_scaled(target, kick.weight * h, &field.eval(source, t + kick.node * h));
            }
            for (kick, source) in kicks.iter().zip(&sources).rev() {
                let side = target(kick, swap, step);
                let k: Vec<f64> = bar.split(side).0.iter().map(|a| kick.weight * h * a).collect();
                let (source_bar, _) = field.vjp(source, t + kick.node * h, &k, theta_bar);
                add_scaled(bar.split(side.other()).0, 1.0, &source_bar);
            }
        }
        PairKind::Alf => {
            drift(&mut pair, 0.5 * h);
            // The cotangent of each drift `y += h/2 z`, of `z ← 2 f(y) − z` between them.
            add_scaled(&mut bar.z, 0.5 * h, &bar.y);
            let k: Vec<f64> = bar.z.iter().map(|a| 2.0 * a).collect();
            let (middle_bar, _) = field.vjp(&pair.y, t + 0.5 * h, &k, theta_bar);
            add_scaled(&mut bar.y, 1.0, &middle_bar);
            bar.z.iter_mut().for_each(|a| *a = -*a);
            add_scaled(&mut bar.z, 0.5 * h, &bar.y);
        }
        PairKind::McCallumFoster { coupling } => {
            let before = pair.z.clone();
            pair_step(scheme, field, step, &mut pair);
            let k: Vec<f64> = bar.z.iter().map(|a| -a).collect();
            let through = increment_vjp(scheme.increment, field, t + h, -h, &pair.y, &k, theta_bar);
            add_scaled(&mut bar.y, 1.0, &through);
            let through = increment_vjp(scheme.increment, field, t, h, &before, &bar.y, theta_bar);
            add_scaled(&mut bar.z, 1.0 - coupling, &bar.y);
            add_scaled(&mut bar.z, 1.0, &through);
            bar.y.iter_mut().for_each(|a| *a *= coupling);
        }
    }
}

/// Brings the copies together: the mean stays, the difference is multiplied by `2^−bits`.
///
/// A symmetric linear map, so it is its own vector–Jacobian product: cotangents go through the same function.
pub fn pair_contract(contraction: Contraction, pair: &mut Pair) {
    let shrink = (-f64::from(contraction.bits)).exp2();
    for (y, z) in pair.y.iter_mut().zip(&mut pair.z) {
        let (mean, half) = (0.5 * (*y + *z), 0.5 * shrink * (*y - *z));
        (*y, *z) = (mean + half, mean - half);
    }
}

/// The copy that a kick changes in this step.
fn target(kick: &Kick, swap: bool, step: PairStep) -> Side {
    if swap && !step.number.is_multiple_of(2) { kick.side.other() } else { kick.side }
}

/// `y += s z`.
fn drift(pair: &mut Pair, s: f64) {
    add_scaled(&mut pair.y, s, &pair.z);
}

/// `v ← 2 f − v`.
fn reflect(v: &mut [f64], f: &[f64]) {
    for (v, f) in v.iter_mut().zip(f) {
        *v = 2.0 * f - *v;
    }
}
