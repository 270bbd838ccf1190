//! The results of a bench as tables for people.

use super::Results;
use super::measure::Row;
use super::sweep::{Axis, Series};
use crate::output;

/// A column of a table over rows.
type Column<'a> = (&'a str, Box<dyn Fn(&Row) -> String>);

/// Everything, in the order in which it is asked.
pub(super) fn text(results: &Results<'_>, series: &[Series]) -> String {
    let rows = &results.results;
    let Some(first) = rows.first() else { return String::new() };
    let base = series.iter().find(|s| s.axis == Axis::Batch).and_then(|s| rows.get(*s.rows.first()?)).unwrap_or(first);
    let mut parts = vec![format!(
        "state {}, hidden {:?}, {}, {} steps, on {} ({})",
        base.state, base.hidden, base.activation, base.steps, results.adapter, results.driver
    )];
    parts.extend(results.tuning.iter().map(super::arrange::Measured::text));
    for axis in Axis::ALL {
        let along: Vec<&Row> =
            series.iter().filter(|s| s.axis == axis).flat_map(|s| &s.rows).filter_map(|i| rows.get(*i)).collect();
        if !along.is_empty() {
            parts.push(measured(axis, &along, results));
        }
    }
    if !results.scaling.is_empty() {
        parts.push(scaling(results));
    }
    parts.extend(series.iter().filter(|s| s.axis == Axis::Batch).filter_map(|s| profile(rows.get(*s.rows.last()?)?)));
    parts.extend(results.compared.as_ref().map(super::compare::Comparison::text));
    parts.join("\n\n")
}

fn measured(axis: Axis, rows: &[&Row], results: &Results<'_>) -> String {
    let mut columns: Vec<Column<'_>> = vec![("", Box::new(Row::label))];
    if axis != Axis::Batch {
        columns.push((axis.name(), Box::new(move |row| axis.value(row).to_string())));
    }
    columns.extend([
        ("batch", Box::new(|row: &Row| row.batch.to_string()) as Box<dyn Fn(&Row) -> String>),
        ("seconds", Box::new(|row| format!("{:.4}", row.seconds))),
        ("trajectory-steps/s", Box::new(|row| output::prefixed(row.trajectory_steps_per_second))),
        ("GFLOP/s", Box::new(|row| format!("{:.2}", row.gflops))),
    ]);
    if results.peak_gflops.is_some() {
        columns.push(("of peak", Box::new(|row| percent(row.fraction_of_peak))));
    }
    if results.results.iter().any(|row| row.tuned) {
        let kernels =
            |row: &Row| format!("{}{}", super::arrange::kernels(row.kernels), if row.tuned { ", tuned" } else { "" });
        columns.push(("kernels", Box::new(kernels)));
    }
    columns.push(("GB/s", Box::new(|row| format!("{:.3}", row.gigabytes_per_second))));
    if results.peak_gigabytes_per_second.is_some() {
        columns.push(("of peak", Box::new(|row| percent(row.fraction_of_peak_bandwidth))));
    }
    columns.push(("device memory", Box::new(|row| output::bytes(row.device_bytes))));
    if results.compared.is_some() {
        let ratio = |row: &Row| row.ratio.map_or("–".to_owned(), |ratio| format!("{ratio:.3}"));
        columns.push(("before ×", Box::new(ratio)));
    }
    let header: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    let cells = rows.iter().map(|row| columns.iter().map(|(_, cell)| cell(row)).collect());
    output::columns(&header, header.len() - 1, cells)
}

fn percent(fraction: Option<f64>) -> String {
    fraction.map_or(String::new(), |fraction| format!("{:.1} %", 100.0 * fraction))
}

/// How cost grows.
fn scaling(results: &Results<'_>) -> String {
    let rows = results.scaling.iter().map(|s| {
        let all = if s.not_used.is_empty() { String::new() } else { format!(", without {}", list(&s.not_used)) };
        [
            s.label.clone(),
            s.axis.to_owned(),
            format!("{} ± {:.3}", power(s.exponent), s.std_error),
            power(s.flops_exponent),
            power(s.bytes_exponent),
            format!("{}{all}", list(&s.points)),
        ]
    });
    let header = ["cost as a power", "of", "seconds", "operations", "device memory", "fitted at"];
    output::columns(&header, 4, rows.map(Vec::from))
}

/// Without the minus of a zero.
fn power(exponent: f64) -> String {
    let text = format!("{exponent:.3}");
    if text == "-0.000" { "0.000".to_owned() } else { text }
}

fn list(values: &[usize]) -> String {
    values.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// Where the time of a row goes, if it was asked for.
fn profile(row: &Row) -> Option<String> {
    let phases = row.phases.as_ref()?;
    let all: f64 = phases.iter().map(|p| p.seconds).sum();
    let rows = phases.iter().map(|phase| {
        // A kernel without operations, or faster than the clock ticks, has no speed.
        let speed = |count: u64| match count as f64 / phase.seconds / 1e9 {
            speed if count > 0 && speed.is_finite() => format!("{speed:.2}"),
            _ => "–".to_owned(),
        };
        [
            phase.kernel.to_owned(),
            phase.dispatches.to_string(),
            format!("{:.5}", phase.seconds),
            percent(Some(phase.seconds / all)),
            speed(phase.flops),
            speed(phase.bytes),
        ]
    });
    let header = ["kernel", "launches", "device seconds", "share", "GFLOP/s", "GB/s"];
    let table = output::columns(&header, 5, rows.map(Vec::from));
    Some(format!("{}, batch {}: {all:.4} s on the device\n\n{table}", row.label(), row.batch))
}
