//! One run at a time into one folder.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use costate::{Error, Result};

use super::warn;

/// Name of the file that is locked; it holds the process that has locked it.
const NAME: &str = ".costate.lock";

/// A folder that no other run writes to while this lives.
///
/// The system forgets the lock of a process that is gone, so that what a killed run has left is simply taken over.
#[derive(Debug)]
pub(crate) struct FolderLock {
    path: PathBuf,
    /// Locked as long as it is open; `None` where the file system has no locks.
    file: Option<File>,
}

impl FolderLock {
    /// Locks a folder.
    ///
    /// # Errors
    /// [`Error::Invalid`] if another process has locked it, [`Error::Io`] if no file can be made there.
    pub(crate) fn take(folder: &Path) -> Result<Self> {
        let path = folder.join(NAME);
        let failed = |source| Error::Io { action: "write", path: path.clone(), source };
        loop {
            let mut options = OpenOptions::new();
            let mut file = options.read(true).write(true).create(true).truncate(false).open(&path).map_err(failed)?;
            match file.try_lock() {
                Ok(()) => (),
                Err(TryLockError::WouldBlock) => return Err(taken(folder, &mut file)),
                Err(TryLockError::Error(e)) => {
                    warn(&format!(
                        "{} cannot be locked ({e}): see to it that no other run writes to this folder",
                        folder.display()
                    ));
                    return Ok(Self { path, file: None });
                }
            }
            // Whoever had it before may have removed it between our opening and our locking.
            if is_at(&file, &path) {
                file.set_len(0).and_then(|()| write!(file, "{}", std::process::id())).map_err(failed)?;
                return Ok(Self { path, file: Some(file) });
            }
        }
    }
}

impl Drop for FolderLock {
    fn drop(&mut self) {
        if self.file.is_some() {
            // Still locked: a file that cannot be removed is taken over by the next run.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn taken(folder: &Path, file: &mut File) -> Error {
    let mut process = String::new();
    let process = match file.read_to_string(&mut process) {
        Ok(length) if length > 0 => format!("process {}", process.trim()),
        _ => "another process".to_owned(),
    };
    Error::Invalid {
        what: format!("output folder {}", folder.display()),
        problem: format!("{process} is writing its results there"),
        remedy: "wait until it has ended, or give another output.folder".into(),
    }
}

/// True if the path still leads to this open file.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let place = |found: io::Result<std::fs::Metadata>| found.map(|m| (m.dev(), m.ino())).ok();
    place(file.metadata()) == place(std::fs::metadata(path))
}

/// An open file cannot be removed.
#[cfg(not(unix))]
fn is_at(_: &File, _: &Path) -> bool {
    true
}
