//! One measurement: what is run, how often, and what is known of it then.

use costate::{Activation, Adjoint, Error, Gpu, Init, KernelTime, Method, Mlp, NeuralOde, Parameters, Report};
use costate::{Result, TimeGrid};
use ndarray::{Array2, Array3};
use rand::SeedableRng;
use rand_distr::{Distribution, StandardNormal};
use rand_pcg::Pcg64;
use serde::Serialize;

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
    case: Case,
    shape: Shape,
    ode: NeuralOde,
    theta: Parameters,
}

impl<'a> Subject<'a> {
    pub(super) fn new(args: &'a Bench, gpu: &Gpu, case: Case, shape: Shape) -> Result<Self> {
        let field = shape.field(args.activation)?;
        let theta = Parameters::init(&field, Init::Torch, 0)?;
        let builder = NeuralOde::builder(field, shape.grid()?).method(case.method).adjoint(case.adjoint);
        Ok(Self { args, case, ode: builder.build(gpu)?, shape, theta })
    }

    /// The median of the repeats, after the runs that compile, allocate and warm up; and where the time goes, in a run of
    /// its own, since a profile takes time.
    pub(super) fn measure(&mut self, batch: usize, progress: &Progress) -> Result<Row> {
        // Refused before the host makes arrays of that size.
        match self.case.phase {
            Phase::Forward => self.ode.solve_memory_plan(batch)?,
            Phase::Gradient => self.ode.memory_plan(batch)?,
        };
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
        Ok(self.row(batch, &seconds, report))
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

/// True if what follows can still be measured after this error.
pub(super) fn can_go_on(error: &Error) -> bool {
    !matches!(error, Error::DeviceLost { .. } | Error::Timeout { .. } | Error::Io { .. })
}
