//! What a measurement holds for.

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::model::Activation;
use crate::plan::KernelOptions;
use crate::problem::NeuralOde;
use crate::solver::{Adjoint, Method};

/// What is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// A solve.
    Forward,
    /// Loss and gradient, the solve included.
    Gradient,
}

impl Phase {
    /// The arrangement that a problem has here: [`NeuralOde::kernels`].
    ///
    /// # Errors
    /// As [`NeuralOde::memory_plan`].
    pub fn kernels(self, ode: &NeuralOde, batch: usize) -> Result<KernelOptions> {
        match self {
            Self::Forward => ode.solve_kernels(batch),
            Self::Gradient => ode.kernels(batch),
        }
    }

    /// The arrangements that it can have: [`NeuralOde::kernel_candidates`].
    ///
    /// # Errors
    /// As [`NeuralOde::memory_plan`].
    pub fn candidates(self, ode: &NeuralOde, batch: usize) -> Result<Vec<KernelOptions>> {
        match self {
            Self::Forward => ode.solve_kernel_candidates(batch),
            Self::Gradient => ode.kernel_candidates(batch),
        }
    }
}

/// What the fastest arrangement depends on, beside the device. The number of steps is not among it: a dispatch takes many of
/// them, whatever the arrangement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shape {
    /// Components of the state.
    pub dim: usize,
    /// Widths of the hidden layers.
    pub hidden: Vec<usize>,
    /// Of every layer, the last one included.
    pub activations: Vec<Activation>,
    /// True if the time is an input of the field.
    pub time_input: bool,
    /// The solver.
    pub method: Method,
    /// The way to the gradient; of a solve only [`Adjoint::Exact`], which has states in fixed point.
    pub adjoint: Option<Adjoint>,
    /// What is run.
    pub phase: Phase,
    /// True if there is nothing but states at the ends of steps and the gradients by θ and x0: a running cost, other gradients
    /// and save times between steps have more in their kernels.
    pub plain: bool,
    /// The batch, rounded down to a power of two.
    pub batch: usize,
}

impl Shape {
    /// The shape of a problem.
    #[must_use]
    pub fn of(ode: &NeuralOde, phase: Phase, batch: usize) -> Self {
        let layers = ode.field().layers();
        let hidden = &layers[..layers.len().saturating_sub(1)];
        let adjoint = Some(ode.adjoint());
        Self {
            dim: ode.field().dim(),
            hidden: hidden.iter().map(|l| l.n_out).collect(),
            activations: layers.iter().map(|l| l.activation).collect(),
            time_input: ode.field().time_input(),
            method: ode.method(),
            adjoint: adjoint.filter(|a| phase == Phase::Gradient || *a == Adjoint::Exact),
            phase,
            plain: ode.is_plain(),
            batch: bucket(batch),
        }
    }
}

/// The largest power of two that is not above the batch.
fn bucket(batch: usize) -> usize {
    batch.checked_ilog2().map_or(0, |power| 1 << power)
}

#[cfg(test)]
mod tests {
    use super::bucket;

    #[test]
    fn batches_of_one_size_are_alike() {
        let buckets = [0, 1, 2, 3, 4, 1023, 1024, 1500, usize::MAX].map(bucket);
        assert_eq!(buckets, [0, 1, 2, 2, 4, 512, 1024, 1024, 1 << (usize::BITS - 1)], "rounded down");
    }
}
