//! The column of times: numbers, or dates.

use jiff::civil::Time;
use jiff::fmt::temporal::Pieces;

use super::cells::{Decimal, Row};
use crate::error::Result;
use crate::io::Clock;
use crate::io::format_error;

/// What the first time is, all are.
enum Kind {
    Unknown,
    Number,
    /// Nanoseconds of the first, how it was written, and whether it has an offset from UTC.
    Date {
        first: i128,
        text: String,
        offset: bool,
    },
}

/// What is known of the times so far.
pub(super) struct Times {
    column: String,
    kind: Kind,
    /// Power of ten of the last digit that any of the times has.
    last_digit: Option<i32>,
}

const REMEDY: &str =
    "write times as numbers, or all as dates like 2024-01-31, 2024-01-31T12:00:00 or 2024-01-31 12:00:00Z";

impl Times {
    pub(super) fn new(column: &str) -> Self {
        Self { column: column.to_owned(), kind: Kind::Unknown, last_digit: None }
    }

    /// The number in the column of times, or the seconds since the first date.
    pub(super) fn parse(&mut self, row: &Row<'_>, column: usize, decimal: &mut Decimal) -> Result<f64> {
        let cell = row.cell(column);
        if let Kind::Unknown | Kind::Number = self.kind {
            if let Some(value) = row.number(column, decimal)? {
                self.check_packed(row, cell, value)?;
                self.kind = Kind::Number;
                self.digit(digit_of_number(cell));
                return Ok(value);
            }
            if let Kind::Number = self.kind {
                return Err(row.no_number(column, "number, as the times before it are", REMEDY));
            }
        }
        let no_date = || row.no_number(column, "number and no ISO date or time", REMEDY);
        let (now, has_offset, last_digit) = date(cell).ok_or_else(no_date)?;
        self.digit(last_digit);
        let Kind::Date { first, offset, .. } = &self.kind else {
            self.kind = Kind::Date { first: now, text: cell.to_owned(), offset: has_offset };
            return Ok(0.0);
        };
        if *offset != has_offset {
            let with = |offset| if offset { "an offset from UTC" } else { "no offset from UTC" };
            let place = row.place(column);
            let problem =
                format!("'{cell}' in {place} has {} where the first time has {}", with(has_offset), with(*offset));
            return Err(format_error(row.path, "csv", problem, "write all times with an offset (or Z), or none"));
        }
        // Whole seconds are exact: their nanoseconds are multiples of 2⁹.
        Ok((now - first) as f64 / 1e9)
    }

    /// A date without dashes reads as a number whose differences are no times.
    fn check_packed(&self, row: &Row<'_>, cell: &str, value: f64) -> Result<()> {
        let is_date =
            cell.len() == 8 && cell.bytes().all(|b| b.is_ascii_digit()) && cell.parse::<jiff::civil::Date>().is_ok();
        if is_date && self.column.to_ascii_lowercase().contains("date") {
            let problem = format!("{value} in line {}, column {} looks like a date", row.line(), self.column);
            let remedy = "write dates as 2024-01-31, or name the column otherwise if it is a number";
            return Err(format_error(row.path, "csv", problem, remedy));
        }
        Ok(())
    }

    fn digit(&mut self, digit: Option<i32>) {
        self.last_digit = match (self.last_digit, digit) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }

    /// How the times were written; `times` are those of one series.
    pub(super) fn clock(self, times: &[f64]) -> Clock {
        // Parsed, since a power is not rounded to the nearest number.
        let digit = self.last_digit.and_then(|power| format!("1e{power}").parse().ok()).unwrap_or(0.0);
        let single = matches!(self.kind, Kind::Number) && times.iter().all(|&t| is_single(t));
        let since = match self.kind {
            Kind::Date { text, .. } => Some(text),
            _ => None,
        };
        Clock { column: self.column, since, digit, single }
    }
}

/// Nanoseconds since 1970, whether there is an offset from UTC, and the power of ten of the last digit of the seconds.
fn date(cell: &str) -> Option<(i128, bool, Option<i32>)> {
    let pieces = Pieces::parse(cell).ok()?;
    // Zones by name would need a database of them.
    if pieces.time_zone_annotation().is_some() {
        return None;
    }
    let at = pieces.date().to_datetime(pieces.time().unwrap_or(Time::midnight()));
    let offset = pieces.to_numeric_offset();
    let instant = offset.unwrap_or(jiff::tz::Offset::UTC).to_timestamp(at).ok()?;
    // Whole minutes and days are meant exactly.
    let time =
        cell.split(['T', 't', ' ']).nth(1).unwrap_or_default().split(['Z', 'z', '+', '-']).next().unwrap_or_default();
    let seconds = time.split(':').nth(2).map(|seconds| seconds.split_once(['.', ',']).map_or("", |(_, rest)| rest));
    let last_digit = seconds.map(|fraction| i32::try_from(fraction.len()).map_or(0, |digits| -digits));
    Some((instant.as_nanosecond(), offset.is_some(), last_digit))
}

/// The power of ten of the last digit of a number as it was written.
fn digit_of_number(cell: &str) -> Option<i32> {
    let (mantissa, exponent) = cell.split_once(['e', 'E']).unwrap_or((cell, "0"));
    let decimals = mantissa.split_once(['.', ',']).map_or(0, |(_, decimals)| decimals.len());
    exponent.parse::<i32>().ok()?.checked_sub(i32::try_from(decimals).ok()?)
}

/// True if an f32 printed with as many digits as it needs is this number.
fn is_single(time: f64) -> bool {
    #[expect(clippy::cast_possible_truncation, reason = "whether anything is lost is the question")]
    let narrow = time as f32;
    narrow.to_string().parse() == Ok(time)
}
