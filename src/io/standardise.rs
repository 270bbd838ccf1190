//! Scaling of the components of a data set, and the way back.

use std::fmt;
use std::str::FromStr;

use ndarray::{Array, Array3, ArrayRef, ArrayView2, Axis, Dimension};
use serde::{Deserialize, Serialize};

use super::arrays::unravel;
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
    /// `values: [series, time, dim]`, of those that are not NaN: the others were not observed.
    ///
    /// # Errors
    /// [`Error::Invalid`] if a component is constant or was never observed, or not positive where its logarithm is asked
    /// for; [`Error::Shape`] if there are no values.
    pub fn fit<A: Copy + Into<f64>>(scale: Scale, values: &Array3<A>) -> Result<Self> {
        let dim = values.len_of(Axis(2));
        if values.is_empty() {
            let expected = "[series, time, dim] with at least one value";
            return Err(Error::shape("data to scale", values.shape(), expected, "give some data"));
        }
        let mut fitted = Self { scale, mean: vec![0.0; dim], deviation: vec![1.0; dim] };
        for (c, component) in values.axis_iter(Axis(2)).enumerate() {
            let refused = |problem: String, remedy: &str| {
                Err(Error::invalid(format!("component {c} of the data"), problem, remedy))
            };
            let placed = component.indexed_iter().map(|(place, &x)| (place, x.into()));
            let placed: Vec<((usize, usize), f64)> = placed.filter(|(_, x)| !x.is_nan()).collect();
            let observed: Vec<f64> = placed.iter().map(|&(_, x)| x).collect();
            if observed.is_empty() {
                return refused("it was never observed".into(), "leave the component out");
            }
            if scale == Scale::None {
                continue;
            }
            let mapped = placed
                .iter()
                .map(|&((s, t), x)| fitted.curve(x, || format!("[{s}, {t}, {c}]")))
                .collect::<Result<Vec<f64>>>()?;
            if is_constant(&observed) || is_constant(&mapped) {
                let problem = "it has the same value everywhere, so that it cannot be scaled to deviation 1";
                let remedy = "use scale = \"none\" or leave the component out";
                return refused(format!("{problem} ({scale})"), remedy);
            }
            let (mean, deviation) = moments(&mapped);
            if !deviation.is_finite() {
                let problem = format!("its deviation is beyond the largest f64, {:e}", f64::MAX);
                return refused(problem, "use smaller units");
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

    /// Takes `values: [.., dim]` from the units of the data to those of the model, in f64 until the result is rounded. NaN,
    /// which was not observed, stays NaN.
    ///
    /// ```
    /// use costate::io::{Scale, Standardiser};
    /// use ndarray::array;
    ///
    /// let data = array![[[1e7 + 1.0], [1e7 - 1.0], [f64::NAN]]]; // in f32 a step of 1 is all that 1e7 can take
    /// let scaling = Standardiser::fit(Scale::Standardise, &data)?;
    /// let scaled = scaling.to_model(&data)?;
    /// assert!(scaled[[0, 0, 0]] == 1.0 && scaled[[0, 1, 0]] == -1.0 && scaled[[0, 2, 0]].is_nan());
    /// # Ok::<(), costate::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Shape`] if the last axis has not one entry per component, [`Error::Invalid`] for a value that is not
    /// positive where its logarithm is asked for, or beyond f32 when it is scaled.
    pub fn to_model<D: Dimension>(&self, values: &ArrayRef<f64, D>) -> Result<Array<f32, D>> {
        self.check(values.shape())?;
        let dim = self.mean.len();
        let mut scaled = Array::zeros(values.raw_dim());
        for (i, (scaled, &x)) in scaled.iter_mut().zip(values).enumerate() {
            let (c, place) = (i % dim, || format!("{:?}", unravel(i, values.shape())));
            *scaled = narrow((self.curve(x, place)? - self.mean[c]) / self.deviation[c]);
            if scaled.is_infinite() {
                return Err(Error::invalid(
                    format!("index {} of the data", place()),
                    format!(
                        "the value {x:e} is beyond the largest f32, {:e}, with scale = \"{}\"",
                        f32::MAX,
                        self.scale
                    ),
                    "use scale = \"standardise\", or other units",
                ));
            }
        }
        Ok(scaled)
    }

    /// The way back: from the units of the model to those of the data, which may need more digits than an f32 has.
    ///
    /// # Errors
    /// [`Error::Shape`] if the last axis has not one entry per component.
    pub fn to_data<D: Dimension>(&self, values: &ArrayRef<f32, D>) -> Result<Array<f64, D>> {
        self.check(values.shape())?;
        let dim = self.mean.len();
        let mut wide = Array::zeros(values.raw_dim());
        for (i, (wide, &z)) in wide.iter_mut().zip(values).enumerate() {
            *wide = self.line(i % dim, z);
        }
        Ok(wide)
    }

    /// What the digits of f32 do not show of observations `values: [series, time, dim]`: a sentence for each component
    /// that suffers, named as in `names`.
    #[must_use]
    pub fn lost_digits(&self, values: &Array3<f64>, names: &[String]) -> Vec<String> {
        let lost = |(component, name): (ArrayView2<'_, f64>, &String)| self.lost(&component, name);
        values.axis_iter(Axis(2)).zip(names).filter_map(lost).collect()
    }

    fn lost(&self, component: &ArrayView2<'_, f64>, name: &str) -> Option<String> {
        let observed = || component.iter().copied().filter(|x| !x.is_nan());
        let largest = observed().fold(0.0_f64, |m, x| m.max(x.abs()));
        let spread = observed().fold(f64::MIN, f64::max) - observed().fold(f64::MAX, f64::min);
        let unit = f64::from(narrow(largest).next_up()) - f64::from(narrow(largest));
        let steps = spread / unit;
        if self.scale == Scale::None {
            let few = spread > 0.0 && steps < COARSE;
            return few.then(|| {
                format!(
                    "component {name} varies by {spread:.3e} around {largest:.3e}, where numbers of 32 bits are {unit:.1e} \
                     apart: they can tell {steps:.0} values apart; use scale = \"standardise\", which is computed in 64 bits"
                )
            });
        }
        let rounded = spread > 0.0 && steps < ROUNDED && observed().all(|x| f64::from(narrow(x)) == x);
        rounded.then(|| {
            format!(
                "component {name} varies by {spread:.3e} around {largest:.3e} and has been rounded to 32 bits, {unit:.1e} \
                 apart, before it was saved; save it as float64"
            )
        })
    }

    /// `g(x)`; `place` is the index of `x` in the data.
    fn curve(&self, x: f64, place: impl FnOnce() -> String) -> Result<f64> {
        if self.scale != Scale::LogStandardise || x.is_nan() {
            return Ok(x);
        }
        if x <= 0.0 {
            return Err(Error::invalid(
                format!("index {} of the data", place()),
                format!("the value {x} has no logarithm"),
                "use scale = \"standardise\", or shift the data to be positive",
            ));
        }
        Ok(x.ln())
    }

    /// The inverse of the whole map.
    fn line(&self, c: usize, z: f32) -> f64 {
        let g = f64::from(z) * self.deviation[c] + self.mean[c];
        if self.scale == Scale::LogStandardise { g.exp() } else { g }
    }

    fn check(&self, shape: &[usize]) -> Result<()> {
        let dim = self.mean.len();
        if shape.last() == Some(&dim) {
            return Ok(());
        }
        Err(Error::shape("data to scale", shape, format!("[.., {dim}]"), "use the scaling of the same data set"))
    }
}

/// With `scale = "none"`: fewer values than this that f32 can tell apart are worth a warning.
const COARSE: f64 = 1024.0;
/// Scaled: so few values, all of which are f32, have been rounded before.
const ROUNDED: f64 = 16.0;

/// True if values differ by no more than the rounding of f64.
fn is_constant(values: &[f64]) -> bool {
    let [least, most] = [f64::min, f64::max].map(|pick| values.iter().copied().fold(values[0], pick));
    most - least <= 4.0 * f64::EPSILON * most.abs().max(least.abs())
}

/// Mean and standard deviation. Differences are taken first, so that neither an offset nor large units cost digits.
fn moments(values: &[f64]) -> (f64, f64) {
    let (n, first) = (values.len() as f64, values[0]);
    let mean = first + values.iter().map(|g| g - first).sum::<f64>() / n;
    let largest = values.iter().fold(0.0_f64, |m, g| m.max((g - mean).abs()));
    let square = values.iter().map(|g| ((g - mean) / largest).powi(2)).sum::<f64>() / n;
    (mean, largest * square.sqrt())
}

fn narrow(value: f64) -> f32 {
    #[expect(clippy::cast_possible_truncation, reason = "states are f32 by definition")]
    {
        value as f32
    }
}
