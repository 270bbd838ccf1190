//! The same problem in f64: its objective anywhere, and its gradients.

use costate::reference::{self, Field, Observations, Scheme, Seed};
use costate::solver::Contraction;
use costate::{Adjoint, Error, Loss, Mlp, NeuralOde, Reference, Result, RunningCost, TimeGrid};
use ndarray::{Array2, Array3, ArrayView3, Axis};

use super::Sample;
use super::parts::{Argument, free_saves};

/// The problem with its values in f64.
pub(super) struct Twin<'a> {
    pub(super) field: &'a Mlp,
    pub(super) grid: TimeGrid,
    scheme: Scheme,
    pub(super) loss: Loss,
    pub(super) cost: Option<RunningCost>,
    /// How large each component of the state is.
    sizes: Vec<f64>,
    /// The cost with a reference that goes on beyond t0 and t1, for times that are moved.
    wide_cost: Option<RunningCost>,
    pub(super) point: Point,
}

/// What the objective depends on, the times excepted; flat.
#[derive(Clone)]
pub(super) struct Point {
    theta: Vec<f64>,
    x0: Vec<f64>,
    targets: Vec<f64>,
    log_scale: Vec<f64>,
}

impl Point {
    fn new(sample: &Sample) -> Self {
        Self {
            theta: wide(sample.theta.as_slice()),
            x0: wide(&sample.x0),
            targets: wide(&sample.targets),
            log_scale: wide(&sample.log_scale),
        }
    }

    pub(super) fn get(&self, argument: Argument) -> &[f64] {
        match argument {
            Argument::Theta => &self.theta,
            Argument::X0 => &self.x0,
            Argument::Targets => &self.targets,
            Argument::LogScale => &self.log_scale,
            Argument::T0 | Argument::T1 | Argument::Saves | Argument::Times => &[],
        }
    }

    /// The same with `change` added to an argument that is not a time.
    pub(super) fn moved(&self, argument: Argument, change: &[f64]) -> Self {
        let mut moved = self.clone();
        let place = match argument {
            Argument::X0 => &mut moved.x0,
            Argument::Targets => &mut moved.targets,
            Argument::LogScale => &mut moved.log_scale,
            _ => &mut moved.theta,
        };
        place.iter_mut().zip(change).for_each(|(value, change)| *value += change);
        moved
    }
}

impl<'a> Twin<'a> {
    pub(super) fn new(
        ode: &'a NeuralOde,
        contraction: Option<Contraction>,
        loss: Loss,
        cost: Option<RunningCost>,
        sample: &Sample,
    ) -> Result<Self> {
        // The numbers of the forward pass are those of the run, whichever way the gradient is found.
        let scheme = Scheme { method: ode.method(), contraction };
        let wide_cost = cost.as_ref().map(continued).transpose()?;
        let (field, grid) = (ode.field(), ode.grid().clone());
        let (sizes, point) = (sample.sizes.clone(), Point::new(sample));
        Ok(Self { field, grid, scheme, loss, cost, sizes, wide_cost, point })
    }

    /// The gradient with an adjoint of choice, if there are mask and weights with those.
    pub(super) fn gradient(
        &self,
        adjoint: Adjoint,
        seen: Option<(ArrayView3<'_, bool>, ArrayView3<'_, f64>)>,
    ) -> Result<reference::Gradient> {
        let Point { theta, x0, targets, log_scale } = &self.point;
        let field = Field::new(self.field, theta)?;
        let x0 = self.states_like(x0)?;
        let shape = (self.grid.observations(), x0.nrows(), x0.ncols());
        let targets = Array3::from_shape_vec(shape, targets.clone()).map_err(|e| unfit(&e))?;
        let (mask, weights) = seen.unzip();
        let targets = targets.view();
        let seed = Seed::Observations(Observations { loss: self.loss, targets, weights, mask, log_scale });
        let cost = self.cost.as_ref();
        reference::gradient_with_cost(self.scheme, adjoint, &field, &self.grid, x0.view(), seed, cost)
    }

    /// The states at the save times.
    pub(super) fn states(&self) -> Result<Array3<f64>> {
        self.states_on(&self.grid)
    }

    /// The same with other steps.
    pub(super) fn states_on(&self, grid: &TimeGrid) -> Result<Array3<f64>> {
        self.solve(&self.point, grid)
    }

    /// The initial states, `[batch, dim]`.
    pub(super) fn initial(&self) -> Result<Array2<f64>> {
        self.states_like(&self.point.x0)
    }

    fn solve(&self, point: &Point, grid: &TimeGrid) -> Result<Array3<f64>> {
        let field = Field::new(self.field, &point.theta)?;
        reference::solve(self.scheme, &field, grid, self.states_like(&point.x0)?.view())
    }

    /// The sum of the running costs of all trajectories; zero without one.
    fn costs(&self, point: &Point, grid: &TimeGrid) -> Result<f64> {
        let Some(cost) = &self.wide_cost else { return Ok(0.0) };
        let field = Field::new(self.field, &point.theta)?;
        let x0 = self.states_like(&point.x0)?;
        Ok(reference::running_cost(self.scheme, &field, grid, x0.view(), cost)?.iter().sum())
    }

    /// Loss and mean running cost.
    pub(super) fn objective(&self, point: &Point, grid: &TimeGrid) -> Result<f64> {
        let batch = (point.x0.len() / self.field.dim()) as f64;
        Ok(self.loss_of(point, &self.solve(point, grid)?) + self.costs(point, grid)? / batch)
    }

    /// The loss of these states.
    pub(super) fn loss_of(&self, point: &Point, states: &Array3<f64>) -> f64 {
        let dim = self.field.dim();
        let terms = states.iter().zip(&point.targets).enumerate().map(|(i, (x, y))| {
            let scale = point.log_scale.get(i % dim).copied().unwrap_or(0.0);
            self.loss.value(x - y, scale).0
        });
        terms.sum::<f64>() / states.len() as f64
    }

    /// A direction in states or targets that moves each component by what it is measured in.
    pub(super) fn stretch(&self, argument: Argument, direction: &mut [f64]) {
        if matches!(argument, Argument::X0 | Argument::Targets) {
            direction.iter_mut().zip(self.sizes.iter().cycle()).for_each(|(v, size)| *v *= size);
        }
    }

    /// The loss of residuals as large as the states, over that of residuals of 1.
    pub(super) fn usual_loss(&self) -> f64 {
        let of = |size: &dyn Fn(usize) -> f64| -> f64 {
            let scale = |c: usize| self.point.log_scale.get(c).copied().unwrap_or(0.0);
            (0..self.sizes.len()).map(|c| self.loss.value(size(c), scale(c)).0.abs()).sum()
        };
        of(&|c| self.sizes[c]) / of(&|_| 1.0)
    }

    /// `Σ ⟨w, x⟩` at the save times, and the sum of the running costs.
    pub(super) fn product(&self, point: &Point, w: &Array3<f32>) -> Result<f64> {
        let states = self.solve(point, &self.grid)?;
        let sum: f64 = states.iter().zip(w).map(|(x, w)| x * f64::from(*w)).sum();
        Ok(sum + self.costs(point, &self.grid)?)
    }

    /// 1 forward in time, −1 backward.
    pub(super) fn forward(&self) -> f64 {
        (self.grid.t1() - self.grid.t0()).signum()
    }

    /// The shortest time between neighbours of t0, the save times and t1, 1 at most.
    pub(super) fn gap(&self) -> f64 {
        let mut times = vec![self.grid.t0()];
        times.extend(self.grid.save_times());
        times.push(self.grid.t1());
        let gaps = times.windows(2).map(|pair| (pair[1] - pair[0]).abs());
        gaps.filter(|gap| *gap > 0.0).fold(1.0, f64::min)
    }

    /// The grid with t0 and t1 moved by `ends`, and by `saves` the save times that move without them.
    pub(super) fn shifted(&self, ends: [f64; 2], saves: &[f64]) -> Result<TimeGrid> {
        let grid = &self.grid;
        let [t0, t1] = [grid.t0() + ends[0], grid.t1() + ends[1]];
        let mut save_at = grid.save_times();
        free_saves(grid).iter().zip(saves).for_each(|(&i, change)| save_at[i] += change);
        if grid.is_dense() {
            return TimeGrid::dense_with_steps(t0, &save_at, t1, grid.steps());
        }
        // Boundaries keep their places between the times around them.
        let mut knots = vec![(0, t0), (grid.steps(), t1)];
        let inner = grid.saves().iter().zip(&save_at).filter(|(n, _)| **n != 0 && **n != grid.steps());
        knots.extend(inner.map(|(&n, &time)| (n, time)));
        knots.sort_by_key(|(n, _)| *n);
        let mut times = vec![t0];
        for pair in knots.windows(2) {
            let [(from, start), (to, end)] = [pair[0], pair[1]];
            let [old_start, old_end] = [grid.times()[from], grid.times()[to]];
            let place = |n: usize| (grid.times()[n] - old_start) / (old_end - old_start);
            times.extend((from + 1..to).map(|n| start + place(n) * (end - start)));
            times.push(end);
        }
        TimeGrid::from_boundaries(times, grid.saves().to_vec())
    }

    fn states_like(&self, flat: &[f64]) -> Result<Array2<f64>> {
        let dim = self.field.dim();
        Array2::from_shape_vec((flat.len() / dim, dim), flat.to_vec()).map_err(|e| unfit(&e))
    }
}

/// The same cost with a reference that goes on for a tenth of its length on both sides.
fn continued(cost: &RunningCost) -> Result<RunningCost> {
    let Some((weight, reference)) = cost.reference_term() else { return Ok(cost.clone()) };
    let times = reference.times();
    let [first, last] = [times[0], times[times.len() - 1]];
    let margin = 0.1 * (last - first);
    let wider: Vec<f64> = [first - margin].into_iter().chain(times.iter().copied()).chain([last + margin]).collect();
    let (_, batch, dim) = reference.values().dim();
    let inside = |i: usize| (1..=times.len()).contains(&i).then(|| i - 1);
    let filled = |given: ArrayView3<'_, f32>, beyond: &dyn Fn((f64, f64)) -> f64| {
        Array3::from_shape_fn((wider.len(), batch, dim), |(i, b, c)| match inside(i) {
            Some(row) => given[[row, b, c]],
            None => super::super::narrow(beyond(reference.at(b, c, wider[i]))),
        })
    };
    let values = filled(reference.values(), &|(value, _)| value);
    let slopes = filled(reference.slopes(), &|(_, slope)| slope);
    let reference = Reference::with_slopes(&wider, values.view(), slopes.view())?;
    cost.clone().reference(weight, reference)
}

fn wide<'a>(values: impl IntoIterator<Item = &'a f32>) -> Vec<f64> {
    values.into_iter().map(|v| f64::from(*v)).collect()
}

/// Arrays are made of the lengths that they come from: a bug, but not one to panic over.
fn unfit(error: &ndarray::ShapeError) -> Error {
    Error::Invalid { what: "the twin".into(), problem: error.to_string(), remedy: "report this".into() }
}

/// Largest absolute distance over the largest value of b and of the initial states, of the component that is worst: states
/// that decay are not asked for digits that a trajectory of that size does not have.
pub(super) fn relative_max(a: &Array3<f32>, b: &Array3<f64>, x0: &Array2<f32>) -> f64 {
    use super::parts::{largest, ratio};
    let components = a.axis_iter(Axis(2)).zip(b.axis_iter(Axis(2))).zip(x0.columns());
    let off = components.map(|((a, b), x0)| {
        let difference = a.iter().zip(b).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, largest);
        let sizes = b.iter().map(|b| b.abs()).chain(x0.iter().map(|x| f64::from(x.abs())));
        ratio(difference, sizes.fold(0.0, largest))
    });
    off.fold(0.0, largest)
}
