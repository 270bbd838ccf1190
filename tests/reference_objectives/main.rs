//! Are the f64 twins of everything beside the plain field right: running cost, losses with weights and masks, states
//! between step boundaries, gradients in time, the continuous adjoint?
//!
//! Gradients are held against central differences of the forward pass (`differences`), values against an augmented system
//! that is integrated by hand (`values`), both against matrix exponentials on a linear field (`closed_forms`), and the
//! continuous adjoint against the discrete one (`continuous`). `inputs` looks at masks and bad arguments.
//!
//! Central differences with ε = 1e-5 have an error of about 1e-10 … 1e-11 for functions of size 1, see
//! `reference_gradients.rs`.
//!
//! Blind spots: the losses, the references and the probes themselves, which tests beside their definitions look at; and
//! parameters larger than those of a fresh network.

mod closed_forms;
mod continuous;
mod differences;
mod inputs;
mod values;

use costate::reference::{Field, Gradient, Observations, Scheme, Seed, gradient_with_cost, running_cost, solve};
use costate::{Activation, Adjoint, Init, Loss, Method, Mlp, Parameters, Reference, RunningCost, TimeGrid};
use ndarray::{Array2, Array3};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

const DIM: usize = 2;
const BATCH: usize = 3;

/// `n` values from `[-1, 1)`, the same for the same seed.
fn random(n: usize, seed: u64) -> Vec<f64> {
    let mut rng = Pcg64::seed_from_u64(seed);
    (0..n).map(|_| rng.random_range(-1.0..1.0)).collect()
}

fn random3(shape: (usize, usize, usize), seed: u64) -> Array3<f64> {
    Array3::from_shape_vec(shape, random(shape.0 * shape.1 * shape.2, seed)).expect("the length fits the shape")
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn flat<D: ndarray::Dimension>(array: &ndarray::Array<f64, D>) -> &[f64] {
    array.as_slice().expect("the array is contiguous")
}

/// Every Runge–Kutta method and every method on a pair, McCallum–Foster with and without blending.
fn methods() -> Vec<Method> {
    let foster = [1.0, 0.9].map(|coupling| Method::mccallum_foster(Method::Rk4, coupling).expect("a valid method"));
    Method::RUNGE_KUTTA.into_iter().chain(Method::PAIR).chain(foster).collect()
}

/// When a solve starts, ends and is observed.
#[derive(Clone, Debug)]
struct Times {
    t0: f64,
    t1: f64,
    /// Save times strictly between them.
    inner: Vec<f64>,
    /// True if t0 and t1 are save times too.
    ends: [bool; 2],
    /// Steps between save times, or all of them if the save times lie between step boundaries.
    steps: usize,
    dense: bool,
}

impl Times {
    fn grid(&self) -> TimeGrid {
        let [first, last] = self.ends;
        let mut saves = Vec::new();
        saves.extend(first.then_some(self.t0));
        saves.extend(&self.inner);
        saves.extend(last.then_some(self.t1));
        let make = if self.dense { TimeGrid::dense_with_steps } else { TimeGrid::with_steps };
        make(self.t0, &saves, self.t1, self.steps).expect("the grid is valid")
    }

    /// Forward and saved at the end; backward, saved at the start and solved beyond the last save; dense both ways.
    fn all() -> [Self; 4] {
        let forward = Self { t0: 0.2, t1: 1.1, inner: vec![0.63], ends: [false, true], steps: 3, dense: false };
        let backward = Self { t0: 0.9, t1: -0.2, inner: vec![0.4], ends: [true, false], ..forward.clone() };
        let dense = Self { inner: vec![0.23, 0.5, 0.93], ends: [false; 2], steps: 5, dense: true, ..forward.clone() };
        let dense_backward = Self { inner: vec![0.8, 0.75], dense: true, ends: [false; 2], ..backward.clone() };
        [forward, backward, dense, dense_backward]
    }
}

/// A batch with everything that an objective can have.
#[derive(Clone)]
struct Case {
    mlp: Mlp,
    theta: Vec<f64>,
    x0: Array2<f64>,
    loss: Loss,
    targets: Array3<f64>,
    weights: Array3<f64>,
    mask: Array3<bool>,
    log_scale: Vec<f64>,
    cost: RunningCost,
}

impl Case {
    /// `observations` save times, with the loss given.
    fn new(observations: usize, loss: Loss) -> Self {
        let mlp = Mlp::builder(DIM)
            .hidden(&[4], Activation::Tanh)
            .hidden(&[3], Activation::Gelu)
            .output_activation(Activation::Sin)
            .time_input(true)
            .build()
            .expect("the field is valid");
        let theta = Parameters::init(&mlp, Init::Torch, 5).expect("the initialiser is valid");
        let shape = (observations, BATCH, DIM);
        let mask = Array3::from_shape_fn(shape, |(k, b, c)| (k + 2 * b + c) % 3 != 0);
        Self {
            mlp,
            theta: theta.as_slice().iter().map(|&v| 1.5 * f64::from(v)).collect(),
            x0: Array2::from_shape_vec((BATCH, DIM), random(BATCH * DIM, 1)).expect("the length fits the shape"),
            loss,
            targets: random3(shape, 2),
            weights: random3(shape, 3).mapv(|v| 1.5 + v),
            mask,
            log_scale: random(loss.parameter_count(DIM), 6),
            cost: cost(),
        }
    }

    fn field(&self) -> Field<'_> {
        Field::new(&self.mlp, &self.theta).expect("the parameters fit")
    }

    fn seed(&self) -> Seed<'_> {
        Seed::Observations(Observations {
            loss: self.loss,
            targets: self.targets.view(),
            weights: Some(self.weights.view()),
            mask: Some(self.mask.view()),
            log_scale: &self.log_scale,
        })
    }

    fn gradient(&self, scheme: Scheme, adjoint: Adjoint, grid: &TimeGrid) -> Gradient {
        let found =
            gradient_with_cost(scheme, adjoint, &self.field(), grid, self.x0.view(), self.seed(), Some(&self.cost));
        found.expect("a valid problem")
    }

    /// The objective once more, from the forward pass alone.
    fn objective(&self, scheme: Scheme, grid: &TimeGrid) -> f64 {
        let field = self.field();
        let states = solve(scheme, &field, grid, self.x0.view()).expect("a valid problem");
        let costs = running_cost(scheme, &field, grid, self.x0.view(), &self.cost).expect("a valid problem");
        let observed = || self.mask.indexed_iter().filter(|(_, seen)| **seen).map(|(index, _)| index);
        let loss: f64 = observed()
            .map(|i| {
                let s = self.log_scale.get(i.2).copied().unwrap_or(0.0);
                self.weights[i] * self.loss.value(states[i] - self.targets[i], s).0
            })
            .sum();
        loss / observed().count() as f64 + costs.iter().sum::<f64>() / BATCH as f64
    }
}

/// All four terms; the reference has a trajectory for each of the batch, and changes in time.
fn cost() -> RunningCost {
    #[expect(clippy::cast_possible_truncation, reason = "references are f32")]
    let values = random3((4, BATCH, DIM), 7).mapv(|v| v as f32);
    let reference = Reference::new(&[-0.5, 0.11, 0.77, 1.5], values.view()).expect("a valid reference");
    let cost = RunningCost::new().kinetic(0.7).and_then(|c| c.reference(0.9, reference));
    let cost = cost.and_then(|c| c.jacobian(0.4, 12)).and_then(|c| c.parameters(0.02));
    cost.expect("valid weights")
}

/// Holds `found` against `expected`, relative to the largest entry of `expected`, and returns the error.
#[track_caller]
fn assert_close(what: &str, found: &[f64], expected: &[f64], tolerance: f64) -> f64 {
    assert_eq!(found.len(), expected.len(), "{what}: length");
    let scale = expected.iter().fold(0.0_f64, |m, e| m.max(e.abs()));
    let error = found.iter().zip(expected).fold(0.0_f64, |m, (f, e)| {
        let difference = (f - e).abs();
        if m.is_nan() || difference <= m { m } else { difference }
    }) / scale;
    assert!(error <= tolerance, "{what}: off by {error:e} of the largest entry, {scale:e}: {found:?}, {expected:?}");
    error
}
