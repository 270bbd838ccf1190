//! λ as the Lagrangian gives it: with `λᵀ (ẋ − f)` added to the integrand, δx cancels where
//!
//! ```text
//! λ(T) = −F_x        λ' = L_x − λᵀ f_x        λ(t_k⁻) = λ(t_k⁺) − ℓ_x
//! dJ/dθ = ∫ (L_θ − λᵀ f_θ) dt        dJ/dx0 = −λ(t0)        dJ/dt0 = λᵀf − L at t0        dJ/dt1 = L − λᵀf at T
//! ```
//!
//! Written out here apart from the library, which integrates a, not λ.

use costate::{Method, TimeGrid};

use crate::Result;
use crate::problem::Problem;

/// λ along its way, and the gradients that it gives.
pub(crate) struct Multiplier {
    /// `(t, λ)` from t0 to t1, at an observation both sides of the jump, the earlier first; the point after t1 is 0.
    pub(crate) points: Vec<(f64, Vec<f64>)>,
    pub(crate) theta: Vec<f64>,
    pub(crate) t0: f64,
    pub(crate) t1: f64,
}

impl Multiplier {
    /// Solves x forward, then x and λ backward, all with the tableau of `method`.
    pub(crate) fn new(problem: &Problem, method: Method, grid: &TimeGrid) -> Result<Self> {
        let states = forward(problem, method, grid)?;
        let times = grid.times();
        let last = grid.steps();
        let hamiltonian = |lambda: &[f64], n: usize| -> Result<f64> {
            let f = problem.field()?.eval(&states[n], times[n]);
            Ok(problem.running(&states[n], times[n])? - dot(lambda, &f))
        };
        let mut x = states[last].clone();
        let mut lambda = vec![0.0; x.len()];
        let mut theta = vec![0.0; problem.field()?.parameter_count()];
        let (mut points, mut t1) = (Vec::new(), 0.0);
        for n in (0..=last).rev() {
            if n < last {
                let step = Step { method, t_next: times[n + 1], h: times[n + 1] - times[n] };
                step.back(problem, &mut x, &mut lambda, &mut theta)?;
            }
            points.push((times[n], lambda.clone()));
            if let Ok(k) = grid.saves().binary_search(&n) {
                // The cotangent of what was computed there, not of the x that is walked back to.
                add(&mut lambda, -1.0, &problem.look_gradient(k, &states[n]));
                points.push((times[n], lambda.clone()));
            }
            if n == last {
                t1 = hamiltonian(&lambda, n)?;
            }
        }
        points.reverse();
        let t0 = -hamiltonian(&lambda, 0)?;
        Ok(Self { points, theta, t0, t1 })
    }
}

/// `x_0 … x_N`.
fn forward(problem: &Problem, method: Method, grid: &TimeGrid) -> Result<Vec<Vec<f64>>> {
    let (field, tableau) = (problem.field()?, method.tableau());
    let mut states = vec![problem.x0()];
    for span in grid.times().windows(2) {
        let (t, h) = (span[0], span[1] - span[0]);
        let mut next = states[states.len() - 1].clone();
        let mut slopes: Vec<Vec<f64>> = Vec::new();
        for i in 0..tableau.stages() {
            let mut stage = states[states.len() - 1].clone();
            slopes.iter().enumerate().for_each(|(j, f)| add(&mut stage, h * tableau.a(i, j), f));
            slopes.push(field.eval(&stage, t + tableau.c[i] * h));
        }
        slopes.iter().zip(tableau.b).for_each(|(f, b)| add(&mut next, h * b, f));
        states.push(next);
    }
    Ok(states)
}

/// A step from `t_next` to `t_next − h`.
struct Step {
    method: Method,
    t_next: f64,
    h: f64,
}

impl Step {
    /// Steps `x' = f` and `λ' = L_x − λᵀ f_x` and adds `∫ (L_θ − λᵀ f_θ) dt` over the step.
    fn back(&self, problem: &Problem, x: &mut [f64], lambda: &mut [f64], theta: &mut [f64]) -> Result<()> {
        let (field, tableau) = (problem.field()?, self.method.tableau());
        let mut slopes: Vec<(Vec<f64>, Vec<f64>)> = Vec::new();
        for i in 0..tableau.stages() {
            let (mut x_i, mut lambda_i) = (x.to_vec(), lambda.to_vec());
            for (j, (x_slope, lambda_slope)) in slopes.iter().enumerate() {
                add(&mut x_i, -self.h * tableau.a(i, j), x_slope);
                add(&mut lambda_i, -self.h * tableau.a(i, j), lambda_slope);
            }
            let t_i = self.t_next - tableau.c[i] * self.h;
            let (cost_x, cost_theta) = problem.running_gradient(&x_i, t_i)?;
            let mut field_theta = vec![0.0; theta.len()];
            let (field_x, _) = field.vjp(&x_i, t_i, &lambda_i, &mut field_theta);
            add(theta, self.h * tableau.b[i], &cost_theta);
            add(theta, -self.h * tableau.b[i], &field_theta);
            let lambda_slope = cost_x.iter().zip(&field_x).map(|(l, f)| l - f).collect();
            slopes.push((field.eval(&x_i, t_i), lambda_slope));
        }
        for ((x_slope, lambda_slope), b) in slopes.iter().zip(tableau.b) {
            add(x, -self.h * b, x_slope);
            add(lambda, -self.h * b, lambda_slope);
        }
        Ok(())
    }
}

/// `to += s v`.
fn add(to: &mut [f64], s: f64, v: &[f64]) {
    to.iter_mut().zip(v).for_each(|(to, v)| *to += s * v);
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
