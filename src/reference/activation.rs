//! The element-wise functions and their derivatives.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

use super::erf::erfc;
use crate::model::{Activation, LEAK};

/// Value `φ(p)` and derivative `φ'(p)` of an activation at the pre-activation `p`.
///
/// The exact functions, where the kernels use approximations good to a few f32 ulp: the error is a few 1e-16 times
/// `max(1, |p|)`, and there is no overflow for any finite `p`. Conventions: `relu'(0) = 0`, leaky relu with slope 0.01 at
/// and below 0, and elu with α = 1, as in PyTorch; gelu is the exact form with the Gaussian distribution function.
#[must_use]
pub fn activation(a: Activation, p: f64) -> (f64, f64) {
    match a {
        Activation::Identity => (p, 1.0),
        // 1/cosh² keeps the relative accuracy of the derivative where 1 − tanh² cancels.
        Activation::Tanh => (p.tanh(), p.cosh().recip().powi(2)),
        // Written so that NaN stays NaN, which `max` would drop.
        Activation::Relu => (if p <= 0.0 { 0.0 } else { p }, if p > 0.0 { 1.0 } else { 0.0 }),
        Activation::Elu => {
            if p > 0.0 {
                (p, 1.0)
            } else {
                (p.exp_m1(), p.exp())
            }
        }
        Activation::Softplus => (p.max(0.0) + (-p.abs()).exp().ln_1p(), sigmoid(p)),
        Activation::Silu => {
            let s = sigmoid(p);
            (p * s, s * (1.0 + p * sigmoid(-p)))
        }
        Activation::Gelu => {
            let distribution = 0.5 * erfc(-p * FRAC_1_SQRT_2);
            (p * distribution, distribution + p * density(p))
        }
        Activation::Sin => p.sin_cos(),
        Activation::Sigmoid => {
            let s = sigmoid(p);
            (s, s * sigmoid(-p))
        }
        Activation::LeakyRelu => {
            if p > 0.0 {
                (p, 1.0)
            } else {
                (LEAK * p, LEAK)
            }
        }
    }
}

/// Second derivative `φ''(p)`: what the derivative of a directional derivative `∂f/∂x · ε` needs.
///
/// Those of relu and leaky relu are 0 everywhere, and at their kinks relu, leaky relu and elu keep the value from below, as their first derivatives do.
#[must_use]
pub fn curvature(a: Activation, p: f64) -> f64 {
    match a {
        Activation::Identity | Activation::Relu | Activation::LeakyRelu => 0.0,
        Activation::Tanh => {
            let (value, slope) = activation(a, p);
            -2.0 * value * slope
        }
        Activation::Elu => {
            if p > 0.0 {
                0.0
            } else {
                p.exp()
            }
        }
        Activation::Softplus => sigmoid(p) * sigmoid(-p),
        Activation::Silu => {
            let s = sigmoid(p);
            s * sigmoid(-p) * (2.0 + p * (1.0 - 2.0 * s))
        }
        Activation::Gelu => (2.0 - p * p) * density(p),
        Activation::Sin => -p.sin(),
        Activation::Sigmoid => {
            let (s, c) = (sigmoid(p), sigmoid(-p));
            s * c * (c - s)
        }
    }
}

/// The standard normal density.
fn density(p: f64) -> f64 {
    (-0.5 * p * p).exp() / (2.0 * PI).sqrt()
}

/// `1 / (1 + e^{−p})` without overflow: the exponent is never positive.
fn sigmoid(p: f64) -> f64 {
    let e = (-p.abs()).exp();
    let s = (1.0 + e).recip();
    if p >= 0.0 { s } else { e * s }
}
