//! Standard output, standard error and what is written to files. Their checks are in `places`.

mod lock;
mod places;

use std::borrow::Cow;
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use bytesize::ByteSize;
use comfy_table::{CellAlignment, LineStyle, Table, TableStyle};
use costate::{Error, HostPlan, MemoryPlan, Result, Slot};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

pub(crate) use lock::FolderLock;
pub(crate) use places::{Inputs, check_files, make_folder};

/// True once a file that is written is standard output itself: text for people would spoil it.
static OUTPUT_TAKEN: AtomicBool = AtomicBool::new(false);

/// Prints lines for people on standard output, or on standard error where standard output is a file of the run.
///
/// # Errors
/// [`Error::Io`] if it cannot be written. A reader that has gone away (`| head`) is no error.
pub(crate) fn print(text: &str) -> Result<()> {
    if OUTPUT_TAKEN.load(Ordering::Relaxed) {
        note(text.trim_end());
        return Ok(());
    }
    let mut out = io::stdout().lock();
    match writeln!(out, "{}", plain(text.trim_end())).and_then(|()| out.flush()) {
        Err(source) if source.kind() != ErrorKind::BrokenPipe => {
            Err(Error::Io { action: "write", path: "standard output".into(), source })
        }
        _ => Ok(()),
    }
}

/// Prints the one JSON object of a subcommand.
///
/// # Errors
/// As [`print()`].
pub(crate) fn print_json(value: &impl Serialize) -> Result<()> {
    print(&json_text(value)?)
}

/// Writes a JSON file.
///
/// # Errors
/// As [`costate::io::write_atomically`].
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let text = json_text(value)?;
    costate::io::write_atomically(path, |writer| writeln!(writer, "{text}"))
}

fn json_text(value: &impl Serialize) -> Result<String> {
    serde_json::to_string_pretty(value).map_err(|e| Error::Invalid {
        what: "the report".into(),
        problem: e.to_string(),
        remedy: "run without --json".into(),
    })
}

/// A line on standard error; one that cannot be written is lost.
pub(crate) fn note(text: &str) {
    let _ = writeln!(io::stderr(), "{}", plain(text));
}

/// Text of any number of lines without what a terminal would obey: names of columns come from files.
fn plain(text: &str) -> Cow<'_, str> {
    let obeyed = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    if !text.contains(obeyed) {
        return Cow::Borrowed(text);
    }
    let escape = |c: char| if obeyed(c) { c.escape_default().to_string() } else { c.to_string() };
    Cow::Owned(text.chars().map(escape).collect())
}

/// A warning on standard error.
pub(crate) fn warn(text: &str) {
    note(&format!("warning: {text}"));
}

/// The buffers of a run as a JSON object: bytes by name, and their `total`.
#[derive(Clone, Debug)]
pub(crate) struct DeviceBytes(pub(crate) MemoryPlan);

impl Serialize for DeviceBytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let entries = self.0.entries();
        let mut map = serializer.serialize_map(Some(entries.len() + 1))?;
        for (slot, bytes) in entries {
            map.serialize_entry(&slot_name(*slot), bytes)?;
        }
        map.serialize_entry("total", &self.0.total_bytes())?;
        map.end()
    }
}

/// What a run keeps on the host as a JSON object: bytes by name, and their `total`.
#[derive(Clone, Debug)]
pub(crate) struct HostBytes(pub(crate) HostPlan);

impl Serialize for HostBytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let entries = self.0.entries();
        let mut map = serializer.serialize_map(Some(entries.len() + 1))?;
        for (name, bytes) in entries {
            map.serialize_entry(name, bytes)?;
        }
        map.serialize_entry("total", &self.0.total_bytes())?;
        map.end()
    }
}

/// The name of a buffer in snake case.
pub(crate) fn slot_name(slot: Slot) -> String {
    let mut name = String::new();
    for (i, letter) in format!("{slot:?}").chars().enumerate() {
        if letter.is_uppercase() && i > 0 {
            name.push('_');
        }
        name.extend(letter.to_lowercase());
    }
    name
}

/// The time, as in `2026-03-01T12:00:00Z`.
pub(crate) fn now() -> String {
    let now = jiff::Timestamp::now();
    now.round(jiff::Unit::Second).unwrap_or(now).to_string()
}

/// `1.5 MiB`
pub(crate) fn bytes(count: u64) -> String {
    ByteSize::b(count).display().iec().to_string()
}

/// Four significant digits with a prefix: `1.234 M`.
pub(crate) fn prefixed(value: f64) -> String {
    for (size, prefix) in [(1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")] {
        if value >= size {
            return format!("{:.2}{prefix}", value / size);
        }
    }
    format!("{value:.2}")
}

/// A table with a line under its header and no others; `right` columns at the end are aligned to the right.
pub(crate) fn table<const N: usize>(
    header: [&str; N],
    right: usize,
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    columns(&header, right, rows.into_iter().map(Vec::from))
}

/// The same with as many columns as the header has.
pub(crate) fn columns(header: &[&str], right: usize, rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let line = LineStyle::none().fill('─').junction('─');
    let mut table = Table::new();
    table.load_style(TableStyle::new().header_separator(line));
    table.set_header(header);
    table.add_rows(rows);
    for column in table.column_iter_mut().skip(header.len().saturating_sub(right)) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminals_are_left_alone() {
        assert_eq!(plain("a\tb\n\u{1b}[2J\r\u{9b}é"), "a\tb\n\\u{1b}[2J\\r\\u{9b}é");
        assert!(matches!(plain("— of 3 ×"), Cow::Borrowed(_)), "nothing to do");
    }

    #[test]
    fn names_and_numbers_read_well() {
        assert_eq!(slot_name(Slot::SumsOfSums), "sums_of_sums");
        assert_eq!(slot_name(Slot::Theta), "theta");
        assert_eq!([0, 1023, 1536, 3 << 40].map(bytes), ["0 B", "1023 B", "1.5 KiB", "3.0 TiB"]);
        assert_eq!([0.5, 1500.0, 2.5e7].map(prefixed), ["0.50", "1.50 k", "25.00 M"]);
    }
}
