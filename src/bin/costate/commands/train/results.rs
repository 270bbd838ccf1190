//! The files of a training and its report.

use std::collections::BTreeMap;
use std::path::Path;

use costate::io::Standardiser;
use costate::train::{self, Record, Skip, Skips, TrainOptions, Trainer};
use costate::{Adjoint, Gpu, Result};
use ndarray::Axis;
use serde::Serialize;

use super::Run;
use super::evaluation::Evaluated;
use super::files::{BEST, Files, LOSS_PLOT, PHASE_PLOT, REPORT, SERIES_PLOT, WEIGHTS};
use super::observed::Observed;
use super::training::{End, Kept, Trained};
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
    /// `done`, `failed` or `interrupted`.
    status: &'static str,
    /// Why it did not end as it should.
    error: Option<String>,
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
    /// The loss of the whole data set with the weights that `weights.safetensors` holds.
    last: Saved,
    /// The same of `best.safetensors`.
    best: Saved,
    /// At the start, at every checkpoint and at the end.
    evaluations: Vec<Evaluation>,
    /// Updates that were not made, by reason, and in `total`.
    skipped: BTreeMap<&'static str, u64>,
    seconds: f64,
    trajectory_steps_per_second: f64,
    reconstruction: Option<Reconstruction>,
    /// Largest relative distance of the two copies of a pair, over all iterations.
    copy_difference: Option<f32>,
    /// Bits below the point of every component at the end, for states in fixed point.
    fraction_bits: Option<&'a [i32]>,
    device_bytes: DeviceBytes,
    folder: &'a Path,
    warnings: Vec<String>,
    data: Observed<'a>,
    scaling: &'a Standardiser,
    config: &'a toml::Value,
    losses: Vec<(u64, f32)>,
    #[serde(skip)]
    skips: Skips,
    /// Which file holds what, where they differ.
    #[serde(skip)]
    which: Option<String>,
    #[serde(skip)]
    places: [String; 2],
}

/// The loss of the whole data set, in the units of the model; none if it is not finite.
#[derive(Serialize)]
struct Evaluation {
    /// Updates before it.
    iteration: u64,
    loss: Option<f64>,
    cost: Option<f64>,
    windows: u64,
    /// Windows that met a non-finite value and are not in the loss.
    failed: u64,
}

/// What a file of weights holds.
#[derive(Serialize)]
struct Saved {
    file: &'static str,
    iteration: u64,
    /// None where it was not evaluated.
    evaluation: Option<Evaluation>,
}

/// The worst and the last certificate.
#[derive(Serialize)]
struct Reconstruction {
    max_relative: f32,
    mean_relative: f32,
    bit_exact: bool,
}

impl<'a> Results<'a> {
    pub(super) fn new(
        run: &'a Run,
        gpu: &'a Gpu,
        trainer: &Trainer,
        options: &TrainOptions,
        trained: &'a Trained,
        end: &End,
        evaluated: Option<&Evaluated>,
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
            quarantined(records, options.batch, !trained.fraction_bits.is_empty()).into_iter().collect();
        let skips = Skips::of(records);
        warnings.extend(run.scaling.lost_digits(&run.series.values, &run.series.names));
        warnings.extend(skipped(records, skips));
        warnings.extend(trained.worse());
        warnings.extend(drifted(records, run.config.solve.reconstruction_tolerance));
        warnings.extend(parted(records));
        warnings.extend(widened(&trained.widened));
        warnings.extend(evaluated.iter().flat_map(|e| e.warnings.iter().cloned()));
        let costs = options.running_cost.is_some();
        Self {
            adapter: gpu.adapter(),
            driver: gpu.driver(),
            status: end.status(),
            error: end.sentence(&run.folder),
            method: options.method.to_string(),
            adjoint: adjoint.to_string(),
            parameters: run.field.parameter_count(),
            iterations: records.len() as u64,
            batch: options.batch,
            window: options.window,
            steps,
            final_loss: final_mean(records, |r| r.loss),
            final_cost: options.running_cost.as_ref().and_then(|_| final_mean(records, |r| r.cost)),
            log_scale: (!trained.last.log_scale.is_empty()).then_some(&trained.last.log_scale),
            evaluation_loss: evaluated.and_then(|e| e.loss),
            last: Saved::new(WEIGHTS, &trained.last, costs),
            best: Saved::new(BEST, &trained.best, costs),
            evaluations: trained.evaluations.iter().map(|e| Evaluation::new(e, costs)).collect(),
            skipped: Skip::ALL
                .map(|skip| (skip.name(), skips.count(skip)))
                .into_iter()
                .chain([("total", skips.total())])
                .collect(),
            seconds: trained.seconds,
            trajectory_steps_per_second: work / trained.seconds,
            reconstruction,
            copy_difference,
            fraction_bits: (!trained.fraction_bits.is_empty()).then_some(&trained.fraction_bits),
            device_bytes: DeviceBytes(trainer.memory_plan().clone()),
            folder: &run.folder,
            warnings,
            data: Observed::new(run, options.window),
            scaling: &run.scaling,
            config: &run.echo,
            losses: thin(records),
            skips,
            which: trained.which().filter(|_| trained.worse().is_none()),
            places: [trained.last.place(), trained.best.place()],
        }
    }

    /// Writes everything but weights and losses.
    pub(super) fn write(&self, files: &mut Files, run: &Run, trained: &Trained, evaluated: Option<&Evaluated>) {
        files.write(REPORT, |path| output::write_json(path, self));
        if run.config.output.plot() && !trained.records.is_empty() {
            draw(files, run, &trained.records, evaluated);
        }
    }

    pub(super) fn show(&self, global: &Global, run: &Run) -> Result<()> {
        self.warnings.iter().for_each(|w| output::warn(w));
        self.which.iter().for_each(|which| output::note(which));
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
        let [last, best] = &self.places;
        lines.push(format!("weights       {WEIGHTS}: the last, {last}"));
        lines.push(format!("              {BEST}: the best, {best}"));
        if self.skips.total() > 0 {
            lines.push(format!("skipped       {} updates: {}", self.skips.total(), self.skips));
        }
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
    let max_relative = records.iter().map(|r| r.drift_max).fold(0.0, f32::max);
    let bit_exact = words || (max_relative == 0.0 && records.iter().all(|r| r.reverse_failed == 0));
    records.last().map(|last| Reconstruction { max_relative, mean_relative: last.drift_mean, bit_exact })
}

/// A warning if a reconstruction was off by more than the tolerance; written so that a NaN is.
pub(super) fn drifted(records: &[Record], tolerance: f32) -> Option<String> {
    let beyond = |r: &&Record| r.drift_max.is_nan() || r.drift_max > tolerance;
    let first = records.iter().find(beyond)?;
    Some(format!(
        "the reconstructed x(t0) was off by {:.2e} of its size in iteration {}, more than solve.reconstruction_tolerance = \
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
            "the two copies of the state were {:.2e} of their size apart in iteration {}, more than {PARTED:e}: the solution may be far \
             from the field's; use smaller steps or, with kicks, more solve.log_words",
            worst.copy_difference, worst.iteration
        )
    })
}

/// A warning if trajectories were left out of the loss.
fn quarantined(records: &[Record], batch: usize, fixed: bool) -> Option<String> {
    let lost = |r: &&Record| (r.trajectories as usize) < batch;
    let first = records.iter().find(lost)?;
    let range = if fixed { " or left the fixed-point range" } else { "" };
    Some(format!(
        "in {} of {} iterations, first in iteration {}, trajectories met a non-finite value{range} and took no part in \
         loss and gradient; use a smaller step, smaller weights or a lower learning rate",
        records.iter().filter(lost).count(),
        records.len(),
        first.iteration
    ))
}

/// A warning if trajectories have left the range of fixed point.
fn widened(components: &[usize]) -> Option<String> {
    let named: Vec<String> = components.iter().map(ToString::to_string).collect();
    (!named.is_empty()).then(|| {
        format!(
            "trajectories left the fixed-point range of component {}, which was widened for all iterations after",
            named.join(", ")
        )
    })
}

/// A warning if updates were skipped.
fn skipped(records: &[Record], skips: Skips) -> Option<String> {
    let first = records.iter().find(|r| r.skipped.is_some())?;
    Some(format!(
        "in {} of {} iterations, first in iteration {}, the update was skipped: {skips}; {}",
        skips.total(),
        records.len(),
        first.iteration,
        skips.most()?.remedy()
    ))
}

/// Every n-th loss and the last.
fn thin(records: &[Record]) -> Vec<(u64, f32)> {
    let every = records.len().div_ceil(LOSSES).max(1);
    let last = records.len().saturating_sub(1);
    let kept = records.iter().enumerate().filter(|(i, _)| i % every == 0 || *i == last);
    kept.map(|(_, r)| (r.iteration, r.loss)).collect()
}

/// The plots, in the units of the data.
fn draw(files: &mut Files, run: &Run, records: &[Record], evaluated: Option<&Evaluated>) {
    files.write(LOSS_PLOT, |path| {
        let losses: Vec<(u64, f64)> = records.iter().map(|r| (r.iteration, r.loss.into())).collect();
        plots::loss_curve(path, run.config.loss.loss()?, &losses)
    });
    let Some(evaluated) = evaluated else { return };
    let learned = match run.scaling.to_data(&evaluated.drawn) {
        Ok(learned) => learned,
        Err(error) => return files.write(SERIES_PLOT, |_| Err(error)),
    };
    let (series, names) = (&run.series, &run.series.names);
    if let Some([a, b]) = run.config.output.plot_components(run.field.dim()) {
        let plane = |values: ndarray::ArrayView3<'_, f64>| -> Vec<Vec<(f64, f64)>> {
            let drawn = values.outer_iter().take(learned.len_of(Axis(0)));
            drawn.map(|one| one.outer_iter().map(|x| (x[a], x[b])).collect()).collect()
        };
        files.write(PHASE_PLOT, |path| {
            plots::trajectories(path, "", &plane(series.values.view()), &plane(learned.view()), [&names[a], &names[b]])
        });
    }
    files.write(SERIES_PLOT, |path| {
        plots::time_series(
            path,
            ["t", "state"],
            (&series.times, series.values.index_axis(Axis(0), 0)),
            (&evaluated.times, learned.index_axis(Axis(0), 0)),
            &names[..names.len().min(COMPONENTS)],
        )
    });
}

impl Evaluation {
    fn new(evaluation: &train::Evaluation, costs: bool) -> Self {
        let train::Evaluation { iteration, loss, cost, windows, failed } = *evaluation;
        let finite = |value: f64| value.is_finite().then_some(value);
        Self { iteration, loss: finite(loss), cost: finite(cost).filter(|_| costs), windows, failed }
    }
}

impl Saved {
    fn new(file: &'static str, kept: &Kept, costs: bool) -> Self {
        let evaluation = kept.evaluation.as_ref().map(|e| Evaluation::new(e, costs));
        Self { file, iteration: kept.iteration, evaluation }
    }
}
