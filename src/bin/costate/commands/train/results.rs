//! The files of a training and its report.

use std::path::Path;

use costate::io::{Standardiser, write_atomically};
use costate::train::{Record, TrainOptions, Trainer};
use costate::{Adjoint, Gpu, Result, Warning};
use ndarray::Axis;
use serde::Serialize;

use super::evaluation::Evaluated;
use super::{Run, Trained};
use crate::cli::Global;
use crate::output::{self, DeviceBytes};
use crate::plots;

/// About as many losses in the report; losses.csv has all.
const LOSSES: usize = 1000;
/// The copies of a pair may be this far apart before there is a warning, as for a single gradient.
const PARTED: f32 = 1e-2;
/// Components that a plot over time can tell apart.
const COMPONENTS: usize = 7;

/// report.json, and the JSON object of the subcommand.
#[derive(Serialize)]
pub(super) struct Results<'a> {
    adapter: &'a str,
    driver: &'a str,
    method: String,
    adjoint: String,
    parameters: usize,
    iterations: u64,
    batch: usize,
    window: usize,
    steps: usize,
    final_loss: Option<f64>,
    /// As the loss, of the running cost; none without one.
    final_cost: Option<f64>,
    /// ln σ of every component at the end, for gaussian_nll.
    log_scale: Option<&'a [f32]>,
    evaluation_loss: Option<f64>,
    seconds: f64,
    trajectory_steps_per_second: f64,
    reconstruction: Option<Reconstruction>,
    /// Largest distance of the two copies of a pair, over all iterations.
    copy_difference: Option<f32>,
    /// Bits below the point at the end, for states in fixed point.
    fraction_bits: Option<u32>,
    device_bytes: DeviceBytes,
    folder: &'a Path,
    warnings: Vec<String>,
    scaling: &'a Standardiser,
    config: &'a toml::Value,
    losses: Vec<(u64, f32)>,
}

/// The worst and the last certificate.
#[derive(Serialize)]
struct Reconstruction {
    max_abs: f32,
    mean_abs: f32,
    bit_exact: bool,
}

impl<'a> Results<'a> {
    pub(super) fn new(
        run: &'a Run,
        gpu: &'a Gpu,
        trainer: &Trainer,
        options: &TrainOptions,
        trained: &'a Trained,
        evaluated: &Evaluated,
    ) -> Self {
        let records = &trained.records;
        let steps = trainer.grid().steps();
        let work = options.batch as f64 * steps as f64 * records.len() as f64;
        let adjoint = trainer.adjoint();
        let reconstruction =
            if adjoint.keeps_states() { None } else { reconstruction(records, adjoint == Adjoint::Exact) };
        let copies = options.method.pair().is_some_and(|pair| pair.has_copies());
        let copy_difference = copies.then(|| records.iter().map(|r| r.copy_difference).fold(0.0, f32::max));
        let mut warnings: Vec<String> =
            quarantined(records, options.batch, trainer.fraction_bits()).into_iter().collect();
        warnings.extend(skipped(records));
        warnings.extend(drifted(records, run.config.solve.reconstruction_tolerance));
        warnings.extend(parted(records));
        warnings.extend(trained.widened.map(|fraction_bits| Warning::Widened { fraction_bits }.to_string()));
        warnings.extend(evaluated.warnings.iter().cloned());
        Self {
            adapter: gpu.adapter(),
            driver: gpu.driver(),
            method: options.method.to_string(),
            adjoint: adjoint.to_string(),
            parameters: run.field.parameter_count(),
            iterations: records.len() as u64,
            batch: options.batch,
            window: options.window,
            steps,
            final_loss: final_mean(records, |r| r.loss),
            final_cost: options.running_cost.as_ref().and_then(|_| final_mean(records, |r| r.cost)),
            log_scale: (!trained.log_scale.is_empty()).then_some(&trained.log_scale),
            evaluation_loss: evaluated.loss,
            seconds: trained.seconds,
            trajectory_steps_per_second: work / trained.seconds,
            reconstruction,
            copy_difference,
            fraction_bits: trainer.fraction_bits(),
            device_bytes: DeviceBytes(trainer.memory_plan().clone()),
            folder: &run.folder,
            warnings,
            scaling: &run.scaling,
            config: &run.echo,
            losses: thin(records),
        }
    }

    /// Writes everything but the weights.
    pub(super) fn write(&self, run: &Run, trained: &Trained, evaluated: &Evaluated) -> Result<()> {
        write_losses(&run.folder.join("losses.csv"), &trained.records)?;
        output::write_json(&run.folder.join("report.json"), self)?;
        if run.config.output.plot() {
            draw(run, &trained.records, evaluated)?;
        }
        Ok(())
    }

    pub(super) fn show(&self, global: &Global, run: &Run) -> Result<()> {
        self.warnings.iter().for_each(|w| output::warn(w));
        if global.json {
            return output::print_json(self);
        }
        let number = |loss: Option<f64>| loss.map_or("not finite".to_owned(), |l| format!("{l:.4e}"));
        let mut lines = vec![
            format!("{} ({})", self.adapter, self.driver),
            format!("field         {}, {} parameters", run.field.summary(), self.parameters),
            format!("method        {}, {}", self.method, self.adjoint),
            format!("iterations    {} of {} samples, {} steps each", self.iterations, self.batch, self.steps),
            format!(
                "loss          {} at the end, {} over whole series",
                number(self.final_loss),
                number(self.evaluation_loss)
            ),
        ];
        lines.extend(self.final_cost.map(|cost| format!("cost          {cost:.4e} at the end")));
        if let Some(scales) = self.log_scale {
            let scales: Vec<String> = scales.iter().map(|s| format!("{s:.4}")).collect();
            lines.push(format!("ln σ          {}", scales.join(", ")));
        }
        lines.extend(self.copy_difference.map(|d| format!("copies        {d:.2e} apart at most")));
        lines.push(format!(
            "throughput    {} trajectory-steps/s, {:.1} s",
            output::prefixed(self.trajectory_steps_per_second),
            self.seconds
        ));
        lines.push(format!("device memory {}", output::bytes(self.device_bytes.0.total_bytes())));
        lines.push(format!("written       {}", self.folder.display()));
        output::print(&lines.join("\n"))
    }
}

/// Mean of the last twentieth of the losses or costs, at most 100, without those that are not finite.
fn final_mean(records: &[Record], value: impl Fn(&Record) -> f32) -> Option<f64> {
    let count = (records.len() / 20).clamp(1, 100);
    let finite = records.iter().rev().take(count).map(|r| f64::from(value(r))).filter(|l| l.is_finite());
    let (sum, count) = finite.fold((0.0, 0_u32), |(sum, count), loss| (sum + loss, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}

/// Words in fixed point have all come back, or there would have been an error.
fn reconstruction(records: &[Record], words: bool) -> Option<Reconstruction> {
    let max_abs = records.iter().map(|r| r.drift_max).fold(0.0, f32::max);
    let bit_exact = words || (max_abs == 0.0 && records.iter().all(|r| r.reverse_failed == 0));
    records.last().map(|last| Reconstruction { max_abs, mean_abs: last.drift_mean, bit_exact })
}

/// A warning if a reconstruction was off by more than the tolerance; written so that a NaN is.
pub(super) fn drifted(records: &[Record], tolerance: f32) -> Option<String> {
    let beyond = |r: &&Record| r.drift_max.is_nan() || r.drift_max > tolerance;
    let first = records.iter().find(beyond)?;
    Some(format!(
        "the reconstructed x(t0) was off by {:.2e} in iteration {}, more than solve.reconstruction_tolerance = \
         {tolerance:e}, so that this and later gradients cannot be trusted; use adjoint = \"checkpointed\", method = \
         \"blanes_moan4\" with adjoint = \"exact\", or smaller steps",
        first.drift_max, first.iteration
    ))
}

/// A warning if the copies of a pair have parted.
fn parted(records: &[Record]) -> Option<String> {
    let worst = records.iter().max_by(|a, b| a.copy_difference.total_cmp(&b.copy_difference))?;
    (worst.copy_difference > PARTED).then(|| {
        format!(
            "the two copies of the state were {:.2e} apart in iteration {}, more than {PARTED:e}: the solution may be far \
             from the field's; use smaller steps or, with kicks, more solve.log_words",
            worst.copy_difference, worst.iteration
        )
    })
}

/// A warning if trajectories were left out of the loss.
fn quarantined(records: &[Record], batch: usize, fraction_bits: Option<u32>) -> Option<String> {
    let lost = |r: &&Record| (r.trajectories as usize) < batch;
    let first = records.iter().find(lost)?;
    let range = if fraction_bits.is_some() { " or left the fixed-point range" } else { "" };
    Some(format!(
        "in {} of {} iterations, first in iteration {}, trajectories met a non-finite value{range} and took no part in \
         loss and gradient; use a smaller step, smaller weights or a lower learning rate",
        records.iter().filter(lost).count(),
        records.len(),
        first.iteration
    ))
}

/// A warning if updates were skipped because trajectories failed on the way back.
fn skipped(records: &[Record]) -> Option<String> {
    let failed = |r: &&Record| r.reverse_failed > 0;
    let first = records.iter().find(failed)?;
    Some(format!(
        "in {} of {} iterations, first in iteration {}, trajectories met a non-finite value on the way back, and the \
         update was skipped; use adjoint = \"stored\" or a smaller step",
        records.iter().filter(failed).count(),
        records.len(),
        first.iteration
    ))
}

/// Every n-th loss and the last.
fn thin(records: &[Record]) -> Vec<(u64, f32)> {
    let every = records.len().div_ceil(LOSSES).max(1);
    let last = records.len().saturating_sub(1);
    let kept = records.iter().enumerate().filter(|(i, _)| i % every == 0 || *i == last);
    kept.map(|(_, r)| (r.iteration, r.loss)).collect()
}

fn write_losses(path: &Path, records: &[Record]) -> Result<()> {
    write_atomically(path, |out| {
        writeln!(
            out,
            "iteration,loss,gradient_norm,trajectories,reverse_failed,drift_max,drift_mean,copy_difference,cost"
        )?;
        for r in records {
            let Record {
                iteration,
                loss,
                gradient_norm,
                trajectories,
                reverse_failed,
                drift_max,
                drift_mean,
                copy_difference,
                cost,
                ..
            } = r;
            writeln!(
                out,
                "{iteration},{loss},{gradient_norm},{trajectories},{reverse_failed},{drift_max},{drift_mean},{copy_difference},{cost}"
            )?;
        }
        Ok(())
    })
}

/// The plots, in the units of the data.
fn draw(run: &Run, records: &[Record], evaluated: &Evaluated) -> Result<()> {
    let losses: Vec<(u64, f64)> = records.iter().map(|r| (r.iteration, r.loss.into())).collect();
    plots::loss_curve(&run.folder.join("loss.svg"), run.config.loss.loss()?, &losses)?;

    let mut learned = evaluated.drawn.clone();
    run.scaling.inverse(&mut learned)?;
    let (series, names) = (&run.series, &run.series.names);
    if let Some([a, b]) = run.config.output.plot_components(run.field.dim()) {
        let plane = |values: ndarray::ArrayView3<'_, f32>| -> Vec<Vec<(f64, f64)>> {
            let drawn = values.outer_iter().take(learned.len_of(Axis(0)));
            drawn.map(|one| one.outer_iter().map(|x| (x[a].into(), x[b].into())).collect()).collect()
        };
        let path = run.folder.join("trajectory.svg");
        plots::trajectories(&path, "", &plane(series.values.view()), &plane(learned.view()), [&names[a], &names[b]])?;
    }
    plots::time_series(
        &run.folder.join("series.svg"),
        ["t", "state"],
        (&series.times, series.values.index_axis(Axis(0), 0)),
        (&evaluated.times, learned.index_axis(Axis(0), 0)),
        &names[..names.len().min(COMPONENTS)],
    )
}
