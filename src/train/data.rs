//! Data sets that are kept on the device.

use ndarray::{Array3, ArrayView3, Axis, s};

use crate::error::{Error, Result};
use crate::io::{Clock, Spacing};
use crate::problem::check_finite;

/// Observed series of one system: values `[series, time, dim]` at common times.
///
/// Series that were observed at times of their own share the union of those times, with values missing where a series was
/// not looked at.
#[derive(Clone, Debug, PartialEq)]
pub struct DataSet {
    times: Vec<f64>,
    values: Array3<f32>,
    missing: bool,
    clock: Clock,
}

impl DataSet {
    /// Takes values `[series, time, dim]` at the given times.
    ///
    /// # Errors
    /// [`Error::Shape`] if the number of times does not fit, [`Error::Invalid`] for fewer than two times, times out of
    /// order or no series, [`Error::NonFiniteData`] for NaN and infinities.
    pub fn new(times: &[f64], values: ArrayView3<'_, f32>) -> Result<Self> {
        check_finite("data", &values)?;
        Self::with_missing(times, values)
    }

    /// The same with missing values, which are NaN. They take no part in the loss. The first point of every series must be
    /// whole, since a solve starts there; training on windows starts anywhere, so then nothing may be missing but in points
    /// that no window starts with.
    ///
    /// # Errors
    /// As [`Self::new`]; infinities, and series without a first point, are refused.
    pub fn with_missing(times: &[f64], values: ArrayView3<'_, f32>) -> Result<Self> {
        if values.shape()[1] != times.len() {
            return Err(Error::shape(
                "data",
                values.shape(),
                format!("[series, {}, dim]", times.len()),
                "give one point per time",
            ));
        }
        if times.len() < 2 || values.is_empty() {
            return Err(Error::invalid(
                "data",
                format!("shape {:?}", values.shape()),
                "give at least one series of two points",
            ));
        }
        if let Some(i) = (1..times.len()).find(|&i| !(times[i] > times[i - 1] && times[i].is_finite())) {
            return Err(Error::invalid(
                format!("time {i} of the data"),
                format!("{} after {}", times[i], times[i - 1]),
                "give finite, strictly rising times",
            ));
        }
        if let Some((index, value)) = values.indexed_iter().find(|(_, v)| v.is_infinite()) {
            let index = format!("{index:?}");
            return Err(Error::NonFiniteData { what: "data".into(), value: f64::from(*value), index });
        }
        if let Some(((series, component), _)) = values.index_axis(Axis(1), 0).indexed_iter().find(|(_, v)| v.is_nan()) {
            return Err(Error::invalid(
                "data",
                format!("component {component} of series {series} is missing at the first time, {}", times[0]),
                "begin every series at a time when all its components were observed: a solve starts there",
            ));
        }
        let missing = values.iter().any(|v| v.is_nan());
        let values = values.as_standard_layout().into_owned();
        Ok(Self { times: times.to_vec(), values, missing, clock: Clock::default() })
    }

    /// The same, with times that were written as `clock` says: how far they may be rounded decides on whether they are
    /// [equally spaced](Self::is_uniform).
    #[must_use]
    pub fn with_clock(self, clock: &Clock) -> Self {
        Self { clock: clock.clone(), ..self }
    }

    /// True if values are missing.
    #[must_use]
    pub fn has_missing(&self) -> bool {
        self.missing
    }

    /// The first point among `starts`, `[series, time]`, of which a value is missing.
    pub(super) fn missing_start(&self, starts: usize) -> Option<[usize; 2]> {
        let bad = |((series, time, _), v): ((usize, usize, usize), &f32)| {
            (time < starts && v.is_nan()).then_some([series, time])
        };
        self.values.indexed_iter().find_map(bad)
    }

    /// The common times.
    #[must_use]
    pub fn times(&self) -> &[f64] {
        &self.times
    }

    /// Values, `[series, time, dim]`.
    #[must_use]
    pub fn values(&self) -> ArrayView3<'_, f32> {
        self.values.view()
    }

    /// The first point of each series, `[series, dim]`.
    #[must_use]
    pub fn initial_states(&self) -> ndarray::Array2<f32> {
        self.values.slice(s![.., 0, ..]).to_owned()
    }

    /// True if the times are equally spaced, up to a millionth of the spacing or their rounding: see
    /// [`Series::is_uniform`](crate::io::Series::is_uniform).
    #[must_use]
    pub fn is_uniform(&self) -> bool {
        self.clock.spacing(&self.times) != Spacing::Uneven
    }

    /// How far a time may be from what was meant: half a unit of the last digit that was printed.
    pub(super) fn resolution(&self) -> f64 {
        0.5 * self.clock.digit
    }

    /// The times of a window that may start anywhere: the first ones, without what rounding makes of equal intervals.
    pub(super) fn window_times(&self, window: usize) -> Vec<f64> {
        let first = self.times[0];
        match self.clock.spacing(&self.times) {
            Spacing::Rounded(step) if window < self.times.len() => {
                (0..window).map(|i| first + i as f64 * step).collect()
            }
            _ => self.times[..window].to_vec(),
        }
    }
}
