//! The loop: iterations in portions, evaluations of the whole data set, what is kept, and how it ends.

use std::path::Path;
use std::time::Instant;

use costate::train::{Evaluation, Record, Skips, TrainOptions, Trainer};
use costate::{Error, Parameters, Result};

use super::files::{BEST, Files, WEIGHTS};
use super::progress::Progress;
use super::{Run, results};
use crate::commands::Outcome;
use crate::config::OnDrift;
use crate::output;
use crate::signals::{Signal, Signals};

/// Most iterations that are submitted between two looks at what has arrived.
const CHUNK: u64 = 32;
/// Seconds that may pass between two such looks, where iterations are short enough.
const LOOK: f64 = 0.25;
/// Seconds after which the weights are written in between: that much is lost when the process is killed.
const SAVE: f64 = 30.0;
/// Updates skipped in a row after which a training is given up.
const HOPELESS: usize = 100;
/// Forward passes that cost as much as one iteration, which also goes back and evaluates the field anew there.
const FORWARD_PASSES: u64 = 3;
/// Evaluations may take one part in so many of the time.
const SHARE: u64 = 10;

/// Parameters at some point of a training, with what was learned beside them.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) theta: Parameters,
    /// ln σ of every component, if the loss has them.
    pub(super) log_scale: Vec<f32>,
    /// Updates before that.
    pub(super) iteration: u64,
    /// The loss of the whole data set, if it was evaluated there.
    pub(super) evaluation: Option<Evaluation>,
}

/// What a training left behind.
pub(super) struct Trained {
    pub(super) last: Kept,
    pub(super) best: Kept,
    pub(super) evaluations: Vec<Evaluation>,
    pub(super) records: Vec<Record>,
    pub(super) seconds: f64,
    /// Components whose range of fixed point had to be widened on the way.
    pub(super) widened: Vec<usize>,
    /// Bits below the point of every component at the end, for states in fixed point.
    pub(super) fraction_bits: Vec<i32>,
}

/// How a training ended.
#[derive(Debug)]
pub(super) enum End {
    /// After all its iterations.
    Done,
    /// Before its time, since it made no sense to go on.
    Stopped(String),
    /// By a signal.
    Interrupted(Signal),
    /// By an error.
    Broken(Error),
}

impl End {
    /// For the report.
    pub(super) fn status(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Stopped(_) | Self::Broken(_) => "failed",
            Self::Interrupted(_) => "interrupted",
        }
    }

    /// The sentence about it, unless all is well.
    pub(super) fn sentence(&self, folder: &Path) -> Option<String> {
        match self {
            Self::Done => None,
            Self::Stopped(sentence) => Some(sentence.clone()),
            Self::Broken(error) => Some(error.to_string()),
            Self::Interrupted(signal) => {
                let folder = folder.display();
                Some(format!("ended by {}; what was learned so far is in {folder}", signal.name()))
            }
        }
    }

    pub(super) fn outcome(self, folder: &Path) -> Result<Outcome> {
        let sentence = self.sentence(folder).unwrap_or_default();
        match self {
            Self::Done => Ok(Outcome::Done),
            Self::Stopped(sentence) => Ok(Outcome::Failed(sentence)),
            Self::Interrupted(signal) => Ok(Outcome::Interrupted(signal, sentence)),
            Self::Broken(error) => Err(error),
        }
    }
}

/// A training under way.
pub(super) struct Training<'a> {
    run: &'a Run,
    options: &'a TrainOptions,
    trainer: &'a mut Trainer,
    progress: Progress,
    start: Instant,
    /// Iterations between two evaluations.
    checkpoint_every: u64,
    /// The parameters that were read last, and the best that were evaluated.
    kept: Option<(Kept, Kept)>,
    evaluations: Vec<Evaluation>,
    records: Vec<Record>,
    /// Skipped updates at the end of the records, without one that was made after them.
    in_a_row: usize,
}

impl<'a> Training<'a> {
    pub(super) fn new(run: &'a Run, options: &'a TrainOptions, trainer: &'a mut Trainer) -> Result<Self> {
        let train = run.config.training()?.1;
        let report_every = train.report_every as u64;
        let work = options.batch as f64 * trainer.grid().steps() as f64;
        let progress = Progress::new(options.iterations, report_every, work, options.running_cost.is_some());
        let least = (SHARE * trainer.evaluation_passes()).div_ceil(FORWARD_PASSES);
        let checkpoint_every =
            train.checkpoint_every.map_or(report_every * least.div_ceil(report_every), |every| every as u64);
        Ok(Self {
            run,
            options,
            trainer,
            progress,
            start: Instant::now(),
            checkpoint_every,
            kept: None,
            evaluations: Vec::new(),
            records: Vec::new(),
            in_a_row: 0,
        })
    }

    /// Trains to the end, or until there is no hope left, a reconstruction is off that must not be, or a signal arrives.
    pub(super) fn advance(&mut self, signals: &Signals, files: &mut Files) -> End {
        let end = self.iterate(signals, files).unwrap_or_else(End::Broken);
        self.progress.end();
        end
    }

    fn iterate(&mut self, signals: &Signals, files: &mut Files) -> Result<End> {
        self.evaluate()?;
        let mut saved = Instant::now();
        let mut chunk = 1;
        let mut end = None;
        while end.is_none() && self.trainer.iteration() < self.options.iterations {
            let done = self.trainer.iteration();
            let checkpoint = (done + 1).next_multiple_of(self.checkpoint_every).min(self.options.iterations);
            let submitted = Instant::now();
            self.trainer.advance(chunk.min(checkpoint - done))?;
            let slow = submitted.elapsed().as_secs_f64() > LOOK;
            chunk = if slow { (chunk / 2).max(1) } else { (2 * chunk).min(CHUNK) };
            let arrived = self.trainer.records()?;
            end = self.take(arrived);
            if let Some(signal) = signals.seen() {
                output::note(&format!("{}: writing what was learned so far", signal.name()));
                end = Some(End::Interrupted(signal));
            } else if end.is_none() && self.trainer.iteration() == checkpoint {
                self.evaluate()?;
            }
            if saved.elapsed().as_secs_f64() > SAVE {
                self.keep()?;
                if let Some((last, best)) = &self.kept {
                    files.save(last, best, &self.records);
                }
                saved = Instant::now();
            }
        }
        let arrived = self.trainer.finish()?;
        let later = self.take(arrived);
        let end = end.or(later).unwrap_or(End::Done);
        match end {
            End::Interrupted(_) => self.keep()?,
            _ => self.evaluate()?,
        }
        Ok(match end {
            // A run that is shorter than the patience: was every update skipped?
            End::Done if self.in_a_row == self.records.len() => self.hopeless(1).unwrap_or(End::Done),
            end => end,
        })
    }

    /// Shows and keeps records, and says whether they are reason to end.
    fn take(&mut self, arrived: Vec<Record>) -> Option<End> {
        self.progress.show(&arrived);
        let drifted = drift_error(self.run, &arrived);
        for record in &arrived {
            self.in_a_row = if record.skipped.is_some() { self.in_a_row + 1 } else { 0 };
        }
        self.records.extend(arrived);
        drifted.map(End::Stopped).or_else(|| self.hopeless(HOPELESS))
    }

    /// Why there is no hope, if at least so many updates in a row were skipped.
    fn hopeless(&self, least: usize) -> Option<End> {
        if self.in_a_row < least {
            return None;
        }
        let last = self.in_a_row.min(HOPELESS);
        let skips = Skips::of(&self.records[self.records.len() - last..]);
        let remedy = skips.most()?.remedy();
        Some(End::Stopped(format!("no update could be made in the last {last} iterations: {skips}; {remedy}")))
    }

    /// Evaluates the whole data set, unless it has just been, and keeps the parameters.
    fn evaluate(&mut self) -> Result<()> {
        if self.evaluations.last().is_some_and(|e| e.iteration == self.trainer.iteration()) {
            return Ok(());
        }
        let evaluation = self.trainer.evaluate()?;
        self.evaluations.push(evaluation);
        self.keep()
    }

    /// Reads the parameters, the last ones from now on, and the best if nothing better was evaluated.
    fn keep(&mut self) -> Result<()> {
        let (theta, log_scale) = (self.trainer.parameters()?, self.trainer.log_scale()?);
        let iteration = self.trainer.iteration();
        let evaluation = self.evaluations.last().copied().filter(|e| e.iteration == iteration);
        let last = Kept { theta, log_scale, iteration, evaluation };
        let best = self.kept.take().map(|(_, best)| best);
        let better = |best: &Kept| match (&evaluation, &best.evaluation) {
            (Some(new), Some(old)) => new.is_better_than(old),
            _ => false,
        };
        let best = best.filter(|best| !better(best)).unwrap_or_else(|| last.clone());
        self.kept = Some((last, best));
        Ok(())
    }

    /// What there is, also after an error: the records that have arrived, and the parameters that were read last. `None` if
    /// not even the start was evaluated.
    pub(super) fn finish(mut self, end: &End) -> Option<Trained> {
        if matches!(end, End::Broken(_)) {
            // As far as the device still answers; the first error is the one that matters.
            if let Ok(arrived) = self.trainer.finish() {
                self.take(arrived);
            }
            let _ = self.keep();
        }
        let (last, best) = self.kept?;
        Some(Trained {
            last,
            best,
            evaluations: self.evaluations,
            records: self.records,
            seconds: self.start.elapsed().as_secs_f64(),
            // After an error the device may not answer any more.
            widened: self.trainer.widened().unwrap_or_default(),
            fraction_bits: self.trainer.fraction_bits().unwrap_or_default(),
        })
    }
}

impl Trained {
    /// The evaluation of the start, and of the last parameters if there is one.
    fn ends(&self) -> Option<(&Evaluation, &Evaluation)> {
        self.evaluations.first().zip(self.last.evaluation.as_ref())
    }

    /// A warning if the end is worse than the start.
    pub(super) fn worse(&self) -> Option<String> {
        let (start, last) = self.ends()?;
        start.is_better_than(last).then(|| {
            format!(
                "the end is worse than the start: the loss of the whole data set went from {} to {}; {WEIGHTS} holds the \
                 last weights, {BEST} the best, {}; use a lower learning rate or train.clip_norm",
                worth(start),
                worth(last),
                self.best.place()
            )
        })
    }

    /// Which file holds what, if they differ.
    pub(super) fn which(&self) -> Option<String> {
        (self.last.iteration != self.best.iteration).then(|| {
            format!("{WEIGHTS} holds the last weights, {}; {BEST} the best, {}", self.last.place(), self.best.place())
        })
    }
}

impl Kept {
    /// `after 300 iterations, loss 1.2e-2`
    pub(super) fn place(&self) -> String {
        let loss = self.evaluation.as_ref().map_or("not evaluated".to_owned(), |e| format!("loss {}", worth(e)));
        match self.iteration {
            0 => format!("those of the start, {loss}"),
            1 => format!("after 1 iteration, {loss}"),
            n => format!("after {n} iterations, {loss}"),
        }
    }
}

/// What is compared, in words.
fn worth(evaluation: &Evaluation) -> String {
    let objective = evaluation.objective();
    let loss = if objective.is_finite() { format!("{objective:.4e}") } else { "not finite".to_owned() };
    match evaluation.failed {
        0 => loss,
        failed => format!("{loss} without {failed} of {} windows that failed", evaluation.windows),
    }
}

/// Why the run is to end, if a reconstruction is off by more than the tolerance and that is an error.
fn drift_error(run: &Run, records: &[Record]) -> Option<String> {
    let drift = results::drifted(records, run.config.solve.reconstruction_tolerance)?;
    (run.config.solve.on_drift == OnDrift::Error).then(|| format!("{drift}, and solve.on_drift is \"error\""))
}
