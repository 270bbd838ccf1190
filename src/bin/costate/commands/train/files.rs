//! The files of a training: what could not be written now is written later.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use costate::io::{Standardiser, Tensors, write_atomically};
use costate::train::Record;
use costate::{Error, Result};

use super::training::{Kept, Trained};
use crate::output;

/// The last weights.
pub(super) const WEIGHTS: &str = "weights.safetensors";
/// Those with the smallest loss of the whole data set.
pub(super) const BEST: &str = "best.safetensors";
/// Loss and more of every iteration.
pub(super) const LOSSES: &str = "losses.csv";
/// The report.
pub(super) const REPORT: &str = "report.json";
/// Plots.
pub(super) const LOSS_PLOT: &str = "loss.svg";
pub(super) const PHASE_PLOT: &str = "trajectory.svg";
pub(super) const SERIES_PLOT: &str = "series.svg";
/// All of them.
pub(super) const NAMES: [&str; 7] = [WEIGHTS, BEST, LOSSES, REPORT, LOSS_PLOT, PHASE_PLOT, SERIES_PLOT];

/// Writes into the output folder. A disk that is full need not end a training: only what cannot be written at the end is
/// an error.
#[derive(Debug)]
pub(super) struct Files {
    folder: PathBuf,
    /// Of the data: weights mean nothing without it.
    scaling: Standardiser,
    /// The last attempts that failed, by the names of the files.
    failed: BTreeMap<&'static str, Error>,
}

impl Files {
    pub(super) fn new(folder: &Path, scaling: &Standardiser) -> Self {
        Self { folder: folder.to_owned(), scaling: scaling.clone(), failed: BTreeMap::new() }
    }

    /// One attempt.
    pub(super) fn write(&mut self, name: &'static str, write: impl FnOnce(&Path) -> Result<()>) {
        match write(&self.folder.join(name)) {
            Ok(()) => drop(self.failed.remove(name)),
            Err(e) => drop(self.failed.insert(name, e)),
        }
    }

    /// Everything that a run which is killed would lose.
    pub(super) fn save(&mut self, last: &Kept, best: &Kept, records: &[Record]) {
        self.kept(last, best);
        self.losses(records);
        for error in self.failed.values() {
            output::warn(&format!("{error}; the training goes on, and this is tried again"));
        }
    }

    /// Last and best weights.
    pub(super) fn weights(&mut self, trained: &Trained) {
        self.kept(&trained.last, &trained.best);
    }

    fn kept(&mut self, last: &Kept, best: &Kept) {
        let scaling = self.scaling.clone();
        self.write(WEIGHTS, |path| last.write(path, &scaling));
        self.write(BEST, |path| best.write(path, &scaling));
    }

    pub(super) fn losses(&mut self, records: &[Record]) {
        self.write(LOSSES, |path| write_losses(path, records));
    }

    /// # Errors
    /// The first failure that no later attempt has made good.
    pub(super) fn end(self) -> Result<()> {
        self.failed.into_values().next().map_or(Ok(()), Err)
    }
}

impl Kept {
    /// Weights with what was learned beside them, and the scaling of the data.
    fn write(&self, path: &Path, scaling: &Standardiser) -> Result<()> {
        let mut tensors = Tensors::new().theta(self.theta.field(), self.theta.as_slice())?.scaling(scaling)?;
        if !self.log_scale.is_empty() {
            let values: Vec<String> = self.log_scale.iter().map(ToString::to_string).collect();
            tensors = tensors.metadata("costate.log_scale", format!("[{}]", values.join(",")));
        }
        tensors.write(path)
    }
}

fn write_losses(path: &Path, records: &[Record]) -> Result<()> {
    write_atomically(path, |out| {
        writeln!(
            out,
            "iteration,loss,gradient_norm,trajectories,reverse_failed,drift_max,drift_mean,copy_difference,cost,skipped"
        )?;
        for r in records {
            let Record { iteration, loss, gradient_norm, trajectories, reverse_failed, .. } = r;
            let Record { drift_max, drift_mean, copy_difference, cost, skipped, .. } = r;
            let skipped = skipped.map_or("", |skip| skip.name());
            writeln!(
                out,
                "{iteration},{loss},{gradient_norm},{trajectories},{reverse_failed},{drift_max},{drift_mean},{copy_difference},{cost},{skipped}"
            )?;
        }
        Ok(())
    })
}
