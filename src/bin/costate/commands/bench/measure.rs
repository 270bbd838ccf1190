//! One measurement: what is run, how often, and what is known of it then.

use costate::{Activation, Adjoint, Error, Family, Gpu, Init, KernelOptions, KernelTime, Method, Mlp, NeuralOde};
use costate::{NeuralOdeBuilder, Parameters, Report, Result, TimeGrid, tune};
use ndarray::{Array2, Array3};
use rand::SeedableRng;
use rand_distr::{Distribution, StandardNormal};
use rand_pcg::Pcg64;
use serde::Serialize;

use super::arrange::Arrange;
use super::progress::Progress;
use crate::cli::{Bench, Phase};
use crate::output;

/// What a sweep varies beside the batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) state: usize,
    pub(super) hidden: Vec<usize>,
    pub(super) steps: usize,
}

impl Shape {
    fn field(&self, activation: Activation) -> Result<Mlp> {
        Mlp::builder(self.state).hidden(&self.hidden, activation).build()
    }

    fn grid(&self) -> Result<TimeGrid> {
        TimeGrid::uniform(0.0, 1.0, self.steps)
    }

    /// Refuses what no device could run.
    pub(super) fn check(&self, activation: Activation) -> Result<()> {
        self.field(activation)?;
        self.grid().map(drop)
    }
}

/// One measurement; its keys are a promise.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Row {
    pub(super) batch: usize,
    pub(super) state: usize,
    pub(super) hidden: Vec<usize>,
    pub(super) activation: String,
    pub(super) method: String,
    pub(super) adjoint: String,
    pub(super) steps: usize,
    pub(super) phase: Phase,
    /// The arrangement of the kernels, of the way back if there is one.
    pub(super) kernels: KernelOptions,
    /// True if it was found by measuring, now or earlier.
    pub(super) tuned: bool,
    /// The median.
    pub(super) seconds: f64,
    pub(super) seconds_min: f64,
    pub(super) seconds_max: f64,
    pub(super) repeats: usize,
    pub(super) trajectory_steps_per_second: f64,
    pub(super) flops: u64,
    pub(super) gflops: f64,
    pub(super) fraction_of_peak: Option<f64>,
    pub(super) bytes_moved: u64,
    pub(super) gigabytes_per_second: f64,
    pub(super) fraction_of_peak_bandwidth: Option<f64>,
    pub(super) device_bytes: u64,
    /// Device time by kernel, if it was asked for.
    pub(super) phases: Option<Vec<KernelTime>>,
    /// Throughput over that of the file it is compared with.
    pub(super) ratio: Option<f64>,
}

impl Row {
    /// The name of the curve that it belongs to.
    pub(super) fn label(&self) -> String {
        match self.phase {
            Phase::Forward if self.adjoint == Adjoint::Exact.name() => format!("{}, forward, fixed point", self.method),
            Phase::Forward => format!("{}, forward", self.method),
            Phase::Gradient => format!("{}, gradient, {}", self.method, self.adjoint),
        }
    }
}

/// What is measured for every batch and along every sweep.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case {
    pub(super) method: Method,
    pub(super) adjoint: Adjoint,
    pub(super) phase: Phase,
}

/// A case with a shape, ready to run.
pub(super) struct Subject<'a> {
    args: &'a Bench,
    gpu: &'a Gpu,
    case: Case,
    shape: Shape,
    builder: NeuralOdeBuilder,
    /// With the arrangement for the last batch.
    ode: NeuralOde,
    /// What of that arrangement is given.
    given: KernelOptions,
    theta: Parameters,
}

impl<'a> Subject<'a> {
    pub(super) fn new(args: &'a Bench, gpu: &'a Gpu, case: Case, shape: Shape) -> Result<Self> {
        let field = shape.field(args.activation)?;
        let theta = Parameters::init(&field, Init::Torch, 0)?;
        let builder = NeuralOde::builder(field, shape.grid()?).method(case.method).adjoint(case.adjoint);
        let given = args.kernels();
        let ode = builder.clone().kernels(given).build(gpu)?;
        check_family(args.family, tune::Phase::from(case.phase).kernels(&ode, 1)?)?;
        Ok(Self { args, gpu, case, shape, builder, ode, given, theta })
    }

    /// Gives the kernels the arrangement for a batch; returns true if it was found by measuring.
    fn arrange(&mut self, batch: usize, arrange: &mut Arrange, progress: &Progress) -> Result<bool> {
        let phase = self.case.phase.into();
        let Some(kernels) = arrange.kernels(&self.builder, self.gpu, (phase, batch), progress)? else {
            return self.rearranged(self.args.kernels(), false);
        };
        self.rearranged(kernels, true)
    }

    /// Buffers and programs are kept where nothing changes.
    fn rearranged(&mut self, given: KernelOptions, tuned: bool) -> Result<bool> {
        if given != self.given {
            self.ode = self.builder.clone().kernels(given).build(self.gpu)?;
            self.given = given;
        }
        Ok(tuned)
    }

    /// The median of the repeats, after the runs that compile, allocate and warm up; and where the time goes, in a run of
    /// its own, since a profile takes time.
    pub(super) fn measure(&mut self, batch: usize, arrange: &mut Arrange, progress: &Progress) -> Result<Row> {
        // Refused before the host makes arrays of that size.
        match self.case.phase {
            Phase::Forward => self.ode.solve_memory_plan(batch)?,
            Phase::Gradient => self.ode.memory_plan(batch)?,
        };
        let tuned = self.arrange(batch, arrange, progress)?;
        let kernels = tune::Phase::from(self.case.phase).kernels(&self.ode, batch)?;
        let mut rng = Pcg64::seed_from_u64(1);
        let x0 = Array2::from_shape_simple_fn((batch, self.shape.state), || StandardNormal.sample(&mut rng));
        let targets = Array3::zeros((1, batch, self.shape.state));
        let (phase, theta) = (self.case.phase, &self.theta);
        let call = |ode: &NeuralOde| -> Result<Report> {
            Ok(match phase {
                Phase::Forward => ode.solve(theta, x0.view())?.report,
                Phase::Gradient => ode.loss_and_gradient(theta, x0.view(), targets.view())?.report,
            })
        };
        let mut report = call(&self.ode)?;
        for _ in 1..self.args.warmup {
            report = call(&self.ode)?;
        }
        for warning in &report.warnings {
            let Case { method, adjoint, .. } = self.case;
            progress.aside(|| output::warn(&format!("batch {batch} with {method} and {adjoint}: {warning}")));
        }
        let runs = (0..self.args.repeats).map(|_| Ok(call(&self.ode)?.seconds));
        let mut seconds = runs.collect::<Result<Vec<f64>>>()?;
        seconds.sort_unstable_by(f64::total_cmp);
        if self.args.profile {
            self.ode.set_profile(true);
            let profiled = call(&self.ode);
            self.ode.set_profile(false);
            report.kernels = profiled?.kernels;
        }
        Ok(Row { kernels, tuned, ..self.row(batch, &seconds, report) })
    }

    fn row(&self, batch: usize, sorted: &[f64], report: Report) -> Row {
        let seconds = f64::midpoint(sorted[sorted.len() / 2], sorted[(sorted.len() - 1) / 2]);
        let gflops = report.flops as f64 / seconds / 1e9;
        let bandwidth = report.bytes_moved as f64 / seconds / 1e9;
        Row {
            batch,
            state: self.shape.state,
            hidden: self.shape.hidden.clone(),
            activation: self.args.activation.to_string(),
            method: self.case.method.to_string(),
            adjoint: self.case.adjoint.to_string(),
            steps: self.shape.steps,
            phase: self.case.phase,
            kernels: self.given,
            tuned: false,
            seconds,
            seconds_min: sorted[0],
            seconds_max: sorted[sorted.len() - 1],
            repeats: sorted.len(),
            trajectory_steps_per_second: batch as f64 * self.shape.steps as f64 / seconds,
            flops: report.flops,
            gflops,
            fraction_of_peak: self.args.peak.map(|peak| gflops / peak),
            bytes_moved: report.bytes_moved,
            gigabytes_per_second: bandwidth,
            fraction_of_peak_bandwidth: self.args.peak_bandwidth.map(|peak| bandwidth / peak),
            device_bytes: report.allocated_bytes,
            phases: report.kernels,
            ratio: None,
        }
    }
}

/// A row must not pass for one of kernels that it does not have: some families are only there for some problems.
fn check_family(asked: Option<Family>, kernels: KernelOptions) -> Result<()> {
    match asked.zip(kernels.family) {
        Some((asked, family)) if asked != family => Err(Error::Invalid {
            what: "--family".into(),
            problem: format!("{asked}, where this problem has kernels of the family {family} on this device"),
            remedy: format!("use {family}, or leave it to the plan"),
        }),
        _ => Ok(()),
    }
}

/// True if what follows can still be measured after this error.
pub(super) fn can_go_on(error: &Error) -> bool {
    !matches!(error, Error::DeviceLost { .. } | Error::Timeout { .. } | Error::Io { .. })
}
