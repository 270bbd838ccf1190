//! The problem as users state it: a field, a solver, a grid, an adjoint, a device.

mod arrays;
mod outcome;
mod session;

use std::sync::{Mutex, PoisonError};

use ndarray::{ArrayView2, ArrayView3};

use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::model::{Mlp, Parameters};
use crate::plan::{MemoryPlan, Plan, Spec};
use crate::solver::{Adjoint, AdjointOptions, Method, TimeGrid};
pub(crate) use arrays::check_finite;
pub use outcome::{FieldEvaluations, Gradient, Reconstruction, Report, Solution, TrajectoryStatus};
use session::{Seed, Session};

/// An initial value problem `dx/dt = f(x, t, θ)` with its solver, ready to be solved and differentiated on a device.
///
/// Arrays are row-major with the batch first for states, `[batch, dim]`, and time first for anything at save times,
/// `[time, batch, dim]`, as in torchdiffeq. Buffers and pipelines are kept between calls with the same batch.
///
/// ```
/// use costate::{Activation, Adjoint, AdapterRequest, Gpu, Init, Method, Mlp, NeuralOde, Parameters, TimeGrid};
/// use ndarray::array;
///
/// let gpu = Gpu::new(&AdapterRequest::default())?;
/// let field = Mlp::builder(2).hidden(&[16], Activation::Tanh).build()?;
/// let theta = Parameters::init(&field, Init::Xavier, 0)?;
/// let ode = NeuralOde::builder(field, TimeGrid::with_step(0.0, &[0.5, 1.0], 1.0, 0.05)?)
///     .method(Method::Rk4)
///     .adjoint(Adjoint::Backsolve)
///     .build(&gpu)?;
///
/// let x0 = array![[1.0, 0.0], [0.0, 1.0]];
/// let solution = ode.solve(&theta, x0.view())?;
/// assert_eq!(solution.states.shape(), [2, 2, 2]); // [time, batch, dim]
///
/// let targets = solution.states.mapv(|x| x + 0.1);
/// let gradient = ode.loss_and_gradient(&theta, x0.view(), targets.view())?;
/// assert!((gradient.loss.unwrap_or_default() - 0.01).abs() < 1e-4);
/// assert!(gradient.reconstruction.is_some_and(|r| r.max_abs < 1e-5));
/// # Ok::<(), costate::Error>(())
/// ```
#[derive(Debug)]
pub struct NeuralOde {
    gpu: Gpu,
    spec: Spec,
    adjoint: Adjoint,
    /// One session for solves, one for gradients: the last batch size of each.
    sessions: Mutex<[Option<Session>; 2]>,
}

/// Collects the description of a [`NeuralOde`]; made by [`NeuralOde::builder`].
#[derive(Clone, Debug)]
#[must_use]
pub struct NeuralOdeBuilder {
    field: Mlp,
    grid: TimeGrid,
    method: Method,
    adjoint: Adjoint,
    options: AdjointOptions,
}

impl NeuralOdeBuilder {
    /// Sets the solver (default: classic RK4).
    pub fn method(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    /// Sets how gradients find the forward states again (default: stored).
    pub fn adjoint(mut self, adjoint: Adjoint) -> Self {
        self.adjoint = adjoint;
        self
    }

    /// Sets the details of the adjoint: anchors, log, fixed point (default: none of them given).
    pub fn adjoint_options(mut self, options: AdjointOptions) -> Self {
        self.options = options;
        self
    }

    /// Checks that one trajectory fits the device.
    ///
    /// # Errors
    /// [`Error::LimitExceeded`] if the field is too large for the device.
    pub fn build(self, gpu: &Gpu) -> Result<NeuralOde> {
        let adjoint = self.adjoint.resolve(self.method)?;
        self.options.check(self.method, adjoint, self.grid.steps())?;
        let spec = Spec {
            field: self.field,
            method: self.method,
            grid: self.grid,
            adjoint: None,
            options: self.options,
            batch: 1,
        };
        Plan::new(spec.clone(), gpu.caps())?;
        Ok(NeuralOde { gpu: gpu.clone(), spec, adjoint, sessions: Mutex::default() })
    }
}

impl NeuralOde {
    /// Starts the description of a problem.
    pub fn builder(field: Mlp, grid: TimeGrid) -> NeuralOdeBuilder {
        NeuralOdeBuilder {
            field,
            grid,
            method: Method::default(),
            adjoint: Adjoint::default(),
            options: AdjointOptions::default(),
        }
    }

    /// The field.
    #[must_use]
    pub fn field(&self) -> &Mlp {
        &self.spec.field
    }

    /// The time grid.
    #[must_use]
    pub fn grid(&self) -> &TimeGrid {
        &self.spec.grid
    }

    /// The solver.
    #[must_use]
    pub fn method(&self) -> Method {
        self.spec.method
    }

    /// The way to the gradient.
    #[must_use]
    pub fn adjoint(&self) -> Adjoint {
        self.adjoint
    }

    /// Every byte that a gradient of `batch` trajectories keeps on the device, without allocating any.
    ///
    /// # Errors
    /// [`Error::LimitExceeded`] if it does not fit the device, [`Error::Invalid`] for an empty batch.
    pub fn memory_plan(&self, batch: usize) -> Result<MemoryPlan> {
        Ok(Plan::new(self.spec(Some(self.adjoint), batch), self.gpu.caps())?.memory)
    }

    /// Every byte that a solve of `batch` trajectories keeps on the device, without allocating any.
    ///
    /// # Errors
    /// As [`Self::memory_plan`].
    pub fn solve_memory_plan(&self, batch: usize) -> Result<MemoryPlan> {
        Ok(Plan::new(self.spec(None, batch), self.gpu.caps())?.memory)
    }

    /// Integrates from `x0: [batch, dim]` and returns the states at the save times.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::NonFiniteData`] and [`Error::Invalid`] for bad input, [`Error::LimitExceeded`] if it
    /// does not fit the device, and device errors. A trajectory that leaves the finite numbers is no error: see
    /// [`Report::status`].
    pub fn solve(&self, theta: &Parameters, x0: ArrayView2<'_, f32>) -> Result<Solution> {
        self.check_input(theta, &x0)?;
        self.with_session(None, x0.nrows(), |session| session.solve(theta, x0))
    }

    /// The mean squared error against `targets: [time, batch, dim]` at all save times, and its gradient with respect to
    /// θ and x0: mean over time, dim and the trajectories that stay finite.
    ///
    /// # Errors
    /// As [`Self::solve`]; [`Error::NonFinite`] if no trajectory stays finite.
    pub fn loss_and_gradient(
        &self,
        theta: &Parameters,
        x0: ArrayView2<'_, f32>,
        targets: ArrayView3<'_, f32>,
    ) -> Result<Gradient> {
        self.check_input(theta, &x0)?;
        self.check_observations("targets", &x0, &targets)?;
        self.with_session(Some(self.adjoint), x0.nrows(), |s| s.gradient(theta, x0, Seed::Targets(targets)))
    }

    /// Pulls `cotangents: [time, batch, dim]` at the save times back to θ and x0: the vector-Jacobian product of
    /// [`Self::solve`]. The sum over the batch is a plain sum.
    ///
    /// # Errors
    /// As [`Self::solve`].
    pub fn vjp(
        &self,
        theta: &Parameters,
        x0: ArrayView2<'_, f32>,
        cotangents: ArrayView3<'_, f32>,
    ) -> Result<Gradient> {
        self.check_input(theta, &x0)?;
        self.check_observations("cotangents", &x0, &cotangents)?;
        self.with_session(Some(self.adjoint), x0.nrows(), |s| s.gradient(theta, x0, Seed::Cotangents(cotangents)))
    }

    fn spec(&self, adjoint: Option<Adjoint>, batch: usize) -> Spec {
        Spec { adjoint, batch, ..self.spec.clone() }
    }

    /// Runs `work` in the session of this kind and batch, made anew if the batch changed.
    fn with_session<T>(
        &self,
        adjoint: Option<Adjoint>,
        batch: usize,
        work: impl FnOnce(&mut Session) -> Result<T>,
    ) -> Result<T> {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let place = &mut sessions[usize::from(adjoint.is_some())];
        // Taken out while it works: after an error its buffers may be half-written, so it is not put back.
        let mut session = match place.take() {
            Some(session) if session.batch() == batch => session,
            // The old buffers go before the new ones come.
            old => {
                drop(old);
                Session::new(&self.gpu, self.spec(adjoint, batch))?
            }
        };
        let result = work(&mut session)?;
        *place = Some(session);
        Ok(result)
    }

    fn check_input(&self, theta: &Parameters, x0: &ArrayView2<'_, f32>) -> Result<()> {
        if theta.field() != self.field() {
            return Err(Error::invalid(
                "parameters",
                format!(
                    "they belong to a {} field, the problem has {}",
                    theta.field().summary(),
                    self.field().summary()
                ),
                "make or load parameters for this field",
            ));
        }
        if x0.ncols() != self.field().dim() {
            return Err(Error::shape(
                "x0",
                x0.shape(),
                format!("[batch, {}]", self.field().dim()),
                "give one row per trajectory",
            ));
        }
        check_finite("parameter vector", &ndarray::aview1(theta.as_slice()))?;
        check_finite("x0", x0)
    }

    fn check_observations(&self, what: &str, x0: &ArrayView2<'_, f32>, values: &ArrayView3<'_, f32>) -> Result<()> {
        let expected = [self.grid().saves().len(), x0.nrows(), x0.ncols()];
        if values.shape() != expected {
            return Err(Error::shape(
                what,
                values.shape(),
                format!("[time, batch, dim] = {expected:?}"),
                "give one value per save time, trajectory and component",
            ));
        }
        check_finite(what, values)
    }
}
