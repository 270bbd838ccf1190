//! The vector field `f(x, t, θ)`, its directional derivative `∂f/∂x · ε`, and the vector–Jacobian products of both.

use super::{activation, curvature};
use crate::error::{Error, Result};
use crate::model::{Layer, Mlp};

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
pub(super) struct Tape {
    /// `A_{l−1}: [n_in]`, the input of each layer.
    inputs: Vec<Vec<f64>>,
    /// `φ'(P_l): [n_out]`.
    slopes: Vec<Vec<f64>>,
    /// `f = A_L: [dim]`.
    pub(super) value: Vec<f64>,
    /// The same for the directional derivative, if there is a direction.
    tangent: Option<TangentTape>,
}

struct TangentTape {
    /// `D_{l−1}: [n_in]`.
    inputs: Vec<Vec<f64>>,
    /// `R_l ∘ φ''(P_l): [n_out]`, what a cotangent of `D_l` is worth to `P_l`.
    bends: Vec<Vec<f64>>,
    /// `∂f/∂x · ε = D_L: [dim]`.
    value: Vec<f64>,
}

impl Tape {
    /// `∂f/∂x · ε: [dim]`, if the evaluation had a direction ε.
    pub(super) fn tangent(&self) -> Option<&[f64]> {
        self.tangent.as_ref().map(|tangent| tangent.value.as_slice())
    }
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

    /// The parameters θ.
    pub(super) fn theta(&self) -> &'a [f64] {
        self.theta
    }

    /// `f(x, t, θ): [dim]`.
    ///
    /// # Panics
    /// If `x` does not have `dim` components.
    #[must_use]
    pub fn eval(&self, x: &[f64], t: f64) -> Vec<f64> {
        self.forward(x, t, None).value
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
        self.pull(&self.forward(x, t, None), k, None, theta_bar)
    }

    /// `f` and its derivative `∂f/∂x · ε` in the direction `ε`, all `[dim]`.
    ///
    /// With `D_0 = [ε | 0]`: `R_l = W_l D_{l−1}`, `D_l = φ'(P_l) ∘ R_l`, and `∂f/∂x · ε = D_L`.
    ///
    /// # Panics
    /// If `x` or `direction` does not have `dim` components.
    #[must_use]
    pub fn tangent(&self, x: &[f64], t: f64, direction: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let tape = self.forward(x, t, Some(direction));
        (tape.value, tape.tangent.map(|tangent| tangent.value).unwrap_or_default())
    }

    /// The vector–Jacobian product of [`Self::tangent`] for the cotangents `k` of f and `d` of `∂f/∂x · ε`, both `[dim]`,
    /// the direction being fixed.
    ///
    /// Returns `x_bar: [dim]` and `t_bar`, and adds to `theta_bar`. From the last layer to the first, with `Ā = k` and
    /// `D̄ = d`: `P̄ = Ā ∘ φ'(P_l) + D̄ ∘ R_l ∘ φ''(P_l)`, `R̄ = D̄ ∘ φ'(P_l)`, `W̄_l = P̄ A_{l−1}ᵀ + R̄ D_{l−1}ᵀ`,
    /// `b̄_l = P̄`, then `Ā ← W_lᵀ P̄`, `D̄ ← W_lᵀ R̄`.
    ///
    /// # Panics
    /// If a vector does not have `dim` components or `theta_bar` not one entry per parameter.
    #[must_use]
    pub fn tangent_vjp(
        &self,
        x: &[f64],
        t: f64,
        direction: &[f64],
        k: &[f64],
        d: &[f64],
        theta_bar: &mut [f64],
    ) -> (Vec<f64>, f64) {
        self.pull(&self.forward(x, t, Some(direction)), k, Some(d), theta_bar)
    }

    /// Evaluates f, and its derivative if there is a direction.
    pub(super) fn forward(&self, x: &[f64], t: f64, direction: Option<&[f64]>) -> Tape {
        assert_eq!(x.len(), self.dim(), "the state must have the dimension of the field");
        let mut value = x.to_vec();
        if self.mlp.time_input() {
            value.push(t);
        }
        let mut tangent = direction.map(|direction| self.first_tangent(direction));
        let (mut inputs, mut slopes) = (Vec::new(), Vec::new());
        for layer in self.mlp.layers() {
            let mut p = self.product(layer, &value);
            p.iter_mut().zip(&self.theta[layer.biases()]).for_each(|(p, bias)| *p += bias);
            let (output, slope): (_, Vec<f64>) = p.iter().map(|&p| activation(layer.activation, p)).unzip();
            if let Some(tangent) = &mut tangent {
                let r = self.product(layer, &tangent.value);
                tangent.bends.push(r.iter().zip(&p).map(|(r, &p)| r * curvature(layer.activation, p)).collect());
                let next = product_by_entry(&r, &slope);
                tangent.inputs.push(std::mem::replace(&mut tangent.value, next));
            }
            inputs.push(std::mem::replace(&mut value, output));
            slopes.push(slope);
        }
        Tape { inputs, slopes, value, tangent }
    }

    /// `D_0 = [ε | 0]`: the time does not move.
    fn first_tangent(&self, direction: &[f64]) -> TangentTape {
        assert_eq!(direction.len(), self.dim(), "the direction must have one entry per state component");
        let mut value = direction.to_vec();
        if self.mlp.time_input() {
            value.push(0.0);
        }
        TangentTape { inputs: Vec::new(), bends: Vec::new(), value }
    }

    /// The VJP of the evaluation that left `tape`, with the cotangents `k` of f and `d` of `∂f/∂x · ε`.
    pub(super) fn pull(&self, tape: &Tape, k: &[f64], d: Option<&[f64]>, theta_bar: &mut [f64]) -> (Vec<f64>, f64) {
        assert_eq!(k.len(), self.dim(), "the cotangent must have one entry per state component");
        assert_eq!(theta_bar.len(), self.parameter_count(), "the gradient must have one entry per parameter");
        let mut a_bar = k.to_vec();
        let mut d_bar = d.map(<[f64]>::to_vec);
        for (l, layer) in self.mlp.layers().iter().enumerate().rev() {
            let mut p_bar = product_by_entry(&a_bar, &tape.slopes[l]);
            if let Some((tangent, d_bar)) = tape.tangent.as_ref().zip(d_bar.as_mut()) {
                let through = product_by_entry(d_bar, &tangent.bends[l]);
                p_bar.iter_mut().zip(&through).for_each(|(p, bend)| *p += bend);
                let r_bar = product_by_entry(d_bar, &tape.slopes[l]);
                *d_bar = self.product_vjp(layer, &tangent.inputs[l], &r_bar, theta_bar);
            }
            theta_bar[layer.biases()].iter_mut().zip(&p_bar).for_each(|(b, p)| *b += p);
            a_bar = self.product_vjp(layer, &tape.inputs[l], &p_bar, theta_bar);
        }
        let t_bar = if self.mlp.time_input() { a_bar[self.dim()] } else { 0.0 };
        a_bar.truncate(self.dim());
        (a_bar, t_bar)
    }

    /// `W v: [n_out]`.
    fn product(&self, layer: &Layer, v: &[f64]) -> Vec<f64> {
        let rows = self.theta[layer.weights()].chunks_exact(layer.n_in);
        rows.map(|row| row.iter().zip(v).map(|(w, v)| w * v).sum()).collect()
    }

    /// The VJP of [`Self::product`] for the cotangent `bar: [n_out]`: returns `Wᵀ bar: [n_in]`, adds `bar vᵀ` to W's part
    /// of `theta_bar`.
    fn product_vjp(&self, layer: &Layer, v: &[f64], bar: &[f64], theta_bar: &mut [f64]) -> Vec<f64> {
        let mut v_bar = vec![0.0; layer.n_in];
        for (j, bar) in bar.iter().enumerate() {
            for i in 0..layer.n_in {
                let w = layer.weight + j * layer.n_in + i;
                theta_bar[w] += bar * v[i];
                v_bar[i] += bar * self.theta[w];
            }
        }
        v_bar
    }
}

/// `a ∘ b`.
fn product_by_entry(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a * b).collect()
}
