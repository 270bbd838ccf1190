//! What the kernels' arrangement is, and what it could be.

use super::{NeuralOde, Purpose};
use crate::error::Result;
use crate::model::Wrt;
use crate::plan::{KernelOptions, kernel_candidates, kernels_of};

impl NeuralOde {
    /// The arrangement of the kernels that walk back in a gradient of `batch` trajectories: all of it, whether given or left
    /// to the plan.
    ///
    /// # Errors
    /// As [`Self::memory_plan`].
    pub fn kernels(&self, batch: usize) -> Result<KernelOptions> {
        kernels_of(self.spec(Purpose::GRADIENT, batch, false)?, self.gpu.caps())
    }

    /// The same of the kernels that solve.
    ///
    /// # Errors
    /// As [`Self::solve_memory_plan`].
    pub fn solve_kernels(&self, batch: usize) -> Result<KernelOptions> {
        kernels_of(self.spec(Purpose::SOLVE, batch, false)?, self.gpu.caps())
    }

    /// The arrangements that a gradient of `batch` trajectories can have on this device and that are worth measuring:
    /// [`tune::tune`](crate::tune::tune) does. What the plan would choose is the first.
    ///
    /// # Errors
    /// As [`Self::memory_plan`].
    pub fn kernel_candidates(&self, batch: usize) -> Result<Vec<KernelOptions>> {
        kernel_candidates(&self.spec(Purpose::GRADIENT, batch, false)?, self.gpu.caps())
    }

    /// The same of a solve.
    ///
    /// # Errors
    /// As [`Self::solve_memory_plan`].
    pub fn solve_kernel_candidates(&self, batch: usize) -> Result<Vec<KernelOptions>> {
        kernel_candidates(&self.spec(Purpose::SOLVE, batch, false)?, self.gpu.caps())
    }

    /// True if kernels have nothing to do but states at the ends of steps and the gradients by θ and x0.
    pub(crate) fn is_plain(&self) -> bool {
        self.spec.cost.is_none() && self.spec.wrt == Wrt::default() && !self.spec.grid.is_dense()
    }

    /// Parameters of the loss.
    pub(crate) fn loss_parameters(&self) -> usize {
        self.spec.loss.parameter_count(self.spec.field.dim())
    }
}
