//! The mathematics of the crate in f64 on the CPU: what the kernels must compute, and the oracle of the tests.
//!
//! Layers, each the twin of a piece of the kernels, written for reading and not for speed:
//!
//! | layer | forward | reverse | adjoint |
//! |---|---|---|---|
//! | field `f(x, t, θ)` | [`Field::eval`] | – | [`Field::vjp`] |
//! | directional derivative `∂f/∂x · ε` | [`Field::tangent`] | – | [`Field::tangent_vjp`] |
//! | one step `Φ_h` | [`step`] | [`step_reverse`] | [`step_vjp`] |
//! | one step of a pair | [`pair_step`] | [`pair_step_reverse`] | [`pair_step_vjp`] |
//! | whole solve | [`solve`], [`running_cost`], [`error_estimate`] | inside [`gradient`] | [`gradient`], [`gradient_with_cost`] |
//!
//! A method on a pair is solved with a [`Scheme`], which says whether its copies are contracted. [`fixed`] is the twin of
//! the words in which kicks are exact; steps and solves here are in real arithmetic.
//!
//! Everywhere `x: [dim]` is a state, `t` the time, `h` a step (negative backward in time), `k` a cotangent of a field
//! value, `a = ∂J/∂x` the adjoint, `theta` the parameters and `theta_bar = ∂J/∂θ`. Gradients are those of the computed
//! numbers (discretise, then optimise), in θ, x0 and all times alike; only [`Adjoint::Continuous`](crate::Adjoint)
//! discretises the continuous adjoint equation. [`adjoint_path`] shows `a` along its way.
//!
//! Non-finite values are not looked for in states and parameters: they go through as IEEE arithmetic carries them.

mod activation;
mod check;
mod continuous;
mod dense;
mod erf;
mod estimate;
mod field;
pub mod fixed;
mod gradient;
mod objective;
mod pair;
mod pair_adjoint;
mod path;
mod rates;
mod reverse;
mod solve;
mod step;
mod walk;

pub use activation::{activation, curvature};
pub use estimate::error_estimate;
pub use field::Field;
pub use gradient::{Gradient, gradient, gradient_with_cost};
pub use objective::{Observations, Seed};
pub use pair::{Pair, PairStep, pair_contract, pair_output, pair_start, pair_step, pair_step_reverse};
pub use pair_adjoint::{pair_start_vjp, pair_step_vjp};
pub use path::{AdjointPath, adjoint_path};
pub use solve::{running_cost, solve};
pub use step::{step, step_reverse, step_vjp};
pub use walk::Scheme;
