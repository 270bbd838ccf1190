//! The element-wise functions between the layers of a field.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// An element-wise non-linearity.
///
/// The kernels evaluate each with additions, multiplications, one division and bit operations only: built-in
/// transcendental functions differ between drivers, some give NaN for large arguments. The error against the exact
/// function is a few f32 ulp; the derivative that the adjoint uses is that of the function as evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[non_exhaustive]
pub enum Activation {
    /// `p`
    Identity,
    /// `tanh p`
    Tanh,
    /// `max(p, 0)`. Only Lipschitz: solvers lose their order at its kinks.
    Relu,
    /// `p` for p > 0, `e^p − 1` below (α = 1).
    Elu,
    /// `ln(1 + e^p)`
    Softplus,
    /// `p / (1 + e^{−p})`, also called swish.
    Silu,
    /// `p Φ(p)` with the Gaussian distribution function Φ: PyTorch's `nn.GELU()`.
    Gelu,
    /// `sin p`, to 1.2e-7 for |p| up to some thousands; beyond 1e5 only a number in ±1.
    Sin,
    /// `1 / (1 + e^{−p})`
    Sigmoid,
    /// `p` for p > 0, `0.01 p` below: PyTorch's `nn.LeakyReLU()`. Only Lipschitz, as relu.
    LeakyRelu,
}

/// Slope of [`Activation::LeakyRelu`] below 0.
pub(crate) const LEAK: f64 = 0.01;

impl Activation {
    /// Every activation, in the order of the documentation.
    pub const ALL: [Self; 10] = [
        Self::Identity,
        Self::Tanh,
        Self::Relu,
        Self::Elu,
        Self::Softplus,
        Self::Silu,
        Self::Gelu,
        Self::Sin,
        Self::Sigmoid,
        Self::LeakyRelu,
    ];

    /// The name used in run files and shader functions. Other spellings are read too, see [`Self::from_str`].
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Tanh => "tanh",
            Self::Relu => "relu",
            Self::Elu => "elu",
            Self::Softplus => "softplus",
            Self::Silu => "silu",
            Self::Gelu => "gelu",
            Self::Sin => "sin",
            Self::Sigmoid => "sigmoid",
            Self::LeakyRelu => "leaky_relu",
        }
    }

    /// True if the slope at a point can be told from the value there.
    pub(crate) const fn slope_follows(self) -> bool {
        matches!(self, Self::Identity | Self::Tanh | Self::Relu | Self::Elu | Self::Sigmoid | Self::LeakyRelu)
    }
}

impl fmt::Display for Activation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Activation {
    type Err = Error;

    /// The spellings of other packages are read too: upper and lower case are the same, underscores may be left out
    /// (`LeakyReLU`), a path before the name is passed over (`nn.Tanh`), and swish is silu.
    fn from_str(name: &str) -> Result<Self, Error> {
        let plain = |name: &str| name.replace('_', "").to_ascii_lowercase();
        let last = plain(name.rsplit('.').next().unwrap_or(name));
        let found = match last.as_str() {
            "swish" => Some(Self::Silu),
            last => Self::ALL.into_iter().find(|a| plain(a.name()) == last),
        };
        found.ok_or_else(|| Error::UnknownName {
            kind: "activation",
            name: name.to_owned(),
            known: Self::ALL.map(Self::name).join(", "),
        })
    }
}

impl TryFrom<String> for Activation {
    type Error = Error;

    fn try_from(name: String) -> Result<Self, Error> {
        name.parse()
    }
}

impl From<Activation> for String {
    fn from(activation: Activation) -> Self {
        activation.name().to_owned()
    }
}
