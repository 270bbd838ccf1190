//! What a loss is made of: targets with their weights and mask, checked before anything is dispatched.

use ndarray::{Array2, ArrayView3, Axis, Zip};

use super::arrays::{check_finite, to_device};
use crate::error::{Error, Result};
use crate::model::Loss;

/// Largest |ln σ|: beyond it neither σ nor 1/σ is a number of f32.
const LOG_SCALE_LIMIT: f32 = 80.0;

/// Observations of the states at the save times, `[time, batch, dim]` each.
///
/// Trajectories that are observed at times of their own share one grid, the union of those times: the mask says who looks
/// when. A masked observation takes no part in loss and gradient, whatever its target holds, and costs no accuracy: the
/// trajectory is not interrupted there. It may be NaN.
///
/// ```
/// use costate::Observations;
/// use ndarray::Array3;
///
/// let targets = Array3::<f32>::zeros((5, 8, 2));
/// let mask = Array3::from_shape_fn((5, 8, 2), |(time, trajectory, _)| (time + trajectory) % 2 == 0);
/// let observations = Observations::new(targets.view()).mask(mask.view());
/// # let _ = observations;
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Observations<'a> {
    pub(super) targets: ArrayView3<'a, f32>,
    pub(super) weights: Option<ArrayView3<'a, f32>>,
    pub(super) mask: Option<ArrayView3<'a, bool>>,
    pub(super) log_scale: &'a [f32],
}

impl<'a> Observations<'a> {
    /// Targets, all observed, with weight 1.
    #[must_use]
    pub fn new(targets: ArrayView3<'a, f32>) -> Self {
        Self { targets, weights: None, mask: None, log_scale: &[] }
    }

    /// Sets a weight ≥ 0 for every observation. Weights multiply the terms of the loss; its divisor stays the number of
    /// observations.
    #[must_use]
    pub fn weights(self, weights: ArrayView3<'a, f32>) -> Self {
        Self { weights: Some(weights), ..self }
    }

    /// Sets which values are observed: false where one is missing.
    #[must_use]
    pub fn mask(self, mask: ArrayView3<'a, bool>) -> Self {
        Self { mask: Some(mask), ..self }
    }

    /// Sets `ln σ` of every component, `[dim]`, for [`Loss::GaussianNll`].
    #[must_use]
    pub fn log_scale(self, log_scale: &'a [f32]) -> Self {
        Self { log_scale, ..self }
    }

    /// True if observations differ in weight or are missing.
    pub(super) fn is_weighted(&self) -> bool {
        self.weights.is_some() || self.mask.is_some()
    }

    /// Refuses what does not fit states `[time, batch, dim]` or the loss.
    pub(super) fn check(&self, loss: Loss, expected: [usize; 3]) -> Result<()> {
        check_shape("targets", self.targets.shape(), expected)?;
        if let Some(weights) = &self.weights {
            check_shape("weights", weights.shape(), expected)?;
            check_finite("weights", weights)?;
            if let Some((index, weight)) = weights.indexed_iter().find(|(_, w)| **w < 0.0) {
                let problem = format!("{weight} at {index:?}");
                let remedy = "use weights ≥ 0, and a mask for missing values";
                return Err(Error::invalid("weights", problem, remedy));
            }
        }
        if let Some(mask) = &self.mask {
            check_shape("mask", mask.shape(), expected)?;
            if !mask.iter().any(|m| *m) {
                return Err(Error::invalid("mask", "nothing is observed", "mark at least one observation with true"));
            }
        }
        self.check_targets()?;
        check_loss(loss, self.log_scale, expected[2])
    }

    fn check_targets(&self) -> Result<()> {
        if self.mask.is_none() {
            check_finite("targets", &self.targets)?;
        }
        let seen = |index: [usize; 3]| self.mask.is_none_or(|mask| mask[index]);
        for ((i, j, k), &value) in self.targets.indexed_iter().filter(|((i, j, k), _)| seen([*i, *j, *k])) {
            let index = format!("[{i}, {j}, {k}]");
            if !value.is_finite() {
                return Err(Error::NonFiniteData { what: "targets".into(), value: value.into(), index });
            }
        }
        Ok(())
    }

    /// Targets at a save time as the device gets them: zero where masked.
    pub(super) fn device_targets(&self, time: usize, stride: u32, values: &mut Vec<f32>) {
        let state = self.targets.index_axis(Axis(0), time);
        match &self.mask {
            None => to_device(state, stride, values),
            Some(mask) => {
                let mask = mask.index_axis(Axis(0), time);
                let seen = Zip::from(state).and(mask).map_collect(|&v, &seen| if seen { v } else { 0.0 });
                to_device(seen.view(), stride, values);
            }
        }
    }

    /// Weights at a save time as the device gets them: negative where masked.
    pub(super) fn device_weights(&self, time: usize, stride: u32, values: &mut Vec<f32>) {
        let shape = self.targets.index_axis(Axis(0), time).raw_dim();
        let mut weights = self.weights.map_or_else(|| Array2::ones(shape), |w| w.index_axis(Axis(0), time).to_owned());
        if let Some(mask) = &self.mask {
            Zip::from(&mut weights).and(mask.index_axis(Axis(0), time)).for_each(|w, &seen| {
                if !seen {
                    *w = -1.0;
                }
            });
        }
        to_device(weights.view(), stride, values);
    }
}

impl<'a> From<ArrayView3<'a, f32>> for Observations<'a> {
    fn from(targets: ArrayView3<'a, f32>) -> Self {
        Self::new(targets)
    }
}

/// Refuses an array that is not `[time, batch, dim]`.
pub(super) fn check_shape(what: &str, found: &[usize], expected: [usize; 3]) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    let remedy = "give one value per save time, trajectory and component";
    Err(Error::shape(what, found, format!("[time, batch, dim] = {expected:?}"), remedy))
}

/// Refuses log scales that do not fit the loss of a state of `dim` components.
pub(crate) fn check_loss(loss: Loss, log_scale: &[f32], dim: usize) -> Result<()> {
    if let Loss::Huber { delta } = loss {
        Loss::huber(delta)?;
    }
    let wanted = loss.parameter_count(dim);
    if log_scale.len() != wanted {
        let remedy = match (wanted, log_scale.is_empty()) {
            (0, _) => "leave them out, or use the loss gaussian_nll",
            (_, true) => "give ln σ of every component with the observations",
            _ => "give one ln σ per component",
        };
        return Err(Error::shape(
            "log scales of the loss",
            &[log_scale.len()],
            format!("[{wanted}] for {loss}"),
            remedy,
        ));
    }
    match log_scale.iter().position(|s| s.is_nan() || s.abs() > LOG_SCALE_LIMIT) {
        Some(c) => Err(Error::invalid(
            format!("log scale of component {c}"),
            log_scale[c].to_string(),
            format!("use ln σ between −{LOG_SCALE_LIMIT} and {LOG_SCALE_LIMIT}: standardise the data"),
        )),
        None => Ok(()),
    }
}
