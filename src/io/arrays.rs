//! `.npy` arrays.

use std::io::{self, Write};
use std::path::Path;

use ndarray::{Array2, Array3, ArrayD, ArrayRef, ArrayView, ArrayView3, Dimension};
use ndarray_npy::{WriteNpyError, WriteNpyExt};

use super::{npy, read_bytes, write_atomically};
use crate::error::{Error, Result};

/// Reads a matrix, for instance `x0: [batch, dim]`.
///
/// Little-endian f32, f64 and integers of any width are read and rounded to f32, in C or Fortran order.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read, [`Error::Format`] if it is not a `.npy` file of such a dtype or is cut
/// off, [`Error::Shape`] if it has not two axes, [`Error::NonFiniteData`] for a NaN or an infinity and
/// [`Error::Invalid`] for a value beyond f32.
pub fn read_npy2(path: impl AsRef<Path>) -> Result<Array2<f32>> {
    let path = path.as_ref();
    let array = read(path)?;
    let shape = array.shape().to_vec();
    array.into_dimensionality().map_err(|_| wrong_axes(path, &shape, "[rows, columns]"))
}

/// As [`read_npy2`], with the digits that the file has: for what is still to be scaled.
///
/// # Errors
/// As [`read_npy2`], but for values beyond f32.
pub fn read_npy2_f64(path: impl AsRef<Path>) -> Result<Array2<f64>> {
    let path = path.as_ref();
    let array = read_wide(path)?;
    let shape = array.shape().to_vec();
    array.into_dimensionality().map_err(|_| wrong_axes(path, &shape, "[rows, columns]"))
}

/// As [`read_npy3`], with the digits that the file has: for what is still to be scaled.
///
/// # Errors
/// As [`read_npy3`], but for values beyond f32.
pub fn read_npy3_f64(path: impl AsRef<Path>) -> Result<Array3<f64>> {
    let path = path.as_ref();
    let array = read_wide(path)?;
    let shape = array.shape().to_vec();
    array.into_dimensionality().map_err(|_| wrong_axes(path, &shape, "[time, batch, dim]"))
}

/// Reads an array of three axes, for instance targets `[time, batch, dim]`.
///
/// # Errors
/// As [`read_npy2`], with [`Error::Shape`] if it has not three axes.
pub fn read_npy3(path: impl AsRef<Path>) -> Result<Array3<f32>> {
    let path = path.as_ref();
    let array = read(path)?;
    let shape = array.shape().to_vec();
    array.into_dimensionality().map_err(|_| wrong_axes(path, &shape, "[time, batch, dim]"))
}

/// Reads an array of three axes of which only what `mask` marks with true has to be a number: targets with gaps.
///
/// What is masked is returned as 0, whatever the file holds there.
///
/// # Errors
/// As [`read_npy3`], and [`Error::Shape`] if the mask has another shape.
pub fn read_npy3_masked(path: impl AsRef<Path>, mask: ArrayView3<'_, bool>) -> Result<Array3<f32>> {
    let path = path.as_ref();
    let mut wide = npy::decode(path, "the array", &read_bytes(path)?)?;
    if wide.shape() != mask.shape() {
        let expected = format!("{:?}, the shape of the mask", mask.shape());
        return Err(Error::shape(path.display().to_string(), wide.shape(), expected, "give one value per observation"));
    }
    for (value, seen) in wide.iter_mut().zip(&mask) {
        if !seen {
            *value = 0.0;
        }
    }
    let narrow = npy::narrow(path, "the array", &wide)?;
    narrow.into_dimensionality().map_err(|_| wrong_axes(path, wide.shape(), "[time, batch, dim]"))
}

/// Reads a mask of three axes: booleans, or numbers of which 0 means false.
///
/// ```
/// # use ndarray_npy::WriteNpyExt;
/// # let folder = std::env::temp_dir().join(format!("costate-doc-mask-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// # let path = folder.join("mask.npy");
/// let seen = ndarray::array![[[true, false]], [[true, true]]];
/// seen.write_npy(std::fs::File::create(&path)?)?;
/// assert_eq!(costate::io::read_mask3(&path)?, seen);
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// As [`read_npy3`].
pub fn read_mask3(path: impl AsRef<Path>) -> Result<Array3<bool>> {
    let path = path.as_ref();
    let flags = npy::decode_flags(path, "the mask", &read_bytes(path)?)?;
    check_finite(&format!("the mask of {}", path.display()), &flags)?;
    let shape = flags.shape().to_vec();
    let flags = flags.mapv(|flag| flag != 0.0);
    flags.into_dimensionality().map_err(|_| wrong_axes(path, &shape, "[time, batch, dim]"))
}

/// Writes an array as little-endian f32 in C order, whatever order it has in memory.
///
/// # Errors
/// [`Error::Io`] if it cannot be written; the file is then as it was before.
pub fn write_npy<D: Dimension>(path: impl AsRef<Path>, array: ArrayView<'_, f32, D>) -> Result<()> {
    // The format's writer keeps Fortran order where it finds it; readers of other languages expect C order.
    let standard = array.as_standard_layout();
    write_atomically(path.as_ref(), |writer| write_into(&standard, writer))
}

fn write_into<D: Dimension>(array: &ArrayRef<f32, D>, writer: &mut dyn Write) -> io::Result<()> {
    array.write_npy(writer).map_err(|e| match e {
        WriteNpyError::Io(e) => e,
        other => io::Error::other(other),
    })
}

/// Refuses an array that holds a NaN or an infinity.
///
/// # Errors
/// [`Error::NonFiniteData`] with `what`, the first such value in C order and its index.
pub fn check_finite<A: Copy + Into<f64>, D: Dimension>(what: &str, array: &ArrayRef<A, D>) -> Result<()> {
    for (position, &value) in array.iter().enumerate() {
        let value: f64 = value.into();
        if !value.is_finite() {
            let index = format!("{:?}", unravel(position, array.shape()));
            return Err(Error::NonFiniteData { what: what.to_owned(), value, index });
        }
    }
    Ok(())
}

/// The index of the element at `position` in C order.
pub(super) fn unravel(mut position: usize, shape: &[usize]) -> Vec<usize> {
    let mut index = vec![0; shape.len()];
    for (i, &n) in index.iter_mut().zip(shape).rev() {
        *i = position % n;
        position /= n;
    }
    index
}

fn read_wide(path: &Path) -> Result<ArrayD<f64>> {
    let wide = npy::decode(path, "the array", &read_bytes(path)?)?;
    check_finite(&format!("the array of {}", path.display()), &wide)?;
    Ok(wide)
}

fn read(path: &Path) -> Result<ArrayD<f32>> {
    let wide = npy::decode(path, "the array", &read_bytes(path)?)?;
    npy::narrow(path, "the array", &wide)
}

fn wrong_axes(path: &Path, shape: &[usize], expected: &str) -> Error {
    Error::shape(path.display().to_string(), shape, expected, "reshape the array before it is saved")
}
