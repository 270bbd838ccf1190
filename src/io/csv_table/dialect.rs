//! What stands between the cells of a table.

use std::path::Path;

use crate::error::Result;
use crate::io::format_error;

const DELIMITERS: [u8; 3] = [b',', b';', b'\t'];

/// The text without the mark that some programs begin it with.
pub(super) fn text<'a>(path: &Path, bytes: &'a [u8]) -> Result<&'a [u8]> {
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err(format_error(path, "csv", "it is UTF-16 text", "save it as UTF-8 text"));
    }
    Ok(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes))
}

/// The delimiter that the line of names has. If it has several, the one that gives the next line as many cells.
pub(super) fn delimiter(path: &Path, bytes: &[u8]) -> Result<u8> {
    let mut lines = bytes.split(|&b| b == b'\n' || b == b'\r');
    let mut next = || lines.find(|line| !line.trim_ascii().is_empty() && line.first() != Some(&b'#'));
    let Some(names) = next() else {
        return Err(format_error(path, "csv", "it is empty", "give a line of names, then one line per time"));
    };
    let row = next();
    let found: Vec<u8> = DELIMITERS.into_iter().filter(|&d| count(names, d) > 0).collect();
    let fitting: Vec<u8> =
        found.iter().copied().filter(|&d| row.is_none_or(|r| count(r, d) == count(names, d))).collect();
    match (&found[..], &fitting[..]) {
        // A single column: what is wrong with that is said where columns are looked at.
        ([], _) => Ok(b','),
        (&[one], _) | (_, &[one]) => Ok(one),
        _ => {
            let shown: Vec<String> = found.iter().map(|&d| shown(d)).collect();
            let problem = format!("the line of names has {}, and each may be the delimiter", shown.join(" and "));
            Err(format_error(path, "csv", problem, "say which it is: delimiter = \",\" in [data]"))
        }
    }
}

/// Delimiters outside of quotes.
fn count(line: &[u8], delimiter: u8) -> usize {
    let mut quoted = false;
    line.iter()
        .filter(|&&b| {
            quoted ^= b == b'"';
            !quoted && b == delimiter
        })
        .count()
}

/// A delimiter for people.
fn shown(delimiter: u8) -> String {
    if delimiter == b'\t' { "tab".into() } else { format!("'{}'", char::from(delimiter)) }
}
