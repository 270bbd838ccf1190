//! The loss of the whole data set, on the buffers of the training.

use super::Trainer;
use crate::error::Result;
use crate::gpu::{execute, read};
use crate::plan::{Slot, summary};
use crate::train::Evaluation;

impl Trainer {
    /// The loss of the whole data set with the parameters after everything submitted so far; waits for it. The training
    /// goes on as if it had not been asked.
    ///
    /// # Errors
    /// Device errors.
    pub fn evaluate(&mut self) -> Result<Evaluation> {
        let (windows, batch) = (self.plan.data.windows(), self.options.batch as u64);
        let [mut losses, mut observations, mut counted, mut costs] = [0.0_f64; 4];
        for first in (0..windows).step_by(self.options.batch) {
            let program = self.plan.evaluation(first, batch.min(windows - first))?;
            execute(&mut self.arena, &self.plan.pass, &[&program])?;
            let values: Vec<f32> = read(&self.arena, Slot::Summary, summary::LEN as u64)?;
            let sums = &values[summary::SUMS as usize..];
            losses += f64::from(sums[0]);
            observations += f64::from(sums[1]);
            counted += f64::from(sums[2]);
            costs += f64::from(sums[3]);
        }
        let mut cost = costs / counted.max(1.0);
        if self.parameters_cost > 0.0 {
            let theta: Vec<f32> = read(&self.arena, Slot::Theta, u64::from(self.plan.pass.shape.parameters))?;
            cost += f64::from(self.parameters_cost) * theta.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>();
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
        let failed = windows - counted as u64;
        let loss = if observations > 0.0 { losses / observations } else { f64::NAN };
        Ok(Evaluation { iteration: self.iteration, loss, cost, windows, failed })
    }

    /// Iterations' worth of forward passes that [`Self::evaluate`] takes: the data set over the minibatch.
    #[must_use]
    pub fn evaluation_passes(&self) -> u64 {
        self.plan.data.windows().div_ceil(self.options.batch as u64)
    }
}
