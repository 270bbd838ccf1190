//! What a state at a save time is worth: losses of observations.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The loss of one observation, as a function of the residual `r = x − y`.
///
/// The loss of a batch is `Σ w ℓ(r) / n` over the unmasked observations of the trajectories that take part, `n` being the
/// number of those observations: a mean over time, batch and dim where nothing is masked and every weight is 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Loss {
    /// `r²`
    #[default]
    Mse,
    /// `|r|`, with slope 0 at 0.
    Mae,
    /// `r²/2` for `|r| ≤ δ`, `δ (|r| − δ/2)` beyond (Huber 1964, as PyTorch's `HuberLoss`).
    Huber {
        /// Where the parabola ends, in the units of the state.
        delta: f32,
    },
    /// `(r/σ_c)²/2 + ln σ_c + ln(2π)/2` with a scale `σ_c` for each component, given with the observations as `ln σ_c`.
    GaussianNll,
}

impl Loss {
    /// The names of run files.
    pub const NAMES: [&'static str; 4] = ["mse", "mae", "huber", "gaussian_nll"];

    /// Huber's loss.
    ///
    /// # Errors
    /// [`Error::Invalid`] unless `delta` is finite and positive.
    pub fn huber(delta: f32) -> Result<Self> {
        if delta.is_finite() && delta > 0.0 {
            return Ok(Self::Huber { delta });
        }
        Err(Error::invalid("delta of the Huber loss", delta.to_string(), "use a finite number > 0"))
    }

    /// The name used in run files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mse => "mse",
            Self::Mae => "mae",
            Self::Huber { .. } => "huber",
            Self::GaussianNll => "gaussian_nll",
        }
    }

    /// Number of parameters of the loss for a state of `dim` components.
    #[must_use]
    pub const fn parameter_count(self, dim: usize) -> usize {
        match self {
            Self::GaussianNll => dim,
            _ => 0,
        }
    }

    /// `ℓ(r)` and its derivatives with respect to r and to `s = ln σ`; `s` matters to [`Self::GaussianNll`] only.
    #[must_use]
    pub fn value(self, r: f64, s: f64) -> (f64, f64, f64) {
        match self {
            Self::Mse => (r * r, 2.0 * r, 0.0),
            Self::Mae => (r.abs(), if r == 0.0 { 0.0 } else { r.signum() }, 0.0),
            Self::Huber { delta } => {
                let delta = f64::from(delta);
                if r.abs() <= delta {
                    (0.5 * r * r, r, 0.0)
                } else {
                    (delta * (r.abs() - 0.5 * delta), delta * r.signum(), 0.0)
                }
            }
            Self::GaussianNll => {
                let z = r * (-s).exp();
                (0.5 * z * z + s + 0.5 * (2.0 * std::f64::consts::PI).ln(), z * (-s).exp(), 1.0 - z * z)
            }
        }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Which gradients are wanted. What is not asked for costs no dispatch and no readback.
///
/// ```
/// use costate::Wrt;
/// let wanted = Wrt { t1: true, ..Wrt::default() };
/// assert!(wanted.theta && wanted.x0 && wanted.times());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Wrt {
    /// dJ/dθ (default: true).
    pub theta: bool,
    /// dJ/dx0 (default: true).
    pub x0: bool,
    /// dJ/dt0 (default: false).
    pub t0: bool,
    /// dJ/dt1 (default: false).
    pub t1: bool,
    /// dJ/dt of every save time (default: false).
    pub saves: bool,
    /// dJ/dy of the targets (default: false).
    pub targets: bool,
    /// dJ/d ln σ of [`Loss::GaussianNll`] (default: false).
    pub loss: bool,
}

impl Default for Wrt {
    fn default() -> Self {
        Self { theta: true, x0: true, t0: false, t1: false, saves: false, targets: false, loss: false }
    }
}

impl Wrt {
    /// Everything that a problem with this loss has.
    #[must_use]
    pub const fn all(loss: Loss) -> Self {
        let parameters = loss.parameter_count(1) > 0;
        Self { theta: true, x0: true, t0: true, t1: true, saves: true, targets: true, loss: parameters }
    }

    /// Nothing.
    #[must_use]
    pub const fn nothing() -> Self {
        Self { theta: false, x0: false, t0: false, t1: false, saves: false, targets: false, loss: false }
    }

    /// True if a gradient with respect to a time is wanted.
    #[must_use]
    pub const fn times(self) -> bool {
        self.t0 || self.t1 || self.saves
    }

    /// True if the adjoint must go back from t1: all but the gradients with respect to targets and loss.
    #[must_use]
    pub const fn reverses(self) -> bool {
        self.theta || self.x0 || self.times()
    }
}

impl FromStr for Wrt {
    type Err = Error;

    /// A list of names such as `theta, x0, t1`.
    fn from_str(names: &str) -> Result<Self> {
        let mut wrt = Self::nothing();
        for name in names.split([',', ' ']).filter(|n| !n.is_empty()) {
            let place = match name {
                "theta" => &mut wrt.theta,
                "x0" => &mut wrt.x0,
                "t0" => &mut wrt.t0,
                "t1" => &mut wrt.t1,
                "saves" => &mut wrt.saves,
                "targets" => &mut wrt.targets,
                "loss" => &mut wrt.loss,
                _ => {
                    return Err(Error::UnknownName {
                        kind: "argument of the gradient",
                        name: name.to_owned(),
                        known: "theta, x0, t0, t1, saves, targets, loss".into(),
                    });
                }
            };
            *place = true;
        }
        if wrt == Self::nothing() {
            let remedy = "name at least one of theta, x0, t0, t1, saves, targets, loss";
            return Err(Error::invalid("arguments of the gradient", "none named", remedy));
        }
        Ok(wrt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derivatives_are_those_of_the_values() {
        let losses = [Loss::Mse, Loss::Mae, Loss::huber(0.7).expect("a valid delta"), Loss::GaussianNll];
        for loss in losses {
            for (r, s) in [(0.3, -0.4), (-1.5, 0.2), (0.65, 1.0), (2.0, 0.0)] {
                let h = 1e-6;
                let (_, by_r, by_s) = loss.value(r, s);
                let difference =
                    |a: (f64, f64), b: (f64, f64)| (loss.value(a.0, a.1).0 - loss.value(b.0, b.1).0) / (2.0 * h);
                let [found_r, found_s] = [difference((r + h, s), (r - h, s)), difference((r, s + h), (r, s - h))];
                assert!((by_r - found_r).abs() < 1e-8 * (1.0 + found_r.abs()), "{loss}: {by_r} and {found_r}");
                assert!((by_s - found_s).abs() < 1e-8 * (1.0 + found_s.abs()), "{loss}: {by_s} and {found_s}");
            }
        }
        assert_eq!(Loss::Mae.value(0.0, 0.0), (0.0, 0.0, 0.0), "the middle of the subgradient at 0");
    }

    #[test]
    fn names_of_arguments_are_read() {
        let wrt: Wrt = "theta, t1 saves".parse().expect("known names");
        assert_eq!(wrt, Wrt { theta: true, t1: true, saves: true, ..Wrt::nothing() });
        assert!("".parse::<Wrt>().is_err() && "theta,y".parse::<Wrt>().is_err(), "none or unknown");
        assert!(!Wrt::all(Loss::Mse).loss && Wrt::all(Loss::GaussianNll).loss, "what the loss has");
    }

    #[test]
    fn delta_must_be_positive() {
        for delta in [0.0, -1.0, f32::NAN, f32::INFINITY] {
            assert!(Loss::huber(delta).is_err(), "{delta}");
        }
    }
}
