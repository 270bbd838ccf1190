//! Training: data sets on the device, options, the loop.

mod data;
mod draw;
mod options;
mod record;
mod trainer;

pub use data::DataSet;
pub use draw::draw;
pub use options::{Optimizer, Schedule, Steps, TrainOptions};
pub use record::{Evaluation, Record, Skip, Skips};
pub use trainer::Trainer;
