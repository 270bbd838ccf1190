//! Increments of kicks that rounding has taken.

use super::session::Session;
use super::status::TrajectoryStatus;
use super::warning::Warning;
use crate::error::Result;
use crate::gpu::read;
use crate::plan::{Arithmetic, Slot};

/// A component may lose this part of itself.
const SHARE: f32 = 5e-5;
/// Or this part of the way that it was to go: what a state at rest loses while it stays at rest is of no account.
const OF_THE_WAY: f32 = 0.05;

impl Session {
    /// A warning if trajectories that went well have lost more than is of no account.
    pub(super) fn lost_increments(&self, status: &[TrajectoryStatus]) -> Result<Option<Warning>> {
        let spec = &self.plan.spec;
        if !spec.method.pair().is_some_and(|p| p.is_additive()) {
            return Ok(None);
        }
        let shape = &self.plan.shape;
        let stride = shape.stride as usize;
        let measures: Vec<f32> = read(&self.arena, Slot::Measures, shape.measures_values())?;
        #[expect(clippy::cast_possible_truncation, reason = "a length of memory")]
        let (losses, ways) = measures[shape.losses_at() as usize..].split_at(spec.field.dim() * stride);
        let (mut trajectories, mut share) = (0, 0.0_f32);
        for (b, _) in status.iter().enumerate().filter(|(_, s)| **s == TrajectoryStatus::Ok) {
            let components = (b..losses.len()).step_by(stride);
            let lost = components.filter(|&at| losses[at] > OF_THE_WAY * ways[at]).map(|at| losses[at]);
            let worst = lost.fold(0.0, f32::max);
            if worst > SHARE {
                trajectories += 1;
                share = share.max(worst);
            }
        }
        let fixed = spec.arithmetic != Arithmetic::Float;
        let steps = spec.grid.steps();
        Ok((trajectories > 0).then_some(Warning::LostIncrements { trajectories, share, steps, fixed }))
    }
}
