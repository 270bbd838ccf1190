//! Whatever is done to an input file, is it read or refused?
//!
//! Files of every kind are made from parts of which some are wrong, or from good ones that are then damaged, always the same
//! ones. Each must be read, and then be sound and the same when it is read again, or be refused in one line that names
//! it; nothing may panic, take long, take much memory or change the file. Run descriptions are tried in the same way beside their
//! parser, in the tests of the program.
//!
//! Blind spots: files larger than a few hundred kilobytes, and a wrong file that is read as another sound one; what is read
//! from a right one is asked in `tests/files`.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod archives;
mod arrays;
mod damage;
mod tables;
mod weights;

use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use costate::{Error, Result};
use ndarray_npy::WriteNpyExt;
use rand::SeedableRng;
use rand_pcg::Pcg64;

/// Longest that one small file may take on a machine that does other things too.
const LONGEST: Duration = Duration::from_secs(10);
/// Address space that may be asked for while all files are tried: most of it is what threads reserve.
#[cfg(target_os = "linux")]
const MOST_KILOBYTES: u64 = 1000 << 10;
/// Characters of a message: it has to be read by people.
const MESSAGE: usize = 3000;

/// A reader of one kind of file. It asserts that what was read is sound, and returns all of it as text.
type Reader<'a> = &'a dyn Fn(&Path) -> Result<String>;

/// A folder for the files of one test, and the count of what became of them.
struct Trial {
    folder: tempfile::TempDir,
    rng: Pcg64,
    read: usize,
    refused: usize,
    faults: Vec<String>,
    #[cfg(target_os = "linux")]
    before: u64,
}

impl Trial {
    fn new(seed: u64) -> Self {
        Self {
            folder: folder(),
            rng: Pcg64::seed_from_u64(seed),
            read: 0,
            refused: 0,
            faults: Vec::new(),
            #[cfg(target_os = "linux")]
            before: peak(),
        }
    }

    /// Writes the bytes into a file of that name and reads it twice. True if it was read.
    fn file(&mut self, name: &str, bytes: &[u8], reader: Reader<'_>) -> bool {
        let path = self.folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let shown = || format!("{name} of {} bytes: {}", bytes.len(), bytes[..bytes.len().min(600)].escape_ascii());
        let first = self.path(&path, &shown, reader);
        if std::fs::read(&path).unwrap() != bytes {
            self.faults.push(format!("reading changed the file {}", shown()));
        }
        if first.is_some() && reader(&path).ok() != first {
            self.faults.push(format!("read differently the second time: {}", shown()));
        }
        first.is_some()
    }

    /// Reads a file that is there, once.
    fn path(&mut self, path: &Path, shown: &dyn Fn() -> String, reader: Reader<'_>) -> Option<String> {
        let start = Instant::now();
        let result = catch_unwind(AssertUnwindSafe(|| reader(path)));
        let took = start.elapsed();
        if took > LONGEST {
            self.faults.push(format!("{took:?} for {}", shown()));
        }
        match result {
            Err(panic) => {
                let said = panic.downcast_ref::<String>().cloned();
                let said = said.or_else(|| panic.downcast_ref::<&str>().map(|&s| s.to_owned())).unwrap_or_default();
                self.faults.push(format!("a panic, or what was read is not sound ({said:.400}): {}", shown()));
            }
            Ok(Ok(found)) => {
                self.read += 1;
                return Some(found);
            }
            Ok(Err(error)) => {
                self.refused += 1;
                let name = path.file_name().unwrap().to_string_lossy();
                if let Some(problem) = unclear(&error, &name) {
                    self.faults.push(format!("{problem}: {:.500?} for {}", error.to_string(), shown()));
                }
            }
        }
        None
    }

    /// Damages a good file in `cases` ways.
    #[track_caller]
    fn damaged(&mut self, name: &str, good: &[u8], cases: usize, reader: Reader<'_>) {
        assert!(self.file(name, good, reader), "the undamaged {name} should be read");
        for _ in 0..cases {
            let bytes = damage::some(&mut self.rng, good);
            self.file(name, &bytes, reader);
        }
    }

    /// The end: some files were read and some refused, or nothing was tried in earnest; and memory was left alone.
    #[track_caller]
    fn end(self, at_least: usize) {
        let Self { read, refused, faults, .. } = self;
        println!("{read} read, {refused} refused");
        assert!(
            faults.is_empty(),
            "{} faults, the first of which are\n{}",
            faults.len(),
            faults[..faults.len().min(8)].join("\n")
        );
        assert!(read + refused >= at_least, "only {read} + {refused} files were tried");
        assert!(read * 50 > at_least && refused * 10 > at_least, "{read} read, {refused} refused: one-sided");
        #[cfg(target_os = "linux")]
        {
            let grown = peak() - self.before;
            assert!(grown < MOST_KILOBYTES, "{grown} kilobytes were asked for at once");
        }
    }
}

/// In memory where that is to be had: thousands of files are written.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// What is wrong with a message.
fn unclear(error: &Error, name: &str) -> Option<&'static str> {
    let message = error.to_string();
    let breaks = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    match () {
        () if !error.is_usage() => Some("it should count as bad input"),
        () if message.contains(breaks) => Some("a message of several lines"),
        () if message.chars().count() > MESSAGE => Some("a message that nobody reads"),
        () if !message.contains(name) => Some("a message that does not name the file"),
        () => None,
    }
}

/// The largest address space of this process so far, in kilobytes: what is reserved counts, whether it is used or not.
#[cfg(target_os = "linux")]
fn peak() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("VmPeak:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

/// The bytes of a good array.
fn npy(array: &impl WriteNpyExt) -> Vec<u8> {
    let mut bytes = Vec::new();
    array.write_npy(&mut bytes).unwrap();
    bytes
}

/// All of what was read, to compare.
fn text(found: &impl Debug) -> String {
    format!("{found:?}")
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}
