//! An earlier run beside this one.

use std::path::{Path, PathBuf};

use costate::{Error, Result};
use serde::{Deserialize, Serialize};

use super::measure::Row;
use crate::cli::Phase;
use crate::config::read_text;

/// What is read of an earlier `bench.json`.
#[derive(Debug, Deserialize)]
pub(super) struct Earlier {
    #[serde(skip)]
    path: PathBuf,
    adapter: String,
    driver: String,
    // Files of the first version have neither.
    commit: Option<String>,
    date: Option<String>,
    results: Vec<EarlierRow>,
}

#[derive(Debug, Deserialize)]
struct EarlierRow {
    batch: usize,
    state: usize,
    hidden: Vec<usize>,
    activation: String,
    method: String,
    adjoint: String,
    steps: usize,
    phase: Phase,
    trajectory_steps_per_second: f64,
}

impl EarlierRow {
    /// True for the same measurement.
    fn matches(&self, row: &Row) -> bool {
        (self.batch, self.state, self.steps, self.phase) == (row.batch, row.state, row.steps, row.phase)
            && self.hidden == row.hidden
            && (&self.activation, &self.method, &self.adjoint) == (&row.activation, &row.method, &row.adjoint)
    }
}

/// How this run stands to the earlier one.
#[derive(Debug, Serialize)]
pub(super) struct Comparison {
    pub(super) file: PathBuf,
    adapter: String,
    driver: String,
    pub(super) commit: Option<String>,
    pub(super) date: Option<String>,
    /// Rows that both have.
    pub(super) matched: usize,
    /// Of the ratios of throughput, this run over the earlier one.
    pub(super) geometric_mean: Option<f64>,
    /// Rows of this run that the file lacks.
    pub(super) not_in_file: usize,
    /// Rows of the file that were not measured now.
    pub(super) not_measured: usize,
    pub(super) warnings: Vec<String>,
}

impl Earlier {
    /// Reads a file and checks that it is one of a bench.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let text = read_text(path)?;
        let refused = |problem: String| Error::Format {
            path: path.to_owned(),
            format: "bench.json",
            problem,
            remedy: "give the bench.json of `costate bench --out FOLDER`, or what `costate bench --json` printed"
                .into(),
        };
        let earlier: Self = serde_json::from_str(&text).map_err(|e| refused(e.to_string()))?;
        let speed = |row: &EarlierRow| row.trajectory_steps_per_second;
        if let Some(i) = earlier.results.iter().position(|row| !(speed(row).is_finite() && speed(row) > 0.0)) {
            let speed = speed(&earlier.results[i]);
            return Err(refused(format!("result {i} has {speed} trajectory-steps per second, which must be above 0")));
        }
        Ok(Self { path: path.to_owned(), ..earlier })
    }

    /// Gives every row its ratio.
    pub(super) fn compare(&self, adapter: &str, driver: &str, rows: &mut [Row]) -> Comparison {
        let mut logarithms = 0.0;
        let mut matched = 0;
        for row in rows.iter_mut() {
            let Some(before) = self.results.iter().find(|before| before.matches(row)) else { continue };
            let ratio = row.trajectory_steps_per_second / before.trajectory_steps_per_second;
            row.ratio = Some(ratio);
            logarithms += ratio.ln();
            matched += 1;
        }
        let missed = |before: &&EarlierRow| !rows.iter().any(|row| before.matches(row));
        let mut warnings = Vec::new();
        for (what, before, now) in [("adapter", &*self.adapter, adapter), ("driver", &*self.driver, driver)] {
            if before != now {
                let file = self.path.display();
                warnings.push(format!(
                    "the {what} of {file} is {before}, that of this run is {now}: ratios compare more than the program"
                ));
            }
        }
        Comparison {
            file: self.path.clone(),
            adapter: self.adapter.clone(),
            driver: self.driver.clone(),
            commit: self.commit.clone(),
            date: self.date.clone(),
            matched,
            geometric_mean: (matched > 0).then(|| (logarithms / matched as f64).exp()),
            not_in_file: rows.len() - matched,
            not_measured: self.results.iter().filter(missed).count(),
            warnings,
        }
    }
}

impl Comparison {
    /// One sentence.
    pub(super) fn text(&self) -> String {
        let file = self.file.display();
        let from: Vec<&str> = self.commit.iter().chain(&self.date).map(String::as_str).collect();
        let from = if from.is_empty() { String::new() } else { format!(" ({})", from.join(", ")) };
        let mean = match self.geometric_mean {
            Some(mean) => format!("{mean:.3} times the throughput (geometric mean of {} rows)", self.matched),
            None => "no row in common".to_owned(),
        };
        let mut text = format!("beside {file}{from}: {mean}");
        for (what, rows) in [("not in that file", self.not_in_file), ("not measured now", self.not_measured)] {
            if rows > 0 {
                text += &format!("; {what}: {rows}");
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    fn row(batch: usize, phase: Phase, speed: f64) -> Row {
        Row {
            batch,
            state: 2,
            hidden: vec![5, 3],
            activation: "tanh".into(),
            method: "rk4".into(),
            adjoint: "stored".into(),
            steps: 4,
            phase,
            kernels: costate::KernelOptions::default(),
            tuned: false,
            seconds: 1.0,
            seconds_min: 1.0,
            seconds_max: 1.0,
            repeats: 1,
            trajectory_steps_per_second: speed,
            flops: 1,
            gflops: 1.0,
            fraction_of_peak: None,
            bytes_moved: 1,
            gigabytes_per_second: 1.0,
            fraction_of_peak_bandwidth: None,
            device_bytes: 1,
            phases: None,
            ratio: None,
        }
    }

    fn earlier(text: &str) -> Result<Earlier> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("old.json");
        std::fs::write(&path, text).unwrap();
        Earlier::read(&path)
    }

    #[test]
    fn rows_meet_their_like() {
        let old = [row(64, Phase::Forward, 100.0), row(128, Phase::Forward, 50.0), row(64, Phase::Gradient, 10.0)];
        let file = serde_json::json!({"adapter": "a", "driver": "d", "results": old});
        let earlier = earlier(&file.to_string()).unwrap();
        let mut now = [row(64, Phase::Forward, 200.0), row(64, Phase::Gradient, 5.0), row(256, Phase::Forward, 1.0)];
        let compared = earlier.compare("a", "e", &mut now);
        assert_eq!(now.each_ref().map(|r| r.ratio), [Some(2.0), Some(0.5), None], "ratios of throughput");
        assert!((compared.geometric_mean.unwrap() - 1.0).abs() < 1e-12, "twice and half: {compared:?}");
        assert_eq!((compared.matched, compared.not_in_file, compared.not_measured), (2, 1, 1), "{compared:?}");
        assert_eq!(compared.warnings.len(), 1, "another driver: {compared:?}");
        assert!(compared.text().ends_with("not in that file: 1; not measured now: 1"), "{}", compared.text());
        let none = earlier.compare("a", "d", &mut [row(1, Phase::Forward, 1.0)]);
        assert!(none.geometric_mean.is_none() && none.warnings.is_empty(), "nothing in common: {none:?}");
    }

    #[test]
    fn other_files_are_refused() {
        let fast = serde_json::json!({"adapter": "a", "driver": "d", "results": [row(64, Phase::Forward, 0.0)]});
        for (text, words) in [
            ("no json", ["bench.json", "expected"]),
            ("{}", ["bench.json", "adapter"]),
            (r#"{"adapter": "a", "driver": "d", "results": [{"batch": -1}]}"#, ["bench.json", "-1"]),
            (&fast.to_string(), ["result 0", "above 0"]),
        ] {
            let message = earlier(text).unwrap_err().to_string();
            assert!(words.iter().all(|w| message.contains(w)), "'{text}': {message}");
        }
    }
}
