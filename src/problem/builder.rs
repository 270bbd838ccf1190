//! How a problem is described.

use std::sync::{Arc, Mutex};

use super::reference::check_reference;
use super::{NeuralOde, Policy, RECONSTRUCTION_TOLERANCE};
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::model::{Loss, Mlp, RunningCost, Wrt};
use crate::plan::{KernelOptions, Plan, Spec};
use crate::solver::{Adjoint, AdjointOptions, Method, TimeGrid};

/// Collects the description of a [`NeuralOde`]; made by [`NeuralOde::builder`].
#[derive(Clone, Debug)]
#[must_use]
pub struct NeuralOdeBuilder {
    field: Mlp,
    grid: TimeGrid,
    method: Method,
    adjoint: Adjoint,
    options: AdjointOptions,
    tolerance: f32,
    strict: bool,
    loss: Loss,
    cost: Option<RunningCost>,
    wrt: Wrt,
    kernels: KernelOptions,
    profile: bool,
}

impl NeuralOdeBuilder {
    pub(super) fn new(field: Mlp, grid: TimeGrid) -> Self {
        Self {
            field,
            grid,
            method: Method::default(),
            adjoint: Adjoint::default(),
            options: AdjointOptions::default(),
            tolerance: RECONSTRUCTION_TOLERANCE,
            strict: false,
            loss: Loss::default(),
            cost: None,
            wrt: Wrt::default(),
            kernels: KernelOptions::default(),
            profile: false,
        }
    }

    /// Sets the solver (default: [`Method::Tsit5`]).
    pub fn method(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    /// Sets how gradients find the forward states again (default: [`Adjoint::Auto`]).
    pub fn adjoint(mut self, adjoint: Adjoint) -> Self {
        self.adjoint = adjoint;
        self
    }

    /// Sets the details of the adjoint: anchors, log, fixed point (default: none of them given).
    pub fn adjoint_options(mut self, options: AdjointOptions) -> Self {
        self.options = options;
        self
    }

    /// Sets the largest `|x̂(t0) − x(t0)|`, relative to the largest magnitude that the component has met on the way, that is no
    /// cause for a warning (default: [`RECONSTRUCTION_TOLERANCE`]).
    pub fn reconstruction_tolerance(mut self, tolerance: f32) -> Self {
        self.tolerance = tolerance;
        self
    }

    /// Makes a larger one an error, [`Error::Drift`], instead of a warning (default: false).
    pub fn drift_is_error(mut self, strict: bool) -> Self {
        self.strict = strict;
        self
    }

    /// Sets the loss of an observation (default: [`Loss::Mse`]).
    pub fn loss(mut self, loss: Loss) -> Self {
        self.loss = loss;
        self
    }

    /// Adds a running cost to the objective (default: none).
    pub fn running_cost(mut self, cost: RunningCost) -> Self {
        self.cost = Some(cost);
        self
    }

    /// Sets which gradients are wanted (default: θ and x0).
    pub fn gradients(mut self, wrt: Wrt) -> Self {
        self.wrt = wrt;
        self
    }

    /// Measures the time of each kernel on the device, where the adapter has timestamps: [`Report::kernels`](crate::Report::kernels)
    /// (default: false). Launches cannot overlap then, so such a run is a little slower.
    pub fn profile(mut self, profile: bool) -> Self {
        self.profile = profile;
        self
    }

    /// Sets what of the kernels' arrangement is not left to the plan (default: nothing).
    pub fn kernels(mut self, kernels: KernelOptions) -> Self {
        self.kernels = kernels;
        self
    }

    /// Checks that one trajectory fits the device.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the method does not have the adjoint or its options, [`Error::LimitExceeded`] if the field is
    /// too large for the device, or if it does not allow the kernels' arrangement that is given.
    pub fn build(self, gpu: &Gpu) -> Result<NeuralOde> {
        let adjoint = self.options.resolve(self.adjoint, self.method)?;
        self.options.check(self.method, adjoint, self.grid.steps())?;
        self.check_objective()?;
        let mut spec = Spec::solve(self.field, self.method, self.grid, adjoint, self.options, 1);
        spec.loss = self.loss;
        spec.cost = self.cost.map(Arc::new);
        spec.wrt = self.wrt;
        spec.kernels = self.kernels;
        spec.estimate = true;
        Plan::new(spec.clone(), gpu.caps())?;
        if self.tolerance.is_nan() || self.tolerance < 0.0 {
            let remedy = "use a number ≥ 0: a distance relative to the size of the state";
            return Err(Error::invalid("reconstruction tolerance", self.tolerance.to_string(), remedy));
        }
        let redo = self.adjoint == Adjoint::Auto;
        let policy = Policy { tolerance: self.tolerance, strict: self.strict, redo };
        Ok(NeuralOde {
            gpu: gpu.clone(),
            spec,
            adjoint,
            asked: self.adjoint,
            policy,
            profile: self.profile,
            sessions: Mutex::default(),
        })
    }

    fn check_objective(&self) -> Result<()> {
        if let Loss::Huber { delta } = self.loss {
            Loss::huber(delta)?;
        }
        if let Some(cost) = &self.cost {
            check_reference(cost, &self.grid, self.field.dim())?;
        }
        let refuse = |problem: &str, remedy: &str| Err(Error::invalid("gradients", problem, remedy));
        if self.wrt == Wrt::nothing() {
            return refuse("none is wanted", "ask for at least one, or use `solve`");
        }
        if self.wrt.loss && self.loss.parameter_count(self.field.dim()) == 0 {
            let problem = format!("one with respect to the parameters of the loss {}, which has none", self.loss);
            return refuse(&problem, "leave it out, or use the loss gaussian_nll");
        }
        Ok(())
    }
}
