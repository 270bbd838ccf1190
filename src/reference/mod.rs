//! The mathematics of the crate in f64 on the CPU: what the kernels must compute, and the oracle of the tests.
//!
//! Layers, each the twin of a piece of the kernels, written for reading and not for speed:
//!
//! | layer | forward | reverse | adjoint |
//! |---|---|---|---|
//! | field `f(x, t, θ)` | [`Field::eval`] | – | [`Field::vjp`] |
//! | one step `Φ_h` | [`step`] | [`step_reverse`] | [`step_vjp`] |
//! | one step of a pair | [`pair_step`] | [`pair_step_reverse`] | [`pair_step_vjp`] |
//! | whole solve | [`solve`] | inside [`gradient`] | [`gradient`] |
//!
//! A method on a pair is solved with a [`Scheme`], which says whether its copies are contracted. [`fixed`] is the twin of
//! the words in which kicks are exact; steps and solves here are in real arithmetic.
//!
//! Everywhere `x: [dim]` is a state, `t` the time, `h` a step (negative backward in time), `k` a cotangent of a field
//! value, `a = ∂J/∂x` the adjoint, `theta` the parameters and `theta_bar = ∂J/∂θ`. Gradients are those of the computed
//! numbers (discretise, then optimise), not discretisations of the continuous adjoint equation.
//!
//! Non-finite values are not looked for: they go through as IEEE arithmetic carries them.

mod activation;
mod erf;
mod field;
pub mod fixed;
mod gradient;
mod pair;
mod solve;
mod step;
mod walk;

pub use activation::activation;
pub use field::Field;
pub use gradient::{Gradient, Seed, gradient};
pub use pair::{
    Pair, PairStep, pair_contract, pair_output, pair_start, pair_start_vjp, pair_step, pair_step_reverse, pair_step_vjp,
};
pub use solve::solve;
pub use step::{step, step_reverse, step_vjp};
pub use walk::Scheme;
