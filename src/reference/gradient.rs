//! The gradient of an objective over a batch: the forward pass, then reverse and adjoint steps hand in hand.

use ndarray::{Array2, Array3, ArrayView2, Axis};

use super::Field;
use super::check::{check_cost, check_x0};
use super::continuous::{Ends, hamiltonian_times};
use super::dense::{interpolate, interpolate_vjp};
use super::objective::{Judgement, Seed};
use super::rates::Rates;
use super::reverse::{Forward, Source, Sums, forward, reverse};
use super::solve::{cost_of_parameters, rate_of_parameters};
use super::step::add_scaled;
use super::walk::{Double, Scheme, Single, Walk};
use crate::error::Result;
use crate::model::RunningCost;
use crate::solver::{Adjoint, TimeGradient, TimeGrid};

/// What [`gradient`] computes.
#[derive(Clone, Debug, PartialEq)]
pub struct Gradient {
    /// The loss of the observations, without the running cost; none if the seed gave cotangents.
    pub loss: Option<f64>,
    /// The running cost of every trajectory, from the forward pass; none without one.
    pub cost: Option<Vec<f64>>,
    /// States at the save times, `[time, batch, dim]`, from the forward pass.
    pub states: Array3<f64>,
    /// `∂J/∂θ`, flat, summed over the batch.
    pub theta: Vec<f64>,
    /// `∂J/∂x0: [batch, dim]`.
    pub x0: Array2<f64>,
    /// `∂J/∂τ_n` of every step boundary `n = 0 … N`, the others and the save times of a dense grid fixed. With
    /// [`Adjoint::Continuous`] zero but for t0, t1 and the save times: the solution knows no other boundary.
    pub boundaries: Vec<f64>,
    /// `∂J/∂t` of every save time of a dense grid; otherwise empty.
    pub outputs: Vec<f64>,
    /// `∂J/∂y: [time, batch, dim]`, zero where masked; none if the seed gave cotangents.
    pub targets: Option<Array3<f64>>,
    /// `∂J/∂ln σ: [dim]` of [`Loss::GaussianNll`](crate::Loss::GaussianNll); otherwise empty.
    pub log_scale: Vec<f64>,
    /// Per trajectory `max_i |x̂_i(t0) − x_i(t0)|`: how far the states that the adjoint used had drifted at the end. For a
    /// pair the larger drift of its two copies.
    pub reconstruction: Vec<f64>,
}

impl Gradient {
    /// The gradient with respect to t0, t1 and the save times of `grid`, the grid that it was made with.
    ///
    /// # Panics
    /// If the grid has another number of boundaries or save times.
    #[must_use]
    pub fn times(&self, grid: &TimeGrid) -> TimeGradient {
        grid.time_gradient(&self.boundaries, &self.outputs)
    }
}

/// The gradient of the loss that `seed` describes: [`gradient_with_cost`] without a running cost.
///
/// # Errors
/// As [`gradient_with_cost`].
pub fn gradient(
    scheme: impl Into<Scheme>,
    adjoint: Adjoint,
    field: &Field<'_>,
    grid: &TimeGrid,
    x0: ArrayView2<'_, f64>,
    seed: Seed<'_>,
) -> Result<Gradient> {
    gradient_with_cost(scheme, adjoint, field, grid, x0, seed, None)
}

/// The gradient of `J`: the loss that `seed` describes plus the mean of the running cost over the trajectories, or
/// `Σ ⟨cotangent, x⟩` plus the sum of the running cost. A [`Method`](crate::Method) does for a scheme without contraction.
///
/// With [`Adjoint::Stored`] and [`Adjoint::Checkpointed`] this is the exact gradient of the computed objective, and with
/// [`Adjoint::Exact`] too: in real arithmetic there is nothing to round. With [`Adjoint::Backsolve`] every `x_n` is
/// replaced by `x̂_n = Φ_{−h}(t_{n+1}, x̂_{n+1})`, starting at the exact `x_N`, and with [`Adjoint::Reversible`] every pair
/// by what the inverse steps find; the adjoint steps are the same. [`Adjoint::Continuous`] steps x and the adjoint equation
/// back with the method's own tableau. The cotangent of an observation, the cost's value and what interpolation between
/// boundaries contributes are always made from the states of the forward pass.
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) if `x0` is not `[batch ≥ 1, dim]`, an array of the seed not `[time, batch, dim]`,
/// the reference of the cost not `[times, batch or 1, dim]` or the log scales not those of the loss;
/// [`Error::Invalid`](crate::Error::Invalid) for an adjoint or a contraction that the method cannot have, a contraction
/// that the adjoint cannot take back, weights that are negative or not finite, a mask that leaves nothing, or a reference
/// that does not cover the grid; [`Error::NonFiniteData`](crate::Error::NonFiniteData) for a target that is not masked and
/// not finite.
pub fn gradient_with_cost(
    scheme: impl Into<Scheme>,
    adjoint: Adjoint,
    field: &Field<'_>,
    grid: &TimeGrid,
    x0: ArrayView2<'_, f64>,
    seed: Seed<'_>,
    cost: Option<&RunningCost>,
) -> Result<Gradient> {
    Ok(Task::new(scheme.into(), adjoint, (field, grid, x0), seed, cost)?.run(None))
}

/// A boundary and the adjoint there.
pub(super) type Point = (usize, Vec<f64>);

/// Arguments that fit together.
pub(super) struct Task<'a, 's> {
    scheme: Scheme,
    adjoint: Adjoint,
    field: &'a Field<'a>,
    grid: &'a TimeGrid,
    x0: Array2<f64>,
    seed: Seed<'s>,
    cost: Option<&'a RunningCost>,
}

impl<'a, 's> Task<'a, 's> {
    pub(super) fn new(
        scheme: Scheme,
        adjoint: Adjoint,
        (field, grid, x0): (&'a Field<'a>, &'a TimeGrid, ArrayView2<'_, f64>),
        seed: Seed<'s>,
        cost: Option<&'a RunningCost>,
    ) -> Result<Self> {
        let adjoint = scheme.resolve(adjoint)?;
        check_x0(field, x0)?;
        seed.check([grid.observations(), x0.nrows(), x0.ncols()])?;
        if let Some(cost) = cost {
            check_cost(cost, grid, x0.dim().into())?;
        }
        Ok(Self { scheme, adjoint, field, grid, x0: x0.to_owned(), seed, cost })
    }

    /// The gradient; `points` get the adjoint at the boundaries from t1 to t0, trajectory by trajectory.
    pub(super) fn run(&self, points: Option<&mut Vec<Point>>) -> Gradient {
        let Self { scheme, grid, .. } = *self;
        let continuous = self.adjoint == Adjoint::Continuous;
        match scheme.method.pair() {
            None => self.there_and_back(|rates| Single::new(scheme.method, rates, grid, continuous), points),
            Some(pair) => self.there_and_back(|rates| Double::new(pair, scheme.contraction, rates, grid), points),
        }
    }

    /// The forward pass of all trajectories, the objective, and the reverse pass of all.
    fn there_and_back<W: Walk>(
        &self,
        walk_of: impl Fn(Rates<'a>) -> W,
        mut points: Option<&mut Vec<Point>>,
    ) -> Gradient {
        let Self { field, grid, .. } = *self;
        let mut states = Array3::zeros((grid.observations(), self.x0.nrows(), self.x0.ncols()));
        let mut trips = Vec::with_capacity(self.x0.nrows());
        for ((b, x0), mut observed) in (0..).zip(self.x0.rows()).zip(states.axis_iter_mut(Axis(1))) {
            let trip = Trip::forward(self, walk_of(self.rates(b)), self.rates(b), x0.to_vec());
            observed.assign(&interpolate(field, grid, trip.saved.view()));
            trips.push(trip);
        }
        let cost = self.cost.map(|cost| {
            let constant = cost_of_parameters(cost, field, grid);
            trips.iter().map(|trip| trip.cost + constant).collect()
        });

        let judgement = self.seed.judge(&states);
        let mut sums = Sums::new(field, grid);
        let mut a0 = Array2::zeros(self.x0.raw_dim());
        let mut reconstruction = Vec::with_capacity(self.x0.nrows());
        let mut times = vec![0.0; grid.times().len()];
        for (b, trip) in trips.into_iter().enumerate() {
            let jumps = judgement.jumps.index_axis(Axis(1), b);
            let jumps = interpolate_vjp(field, grid, trip.saved.view(), jumps, &mut sums);
            let (a, drift) = trip.back(self, jumps.view(), &mut sums, &mut times, points.as_deref_mut());
            a0.row_mut(b).iter_mut().zip(&a).for_each(|(to, from)| *to = *from);
            reconstruction.push(drift);
        }
        if self.adjoint == Adjoint::Continuous {
            sums.boundaries = times;
        }
        self.pull_parameters(&mut sums);
        let Judgement { loss, targets, log_scale, .. } = judgement;
        let Sums { theta, boundaries, outputs } = sums;
        Gradient { loss, cost, states, theta, x0: a0, boundaries, outputs, targets, log_scale, reconstruction }
    }

    /// What moves the trajectory with this number.
    fn rates(&self, trajectory: u32) -> Rates<'a> {
        Rates::with_cost(self.field, self.cost, trajectory, self.seed.worth_of_cost(self.x0.nrows()))
    }

    /// The adjoint of the cost's term `‖θ‖² (t1 − t0)` of all trajectories.
    fn pull_parameters(&self, sums: &mut Sums) {
        let Some(cost) = self.cost else { return };
        let batch = self.x0.nrows();
        let worth = batch as f64 * self.seed.worth_of_cost(batch);
        let length = self.grid.t1() - self.grid.t0();
        add_scaled(&mut sums.theta, 2.0 * worth * cost.parameters_weight() * length, self.field.theta());
        let rate = worth * rate_of_parameters(cost, self.field);
        sums.boundaries[self.grid.steps()] += rate;
        sums.boundaries[0] -= rate;
    }
}

/// One trajectory between its forward and its reverse pass.
struct Trip<'a, W: Walk> {
    walk: W,
    rates: Rates<'a>,
    x0: Vec<f64>,
    /// The output at t1.
    x1: Vec<f64>,
    /// The outputs at the boundaries that the grid keeps, `[save, dim]`.
    saved: Array2<f64>,
    cost: f64,
    source: Source<W::State>,
}

impl<'a, W: Walk> Trip<'a, W> {
    fn forward(task: &Task<'a, '_>, walk: W, rates: Rates<'a>, x0: Vec<f64>) -> Self {
        let keep = match task.adjoint {
            // Running a segment again gives the same states: for the twin there is no difference.
            Adjoint::Auto | Adjoint::Stored | Adjoint::Checkpointed | Adjoint::Exact => true,
            Adjoint::Backsolve | Adjoint::Reversible | Adjoint::Continuous => false,
        };
        let mut kept = Vec::new();
        let show = |state: &W::State| {
            if keep {
                kept.push(state.clone());
            }
        };
        let Forward { end, saved, cost } = forward(&walk, task.grid, &x0, show);
        let x1 = walk.output(&end);
        let source = if keep { Source::Stored(kept) } else { Source::Walked(end) };
        Self { walk, rates, x0, x1, saved, cost, source }
    }

    /// The reverse pass for the cotangents `jumps: [save, dim]`: returns `∂J/∂x0` and the drift, adds to the sums, and the
    /// gradients in time of the continuous adjoint to `times`.
    fn back(
        self,
        task: &Task<'a, '_>,
        jumps: ArrayView2<'_, f64>,
        sums: &mut Sums,
        times: &mut [f64],
        mut points: Option<&mut Vec<Point>>,
    ) -> (Vec<f64>, f64) {
        let Self { walk, rates, x0, x1, saved, source, .. } = self;
        let mut unused = vec![0.0; sums.theta.len()];
        let (bar, state) = reverse(&walk, task.grid, source, jumps, sums, |n, state, bar| {
            if let Some(points) = &mut points {
                points.push((n, walk.gather(n, &walk.output(state), bar, &mut unused).0));
            }
        });
        let (a0, t_bar) = walk.gather(0, &x0, &bar, &mut sums.theta);
        sums.boundaries[0] += t_bar;
        if task.adjoint == Adjoint::Continuous {
            let ends = Ends { x0: &x0, x1: &x1, a0: &a0 };
            hamiltonian_times(&rates, task.grid, &ends, saved.view(), jumps, times);
        }
        (a0, walk.drift(&x0, &state))
    }
}
