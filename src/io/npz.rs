//! `.npz` archives: arrays by name.

use std::io::{self, Cursor, Read};
use std::path::Path;

use ndarray::ArrayD;
use zip::ZipArchive;

use super::{format_error, npy};
use crate::error::{Error, Result};

/// An archive of arrays.
pub(super) struct Archive<'a> {
    path: &'a Path,
    zip: ZipArchive<Cursor<&'a [u8]>>,
    /// The names of the arrays, sorted.
    found: Vec<String>,
    /// What to do about an array that is not there.
    remedy: &'static str,
}

impl<'a> Archive<'a> {
    pub(super) fn new(path: &'a Path, bytes: &'a [u8], remedy: &'static str) -> Result<Self> {
        let zip = ZipArchive::new(Cursor::new(bytes)).map_err(|e| corrupt(path, e.to_string()))?;
        let mut found: Vec<String> =
            zip.file_names().map(|name| name.strip_suffix(".npy").unwrap_or(name).to_owned()).collect();
        found.sort_unstable();
        Ok(Self { path, zip, found, remedy })
    }

    /// True if there is such an array.
    pub(super) fn has(&self, name: &str) -> bool {
        self.found.iter().any(|f| f == name)
    }

    /// Refuses arrays of other names: they would be ignored.
    pub(super) fn refuse_others(&self, known: &[&str]) -> Result<()> {
        match self.found.iter().find(|name| !known.contains(&name.as_str())) {
            Some(name) => Err(format_error(self.path, "npz", format!("array {name} has no place here"), self.remedy)),
            None => Ok(()),
        }
    }

    /// The first of these arrays that there is, with what to call it in messages.
    pub(super) fn array(&mut self, names: &[&str]) -> Result<(String, ArrayD<f64>)> {
        let Some(name) = names.iter().find(|name| self.has(name)) else {
            let list = if self.found.is_empty() { "nothing".to_owned() } else { self.found.join(", ") };
            let problem = format!("there is no array {}; found: {list}", names.join(" or "));
            return Err(format_error(self.path, "npz", problem, self.remedy));
        };
        // `numpy.savez` adds the suffix, other writers need not.
        let member = [format!("{name}.npy"), (*name).to_owned()].into_iter().find_map(|m| self.zip.index_for_name(&m));
        let mut content = Vec::new();
        self.zip
            .by_index(member.unwrap_or(usize::MAX))
            .map_err(io::Error::from)
            .and_then(|mut file| file.read_to_end(&mut content))
            .map_err(|e| corrupt(self.path, format!("array {name}: {e}")))?;
        let what = format!("array {name}");
        Ok((what.clone(), npy::decode(self.path, &what, &content)?))
    }
}

fn corrupt(path: &Path, problem: String) -> Error {
    format_error(path, "npz", problem, "write it with numpy.savez")
}
