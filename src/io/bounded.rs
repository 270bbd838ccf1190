//! Reading a file without trusting its size.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use crate::error::{Error, Result};

/// Most bytes of a file that are read. What trains on a device is far smaller.
const MOST: u64 = 16 << 30;
/// Most bytes that are read from what has no size of its own: a device, a pipe.
const MOST_STREAMED: u64 = 256 << 20;

/// The bytes of a file.
pub(super) fn read_bytes(path: &Path) -> Result<Vec<u8>> {
    read_at_most(path, MOST)
}

/// The bytes of a file, or of a device or a pipe, of which there may be `most`.
///
/// A device may never end, so that of what is no regular file 256 MiB are read at most, and a warning is logged that it is
/// read.
///
/// # Errors
/// [`Error::Io`] if it cannot be read, [`Error::Invalid`] if there is more.
pub fn read_at_most(path: impl AsRef<Path>, most: u64) -> Result<Vec<u8>> {
    let path = path.as_ref();
    let failed = |source| Error::Io { action: "read", path: path.to_owned(), source };
    let found = fs::metadata(path).map_err(failed)?;
    let (most, size) = if found.is_file() { (most, found.len()) } else { (most.min(MOST_STREAMED), 0) };
    let too_much = |rest: &str| {
        let problem = format!("it has {rest} {}, the most that is read here", megabytes(most));
        Err(Error::invalid(format!("file {}", path.display()), problem, "give a smaller file"))
    };
    if size > most {
        return too_much(&format!("{}, more than", megabytes(size)));
    }
    if !found.is_file() && !found.is_dir() {
        tracing::warn!("{} is no regular file: it is read to its end, {} at most", path.display(), megabytes(most));
    }
    let bytes = take(path, size, most.saturating_add(1)).map_err(failed)?;
    if bytes.len() as u64 > most { too_much("more than") } else { Ok(bytes) }
}

fn take(path: &Path, expected: u64, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(usize::try_from(expected).unwrap_or(usize::MAX))?;
    File::open(path)?.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A number of bytes, for people.
pub(super) fn megabytes(bytes: u64) -> String {
    if bytes < 1 << 20 { format!("{bytes} bytes") } else { format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20)) }
}
