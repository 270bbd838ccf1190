//! The problem of both views: a small field that takes the time, and explicit Euler on it.

use costate::reference::Field;
use costate::{Activation, Init, Mlp, Parameters};

use crate::Result;
use crate::linear::{Matrix, distance, plus};

/// The solve runs from here …
pub(crate) const T0: f64 = 0.5;
/// … for so long.
pub(crate) const LENGTH: f64 = 1.5;
pub(crate) const X0: [f64; 2] = [0.9, -0.6];
/// Target of the loss at the end.
pub(crate) const Y: [f64; 2] = [-0.5, 0.8];
/// Steps of the tables of refinement; the views themselves take the first.
pub(crate) const STEPS: [usize; 6] = [3, 6, 12, 24, 48, 96];

/// A 3-3-2 tanh field, time included, and its parameters θ.
pub(crate) struct Problem {
    mlp: Mlp,
    pub(crate) theta: Vec<f64>,
}

impl Problem {
    pub(crate) fn new() -> Result<Self> {
        let mlp = Mlp::builder(2).hidden(&[3], Activation::Tanh).time_input(true).build()?;
        let theta = Parameters::init(&mlp, Init::Torch, 3)?;
        let theta = theta.as_slice().iter().map(|&v| 1.5 * f64::from(v)).collect();
        Ok(Self { mlp, theta })
    }

    pub(crate) fn summary(&self) -> String {
        format!("{}, {} parameters", self.mlp.summary(), self.theta.len())
    }

    pub(crate) fn euler(&self, steps: usize) -> Result<Euler<'_>> {
        self.euler_with(&self.theta, steps)
    }

    /// The same with other parameters.
    pub(crate) fn euler_with<'a>(&'a self, theta: &'a [f64], steps: usize) -> Result<Euler<'a>> {
        Ok(Euler { field: Field::new(&self.mlp, theta)?, h: LENGTH / steps as f64, steps })
    }

    /// `W1[row,column]`, `b1[row]` and so on, in the order of θ.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names = vec![String::new(); self.theta.len()];
        for (l, layer) in self.mlp.layers().iter().enumerate() {
            for j in 0..layer.n_out {
                names[layer.bias + j] = format!("b{}[{j}]", l + 1);
                for i in 0..layer.n_in {
                    names[layer.weight + j * layer.n_in + i] = format!("W{}[{j},{i}]", l + 1);
                }
            }
        }
        names
    }
}

/// Explicit Euler with equal steps from [`T0`]: `x_{n+1} = x_n + Δt f(x_n, t_n)`, `t_n = t0 + n Δt`.
#[derive(Clone, Copy)]
pub(crate) struct Euler<'a> {
    pub(crate) field: Field<'a>,
    /// Δt.
    pub(crate) h: f64,
    pub(crate) steps: usize,
}

impl Euler<'_> {
    pub(crate) fn time(&self, n: usize) -> f64 {
        T0 + n as f64 * self.h
    }

    /// From `x_n` to `x_{n+1}`.
    pub(crate) fn step(&self, n: usize, x: &[f64]) -> Vec<f64> {
        plus(x, self.h, &self.field.eval(x, self.time(n)))
    }

    /// `x_n … x_N` from `x_n`.
    pub(crate) fn states_from(&self, n: usize, x: &[f64]) -> Vec<Vec<f64>> {
        let mut states = vec![x.to_vec()];
        for n in n..self.steps {
            states.push(self.step(n, &states[states.len() - 1]));
        }
        states
    }

    /// `x_0 … x_N`.
    pub(crate) fn states(&self, x0: &[f64]) -> Vec<Vec<f64>> {
        self.states_from(0, x0)
    }

    /// `x_0 … x_N` with the step's index where the field wants the time, as the blog writes it.
    pub(crate) fn states_by_index(&self, x0: &[f64]) -> Vec<Vec<f64>> {
        let mut states = vec![x0.to_vec()];
        for n in 0..self.steps {
            let f = self.field.eval(&states[n], n as f64);
            states.push(plus(&states[n], self.h, &f));
        }
        states
    }

    /// The blog's way from `x_n` to `x_{n−1}`: `x_n − Δt f(x_n, t_n)`, a step of −Δt.
    pub(crate) fn back(&self, n: usize, x: &[f64]) -> Vec<f64> {
        plus(x, -self.h, &self.field.eval(x, self.time(n)))
    }

    /// The inverse of the step to `x_n`: solves `x + Δt f(x, t_{n−1}) = x_n` by fixed-point iteration, which converges where
    /// Δt times the Lipschitz constant is below 1. Also says in how many iterations.
    ///
    /// # Errors
    /// If it does not converge.
    pub(crate) fn inverse(&self, n: usize, x_n: &[f64]) -> Result<(Vec<f64>, usize)> {
        const MOST: usize = 500;
        let mut x = x_n.to_vec();
        for iteration in 1..=MOST {
            let next = plus(x_n, -self.h, &self.field.eval(&x, self.time(n - 1)));
            let change = distance(&next, &x);
            x = next;
            if change < 1e-15 {
                return Ok((x, iteration));
            }
        }
        Err(format!("the inverse of step {n} is not found in {MOST} iterations").into())
    }

    /// All states from the last one, by [`Self::back`].
    pub(crate) fn walk_back(&self, last: &[f64]) -> Vec<Vec<f64>> {
        let mut states = vec![last.to_vec(); self.steps + 1];
        for n in (1..=self.steps).rev() {
            states[n - 1] = self.back(n, &states[n]);
        }
        states
    }

    /// All states from the last one, by [`Self::inverse`].
    pub(crate) fn walk_inverse(&self, last: &[f64]) -> Result<Vec<Vec<f64>>> {
        let mut states = vec![last.to_vec(); self.steps + 1];
        for n in (1..=self.steps).rev() {
            states[n - 1] = self.inverse(n, &states[n])?.0;
        }
        Ok(states)
    }

    /// `Δt ∂f/∂x (x, t_n): [dim, dim]`, row by row from products with unit vectors.
    pub(crate) fn field_jacobian(&self, n: usize, x: &[f64]) -> Matrix {
        let row = |i: usize| {
            let mut unit = vec![0.0; x.len()];
            unit[i] = self.h;
            self.pull_back(n, x, &unit).0
        };
        (0..x.len()).map(row).collect()
    }

    /// `(kᵀ ∂f/∂x: [dim], kᵀ ∂f/∂θ: [parameters])` at `(x, t_n)`.
    pub(crate) fn pull_back(&self, n: usize, x: &[f64], k: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let mut theta_bar = vec![0.0; self.field.parameter_count()];
        let (x_bar, _) = self.field.vjp(x, self.time(n), k, &mut theta_bar);
        (x_bar, theta_bar)
    }
}

/// `‖x − y‖²`, the blog's loss.
pub(crate) fn squared_distance(x: &[f64], y: &[f64]) -> f64 {
    distance(x, y).powi(2)
}
