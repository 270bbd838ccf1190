//! Files: arrays, weights and data sets, read with clear errors and written in one piece.
//!
//! - [`read_npy2`], [`read_npy3`], [`read_npy3_masked`], [`read_mask3`], [`write_npy`]: `.npy` arrays, and with all digits
//!   [`read_npy2_f64`], [`read_npy3_f64`];
//! - [`read_weights`], [`read_parameters`], [`write_weights`], [`write_parameters`], [`write_gradient`], [`Tensors`]:
//!   `.safetensors` in PyTorch naming;
//! - [`read_reference`]: reference trajectories of a running cost, `.npz`;
//! - [`Series`]: time series to learn from, `.csv` or `.npz`, and [`Standardiser`], which scales them;
//! - [`Standardiser::read_npy`], [`Standardiser::data_units`], [`write_npy_wide`]: arrays in the units of such data;
//! - [`read_at_most`]: the bytes of anything, of which there may be too many;
//! - [`write_atomically`]: what every writer here goes through; [`remove_leftovers`] clears up behind those that were killed,
//!   [`is_standard_output`] knows `/dev/stdout`.
//!
//! A file that is read is checked whole before anything is made of it: dtype, shape, length and that every number is
//! finite (in a data set NaN says that nothing was observed). What is there twice or is not known is refused. A file that
//! is written appears under its name complete or not at all.

mod arrays;
mod atomic;
mod bounded;
mod csv_table;
mod npy;
mod npz;
mod reference;
mod series;
mod spacing;
mod standardise;
mod tensors;
mod units;
mod weights;

pub use arrays::{
    check_finite, read_mask3, read_npy2, read_npy2_f64, read_npy3, read_npy3_f64, read_npy3_masked, write_npy,
};
pub use atomic::{is_standard_output, remove_leftovers, write_atomically};
pub use bounded::read_at_most;
pub use csv_table::TableOptions;
pub use reference::read_reference;
pub use series::Series;
pub use spacing::Clock;
pub(crate) use spacing::Spacing;
pub use standardise::{Scale, Standardiser};
pub use tensors::Tensors;
pub use units::write_npy_wide;
pub use weights::{Weights, read_parameters, read_weights, write_gradient, write_parameters, write_weights};

use std::path::Path;

use bounded::read_bytes;

use crate::error::Error;

/// Shorthand for [`Error::Format`].
fn format_error(path: &Path, format: &'static str, problem: impl Into<String>, remedy: impl Into<String>) -> Error {
    Error::Format { path: path.to_owned(), format, problem: problem.into(), remedy: remedy.into() }
}
