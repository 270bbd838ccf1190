//! What the states at the save times are worth: the loss, and the cotangents that the adjoint jumps by.

use ndarray::{Array3, ArrayView3};

use crate::error::{Error, Result};
use crate::model::Loss;

/// Where the adjoint starts: what the saved states are worth. All arrays are `[time, batch, dim]`, like the states.
#[derive(Clone, Copy, Debug)]
pub enum Seed<'a> {
    /// Observations `y`: the loss is the mean of `(x − y)²` over time, batch and components.
    Targets(ArrayView3<'a, f64>),
    /// Cotangents `∂J/∂x(t_k)` of any loss the caller has in mind.
    Cotangents(ArrayView3<'a, f64>),
    /// Observations with a loss of their own.
    Observations(Observations<'a>),
}

/// Observations and their loss `Σ w ℓ(x − y) / n`, n being the number of observations that are not masked, whatever their
/// weights.
#[derive(Clone, Copy, Debug)]
pub struct Observations<'a> {
    /// `ℓ`.
    pub loss: Loss,
    /// `y: [time, batch, dim]`. What is masked is never read and may be NaN.
    pub targets: ArrayView3<'a, f64>,
    /// `w ≥ 0: [time, batch, dim]`; 1 if there are none.
    pub weights: Option<ArrayView3<'a, f64>>,
    /// True where something was observed, `[time, batch, dim]`; everywhere if there is none.
    pub mask: Option<ArrayView3<'a, bool>>,
    /// `ln σ: [dim]` for [`Loss::GaussianNll`], otherwise empty.
    pub log_scale: &'a [f64],
}

/// What a seed makes of the states.
pub(super) struct Judgement {
    /// The loss; none for cotangents.
    pub(super) loss: Option<f64>,
    /// Cotangents of the states, `[time, batch, dim]`.
    pub(super) jumps: Array3<f64>,
    /// `∂J/∂y: [time, batch, dim]`; none for cotangents.
    pub(super) targets: Option<Array3<f64>>,
    /// `∂J/∂ln σ`, empty for a loss without scales.
    pub(super) log_scale: Vec<f64>,
}

impl Seed<'_> {
    /// What a unit of a trajectory's running cost is worth: the mean over the batch is added to a loss, the sum to what
    /// cotangents describe.
    pub(super) fn worth_of_cost(self, batch: usize) -> f64 {
        match self {
            Self::Targets(_) | Self::Observations(_) => (batch as f64).recip(),
            Self::Cotangents(_) => 1.0,
        }
    }

    /// Loss and cotangents of the states, `[time, batch, dim]`.
    pub(super) fn judge(self, states: &Array3<f64>) -> Judgement {
        match self {
            Self::Targets(targets) => Observations::mse(targets).judge(states),
            Self::Observations(observations) => observations.judge(states),
            Self::Cotangents(cotangents) => {
                Judgement { loss: None, jumps: cotangents.to_owned(), targets: None, log_scale: Vec::new() }
            }
        }
    }

    /// Refuses arrays of another shape than `[time, batch, dim]`, and observations that make no sense.
    pub(super) fn check(self, expected: [usize; 3]) -> Result<()> {
        match self {
            Self::Targets(targets) => Observations::mse(targets).check(expected),
            Self::Observations(observations) => observations.check(expected),
            Self::Cotangents(cotangents) => check_shape("cotangents", cotangents.shape(), expected),
        }
    }
}

impl<'a> Observations<'a> {
    /// The mean squared error of these targets.
    fn mse(targets: ArrayView3<'a, f64>) -> Self {
        Self { loss: Loss::Mse, targets, weights: None, mask: None, log_scale: &[] }
    }

    fn is_observed(&self, index: (usize, usize, usize)) -> bool {
        self.mask.is_none_or(|mask| mask[index])
    }

    fn weight(&self, index: (usize, usize, usize)) -> f64 {
        self.weights.map_or(1.0, |weights| weights[index])
    }

    /// The indices of what is not masked.
    fn observed(&self) -> impl Iterator<Item = (usize, usize, usize)> {
        self.targets.indexed_iter().map(|(index, _)| index).filter(|&index| self.is_observed(index))
    }

    fn judge(&self, states: &Array3<f64>) -> Judgement {
        let count = self.observed().count() as f64;
        let mut loss = 0.0;
        let mut jumps = Array3::zeros(states.raw_dim());
        let mut log_scale = vec![0.0; self.log_scale.len()];
        for index in self.observed() {
            let component = index.2;
            let s = self.log_scale.get(component).copied().unwrap_or(0.0);
            let (value, by_residual, by_scale) = self.loss.value(states[index] - self.targets[index], s);
            let weight = self.weight(index);
            loss += weight * value;
            jumps[index] = weight / count * by_residual;
            if let Some(sum) = log_scale.get_mut(component) {
                *sum += weight / count * by_scale;
            }
        }
        // The residual is x − y; subtracted, so that what is masked is no negative zero.
        let targets = jumps.mapv(|jump| 0.0 - jump);
        Judgement { loss: Some(loss / count), jumps, targets: Some(targets), log_scale }
    }

    fn check(&self, expected: [usize; 3]) -> Result<()> {
        check_shape("targets", self.targets.shape(), expected)?;
        if let Some(weights) = self.weights {
            check_shape("weights of the observations", weights.shape(), expected)?;
        }
        if let Some(mask) = self.mask {
            check_shape("mask of the observations", mask.shape(), expected)?;
        }
        self.check_log_scale(expected[2])?;
        if self.observed().next().is_none() {
            return Err(Error::invalid("mask of the observations", "nothing is observed", "leave at least one true"));
        }
        for index in self.observed() {
            let (target, weight) = (self.targets[index], self.weight(index));
            if !target.is_finite() {
                let index = format!("{index:?}");
                return Err(Error::NonFiniteData { what: "targets".into(), value: target, index });
            }
            if !(weight.is_finite() && weight >= 0.0) {
                let what = format!("weight of the observation at {index:?}");
                return Err(Error::invalid(what, weight.to_string(), "use finite weights ≥ 0"));
            }
        }
        Ok(())
    }

    fn check_log_scale(&self, dim: usize) -> Result<()> {
        let expected = self.loss.parameter_count(dim);
        if self.log_scale.len() != expected {
            return Err(Error::shape(
                "log scales of the loss",
                &[self.log_scale.len()],
                format!("[{expected}] for the loss {}", self.loss),
                "give one for each state component with gaussian_nll, none with other losses",
            ));
        }
        match self.log_scale.iter().enumerate().find(|(_, s)| !s.is_finite()) {
            None => Ok(()),
            Some((c, &value)) => {
                Err(Error::NonFiniteData { what: "log scales of the loss".into(), value, index: format!("[{c}]") })
            }
        }
    }
}

fn check_shape(what: &str, found: &[usize], expected: [usize; 3]) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    Err(Error::shape(
        what,
        found,
        format!("{expected:?} = [time, batch, dim]"),
        "give one value per save time, trajectory and state component",
    ))
}
