//! Decoding of the `.npy` format: header, dtype conversion, memory order.
//!
//! The length is compared with the header before anything is allocated, so that a corrupt header cannot ask for
//! more memory than the file has bytes.

use std::path::Path;

use ndarray::{ArrayD, Dimension, IxDyn, ShapeBuilder};
use ndarray_npy::npy::header::{Header, ReadHeaderError};
use py_literal::Value as PyValue;

use super::format_error;
use crate::error::{Error, Result};

const ACCEPTED: &str = "save it as f32 (float64 and integers are read too), for instance with x.astype('<f4')";

const FLAGS: &str = "save it as bool, or as numbers of which 0 means false";

/// Longest header that is parsed. NumPy writes 118 bytes; its own reader stops at 10 000.
const MAX_HEADER: usize = 10_000;

/// Decodes a whole `.npy` file or member of an `.npz` archive into f64, which holds every f32 and integer below 2⁵³.
///
/// `what` names the array in messages.
pub(super) fn decode(path: &Path, what: &str, bytes: &[u8]) -> Result<ArrayD<f64>> {
    decode_with(path, what, bytes, |_| None, ACCEPTED)
}

/// As [`decode`], with booleans too: true is 1.
pub(super) fn decode_flags(path: &Path, what: &str, bytes: &[u8]) -> Result<ArrayD<f64>> {
    decode_with(path, what, bytes, boolean, FLAGS)
}

/// The width of booleans.
fn boolean(dtype: &str) -> Option<usize> {
    (dtype == "|b1").then_some(1)
}

/// What the header of an array says.
pub(super) struct Head {
    dtype: String,
    /// Bytes of an element.
    width: usize,
    pub(super) shape: Vec<usize>,
    fortran: bool,
    /// Bytes of the header.
    length: usize,
    /// Bytes of the data; none if there are more than can be counted.
    data: Option<usize>,
}

impl Head {
    /// Most bytes that have to be at hand to read the head of an array.
    pub(super) const LONGEST: usize = MAX_HEADER + 12;

    /// Reads the head of an array that may be of booleans too; the data need not be there.
    pub(super) fn of_flags(path: &Path, what: &str, bytes: &[u8]) -> Result<Self> {
        Self::read(path, what, bytes, boolean, "save it as f32 (float64 and integers are read too), a mask as bool")
    }

    fn read(
        path: &Path,
        what: &str,
        bytes: &[u8],
        more: impl Fn(&str) -> Option<usize>,
        accepted: &str,
    ) -> Result<Self> {
        check_header(path, what, bytes)?;
        let mut rest = bytes;
        let header = Header::from_reader(&mut rest).map_err(|e| {
            let problem = match e {
                ReadHeaderError::Io(_) => "the header is cut off".to_owned(),
                // Below the first line the parser draws where it is.
                ReadHeaderError::Parse(e) => e.to_string().lines().next().unwrap_or_default().trim_end().to_owned(),
            };
            format_error(path, "npy", format!("{what}: {problem}"), "write it with numpy.save")
        })?;
        let dtype = header.type_descriptor.as_string().cloned().unwrap_or_else(|| header.type_descriptor.to_string());
        let Some(width) = width(&dtype).or_else(|| more(&dtype)) else {
            return Err(format_error(path, "npy", format!("{what} has dtype {dtype}"), accepted));
        };
        let data = header.shape.iter().try_fold(width, |bytes, &n| bytes.checked_mul(n));
        let (fortran, length) = (header.layout.is_fortran(), bytes.len() - rest.len());
        Ok(Self { dtype, width, shape: header.shape, fortran, length, data })
    }

    /// Refuses an array whose header asks for another number of bytes than the `found` ones behind it.
    pub(super) fn check(&self, path: &Path, what: &str, found: u64) -> Result<()> {
        let found = found.saturating_sub(self.length as u64);
        if self.data.is_some_and(|needed| needed as u64 == found) {
            return Ok(());
        }
        Err(format_error(
            path,
            "npy",
            format!(
                "{what} has {found} bytes of data where shape {:?} of dtype {} needs {}",
                self.shape,
                self.dtype,
                self.data.map_or("more than 2^64".to_owned(), |n| n.to_string()),
            ),
            "the file is truncated or corrupt: write it again",
        ))
    }
}

/// `more` gives the width of dtypes that are read beside the usual ones, of which each element is an unsigned integer.
fn decode_with(
    path: &Path,
    what: &str,
    bytes: &[u8],
    more: impl Fn(&str) -> Option<usize>,
    accepted: &str,
) -> Result<ArrayD<f64>> {
    let head = Head::read(path, what, bytes, more, accepted)?;
    head.check(path, what, bytes.len() as u64)?;
    let values = bytes[head.length..].chunks_exact(head.width).map(|chunk| element(&head.dtype, chunk)).collect();
    ArrayD::from_shape_vec(IxDyn(&head.shape).set_f(head.fortran), values)
        .map_err(|e| format_error(path, "npy", format!("{what}: {e}"), "write it with numpy.save"))
}

/// Refuses a header that is too long or says something twice, of which the parser would take the last.
fn check_header(path: &Path, what: &str, bytes: &[u8]) -> Result<()> {
    let (start, length) = match bytes.get(6..12) {
        Some(&[1, _, a, b, _, _]) => (10, u16::from_le_bytes([a, b]).into()),
        Some(&[2 | 3, _, a, b, c, d]) => (12, u32::from_le_bytes([a, b, c, d]) as usize),
        _ => (0, 0),
    };
    // The parser recurses, so that a header of brackets only would exhaust the stack.
    let nested = bytes.iter().take(length.saturating_add(12)).filter(|b| matches!(b, b'(' | b'[' | b'{')).count();
    if length > MAX_HEADER || nested > 64 {
        let problem = format!("{what} has a header of {length} bytes and {nested} brackets");
        return Err(format_error(path, "npy", problem, "write it with numpy.save"));
    }
    // What cannot be parsed here is an error of the whole.
    let text = bytes.get(start..start + length).and_then(|header| std::str::from_utf8(header).ok());
    let Some(Ok(PyValue::Dict(entries))) = text.map(|text| text.trim_end().parse()) else { return Ok(()) };
    for (i, (key, _)) in entries.iter().enumerate() {
        if entries[..i].iter().any(|(other, _)| other == key) {
            let problem = format!("{what} has a header with the key {key} twice");
            return Err(format_error(path, "npy", problem, "write it with numpy.save"));
        }
    }
    Ok(())
}

/// Bytes per element of the dtypes that are read; `None` for any other.
fn width(dtype: &str) -> Option<usize> {
    match dtype {
        "<f4" | "<i4" | "<u4" => Some(4),
        "<f8" | "<i8" | "<u8" => Some(8),
        "<i2" | "<u2" => Some(2),
        "|i1" | "|u1" => Some(1),
        _ => None,
    }
}

/// One little-endian element; `bytes` has the length that [`width`] gives for the dtype.
fn element(dtype: &str, bytes: &[u8]) -> f64 {
    let mut wide = [0; 8];
    wide[..bytes.len()].copy_from_slice(bytes);
    let raw = u64::from_le_bytes(wide);
    #[expect(clippy::cast_possible_truncation, reason = "the dtype says that the upper bytes are not there")]
    match dtype {
        "<f4" => f32::from_bits(raw as u32).into(),
        "<f8" => f64::from_bits(raw),
        "|i1" => (raw as u8).cast_signed().into(),
        "<i2" => (raw as u16).cast_signed().into(),
        "<i4" => (raw as u32).cast_signed().into(),
        "<i8" => raw.cast_signed() as f64,
        _ => raw as f64,
    }
}

/// Rounds to f32 and refuses what is not finite or does not fit.
///
/// Both errors name the index of the value.
pub(super) fn narrow(path: &Path, what: &str, array: &ArrayD<f64>) -> Result<ArrayD<f32>> {
    super::check_finite(&format!("{what} of {}", path.display()), array)?;
    #[expect(clippy::cast_possible_truncation, reason = "rounding to f32 is what is asked for; overflow is checked")]
    let narrowed = array.mapv(|v| v as f32);
    if let Some((index, _)) = narrowed.indexed_iter().find(|(_, v)| v.is_infinite()) {
        return Err(Error::invalid(
            format!("{what} of {}", path.display()),
            format!("{:e} at index {:?} is beyond the largest f32, {:e}", array[&index], index.slice(), f32::MAX),
            "scale the data",
        ));
    }
    Ok(narrowed)
}
