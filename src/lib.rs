//! costate trains neural ODEs on any GPU.
pub mod error;
pub mod gpu;
pub mod io;
mod kernels;
pub mod model;
mod plan;
mod problem;
pub mod reference;
pub mod solver;
pub use error::{Error, Result};
pub mod train;
pub use gpu::{AdapterRequest, AdapterSummary, Gpu, adapters};
pub use model::{Activation, Init, Layer, Mlp, MlpBuilder, Parameters};
pub use plan::{Caps, DeviceKind, MemoryPlan, Slot};
pub use problem::{
    FieldEvaluations, Gradient, NeuralOde, NeuralOdeBuilder, Reconstruction, Report, Solution, TrajectoryStatus,
};
pub use solver::{Adjoint, Method, Tableau, TimeGrid};
