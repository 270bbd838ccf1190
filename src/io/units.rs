//! Arrays in the units of the data, where the weights are those of a field of scaled states.
//!
//! Every affine step is made in f64, so that an offset that is large against the deviation costs no digits.

use std::io;
use std::path::Path;

use ndarray::{Array, ArrayView, Dimension};
use ndarray_npy::{WriteNpyError, WriteNpyExt};

use super::{Scale, Standardiser, npy, read_bytes, write_atomically};
use crate::error::{Error, Result};

impl Standardiser {
    /// Reads an array `[.., dim]` in the units of the data, and returns it in those of the model.
    ///
    /// What `mask` marks with false need not be a number, and is returned as 0.
    ///
    /// # Errors
    /// As [`read_npy2`](super::read_npy2); [`Error::Shape`] if the array has not the number of axes or of components that are
    /// expected, or not the shape of the mask; [`Error::Invalid`] for a value without logarithm where that is scaled, or one
    /// that is beyond f32 once it is scaled.
    pub fn read_npy<D: Dimension>(
        &self,
        path: impl AsRef<Path>,
        mask: Option<ArrayView<'_, bool, D>>,
    ) -> Result<Array<f32, D>> {
        let path = path.as_ref();
        let wide = npy::decode(path, "the array", &read_bytes(path)?)?;
        let (dim, shape) = (self.mean().len(), wide.shape().to_vec());
        let misfit = |expected: String| {
            let remedy = "give one value per component in the units of the data";
            Error::shape(path.display().to_string(), &shape, expected, remedy)
        };
        if D::NDIM.is_some_and(|axes| axes != shape.len()) || shape.last() != Some(&dim) {
            return Err(misfit(format!("{} axes, the last of {dim} components", D::NDIM.unwrap_or(shape.len()))));
        }
        if let Some(mask) = mask.as_ref().filter(|mask| mask.shape() != shape) {
            return Err(misfit(format!("{:?}, the shape of the mask", mask.shape())));
        }
        let mut seen = mask.as_ref().map(|mask| mask.iter());
        let mut scaled = wide;
        for (position, value) in scaled.iter_mut().enumerate() {
            let seen = seen.as_mut().and_then(Iterator::next).is_none_or(|seen| *seen);
            // The last axis runs fastest. What is not finite is refused below, with its index.
            *value = match (seen, self.scale()) {
                (false, _) => 0.0,
                (true, Scale::LogStandardise) if *value <= 0.0 => {
                    let component = position % dim;
                    return Err(Error::invalid(
                        format!("component {component} in {}", path.display()),
                        format!("the value {value} has no logarithm"),
                        "give positive values: the weights were trained on logarithms",
                    ));
                }
                (true, _) => self.scaled(position % dim, *value),
            };
        }
        let narrow = npy::narrow(path, "the array, scaled,", &scaled)?;
        narrow.into_dimensionality().map_err(|_| misfit("another number of axes".to_owned()))
    }

    /// From the units of the model to those of the data, `[.., dim]`.
    #[must_use]
    pub fn data_units<D: Dimension>(&self, values: ArrayView<'_, f32, D>) -> Array<f64, D> {
        self.each(values, |component, z| {
            let g = z * self.deviation()[component] + self.mean()[component];
            if self.scale() == Scale::LogStandardise { g.exp() } else { g }
        })
    }

    /// The derivative of the value in the units of the data by that in the units of the model, `[.., dim]`.
    #[must_use]
    pub fn data_slopes<D: Dimension>(&self, values: ArrayView<'_, f32, D>) -> Array<f64, D> {
        self.each(values, |component, z| {
            let deviation = self.deviation()[component];
            let g = z * deviation + self.mean()[component];
            if self.scale() == Scale::LogStandardise { deviation * g.exp() } else { deviation }
        })
    }

    /// `z` of a value of component `c` that has one.
    fn scaled(&self, c: usize, x: f64) -> f64 {
        let g = if self.scale() == Scale::LogStandardise { x.ln() } else { x };
        (g - self.mean()[c]) / self.deviation()[c]
    }

    fn each<D: Dimension>(&self, values: ArrayView<'_, f32, D>, map: impl Fn(usize, f64) -> f64) -> Array<f64, D> {
        let dim = self.mean().len().max(1);
        // Iteration is in logical order, whatever the order in memory: the last axis runs fastest.
        let mapped = values.iter().enumerate().map(|(i, z)| map(i % dim, f64::from(*z)));
        let mut wide = Array::zeros(values.raw_dim());
        wide.iter_mut().zip(mapped).for_each(|(place, value)| *place = value);
        wide
    }
}

/// Writes an array as little-endian f64 in C order: values whose offset would cost them digits in f32.
///
/// # Errors
/// As [`write_npy`](super::write_npy).
pub fn write_npy_wide<D: Dimension>(path: impl AsRef<Path>, array: ArrayView<'_, f64, D>) -> Result<()> {
    let standard = array.as_standard_layout();
    write_atomically(path.as_ref(), |writer| {
        standard.write_npy(writer).map_err(|e| match e {
            WriteNpyError::Io(e) => e,
            other => io::Error::other(other),
        })
    })
}
