//! How one step is taken: coefficients of the methods, the time grid and the kinds of gradient.

mod adjoint;
mod contraction;
mod grid;
mod method;
mod pair;
mod rounding;
mod tableau;

pub(crate) use adjoint::RANGE;
pub use adjoint::{Adjoint, AdjointOptions, DEFAULT_FRACTION_BITS, DEFAULT_LOG_WORDS, FRACTION_BITS, WIDER, range};
pub use contraction::Contraction;
pub use grid::{Output, TimeGradient, TimeGrid};
pub use method::Method;
pub use pair::{Kick, PairKind, PairScheme, Side, Update};
pub(crate) use rounding::rounding;
pub use tableau::Tableau;
