//! How one step is taken: coefficients of the methods, the time grid and the kinds of gradient.

mod adjoint;
mod contraction;
mod grid;
mod method;
mod pair;
mod points;
mod rounding;
mod tableau;

pub use adjoint::{Adjoint, AdjointOptions, DEFAULT_LOG_WORDS, FRACTION_BITS, range};
pub use contraction::Contraction;
pub use grid::{Output, TimeGradient, TimeGrid};
pub use method::Method;
pub use pair::{Kick, PairKind, PairScheme, Side, Update};
pub(crate) use points::{WIDER, asked, given_point, point_for};
pub(crate) use rounding::rounding;
pub use tableau::Tableau;
