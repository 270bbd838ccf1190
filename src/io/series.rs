//! Time series to learn from.

use std::io::{self, Cursor};
use std::path::Path;

use ndarray::{Array1, Array3, Axis, Dimension, Ix3};
use ndarray_npy::{NpzWriter, WriteNpzError};

use super::npz::Archive;
use super::{Clock, Spacing, TableOptions, csv_table, format_error, read_bytes, write_atomically};
use crate::error::{Error, Result};

/// One or several series observed at the same times.
///
/// ```
/// use costate::io::Series;
/// # let folder = std::env::temp_dir().join(format!("costate-doc-series-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// # let path = folder.join("pelts.csv");
/// std::fs::write(&path, "year,hare,lynx\n1900,30.0,4.0\n1901,47.2,\n1902,70.2,9.8\n")?;
/// let pelts = Series::read(&path)?;
/// assert_eq!(pelts.names, ["hare", "lynx"]);
/// assert_eq!(pelts.values.shape(), [1, 3, 2]); // [series, time, dim]
/// assert_eq!(pelts.missing(), [0, 1]);
/// assert!(pelts.is_uniform());
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// The times, strictly increasing: `[time]`.
    pub times: Vec<f64>,
    /// The observations, NaN where nothing was observed: `[series, time, dim]`.
    pub values: Array3<f64>,
    /// Name of each component: `[dim]`.
    pub names: Vec<String>,
    /// How the times were written.
    pub clock: Clock,
    /// What was read otherwise than it may look: one sentence each.
    pub notes: Vec<String>,
}

impl Series {
    /// Series that were not read from a file.
    #[must_use]
    pub fn new(times: Vec<f64>, values: Array3<f64>, names: Vec<String>) -> Self {
        Self { times, values, names, clock: Clock::default(), notes: Vec::new() }
    }

    /// Reads a data set by the extension of its name.
    ///
    /// `.csv`: a line of names, then one line per time. The column named `t` or `time` is the time, or else the first; every
    /// other one is a component. Times are numbers, or dates in the form of ISO 8601, which are turned into seconds since
    /// the first. A column named `series`, `id` or `subject` tells several series apart; they must share their times. A cell
    /// that is empty, `NA` or `NaN` was not observed. Lines that start with `#` are skipped.
    ///
    /// `.npz`: `t` `[time]`, `x` (or `y`) `[time, dim]` or `[series, time, dim]`, NaN where nothing was observed, and, if it
    /// is there, `mask` of the shape of `x`, true where something was; the components are then named `x0`, `x1`, ….
    ///
    /// Values stay in f64, as the file has them, until a [`Standardiser`](super::Standardiser) takes them to the model.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read; [`Error::Format`] for another extension, a file that is empty,
    /// ragged, truncated, has cells that are no numbers, lacks an array or has one more; [`Error::NonFiniteData`] for an
    /// infinity, with its place; [`Error::Shape`] if arrays do not fit together; [`Error::Invalid`] for times that do
    /// not increase, or fewer than two.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        Self::read_with(path, &TableOptions::default())
    }

    /// As [`Self::read`], with what the file alone does not tell about a table.
    ///
    /// # Errors
    /// As [`Self::read`], and [`Error::Format`] for a column that there is not, or options where the file is no table.
    pub fn read_with(path: impl AsRef<Path>, options: &TableOptions) -> Result<Self> {
        let path = path.as_ref();
        let extension = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
        let series = match extension.as_deref() {
            Some("csv") => csv_table::read(path, &read_bytes(path)?, options)?,
            Some("npz") if *options == TableOptions::default() => read_npz(path, &read_bytes(path)?)?,
            Some("npz") => {
                let problem = "delimiter, time, id and columns are about tables, and it is an archive of arrays";
                return Err(format_error(path, "data", problem, "remove them"));
            }
            other => {
                let problem = format!("the extension is {}", other.map_or("missing".into(), |e| format!(".{e}")));
                return Err(format_error(path, "data", problem, "give a .csv or .npz file"));
            }
        };
        check_times(path, &series.times)?;
        Ok(series)
    }

    /// Writes `t` and `x` `[series, time, dim]`, both as f64. The names of the components are not kept.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be written; it is then as it was before.
    pub fn write_npz(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        write_atomically(path, |writer| {
            let plain = |e| match e {
                WriteNpzError::Zip(e) => io::Error::from(e),
                other @ WriteNpzError::Npy(_) => io::Error::other(other),
            };
            let mut npz = NpzWriter::new(Cursor::new(Vec::new()));
            npz.add_array("t", &Array1::from(self.times.clone())).map_err(plain)?;
            npz.add_array("x", &self.values.as_standard_layout()).map_err(plain)?;
            writer.write_all(npz.finish().map_err(plain)?.get_ref())
        })
    }

    /// True if all intervals between neighbouring times are equal, up to a relative 10⁻⁶ or the rounding of the times: of
    /// f64, of f32 if they are f32, and of the last digit that they were printed with if that is small against an interval.
    #[must_use]
    pub fn is_uniform(&self) -> bool {
        self.clock.spacing(&self.times) != Spacing::Uneven
    }

    /// Values of each component that were not observed: `[dim]`.
    #[must_use]
    pub fn missing(&self) -> Vec<usize> {
        self.values.axis_iter(Axis(2)).map(|component| component.iter().filter(|v| v.is_nan()).count()).collect()
    }
}

fn check_times(path: &Path, times: &[f64]) -> Result<()> {
    let what = || format!("times of {}", path.display());
    if times.len() < 2 {
        return Err(Error::invalid(what(), format!("{} of them", times.len()), "give at least two"));
    }
    if let Some(i) = times.windows(2).position(|w| w[1] <= w[0]) {
        return Err(Error::invalid(
            what(),
            format!("time {} is {} after {}", i + 1, times[i + 1], times[i]),
            "sort the data by time, each time once",
        ));
    }
    Ok(())
}

fn read_npz(path: &Path, bytes: &[u8]) -> Result<Series> {
    let mut archive = Archive::new(path, bytes, "name the times t, the observations x, and what was observed mask")?;
    archive.refuse_others(&["t", "x", "y", "mask"])?;
    if archive.has("x") && archive.has("y") {
        let remedy = "keep the one that is to be learned, under the name x";
        return Err(format_error(path, "npz", "it has both x and y, which are two names of the observations", remedy));
    }
    let observations = if archive.has("x") { "x" } else { "y" };
    check_shapes(path, &mut archive, observations)?;
    let (what_t, times) = archive.array(&["t"])?;
    let (what_x, mut values) = archive.array(&["x", "y"])?;
    super::check_finite(&format!("{what_t} of {}", path.display()), &times)?;
    if archive.has("mask") {
        let mask = archive.flags("mask")?;
        super::check_finite(&format!("array mask of {}", path.display()), &mask)?;
        values.zip_mut_with(&mask, |value, &seen| {
            if seen == 0.0 {
                *value = f64::NAN;
            }
        });
    }
    if let Some((index, &value)) = values.indexed_iter().find(|(_, v)| v.is_infinite()) {
        let what = format!("{what_x} of {}", path.display());
        return Err(Error::NonFiniteData { what, value, index: format!("{:?}", index.slice()) });
    }
    let values = if values.ndim() == 2 { values.insert_axis(Axis(0)) } else { values };
    let wrong = |e: ndarray::ShapeError| format_error(path, "npz", e.to_string(), "write it with numpy.savez");
    let values = values.into_dimensionality::<Ix3>().map_err(wrong)?;
    let names = (0..values.len_of(Axis(2))).map(|c| format!("x{c}")).collect();
    let clock = Clock { column: "t".into(), ..Clock::default() };
    Ok(Series { times: times.iter().copied().collect(), values, names, clock, notes: Vec::new() })
}

/// Checks that times, observations and mask fit together, before they are inflated.
fn check_shapes(path: &Path, archive: &mut Archive<'_>, observations: &str) -> Result<()> {
    let wrong = |name: &str, found: &[usize], expected: &str| {
        let what = format!("array {name} of {}", path.display());
        Err(Error::shape(what, found, expected, "reshape the array before it is saved"))
    };
    // What is not there is said where it is read.
    if !archive.has("t") || !archive.has(observations) {
        return Ok(());
    }
    let times = archive.shape("t")?;
    let &[count] = &times[..] else { return wrong("t", &times, "[time]") };
    let found = archive.shape(observations)?;
    let fits = matches!(found[..], [n, _] | [_, n, _] if n == count) && !found.contains(&0);
    if !fits {
        return wrong(observations, &found, &format!("[{count}, dim] or [series, {count}, dim]"));
    }
    if archive.has("mask") {
        let mask = archive.shape("mask")?;
        if mask != found {
            return wrong("mask", &mask, &format!("{found:?}, that of {observations}"));
        }
    }
    Ok(())
}
