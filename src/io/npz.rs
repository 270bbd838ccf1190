//! `.npz` archives: arrays by name.

use std::io::{self, Cursor, Read};
use std::path::Path;

use ndarray::ArrayD;
use zip::ZipArchive;
use zip::read::ZipFile;

use super::bounded::megabytes;
use super::{format_error, npy};
use crate::error::{Error, Result};

/// Bytes that arrays may have whatever the size of the archive.
const INFLATED: u64 = 1 << 30;
/// How many times the size of the archive arrays may have beyond that. Observations compress to a tenth, at best.
const RATIO: u64 = 32;
/// Bytes that arrays may have at most.
const MOST: u64 = 16 << 30;

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
        let mut zip = ZipArchive::new(Cursor::new(bytes)).map_err(|e| corrupt(path, e.to_string()))?;
        let mut found: Vec<String> =
            members(bytes, &zip).iter().map(|name| name.strip_suffix(".npy").unwrap_or(name).to_owned()).collect();
        found.sort_unstable();
        if let Some(pair) = found.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(corrupt(path, format!("array {} is there twice", pair[0])));
        }
        let mut size = 0_u64;
        for i in 0..zip.len() {
            let member = zip.by_index_raw(i).map_err(|e| corrupt(path, e.to_string()))?;
            size = size.saturating_add(member.size());
        }
        let most = INFLATED.max(bytes.len() as u64 * RATIO).min(MOST);
        if size > most {
            let (size, file, most) = (megabytes(size), megabytes(bytes.len() as u64), megabytes(most));
            let problem = format!("its arrays have {size} in a file of {file}, where {most} are the most that is read");
            return Err(format_error(path, "npz", problem, "write it with numpy.savez, which does not compress"));
        }
        Ok(Self { path, zip, found, remedy })
    }

    /// True if there is such an array.
    pub(super) fn has(&self, name: &str) -> bool {
        self.found.iter().any(|f| f == name)
    }

    /// Refuses arrays of other names: they would be ignored.
    pub(super) fn refuse_others(&self, known: &[&str]) -> Result<()> {
        let others: Vec<&str> = self.found.iter().map(String::as_str).filter(|name| !known.contains(name)).collect();
        let problem = match others[..] {
            [] => return Ok(()),
            [one] => format!("array {one} has no place here, where {} are known", known.join(", ")),
            _ => format!("arrays {} have no place here, where {} are known", others.join(", "), known.join(", ")),
        };
        Err(format_error(self.path, "npz", problem, self.remedy))
    }

    /// The name of the first of these arrays that there is.
    fn name<'n>(&self, names: &[&'n str]) -> Result<&'n str> {
        names.iter().copied().find(|name| self.has(name)).ok_or_else(|| {
            let list = if self.found.is_empty() { "nothing".to_owned() } else { self.found.join(", ") };
            let problem = format!("there is no array {}; found: {list}", names.join(" or "));
            format_error(self.path, "npz", problem, self.remedy)
        })
    }

    /// The shape of an array, of which nothing but the head is inflated.
    pub(super) fn shape(&mut self, name: &str) -> Result<Vec<usize>> {
        Ok(self.head(name)?.shape)
    }

    /// The first of these arrays that there is, with what to call it in messages.
    pub(super) fn array(&mut self, names: &[&str]) -> Result<(String, ArrayD<f64>)> {
        let name = self.name(names)?;
        let content = self.content(name)?;
        let what = format!("array {name}");
        Ok((what.clone(), npy::decode(self.path, &what, &content)?))
    }

    /// An array of booleans, or of numbers of which 0 means false.
    pub(super) fn flags(&mut self, name: &str) -> Result<ArrayD<f64>> {
        let content = self.content(name)?;
        npy::decode_flags(self.path, &format!("array {name}"), &content)
    }

    /// The bytes of an array, once its head has been found to ask for as many as the archive declares.
    fn content(&mut self, name: &str) -> Result<Vec<u8>> {
        self.head(name)?;
        self.inflate(name, u64::MAX)
    }

    fn head(&mut self, name: &str) -> Result<npy::Head> {
        let what = format!("array {name}");
        let start = self.inflate(name, npy::Head::LONGEST as u64)?;
        let head = npy::Head::of_flags(self.path, &what, &start)?;
        let declared = self.member(name)?.size();
        head.check(self.path, &what, declared)?;
        Ok(head)
    }

    fn member(&mut self, name: &str) -> Result<ZipFile<'_, Cursor<&'a [u8]>>> {
        // `numpy.savez` adds the suffix, other writers need not.
        let member = [format!("{name}.npy"), name.to_owned()].into_iter().find_map(|m| self.zip.index_for_name(&m));
        let path = self.path;
        self.zip
            .by_index(member.unwrap_or(usize::MAX))
            .map_err(|e| corrupt(path, format!("array {name}: {}", io::Error::from(e))))
    }

    /// The first bytes of a member, all of them if there are at most `most`.
    fn inflate(&mut self, name: &str, most: u64) -> Result<Vec<u8>> {
        let path = self.path;
        let failed = |e: io::Error| corrupt(path, format!("array {name}: {e}"));
        let file = self.member(name)?;
        let declared = file.size();
        let mut content = Vec::new();
        content
            .try_reserve_exact(usize::try_from(declared.min(most)).unwrap_or(usize::MAX))
            .map_err(|e| failed(e.into()))?;
        // One byte more would show that the archive declares too few.
        file.take(most.min(declared.saturating_add(1))).read_to_end(&mut content).map_err(failed)?;
        let inflated = content.len() as u64;
        if inflated > declared || inflated < declared.min(most) {
            let problem = format!("array {name} does not have the {declared} bytes that the archive declares");
            return Err(corrupt(path, problem));
        }
        Ok(content)
    }
}

/// The names of all members; those that are there twice are so in the directory, but not in what the reader made of it.
fn members(bytes: &[u8], zip: &ZipArchive<Cursor<&[u8]>>) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest =
        usize::try_from(zip.central_directory_start()).ok().and_then(|start| bytes.get(start..)).unwrap_or(&[]);
    // An entry has 46 bytes, then its name, more fields and a comment, whose lengths are at bytes 28, 30 and 32.
    while let Some(entry) = rest.get(..46).filter(|entry| entry.starts_with(b"PK\x01\x02")) {
        let [name, more, comment] = [28, 30, 32].map(|at| usize::from(u16::from_le_bytes([entry[at], entry[at + 1]])));
        let end = 46 + name + more + comment;
        names.push(String::from_utf8_lossy(rest.get(46..46 + name).unwrap_or(&[])).into_owned());
        rest = rest.get(end..).unwrap_or(&[]);
    }
    if names.len() < zip.len() { zip.file_names().map(str::to_owned).collect() } else { names }
}

fn corrupt(path: &Path, problem: String) -> Error {
    format_error(path, "npz", problem, "write it with numpy.savez")
}
