//! Scaling of the components of a data set, and the way back.

use std::fmt;
use std::str::FromStr;

use ndarray::{Array3, ArrayRef, Axis, Dimension};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// How the components are scaled before training.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[non_exhaustive]
pub enum Scale {
    /// As they are.
    #[default]
    None,
    /// Mean 0 and standard deviation 1, per component over all series and times.
    Standardise,
    /// The same of the natural logarithm: for positive quantities such as populations.
    LogStandardise,
}

impl Scale {
    /// Every way of scaling.
    pub const ALL: [Self; 3] = [Self::None, Self::Standardise, Self::LogStandardise];

    /// The name used in run files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Standardise => "standardise",
            Self::LogStandardise => "log_standardise",
        }
    }
}

impl fmt::Display for Scale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Scale {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|s| s.name() == name).ok_or_else(|| Error::UnknownName {
            kind: "scale",
            name: name.to_owned(),
            known: Self::ALL.map(Self::name).join(", "),
        })
    }
}

impl TryFrom<String> for Scale {
    type Error = Error;

    fn try_from(name: String) -> Result<Self> {
        name.parse()
    }
}

impl From<Scale> for String {
    fn from(scale: Scale) -> Self {
        scale.name().to_owned()
    }
}

/// The map `z = (g(x) − mean) / deviation` per component, with `g` the identity or the logarithm.
///
/// It serialises, so that it can be kept beside the weights that were trained with it: they only make sense together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Standardiser {
    scale: Scale,
    mean: Vec<f64>,
    deviation: Vec<f64>,
}

/// A [`Standardiser`] as a file may describe it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    scale: Scale,
    mean: Vec<f64>,
    deviation: Vec<f64>,
}

impl TryFrom<Unchecked> for Standardiser {
    type Error = Error;

    fn try_from(Unchecked { scale, mean, deviation }: Unchecked) -> Result<Self> {
        let usable = mean.iter().all(|m| m.is_finite()) && deviation.iter().all(|d| d.is_finite() && *d > 0.0);
        if mean.len() != deviation.len() || !usable {
            return Err(Error::invalid(
                "scaling",
                format!("mean {mean:?}, deviation {deviation:?}"),
                "give one finite mean and one finite deviation > 0 per component",
            ));
        }
        Ok(Self { scale, mean, deviation })
    }
}

impl Standardiser {
    /// Takes mean and standard deviation (of the population, not of the sample) of each component of
    /// `values: [series, time, dim]`.
    ///
    /// # Errors
    /// [`Error::Invalid`] if a component is constant, or not positive where its logarithm is asked for;
    /// [`Error::Shape`] if there are no values.
    pub fn fit(scale: Scale, values: &Array3<f32>) -> Result<Self> {
        let dim = values.len_of(Axis(2));
        if values.is_empty() {
            let expected = "[series, time, dim] with at least one value";
            return Err(Error::shape("data to scale", values.shape(), expected, "give some data"));
        }
        let mut fitted = Self { scale, mean: vec![0.0; dim], deviation: vec![1.0; dim] };
        if scale == Scale::None {
            return Ok(fitted);
        }
        for (c, component) in values.axis_iter(Axis(2)).enumerate() {
            let mapped = component.iter().map(|&x| fitted.curve(c, x)).collect::<Result<Vec<f64>>>()?;
            let n = mapped.len() as f64;
            let mean = mapped.iter().sum::<f64>() / n;
            let deviation = (mapped.iter().map(|g| (g - mean).powi(2)).sum::<f64>() / n).sqrt();
            // Rounding alone makes deviations of this order out of constant f32 data.
            if deviation.is_nan() || deviation <= 1e-12 * mean.abs().max(f64::MIN_POSITIVE) {
                return Err(Error::invalid(
                    format!("component {c} of the data"),
                    format!("it has the same value everywhere, so that it cannot be scaled to deviation 1 ({scale})"),
                    "use scale = \"none\" or leave the component out",
                ));
            }
            fitted.mean[c] = mean;
            fitted.deviation[c] = deviation;
        }
        Ok(fitted)
    }

    /// Which map it is.
    #[must_use]
    pub fn scale(&self) -> Scale {
        self.scale
    }

    /// Mean per component, of the logarithm if that is what is scaled.
    #[must_use]
    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// Standard deviation per component, of the logarithm if that is what is scaled.
    #[must_use]
    pub fn deviation(&self) -> &[f64] {
        &self.deviation
    }

    /// Scales `values: [.., dim]` in place, from the units of the data to those of the model.
    ///
    /// # Errors
    /// [`Error::Shape`] if the last axis has not one entry per component, [`Error::Invalid`] for a value that is not
    /// positive where its logarithm is asked for; values before it are then scaled already.
    pub fn forward<D: Dimension>(&self, values: &mut ArrayRef<f32, D>) -> Result<()> {
        self.apply(values, |c, x| Ok((self.curve(c, x)? - self.mean[c]) / self.deviation[c]))
    }

    /// The way back: from the units of the model to those of the data.
    ///
    /// # Errors
    /// [`Error::Shape`] if the last axis has not one entry per component.
    pub fn inverse<D: Dimension>(&self, values: &mut ArrayRef<f32, D>) -> Result<()> {
        self.apply(values, |c, z| {
            let g = f64::from(z) * self.deviation[c] + self.mean[c];
            Ok(if self.scale == Scale::LogStandardise { g.exp() } else { g })
        })
    }

    /// `g(x)` of component `c`.
    fn curve(&self, c: usize, x: f32) -> Result<f64> {
        if self.scale != Scale::LogStandardise {
            return Ok(x.into());
        }
        // Written so that a NaN is refused too.
        if x.is_nan() || x <= 0.0 {
            return Err(Error::invalid(
                format!("component {c} of the data"),
                format!("the value {x} has no logarithm"),
                "use scale = \"standardise\", or shift the data to be positive",
            ));
        }
        Ok(f64::from(x).ln())
    }

    fn apply<D: Dimension>(
        &self,
        values: &mut ArrayRef<f32, D>,
        map: impl Fn(usize, f32) -> Result<f64>,
    ) -> Result<()> {
        let dim = self.mean.len();
        if values.shape().last() != Some(&dim) {
            let expected = format!("[.., {dim}]");
            return Err(Error::shape(
                "data to scale",
                values.shape(),
                expected,
                "use the scaling of the same data set",
            ));
        }
        // Iteration is in logical order, whatever the order in memory: the last axis runs fastest.
        for (i, value) in values.iter_mut().enumerate() {
            #[expect(clippy::cast_possible_truncation, reason = "states are f32 by definition")]
            {
                *value = map(i % dim, *value)? as f32;
            }
        }
        Ok(())
    }
}
