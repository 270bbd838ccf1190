//! Neural ODEs, `dx/dt = f(x, t, θ)` with a multilayer perceptron `f`, solved and trained on any GPU.
//!
//! Whole solves, reverse-time reconstruction and the vector–Jacobian products of the adjoint run as WGSL compute kernels
//! over large batches; the host only schedules. There is no CUDA and no Python, and a software adapter will do: every
//! test of the crate runs on Mesa's lavapipe.
//!
//! # A tour
//!
//! **A field.** [`Mlp`] says what is integrated, [`Parameters`] hold its θ as one flat vector in PyTorch's order.
//!
//! ```
//! use costate::{Activation, Init, Mlp, Parameters};
//!
//! let field = Mlp::builder(2).hidden(&[50], Activation::Tanh).build()?;
//! let theta = Parameters::init(&field, Init::Xavier, 0)?;
//! # Ok::<(), costate::Error>(())
//! ```
//!
//! **A problem.** [`NeuralOde`] puts field, [`Method`], [`TimeGrid`] and [`Adjoint`] together on a [`Gpu`]. Arrays are
//! row-major: states `[batch, dim]`, anything at save times `[time, batch, dim]`.
//!
//! ```
//! # use costate::{Activation, Adjoint, AdapterRequest, Gpu, Init, Method, Mlp, NeuralOde, Parameters, TimeGrid};
//! # let field = Mlp::builder(2).hidden(&[16], Activation::Tanh).build()?;
//! # let theta = Parameters::init(&field, Init::Xavier, 0)?;
//! use ndarray::array;
//!
//! let gpu = Gpu::new(&AdapterRequest::default())?;
//! let grid = TimeGrid::with_step(0.0, &[0.5, 1.0], 1.0, 0.05)?;
//! let ode = NeuralOde::builder(field, grid).method(Method::Rk4).build(&gpu)?;
//!
//! let x0 = array![[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]];
//! let states = ode.solve(&theta, x0.view())?.states;
//! assert_eq!(states.shape(), [2, 3, 2]);
//!
//! // Mean squared error at both save times, and its gradient.
//! let gradient = ode.loss_and_gradient(&theta, x0.view(), (&states * 0.9).view())?;
//! assert_eq!(gradient.theta.len(), theta.as_slice().len());
//! assert_eq!(gradient.x0.shape(), x0.shape());
//!
//! // Or the vector–Jacobian product with cotangents of your own.
//! let pulled_back = ode.vjp(&theta, x0.view(), states.view())?;
//! assert!(pulled_back.loss.is_none());
//! # Ok::<(), costate::Error>(())
//! ```
//!
//! **Training.** [`train::Trainer`] keeps data, states, parameters and moments on the device and draws minibatches there.
//!
//! **Trust.** Gradients are those of the computed loss (discretise, then optimise): they match finite differences of what
//! the device computed, at any scale: results do not depend on units. By default [`Method::Tsit5`] stores every state
//! ([`Adjoint::Stored`]), or where those are many 2√N of them ([`Adjoint::Checkpointed`]). Kicks such as
//! [`Method::BlanesMoan4`] walk back bit for bit in fixed point ([`Adjoint::Exact`]), in memory that does not depend on the
//! number of steps, and every pass compares every word. [`Adjoint::Backsolve`] and [`Adjoint::Reversible`] reconstruct in
//! floats, and report how far x(t0) is off ([`Reconstruction`]). A trajectory that leaves the finite
//! numbers is named ([`TrajectoryStatus`]) and takes no part; the rest goes on. Every byte on the device is known before
//! anything is allocated ([`NeuralOde::memory_plan`]). [`mod@reference`] holds the mathematics in f64 on the CPU: the
//! specification of the kernels, and what the tests compare them with.
//!
//! # Layers
//!
//! A module uses only modules to its left:
//! `model → solver → plan → kernels → gpu → problem → tune → train`, with [`mod@reference`] beside `solver`, and [`io`] and `host`
//! (the memory that is left) beside `model`. `plan` decides sizes and dispatches as plain data; `kernels` composes WGSL; `gpu` alone knows wgpu.

pub mod error;
mod gpu;
mod host;
pub mod io;
mod kernels;
pub mod model;
mod plan;
mod problem;
pub mod reference;
pub mod solver;
pub mod train;
pub mod tune;

pub use error::{Error, Result};
pub use gpu::{AdapterRequest, AdapterSummary, Gpu, KernelTime, adapters};
pub use host::check_host_memory;
pub use model::{Activation, Init, Layer, Loss, Mlp, MlpBuilder, Parameters, Reference, RunningCost, Wrt};
pub use plan::{Candidate, Caps, DeviceKind, Family, FieldEvaluations, HostPlan, KernelOptions, MemoryPlan, Slot};
pub use problem::{
    Cost, ErrorEstimate, FractionBits, Gradient, NeuralOde, NeuralOdeBuilder, Observations, RECONSTRUCTION_TOLERANCE,
    Reason, Reconstruction, Report, Solution, TrajectoryStatus, Warning,
};
pub use solver::{Adjoint, AdjointOptions, Method, Tableau, TimeGradient, TimeGrid};

/// Compiles the examples of the README and of the pages.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
#[doc = include_str!("../docs/objectives.md")]
pub struct ReadmeDoctests;
