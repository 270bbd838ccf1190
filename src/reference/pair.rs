//! One step of a method on a pair of states: start, forward, reverse and output, straight from the kick tables.
//!
//! Nothing here uses [`PairScheme::updates`], which merges kicks across steps for the kernels: each checks the other.

use super::Field;
use super::rates::Rates;
use super::step::{add_scaled, increment};
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
    pub(super) fn split(&mut self, target: Side) -> (&mut [f64], &[f64]) {
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
    pair_advance(scheme, &Rates::of(field), step, pair);
}

/// Takes one step and returns the running cost of it.
///
/// Each copy goes through the step once, so every evaluation counts one half: a kick of weight c adds `½ c h L` of its
/// source, both increments of a McCallum–Foster step `½ h Σ_i b_i L` of their stages. The leapfrog evaluates the field once
/// a step, in the middle: `h L`.
pub(super) fn pair_advance(scheme: &PairScheme, rates: &Rates<'_>, step: PairStep, pair: &mut Pair) -> f64 {
    let PairStep { t, h, .. } = step;
    match scheme.kind {
        PairKind::Kicks { kicks, swap } => {
            let mut cost = 0.0;
            for kick in kicks {
                let (target, source) = pair.split(target(kick, swap, step));
                let (f, l) = rates.eval(source, t + kick.node * h);
                add_scaled(target, kick.weight * h, &f);
                cost += 0.5 * kick.weight * h * l;
            }
            cost
        }
        PairKind::Alf => {
            drift(pair, 0.5 * h);
            let (f, l) = rates.eval(&pair.y, t + 0.5 * h);
            reflect(&mut pair.z, &f);
            drift(pair, 0.5 * h);
            h * l
        }
        PairKind::McCallumFoster { coupling } => {
            let (up, cost_up) = increment(scheme.increment, rates, t, h, &pair.z);
            for ((y, z), up) in pair.y.iter_mut().zip(&pair.z).zip(&up) {
                *y = z + coupling * (*y - z) + up;
            }
            let (down, cost_down) = increment(scheme.increment, rates, t + h, -h, &pair.y);
            add_scaled(&mut pair.z, -1.0, &down);
            0.5 * (cost_up - cost_down)
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
            let rates = Rates::of(field);
            let (down, _) = increment(scheme.increment, &rates, t + h, -h, &pair.y);
            add_scaled(&mut pair.z, 1.0, &down);
            let (up, _) = increment(scheme.increment, &rates, t, h, &pair.z);
            for ((y, z), up) in pair.y.iter_mut().zip(&pair.z).zip(&up) {
                *y = z + (*y - z - up) / coupling;
            }
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
pub(super) fn target(kick: &Kick, swap: bool, step: PairStep) -> Side {
    if swap && !step.number.is_multiple_of(2) { kick.side.other() } else { kick.side }
}

/// `y += s z`.
pub(super) fn drift(pair: &mut Pair, s: f64) {
    add_scaled(&mut pair.y, s, &pair.z);
}

/// `v ← 2 f − v`.
fn reflect(v: &mut [f64], f: &[f64]) {
    for (v, f) in v.iter_mut().zip(f) {
        *v = 2.0 * f - *v;
    }
}
