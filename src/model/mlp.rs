//! The vector field: a multilayer perceptron f(x, t, θ).

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::Activation;
use crate::error::{Error, Result};

/// The field `f(x, t, θ)` of the equation `dx/dt = f`: a multilayer perceptron of any depth and widths.
///
/// Layer `l` maps `n_in` inputs to `n_out` outputs: `φ(W v + b)` with `W: [n_out, n_in]`. The state `x: [dim]` is the
/// input of layer 0, followed by the time `t` as its last input if the field depends on time. The last layer has
/// `dim` outputs.
///
/// ```
/// use costate::{Activation, Mlp};
/// let field = Mlp::builder(2).hidden(&[64, 64], Activation::Tanh).build()?;
/// assert_eq!(field.parameter_count(), 2 * 64 + 64 + 64 * 64 + 64 + 64 * 2 + 2);
/// # Ok::<(), costate::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Mlp {
    dim: usize,
    time_input: bool,
    bias: bool,
    layers: Vec<Layer>,
}

/// One affine map and its activation, with the place of its parameters in the flat vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Layer {
    /// Number of inputs (for layer 0 the time counts as one).
    pub n_in: usize,
    /// Number of outputs.
    pub n_out: usize,
    /// The function applied to each output.
    pub activation: Activation,
    /// Index of `W[0, 0]` in the flat parameter vector; `W[j, k]` is at `weight + j * n_in + k`.
    pub weight: usize,
    /// Index of `b[0]` in the flat parameter vector; where there are no biases, that of the next parameter.
    pub bias: usize,
    /// True if there are biases; without them `φ(W v)`.
    pub has_bias: bool,
}

impl Layer {
    /// The places of `W` in the flat parameter vector.
    #[must_use]
    pub fn weights(&self) -> Range<usize> {
        self.weight..self.bias
    }

    /// The places of `b` in the flat parameter vector; empty if there are no biases.
    #[must_use]
    pub fn biases(&self) -> Range<usize> {
        self.bias..self.bias + if self.has_bias { self.n_out } else { 0 }
    }
}

impl Mlp {
    /// Starts the description of a field on states of `dim` components.
    pub fn builder(dim: usize) -> MlpBuilder {
        let (hidden, activations) = (Vec::new(), Vec::new());
        MlpBuilder { dim, hidden, activations, output: Activation::Identity, time_input: false, bias: true }
    }

    /// Number of components of the state, `dim`.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// True if the time is the last input of layer 0.
    #[must_use]
    pub fn time_input(&self) -> bool {
        self.time_input
    }

    /// True if the layers have biases.
    #[must_use]
    pub fn bias(&self) -> bool {
        self.bias
    }

    /// The layers, first to last.
    #[must_use]
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// Number of parameters: the length of the flat vector θ.
    #[must_use]
    pub fn parameter_count(&self) -> usize {
        self.layers.last().map_or(0, |last| last.biases().end)
    }

    /// The widest layer, inputs included.
    #[must_use]
    pub fn max_width(&self) -> usize {
        self.layers.iter().map(|l| l.n_in.max(l.n_out)).max().unwrap_or(0)
    }

    /// Floating-point operations of one evaluation of `f` for one trajectory: two per weight.
    #[must_use]
    pub fn flops(&self) -> u64 {
        2 * self.layers.iter().map(|l| (l.n_in * l.n_out) as u64).sum::<u64>()
    }

    /// A short description such as `2-50-50-2 tanh`.
    #[must_use]
    pub fn summary(&self) -> String {
        let mut widths: Vec<String> = vec![self.dim.to_string()];
        widths.extend(self.layers.iter().map(|l| l.n_out.to_string()));
        let mut names: Vec<&str> = self.layers.iter().map(|l| l.activation.name()).collect();
        if names.len() > 1 && names[names.len() - 1] == Activation::Identity.name() {
            names.pop();
        }
        names.dedup();
        let time = if self.time_input { " with time" } else { "" };
        let bias = if self.bias { "" } else { " without biases" };
        format!("{} {}{time}{bias}", widths.join("-"), names.join("-"))
    }
}

/// Collects the description of an [`Mlp`]; made by [`Mlp::builder`].
#[derive(Clone, Debug)]
#[must_use]
pub struct MlpBuilder {
    dim: usize,
    hidden: Vec<usize>,
    activations: Vec<Activation>,
    output: Activation,
    time_input: bool,
    bias: bool,
}

impl MlpBuilder {
    /// Adds hidden layers of the given widths, all with one activation. May be called again to add more.
    pub fn hidden(mut self, widths: &[usize], activation: Activation) -> Self {
        self.hidden.extend_from_slice(widths);
        self.activations.extend(widths.iter().map(|_| activation));
        self
    }

    /// Sets the activation of the last layer (default: identity).
    pub fn output_activation(mut self, activation: Activation) -> Self {
        self.output = activation;
        self
    }

    /// Appends the time to the inputs of layer 0 (default: false).
    pub fn time_input(mut self, time_input: bool) -> Self {
        self.time_input = time_input;
        self
    }

    /// False for layers without biases, as `nn.Linear(.., bias=False)` (default: true).
    pub fn bias(mut self, bias: bool) -> Self {
        self.bias = bias;
        self
    }

    /// Checks the description and lays out the parameters.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a state of no components, a layer of width 0, or a parameter count beyond 2³¹.
    pub fn build(self) -> Result<Mlp> {
        if self.dim == 0 {
            return Err(Error::invalid("state dimension", "0", "use at least 1 component"));
        }
        if let Some(layer) = self.hidden.iter().position(|&w| w == 0) {
            return Err(Error::invalid(
                format!("width of hidden layer {layer}"),
                "0",
                "use a width of at least 1, or leave the layer out",
            ));
        }
        let mut layers = Vec::with_capacity(self.hidden.len() + 1);
        let mut n_in = self.dim.saturating_add(usize::from(self.time_input));
        let mut offset = 0_usize;
        let outputs = self.hidden.iter().copied().chain([self.dim]);
        let activations = self.activations.iter().copied().chain([self.output]);
        for (n_out, activation) in outputs.zip(activations) {
            let weights = n_in.checked_mul(n_out);
            let biases = if self.bias { n_out } else { 0 };
            let end = weights.and_then(|w| offset.checked_add(w)?.checked_add(biases));
            let Some((weights, end)) = weights.zip(end).filter(|(_, e)| *e < 1 << 31) else {
                return Err(Error::invalid(
                    format!("layer of {n_in} inputs and {n_out} outputs"),
                    "the field would have 2^31 or more parameters",
                    "use narrower layers",
                ));
            };
            let (weight, bias, has_bias) = (offset, offset + weights, self.bias);
            layers.push(Layer { n_in, n_out, activation, weight, bias, has_bias });
            offset = end;
            n_in = n_out;
        }
        Ok(Mlp { dim: self.dim, time_input: self.time_input, bias: self.bias, layers })
    }
}

/// How the parameters of a field are drawn before training. Biases start at zero unless stated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Init {
    /// Uniform in ±√(6 / (n_in + n_out)) (Glorot & Bengio 2010).
    #[default]
    Xavier,
    /// Normal with standard deviation √(2 / n_in) (He et al. 2015), for relu-like activations.
    Kaiming,
    /// Normal with the given standard deviation (torchdiffeq's examples use 0.1).
    Normal(f64),
    /// Weights and biases uniform in ±1/√n_in: what PyTorch's `nn.Linear` does by default.
    Torch,
}
