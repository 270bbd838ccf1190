//! Time series as text: a line of names, then one line per time.

use std::path::Path;

use csv::StringRecord;
use ndarray::Array3;

use super::{Series, format_error};
use crate::error::{Error, Result};

/// The column that tells several series apart.
const SERIES: &str = "series";

/// The rows of one series.
struct Rows {
    label: String,
    times: Vec<f64>,
    values: Vec<f32>,
}

/// Parses a whole file. The times are checked to be finite and equal in all series, not that they increase.
pub(super) fn read(path: &Path, bytes: &[u8]) -> Result<Series> {
    let mut reader =
        csv::ReaderBuilder::new().trim(csv::Trim::All).comment(Some(b'#')).flexible(true).from_reader(bytes);
    let header = reader.headers().map_err(|e| unreadable(path, &e))?.clone();
    if header.is_empty() {
        return Err(format_error(path, "csv", "it is empty", "give a line of names, then one line per time"));
    }
    let columns = Columns::of(path, &header)?;
    let mut series: Vec<Rows> = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|e| unreadable(path, &e))?;
        let row = Row { path, header: &header, record: &record };
        row.check_length()?;
        let label = columns.series.and_then(|c| record.get(c)).unwrap_or_default();
        let place = series.iter().position(|s| s.label == label).unwrap_or_else(|| {
            series.push(Rows { label: label.to_owned(), times: Vec::new(), values: Vec::new() });
            series.len() - 1
        });
        series[place].times.push(row.number(columns.time)?);
        for &column in &columns.components {
            series[place].values.push(row.number_f32(column)?);
        }
    }
    let names = columns.components.iter().map(|&c| header[c].to_owned()).collect();
    assemble(path, series, names)
}

/// Which column is what.
struct Columns {
    time: usize,
    series: Option<usize>,
    components: Vec<usize>,
}

impl Columns {
    fn of(path: &Path, header: &StringRecord) -> Result<Self> {
        // A first line of numbers would silently be lost as names.
        if header.iter().any(|name| name.parse::<f64>().is_ok()) {
            let problem = format!("the first line holds numbers: {}", header.iter().collect::<Vec<_>>().join(","));
            return Err(format_error(path, "csv", problem, "begin with a line of names, such as t,x,y"));
        }
        let series = header.iter().position(|name| name.eq_ignore_ascii_case(SERIES));
        let mut others = (0..header.len()).filter(|&c| Some(c) != series);
        match (others.next(), others.collect::<Vec<_>>()) {
            (Some(time), components) if !components.is_empty() => Ok(Self { time, series, components }),
            _ => {
                let problem = format!("{} column(s) and no component", header.len());
                Err(format_error(path, "csv", problem, "give the time in the first column and a component in the next"))
            }
        }
    }
}

/// One line with what is needed to say where a cell is.
struct Row<'a> {
    path: &'a Path,
    header: &'a StringRecord,
    record: &'a StringRecord,
}

impl Row<'_> {
    fn line(&self) -> u64 {
        self.record.position().map_or(0, csv::Position::line)
    }

    fn check_length(&self) -> Result<()> {
        let (found, expected) = (self.record.len(), self.header.len());
        if found == expected {
            return Ok(());
        }
        let problem = format!("line {} has {found} cells where the first line has {expected}", self.line());
        Err(format_error(self.path, "csv", problem, "give every line the same number of cells"))
    }

    fn place(&self, column: usize) -> String {
        format!("line {}, column {}", self.line(), &self.header[column])
    }

    fn number(&self, column: usize) -> Result<f64> {
        let cell = &self.record[column];
        let value: f64 = cell.parse().map_err(|_| {
            let problem = format!("'{cell}' in {} is no number", self.place(column));
            format_error(self.path, "csv", problem, "write numbers as 1.5 or 2e-3 and leave no cell empty")
        })?;
        if value.is_finite() {
            return Ok(value);
        }
        Err(Error::NonFiniteData { what: self.path.display().to_string(), value, index: self.place(column) })
    }

    fn number_f32(&self, column: usize) -> Result<f32> {
        let value = self.number(column)?;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "rounding to f32 is what is asked for; overflow is checked"
        )]
        let narrow = value as f32;
        if narrow.is_finite() {
            return Ok(narrow);
        }
        Err(Error::invalid(
            format!("{} of {}", self.place(column), self.path.display()),
            format!("{value:e} is beyond the largest f32, {:e}", f32::MAX),
            "scale the data",
        ))
    }
}

fn assemble(path: &Path, series: Vec<Rows>, names: Vec<String>) -> Result<Series> {
    let Some(first) = series.first() else {
        return Err(format_error(path, "csv", "there is no line after the names", "give one line per time"));
    };
    let times = first.times.clone();
    if let Some(other) = series.iter().find(|s| s.times != times) {
        let problem = format!("series '{}' has other times than series '{}'", other.label, first.label);
        return Err(format_error(path, "csv", problem, "observe every series at the same times"));
    }
    let shape = (series.len(), times.len(), names.len());
    let flat = series.into_iter().flat_map(|s| s.values).collect();
    let values = Array3::from_shape_vec(shape, flat)
        .map_err(|e| format_error(path, "csv", e.to_string(), "give every line the same number of cells"))?;
    Ok(Series { times, values, names })
}

fn unreadable(path: &Path, error: &csv::Error) -> Error {
    format_error(path, "csv", error.to_string(), "save it as UTF-8 text")
}
