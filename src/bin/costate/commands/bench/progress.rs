//! How far a bench has come, on standard error where that is a terminal.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};

/// A bar over the measurements.
pub(super) struct Progress(Option<ProgressBar>);

impl Progress {
    pub(super) fn new(measurements: usize) -> Self {
        Self(std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{bar:30} {pos}/{len}  {msg}  {elapsed}");
            let bar = ProgressBar::new(measurements as u64);
            bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        }))
    }

    /// Names what is measured now.
    pub(super) fn begin(&self, what: String) {
        if let Some(bar) = &self.0 {
            bar.set_message(what);
            bar.tick();
        }
    }

    /// One measurement, or several that will not be made, are done.
    pub(super) fn done(&self, measurements: usize) {
        if let Some(bar) = &self.0 {
            bar.inc(measurements as u64);
        }
    }

    /// Prints without tearing the bar.
    pub(super) fn aside(&self, print: impl FnOnce()) {
        match &self.0 {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    /// Takes the bar away.
    pub(super) fn end(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
