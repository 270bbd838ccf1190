//! Reference trajectories of a running cost.

use std::path::Path;

use ndarray::{Array3, Axis, Ix1, Ix3};

use super::npz::Archive;
use super::{npy, read_bytes};
use crate::error::{Error, Result};
use crate::model::Reference;

/// Reads a reference for [`RunningCost::reference`](crate::RunningCost::reference) from an `.npz` archive: `times` `[time]`,
/// `values` `[time, dim]` for all trajectories or `[time, batch, dim]`, and `slopes` of the same shape if they are given.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read, [`Error::Format`] if it is no such archive, lacks an array or has one more,
/// [`Error::Shape`] if the arrays do not fit together, [`Error::NonFiniteData`] for a NaN or an infinity, and as
/// [`Reference::new`].
pub fn read_reference(path: impl AsRef<Path>) -> Result<Reference> {
    const REMEDY: &str = "name the arrays times, values and, if there are any, slopes";
    let path = path.as_ref();
    let bytes = read_bytes(path)?;
    let mut archive = Archive::new(path, &bytes, REMEDY)?;
    archive.refuse_others(&["times", "values", "slopes"])?;
    let (what, times) = archive.array(&["times"])?;
    super::check_finite(&format!("{what} of {}", path.display()), &times)?;
    let shape = times.shape().to_vec();
    let times = times.into_dimensionality::<Ix1>().map_err(|_| wrong_axes(path, &what, &shape, "[time]"))?.to_vec();
    let values = cube(path, &mut archive, "values")?;
    let reference = if archive.has("slopes") {
        let slopes = cube(path, &mut archive, "slopes")?;
        Reference::with_slopes(&times, values.view(), slopes.view())
    } else {
        Reference::new(&times, values.view())
    };
    reference.map_err(|e| in_file(path, e))
}

/// An array `[time, batch, dim]`, or `[time, dim]` as a batch of one.
fn cube(path: &Path, archive: &mut Archive<'_>, name: &str) -> Result<Array3<f32>> {
    let (what, values) = archive.array(&[name])?;
    let values = npy::narrow(path, &what, &values)?;
    let shape = values.shape().to_vec();
    let values = if values.ndim() == 2 { values.insert_axis(Axis(1)) } else { values };
    values
        .into_dimensionality::<Ix3>()
        .map_err(|_| wrong_axes(path, &what, &shape, "[time, dim] or [time, batch, dim]"))
}

fn wrong_axes(path: &Path, what: &str, shape: &[usize], expected: &str) -> Error {
    let what = format!("{what} of {}", path.display());
    Error::shape(what, shape, expected, "reshape the array before it is saved")
}

/// The same with the name of the file.
fn in_file(path: &Path, error: Error) -> Error {
    let named = |what: String| format!("{what} in {}", path.display());
    match error {
        Error::Invalid { what, problem, remedy } => Error::Invalid { what: named(what), problem, remedy },
        Error::Shape { what, found, expected, remedy } => Error::Shape { what: named(what), found, expected, remedy },
        other => other,
    }
}
