//! Time series as text: a line of names, then one line per time.

mod cells;
mod columns;
mod dialect;
mod times;

use std::collections::HashMap;
use std::io::Read as _;
use std::path::Path;

use csv::StringRecord;
use ndarray::Array3;

use super::{Series, format_error};
use crate::error::{Error, Result};
use cells::{Decimal, Row};
use columns::Columns;
use times::Times;

/// How a table is to be read, where the file alone does not tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableOptions {
    /// What stands between two cells; that of `,`, `;` and tab which the line of names has, if it is not given.
    pub delimiter: Option<u8>,
    /// The column of times; the one named `t` or `time`, or else the first, if it is not given.
    pub time: Option<String>,
    /// The column that tells several series apart; the one named `series`, `id` or `subject`, if there is one.
    pub series: Option<String>,
    /// The columns that are components, in this order; all others, if it is not given.
    pub columns: Option<Vec<String>>,
}

/// The rows of one series.
struct Rows {
    label: String,
    times: Vec<f64>,
    values: Vec<f64>,
    /// The line of the last row.
    line: u64,
}

/// Is read behind the last line: a comment, but to a quote that is still open.
const END: &[u8] = b"\n# the end of the table";

/// Parses a whole file. The times are checked to be finite, to increase, and to be equal in all series.
pub(super) fn read(path: &Path, bytes: &[u8], options: &TableOptions) -> Result<Series> {
    let bytes = dialect::text(path, bytes)?;
    let delimiter = match options.delimiter {
        Some(delimiter) => delimiter,
        None => dialect::delimiter(path, bytes)?,
    };
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .trim(csv::Trim::All)
        .comment(Some(b'#'))
        .flexible(true)
        .from_reader(bytes.chain(END));
    let header = reader.headers().map_err(|e| unreadable(path, &e))?.clone();
    check_closed(path, &header)?;
    let columns = Columns::of(path, &header, options)?;
    let mut table = Table::new(path, &header, &columns, Decimal::beside(delimiter));
    let mut record = StringRecord::new();
    while reader.read_record(&mut record).map_err(|e| unreadable(path, &e))? {
        check_closed(path, &record)?;
        // Spreadsheets end a table with lines of delimiters.
        if record.iter().any(|cell| !cell.is_empty()) {
            table.push(&record)?;
        }
    }
    table.finish()
}

/// What has been read so far.
struct Table<'a> {
    path: &'a Path,
    header: &'a StringRecord,
    columns: &'a Columns,
    decimal: Decimal,
    times: Times,
    series: Vec<Rows>,
    /// The place of each label in `series`.
    places: HashMap<String, usize>,
}

impl<'a> Table<'a> {
    fn new(path: &'a Path, header: &'a StringRecord, columns: &'a Columns, decimal: Decimal) -> Self {
        let times = Times::new(&header[columns.time]);
        Self { path, header, columns, decimal, times, series: Vec::new(), places: HashMap::new() }
    }

    fn push(&mut self, record: &StringRecord) -> Result<()> {
        let row = Row { path: self.path, header: self.header, record };
        row.check_length(self.columns.width)?;
        let time = self.times.parse(&row, self.columns.time, &mut self.decimal)?;
        let label = match self.columns.series {
            Some(column) => row.label(column)?,
            None => "",
        };
        let place = match self.places.get(label) {
            Some(&place) => place,
            None => {
                self.places.insert(label.to_owned(), self.series.len());
                self.series.push(Rows { label: label.to_owned(), times: Vec::new(), values: Vec::new(), line: 0 });
                self.series.len() - 1
            }
        };
        let rows = &mut self.series[place];
        if let Some(&last) = rows.times.last().filter(|&&last| time <= last) {
            return Err(Error::invalid(
                format!("times of {}", self.path.display()),
                format!(
                    "time {} is {time} after {last} ({}, after line {})",
                    rows.times.len(),
                    row.place(self.columns.time),
                    rows.line
                ),
                "sort the data by time, each time once; if this is not the column of times, name that time",
            ));
        }
        rows.times.push(time);
        rows.line = row.line();
        for &column in &self.columns.components {
            rows.values.push(row.observation(column, &mut self.decimal)?);
        }
        Ok(())
    }

    fn finish(self) -> Result<Series> {
        let path = self.path;
        let Some(first) = self.series.first() else {
            return Err(format_error(path, "csv", "there is no line after the names", "give one line per time"));
        };
        let times = first.times.clone();
        if let Some(other) = self.series.iter().find(|s| s.times != times) {
            let problem = format!("series '{}' has other times than series '{}'", other.label, first.label);
            let remedy = "observe every series at the same times, and leave cells empty where nothing was observed";
            return Err(format_error(path, "csv", problem, remedy));
        }
        let names: Vec<String> = self.columns.components.iter().map(|&c| self.header[c].to_owned()).collect();
        let shape = (self.series.len(), times.len(), names.len());
        let flat = self.series.into_iter().flat_map(|s| s.values).collect();
        let values = Array3::from_shape_vec(shape, flat)
            .map_err(|e| format_error(path, "csv", e.to_string(), "give every line the same number of cells"))?;
        let clock = self.times.clock(&times);
        Ok(Series { times, values, names, clock, notes: self.columns.notes.clone() })
    }
}

/// Refuses a line with a quote that is never closed: all lines behind it would be one cell.
fn check_closed(path: &Path, record: &StringRecord) -> Result<()> {
    let end = String::from_utf8_lossy(END);
    let before = record.iter().next_back().and_then(|cell| cell.strip_suffix(end.trim_start()));
    if !before.is_some_and(|before| before.is_empty() || before.ends_with('\n')) {
        return Ok(());
    }
    let line = record.position().map_or(1, csv::Position::line);
    let problem = format!("a quote that is opened in line {line} is never closed");
    Err(format_error(path, "csv", problem, "close it, or write \"\" for a quote within quotes"))
}

fn unreadable(path: &Path, error: &csv::Error) -> Error {
    format_error(path, "csv", error.to_string(), "save it as UTF-8 text")
}
