//! What the data are, for the report and for people: nothing of it is left to be guessed.

use ndarray::{ArrayView2, ArrayView3};
use serde::Serialize;

use super::Run;
use crate::output;

/// The observations that a run learns from, after `stride`.
#[derive(Serialize)]
pub(super) struct Observed<'a> {
    series: usize,
    points: usize,
    components: &'a [String],
    /// Values that were observed.
    observations: usize,
    /// Values that were not, of all components and of each.
    missing: usize,
    missing_by_component: Vec<usize>,
    /// Windows without any observation after their first point, from which nothing can be learned.
    empty_windows: usize,
    time: Time<'a>,
    notes: &'a [String],
}

/// The times of the observations.
#[derive(Serialize)]
struct Time<'a> {
    column: &'a str,
    first: f64,
    last: f64,
    /// The first time as it was written, if that was a date: times are seconds since then.
    seconds_since: Option<&'a str>,
    /// Unit of the last digit that the times were printed with.
    digit: Option<f64>,
    equally_spaced: bool,
}

impl<'a> Observed<'a> {
    /// Samples have `window` points.
    pub(super) fn new(run: &'a Run, window: usize) -> Self {
        let (data, clock) = (&run.series, &run.series.clock);
        let (series, points, _) = data.values.dim();
        let missing_by_component = data.missing();
        let missing = missing_by_component.iter().sum();
        Self {
            series,
            points,
            components: &data.names,
            observations: data.values.len() - missing,
            missing,
            missing_by_component,
            empty_windows: if missing > 0 { empty_windows(data.values.view(), window) } else { 0 },
            time: Time {
                column: &clock.column,
                first: data.times.first().copied().unwrap_or_default(),
                last: data.times.last().copied().unwrap_or_default(),
                seconds_since: clock.since.as_deref(),
                digit: (clock.digit > 0.0).then_some(clock.digit),
                equally_spaced: data.is_uniform(),
            },
            notes: &data.notes,
        }
    }

    /// Says on standard error what may not be as expected.
    pub(super) fn say(&self) {
        self.notes.iter().for_each(|note| output::note(&format!("data: {note}")));
        if let Some(first) = self.time.seconds_since {
            output::note(&format!("data: times are seconds since {first} (column {})", self.time.column));
        }
        if self.missing > 0 {
            let each = self.components.iter().zip(&self.missing_by_component).filter(|(_, missing)| **missing > 0);
            let each: Vec<String> = each.map(|(name, missing)| format!("{name} {missing}")).collect();
            let all = self.observations + self.missing;
            output::note(&format!("data: {} of {all} values were not observed ({})", self.missing, each.join(", ")));
        }
        if self.empty_windows > 0 {
            output::note(&format!(
                "data: {} windows hold no observation after their first point: nothing is learned from them",
                self.empty_windows
            ));
        }
    }
}

fn empty_windows(values: ArrayView3<'_, f64>, window: usize) -> usize {
    let of_series = |series: ArrayView2<'_, f64>| {
        // From the end: the next point at which anything was observed.
        let (mut next, mut empty) = (usize::MAX, 0);
        for (i, point) in series.outer_iter().enumerate().rev() {
            empty += usize::from(i + window <= series.nrows() && next >= i + window);
            if point.iter().any(|v| !v.is_nan()) {
                next = i;
            }
        }
        empty
    };
    values.outer_iter().map(of_series).sum()
}
