//! The problem as users state it: a field, a solver, a grid, an adjoint, a device.

mod arrays;
mod builder;
mod collect;
mod estimate;
mod kernels;
mod losses;
mod observations;
mod outcome;
mod parts;
mod programs;
mod redo;
mod reference;
mod self_test;
mod session;
mod status;
mod warning;

use std::sync::{Mutex, PoisonError};

use ndarray::{ArrayView2, ArrayView3};

use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::model::{Mlp, Parameters};
use crate::plan::{Arithmetic, Candidate, HostPlan, MemoryPlan, PARTED, Plan, Spec, Wish, candidates, choose};
use crate::solver::{Adjoint, Contraction, Method, TimeGrid};
pub(crate) use arrays::check_finite;
pub use builder::NeuralOdeBuilder;
pub use estimate::ErrorEstimate;
pub use observations::Observations;
pub(crate) use observations::check_loss;
use observations::check_shape;
pub use outcome::{Cost, FractionBits, Gradient, Reconstruction, Report, Solution};
use parts::Way;
use reference::check_reference_batch;
pub(crate) use reference::{check_reference, device_reference, reference_of};
pub(crate) use self_test::{fuse_if_exact, may_fuse};
use session::{APART, Seed, Session};
pub use status::TrajectoryStatus;
pub use warning::{Reason, Warning};

/// An initial value problem `dx/dt = f(x, t, θ)` with its solver, ready to be solved and differentiated on a device.
///
/// Arrays are row-major with the batch first for states, `[batch, dim]`, and time first for anything at save times,
/// `[time, batch, dim]`, as in torchdiffeq. Buffers and pipelines are kept between calls of one kind with
/// the same batch, and with weights or a mask in all or none of them.
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
    /// The problem without gradient.
    spec: Spec,
    adjoint: Adjoint,
    /// The adjoint as it was asked for.
    asked: Adjoint,
    policy: Policy,
    profile: bool,
    /// The session of solves and that of gradients, of the last batch size.
    sessions: Mutex<[Option<Session>; 2]>,
}

/// What to do about a reconstruction that is off.
#[derive(Clone, Copy, Debug)]
struct Policy {
    /// Largest |x̂(t0) − x(t0)|, relative to what the component has met, that is no cause for concern.
    tolerance: f32,
    /// True if a larger one is an error.
    strict: bool,
    /// True if trajectories that cannot be done as they were asked for are done another way.
    redo: bool,
}

/// Largest |x̂(t0) − x(t0)|, relative to the largest magnitude that the component has met on the way, that is no cause for
/// concern, unless told otherwise.
pub const RECONSTRUCTION_TOLERANCE: f32 = 1e-3;

/// What a session is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Purpose {
    way: Way,
    /// False for a solve.
    gradient: bool,
}

impl Purpose {
    const SOLVE: Self = Self { way: Way::Asked, gradient: false };
    const GRADIENT: Self = Self { way: Way::Asked, gradient: true };
}

impl NeuralOde {
    /// Starts the description of a problem.
    pub fn builder(field: Mlp, grid: TimeGrid) -> NeuralOdeBuilder {
        NeuralOdeBuilder::new(field, grid)
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

    /// The way to the gradient; with a memory budget that of batches that it leaves room for.
    #[must_use]
    pub fn adjoint(&self) -> Adjoint {
        self.adjoint
    }

    /// Sets whether kernels are timed from the next call on: [`NeuralOdeBuilder::profile`].
    pub fn set_profile(&mut self, profile: bool) {
        self.profile = profile;
    }

    /// Every byte that a gradient of `batch` trajectories keeps on the device, without allocating any. Observations with
    /// weights or a mask take as much once more as their targets.
    ///
    /// # Errors
    /// [`Error::LimitExceeded`] if it does not fit the device, [`Error::Invalid`] for an empty batch.
    pub fn memory_plan(&self, batch: usize) -> Result<MemoryPlan> {
        Ok(Plan::new(self.spec(Purpose::GRADIENT, batch, false)?, self.gpu.caps())?.memory)
    }

    /// The ways to the gradient of `batch` trajectories that are exact, and what each takes; the cheapest in evaluations of
    /// the field first. A budget ([`AdjointOptions::memory`](crate::AdjointOptions::memory)) takes the first that fits. Only one where the adjoint or its
    /// anchors were given. Nothing is allocated.
    ///
    /// ```
    /// # use costate::{Activation, Adjoint, AdjointOptions, AdapterRequest, Gpu, Method, Mlp, NeuralOde, TimeGrid};
    /// # let gpu = Gpu::new(&AdapterRequest::default())?;
    /// # let field = Mlp::builder(2).hidden(&[16], Activation::Tanh).build()?;
    /// let grid = TimeGrid::uniform(0.0, 1.0, 1000)?;
    /// let options = AdjointOptions { memory: Some(4 << 20), ..AdjointOptions::default() };
    /// let builder = NeuralOde::builder(field, grid).method(Method::Rk4).adjoint(Adjoint::Auto);
    /// let ode = builder.adjoint_options(options).build(&gpu)?;
    /// for way in ode.candidates(256)? {
    ///     println!("{} {:?}: {} bytes, fits: {}", way.adjoint, way.anchors, way.bytes, way.fits);
    /// }
    /// assert!(ode.memory_plan(256)?.total_bytes() <= 4 << 20);
    /// # Ok::<(), costate::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::LimitExceeded`] if none of them could be had on any device, [`Error::Invalid`] for an empty batch.
    pub fn candidates(&self, batch: usize) -> Result<Vec<Candidate>> {
        let (spec, wish) = self.wish(Purpose::GRADIENT, batch);
        candidates(&spec, wish, self.gpu.caps())
    }

    /// Every byte that a solve of `batch` trajectories keeps on the device, without allocating any.
    ///
    /// # Errors
    /// As [`Self::memory_plan`].
    pub fn solve_memory_plan(&self, batch: usize) -> Result<MemoryPlan> {
        Ok(Plan::new(self.spec(Purpose::SOLVE, batch, false)?, self.gpu.caps())?.memory)
    }

    /// What a gradient of `batch` trajectories keeps on the host at its peak, without allocating any. A call that finds less
    /// left is refused.
    ///
    /// # Errors
    /// As [`Self::memory_plan`].
    pub fn host_plan(&self, batch: usize) -> Result<HostPlan> {
        Ok(Plan::new(self.spec(Purpose::GRADIENT, batch, false)?, self.gpu.caps())?.host())
    }

    /// The same of a solve.
    ///
    /// # Errors
    /// As [`Self::memory_plan`].
    pub fn solve_host_plan(&self, batch: usize) -> Result<HostPlan> {
        Ok(Plan::new(self.spec(Purpose::SOLVE, batch, false)?, self.gpu.caps())?.host())
    }

    /// Integrates from `x0: [batch, dim]` and returns the states at the save times.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::NonFiniteData`] and [`Error::Invalid`] for bad input, [`Error::LimitExceeded`] if it
    /// does not fit the device, [`Error::HostMemory`] if it does not fit the host, and device errors. A trajectory that leaves the finite numbers is no error: see
    /// [`Report::status`].
    pub fn solve(&self, theta: &Parameters, x0: ArrayView2<'_, f32>) -> Result<Solution> {
        self.check_input(theta, &x0)?;
        self.solve_in_parts(theta, x0)
    }

    /// The objective and its gradients: the loss of `observations`, by default the mean squared error against targets
    /// `[time, batch, dim]` at all save times, plus the mean running cost; means over the trajectories that stay finite.
    ///
    /// ```
    /// # use costate::{Activation, AdapterRequest, Gpu, Init, Mlp, NeuralOde, Parameters, TimeGrid};
    /// use costate::{Loss, Observations, RunningCost, Wrt};
    /// use ndarray::{Array2, Array3};
    /// # let gpu = Gpu::new(&AdapterRequest::default())?;
    /// # let field = Mlp::builder(2).hidden(&[16], Activation::Tanh).build()?;
    /// # let theta = Parameters::init(&field, Init::Xavier, 0)?;
    ///
    /// let ode = NeuralOde::builder(field, TimeGrid::with_step(0.0, &[0.5, 1.0], 1.0, 0.1)?)
    ///     .loss(Loss::huber(0.5)?)
    ///     .running_cost(RunningCost::new().kinetic(0.01)?)
    ///     .gradients(Wrt { t1: true, ..Wrt::default() })
    ///     .build(&gpu)?;
    /// let (x0, targets) = (Array2::ones((8, 2)), Array3::zeros((2, 8, 2)));
    /// let mask = Array3::from_shape_fn((2, 8, 2), |(time, trajectory, _)| time == 1 || trajectory < 4);
    /// let gradient = ode.loss_and_gradient(&theta, x0.view(), Observations::new(targets.view()).mask(mask.view()))?;
    /// assert!(gradient.cost.is_some_and(|cost| cost.total > 0.0));
    /// assert!(gradient.times.is_some_and(|times| times.t1 != 0.0));
    /// # Ok::<(), costate::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Self::solve`]; [`Error::NoneLeft`] if no trajectory is left, [`Error::NonFinite`] if their sum overflows.
    pub fn loss_and_gradient<'a>(
        &self,
        theta: &Parameters,
        x0: ArrayView2<'_, f32>,
        observations: impl Into<Observations<'a>>,
    ) -> Result<Gradient> {
        let observations = observations.into();
        self.check_input(theta, &x0)?;
        observations.check(self.spec.loss, self.observed_shape(&x0))?;
        self.gradient(theta, x0, Seed::Targets(observations))
    }

    /// Pulls `cotangents: [time, batch, dim]` at the save times back to θ, x0 and the times: the vector-Jacobian product of
    /// [`Self::solve`]. The sum over the batch is a plain sum. Each trajectory's running cost has the cotangent 1.
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
        check_shape("cotangents", cotangents.shape(), self.observed_shape(&x0))?;
        check_finite("cotangents", &cotangents)?;
        if self.spec.wrt.targets || self.spec.wrt.loss {
            let remedy = "ask for them with a loss only";
            return Err(Error::invalid(
                "gradients",
                "with respect to targets or loss, where cotangents are given",
                remedy,
            ));
        }
        self.gradient(theta, x0, Seed::Cotangents(cotangents))
    }

    /// The problem of a session; a memory budget may have its say in how the gradient is found.
    fn spec(&self, purpose: Purpose, batch: usize, weighted: bool) -> Result<Spec> {
        let (spec, wish) = self.wish(purpose, batch);
        let spec = Spec { weighted, ..spec };
        choose(spec, wish, self.gpu.caps())
    }

    /// The same before the budget had its say.
    fn wish(&self, purpose: Purpose, batch: usize) -> (Spec, Wish) {
        let Purpose { way, gradient } = purpose;
        let mut spec = Spec { batch, ..self.spec.clone() };
        let mut adjoint = self.adjoint;
        // What is left to a net is worthless only when no net is left.
        spec.parted = if self.policy.redo && way != Way::Kept { APART } else { PARTED };
        match way {
            Way::Asked => {}
            Way::LargerLog { words } => {
                spec.options.log_words = Some(words);
                spec.contraction = spec.options.contraction(spec.method, adjoint, spec.grid.steps());
            }
            Way::Kept => {
                adjoint = Adjoint::Stored;
                spec.arithmetic = Arithmetic::Float;
                spec.options.fraction_bits = None;
                // Floats whose states are kept need no log.
                spec.contraction = spec.contraction.map(|_| Contraction::STRONGEST);
            }
        }
        spec.adjoint = gradient.then_some(adjoint);
        let fused = may_fuse(&self.gpu, &spec);
        let adjoint = if way == Way::Kept { Adjoint::Auto } else { self.asked };
        (spec, Wish { adjoint, beside: 0, fused })
    }

    /// Runs `work` in the session of this purpose and batch, made anew if the batch changed. Sessions of parts of a batch
    /// are not kept.
    fn with_session<T>(
        &self,
        purpose: Purpose,
        batch: usize,
        weighted: bool,
        work: impl FnOnce(&mut Session) -> Result<T>,
    ) -> Result<T> {
        if purpose.way != Way::Asked {
            let mut session = Session::new(&self.gpu, self.spec(purpose, batch, weighted)?)?;
            session.profile = self.profile;
            return work(&mut session);
        }
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let place = &mut sessions[usize::from(purpose.gradient)];
        // Taken out while it works: after an error its buffers may be half-written, so it is not put back.
        let mut session = match place.take() {
            Some(session) if session.batch() == batch && session.is_weighted() == weighted => session,
            // The old buffers go before the new ones come.
            old => {
                drop(old);
                Session::new(&self.gpu, self.spec(purpose, batch, weighted)?)?
            }
        };
        session.profile = self.profile;
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
        if let Some(cost) = &self.spec.cost {
            check_reference_batch(cost, x0.nrows())?;
        }
        check_finite("x0", x0)
    }

    /// Shape of states at the save times.
    fn observed_shape(&self, x0: &ArrayView2<'_, f32>) -> [usize; 3] {
        [self.grid().observations(), x0.nrows(), x0.ncols()]
    }
}
