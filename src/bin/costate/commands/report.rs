//! What `solve` and `gradient` report, as JSON, as text and as warnings.

use std::path::Path;

use costate::{Cost, FieldEvaluations, FractionBits, Gpu, NeuralOde, Report, Result, TrajectoryStatus, Wrt};
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
    parted: usize,
}

/// How far the reconstructed initial states are from the given ones.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Reconstruction {
    max_abs: f32,
    mean_abs: f32,
    /// Relative to the largest magnitude that the component has met.
    max_relative: f32,
    mean_relative: f32,
    bit_exact: bool,
}

impl From<&costate::Reconstruction> for Reconstruction {
    fn from(r: &costate::Reconstruction) -> Self {
        let &costate::Reconstruction { max_abs, mean_abs, max_relative, mean_relative, .. } = r;
        // In fixed point all words are back, but x0 may have been rounded to them: that must be below what f32 can show.
        let bit_exact = match r.words_differing {
            Some(words) => words == 0 && max_relative < f32::EPSILON / 2.0,
            None => max_abs == 0.0,
        };
        Self { max_abs, mean_abs, max_relative, mean_relative, bit_exact }
    }
}

/// What only a gradient has.
#[derive(Clone, Debug, Serialize)]
struct Differentiated {
    /// Loss and mean running cost; none for a vector-Jacobian product, whose objective is the caller's.
    objective: Option<f64>,
    wrt: Vec<&'static str>,
    times: Option<Times>,
}

/// Gradients in time; what was not asked for is null.
#[derive(Clone, Debug, Serialize)]
struct Times {
    t0: Option<f64>,
    t1: Option<f64>,
    saves: Option<Vec<f64>>,
}

impl Differentiated {
    fn new(gradient: &costate::Gradient, wrt: Wrt) -> Self {
        let times = gradient.times.as_ref().map(|times| Times {
            t0: wrt.t0.then_some(times.t0),
            t1: wrt.t1.then_some(times.t1),
            saves: wrt.saves.then(|| times.saves.clone()),
        });
        Self { objective: gradient.loss.map(|_| gradient.objective()), wrt: names(wrt), times }
    }
}

/// What is wanted, by the names of the command line.
fn names(wrt: Wrt) -> Vec<&'static str> {
    let Wrt { theta, x0, t0, t1, saves, targets, loss } = wrt;
    [("theta", theta), ("x0", x0), ("t0", t0), ("t1", t1), ("saves", saves), ("targets", targets), ("loss", loss)]
        .into_iter()
        .filter_map(|(name, wanted)| wanted.then_some(name))
        .collect()
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
    /// Mean running cost of the trajectories that went well.
    cost: Option<f64>,
    #[serde(flatten)]
    differentiated: Option<Differentiated>,
    reconstruction: Option<Reconstruction>,
    /// Those of states, targets and their gradients: "data" or "model".
    units: &'static str,
    /// Largest distance of the two copies of a pair, relative to what the component has met.
    copy_difference: Option<f32>,
    /// Largest relative error estimate of a step.
    error_estimate: Option<f32>,
    /// Bits below the points, for states in fixed point.
    fraction_bits: Option<FractionBits>,
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
            // A solve takes none, but its numbers are those of the forward pass of this one.
            adjoint: report.adjoint.unwrap_or(ode.adjoint()).to_string(),
            steps: report.steps,
            field_evaluations: report.field_evaluations,
            loss: None,
            cost: None,
            differentiated: None,
            reconstruction: None,
            units: "model",
            copy_difference: report.copy_difference,
            error_estimate: report.error_estimate.as_ref().map(|e| e.largest),
            fraction_bits: report.fraction_bits,
            device_bytes: DeviceBytes(report.memory.clone()),
            trajectories: Trajectories {
                ok: report.ok(),
                non_finite: report.non_finite(),
                overflow: report.out_of_range(),
                parted: report.parted(),
            },
            seconds: report.seconds,
            out,
            warnings: bad_trajectory(&report.status)
                .into_iter()
                .chain(report.warnings.iter().map(ToString::to_string))
                .collect(),
            status: &report.status,
            times: ode.grid().observations(),
        }
    }

    /// Says in which units the arrays are.
    pub(super) fn with_units(mut self, units: &'static str) -> Self {
        self.units = units;
        self
    }

    /// Adds warnings of the command itself.
    pub(super) fn with_warnings(mut self, warnings: Vec<String>) -> Self {
        self.warnings.extend(warnings);
        self
    }

    /// Adds loss, gradients that are short, and certificate of a gradient.
    pub(super) fn with_gradient(mut self, gradient: &costate::Gradient, wrt: Wrt) -> Self {
        self.loss = gradient.loss;
        self.differentiated = Some(Differentiated::new(gradient, wrt));
        self.reconstruction = gradient.reconstruction.as_ref().map(Into::into);
        self.with_cost(gradient.cost.as_ref())
    }

    /// Adds the mean of the running costs, if there are any.
    pub(super) fn with_cost(mut self, cost: Option<&Cost>) -> Self {
        self.cost = cost.map(|cost| {
            let paid = cost.per_trajectory.iter().filter(|c| !c.is_nan());
            paid.clone().sum::<f64>() / paid.count().max(1) as f64
        });
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
                "none of {} trajectories is left; trajectory 0 {}",
                self.status.len(),
                self.status[0]
            ))),
            _ => Ok(Outcome::Done),
        }
    }

    fn text(&self) -> String {
        let evaluations = self.field_evaluations;
        let mut lines = vec![
            format!("{} ({})", self.adapter, self.driver),
            format!("method         {}, {} steps, {} save times", self.method, self.steps, self.times),
            format!(
                "trajectories   {} ok, {} non-finite, {} overflow, {} parted",
                self.trajectories.ok,
                self.trajectories.non_finite,
                self.trajectories.overflow,
                self.trajectories.parted
            ),
            format!("evaluations    {} forward, {} reverse, per trajectory", evaluations.forward, evaluations.reverse),
        ];
        if evaluations.reverse > 0 {
            lines.push(format!("adjoint        {}", self.adjoint));
        }
        if let Some(loss) = self.loss {
            lines.push(format!("loss           {loss:e}"));
        }
        if let Some(cost) = self.cost {
            lines.push(format!("cost           {cost:e}, mean over trajectories"));
        }
        if let Some(objective) = self.differentiated.as_ref().and_then(|d| d.objective.filter(|_| self.cost.is_some()))
        {
            lines.push(format!("objective      {objective:e}"));
        }
        if let Some(times) = self.differentiated.as_ref().and_then(|d| d.times.as_ref()) {
            let each = [("t0", times.t0), ("t1", times.t1)];
            lines.extend(each.iter().filter_map(|(name, g)| g.map(|g| format!("dJ/d{name}         {g:e}"))));
        }
        if let Some(r) = &self.reconstruction {
            lines.push(if r.bit_exact {
                "reconstruction x(t0) is back bit for bit".to_owned()
            } else {
                format!(
                    "reconstruction x(t0) off by {:.2e} at most, {:.2e} of its size at most, {:.2e} on average",
                    r.max_abs, r.max_relative, r.mean_relative
                )
            });
        }
        if let Some(difference) = self.copy_difference {
            lines.push(format!("copies         {difference:.2e} of their size apart at most"));
        }
        if let Some(error) = self.error_estimate {
            lines.push(format!("error of steps {error:.2e} of a component, estimated"));
        }
        if let Some(bits) = self.fraction_bits {
            lines.push(format!("fixed point    {} to {} fraction bits", bits.min, bits.max));
        }
        if self.units == "data" {
            lines.push("units          those of the data".to_owned());
        }
        lines.push(format!("device memory  {}", output::bytes(self.device_bytes.0.total_bytes())));
        lines.push(format!("time           {:.3} s", self.seconds));
        lines.push(format!("written        {}", self.out.display()));
        lines.join("\n")
    }
}

/// A warning about the first trajectory that failed.
fn bad_trajectory(status: &[TrajectoryStatus]) -> Option<String> {
    let (index, first) = status.iter().enumerate().find(|(_, s)| !s.is_ok())?;
    let count = status.iter().filter(|s| !s.is_ok()).count();
    Some(format!(
        "{count} of {} trajectories failed and take no part in loss and gradient; the first is trajectory {index}: {first}",
        status.len()
    ))
}
