//! Measuring the candidates in turn.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ndarray::{Array2, Array3};
use rand::SeedableRng;
use rand_distr::{Distribution, StandardNormal};
use rand_pcg::Pcg64;
use serde::Serialize;

use super::cache::Tuned;
use super::rule::{hopeful, median, winner};
use super::shape::{Phase, Shape};
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::model::{Init, Parameters};
use crate::plan::KernelOptions;
use crate::problem::{NeuralOde, NeuralOdeBuilder, Observations};

/// A median of fewer rounds is no better than a single one.
pub const LEAST_ROUNDS: usize = 3;
/// A turn of a candidate ends after this time, or after so many calls: single calls of a millisecond are all noise.
const TURN: Duration = Duration::from_millis(50);
const MOST_CALLS: usize = 5;

/// A candidate and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tried {
    /// What is given of the arrangement.
    pub given: KernelOptions,
    /// The whole of it.
    pub kernels: KernelOptions,
    /// The median of its rounds; `None` if it was refused.
    pub seconds: Option<f64>,
    /// Rounds in which it was measured: only the first, if it was far behind.
    pub rounds: usize,
    /// Why it could not be measured.
    pub refused: Option<String>,
}

/// What was found for a shape.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tuning {
    /// What it holds for.
    pub shape: Shape,
    /// The candidates; what the plan chooses is the first.
    pub rows: Vec<Tried>,
    /// The place of the winner: the plan's own choice, unless another is more than 3 % faster.
    pub winner: usize,
}

impl Tuning {
    /// What a cache keeps of it.
    #[must_use]
    pub fn entry(&self) -> Tuned {
        let seconds = |i: usize| self.rows.get(i).and_then(|row| row.seconds);
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        Tuned {
            shape: self.shape.clone(),
            kernels: self.rows.get(self.winner).map(|row| row.given).unwrap_or_default(),
            seconds: seconds(self.winner).unwrap_or_default(),
            default_seconds: seconds(0),
            measured: now.map_or(0, |since| since.as_secs()),
        }
    }
}

/// Measures every arrangement of the kernels that a problem can have, in `rounds` turns each, but at least three, one
/// after the other and round after round, so that a slow moment of the machine does not hit one candidate alone. What
/// the builder was given of the arrangement does not matter.
///
/// Weights and initial states are random. The time that compiling takes does not count: a plan weighs it against the work of
/// one call, a tuned problem is one that is run many times. One candidate at a time has its buffers on the device.
///
/// # Errors
/// Those of the problem itself, and lost or hanging devices. A candidate that the driver refuses is left out.
pub fn tune(builder: &NeuralOdeBuilder, gpu: &Gpu, phase: Phase, batch: usize, rounds: usize) -> Result<Tuning> {
    let arranged = |kernels| builder.clone().kernels(kernels).build(gpu);
    let ode = arranged(KernelOptions::default())?;
    let shape = Shape::of(&ode, phase, batch);
    let sample = Sample::new(&ode, batch)?;
    let mut rows: Vec<Tried> = Vec::new();
    for given in phase.candidates(&ode, batch)? {
        let kernels = phase.kernels(&arranged(given)?, batch)?;
        rows.push(Tried { given, kernels, seconds: None, rounds: 0, refused: None });
    }
    drop(ode);
    let mut turns = vec![Vec::new(); rows.len()];
    let mut again = vec![true; rows.len()];
    let mut first = None;
    for round in 0..rounds.max(LEAST_ROUNDS) {
        for (i, row) in rows.iter_mut().enumerate() {
            if !again[i] {
                continue;
            }
            match arranged(row.given).and_then(|ode| sample.turn(&ode, phase)) {
                Ok(seconds) => turns[i].push(seconds),
                Err(e @ (Error::DeviceLost { .. } | Error::Timeout { .. })) => return Err(e),
                Err(e) => {
                    tracing::info!(kernels = ?row.kernels, error = %e, "refused");
                    row.refused = Some(e.to_string());
                    turns[i].clear();
                    again[i] = false;
                    first.get_or_insert(e);
                }
            }
        }
        if round == 0 {
            let seconds: Vec<Option<f64>> = turns.iter().map(|turn| turn.first().copied()).collect();
            again = hopeful(&seconds);
        }
    }
    for (row, turns) in rows.iter_mut().zip(&turns) {
        row.seconds = median(turns);
        row.rounds = turns.len();
        tracing::info!(kernels = ?row.kernels, seconds = row.seconds, "tuned");
    }
    let seconds: Vec<Option<f64>> = rows.iter().map(|row| row.seconds).collect();
    match (winner(&seconds), first) {
        (Some(winner), _) => Ok(Tuning { shape, rows, winner }),
        (None, Some(error)) => Err(error),
        (None, None) => Err(Error::invalid("tuning", "no candidate gave a time", "leave the arrangement to the plan")),
    }
}

/// What is run.
struct Sample {
    theta: Parameters,
    x0: Array2<f32>,
    targets: Array3<f32>,
    log_scale: Vec<f32>,
}

impl Sample {
    fn new(ode: &NeuralOde, batch: usize) -> Result<Self> {
        let mut rng = Pcg64::seed_from_u64(1);
        let dim = ode.field().dim();
        Ok(Self {
            theta: Parameters::init(ode.field(), Init::Torch, 0)?,
            x0: Array2::from_shape_simple_fn((batch, dim), || StandardNormal.sample(&mut rng)),
            targets: Array3::zeros((ode.grid().observations(), batch, dim)),
            log_scale: vec![0.0; ode.loss_parameters()],
        })
    }

    /// The median of a few calls, after one that compiles and allocates.
    fn turn(&self, ode: &NeuralOde, phase: Phase) -> Result<f64> {
        self.call(ode, phase)?;
        let start = Instant::now();
        let mut calls = vec![self.call(ode, phase)?];
        while calls.len() < MOST_CALLS && start.elapsed() < TURN {
            calls.push(self.call(ode, phase)?);
        }
        Ok(median(&calls).unwrap_or(f64::NAN))
    }

    fn call(&self, ode: &NeuralOde, phase: Phase) -> Result<f64> {
        let report = match phase {
            Phase::Forward => ode.solve(&self.theta, self.x0.view())?.report,
            Phase::Gradient => {
                let observations = Observations::new(self.targets.view()).log_scale(&self.log_scale);
                ode.loss_and_gradient(&self.theta, self.x0.view(), observations)?.report
            }
        };
        Ok(report.seconds)
    }
}
