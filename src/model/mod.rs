//! What is integrated: the field, its activations and its parameters.

mod activation;
mod mlp;
mod parameters;

pub use activation::Activation;
pub use mlp::{Init, Layer, Mlp, MlpBuilder};
pub use parameters::Parameters;
