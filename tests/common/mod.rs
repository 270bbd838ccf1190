//! What the device tests share: one device per process, random problems, the f64 twin of a run, error measures.
//!
//! A test that needs an adapter fails when there is none: a suite that skips on a machine without a driver proves nothing.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its own part")]

use std::sync::OnceLock;

use costate::reference::{self, Field, Scheme};
use costate::{
    Activation, AdapterRequest, Adjoint, AdjointOptions, Error, Gpu, Gradient, Init, Method, Mlp, NeuralOde,
    Parameters, TimeGrid,
};
use ndarray::{Array2, Array3, ArrayBase, Data, Dimension};
use rand::SeedableRng;
use rand_distr::{Distribution, Uniform};
use rand_pcg::Pcg64;

/// The device of this process, compiled without runtime checks as users get it.
pub fn gpu() -> &'static Gpu {
    static GPU: OnceLock<Gpu> = OnceLock::new();
    GPU.get_or_init(|| {
        Gpu::new(&AdapterRequest::default()).expect("these tests need a Vulkan adapter: run `make setup`")
    })
}

/// The same adapter with bounds and loop checks in every kernel.
pub fn checked_gpu() -> &'static Gpu {
    static GPU: OnceLock<Gpu> = OnceLock::new();
    GPU.get_or_init(|| {
        let request = AdapterRequest { checked: true, ..AdapterRequest::default() };
        Gpu::new(&request).expect("these tests need a Vulkan adapter: run `make setup`")
    })
}

pub fn field(dim: usize, hidden: &[usize], activation: Activation, time_input: bool) -> Mlp {
    Mlp::builder(dim).hidden(hidden, activation).time_input(time_input).build().expect("a valid field")
}

/// Parameters as PyTorch draws them, biases included, so that every parameter matters.
pub fn parameters(field: &Mlp, seed: u64) -> Parameters {
    Parameters::init(field, Init::Torch, seed).expect("a valid initialiser")
}

/// Uniform values in ±1.
pub fn random2(rows: usize, columns: usize, seed: u64) -> Array2<f32> {
    let mut rng = Pcg64::seed_from_u64(seed);
    let uniform = Uniform::new_inclusive(-1.0_f32, 1.0).expect("a valid range");
    Array2::from_shape_simple_fn((rows, columns), || uniform.sample(&mut rng))
}

/// Uniform values in ±1.
pub fn random3(times: usize, rows: usize, columns: usize, seed: u64) -> Array3<f32> {
    random2(times * rows, columns, seed).into_shape_with_order((times, rows, columns)).expect("as many values")
}

pub fn to_f64<S: Data<Elem = f32>, D: Dimension>(array: &ArrayBase<S, D>) -> ndarray::Array<f64, D> {
    array.mapv(f64::from)
}

/// Runs the f64 twin of a gradient with the values that the device got, and contracts as the device does by default.
pub fn twin_gradient(
    method: Method,
    adjoint: Adjoint,
    theta: &Parameters,
    grid: &TimeGrid,
    x0: &Array2<f32>,
    targets: Option<&Array3<f32>>,
    cotangents: Option<&Array3<f32>>,
) -> reference::Gradient {
    twin_gradient_with((method, adjoint, AdjointOptions::default()), theta, grid, x0, targets, cotangents)
}

/// As [`twin_gradient`], with the details of the adjoint.
pub fn twin_gradient_with(
    (method, adjoint, options): (Method, Adjoint, AdjointOptions),
    theta: &Parameters,
    grid: &TimeGrid,
    x0: &Array2<f32>,
    targets: Option<&Array3<f32>>,
    cotangents: Option<&Array3<f32>>,
) -> reference::Gradient {
    let values: Vec<f64> = theta.as_slice().iter().map(|v| f64::from(*v)).collect();
    let field = Field::new(theta.field(), &values).expect("matching parameters");
    let targets = targets.map(to_f64);
    let cotangents = cotangents.map(to_f64);
    let seed = match (&targets, &cotangents) {
        (Some(t), _) => reference::Seed::Targets(t.view()),
        (None, Some(c)) => reference::Seed::Cotangents(c.view()),
        (None, None) => panic!("a gradient needs targets or cotangents"),
    };
    let adjoint = adjoint.resolve(method).expect("an adjoint of the method");
    options.check(method, adjoint, grid.steps()).expect("details of the adjoint");
    let scheme = Scheme { method, contraction: options.contraction(method, adjoint, grid.steps()) };
    reference::gradient(scheme, adjoint, &field, grid, to_f64(x0).view(), seed).expect("a valid problem")
}

/// Relative L2 distance `‖a − b‖ / ‖b‖`.
pub fn relative<'a>(a: impl IntoIterator<Item = &'a f32>, b: impl IntoIterator<Item = &'a f64>) -> f64 {
    let (mut difference, mut norm) = (0.0, 0.0);
    for (a, b) in a.into_iter().zip(b) {
        difference += (f64::from(*a) - b).powi(2);
        norm += b * b;
    }
    (difference / norm).sqrt()
}

/// Largest absolute distance over the largest value of b.
pub fn relative_max<'a>(a: impl IntoIterator<Item = &'a f32>, b: impl IntoIterator<Item = &'a f64>) -> f64 {
    let (mut difference, mut scale) = (0.0_f64, 0.0_f64);
    for (a, b) in a.into_iter().zip(b) {
        difference = difference.max((f64::from(*a) - b).abs());
        scale = scale.max(b.abs());
    }
    difference / scale
}

/// A 2-`width`-2 tanh field that contracts to the origin at about this rate: one hidden unit per component carries
/// `−rate x`, the others are a random tenth of it.
pub fn contracting(width: usize, rate: f32, seed: u64) -> Parameters {
    const SLOPE: f32 = 0.3;
    let field = field(2, &[width], Activation::Tanh, false);
    let mut theta = parameters(&field, seed).as_slice().to_vec();
    let [inner, outer] = [field.layers()[0], field.layers()[1]];
    for c in 0..2 {
        for k in 0..2 {
            theta[inner.weight + c * 2 + k] = if c == k { SLOPE } else { 0.0 };
        }
        theta[inner.bias + c] = 0.0;
        theta[outer.bias + c] = 0.0;
        for j in 0..width {
            let carried = if c == j { -rate / SLOPE } else { 0.0 };
            let at = outer.weight + c * width + j;
            theta[at] = if j < 2 { carried } else { 0.1 * rate * theta[at] };
        }
    }
    Parameters::from_flat(&field, theta).expect("finite parameters")
}

/// A mild random field of the same shape.
pub fn mild(width: usize, seed: u64) -> Parameters {
    parameters(&field(2, &[width], Activation::Tanh, false), seed)
}

/// A Runge–Kutta method and a method on a pair, with every way to a gradient that each has.
pub fn ways(single: Method, pair: Method) -> Vec<(Method, Adjoint)> {
    [single, pair].into_iter().flat_map(|m| m.adjoints().iter().map(move |a| (m, *a))).collect()
}

/// A gradient by the exact adjoint with targets at all save times.
pub fn exact(
    method: Method,
    options: AdjointOptions,
    theta: &Parameters,
    grid: &TimeGrid,
    x0: &Array2<f32>,
    targets: &Array3<f32>,
) -> Result<Gradient, Error> {
    let ode = NeuralOde::builder(theta.field().clone(), grid.clone())
        .method(method)
        .adjoint(Adjoint::Exact)
        .adjoint_options(options)
        .build(gpu())?;
    ode.loss_and_gradient(theta, x0.view(), targets.view())
}

/// Words that differ after the reverse pass, as the report says.
pub fn words_differing(gradient: &Gradient) -> Option<u64> {
    gradient.reconstruction.as_ref().and_then(|r| r.words_differing)
}
