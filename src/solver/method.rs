//! The names of the solvers and of the ways to a gradient.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::tableau::{self, Tableau};
use crate::error::Error;

/// A fixed-step solver, named as in torchdiffeq and diffrax.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[non_exhaustive]
pub enum Method {
    /// Order 1, 1 evaluation per step.
    Euler,
    /// Order 2, 2 evaluations.
    Midpoint,
    /// Order 2, 2 evaluations (trapezoidal).
    Heun,
    /// Order 2, 2 evaluations, least error constant.
    Ralston,
    /// Order 4, 4 evaluations: the classic method.
    #[default]
    Rk4,
    /// Order 4, 4 evaluations: the 3/8 rule, which torchdiffeq calls `rk4`.
    Rk4ThreeEighths,
    /// Order 3, 3 evaluations (Bogacki–Shampine).
    Bosh3,
    /// Order 5, 6 evaluations (Dormand–Prince).
    Dopri5,
    /// Order 5, 6 evaluations (Tsitouras).
    Tsit5,
}

impl Method {
    /// Every solver, by rising order.
    pub const ALL: [Self; 9] = [
        Self::Euler,
        Self::Midpoint,
        Self::Heun,
        Self::Ralston,
        Self::Bosh3,
        Self::Rk4,
        Self::Rk4ThreeEighths,
        Self::Dopri5,
        Self::Tsit5,
    ];

    /// The name used in run files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Euler => "euler",
            Self::Midpoint => "midpoint",
            Self::Heun => "heun",
            Self::Ralston => "ralston",
            Self::Rk4 => "rk4",
            Self::Rk4ThreeEighths => "rk4_38",
            Self::Bosh3 => "bosh3",
            Self::Dopri5 => "dopri5",
            Self::Tsit5 => "tsit5",
        }
    }

    /// The coefficients.
    #[must_use]
    pub const fn tableau(self) -> &'static Tableau {
        match self {
            Self::Euler => &tableau::EULER,
            Self::Midpoint => &tableau::MIDPOINT,
            Self::Heun => &tableau::HEUN,
            Self::Ralston => &tableau::RALSTON,
            Self::Rk4 => &tableau::RK4,
            Self::Rk4ThreeEighths => &tableau::RK4_38,
            Self::Bosh3 => &tableau::BOSH3,
            Self::Dopri5 => &tableau::DOPRI5,
            Self::Tsit5 => &tableau::TSIT5,
        }
    }
}

/// How the gradient finds the states of the forward pass again. All give the discrete gradient: that of the
/// computed loss, not a discretisation of the continuous adjoint equation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[non_exhaustive]
pub enum Adjoint {
    /// Keep the state of every step. Exact; memory grows with the number of steps.
    #[default]
    Stored,
    /// Keep one state every ⌈√N⌉ steps, and run each segment again, storing its states, before going back through it.
    /// Exact, since a segment run again gives the same bits; memory grows with √N, for one more forward pass.
    Checkpointed,
    /// Reconstruct the states by stepping with `−h` from x(t1). Memory does not grow with the number of steps, but the
    /// reconstruction drifts as `O(h^r)` with the tableau's reversal order r, and on a field that contracts at rate μ
    /// rounding grows as `e^{μ(t1−t0)}`: look at the reported reconstruction error.
    Backsolve,
}

impl Adjoint {
    /// Every adjoint.
    pub const ALL: [Self; 3] = [Self::Stored, Self::Checkpointed, Self::Backsolve];

    /// True if the states going back are the very states of the forward pass.
    #[must_use]
    pub const fn is_exact(self) -> bool {
        match self {
            Self::Stored | Self::Checkpointed => true,
            Self::Backsolve => false,
        }
    }

    /// The name used in run files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Checkpointed => "checkpointed",
            Self::Backsolve => "backsolve",
        }
    }
}

/// `Display`, `FromStr` and the serde conversions of an enum with `ALL` and `name`.
macro_rules! named {
    ($type:ty, $kind:literal) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }

        impl FromStr for $type {
            type Err = Error;

            fn from_str(name: &str) -> Result<Self, Error> {
                Self::ALL.into_iter().find(|m| m.name() == name).ok_or_else(|| Error::UnknownName {
                    kind: $kind,
                    name: name.to_owned(),
                    known: Self::ALL.map(Self::name).join(", "),
                })
            }
        }

        impl TryFrom<String> for $type {
            type Error = Error;

            fn try_from(name: String) -> Result<Self, Error> {
                name.parse()
            }
        }

        impl From<$type> for String {
            fn from(value: $type) -> Self {
                value.name().to_owned()
            }
        }
    };
}

named!(Method, "solver method");
named!(Adjoint, "adjoint");
