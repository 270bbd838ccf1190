//! The plots of a run, as SVG.
//!
//! Observations are points, the model is a line; the colours can be told apart with any kind of colour vision. Values
//! that are not finite leave a gap, and a plot without any finite value says so: a plot must not fail a run that has
//! already been paid for.

mod figure;
mod ticks;

use std::path::Path;

use costate::{Loss, Result};
use ndarray::ArrayView2;

use figure::{Axis, Curve, Entry, Figure, GREY, Mark, colour};

/// More points than this on a line cannot be told apart at the size of a plot.
const MOST_POINTS: usize = 2000;

/// The loss over the iterations, on a logarithmic axis unless it may be negative.
///
/// # Errors
/// As [`costate::io::write_atomically`], for this and every other plot.
pub(crate) fn loss_curve(path: &Path, loss: Loss, losses: &[(u64, f64)]) -> Result<()> {
    let points: Vec<_> = losses.iter().map(|&(iteration, loss)| (iteration as f64, loss)).collect();
    Figure {
        title: String::new(),
        x: Axis::linear("iteration"),
        y: match loss {
            Loss::Mse => Axis::log("loss (mean squared error)"),
            Loss::GaussianNll => Axis::linear("loss (negative log-likelihood)"),
            other => Axis::log(&format!("loss ({other})")),
        },
        curves: vec![Curve::new(Mark::Line, colour(0), thin(&points))],
        legend: Vec::new(),
    }
    .write(path)
}

/// Observed and learned trajectories in the plane of two components.
///
/// Each trajectory is a list of points; `labels` are the names of the two components with their units.
pub(crate) fn trajectories(
    path: &Path,
    title: &str,
    observed: &[Vec<(f64, f64)>],
    learned: &[Vec<(f64, f64)>],
    labels: [&str; 2],
) -> Result<()> {
    // The model on top: where observations lie dense they would hide it.
    let mut curves: Vec<Curve> = observed.iter().map(|t| Curve::new(Mark::Dots, colour(0), thin(t))).collect();
    curves.extend(learned.iter().map(|t| Curve::new(Mark::Line, colour(1), thin(t))));
    Figure {
        title: title.to_owned(),
        x: Axis::linear(labels[0]),
        y: Axis::linear(labels[1]),
        curves,
        legend: vec![Entry::new("data", Mark::Dots, colour(0)), Entry::new("model", Mark::Line, colour(1))],
    }
    .write(path)
}

/// Every component over time: the observations `observed: [times_observed, dim]` and the model at its own times.
///
/// `names` has one name per component, `labels` are those of the time axis and of the states, with their units.
pub(crate) fn time_series(
    path: &Path,
    labels: [&str; 2],
    (times_observed, observed): (&[f64], ArrayView2<'_, f64>),
    (times_learned, learned): (&[f64], ArrayView2<'_, f64>),
    names: &[String],
) -> Result<()> {
    let component = |times: &[f64], values: &ArrayView2<'_, f64>, c: usize| -> Vec<(f64, f64)> {
        let column = values.columns().into_iter().nth(c);
        let points = column.map(|v| times.iter().copied().zip(v.iter().copied()).collect());
        points.unwrap_or_default()
    };
    let mut curves = Vec::new();
    let mut legend = Vec::new();
    for (c, name) in names.iter().enumerate() {
        curves.push(Curve::new(Mark::Line, colour(c), thin(&component(times_learned, &learned, c))));
        curves.push(Curve::new(Mark::Dots, colour(c), thin(&component(times_observed, &observed, c))));
        legend.push(Entry::new(name, Mark::Both, colour(c)));
    }
    legend.push(Entry::new("data", Mark::Dots, GREY));
    legend.push(Entry::new("model", Mark::Line, GREY));
    let (x, y) = (Axis::linear(labels[0]), Axis::linear(labels[1]));
    Figure { title: String::new(), x, y, curves, legend }.write(path)
}

/// Throughput over the batch size, both logarithmic; each curve is a label and `(batch, trajectory-steps per second)`.
pub(crate) fn throughput(path: &Path, curves: &[(String, Vec<(f64, f64)>)]) -> Result<()> {
    let mut batches: Vec<f64> = curves.iter().flat_map(|(_, points)| points).map(|&(batch, _)| batch).collect();
    batches.sort_unstable_by(f64::total_cmp);
    batches.dedup();
    Figure {
        title: String::new(),
        x: Axis { ticks: Some(batches), ..Axis::log("batch size (trajectories)") },
        y: Axis::log("trajectory-steps per second"),
        curves: curves.iter().enumerate().map(|(i, (_, p))| Curve::new(Mark::Both, colour(i), thin(p))).collect(),
        legend: curves.iter().enumerate().map(|(i, (label, _))| Entry::new(label, Mark::Both, colour(i))).collect(),
    }
    .write(path)
}

/// Every n-th point and the last one.
fn thin(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let stride = points.len().div_ceil(MOST_POINTS).max(1);
    let rest = points.len().saturating_sub(1) % stride;
    points.iter().copied().skip(rest).step_by(stride).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]

    use ndarray::Array2;

    use super::*;

    fn drawn(plot: impl FnOnce(&Path) -> Result<()>) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plot.svg");
        plot(&path).unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.starts_with("<svg") && text.trim_end().ends_with("</svg>"), "the plot should be whole");
        assert!(!text.contains("NaN") && !text.contains("inf"), "every coordinate should be finite");
        text
    }

    #[test]
    fn what_is_asked_for_is_drawn() {
        let loss = drawn(|p| loss_curve(p, Loss::Mse, &[(0, 1.0), (100, 1e-3)]));
        assert!(loss.contains("iteration") && loss.contains("10⁻²"), "labels should be there");
        let curve = ("rk4 <stored>".to_owned(), vec![(64.0, 1e5), (4096.0, 2e6)]);
        let bench = drawn(|p| throughput(p, &[curve]));
        assert!(bench.contains("4096") && bench.contains("rk4 &lt;stored&gt;"), "batches and labels should be there");
        assert_eq!(bench.matches("<circle").count(), 3, "two points and one in the legend");
    }

    /// Draws one of each kind into the folder that `COSTATE_PLOT_SAMPLES` names, for the eye.
    #[test]
    fn samples_for_the_eye() {
        let Ok(folder) = std::env::var("COSTATE_PLOT_SAMPLES") else { return };
        let folder = Path::new(&folder);
        let losses: Vec<_> = (0..500_u32)
            .map(|i| {
                (u64::from(i) * 10, 0.9 * (-f64::from(i) / 60.0).exp() * (1.3 + (f64::from(i) * 1.7).sin()) + 4e-4)
            })
            .collect();
        loss_curve(&folder.join("loss.svg"), Loss::Mse, &losses).unwrap();
        let spiral = |n: u32, shift: f64| -> Vec<(f64, f64)> {
            let at = |i: u32| 10.0 * f64::from(i) / f64::from(n);
            (0..=n)
                .map(at)
                .map(|t| ((-0.2 * t).exp() * (2.0 * t + shift).cos(), (-0.2 * t).exp() * (2.0 * t).sin()))
                .collect()
        };
        let (data, model) = (spiral(60, 0.0), spiral(600, 0.03));
        trajectories(&folder.join("phase.svg"), "Spiral after 500 iterations", &[data], &[model], ["x", "y"]).unwrap();
        let pelts = costate::io::Series::read("examples/data/hudson-bay-lynx-hare.csv").unwrap();
        let fine: Vec<f64> = (0..=200).map(|i| 1900.0 + 0.1 * f64::from(i)).collect();
        let learned = Array2::from_shape_fn((201, 2), |(i, c)| {
            35.0 - 8.0 * c as f64 + 28.0 * (0.62 * (fine[i] - 1903.0 - 1.5 * c as f64)).cos()
        });
        let observed = pelts.values.index_axis(ndarray::Axis(0), 0);
        let labels = ["year", "pelts (thousands)"];
        let path = folder.join("series.svg");
        time_series(&path, labels, (&pelts.times, observed), (&fine, learned.view()), &pelts.names).unwrap();
        let curve = |top: f64, half: f64| -> Vec<(f64, f64)> {
            [64.0, 256.0, 1024.0, 4096.0, 16384.0, 65536.0].into_iter().map(|b| (b, top * b / (b + half))).collect()
        };
        let curves = [("rk4, backsolve".to_owned(), curve(9e6, 4e3)), ("rk4, stored".to_owned(), curve(2e6, 9e2))];
        throughput(&folder.join("bench.svg"), &curves).unwrap();
        loss_curve(&folder.join("empty.svg"), Loss::Mse, &[(3, f64::NAN)]).unwrap();
    }

    #[test]
    fn no_data_hurts() {
        let bad = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, 0.0, 1e-320, f64::MAX];
        for first in bad {
            for second in bad.into_iter().chain([1.0]) {
                let points = vec![(0.0, first), (1.0, second), (first, second)];
                drawn(|p| loss_curve(p, Loss::Mse, &[(0, first), (1, second), (u64::MAX, second)]));
                drawn(|p| trajectories(p, "", std::slice::from_ref(&points), &[], ["x", "y"]));
                drawn(|p| throughput(p, &[(String::new(), points)]));
            }
        }
        let empty = drawn(|p| loss_curve(p, Loss::Mse, &[]));
        assert!(empty.contains("no finite values"), "an empty plot should say so");
        drawn(|p| trajectories(p, "title", &[vec![]], &[], ["", ""]));
        let none = Array2::zeros((0, 0));
        drawn(|p| time_series(p, ["t", "x"], (&[], none.view()), (&[1.0], none.view()), &["a".into(), "b".into()]));
        let constant = Array2::from_elem((3, 1), 7.5);
        let times = [1900.0, 1901.0, 1902.0];
        drawn(|p| time_series(p, ["t", "x"], (&times, constant.view()), (&times, constant.view()), &["a".into()]));
    }

    #[test]
    fn thinning_keeps_the_last_point() {
        for n in [0, 1, 2, 1999, 2000, 2001, 3999, 4001, 100_000] {
            let points: Vec<_> = (0..n).map(|i| (f64::from(i), 0.0)).collect();
            let thinned = thin(&points);
            assert_eq!(thinned.last(), points.last(), "{n} points");
            assert!(thinned.len() <= MOST_POINTS, "{} left of {n}", thinned.len());
        }
    }
}
