//! Vectors, matrices and central differences.

use crate::Result;

/// `[row][column]`.
pub(crate) type Matrix = Vec<Vec<f64>>;

/// `x + s v`.
pub(crate) fn plus(x: &[f64], s: f64, v: &[f64]) -> Vec<f64> {
    x.iter().zip(v).map(|(x, v)| x + s * v).collect()
}

/// `s v`.
pub(crate) fn scaled(s: f64, v: &[f64]) -> Vec<f64> {
    v.iter().map(|v| s * v).collect()
}

/// The sum of vectors of `len` components.
pub(crate) fn sum<'a>(len: usize, terms: impl IntoIterator<Item = &'a Vec<f64>>) -> Vec<f64> {
    terms.into_iter().fold(vec![0.0; len], |sum, term| plus(&sum, 1.0, term))
}

pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

pub(crate) fn norm(v: &[f64]) -> f64 {
    dot(v, v).sqrt()
}

pub(crate) fn distance(a: &[f64], b: &[f64]) -> f64 {
    norm(&plus(a, -1.0, b))
}

/// `‖a − b‖ / ‖b‖`.
pub(crate) fn relative(a: &[f64], b: &[f64]) -> f64 {
    distance(a, b) / norm(b)
}

pub(crate) fn cosine(a: &[f64], b: &[f64]) -> f64 {
    dot(a, b) / (norm(a) * norm(b))
}

/// Row vector times matrix, `g J: [columns]`.
pub(crate) fn row_times(g: &[f64], j: &Matrix) -> Vec<f64> {
    (0..j.first().map_or(0, Vec::len)).map(|c| g.iter().zip(j).map(|(g, row)| g * row[c]).sum()).collect()
}

/// Matrix times column vector, `J g: [rows]`.
pub(crate) fn times_column(j: &Matrix, g: &[f64]) -> Vec<f64> {
    j.iter().map(|row| dot(row, g)).collect()
}

/// `I + m`.
pub(crate) fn identity_plus(m: &Matrix) -> Matrix {
    let mut sum = m.clone();
    for (i, row) in sum.iter_mut().enumerate() {
        row[i] += 1.0;
    }
    sum
}

/// Central differences of `j: [len] → [outputs]`, `[input][output]`: the transposed Jacobian. Their error is about 1e-10.
fn sensitivities(at: &[f64], j: impl Fn(&[f64]) -> Result<Vec<f64>>) -> Result<Matrix> {
    const EPSILON: f64 = 1e-5;
    let shifted = |i: usize, by: f64| {
        let mut v = at.to_vec();
        v[i] += by;
        j(&v)
    };
    let column = |i| -> Result<Vec<f64>> {
        let difference = plus(&shifted(i, EPSILON)?, -1.0, &shifted(i, -EPSILON)?);
        Ok(scaled(0.5 / EPSILON, &difference))
    };
    (0..at.len()).map(column).collect()
}

/// The Jacobian of `j` by central differences, `[output][input]`.
pub(crate) fn difference_jacobian(at: &[f64], j: impl Fn(&[f64]) -> Vec<f64>) -> Result<Matrix> {
    let columns = sensitivities(at, |v| Ok(j(v)))?;
    let outputs = columns.first().map_or(0, Vec::len);
    Ok((0..outputs).map(|row| columns.iter().map(|column| column[row]).collect()).collect())
}

/// The gradient of a number by central differences.
pub(crate) fn differences(at: &[f64], j: impl Fn(&[f64]) -> Result<f64>) -> Result<Vec<f64>> {
    Ok(sensitivities(at, |v| Ok(vec![j(v)?]))?.concat())
}
