//! The problem as users state it: a field, a solver, a grid, an adjoint, a device.

mod arrays;
mod builder;
mod collect;
mod kernels;
mod losses;
mod observations;
mod outcome;
mod reference;
mod self_test;
mod session;

use std::sync::{Mutex, PoisonError};

use ndarray::{ArrayView2, ArrayView3};

use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::model::{Mlp, Parameters};
use crate::plan::{Arithmetic, Candidate, MemoryPlan, Plan, Spec, Wish, candidates, choose};
use crate::solver::{Adjoint, Method, RANGE, TimeGrid};
pub(crate) use arrays::check_finite;
pub use builder::NeuralOdeBuilder;
pub use observations::Observations;
pub(crate) use observations::check_loss;
use observations::check_shape;
pub(crate) use outcome::read_status;
pub use outcome::{Cost, Gradient, Reconstruction, Report, Solution, TrajectoryStatus, Warning};
use reference::check_reference_batch;
pub(crate) use reference::{check_reference, device_reference, reference_of};
pub(crate) use self_test::{fuse_if_exact, may_fuse};
use session::{Seed, Session};

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
    /// One session for each purpose, of the last batch size.
    sessions: Mutex<[Option<Session>; 4]>,
}

/// What to do about a reconstruction that is off.
#[derive(Clone, Copy, Debug)]
struct Policy {
    /// Largest |x̂(t0) − x(t0)| that is no cause for concern.
    tolerance: f32,
    /// True if a larger one is an error.
    strict: bool,
    /// True if the batch is done again from checkpoints then.
    redo: bool,
}

/// Largest |x̂(t0) − x(t0)| that is no cause for concern, unless told otherwise.
pub const RECONSTRUCTION_TOLERANCE: f32 = 1e-3;

/// True if data or states do not fit fixed point.
fn left_range(error: &Error) -> bool {
    matches!(error, Error::OutOfRange { .. }) || matches!(error, Error::Invalid { what, .. } if what == RANGE)
}

/// What a session is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Solve = 0,
    Gradient = 1,
    Again = 2,
    SolveAgain = 3,
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
        Ok(Plan::new(self.spec(Purpose::Gradient, batch, false)?, self.gpu.caps())?.memory)
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
        let (spec, wish) = self.wish(Purpose::Gradient, batch);
        candidates(&spec, wish, self.gpu.caps())
    }

    /// Every byte that a solve of `batch` trajectories keeps on the device, without allocating any.
    ///
    /// # Errors
    /// As [`Self::memory_plan`].
    pub fn solve_memory_plan(&self, batch: usize) -> Result<MemoryPlan> {
        Ok(Plan::new(self.spec(Purpose::Solve, batch, false)?, self.gpu.caps())?.memory)
    }

    /// Integrates from `x0: [batch, dim]` and returns the states at the save times.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::NonFiniteData`] and [`Error::Invalid`] for bad input, [`Error::LimitExceeded`] if it
    /// does not fit the device, and device errors. A trajectory that leaves the finite numbers is no error: see
    /// [`Report::status`].
    pub fn solve(&self, theta: &Parameters, x0: ArrayView2<'_, f32>) -> Result<Solution> {
        self.check_input(theta, &x0)?;
        let solve = |purpose| self.with_session(purpose, x0.nrows(), false, |session| session.solve(theta, x0));
        match solve(Purpose::Solve) {
            Err(error) if self.policy.redo && left_range(&error) => {
                let warning = Warning::RedoneInFloats { reason: error.to_string() };
                tracing::warn!("{warning}");
                let mut solution = solve(Purpose::SolveAgain)?;
                solution.report.warnings.insert(0, warning);
                Ok(solution)
            }
            other => other,
        }
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
    /// As [`Self::solve`]; [`Error::NonFinite`] if no trajectory stays finite.
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

    /// A gradient, done again from checkpoints if its reconstruction is off and the adjoint is automatic.
    fn gradient(&self, theta: &Parameters, x0: ArrayView2<'_, f32>, seed: Seed<'_>) -> Result<Gradient> {
        let Policy { tolerance, strict, redo } = self.policy;
        let batch = x0.nrows();
        let weighted = matches!(seed, Seed::Targets(observations) if observations.is_weighted());
        let again = |warning: Warning| {
            tracing::warn!("{warning}");
            let mut gradient = self.with_session(Purpose::Again, batch, weighted, |s| s.gradient(theta, x0, seed))?;
            gradient.report.warnings.insert(0, warning);
            Ok(gradient)
        };
        let mut gradient = match self.with_session(Purpose::Gradient, batch, weighted, |s| s.gradient(theta, x0, seed))
        {
            Err(Error::NotReversed { words, .. }) if redo => return again(Warning::RedoneInexact { words }),
            // Floats put such a trajectory into quarantine, and the rest goes on.
            Err(error) if redo && left_range(&error) => {
                return again(Warning::RedoneInFloats { reason: error.to_string() });
            }
            // All may have been lost on the way back; those lost on the way there are lost from checkpoints too.
            Err(Error::NonFinite { .. }) if redo && self.adjoint == Adjoint::Reversible => {
                return again(Warning::Redone { drift: f32::INFINITY, tolerance });
            }
            other => other?,
        };
        // The certificate leaves out what did not come back at all.
        let lost = gradient.report.status.iter().any(|s| matches!(s, TrajectoryStatus::ReverseNonFinite { .. }));
        if redo && self.adjoint == Adjoint::Reversible && lost {
            return again(Warning::Redone { drift: f32::INFINITY, tolerance });
        }
        let drift = gradient.reconstruction.as_ref().map_or(0.0, |r| r.max_abs);
        if drift <= tolerance {
            return Ok(gradient);
        }
        if redo {
            return again(Warning::Redone { drift, tolerance });
        }
        if strict {
            let remedy =
                "use an exact adjoint (blanes_moan4 with exact, or checkpointed), smaller steps or more anchors";
            return Err(Error::Drift { drift, tolerance, remedy: remedy.into() });
        }
        let warning = Warning::Drift { drift, tolerance, adjoint: self.adjoint };
        tracing::warn!("{warning}");
        gradient.report.warnings.push(warning);
        Ok(gradient)
    }

    /// The problem of a session; a memory budget may have its say in how the gradient is found.
    fn spec(&self, purpose: Purpose, batch: usize, weighted: bool) -> Result<Spec> {
        let (spec, wish) = self.wish(purpose, batch);
        let spec = Spec { weighted, ..spec };
        choose(spec, wish, self.gpu.caps())
    }

    /// The same before the budget had its say.
    fn wish(&self, purpose: Purpose, batch: usize) -> (Spec, Wish) {
        let spec = Spec { batch, ..self.spec.clone() };
        let spec = match purpose {
            Purpose::Solve => spec,
            Purpose::SolveAgain => Spec { arithmetic: Arithmetic::Float, ..spec },
            Purpose::Gradient => Spec { adjoint: Some(self.adjoint), ..spec },
            Purpose::Again => Spec { adjoint: Some(Adjoint::Checkpointed), arithmetic: Arithmetic::Float, ..spec },
        };
        let adjoint = if purpose == Purpose::Again { Adjoint::Checkpointed } else { self.asked };
        let fused = may_fuse(&self.gpu, &spec);
        (spec, Wish { adjoint, beside: 0, fused })
    }

    /// Runs `work` in the session of this kind and batch, made anew if the batch changed.
    fn with_session<T>(
        &self,
        purpose: Purpose,
        batch: usize,
        weighted: bool,
        work: impl FnOnce(&mut Session) -> Result<T>,
    ) -> Result<T> {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let place = &mut sessions[purpose as usize];
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
