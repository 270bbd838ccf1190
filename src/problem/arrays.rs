//! Between row-major arrays of the user and component-major buffers of the device.

use ndarray::{ArrayBase, ArrayView2, Data, Dimension};

use crate::error::{Error, Result};

/// Writes `[batch, dim]` as `[dim, stride]`, padded with zeros.
pub(crate) fn to_device(array: ArrayView2<'_, f32>, stride: u32, out: &mut Vec<f32>) {
    let stride = stride as usize;
    for column in array.columns() {
        out.extend(column.iter());
        out.extend(std::iter::repeat_n(0.0, stride - column.len()));
    }
}

/// Reads `[dim, stride]` as rows of `[batch, dim]`.
pub(crate) fn from_device(values: &[f32], stride: u32, batch: usize, dim: usize) -> Vec<f32> {
    let stride = stride as usize;
    let mut rows = Vec::with_capacity(batch * dim);
    for b in 0..batch {
        rows.extend((0..dim).map(|c| values[c * stride + b]));
    }
    rows
}

/// Puts values of `[time, dim, stride]`, from place `first` on, into rows of `[time, batch, dim]`.
pub(crate) fn put_rows(values: &[f32], first: usize, stride: u32, [batch, dim]: [usize; 2], rows: &mut [f32]) {
    let stride = stride as usize;
    let (mut rest, mut place) = (values, first);
    while !rest.is_empty() {
        let (line, from) = (place / stride, place % stride);
        let (now, later) = rest.split_at(rest.len().min(stride - from));
        let (time, component) = (line / dim, line % dim);
        for (trajectory, value) in (from..batch).zip(now) {
            rows[(time * batch + trajectory) * dim + component] = *value;
        }
        place += now.len();
        rest = later;
    }
}

/// An error that names the first value that is NaN or infinite.
pub(crate) fn check_finite<S, D>(what: &str, array: &ArrayBase<S, D>) -> Result<()>
where
    S: Data<Elem = f32>,
    D: Dimension,
{
    // The common case without an index.
    if array.iter().all(|v| v.is_finite()) {
        return Ok(());
    }
    for (flat, value) in array.iter().enumerate() {
        if !value.is_finite() {
            let mut index = Vec::with_capacity(array.ndim());
            let mut rest = flat;
            for &length in array.shape().iter().rev() {
                index.push(rest % length);
                rest /= length;
            }
            index.reverse();
            return Err(Error::NonFiniteData {
                what: what.to_owned(),
                value: f64::from(*value),
                index: format!("{index:?}"),
            });
        }
    }
    Ok(())
}
