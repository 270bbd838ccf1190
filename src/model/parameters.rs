//! The flat parameter vector θ of a field.

use rand::SeedableRng;
use rand_distr::{Distribution, Normal, Uniform};
use rand_pcg::Pcg64;

use super::{Init, Mlp};
use crate::error::{Error, Result};

/// The parameters θ of an [`Mlp`] as one flat vector in PyTorch order: per layer `W[n_out, n_in]` row-major, then `b[n_out]`
/// if the field has biases.
///
/// ```
/// use costate::{Activation, Init, Mlp, Parameters};
/// let field = Mlp::builder(2).hidden(&[16], Activation::Tanh).build()?;
/// let theta = Parameters::init(&field, Init::Xavier, 0)?;
/// assert_eq!(theta.weight(0).len(), 16 * 2);
/// assert_eq!(theta.bias(1), [0.0, 0.0]);
/// # Ok::<(), costate::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Parameters {
    field: Mlp,
    values: Vec<f32>,
}

impl Parameters {
    /// Takes a flat vector of `field.parameter_count()` values.
    ///
    /// # Errors
    /// [`Error::Shape`] if the length is another, [`Error::NonFiniteData`] if a value is NaN or infinite.
    pub fn from_flat(field: &Mlp, values: Vec<f32>) -> Result<Self> {
        if values.len() != field.parameter_count() {
            return Err(Error::shape(
                "parameter vector",
                &[values.len()],
                format!("[{}] for a {} field", field.parameter_count(), field.summary()),
                "give W [n_out, n_in] row-major then b [n_out], layer by layer",
            ));
        }
        if let Some(i) = values.iter().position(|v| !v.is_finite()) {
            return Err(Error::NonFiniteData {
                what: "parameter vector".into(),
                value: values[i].into(),
                index: format!("[{i}]"),
            });
        }
        Ok(Self { field: field.clone(), values })
    }

    /// Draws parameters with a seeded PCG-64 generator: the same seed gives the same values on every machine.
    ///
    /// # Errors
    /// [`Error::Invalid`] if a standard deviation is negative or not finite.
    pub fn init(field: &Mlp, init: Init, seed: u64) -> Result<Self> {
        let mut rng = Pcg64::seed_from_u64(seed);
        let mut values = vec![0.0_f32; field.parameter_count()];
        for layer in field.layers() {
            let (n_in, n_out) = (layer.n_in as f64, layer.n_out as f64);
            let (weights, biases) = (layer.weights(), layer.biases());
            let deviation = |e: rand_distr::NormalError| {
                Error::invalid("initialiser", e.to_string(), "use a finite standard deviation ≥ 0")
            };
            let range =
                |e: rand_distr::uniform::Error| Error::invalid("initialiser", e.to_string(), "use a finite range");
            match init {
                Init::Xavier => {
                    let bound = (6.0 / (n_in + n_out)).sqrt();
                    fill(&mut values[weights], &Uniform::new_inclusive(-bound, bound).map_err(range)?, &mut rng);
                }
                Init::Kaiming => {
                    fill(&mut values[weights], &Normal::new(0.0, (2.0 / n_in).sqrt()).map_err(deviation)?, &mut rng);
                }
                Init::Normal(std) => {
                    if !(std.is_finite() && std >= 0.0) {
                        return Err(Error::invalid(
                            "initialiser",
                            format!("standard deviation {std}"),
                            "use a finite standard deviation ≥ 0",
                        ));
                    }
                    fill(&mut values[weights], &Normal::new(0.0, std).map_err(deviation)?, &mut rng);
                }
                Init::Torch => {
                    let bound = 1.0 / n_in.sqrt();
                    let uniform = Uniform::new_inclusive(-bound, bound).map_err(range)?;
                    fill(&mut values[weights], &uniform, &mut rng);
                    fill(&mut values[biases], &uniform, &mut rng);
                }
            }
        }
        Ok(Self { field: field.clone(), values })
    }

    /// The field that these parameters belong to.
    #[must_use]
    pub fn field(&self) -> &Mlp {
        &self.field
    }

    /// The flat vector.
    #[must_use]
    pub fn as_slice(&self) -> &[f32] {
        &self.values
    }

    /// The flat vector, to change values in place.
    pub fn as_mut_slice(&mut self) -> &mut [f32] {
        &mut self.values
    }

    /// The weights of one layer, `[n_out, n_in]` row-major.
    ///
    /// # Panics
    /// If the field has no such layer.
    #[must_use]
    pub fn weight(&self, layer: usize) -> &[f32] {
        &self.values[self.field.layers()[layer].weights()]
    }

    /// The biases of one layer, `[n_out]`; none if the field has none.
    ///
    /// # Panics
    /// If the field has no such layer.
    #[must_use]
    pub fn bias(&self, layer: usize) -> &[f32] {
        &self.values[self.field.layers()[layer].biases()]
    }
}

fn fill(values: &mut [f32], distribution: &impl Distribution<f64>, rng: &mut Pcg64) {
    for value in values {
        #[expect(clippy::cast_possible_truncation, reason = "parameters are f32 by definition")]
        {
            *value = distribution.sample(rng) as f32;
        }
    }
}
