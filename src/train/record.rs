//! What iterations and evaluations measured, and why updates were not made.

use std::fmt;

use crate::plan::{norm, summary};

/// What one iteration measured, before its update.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Record {
    /// Number of the iteration, from 0.
    pub iteration: u64,
    /// Loss of the observations of the minibatch, by default the mean squared error; NaN if no trajectory took part.
    pub loss: f32,
    /// Mean running cost; 0 if there is none.
    pub cost: f32,
    /// Trajectories that took part; the others met a non-finite value.
    pub trajectories: u32,
    /// Trajectories among those that met a non-finite value on the way back. They had already added to the gradient, so
    /// the update was skipped: use the stored adjoint or smaller steps.
    pub reverse_failed: u32,
    /// Largest |x̂(t0) − x(t0)| of the trajectories that came back, relative to the largest magnitude that the component has
    /// met; 0 if the adjoint does not reconstruct.
    pub drift_max: f32,
    /// Mean over the trajectories of that of their components.
    pub drift_mean: f32,
    /// Methods on a pair: largest relative distance of the two copies at the ends of steps; 0 for others.
    pub copy_difference: f32,
    /// L2 norm of dJ/dθ before clipping, which neither overflows nor underflows; NaN if a value of dJ/dθ is not finite.
    pub gradient_norm: f64,
    /// Why no update was made of this iteration; `None` if one was.
    pub skipped: Option<Skip>,
}

impl Record {
    /// From the summary of a pass; `parameters_cost` is the cost of a unit of ‖θ‖².
    pub(super) fn new(iteration: u64, values: &[f32], parameters_cost: f32) -> Self {
        let pair = |place: u32| norm([values[place as usize], values[place as usize + 1]]);
        let survivors = values[summary::SURVIVORS];
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts below 2^32")]
        let [trajectories, survived] = [values[summary::TRAJECTORIES] as u32, survivors as u32];
        let gradient_norm = pair(summary::NORM);
        #[expect(clippy::cast_possible_truncation, reason = "reported as f32")]
        let of_parameters = match parameters_cost {
            0.0 => 0.0,
            cost => (f64::from(cost) * pair(summary::THETA).powi(2)) as f32,
        };
        // In the order of shaders/optimizer.wgsl, but for the norm: what failed before explains it.
        let skipped = if trajectories == 0 {
            Some(Skip::NoTrajectory)
        } else if survived != trajectories {
            Some(Skip::ReverseFailed)
        } else if values[summary::DIFFERING] != 0.0 {
            Some(Skip::WordsDiffer)
        } else if gradient_norm.is_nan() {
            Some(Skip::GradientNotFinite)
        } else if values[summary::OVERFLOWING] != 0.0 {
            Some(Skip::UpdateNotFinite)
        } else {
            None
        };
        Self {
            iteration,
            // Without a trajectory there is no mean.
            loss: if trajectories == 0 { f32::NAN } else { values[summary::LOSS] },
            cost: values[summary::COST] + of_parameters,
            trajectories,
            reverse_failed: trajectories.saturating_sub(survived),
            drift_max: values[summary::DRIFT as usize],
            drift_mean: values[summary::DRIFT as usize + 1] / survivors.max(1.0),
            copy_difference: values[summary::SPREAD],
            gradient_norm,
            skipped,
        }
    }
}

/// Why an update was not made: the parameters and what the optimiser remembers are as they were before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Skip {
    /// Every trajectory met a non-finite value or left its range on the way there.
    NoTrajectory,
    /// Trajectories met a non-finite value on the way back, after they had added to the gradient.
    ReverseFailed,
    /// Words of fixed point did not come back: the gradient is not that of the states.
    WordsDiffer,
    /// A value of the gradient is not finite.
    GradientNotFinite,
    /// The gradient is finite, but a parameter or what the optimiser remembers would not be after the update.
    UpdateNotFinite,
}

impl Skip {
    /// All reasons.
    pub const ALL: [Self; 5] =
        [Self::NoTrajectory, Self::ReverseFailed, Self::WordsDiffer, Self::GradientNotFinite, Self::UpdateNotFinite];

    /// A name for files: `gradient_not_finite`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NoTrajectory => "no_trajectory_left",
            Self::ReverseFailed => "reverse_pass_failed",
            Self::WordsDiffer => "words_differ",
            Self::GradientNotFinite => "gradient_not_finite",
            Self::UpdateNotFinite => "update_not_finite",
        }
    }

    /// What to change where updates are skipped for this reason.
    #[must_use]
    pub fn remedy(self) -> &'static str {
        match self {
            Self::NoTrajectory => "use a smaller step, smaller weights or a lower learning rate",
            Self::ReverseFailed => "use the stored adjoint or a smaller step",
            Self::WordsDiffer => "use the checkpointed adjoint",
            Self::GradientNotFinite => "standardise the data, or use a smaller step or smaller weights",
            Self::UpdateNotFinite => "use a lower learning rate, or clip the gradient",
        }
    }
}

/// `the gradient was not finite`
impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoTrajectory => "no trajectory stayed finite",
            Self::ReverseFailed => "trajectories met a non-finite value on the way back",
            Self::WordsDiffer => "words of fixed point did not come back",
            Self::GradientNotFinite => "the gradient was not finite",
            Self::UpdateNotFinite => "parameters would not have stayed finite",
        })
    }
}

/// How many updates were skipped, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Skips([u64; Skip::ALL.len()]);

impl Skips {
    /// Those of some records.
    #[must_use]
    pub fn of(records: &[Record]) -> Self {
        let mut skips = Self::default();
        records.iter().for_each(|record| skips.add(record));
        skips
    }

    /// Counts one more record.
    pub fn add(&mut self, record: &Record) {
        if let Some(skip) = record.skipped {
            self.0[skip as usize] += 1;
        }
    }

    /// Those for one reason.
    #[must_use]
    pub fn count(&self, skip: Skip) -> u64 {
        self.0[skip as usize]
    }

    /// All together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// The reason for most of them, the first in the order of [`Skip::ALL`]; `None` if there was none.
    #[must_use]
    pub fn most(&self) -> Option<Skip> {
        let most = self.0.iter().copied().max().filter(|count| *count > 0)?;
        Skip::ALL.into_iter().find(|skip| self.count(*skip) == most)
    }
}

/// `the gradient was not finite (12), no trajectory stayed finite (3)`
impl fmt::Display for Skips {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut first = true;
        for skip in Skip::ALL.into_iter().filter(|skip| self.count(*skip) > 0) {
            write!(f, "{}{skip} ({})", if first { "" } else { ", " }, self.count(skip))?;
            first = false;
        }
        if first { f.write_str("none") } else { Ok(()) }
    }
}

/// The loss of the whole data set: of windows that follow each other and see every point after the first of its series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evaluation {
    /// Updates before it.
    pub iteration: u64,
    /// Mean loss of all observations; NaN if no trajectory took part.
    pub loss: f64,
    /// Mean running cost; 0 if there is none.
    pub cost: f64,
    /// Windows.
    pub windows: u64,
    /// Those that took no part, because they met a non-finite value.
    pub failed: u64,
}

impl Evaluation {
    /// Loss and running cost together: what a training makes small.
    #[must_use]
    pub fn objective(&self) -> f64 {
        self.loss + self.cost
    }

    /// True if these parameters are better than those of `other`: fewer windows fail, or as many and the objective is
    /// smaller. A loss of what is left would flatter parameters whose hard windows fail.
    #[must_use]
    pub fn is_better_than(&self, other: &Self) -> bool {
        let worth = |e: &Self| if e.objective().is_finite() { e.objective() } else { f64::INFINITY };
        self.failed < other.failed || (self.failed == other.failed && worth(self) < worth(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(change: impl FnOnce(&mut [f32])) -> Record {
        let mut values = [0.0; summary::LEN];
        values[summary::TRAJECTORIES] = 4.0;
        values[summary::SURVIVORS] = 4.0;
        values[summary::NORM as usize..][..2].copy_from_slice(&[1.0, 2.25]);
        change(&mut values);
        Record::new(7, &values, 0.0)
    }

    #[test]
    fn a_record_says_why_its_update_was_skipped() {
        let good = record(|_| ());
        assert_eq!((good.iteration, good.gradient_norm, good.skipped), (7, 3.0, None));
        let skips = [
            record(|v| v[summary::TRAJECTORIES] = 0.0),
            record(|v| v[summary::SURVIVORS] = 3.0),
            record(|v| v[summary::DIFFERING] = 1.0),
            record(|v| v[summary::NORM as usize] = 128.0),
            record(|v| v[summary::OVERFLOWING] = 1.0),
        ];
        assert_eq!(skips.map(|r| r.skipped), Skip::ALL.map(Some));
        assert!(skips[0].loss.is_nan() && skips[3].gradient_norm.is_nan(), "nothing is claimed");
        let mut counted = Skips::of(&skips[..]);
        counted.add(&skips[3]);
        assert_eq!((counted.total(), counted.most()), (6, Some(Skip::GradientNotFinite)));
        let text = counted.to_string();
        assert!(text.contains("the gradient was not finite (2)") && text.contains("on the way back (1)"), "{text}");
        assert_eq!((Skips::default().to_string().as_str(), Skips::default().most()), ("none", None));
    }

    #[test]
    fn fewer_failures_are_better_than_a_smaller_loss() {
        let of = |failed, loss| Evaluation { iteration: 0, loss, cost: 0.0, windows: 9, failed };
        assert!(of(0, 2.0).is_better_than(&of(1, 1.0)));
        assert!(of(1, 1.0).is_better_than(&of(1, 2.0)));
        assert!(of(1, 1.0).is_better_than(&of(1, f64::NAN)));
        assert!(!of(9, f64::NAN).is_better_than(&of(9, f64::NAN)));
        assert!(!of(1, 1.0).is_better_than(&of(1, 1.0)), "the first of equals is kept");
    }
}
