//! Where numbers go: the terminal, CSV, JSON.

use std::fs;
use std::path::{Path, PathBuf};

use comfy_table::{CellAlignment, LineStyle, Table, TableStyle};
use costate::Gpu;
use costate::io::write_atomically;
use serde::Serialize;

use crate::Result;
use crate::figure::Figure;

/// The folders of a run, and what it ran on.
pub(crate) struct Output {
    results: PathBuf,
    plots: PathBuf,
    adapter: String,
    driver: String,
}

/// What stands in a JSON file.
#[derive(Serialize)]
struct File<'a, T> {
    command: String,
    version: &'static str,
    adapter: &'a str,
    driver: &'a str,
    cores: usize,
    rows: &'a [T],
}

impl Output {
    pub(crate) fn new(gpu: &Gpu, results: &Path, plots: &Path) -> Result<Self> {
        fs::create_dir_all(results)?;
        fs::create_dir_all(plots)?;
        let (results, plots) = (results.to_owned(), plots.to_owned());
        Ok(Self { results, plots, adapter: gpu.adapter().to_owned(), driver: gpu.driver().to_owned() })
    }

    /// Writes `name.csv` and `name.json`.
    pub(crate) fn write<T: Serialize>(&self, name: &str, rows: &[T]) -> Result<()> {
        let mut table = csv::Writer::from_writer(Vec::new());
        for row in rows {
            table.serialize(row)?;
        }
        let bytes = table.into_inner()?;
        write_atomically(&self.results.join(format!("{name}.csv")), |file| file.write_all(&bytes))?;
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let file = File {
            command: format!("cargo run --release --example exactness -- {}", arguments.join(" ")),
            version: env!("CARGO_PKG_VERSION"),
            adapter: &self.adapter,
            driver: &self.driver,
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            rows,
        };
        let text = serde_json::to_string_pretty(&file)?;
        write_atomically(&self.results.join(format!("{name}.json")), |file| writeln!(file, "{text}"))?;
        Ok(())
    }

    /// Writes `name.svg`.
    pub(crate) fn plot(&self, name: &str, figure: &Figure) -> Result<()> {
        self.plot_text(name, &figure.svg())
    }

    /// Writes `name.svg` that was drawn already.
    pub(crate) fn plot_text(&self, name: &str, text: &str) -> Result<()> {
        write_atomically(&self.plots.join(format!("{name}.svg")), |file| file.write_all(text.as_bytes()))?;
        Ok(())
    }
}

/// Prints a table; the first column is text, the others are numbers.
pub(crate) fn print(title: &str, header: &[String], rows: &[Vec<String>]) {
    let mut table = Table::new();
    table.load_style(TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─')));
    table.set_header(header).add_rows(rows);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    println!("\n{title}\n");
    table.lines().for_each(|line| println!("{}", line.trim_end()));
}

/// `3.1e-5`, or a dash for nothing.
pub(crate) fn scientific(value: Option<f64>) -> String {
    value.map_or("–".into(), |v| format!("{v:.1e}"))
}

/// The middle of the values; the mean of the two middle ones.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let n = values.len();
    if n == 0 { f64::NAN } else { f64::midpoint(values[n / 2], values[(n - 1) / 2]) }
}
