//! The training loop: the host only schedules, everything stays on the device.

mod evaluate;

use std::collections::VecDeque;
use std::sync::Arc;

use super::data::DataSet;
use super::options::{Steps, TrainOptions};
use super::record::{Record, Skips};
use crate::error::{Error, Result};
use crate::gpu::{Arena, Gpu, Readback, execute, read};
use crate::host::check_host_memory;
use crate::model::{Parameters, Wrt};
use crate::plan::{
    Arithmetic, Coarse, DataShape, HISTORY, Iteration, MemoryPlan, Program, Slot, Spec, TrainPlan, Wish, summary,
};
use crate::problem::{check_finite, check_reference, device_reference, fuse_if_exact, may_fuse, reference_of};
use crate::solver::{Adjoint, AdjointOptions, TimeGrid, WIDER, asked, given_point, point_for, rounding};

/// Iterations that are recorded in one go; a submission ends earlier if its work is enough.
const RECORDED: u64 = 32;
/// Iterations after which the summaries start their way to the host.
const REPORTED: u64 = HISTORY / 4;

/// Trains the parameters of a field on a data set.
///
/// Each iteration draws a minibatch of windows on the device, integrates, measures the mean squared error at every
/// data point after the first, goes back for the gradient and updates the parameters. The data set, states, adjoints,
/// parameters and moments stay on the device; summaries of the iterations come back now and then, asynchronously.
///
/// ```
/// use costate::train::{DataSet, TrainOptions, Trainer};
/// use costate::{Activation, AdapterRequest, Gpu, Init, Mlp, Parameters};
/// use ndarray::Array3;
///
/// // One decaying exponential, seen at 20 times.
/// let times: Vec<f64> = (0..20).map(|i| 0.1 * f64::from(i)).collect();
/// let values = Array3::from_shape_fn((1, 20, 1), |(_, i, _)| (-times[i]).exp() as f32);
/// let data = DataSet::new(&times, values.view())?;
///
/// let gpu = Gpu::new(&AdapterRequest::default())?;
/// let field = Mlp::builder(1).hidden(&[8], Activation::Tanh).build()?;
/// let theta = Parameters::init(&field, Init::Xavier, 0)?;
/// let options = TrainOptions { batch: 16, window: 5, iterations: 200, learning_rate: 0.02, ..TrainOptions::default() };
/// let mut trainer = Trainer::new(&gpu, &theta, &data, options)?;
/// trainer.advance(200)?;
/// let records = trainer.finish()?;
/// assert!(records[199].loss < 0.1 * records[0].loss);
/// let trained = trainer.parameters()?;
/// # assert_ne!(trained, theta);
/// # Ok::<(), costate::Error>(())
/// ```
#[derive(Debug)]
pub struct Trainer {
    plan: TrainPlan,
    options: TrainOptions,
    arena: Arena,
    /// Iterations submitted so far.
    iteration: u64,
    /// Iterations whose summaries are on their way or here.
    reported: u64,
    pending: VecDeque<Pending>,
    arrived: Vec<Record>,
    /// Of all records that have arrived.
    skips: Skips,
    /// Fixed point: bits below the binary point of every component at the start.
    points: Vec<i32>,
    /// First iteration whose walk back has its own kernel, if the fused one was given up.
    unfused: u64,
    /// Cost of a unit of ‖θ‖².
    parameters_cost: f32,
    gpu: Gpu,
}

/// Summaries on their way.
#[derive(Debug)]
struct Pending {
    first: u64,
    readback: Readback,
}

impl Trainer {
    /// Plans the run, allocates every buffer and uploads data and parameters.
    ///
    /// # Errors
    /// [`Error::Invalid`] for options that make no sense or do not fit the data, [`Error::LimitExceeded`] if the run
    /// does not fit the device, and device errors.
    pub fn new(gpu: &Gpu, theta: &Parameters, data: &DataSet, options: TrainOptions) -> Result<Self> {
        check_finite("parameter vector", &ndarray::aview1(theta.as_slice()))?;
        let field = theta.field();
        options.check(field.dim())?;
        let [series, times, dim] = data.values().dim().into();
        if dim != field.dim() {
            return Err(Error::shape(
                "data",
                &[series, times, dim],
                format!("[series, time, {}]", field.dim()),
                "use data with one component per state of the field",
            ));
        }
        let window = if options.window == 0 { times } else { options.window };
        let grid = window_grid(data, window, &options, field.time_input())?;
        let adjoint = training_adjoint(&options)?;
        options.adjoint_options.check(options.method, adjoint, grid.steps())?;
        let mut spec =
            Spec::gradient(field.clone(), options.method, grid, adjoint, options.adjoint_options, options.batch);
        spec.loss = options.loss;
        spec.kernels = options.kernels;
        spec.weighted = data.has_missing();
        spec.cost = options.running_cost.clone().map(Arc::new);
        spec.wrt = Wrt { loss: options.learn_log_scale, ..Wrt::default() };
        check_objective(&spec, data, window)?;
        // The points are those of the data set, of which a trajectory may be a small part.
        spec.coarse = Coarse::Ignore;
        let points = match spec.arithmetic {
            Arithmetic::Float => Vec::new(),
            Arithmetic::Fixed { .. } => data_points(data, &options.adjoint_options)?,
        };
        // Two words of seed would be mixed by the same hash; the upper half of the seed is folded in.
        let seed = (options.seed ^ (options.seed >> 32)) & u64::from(u32::MAX);
        let shape = DataShape { series, times, window };
        let wish = Wish { adjoint: options.adjoint, beside: 0, fused: may_fuse(gpu, &spec) };
        #[expect(clippy::cast_possible_truncation, reason = "masked to 32 bits above")]
        let mut plan = TrainPlan::new(spec, wish, shape, seed as u32, options.rule(), gpu.caps())?;
        fuse_if_exact(gpu, &mut plan.pass)?;
        plan.replan(|_| ())?;
        let host = plan.pass.host_of_training();
        check_host_memory("the training", host.added_bytes(), "use fewer or shorter series, or a smaller batch")?;
        let arena = Arena::for_plan(gpu, &plan.pass)?;
        let grid = &plan.pass.spec.grid;
        #[expect(clippy::cast_possible_truncation, reason = "reported as f32")]
        let parameters_cost =
            plan.pass.spec.cost.as_ref().map_or(0.0, |c| c.parameters_weight() * (grid.t1() - grid.t0())) as f32;
        let parameters: Vec<f32> = theta.as_slice().iter().chain(&options.log_scale).copied().collect();
        arena.upload(Slot::Theta, &parameters)?;
        if let Some(reference) = plan.pass.spec.cost.as_deref().and_then(reference_of) {
            arena.upload(Slot::Reference, &device_reference(reference, &plan.pass))?;
        }
        let values: Vec<f32> = data.values().iter().copied().collect();
        arena.upload(Slot::Data, &values)?;
        if plan.pass.spec.arithmetic != Arithmetic::Float {
            arena.upload(Slot::AskedPoints, &asked_points(&points, plan.pass.shape.stride))?;
        }
        Ok(Self {
            plan,
            options,
            arena,
            iteration: 0,
            reported: 0,
            pending: VecDeque::new(),
            arrived: Vec::new(),
            skips: Skips::default(),
            points,
            unfused: 0,
            parameters_cost,
            gpu: gpu.clone(),
        })
    }

    /// Runs `iterations` more iterations. Returns when they are submitted; the device may still be at work.
    ///
    /// # Errors
    /// Device errors.
    pub fn advance(&mut self, iterations: u64) -> Result<()> {
        let end = self.iteration.saturating_add(iterations);
        while self.iteration < end {
            let count = RECORDED.min(end - self.iteration).min(self.reported + REPORTED - self.iteration);
            let ends = (self.iteration..self.iteration + count)
                .map(|number| {
                    let update = self.options.update(number, [self.plan.learnt(), self.plan.pass.shape.parameters]);
                    Ok([self.plan.gather(number)?, self.plan.update(Iteration { number, update })?])
                })
                .collect::<Result<Vec<[Program; 2]>>>()?;
            let programs: Vec<&Program> =
                ends.iter().flat_map(|[draw, update]| [draw, self.plan.body(), update]).collect();
            execute(&mut self.arena, &self.plan.pass, &programs)?;
            self.iteration += count;
            if self.iteration == self.reported + REPORTED {
                self.report()?;
                self.collect()?;
            }
        }
        Ok(())
    }

    /// The records that have arrived since the last call, in order, without waiting for the device.
    ///
    /// # Errors
    /// Device errors.
    pub fn records(&mut self) -> Result<Vec<Record>> {
        if self.pending.is_empty() {
            self.report()?;
        }
        self.collect()?;
        Ok(std::mem::take(&mut self.arrived))
    }

    /// Waits for everything submitted and returns the records that were not fetched yet.
    ///
    /// # Errors
    /// Device errors.
    pub fn finish(&mut self) -> Result<Vec<Record>> {
        self.report()?;
        while let Some(Pending { first, readback }) = self.pending.pop_front() {
            let values = readback.take()?;
            self.decode(first, &values)?;
        }
        Ok(std::mem::take(&mut self.arrived))
    }

    /// The updates that were skipped, as far as records have arrived.
    #[must_use]
    pub fn skips(&self) -> Skips {
        self.skips
    }

    /// The parameters after everything submitted so far; waits for it.
    ///
    /// # Errors
    /// Device errors; [`Error::NonFinite`] if training drove a parameter out of the finite numbers.
    pub fn parameters(&self) -> Result<Parameters> {
        let values = read(&self.arena, Slot::Theta, u64::from(self.plan.pass.shape.parameters))?;
        self.all_finite("parameter vector", &values)?;
        Parameters::from_flat(&self.plan.pass.spec.field, values)
    }

    /// What was finite at the start and is no longer: a failed run, no bad input.
    fn all_finite(&self, what: &str, values: &[f32]) -> Result<()> {
        let Some((index, value)) = values.iter().enumerate().find(|(_, v)| !v.is_finite()) else { return Ok(()) };
        let detail = format!("it holds {value} at index [{index}] after {} iterations", self.iteration);
        Err(Error::NonFinite { what: what.into(), detail })
    }

    /// `ln σ` of every component after everything submitted so far, for [`Loss::GaussianNll`](crate::Loss); waits for it.
    ///
    /// # Errors
    /// As [`Self::parameters`].
    pub fn log_scale(&self) -> Result<Vec<f32>> {
        let shape = &self.plan.pass.shape;
        let mut values: Vec<f32> = read(&self.arena, Slot::Theta, u64::from(shape.parameters + shape.loss_parameters))?;
        let scales = values.split_off(shape.parameters as usize);
        self.all_finite("log scale", &scales)?;
        Ok(scales)
    }

    /// Iterations submitted so far.
    #[must_use]
    pub fn iteration(&self) -> u64 {
        self.iteration
    }

    /// The steps of one sample.
    #[must_use]
    pub fn grid(&self) -> &TimeGrid {
        &self.plan.pass.spec.grid
    }

    /// The way to the gradient that is taken: [`Adjoint::Auto`], what the method has and a memory budget decide.
    #[must_use]
    pub fn adjoint(&self) -> Adjoint {
        self.plan.pass.spec.adjoint.unwrap_or(self.options.adjoint)
    }

    /// States kept on the way, as in [`Report::anchors`](crate::Report).
    #[must_use]
    pub fn anchors(&self) -> Option<u64> {
        self.plan.pass.anchors()
    }

    /// Fixed point: bits below the binary point of every component, after everything submitted so far; waits for it. Empty
    /// for floats.
    ///
    /// # Errors
    /// Device errors.
    pub fn fraction_bits(&self) -> Result<Vec<i32>> {
        if self.plan.pass.spec.arithmetic == Arithmetic::Float {
            return Ok(Vec::new());
        }
        let shape = &self.plan.pass.shape;
        let points: Vec<u32> = read(&self.arena, Slot::AskedPoints, shape.asked_values())?;
        Ok(points.chunks(shape.stride as usize).take(self.points.len()).map(|row| given_point(row[0])).collect())
    }

    /// Components whose range of fixed point a trajectory has left, so that it was widened for all that came after. Waits.
    ///
    /// # Errors
    /// Device errors.
    pub fn widened(&self) -> Result<Vec<usize>> {
        let now = self.fraction_bits()?;
        let changed = now.iter().zip(&self.points).enumerate().filter(|(_, (now, before))| now != before);
        Ok(changed.map(|(component, _)| component).collect())
    }

    /// Every byte that the run keeps on the device.
    #[must_use]
    pub fn memory_plan(&self) -> &MemoryPlan {
        &self.plan.pass.memory
    }

    /// Starts to read the summaries that are not on their way yet.
    fn report(&mut self) -> Result<()> {
        let record = summary::LEN as u64 * 4;
        while self.reported < self.iteration {
            let place = self.reported % HISTORY;
            let count = (self.iteration - self.reported).min(HISTORY - place);
            let readback = Readback::start(&self.arena, Slot::History, place * record, count * record)?;
            self.pending.push_back(Pending { first: self.reported, readback });
            self.reported += count;
        }
        Ok(())
    }

    /// Takes the summaries that have arrived.
    fn collect(&mut self) -> Result<()> {
        while let Some(pending) = self.pending.front_mut() {
            let Some(values) = pending.readback.try_take()? else { break };
            let first = pending.first;
            self.pending.pop_front();
            self.decode(first, &values)?;
        }
        Ok(())
    }

    fn decode(&mut self, first: u64, values: &[f32]) -> Result<()> {
        for (iteration, values) in (first..).zip(values.chunks(summary::LEN)) {
            let record = Record::new(iteration, values, self.parameters_cost);
            self.arrived.push(record);
            self.skips.add(&record);
            let words = values[summary::DIFFERING];
            if words > 0.0 && self.plan.pass.is_fused() {
                self.unfuse()?;
            } else if words > 0.0 && iteration >= self.unfused {
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
                return Err(Error::NotReversed { words: words as u64, adapter: self.gpu.adapter().to_owned() });
            }
        }
        Ok(())
    }

    /// From now on the walk back has its own kernel. No update was made of an iteration whose words did not come back.
    fn unfuse(&mut self) -> Result<()> {
        tracing::warn!("the fused kernel does not repeat the bits of the way there: walking back in its own kernel");
        if let Some(kernels) = self.plan.pass.fused_kernels() {
            self.gpu.set_repeats(kernels, false);
        }
        self.unfused = self.iteration;
        self.plan.replan(|pass| pass.set_fused(false))
    }
}

/// The binary point of every component: that which is given, or the one that its largest value asks for.
fn data_points(data: &DataSet, options: &AdjointOptions) -> Result<Vec<i32>> {
    let mut largest = vec![0.0_f32; data.values().dim().2];
    for series in data.values().outer_iter() {
        for point in series.outer_iter() {
            // A missing value is NaN, which no maximum is.
            largest.iter_mut().zip(point).for_each(|(most, value)| *most = most.max(value.abs()));
        }
    }
    let most = largest.iter().fold(0.0_f32, |a, b| a.max(*b));
    options.check_range(most)?;
    let point = |own: &f32| match options.fraction_bits {
        Some(bits) => i32::try_from(bits).unwrap_or(i32::MAX),
        // A component that is zero throughout is given the room of the largest.
        None => point_for(*own).or(point_for(most)).unwrap_or_default(),
    };
    Ok(largest.iter().map(point).collect())
}

/// The points of all trajectories, and the least that a range may be widened to: once.
fn asked_points(points: &[i32], stride: u32) -> Vec<u32> {
    let rows = points.iter().flat_map(|point| std::iter::repeat_n(asked(*point), stride as usize));
    rows.chain(points.iter().map(|point| asked(point - WIDER))).collect()
}

/// The adjoint of a run. Nothing is read back in between, so that nothing can be done again: where a single gradient
/// would reconstruct and fall back on kept states, a run keeps states at once.
fn training_adjoint(options: &TrainOptions) -> Result<Adjoint> {
    let adjoint = options.adjoint_options.resolve(options.adjoint, options.method)?;
    let automatic = options.adjoint == Adjoint::Auto;
    Ok(if automatic && adjoint == Adjoint::Reversible { Adjoint::Stored } else { adjoint })
}

/// Refuses a running cost or missing values that do not go with windows of `window` points.
fn check_objective(spec: &Spec, data: &DataSet, window: usize) -> Result<()> {
    let times = data.times().len();
    if let Some([series, time]) = data.missing_start(times - window + 1) {
        return Err(Error::invalid(
            "data",
            format!("a value of series {series} is missing at point {time}, where a window may start"),
            "use whole series (window 0), whose first points are whole",
        ));
    }
    let Some(cost) = &spec.cost else { return Ok(()) };
    check_reference(cost, &spec.grid, spec.field.dim())?;
    let Some(reference) = reference_of(cost) else { return Ok(()) };
    let problem = if !reference.is_shared() {
        "one for each trajectory, but trajectories are drawn anew"
    } else if window < times {
        "one in time, but windows start at different times"
    } else {
        return Ok(());
    };
    Err(Error::invalid("reference", problem, "use one reference for all, and whole series (window 0)"))
}

/// The grid of one sample: from its first point through all others.
fn window_grid(data: &DataSet, window: usize, options: &TrainOptions, time_input: bool) -> Result<TimeGrid> {
    let times = data.times();
    if window < 2 || window > times.len() {
        return Err(Error::invalid(
            "window",
            format!("{window} points"),
            format!("use 2 to {} points, or 0 for whole series", times.len()),
        ));
    }
    if window < times.len() && !data.is_uniform() {
        return Err(Error::invalid(
            "window",
            format!("{window} of {} points at unequally spaced times", times.len()),
            "windows share one time grid: resample the data to equal spacing, or use whole series (window 0)",
        ));
    }
    if window < times.len() && time_input {
        return Err(Error::invalid(
            "window",
            format!("{window} of {} points for a field that takes the time as input", times.len()),
            "windows start at different times but share one time grid: use whole series (window 0) or no time input",
        ));
    }
    let resolution = data.resolution().max(times.iter().map(|t| rounding(*t)).fold(0.0, f64::max));
    let shared = data.window_times(window);
    let (t0, t1) = (shared[0], shared[window - 1]);
    match options.steps {
        Steps::Step(step) => TimeGrid::with_step_within(t0, &shared[1..], t1, step, resolution),
        Steps::PerInterval(steps) => TimeGrid::with_steps(t0, &shared[1..], t1, steps),
    }
}
