//! The fields and numbers that are the same in several tables, and the f64 twin of a run.

use costate::reference::{self, Field, Scheme};
use costate::{Activation, Adjoint, AdjointOptions, Init, Method, Mlp, Parameters, TimeGrid};
use ndarray::{Array, Array2, Array3, ArrayBase, Data, Dimension};
use rand::SeedableRng;
use rand_distr::{Distribution, Uniform};
use rand_pcg::Pcg64;

use crate::Result;

/// How a gradient is taken.
#[derive(Clone, Copy)]
pub(crate) struct Way {
    pub(crate) method: Method,
    pub(crate) adjoint: Adjoint,
    pub(crate) options: AdjointOptions,
}

impl Way {
    pub(crate) fn new(method: Method, adjoint: Adjoint) -> Self {
        Self { method, adjoint, options: AdjointOptions::default() }
    }

    /// The exact adjoint with a log of this many words.
    pub(crate) fn exact(method: Method, log_words: u32) -> Self {
        let options = AdjointOptions { log_words: Some(log_words), ..AdjointOptions::default() };
        Self { options, ..Self::new(method, Adjoint::Exact) }
    }
}

/// Uniform values in ±1.
pub(crate) fn random2(rows: usize, columns: usize, seed: u64) -> Result<Array2<f32>> {
    let mut rng = Pcg64::seed_from_u64(seed);
    let uniform = Uniform::new_inclusive(-1.0_f32, 1.0)?;
    Ok(Array2::from_shape_simple_fn((rows, columns), || uniform.sample(&mut rng)))
}

/// Uniform values in ±1.
pub(crate) fn random3(times: usize, rows: usize, columns: usize, seed: u64) -> Result<Array3<f32>> {
    Ok(random2(times * rows, columns, seed)?.into_shape_with_order((times, rows, columns))?)
}

pub(crate) fn to_f64<S: Data<Elem = f32>, D: Dimension>(array: &ArrayBase<S, D>) -> Array<f64, D> {
    array.mapv(f64::from)
}

fn shallow(dim: usize, width: usize) -> Result<Mlp> {
    Ok(Mlp::builder(dim).hidden(&[width], Activation::Tanh).build()?)
}

/// A random tanh field as PyTorch draws it, with the output four times as large: slopes of about one.
pub(crate) fn mild(dim: usize, width: usize, seed: u64) -> Result<Parameters> {
    let field = shallow(dim, width)?;
    let mut theta = Parameters::init(&field, Init::Torch, seed)?;
    let outer = field.layers()[1].weight;
    theta.as_mut_slice()[outer..].iter_mut().for_each(|v| *v *= 4.0);
    Ok(theta)
}

/// A tanh field that contracts to a point near the origin at about rate 1: one hidden unit per component carries `−x`,
/// the others are a random tenth.
pub(crate) fn contracting(dim: usize, width: usize, seed: u64) -> Result<Parameters> {
    const SLOPE: f32 = 0.3;
    let field = shallow(dim, width)?;
    let mut theta = Parameters::init(&field, Init::Torch, seed)?;
    let [inner, outer] = [field.layers()[0], field.layers()[1]];
    let values = theta.as_mut_slice();
    for c in 0..dim {
        for k in 0..dim {
            values[inner.weight + c * dim + k] = if c == k { SLOPE } else { 0.0 };
        }
        values[inner.bias + c] = 0.0;
        values[outer.bias + c] = 0.0;
        for j in 0..width {
            let carried = if c == j { -1.0 / SLOPE } else { 0.0 };
            let at = outer.weight + c * width + j;
            values[at] = if j < dim { carried } else { 0.1 * values[at] };
        }
    }
    Ok(theta)
}

/// `steps` equal steps until `t1`, looked at after a tenth, three tenths, six tenths and all of them.
pub(crate) fn four_looks(t1: f64, steps: usize) -> Result<TimeGrid> {
    let boundaries = (0..=steps).map(|n| t1 * n as f64 / steps as f64).collect();
    Ok(TimeGrid::from_boundaries(boundaries, [1, 3, 6, 10].map(|tenth| tenth * steps / 10).into())?)
}

/// θ in f64.
pub(crate) fn values(theta: &Parameters) -> Vec<f64> {
    theta.as_slice().iter().map(|v| f64::from(*v)).collect()
}

/// The gradient of the same scheme in f64, its states stored.
pub(crate) fn twin(
    way: Way,
    theta: &Parameters,
    grid: &TimeGrid,
    x0: &Array2<f32>,
    targets: &Array3<f32>,
) -> Result<reference::Gradient> {
    let values = values(theta);
    let field = Field::new(theta.field(), &values)?;
    let contraction = way.options.contraction(way.method, way.adjoint, grid.steps());
    let scheme = Scheme { method: way.method, contraction };
    let targets = to_f64(targets);
    let seed = reference::Seed::Targets(targets.view());
    Ok(reference::gradient(scheme, Adjoint::Stored, &field, grid, to_f64(x0).view(), seed)?)
}

/// Relative L2 distance `‖a − b‖ / ‖b‖`; none if it is not finite.
pub(crate) fn relative<'a>(a: impl IntoIterator<Item = &'a f32>, b: impl IntoIterator<Item = &'a f64>) -> Option<f64> {
    let (mut difference, mut norm) = (0.0, 0.0);
    for (a, b) in a.into_iter().zip(b) {
        difference += (f64::from(*a) - b).powi(2);
        norm += b * b;
    }
    Some((difference / norm).sqrt()).filter(|r: &f64| r.is_finite())
}
