//! `[loss]`, `[cost]` and `[gradient]`: what is made small, and what it is differentiated by.

use std::path::PathBuf;

use costate::io::read_reference;
use costate::{Result, RunningCost, Wrt};
use serde::{Deserialize, Deserializer};

use super::Config;
use super::check::{invalid, positive};

/// `[loss]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Loss {
    #[serde(default)]
    kind: LossKind,
    /// Where the parabola of huber ends.
    delta: Option<f64>,
    /// ln σ of every component, or one for all; gaussian_nll only.
    #[serde(default, deserialize_with = "one_or_more")]
    log_scale: Option<Vec<f64>>,
    /// True if training learns ln σ too; gaussian_nll only.
    learn_scale: Option<bool>,
}

/// The losses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum LossKind {
    /// Mean over time, batch and dim of (x − target)².
    #[default]
    Mse,
    Mae,
    Huber,
    GaussianNll,
}

/// `[cost]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cost {
    /// Weight of ‖f‖².
    kinetic: Option<f64>,
    /// Weight of ‖∂f/∂x · ε‖².
    jacobian: Option<f64>,
    /// Seed of ε.
    seed: Option<u32>,
    /// Weight of ‖θ‖².
    parameters: Option<f64>,
    /// The trajectory that the state should be close to.
    pub(super) reference: Option<Reference>,
}

/// `reference = { weight = 1.0, file = "reference.npz" }`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reference {
    /// Weight of ‖x − x_ref‖².
    #[serde(default = "unit")]
    weight: f64,
    /// See [`read_reference`].
    pub(super) file: PathBuf,
}

/// `[gradient]`
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Gradient {
    #[serde(default, deserialize_with = "arguments")]
    wrt: Option<Wrt>,
}

impl Config {
    /// What is differentiated by: what the command line says, or the description, or θ and x0.
    ///
    /// # Errors
    /// [`Error::Invalid`](costate::Error::Invalid) for parameters of a loss that has none.
    pub(crate) fn wrt(&self, flag: Option<Wrt>) -> Result<Wrt> {
        let wrt = flag.or(self.gradient.wrt).unwrap_or_default();
        if wrt.loss && self.loss.kind != LossKind::GaussianNll {
            let what = if flag.is_some() { "--wrt" } else { "gradient.wrt" };
            let problem = format!("loss, where the loss {} has no parameters", self.loss.loss()?);
            return Err(invalid(what, problem, "leave it out, or use the loss gaussian_nll"));
        }
        Ok(wrt)
    }

    /// The running cost, with its reference from the file.
    ///
    /// # Errors
    /// As [`read_reference`].
    pub(crate) fn running_cost(&self) -> Result<Option<RunningCost>> {
        self.cost.as_ref().map(Cost::read).transpose()
    }

    /// ln σ of every component for gaussian_nll, 0 if none are given; empty for other losses.
    pub(crate) fn log_scale(&self) -> Vec<f32> {
        if self.loss.kind != LossKind::GaussianNll {
            return Vec::new();
        }
        let dim = self.field.state;
        match self.loss.log_scale.as_deref() {
            None => vec![0.0; dim],
            Some(&[same]) => vec![narrow(same); dim],
            Some(each) => each.iter().copied().map(narrow).collect(),
        }
    }
}

impl Loss {
    /// The loss of an observation.
    ///
    /// # Errors
    /// [`Error::Invalid`](costate::Error::Invalid) for a delta that is no f32 > 0.
    pub(crate) fn loss(&self) -> Result<costate::Loss> {
        Ok(match self.kind {
            LossKind::Mse => costate::Loss::Mse,
            LossKind::Mae => costate::Loss::Mae,
            LossKind::Huber => costate::Loss::huber(narrow(self.delta.unwrap_or(1.0)))?,
            LossKind::GaussianNll => costate::Loss::GaussianNll,
        })
    }

    /// True if training learns ln σ too.
    pub(crate) fn learns_scale(&self) -> bool {
        self.learn_scale == Some(true)
    }

    pub(super) fn check(&self, state: usize, training: bool) -> Result<()> {
        let loss = self.loss_checked()?;
        let only = |key: &str, needed: LossKind, name: &str| {
            if self.kind == needed {
                return Ok(());
            }
            let remedy = format!("remove it, or use kind = \"{name}\"");
            Err(invalid(format!("loss.{key}"), format!("it means nothing to {loss}"), remedy))
        };
        if self.delta.is_some() {
            only("delta", LossKind::Huber, "huber")?;
        }
        if let Some(scales) = &self.log_scale {
            only("log_scale", LossKind::GaussianNll, "gaussian_nll")?;
            if scales.len() != 1 && scales.len() != state {
                let problem = format!("{} numbers for {state} components", scales.len());
                return Err(invalid("loss.log_scale", problem, "give ln σ once, or once per component"));
            }
            if let Some(scale) = scales.iter().find(|s| !s.is_finite()) {
                return Err(invalid("loss.log_scale", scale.to_string(), "use finite numbers"));
            }
        }
        if self.learn_scale.is_some() {
            only("learn_scale", LossKind::GaussianNll, "gaussian_nll")?;
            if !training {
                let remedy = "remove it, or add the section [train]";
                return Err(invalid("loss.learn_scale", "it means nothing without training", remedy));
            }
        }
        Ok(())
    }

    /// The same with the key in the message.
    fn loss_checked(&self) -> Result<costate::Loss> {
        self.delta.map_or(Ok(()), |delta| positive("loss.delta", narrow(delta).into()))?;
        self.loss()
    }
}

impl Cost {
    pub(super) fn check(&self) -> Result<()> {
        let reference = self.reference.as_ref().map(|r| r.weight);
        let terms = [
            ("kinetic", self.kinetic),
            ("jacobian", self.jacobian),
            ("parameters", self.parameters),
            ("reference.weight", reference),
        ];
        if terms.iter().all(|(_, weight)| weight.is_none()) {
            let remedy = "give at least one of kinetic, jacobian, parameters and reference, or remove the section";
            return Err(invalid("section [cost]", "it has no term", remedy));
        }
        for (key, weight) in terms {
            let bad = weight.filter(|w| !(w.is_finite() && *w >= 0.0));
            if let Some(weight) = bad {
                return Err(invalid(format!("cost.{key}"), weight.to_string(), "use a finite number ≥ 0"));
            }
        }
        if self.seed.is_some() && self.jacobian.is_none() {
            let remedy = "remove it, or give the weight jacobian";
            return Err(invalid("cost.seed", "it means nothing without the Jacobian term", remedy));
        }
        Ok(())
    }

    fn read(&self) -> Result<RunningCost> {
        let cost = RunningCost::new()
            .kinetic(self.kinetic.unwrap_or(0.0))?
            .jacobian(self.jacobian.unwrap_or(0.0), self.seed.unwrap_or(0))?
            .parameters(self.parameters.unwrap_or(0.0))?;
        match &self.reference {
            Some(reference) => cost.reference(reference.weight, read_reference(&reference.file)?),
            None => Ok(cost),
        }
    }
}

fn unit() -> f64 {
    1.0
}

#[expect(clippy::cast_possible_truncation, reason = "the device computes in f32")]
fn narrow(value: f64) -> f32 {
    value as f32
}

/// A number or a list of numbers. By hand, because serde's untagged enums swallow the message.
fn one_or_more<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Option<Vec<f64>>, D::Error> {
    use serde::de::Error;
    let value = toml::Value::deserialize(deserializer)?;
    let list = value.as_array().map_or(std::slice::from_ref(&value), Vec::as_slice);
    let number = |v: &toml::Value| match v {
        toml::Value::Float(v) => Some(*v),
        #[expect(clippy::cast_precision_loss, reason = "a number beyond 2^53 is refused as too large for ln σ")]
        toml::Value::Integer(v) => Some(*v as f64),
        _ => None,
    };
    let numbers: Option<Vec<f64>> = list.iter().map(number).collect();
    let refused = || D::Error::custom(format!("{value} is no number and no list of numbers"));
    numbers.map(Some).ok_or_else(refused)
}

/// A list of what a gradient is taken with respect to.
fn arguments<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Option<Wrt>, D::Error> {
    use serde::de::Error;
    let names = Vec::<String>::deserialize(deserializer)?;
    names.join(",").parse().map(Some).map_err(D::Error::custom)
}
