//! How one step is taken: coefficients of the methods, the time grid and the kinds of gradient.

mod grid;
mod method;
mod tableau;

pub use grid::TimeGrid;
pub use method::{Adjoint, Method};
pub use tableau::Tableau;
