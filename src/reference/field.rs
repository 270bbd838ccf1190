//! The vector field `f(x, t, θ)` and its vector–Jacobian product.

use super::activation;
use crate::error::{Error, Result};
use crate::model::Mlp;

/// A field with its parameters in f64, ready to be evaluated.
///
/// Layer by layer `P_l = W_l A_{l−1} + b_l`, `A_l = φ_l(P_l)` with `A_0 = [x | t]` (the time only if the field takes it)
/// and `f = A_L`. `W_l` is `[n_out, n_in]` row-major.
#[derive(Clone, Copy, Debug)]
pub struct Field<'a> {
    mlp: &'a Mlp,
    theta: &'a [f64],
}

/// What an evaluation leaves behind for its VJP, per layer.
struct Tape {
    /// `A_{l−1}: [n_in]`, the input of each layer.
    inputs: Vec<Vec<f64>>,
    /// `φ'(P_l): [n_out]`.
    slopes: Vec<Vec<f64>>,
    /// `f = A_L: [dim]`.
    value: Vec<f64>,
}

impl<'a> Field<'a> {
    /// Joins a field with `mlp.parameter_count()` parameters, in the order of [`Parameters`](crate::Parameters).
    ///
    /// # Errors
    /// [`Error::Shape`] if the number of parameters is another.
    pub fn new(mlp: &'a Mlp, theta: &'a [f64]) -> Result<Self> {
        if theta.len() != mlp.parameter_count() {
            return Err(Error::shape(
                "parameter vector",
                &[theta.len()],
                format!("[{}] for a {} field", mlp.parameter_count(), mlp.summary()),
                "give W [n_out, n_in] row-major then b [n_out], layer by layer",
            ));
        }
        Ok(Self { mlp, theta })
    }

    /// Number of components of the state, `dim`.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.mlp.dim()
    }

    /// Number of parameters, the length of θ.
    #[must_use]
    pub fn parameter_count(&self) -> usize {
        self.theta.len()
    }

    /// `f(x, t, θ): [dim]`.
    ///
    /// # Panics
    /// If `x` does not have `dim` components.
    #[must_use]
    pub fn eval(&self, x: &[f64], t: f64) -> Vec<f64> {
        self.forward(x, t).value
    }

    /// The vector–Jacobian product at `(x, t)` for the cotangent `k: [dim]`.
    ///
    /// Returns `x_bar = k · ∂f/∂x: [dim]` and `t_bar = ⟨k, ∂f/∂t⟩` (zero if the field does not take the time), and
    /// *adds* `k · ∂f/∂θ` to `theta_bar`. With `δ_L = k ∘ φ'(P_L)` and `δ_l = (W_{l+1}ᵀ δ_{l+1}) ∘ φ'(P_l)`:
    /// `W̄_l = δ_l A_{l−1}ᵀ`, `b̄_l = δ_l`, `[x_bar | t_bar] = W_1ᵀ δ_1`.
    ///
    /// # Panics
    /// If `x` or `k` does not have `dim` components or `theta_bar` not one entry per parameter.
    #[must_use]
    pub fn vjp(&self, x: &[f64], t: f64, k: &[f64], theta_bar: &mut [f64]) -> (Vec<f64>, f64) {
        assert_eq!(k.len(), self.dim(), "the cotangent must have one entry per state component");
        assert_eq!(theta_bar.len(), self.parameter_count(), "the gradient must have one entry per parameter");
        let tape = self.forward(x, t);
        let mut cotangent = k.to_vec();
        for (layer, (input, slope)) in self.mlp.layers().iter().zip(tape.inputs.iter().zip(&tape.slopes)).rev() {
            let mut input_bar = vec![0.0; layer.n_in];
            for j in 0..layer.n_out {
                let delta = cotangent[j] * slope[j];
                theta_bar[layer.bias + j] += delta;
                for i in 0..layer.n_in {
                    let w = layer.weight + j * layer.n_in + i;
                    theta_bar[w] += delta * input[i];
                    input_bar[i] += delta * self.theta[w];
                }
            }
            cotangent = input_bar;
        }
        let t_bar = if self.mlp.time_input() { cotangent[self.dim()] } else { 0.0 };
        cotangent.truncate(self.dim());
        (cotangent, t_bar)
    }

    fn forward(&self, x: &[f64], t: f64) -> Tape {
        assert_eq!(x.len(), self.dim(), "the state must have the dimension of the field");
        let mut value = x.to_vec();
        if self.mlp.time_input() {
            value.push(t);
        }
        let (mut inputs, mut slopes) = (Vec::new(), Vec::new());
        for layer in self.mlp.layers() {
            let (output, slope) = (0..layer.n_out)
                .map(|j| {
                    let row = &self.theta[layer.weight + j * layer.n_in..][..layer.n_in];
                    let dot: f64 = row.iter().zip(&value).map(|(w, v)| w * v).sum();
                    activation(layer.activation, self.theta[layer.bias + j] + dot)
                })
                .unzip();
            inputs.push(std::mem::replace(&mut value, output));
            slopes.push(slope);
        }
        Tape { inputs, slopes, value }
    }
}
