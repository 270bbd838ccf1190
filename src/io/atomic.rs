//! Writing a file in one piece, and clearing away what interrupted writes have left.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::error::{Error, Result};

/// How the names of temporary files begin and end.
const TEMPORARY: (&str, &str) = (".costate-", ".tmp");
/// Symbolic links that are followed before they are taken for a circle; Linux follows as many.
const LINKS: usize = 40;

/// Writes a file under a temporary name in the same folder and renames it once it is complete.
///
/// A reader, or a run that is killed half-way, sees the old file or the new one, never a part. The folder must exist. A
/// symbolic link stays, and the file that it leads to is replaced. What is no regular file (a device, a named pipe,
/// `/dev/stdout`) cannot be replaced by one: it is written to as it is, from beginning to end.
///
/// # Errors
/// [`Error::Io`] with action `write` if the folder does not exist or cannot be written, the disk is full or `fill`
/// fails; whatever was under `path` is then unchanged and the temporary file is gone.
pub fn write_atomically(path: &Path, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    try_write(path, fill).map_err(|source| Error::Io { action: "write", path: path.to_owned(), source })
}

fn try_write(path: &Path, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    match Target::of(path)? {
        Target::Replaced(path) => replace(&path, fill),
        Target::Stream(file) => {
            let mut writer = BufWriter::new(file);
            fill(&mut writer)?;
            writer.flush()
        }
    }
}

/// Where the bytes go.
enum Target {
    /// A regular file, there or not, that is no symbolic link.
    Replaced(PathBuf),
    /// What keeps no bytes, open for writing.
    Stream(File),
}

impl Target {
    fn of(path: &Path) -> io::Result<Self> {
        let Ok(found) = fs::metadata(path) else { return follow(path).map(Self::Replaced) };
        if found.is_dir() {
            return Err(io::Error::new(io::ErrorKind::IsADirectory, "there is a folder of this name"));
        }
        // Also where standard output was sent into a file: whoever did that wants it filled, not replaced.
        if let Some(output) = standard_output(&found) {
            return Ok(Self::Stream(output));
        }
        if found.is_file() {
            return follow(path).map(Self::Replaced);
        }
        OpenOptions::new().write(true).open(path).map(Self::Stream)
    }
}

/// True if a path leads to what standard output writes to, such as `/dev/stdout`.
#[must_use]
pub fn is_standard_output(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| standard_output(&found).is_some())
}

/// The file that a path leads to in the end, whether it is there or not.
///
/// # Errors
/// If symbolic links lead in a circle.
fn follow(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..LINKS {
        match fs::read_link(&path) {
            Ok(target) => path = folder_of(&path).join(target),
            Err(_) => return Ok(path),
        }
    }
    Err(io::Error::other("symbolic links lead in a circle"))
}

/// Standard output if it is the file with this description. It shares its place with what is printed.
#[cfg(unix)]
fn standard_output(found: &Metadata) -> Option<File> {
    use std::os::fd::AsFd;
    use std::os::unix::fs::MetadataExt;
    let output = File::from(io::stdout().as_fd().try_clone_to_owned().ok()?);
    let own = output.metadata().ok()?;
    ((own.dev(), own.ino()) == (found.dev(), found.ino())).then_some(output)
}

#[cfg(not(unix))]
fn standard_output(_: &Metadata) -> Option<File> {
    None
}

fn replace(path: &Path, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut writer = BufWriter::new(temporary(folder_of(path))?);
    fill(&mut writer)?;
    let file = writer.into_inner().map_err(io::IntoInnerError::into_error)?;
    // Without this a crash of the machine may keep the new name and lose the bytes.
    file.as_file().sync_all()?;
    file.persist(path).map_err(|e| e.error)?;
    Ok(())
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// A temporary file that is locked as long as somebody writes to it: one that can be locked is a left-over.
fn temporary(folder: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY.0).suffix(TEMPORARY.1);
    // A temporary file is private by default; a result should be as readable as any other file the user makes.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    loop {
        let file = builder.tempfile_in(folder)?;
        // On file systems without locks nothing is cleared away either.
        let locked = file.as_file().lock().is_ok();
        // Somebody may have taken it for a left-over before it was locked.
        if !locked || file.path().exists() {
            return Ok(file);
        }
    }
}

/// Removes the temporary files of writes that were killed, and returns their number. Those that a process still writes to
/// stay.
///
/// # Errors
/// [`Error::Io`] with action `read` if the folder cannot be listed. A file that cannot be removed stays.
pub fn remove_leftovers(folder: &Path) -> Result<usize> {
    let failed = |source| Error::Io { action: "read", path: folder.to_owned(), source };
    let mut removed = 0;
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let ours = name.starts_with(TEMPORARY.0) && name.ends_with(TEMPORARY.1);
        if !ours || !entry.file_type().is_ok_and(|kind| kind.is_file()) {
            continue;
        }
        let left = File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok());
        removed += usize::from(left && fs::remove_file(entry.path()).is_ok());
    }
    Ok(removed)
}
