//! What the learned field makes of the first point of each series.

use costate::{Adjoint, AdjointOptions, Gpu, Mlp, NeuralOde, Parameters, Result, Solution, TimeGrid};
use ndarray::{Array2, Array3, ArrayView3, Axis, Slice, s};

use crate::config::Config;

/// Series that are drawn.
const DRAWN: usize = 6;
/// Most words of a contraction log.
const MOST_WORDS: usize = 1024;
/// About as many points of a drawn trajectory.
const POINTS: usize = 1000;

/// The whole data set as one problem: from the first point of each series to the last time.
pub(super) struct Evaluation<'a> {
    config: &'a Config,
    field: &'a Mlp,
    grid: TimeGrid,
    x0: Array2<f32>,
    targets: Array3<f32>,
}

/// The outcome, in the units of the model.
pub(super) struct Evaluated {
    /// The loss of all later points, without the running cost; none if a trajectory did not stay finite.
    pub(super) loss: Option<f64>,
    /// What the solves warned about.
    pub(super) warnings: Vec<String>,
    /// Times of the drawn trajectories.
    pub(super) times: Vec<f64>,
    /// The drawn trajectories, `[series, time, dim]`.
    pub(super) drawn: Array3<f32>,
}

impl<'a> Evaluation<'a> {
    /// `scaled` are the observations in the units of the model, NaN where nothing was observed.
    pub(super) fn new(config: &'a Config, field: &'a Mlp, times: &[f64], scaled: ArrayView3<'_, f32>) -> Result<Self> {
        let grid = config.grid_for_times(times)?;
        let x0 = scaled.slice(s![.., 0, ..]).to_owned();
        let targets = scaled.slice(s![.., 1.., ..]).permuted_axes([1, 0, 2]).to_owned();
        Ok(Self { config, field, grid, x0, targets })
    }

    /// `window` is the number of steps of a sample in the training.
    pub(super) fn run(&self, gpu: &Gpu, theta: &Parameters, log_scale: &[f32], window: usize) -> Result<Evaluated> {
        let whole = self.solve(gpu, self.grid.clone(), theta, &self.x0, window)?;
        let loss = self.config.loss.loss()?;
        let observed = whole.states.indexed_iter().zip(&self.targets).filter(|(_, y)| !y.is_nan());
        let terms = observed.map(|(((_, _, component), x), y)| {
            let scale = log_scale.get(component).copied().unwrap_or_default();
            loss.value(f64::from(x - y), scale.into()).0
        });
        let (sum, count) = terms.fold((0.0, 0_usize), |(sum, count), term| (sum + term, count + 1));
        let loss = sum / count as f64;
        let warnings = whole.report.warnings.iter().map(|w| format!("over whole series, {w}")).collect();

        let grid = dense(&self.grid)?;
        let times = grid.save_times();
        let x0 = self.x0.slice_axis(Axis(0), Slice::from(..DRAWN.min(self.x0.nrows()))).to_owned();
        let drawn = self.solve(gpu, grid, theta, &x0, window)?.states.permuted_axes([1, 0, 2]);
        Ok(Evaluated { loss: loss.is_finite().then_some(loss), warnings, times, drawn })
    }

    /// In floats, which have no range that a bad field could leave. The copies of a pair are brought together as often
    /// as in the training: on a contracting field they would part in a longer run.
    fn solve(
        &self,
        gpu: &Gpu,
        grid: TimeGrid,
        theta: &Parameters,
        x0: &Array2<f32>,
        window: usize,
    ) -> Result<Solution> {
        let solve = &self.config.solve;
        let log_words = solve.log_words_used().map(|words| {
            let words = (words as usize).saturating_mul(grid.steps().div_ceil(window.max(1))).min(MOST_WORDS);
            u32::try_from(words).unwrap_or(u32::MAX)
        });
        let options = AdjointOptions { log_words, ..AdjointOptions::default() };
        let builder = NeuralOde::builder(self.field.clone(), grid).method(solve.method).adjoint(Adjoint::Stored);
        builder.adjoint_options(options).build(gpu)?.solve(theta, x0.view())
    }
}

/// The same steps, saved often enough for a smooth curve, first and last boundary included.
fn dense(grid: &TimeGrid) -> Result<TimeGrid> {
    let steps = grid.steps();
    let mut saves: Vec<usize> = (0..=steps).step_by(steps.div_ceil(POINTS)).collect();
    if saves.last() != Some(&steps) {
        saves.push(steps);
    }
    TimeGrid::from_boundaries(grid.times().to_vec(), saves)
}
