//! How cost grows along an axis: exponents by least squares in logarithms.

use serde::Serialize;

use super::measure::Row;
use super::sweep::{Axis, Series};
use crate::cli::Phase;

/// Points that a fit needs.
const LEAST: usize = 3;
/// A batch counts as filling the device from this share of the largest throughput on.
const FULL: f64 = 0.5;

/// Cost as a power of what is varied.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Scaling {
    pub(super) axis: &'static str,
    pub(super) phase: Phase,
    pub(super) method: String,
    pub(super) adjoint: String,
    #[serde(skip)]
    pub(super) label: String,
    /// Of the seconds.
    pub(super) exponent: f64,
    pub(super) std_error: f64,
    /// Of the operations: what the exponent of the seconds would be at the same GFLOP/s.
    pub(super) flops_exponent: f64,
    /// Of the memory on the device.
    pub(super) bytes_exponent: f64,
    /// The values on the axis that were used.
    pub(super) points: Vec<usize>,
    /// Those that were measured but left the device idle.
    pub(super) not_used: Vec<usize>,
}

/// The exponents of every series that is long enough.
pub(super) fn scaling(rows: &[Row], series: &[Series]) -> Vec<Scaling> {
    series.iter().filter_map(|s| fitted(s.axis, &s.rows.iter().map(|i| &rows[*i]).collect::<Vec<_>>())).collect()
}

fn fitted(axis: Axis, rows: &[&Row]) -> Option<Scaling> {
    let mut rows = rows.to_vec();
    rows.sort_by_key(|row| axis.value(row));
    let values: Vec<usize> = rows.iter().map(|row| axis.value(row)).collect();
    let from = if axis == Axis::Batch { filled(&rows) } else { 0 };
    let used = &rows[from..];
    let fit_of = |cost: &dyn Fn(&Row) -> f64| {
        fit(&used.iter().map(|row| (axis.value(row) as f64, cost(row))).collect::<Vec<_>>())
    };
    let seconds = fit_of(&|row| row.seconds)?;
    let first = rows.first()?;
    Some(Scaling {
        axis: axis.name(),
        phase: first.phase,
        method: first.method.clone(),
        adjoint: first.adjoint.clone(),
        label: first.label(),
        exponent: seconds.exponent,
        std_error: seconds.std_error,
        flops_exponent: fit_of(&|row| row.flops as f64)?.exponent,
        bytes_exponent: fit_of(&|row| row.device_bytes as f64)?.exponent,
        points: values[from..].to_vec(),
        not_used: values[..from].to_vec(),
    })
}

/// The first batch that fills the device; all of them if too few do for a fit.
fn filled(rows: &[&Row]) -> usize {
    let speed = |row: &&Row| row.trajectory_steps_per_second;
    let most = rows.iter().map(speed).fold(0.0, f64::max);
    let from = rows.iter().position(|row| speed(row) >= FULL * most).unwrap_or(0);
    if rows.len() - from < LEAST { 0 } else { from }
}

/// A straight line through logarithms.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Fit {
    exponent: f64,
    /// Of the exponent.
    std_error: f64,
}

/// `y = c x^exponent`, or `None` for too few points or values without a logarithm.
fn fit(points: &[(f64, f64)]) -> Option<Fit> {
    if points.len() < LEAST || points.iter().any(|(x, y)| !(x.ln().is_finite() && y.ln().is_finite())) {
        return None;
    }
    let count = points.len() as f64;
    let logs = || points.iter().map(|(x, y)| (x.ln(), y.ln()));
    let (mean_x, mean_y) = logs().fold((0.0, 0.0), |(x, y), (lx, ly)| (x + lx / count, y + ly / count));
    let spread: f64 = logs().map(|(x, _)| (x - mean_x).powi(2)).sum();
    if spread <= f64::EPSILON {
        return None;
    }
    let exponent = logs().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum::<f64>() / spread;
    let residue: f64 = logs().map(|(x, y)| (y - mean_y - exponent * (x - mean_x)).powi(2)).sum();
    Some(Fit { exponent, std_error: (residue / (count - 2.0) / spread).sqrt() })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    #[test]
    fn a_power_is_found() {
        for exponent in [-1.5, 0.0, 1.0, 2.25] {
            let points: Vec<_> = [2.0_f64, 3.0, 8.0, 40.0].map(|x| (x, 0.7 * x.powf(exponent))).to_vec();
            let found = fit(&points).unwrap();
            assert!((found.exponent - exponent).abs() < 1e-12 && found.std_error < 1e-12, "{found:?} for {exponent}");
        }
    }

    #[test]
    fn the_error_is_that_of_a_line() {
        // ln y = 0, 1, 0 at ln x = 0, 1, 2: slope 0, residues -1/3, 2/3, -1/3, variance 2/3 of one degree, spread 2.
        let points: Vec<_> = [(0.0_f64, 0.0_f64), (1.0, 1.0), (2.0, 0.0)].map(|(x, y)| (x.exp(), y.exp())).to_vec();
        let found = fit(&points).unwrap();
        assert!(found.exponent.abs() < 1e-12, "{found:?}");
        assert!((found.std_error - (1.0_f64 / 3.0).sqrt()).abs() < 1e-12, "{found:?}");
    }

    #[test]
    fn nothing_is_fitted_to_nothing() {
        for points in [
            vec![],
            vec![(1.0, 1.0), (2.0, 2.0)],
            vec![(1.0, 1.0), (2.0, 0.0), (3.0, 1.0)],
            vec![(0.0, 1.0), (2.0, 1.0), (3.0, 1.0)],
            vec![(2.0, 1.0), (2.0, 2.0), (2.0, 3.0)],
            vec![(1.0, f64::NAN), (2.0, 2.0), (3.0, 3.0)],
        ] {
            assert_eq!(fit(&points), None, "{points:?}");
        }
    }
}
