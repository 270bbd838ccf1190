//! How large the errors of the steps may be: what the device has found, and when that is worth a warning.

use super::outcome::Report;
use super::session::Session;
use super::status::TrajectoryStatus;
use super::warning::Warning;
use crate::error::Result;
use crate::gpu::read;
use crate::plan::{ERROR_ROW, Estimate, Slot};

/// A larger estimate by an embedded method is worth a warning.
const STEP_LIMIT: f32 = 1e-2;
/// The same of an estimate that is derived here, which is coarser. Where steps are unstable (`h λ` beyond 2 to 3) it is 1 and
/// more.
const WHOLE_LIMIT: f32 = 0.1;

/// Estimated errors of the steps of a Runge–Kutta method, relative to the component that they are errors of. The last step
/// of the solve is left out: an estimate takes the field at the end of its step, which is the first stage of the next.
///
/// Of step n component i errs by about `e_i = h |Σ_j e_j k_j|_i` with the weights [`Tableau::error`](crate::Tableau). With an
/// embedded method (bosh3, dopri5, tsit5) that is divided by `max(|x_i|, |x_i⁺|) + 1e-3 m_i`, where `m_i` is the largest
/// `|x_i|` that the trajectory has met, and the largest of components and steps counts: adaptive steps of the tolerance
/// `rtol` would keep it below that. With another method the largest `e_i` over the steps is divided by the largest
/// `|x_i|` of the whole way up to the last step: the estimates of these are too coarse to be held against a component that
/// passes through zero or starts from there.
#[derive(Clone, Debug, PartialEq)]
pub struct ErrorEstimate {
    /// The largest over the trajectories that went well.
    pub largest: f32,
    /// A larger one is worth a warning.
    pub limit: f32,
    /// Of every trajectory; NaN for a failed one, and beyond the first ones of a batch whose estimates
    /// ([`Slot::Estimates`](crate::Slot)) would fill more than a quarter of a binding.
    pub per_trajectory: Vec<f32>,
}

impl Session {
    /// What the forward pass has found, if it has estimated anything.
    pub(super) fn error_estimate(&self, status: &[TrajectoryStatus]) -> Result<Option<ErrorEstimate>> {
        let Some(weighed) = self.plan.shape.terms.estimate else { return Ok(None) };
        let row = self.plan.shape.estimated;
        let values: Vec<f32> = read(&self.arena, Slot::Estimates, u64::from(ERROR_ROW + 1) * row)?;
        let errors = values.chunks(usize::try_from(row).unwrap_or(usize::MAX)).nth(ERROR_ROW as usize).unwrap_or(&[]);
        // Of a batch that is too large for a binding the first are known.
        let found = errors.iter().copied().chain(std::iter::repeat(f32::NAN)).zip(status);
        let per_trajectory: Vec<f32> =
            found.map(|(error, s)| if *s == TrajectoryStatus::Ok { error } else { f32::NAN }).collect();
        Ok(Some(ErrorEstimate {
            largest: per_trajectory.iter().fold(0.0, |m, e| m.max(*e)),
            limit: match weighed {
                Estimate::Step => STEP_LIMIT,
                Estimate::Whole => WHOLE_LIMIT,
            },
            per_trajectory,
        }))
    }

    /// A warning, if the estimate is not small.
    pub(super) fn large_estimate(&self, report: &Report) -> Option<Warning> {
        let ErrorEstimate { largest, limit, per_trajectory } = report.error_estimate.as_ref()?;
        let beyond = |e: &f32| *e > *limit;
        let trajectory = per_trajectory.iter().position(beyond)?;
        Some(Warning::LargeErrorEstimate {
            estimate: *largest,
            limit: *limit,
            trajectories: per_trajectory.iter().filter(|e| beyond(e)).count(),
            trajectory,
            method: self.plan.spec.method,
        })
    }
}
