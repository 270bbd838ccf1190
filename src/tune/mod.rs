//! Which arrangement of the kernels is the fastest: measured once, kept in a file, looked up later.
//!
//! A plan chooses an arrangement that is good on most devices. [`tune()`] measures those that a problem can have on the device
//! at hand, and [`TuneCache`] keeps the winner by adapter, driver, version of this crate and [`Shape`]. Nothing here is used
//! unless it is asked for: without it the same problem has the same kernels on every machine of a kind.
//!
//! ```no_run
//! use costate::tune::{Device, Phase, Shape, TuneCache, tune};
//! use costate::{Activation, AdapterRequest, Gpu, Mlp, NeuralOde, TimeGrid};
//!
//! let gpu = Gpu::new(&AdapterRequest::default())?;
//! let field = Mlp::builder(2).hidden(&[64, 64], Activation::Tanh).build()?;
//! let builder = NeuralOde::builder(field, TimeGrid::uniform(0.0, 1.0, 40)?);
//!
//! let path = TuneCache::default_path()?;
//! let mut cache = TuneCache::load(&path)?;
//! let tuning = tune(&builder, &gpu, Phase::Gradient, 4096, 3)?;
//! cache.insert(&Device::of(&gpu), tuning.entry());
//! cache.save(&path)?;
//!
//! // Later, or in another process:
//! let shape = Shape::of(&builder.clone().build(&gpu)?, Phase::Gradient, 5000);
//! let tuned = cache.lookup(&Device::of(&gpu), &shape);
//! let ode = builder.kernels(tuned.map(|t| t.kernels).unwrap_or_default()).build(&gpu)?;
//! # Ok::<(), costate::Error>(())
//! ```

mod cache;
mod measure;
mod rule;
mod shape;

pub use cache::{Chosen, Device, TuneCache, Tuned};
pub use measure::{LEAST_ROUNDS, Tried, Tuning, tune};
pub use shape::{Phase, Shape};
