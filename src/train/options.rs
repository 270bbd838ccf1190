//! What a training run is told.

use crate::error::{Error, Result};
use crate::model::{Loss, RunningCost};
use crate::plan::{KernelOptions, OptimizerCall, Rule};
use crate::problem::check_loss;
use crate::solver::{Adjoint, AdjointOptions, Method};

/// The rule that updates the parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Optimizer {
    /// Adam (Kingma & Ba 2015), as PyTorch computes it.
    Adam {
        /// Decay of the first moment.
        beta1: f64,
        /// Decay of the second moment.
        beta2: f64,
        /// Added to the root of the second moment.
        epsilon: f64,
    },
    /// Stochastic gradient descent, `v ← momentum v + g`, `θ ← θ − rate v`. Weight decay is decoupled here too.
    Sgd {
        /// Momentum; 0 for plain descent.
        momentum: f64,
    },
}

impl Default for Optimizer {
    fn default() -> Self {
        Self::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 }
    }
}

/// How the learning rate changes over the run.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Schedule {
    /// The same rate throughout.
    #[default]
    Constant,
    /// Half a cosine from the learning rate to `final_rate` (Loshchilov & Hutter 2017).
    Cosine {
        /// Rate of the last iteration.
        final_rate: f64,
    },
    /// A geometric sequence from the learning rate to `final_rate`.
    Exponential {
        /// Rate of the last iteration, above 0.
        final_rate: f64,
    },
}

/// How the interval between neighbouring data points is cut into steps.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Steps {
    /// Steps of at most this length.
    Step(f64),
    /// This many equal steps.
    PerInterval(usize),
}

/// Everything about a training run except field, start and data.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainOptions {
    /// Trajectories per minibatch.
    pub batch: usize,
    /// Points per sample, the initial state included; 0 for whole series.
    pub window: usize,
    /// Length of the run: the learning-rate schedule ends there.
    pub iterations: u64,
    /// The update rule.
    pub optimizer: Optimizer,
    /// Learning rate at the start.
    pub learning_rate: f64,
    /// Course of the learning rate.
    pub schedule: Schedule,
    /// Decoupled weight decay (AdamW): θ shrinks by `rate × weight_decay` in each iteration.
    pub weight_decay: f64,
    /// Largest norm of the gradient; a larger one is scaled down.
    pub clip_norm: Option<f64>,
    /// Seed of the minibatch draws.
    pub seed: u64,
    /// The solver.
    pub method: Method,
    /// The way to the gradient.
    pub adjoint: Adjoint,
    /// Details of the adjoint.
    pub adjoint_options: AdjointOptions,
    /// Steps between data points.
    pub steps: Steps,
    /// The loss of an observation.
    pub loss: Loss,
    /// `ln σ` of every component at the start, for [`Loss::GaussianNll`]; otherwise empty.
    pub log_scale: Vec<f32>,
    /// True to learn it along with θ.
    pub learn_log_scale: bool,
    /// The running cost, added to the loss.
    pub running_cost: Option<RunningCost>,
    /// What of the kernels' arrangement is not left to the plan.
    pub kernels: KernelOptions,
}

impl Default for TrainOptions {
    fn default() -> Self {
        Self {
            batch: 64,
            window: 0,
            iterations: 1000,
            optimizer: Optimizer::default(),
            learning_rate: 1e-3,
            schedule: Schedule::default(),
            weight_decay: 0.0,
            clip_norm: None,
            seed: 0,
            method: Method::default(),
            adjoint: Adjoint::default(),
            adjoint_options: AdjointOptions::default(),
            steps: Steps::PerInterval(1),
            loss: Loss::default(),
            log_scale: Vec::new(),
            learn_log_scale: false,
            running_cost: None,
            kernels: KernelOptions::default(),
        }
    }
}

impl TrainOptions {
    /// Refuses what makes no sense with a state of `dim` components.
    pub(super) fn check(&self, dim: usize) -> Result<()> {
        check_loss(self.loss, &self.log_scale, dim)?;
        if self.learn_log_scale && self.log_scale.is_empty() {
            let remedy = "leave it out, or use the loss gaussian_nll";
            return Err(Error::invalid("learning of the log scales", format!("with the loss {}", self.loss), remedy));
        }
        // The device has f32, and takes what is below the smallest normal number as zero.
        let positive = |name: &str, value: f64| {
            if (f64::from(f32::MIN_POSITIVE)..=f64::from(f32::MAX)).contains(&value) {
                Ok(())
            } else {
                Err(Error::invalid(name, format!("{value:e}"), "use a number from 1.2e-38 to 3.4e38, as f32 has them"))
            }
        };
        let fraction = |name: &str, value: f64| {
            if (0.0..1.0).contains(&value) {
                Ok(())
            } else {
                Err(Error::invalid(name, value.to_string(), "use a number in [0, 1)"))
            }
        };
        if self.iterations == 0 {
            return Err(Error::invalid("iterations", "0", "use at least 1"));
        }
        positive("learning rate", self.learning_rate)?;
        match self.optimizer {
            Optimizer::Adam { beta1, beta2, epsilon } => {
                fraction("beta1", beta1)?;
                fraction("beta2", beta2)?;
                positive("epsilon", epsilon)?;
                positive("learning rate over 1 - beta1", self.learning_rate / (1.0 - beta1))?;
            }
            Optimizer::Sgd { momentum } => fraction("momentum", momentum)?,
        }
        match self.schedule {
            Schedule::Constant => {}
            Schedule::Cosine { final_rate: 0.0 } => {}
            Schedule::Cosine { final_rate } | Schedule::Exponential { final_rate } => {
                positive("final learning rate", final_rate)?;
            }
        }
        if let Some(clip) = self.clip_norm {
            positive("gradient norm to clip at", clip)?;
        }
        if !(self.weight_decay.is_finite() && self.weight_decay >= 0.0) {
            return Err(Error::invalid("weight decay", self.weight_decay.to_string(), "use a finite number ≥ 0"));
        }
        if self.weight_decay * self.learning_rate >= 1.0 {
            return Err(Error::invalid(
                "weight decay",
                format!("{} at a learning rate of {}", self.weight_decay, self.learning_rate),
                "one update would turn the sign of the parameters: keep the product below 1",
            ));
        }
        Ok(())
    }

    /// Learning rate of an iteration, from 0.
    #[must_use]
    pub fn rate(&self, iteration: u64) -> f64 {
        let last = self.iterations.saturating_sub(1).max(1);
        let progress = iteration.min(last) as f64 / last as f64;
        match self.schedule {
            Schedule::Constant => self.learning_rate,
            Schedule::Cosine { final_rate } => {
                let share = 0.5 * (1.0 + (std::f64::consts::PI * progress).cos());
                final_rate + (self.learning_rate - final_rate) * share
            }
            Schedule::Exponential { final_rate } => {
                self.learning_rate * (final_rate / self.learning_rate).powf(progress)
            }
        }
    }

    /// The update rule of the kernels.
    pub(super) fn rule(&self) -> Rule {
        match self.optimizer {
            Optimizer::Adam { .. } => Rule::Adam,
            Optimizer::Sgd { .. } => Rule::Sgd,
        }
    }

    /// The numbers of an update of `count` values, of which the first `shrinking` have weight decay: bias corrections in f64,
    /// rounded once.
    #[expect(clippy::cast_possible_truncation, reason = "rounded once for the device")]
    pub(super) fn update(&self, iteration: u64, [count, shrinking]: [u32; 2]) -> OptimizerCall {
        let rate = self.rate(iteration);
        let common = OptimizerCall {
            count,
            shrinking,
            rate: rate as f32,
            shrink: (1.0 - rate * self.weight_decay) as f32,
            clip: self.clip_norm.map_or(f32::INFINITY, |c| c as f32),
            ..OptimizerCall::default()
        };
        match self.optimizer {
            Optimizer::Adam { beta1, beta2, epsilon } => {
                let power = i32::try_from(iteration + 1).unwrap_or(i32::MAX);
                OptimizerCall {
                    rate: (rate / (1.0 - beta1.powi(power))) as f32,
                    decay: beta1 as f32,
                    share: (1.0 - beta1) as f32,
                    second_decay: beta2.sqrt() as f32,
                    second_share: (1.0 - beta2).sqrt() as f32,
                    correction: (1.0 / (1.0 - beta2.powi(power)).sqrt()) as f32,
                    epsilon: epsilon as f32,
                    ..common
                }
            }
            Optimizer::Sgd { momentum } => OptimizerCall { decay: momentum as f32, ..common },
        }
    }
}
