//! The only user of wgpu: adapters, the device, buffers, pipelines, execution and readback.

mod adapter;
mod arena;
mod compile;
mod device;
mod execute;
#[cfg(test)]
mod fixed_tests;
#[cfg(test)]
mod norm_tests;
mod pipeline;
mod profile;
mod readback;

pub use adapter::{AdapterRequest, AdapterSummary, adapters};
pub(crate) use arena::Arena;
pub use device::Gpu;
pub(crate) use execute::{execute, execute_profiled};
pub use profile::KernelTime;
pub(crate) use profile::add;
pub(crate) use readback::{Readback, read, read_each};
