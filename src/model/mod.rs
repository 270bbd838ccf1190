//! What is integrated and what it is worth: the field, its activations and parameters, running cost and loss.

mod activation;
mod cost;
mod loss;
mod mlp;
mod parameters;
mod reference;

pub use activation::Activation;
pub(crate) use activation::LEAK;
pub use cost::RunningCost;
pub(crate) use cost::pcg;
pub use loss::{Loss, Wrt};
pub use mlp::{Init, Layer, Mlp, MlpBuilder};
pub use parameters::Parameters;
pub use reference::Reference;
pub(crate) use reference::hermite;
