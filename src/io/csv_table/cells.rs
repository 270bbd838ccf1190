//! The cells of one line, with what is needed to say where they are.

use std::path::Path;

use csv::StringRecord;

use crate::error::{Error, Result};
use crate::io::format_error;

/// What stands between the whole part and the fraction of a number.
#[derive(Clone, Copy, Debug)]
pub(super) enum Decimal {
    /// A point.
    Point,
    /// A point or a comma: the first number that has one, in the given line, decides.
    Either,
    /// The one that the first such number had.
    Found { comma: bool, line: u64 },
}

impl Decimal {
    /// Where cells end with a semicolon it is that commas may be in numbers.
    pub(super) fn beside(delimiter: u8) -> Self {
        if delimiter == b';' { Self::Either } else { Self::Point }
    }
}

/// Cells of a line, without the empty ones at its end.
pub(super) fn used(record: &StringRecord) -> usize {
    (0..record.len()).rfind(|&c| !record[c].is_empty()).map_or(0, |last| last + 1)
}

/// One line.
pub(super) struct Row<'a> {
    pub(super) path: &'a Path,
    pub(super) header: &'a StringRecord,
    pub(super) record: &'a StringRecord,
}

impl<'a> Row<'a> {
    pub(super) fn line(&self) -> u64 {
        self.record.position().map_or(0, csv::Position::line)
    }

    /// Cells beyond `width` have no name: they must be empty.
    pub(super) fn check_length(&self, width: usize) -> Result<()> {
        let found = used(self.record);
        if self.record.len() < width || found > width {
            let found = if found > width { found } else { self.record.len() };
            let problem = format!("line {} has {found} cells where the first line has {width} names", self.line());
            return Err(format_error(self.path, "csv", problem, "give every line the same number of cells"));
        }
        Ok(())
    }

    pub(super) fn place(&self, column: usize) -> String {
        format!("line {}, column {}", self.line(), &self.header[column])
    }

    pub(super) fn cell(&self, column: usize) -> &'a str {
        &self.record[column]
    }

    /// What a series is called.
    pub(super) fn label(&self, column: usize) -> Result<&'a str> {
        let label = self.cell(column);
        if label.is_empty() {
            let problem = format!("the cell in {} is empty", self.place(column));
            return Err(format_error(self.path, "csv", problem, "say in every line which series it belongs to"));
        }
        Ok(label)
    }

    /// A number, or NaN if nothing was observed.
    pub(super) fn observation(&self, column: usize, decimal: &mut Decimal) -> Result<f64> {
        let cell = self.cell(column);
        if cell.is_empty() || cell == "NA" || cell.eq_ignore_ascii_case("nan") {
            return Ok(f64::NAN);
        }
        let remedy = "write numbers as 1.5 or 2e-3, and leave a cell empty (or NA, NaN) where nothing was observed";
        self.number(column, decimal)?.ok_or_else(|| self.no_number(column, "number", remedy))
    }

    /// The number in a cell; `None` if it is something else.
    pub(super) fn number(&self, column: usize, decimal: &mut Decimal) -> Result<Option<f64>> {
        let cell = self.cell(column);
        let comma = cell.contains(',');
        if comma && matches!(decimal, Decimal::Point) || cell.matches([',', '.']).count() > 1 {
            return Ok(None);
        }
        let value = if comma { cell.replace(',', ".").parse() } else { cell.parse::<f64>() };
        let Ok(value) = value else { return Ok(None) };
        if !value.is_finite() {
            return Err(Error::NonFiniteData {
                what: self.path.display().to_string(),
                value,
                index: self.place(column),
            });
        }
        if comma || cell.contains('.') {
            self.check_decimal(column, comma, decimal)?;
        }
        Ok(Some(value))
    }

    /// One table has one decimal mark: the other would separate thousands.
    fn check_decimal(&self, column: usize, comma: bool, decimal: &mut Decimal) -> Result<()> {
        match *decimal {
            Decimal::Point => Ok(()),
            Decimal::Either => {
                *decimal = Decimal::Found { comma, line: self.line() };
                Ok(())
            }
            Decimal::Found { comma: before, .. } if before == comma => Ok(()),
            Decimal::Found { comma: before, line } => {
                let mark = |comma| if comma { "comma" } else { "point" };
                let problem = format!(
                    "'{}' in {} has a decimal {} where line {line} has a decimal {}",
                    self.cell(column),
                    self.place(column),
                    mark(comma),
                    mark(before)
                );
                Err(format_error(self.path, "csv", problem, "write all numbers with the same decimal mark"))
            }
        }
    }

    pub(super) fn no_number(&self, column: usize, expected: &str, remedy: &str) -> Error {
        let problem = format!("'{}' in {} is no {expected}", self.cell(column), self.place(column));
        format_error(self.path, "csv", problem, remedy)
    }
}
