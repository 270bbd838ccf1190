//! Time series to learn from.

use std::io::{self, Cursor};
use std::path::Path;

use ndarray::{Array1, Array3, ArrayD, Axis, Ix1, Ix3};
use ndarray_npy::{NpzWriter, WriteNpzError};

use super::npz::Archive;
use super::{csv_table, format_error, npy, read_bytes, write_atomically};
use crate::error::{Error, Result};

/// One or several series observed at the same times.
///
/// ```
/// use costate::io::Series;
/// # let folder = std::env::temp_dir().join(format!("costate-doc-series-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// # let path = folder.join("pelts.csv");
/// std::fs::write(&path, "year,hare,lynx\n1900,30.0,4.0\n1901,47.2,6.1\n1902,70.2,9.8\n")?;
/// let pelts = Series::read(&path)?;
/// assert_eq!(pelts.names, ["hare", "lynx"]);
/// assert_eq!(pelts.values.shape(), [1, 3, 2]); // [series, time, dim]
/// assert!(pelts.is_uniform());
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// The times, strictly increasing: `[time]`.
    pub times: Vec<f64>,
    /// The observations: `[series, time, dim]`.
    pub values: Array3<f32>,
    /// Name of each component: `[dim]`.
    pub names: Vec<String>,
}

/// How far intervals may differ from their mean, relative to it, to count as equal.
const UNIFORM: f64 = 1e-6;

impl Series {
    /// Reads a data set by the extension of its name.
    ///
    /// `.csv`: a line of names, then one line per time; the first column is the time, every other one a component. A
    /// column named `series` tells several series apart; they must share their times. Lines that start with `#` are
    /// skipped. `.npz`: `t` `[time]` and `x` (or `y`) `[time, dim]` or `[series, time, dim]`; the components are then
    /// named `x0`, `x1`, ….
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read; [`Error::Format`] for another extension, a file that is empty,
    /// ragged, truncated, has cells that are no numbers or lacks an array; [`Error::NonFiniteData`] for a NaN or an
    /// infinity, with its place; [`Error::Shape`] if arrays do not fit together; [`Error::Invalid`] for times that do
    /// not increase, or fewer than two.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let extension = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
        let series = match extension.as_deref() {
            Some("csv") => csv_table::read(path, &read_bytes(path)?)?,
            Some("npz") => read_npz(path, &read_bytes(path)?)?,
            other => {
                let problem = format!("the extension is {}", other.map_or("missing".into(), |e| format!(".{e}")));
                return Err(format_error(path, "data", problem, "give a .csv or .npz file"));
            }
        };
        check_times(path, &series.times)?;
        Ok(series)
    }

    /// Writes `t` (f64) and `x` (f32, `[series, time, dim]`). The names of the components are not kept.
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

    /// True if all intervals between neighbouring times are equal, up to a relative 10⁻⁶.
    #[must_use]
    pub fn is_uniform(&self) -> bool {
        let [first, .., last] = self.times[..] else { return true };
        let mean = (last - first) / (self.times.len() - 1) as f64;
        self.times.windows(2).all(|w| ((w[1] - w[0]) - mean).abs() <= UNIFORM * mean.abs())
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
    let mut archive = Archive::new(path, bytes, "name the times t and the observations x")?;
    let (what_t, times) = archive.array(&["t"])?;
    let (what_x, values) = archive.array(&["x", "y"])?;
    super::check_finite(&format!("{what_t} of {}", path.display()), &times)?;
    let values = npy::narrow(path, &what_x, &values)?;
    assemble(path, times, values)
}

/// Checks that times and observations fit together.
fn assemble(path: &Path, times: ArrayD<f64>, values: ArrayD<f32>) -> Result<Series> {
    let shape = |what: &str, found: &[usize], expected: &str| {
        let what = format!("array {what} of {}", path.display());
        Error::shape(what, found, expected, "reshape the array before it is saved")
    };
    let times_shape = times.shape().to_vec();
    let times = times.into_dimensionality::<Ix1>().map_err(|_| shape("t", &times_shape, "[time]"))?;
    let values_shape = values.shape().to_vec();
    let values = if values.ndim() == 2 { values.insert_axis(Axis(0)) } else { values };
    let expected = format!("[{0}, dim] or [series, {0}, dim]", times.len());
    let values = values.into_dimensionality::<Ix3>().map_err(|_| shape("x", &values_shape, &expected))?;
    if values.len_of(Axis(1)) != times.len() || values.is_empty() {
        return Err(shape("x", &values_shape, &expected));
    }
    let names = (0..values.len_of(Axis(2))).map(|c| format!("x{c}")).collect();
    Ok(Series { times: times.to_vec(), values, names })
}
