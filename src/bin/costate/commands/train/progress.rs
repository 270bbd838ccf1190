//! Progress on standard error: a bar on a terminal, lines elsewhere.

use std::io::IsTerminal;
use std::time::Instant;

use costate::train::{Record, Skips};
use indicatif::{ProgressBar, ProgressStyle};

use crate::output;

/// Shows how far a training has come.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    iterations: u64,
    report_every: u64,
    /// Trajectory-steps of one iteration.
    work: f64,
    /// True if there is a running cost to show.
    costs: bool,
    start: Instant,
    /// Of the records so far.
    skips: Skips,
}

impl Progress {
    pub(super) fn new(iterations: u64, report_every: u64, work: f64, costs: bool) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{bar:30} {pos}/{len}  {msg}  {elapsed}");
            ProgressBar::new(iterations).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        Self { bar, iterations, report_every, work, costs, start: Instant::now(), skips: Skips::default() }
    }

    /// Takes the records that have arrived.
    pub(super) fn show(&mut self, arrived: &[Record]) {
        let Some(last) = arrived.last() else { return };
        let seconds = self.start.elapsed().as_secs_f64();
        let done = last.iteration + 1;
        let speed = output::prefixed(self.work * done as f64 / seconds);
        let due = |done: u64| done.is_multiple_of(self.report_every) || done == self.iterations;
        for record in arrived {
            self.skips.add(record);
            if self.bar.is_none() && due(record.iteration + 1) {
                output::note(&format!(
                    "iteration {}/{}  {}  {speed} trajectory-steps/s  {seconds:.1} s",
                    record.iteration + 1,
                    self.iterations,
                    self.objective(record)
                ));
            }
        }
        if let Some(bar) = &self.bar {
            bar.set_position(done);
            bar.set_message(format!("{}  {speed} trajectory-steps/s", self.objective(last)));
        }
    }

    /// Loss and cost, and the updates that were skipped until now.
    fn objective(&self, Record { loss, cost, .. }: &Record) -> String {
        let cost = if self.costs { format!("  cost {cost:.4e}") } else { String::new() };
        let skipped = match self.skips.total() {
            0 => String::new(),
            total => format!("  {total} updates skipped: {}", self.skips),
        };
        format!("loss {loss:.4e}{cost}{skipped}")
    }

    /// Takes the bar away.
    pub(super) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
