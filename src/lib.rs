//! costate trains neural ODEs on any GPU.
pub mod error;
pub mod io;
pub mod model;
pub mod reference;
pub mod solver;
pub use error::{Error, Result};
pub use model::{Activation, Init, Layer, Mlp, MlpBuilder, Parameters};
pub use solver::{Adjoint, Method, Tableau, TimeGrid};
