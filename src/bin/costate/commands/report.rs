//! What `solve` and `gradient` report, as JSON, as text and as warnings.

use std::path::Path;

use costate::{FieldEvaluations, Gpu, NeuralOde, Report, Result, TrajectoryStatus};
use serde::Serialize;

use super::Outcome;
use crate::cli::Global;
use crate::output::{self, DeviceBytes};

/// Counts of trajectories by what became of them.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Trajectories {
    ok: usize,
    non_finite: usize,
    overflow: usize,
}

/// How far the reconstructed initial states are from the given ones.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Reconstruction {
    max_abs: f32,
    mean_abs: f32,
    bit_exact: bool,
}

impl From<&costate::Reconstruction> for Reconstruction {
    fn from(r: &costate::Reconstruction) -> Self {
        Self { max_abs: r.max_abs, mean_abs: r.mean_abs, bit_exact: r.max_abs == 0.0 }
    }
}

/// The JSON object of a run; its keys are a promise.
#[derive(Serialize)]
pub(super) struct RunReport<'a> {
    adapter: &'a str,
    driver: &'a str,
    method: String,
    adjoint: String,
    steps: usize,
    field_evaluations: FieldEvaluations,
    loss: Option<f32>,
    reconstruction: Option<Reconstruction>,
    device_bytes: DeviceBytes,
    trajectories: Trajectories,
    seconds: f64,
    out: &'a Path,
    warnings: Vec<String>,
    #[serde(skip)]
    status: &'a [TrajectoryStatus],
    #[serde(skip)]
    times: usize,
}

impl<'a> RunReport<'a> {
    pub(super) fn new(gpu: &'a Gpu, ode: &NeuralOde, report: &'a Report, out: &'a Path) -> Self {
        Self {
            adapter: gpu.adapter(),
            driver: gpu.driver(),
            method: ode.method().to_string(),
            adjoint: ode.adjoint().to_string(),
            steps: report.steps,
            field_evaluations: report.field_evaluations,
            loss: None,
            reconstruction: None,
            device_bytes: DeviceBytes(report.memory.clone()),
            trajectories: Trajectories { ok: report.ok(), non_finite: report.non_finite(), overflow: 0 },
            seconds: report.seconds,
            out,
            warnings: bad_trajectory(&report.status).into_iter().collect(),
            status: &report.status,
            times: ode.grid().saves().len(),
        }
    }

    /// Adds loss and certificate of a gradient, with a warning if the certificate is beyond the tolerance.
    pub(super) fn with_gradient(mut self, gradient: &costate::Gradient, tolerance: f64) -> Self {
        self.loss = gradient.loss;
        self.reconstruction = gradient.reconstruction.as_ref().map(Into::into);
        self.warnings.extend(gradient.reconstruction.as_ref().and_then(|r| drift(r.max_abs, tolerance)));
        self
    }

    /// Prints the report and its warnings. A run of which nothing is left has failed.
    pub(super) fn show(&self, global: &Global) -> Result<Outcome> {
        self.warnings.iter().for_each(|w| output::warn(w));
        if global.json {
            output::print_json(self)?;
        } else {
            output::print(&self.text())?;
        }
        match bad_trajectory(self.status) {
            Some(_) if self.trajectories.ok == 0 => Ok(Outcome::Failed(format!(
                "none of {} trajectories stayed finite; use a smaller step or smaller weights",
                self.status.len()
            ))),
            _ => Ok(Outcome::Done),
        }
    }

    fn text(&self) -> String {
        let evaluations = self.field_evaluations;
        let mut lines = vec![
            format!("{} ({})", self.adapter, self.driver),
            format!("method         {}, {} steps, {} save times", self.method, self.steps, self.times),
            format!("trajectories   {} ok, {} non-finite", self.trajectories.ok, self.trajectories.non_finite),
            format!("evaluations    {} forward, {} reverse, per trajectory", evaluations.forward, evaluations.reverse),
        ];
        if evaluations.reverse > 0 {
            lines.push(format!("adjoint        {}", self.adjoint));
        }
        if let Some(loss) = self.loss {
            lines.push(format!("loss           {loss:e}"));
        }
        if let Some(r) = &self.reconstruction {
            lines.push(format!("reconstruction x(t0) off by {:.2e} at most, {:.2e} on average", r.max_abs, r.mean_abs));
        }
        lines.push(format!("device memory  {}", output::bytes(self.device_bytes.0.total_bytes())));
        lines.push(format!("time           {:.3} s", self.seconds));
        lines.push(format!("written        {}", self.out.display()));
        lines.join("\n")
    }
}

/// A warning about the first trajectory that met a non-finite value.
fn bad_trajectory(status: &[TrajectoryStatus]) -> Option<String> {
    let (index, first) = status.iter().enumerate().find(|(_, s)| **s != TrajectoryStatus::Ok)?;
    let place = match first {
        TrajectoryStatus::NonFinite { step, time } => format!("in step {step}, which ends at t = {time}"),
        TrajectoryStatus::LossOverflow { step, time } => {
            format!("after step {step}, at t = {time}, where it is further than 1e15 from its target")
        }
        TrajectoryStatus::ReverseNonFinite { step, time } => {
            format!("going back in step {step}, which starts at t = {time}")
        }
        other => format!("as {other:?}"),
    };
    let count = status.iter().filter(|s| **s != TrajectoryStatus::Ok).count();
    Some(format!(
        "{count} of {} trajectories met a non-finite value, the first is trajectory {index} {place}; such a trajectory \
         takes no part in loss and gradient: use a smaller step or smaller weights",
        status.len()
    ))
}

/// A warning about a certificate beyond the tolerance; written so that a NaN is beyond any.
pub(super) fn drift(max_abs: f32, tolerance: f64) -> Option<String> {
    let within = f64::from(max_abs) <= tolerance;
    (!within).then(|| {
        format!(
            "the reconstructed initial states are off by {max_abs:.2e}, more than reconstruction_tolerance = \
             {tolerance:e}, and the gradient is wrong by about as much; use adjoint = \"checkpointed\", a smaller step or a \
             method of higher order"
        )
    })
}
