//! Files: arrays, weights and data sets, read with clear errors and written in one piece.
//!
//! - [`read_npy2`], [`read_npy3`], [`read_npy3_masked`], [`read_mask3`], [`write_npy`]: `.npy` arrays;
//! - [`read_parameters`], [`write_parameters`], [`write_gradient`], [`Tensors`]: `.safetensors` in PyTorch naming;
//! - [`read_reference`]: reference trajectories of a running cost, `.npz`;
//! - [`Series`]: time series to learn from, `.csv` or `.npz`, and [`Standardiser`], which scales them;
//! - [`write_atomically`]: what every writer here goes through; [`remove_leftovers`] clears up behind those that were killed,
//!   [`is_standard_output`] knows `/dev/stdout`.
//!
//! A file that is read is checked whole before anything is made of it: dtype, shape, length and that every number is
//! finite. A file that is written appears under its name complete or not at all.

mod arrays;
mod atomic;
mod csv_table;
mod npy;
mod npz;
mod reference;
mod series;
mod standardise;
mod weights;

pub use arrays::{check_finite, read_mask3, read_npy2, read_npy3, read_npy3_masked, write_npy};
pub use atomic::{is_standard_output, remove_leftovers, write_atomically};
pub use reference::read_reference;
pub use series::Series;
pub use standardise::{Scale, Standardiser};
pub use weights::{Tensors, read_parameters, write_gradient, write_parameters};

use std::path::Path;

use crate::error::{Error, Result};

/// The bytes of a file.
fn read_bytes(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|source| Error::Io { action: "read", path: path.to_owned(), source })
}

/// Shorthand for [`Error::Format`].
fn format_error(path: &Path, format: &'static str, problem: impl Into<String>, remedy: impl Into<String>) -> Error {
    Error::Format { path: path.to_owned(), format, problem: problem.into(), remedy: remedy.into() }
}
