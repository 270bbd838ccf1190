//! Which arrangement of the kernels a measurement has: the given one, the plan's, or the fastest that was found.

use std::path::PathBuf;

use costate::tune::{Device, TuneCache, Tuning, tune};
use costate::{Gpu, KernelOptions, NeuralOdeBuilder, Result, tune::Phase};
use serde::Serialize;

use super::progress::Progress;
use crate::cli::Bench;
use crate::output;

/// Where arrangements come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// The arguments and the plan.
    Given,
    /// The cache, where it has something.
    Cache,
    /// Measurements.
    Tuning,
}

/// What a bench knows of arrangements.
pub(super) struct Arrange {
    source: Source,
    rounds: usize,
    cache: TuneCache,
    path: Option<PathBuf>,
    /// True if a refused entry was told of.
    told: bool,
    measured: Vec<Measured>,
}

/// What a tuning found; its keys are a promise.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Measured {
    /// The batch that was run; it stands for all of the same power of two.
    batch: usize,
    #[serde(flatten)]
    pub(super) tuning: Tuning,
}

impl Arrange {
    /// A cache that is of no use is a warning, and so is a user without a place for one.
    pub(super) fn new(args: &Bench) -> Self {
        let source = match (args.tune, args.no_tune || args.kernels() != KernelOptions::default()) {
            (true, _) => Source::Tuning,
            (false, true) => Source::Given,
            (false, false) => Source::Cache,
        };
        let none = Self {
            source,
            rounds: args.repeats,
            cache: TuneCache::default(),
            path: None,
            told: false,
            measured: Vec::new(),
        };
        if source == Source::Given {
            return none;
        }
        let path = match TuneCache::default_path() {
            Ok(path) => path,
            Err(e) => {
                output::warn(&format!("no arrangement of kernels is kept: {e}"));
                return none;
            }
        };
        let cache = TuneCache::load(&path).unwrap_or_else(|e| {
            output::warn(&format!("the arrangements of kernels found earlier are ignored: {e}"));
            TuneCache::default()
        });
        Self { cache, path: Some(path), ..none }
    }

    /// The fastest arrangement for a batch, `None` if the plan is to choose.
    pub(super) fn kernels(
        &mut self,
        builder: &NeuralOdeBuilder,
        gpu: &Gpu,
        (phase, batch): (Phase, usize),
        progress: &Progress,
    ) -> Result<Option<KernelOptions>> {
        if self.source == Source::Given {
            return Ok(None);
        }
        if self.source == Source::Tuning {
            let shape = costate::tune::Shape::of(&builder.clone().build(gpu)?, phase, batch);
            if !self.measured.iter().any(|m| m.tuning.shape == shape) {
                self.measure(builder, gpu, (phase, batch), progress)?;
            }
        }
        let chosen = self.cache.build(builder, gpu, phase, batch)?;
        if let (Some(reason), false) = (chosen.refused, self.told) {
            let file = self.path.as_deref().map(|path| path.display().to_string()).unwrap_or_default();
            let remedy = format!("delete {file}, or measure again with `costate bench --tune`");
            let text = format!("an arrangement of kernels in {file} is ignored ({reason}): {remedy}");
            progress.aside(|| output::warn(&text));
            self.told = true;
        }
        Ok(chosen.tuned.map(|tuned| tuned.kernels))
    }

    /// Measures the candidates and keeps the winner at once: what comes later may fail.
    fn measure(
        &mut self,
        builder: &NeuralOdeBuilder,
        gpu: &Gpu,
        (phase, batch): (Phase, usize),
        progress: &Progress,
    ) -> Result<()> {
        let tuning = tune(builder, gpu, phase, batch, self.rounds)?;
        self.cache.insert(&Device::of(gpu), tuning.entry());
        if let Some(Err(e)) = self.path.as_deref().map(|path| self.cache.save(path)) {
            progress.aside(|| output::warn(&format!("what was measured is used, but not kept: {e}")));
            self.path = None;
        }
        self.measured.push(Measured { batch, tuning });
        Ok(())
    }

    /// What was measured.
    pub(super) fn end(self) -> Vec<Measured> {
        self.measured
    }
}

impl Measured {
    /// The candidates as a table, in their order.
    pub(super) fn text(&self) -> String {
        let Tuning { shape, rows, winner } = &self.tuning;
        let default = rows.first().and_then(|row| row.seconds);
        let cells = rows.iter().enumerate().map(|(i, row)| {
            let ratio = row.seconds.zip(default).map_or("–".to_owned(), |(s, d)| format!("{:.3}", s / d));
            let mut notes = Vec::new();
            notes.extend((i == *winner).then_some("taken"));
            notes.extend((i == 0).then_some("the plan's choice"));
            notes.extend(row.refused.as_deref());
            [
                kernels(row.kernels),
                row.seconds.map_or("–".to_owned(), |s| format!("{s:.5}")),
                ratio,
                row.rounds.to_string(),
                notes.join(", "),
            ]
        });
        let hidden = &shape.hidden;
        let adjoint = shape.adjoint.map_or(String::new(), |adjoint| format!(", {adjoint}"));
        let phase = match shape.phase {
            Phase::Forward => "forward",
            Phase::Gradient => "gradient",
        };
        let head = format!("tuned: state {}, hidden {hidden:?}, {}, {phase}{adjoint}", shape.dim, shape.method);
        let table = output::table(["kernels", "seconds", "of the plan's", "rounds", ""], 0, cells);
        format!("{head}, batch {}\n\n{table}", self.batch)
    }
}

/// `lane 8 × 64`: trajectories of an invocation or a tile, and invocations of a workgroup.
pub(super) fn kernels(options: KernelOptions) -> String {
    let number = |n: Option<u32>| n.map_or("–".to_owned(), |n| n.to_string());
    let family = options.family.map_or("–", costate::Family::name);
    format!("{family} {} × {}", number(options.trajectories), number(options.workgroup))
}
