//! Writing a file in one piece.

use std::io::{self, BufWriter, Write};
use std::path::Path;

use crate::error::{Error, Result};

/// Writes a file under a temporary name in the same folder and renames it once it is complete.
///
/// A reader, or a run that is killed half-way, sees the old file or the new one, never a part. The folder must exist.
///
/// # Errors
/// [`Error::Io`] with action `write` if the folder does not exist or cannot be written, the disk is full or `fill`
/// fails; whatever was under `path` is then unchanged and the temporary file is gone.
pub fn write_atomically(path: &Path, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    try_write(path, fill).map_err(|source| Error::Io { action: "write", path: path.to_owned(), source })
}

fn try_write(path: &Path, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    if path.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "there is a folder of this name"));
    }
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(".costate-").suffix(".tmp");
    // A temporary file is private by default; a result should be as readable as any other file the user makes.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let file = builder.tempfile_in(folder)?;
    let mut writer = BufWriter::new(file);
    fill(&mut writer)?;
    let file = writer.into_inner().map_err(io::IntoInnerError::into_error)?;
    // Without this a crash of the machine may keep the new name and lose the bytes.
    file.as_file().sync_all()?;
    file.persist(path).map_err(|e| e.error)?;
    Ok(())
}
