//! The checks of places to write to that keep a run from failing at its very end, or from destroying what it was given.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use costate::io::{is_standard_output, remove_leftovers};
use costate::{Error, Result};

use super::{OUTPUT_TAKEN, note};

/// The files that a run reads, by the names of their options or keys.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inputs(Vec<(&'static str, PathBuf)>);

impl Inputs {
    /// Adds a file, if it is given.
    pub(crate) fn and(mut self, name: &'static str, path: Option<&Path>) -> Self {
        self.0.extend(path.map(|path| (name, path.to_owned())));
        self
    }
}

/// Refuses output files that could not be written, that are inputs or each other, before the run is paid for, and clears
/// away what killed runs have left beside them.
///
/// # Errors
/// [`Error::Invalid`] naming the file and the reason.
pub(crate) fn check_files(outputs: &[&Path], inputs: &Inputs, json: bool) -> Result<()> {
    for (i, path) in outputs.iter().enumerate() {
        check_file(path)?;
        let Some(place) = Place::of(path) else { continue };
        for (name, input) in &inputs.0 {
            if Place::of(input).as_ref() == Some(&place) {
                let problem = format!("it is {name} {}, which the run reads", input.display());
                return Err(refused(path, problem, "give another file, so that nothing that was given is lost"));
            }
        }
        if let Some(other) = outputs[..i].iter().find(|other| Place::of(other).as_ref() == Some(&place)) {
            let problem = format!("{} is the same file", other.display());
            return Err(refused(path, problem, "give each output a file of its own"));
        }
    }
    if let Some(path) = outputs.iter().find(|path| is_standard_output(path)) {
        if json {
            let problem = "it is standard output, where --json prints its object and nothing else goes";
            return Err(refused(path, problem.to_owned(), "give another file, or leave --json out"));
        }
        OUTPUT_TAKEN.store(true, Ordering::Relaxed);
    }
    Ok(())
}

fn refused(path: &Path, problem: String, remedy: &str) -> Error {
    Error::Invalid { what: format!("output {}", path.display()), problem, remedy: remedy.into() }
}

fn check_file(path: &Path) -> Result<()> {
    let unusable = |e: io::Error| {
        let remedy = "give a file name in a folder that exists and may be written to";
        refused(path, format!("it cannot be written ({e})"), remedy)
    };
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => return Err(unusable(ErrorKind::IsADirectory.into())),
        // Devices and pipes are opened when there is something to write.
        Ok(found) if !found.is_file() => return Ok(()),
        _ => (),
    }
    // Where a symbolic link leads is replaced there.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    if target.file_name().is_none() {
        return Err(unusable(ErrorKind::InvalidFilename.into()));
    }
    let folder = match target.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    probe(folder).map_err(unusable)?;
    clear(folder);
    Ok(())
}

/// What tells a file from all others, however it was named.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    /// Device and number of a regular file that is there.
    #[cfg(unix)]
    There(u64, u64),
    /// The full path without symbolic links.
    Path(PathBuf),
}

impl Place {
    /// `None` for what keeps nothing that could be lost: devices, pipes.
    fn of(path: &Path) -> Option<Self> {
        match fs::metadata(path) {
            Ok(found) if !found.is_file() => None,
            #[cfg(unix)]
            Ok(found) => {
                use std::os::unix::fs::MetadataExt;
                Some(Self::There(found.dev(), found.ino()))
            }
            #[cfg(not(unix))]
            Ok(_) => fs::canonicalize(path).ok().map(Self::Path),
            Err(_) => {
                let folder = match path.parent() {
                    Some(folder) if !folder.as_os_str().is_empty() => folder,
                    _ => Path::new("."),
                };
                Some(Self::Path(fs::canonicalize(folder).ok()?.join(path.file_name()?)))
            }
        }
    }
}

/// Makes an output folder, refuses it if it could not be written to, and clears away what killed runs have left there.
///
/// # Errors
/// [`Error::Invalid`] naming the folder and the reason.
pub(crate) fn make_folder(path: &Path) -> Result<PathBuf> {
    fs::create_dir_all(path).and_then(|()| probe(path)).map_err(|e| Error::Invalid {
        what: format!("output folder {}", path.display()),
        problem: format!("it cannot be written to ({e})"),
        remedy: "give a folder that exists or can be made".into(),
    })?;
    clear(path);
    Ok(path.to_owned())
}

/// Clears away what killed runs have left in a folder. One that may be written to but not listed keeps it.
fn clear(folder: &Path) {
    let removed = remove_leftovers(folder).unwrap_or_default();
    if removed > 0 {
        let files = if removed == 1 { "temporary file" } else { "temporary files" };
        note(&format!("removed {removed} {files} that a killed run has left in {}", folder.display()));
    }
}

/// Creates a file that is gone at once.
fn probe(folder: &Path) -> io::Result<()> {
    let made = tempfile::Builder::new().prefix(".costate-").suffix(".tmp").tempfile_in(folder);
    // The temporary name in the message would only confuse.
    made.map(drop).map_err(|e| io::Error::from(e.kind()))
}
