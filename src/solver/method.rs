//! The names of the solvers.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::adjoint::Adjoint;
use super::pair::{self, PairScheme};
use super::tableau::{self, Tableau};
use crate::error::Error;

/// A fixed-step solver, named as in torchdiffeq and diffrax.
///
/// Explicit Runge–Kutta methods keep one state, the others a pair of states and can walk back exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
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
    /// Order 2, 3 evaluations; made for stepping back: its reversal has order 5.
    Ees25,
    /// Order 2, 4 evaluations; its reversal has order 7.
    Ees27,
    /// Order 3, 3 evaluations (Bogacki–Shampine).
    Bosh3,
    /// Order 4, 4 evaluations: the classic method.
    Rk4,
    /// Order 4, 4 evaluations: the 3/8 rule, which torchdiffeq calls `rk4`.
    Rk4ThreeEighths,
    /// Order 5, 6 evaluations (Dormand–Prince).
    Dopri5,
    /// Order 5, 6 evaluations (Tsitouras). The default.
    #[default]
    Tsit5,
    /// Kicks of order 2, 2 evaluations per step.
    Strang,
    /// Kicks of order 4, 6 evaluations.
    Yoshida4,
    /// Kicks of order 4, 10 evaluations.
    Suzuki4,
    /// Kicks of order 4, 12 evaluations, with an error per evaluation below that of [`Method::Rk4`].
    BlanesMoan4,
    /// Order 2, 1 evaluation: Strang kicks of twice the step under another name.
    ReversibleHeun,
    /// Order 2, 1 evaluation: the asynchronous leapfrog of MALI with η = 1.
    Alf,
    /// McCallum & Foster's reversible form of a Runge–Kutta method: its order, twice its evaluations.
    McCallumFoster {
        /// The base method.
        base: &'static Tableau,
        /// The coupling λ in (0, 1].
        coupling: f64,
    },
}

impl Method {
    /// The explicit Runge–Kutta methods, by rising order.
    pub const RUNGE_KUTTA: [Self; 11] = [
        Self::Euler,
        Self::Midpoint,
        Self::Heun,
        Self::Ralston,
        Self::Ees25,
        Self::Ees27,
        Self::Bosh3,
        Self::Rk4,
        Self::Rk4ThreeEighths,
        Self::Dopri5,
        Self::Tsit5,
    ];

    /// The methods on a pair of states that have no parameters: kicks first.
    pub const PAIR: [Self; 6] =
        [Self::Strang, Self::Yoshida4, Self::Suzuki4, Self::BlanesMoan4, Self::ReversibleHeun, Self::Alf];

    /// McCallum & Foster's form of a Runge–Kutta method, with the coupling λ.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the base is not an explicit Runge–Kutta method or λ is outside (0, 1].
    pub fn mccallum_foster(base: Self, coupling: f64) -> Result<Self, Error> {
        if base.pair().is_some() {
            return Err(Error::invalid(
                "base of mccallum_foster",
                format!("{base} is no Runge–Kutta method"),
                format!("use one of {}", names(&Self::RUNGE_KUTTA)),
            ));
        }
        if !(coupling > 0.0 && coupling <= 1.0) {
            return Err(Error::invalid(
                "coupling λ of mccallum_foster",
                coupling.to_string(),
                "use 0 < λ ≤ 1; with λ = 1 floats walk back with the least noise",
            ));
        }
        Ok(Self::McCallumFoster { base: base.tableau(), coupling })
    }

    /// The name used in run files.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Strang => "strang".into(),
            Self::Yoshida4 => "yoshida4".into(),
            Self::Suzuki4 => "suzuki4".into(),
            Self::BlanesMoan4 => "blanes_moan4".into(),
            Self::ReversibleHeun => "reversible_heun".into(),
            Self::Alf => "alf".into(),
            Self::McCallumFoster { base, coupling } => format!("mccallum_foster:{}:{coupling}", base.name),
            _ => self.tableau().name.into(),
        }
    }

    /// The coefficients of the step, or for a method on a pair of states those of one update's increment.
    #[must_use]
    pub const fn tableau(self) -> &'static Tableau {
        match self {
            Self::Midpoint => &tableau::MIDPOINT,
            Self::Heun => &tableau::HEUN,
            Self::Ralston => &tableau::RALSTON,
            Self::Ees25 => &tableau::EES25,
            Self::Ees27 => &tableau::EES27,
            Self::Bosh3 => &tableau::BOSH3,
            Self::Rk4 => &tableau::RK4,
            Self::Rk4ThreeEighths => &tableau::RK4_38,
            Self::Dopri5 => &tableau::DOPRI5,
            Self::Tsit5 => &tableau::TSIT5,
            Self::McCallumFoster { base, .. } => base,
            Self::Euler
            | Self::Strang
            | Self::Yoshida4
            | Self::Suzuki4
            | Self::BlanesMoan4
            | Self::ReversibleHeun
            | Self::Alf => &tableau::EULER,
        }
    }

    /// The scheme of a method on a pair of states, `None` for Runge–Kutta methods.
    #[must_use]
    pub const fn pair(self) -> Option<PairScheme> {
        Some(match self {
            Self::Strang => pair::STRANG,
            Self::Yoshida4 => pair::YOSHIDA4,
            Self::Suzuki4 => pair::SUZUKI4,
            Self::BlanesMoan4 => pair::BLANES_MOAN4,
            Self::ReversibleHeun => pair::REVERSIBLE_HEUN,
            Self::Alf => pair::ALF,
            Self::McCallumFoster { base, coupling } => pair::mccallum_foster(base, coupling),
            _ => return None,
        })
    }

    /// Order of convergence.
    #[must_use]
    pub const fn order(self) -> u32 {
        match self.pair() {
            Some(pair) => pair.order,
            None => self.tableau().order,
        }
    }

    /// The ways to the gradient of the computed loss that the method has. Runge–Kutta methods have
    /// [`Adjoint::Continuous`] beside them.
    #[must_use]
    pub fn adjoints(self) -> &'static [Adjoint] {
        match self.pair() {
            None => &[Adjoint::Stored, Adjoint::Checkpointed, Adjoint::Backsolve],
            Some(pair) if pair.is_additive() => {
                &[Adjoint::Stored, Adjoint::Checkpointed, Adjoint::Reversible, Adjoint::Exact]
            }
            Some(_) => &[Adjoint::Stored, Adjoint::Checkpointed, Adjoint::Reversible],
        }
    }
}

/// Names in a row.
fn names(methods: &[Method]) -> String {
    methods.iter().map(|m| m.name()).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

impl FromStr for Method {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        if let Some(rest) = name.strip_prefix("mccallum_foster") {
            return parse_mccallum_foster(name, rest);
        }
        Self::RUNGE_KUTTA.into_iter().chain(Self::PAIR).find(|m| m.name() == name).ok_or_else(|| Error::UnknownName {
            kind: "solver method",
            name: name.to_owned(),
            known: format!("{}, {}, mccallum_foster:<base>:<lambda>", names(&Self::RUNGE_KUTTA), names(&Self::PAIR)),
        })
    }
}

/// `:<base>:<lambda>`, the rest of the name.
fn parse_mccallum_foster(name: &str, rest: &str) -> Result<Method, Error> {
    let malformed = || {
        Error::invalid(
            "solver method",
            format!("'{name}'"),
            "write mccallum_foster:<base>:<lambda>, for instance mccallum_foster:rk4:1",
        )
    };
    let (base, coupling) = rest.strip_prefix(':').and_then(|r| r.rsplit_once(':')).ok_or_else(malformed)?;
    Method::mccallum_foster(base.parse()?, coupling.parse().map_err(|_| malformed())?)
}

impl TryFrom<String> for Method {
    type Error = Error;

    fn try_from(name: String) -> Result<Self, Error> {
        name.parse()
    }
}

impl From<Method> for String {
    fn from(value: Method) -> Self {
        value.name()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        let foster = Method::mccallum_foster(Method::Rk4, 0.999).expect("a valid method");
        for method in Method::RUNGE_KUTTA.into_iter().chain(Method::PAIR).chain([foster]) {
            assert_eq!(method.name().parse::<Method>().expect("a known name"), method, "{method}");
        }
    }

    #[test]
    fn bad_names_say_what_would_do() {
        for (name, part) in [
            ("rk5", "mccallum_foster:<base>:<lambda>"),
            ("mccallum_foster", "mccallum_foster:rk4:1"),
            ("mccallum_foster:rk4", "mccallum_foster:rk4:1"),
            ("mccallum_foster:rk4:one", "mccallum_foster:rk4:1"),
            ("mccallum_foster:rk4:0", "0 < λ ≤ 1"),
            ("mccallum_foster:rk4:1.01", "0 < λ ≤ 1"),
            ("mccallum_foster:rk4:NaN", "0 < λ ≤ 1"),
            ("mccallum_foster:strang:1", "no Runge–Kutta method"),
            ("mccallum_foster:rk9:1", "unknown solver method 'rk9'"),
        ] {
            let error = name.parse::<Method>().expect_err(name).to_string();
            assert!(error.contains(part), "{name}: {error}");
        }
    }
}
