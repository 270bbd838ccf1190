//! `costate train`: from time series to weights, a report and plots.

mod evaluation;
mod observed;
mod progress;
mod results;

use std::path::PathBuf;
use std::time::Instant;

use costate::io::{Series, Standardiser, read_weights, write_weights};
use costate::train::{DataSet, Record, Steps, TrainOptions, Trainer};
use costate::{Error, Gpu, Mlp, Parameters, Result};
use ndarray::Axis;

use super::{Outcome, request};
use crate::cli::{Global, Train};
use crate::config::{Config, OnDrift, read_text};
use crate::output;
use evaluation::Evaluation;
use progress::Progress;
use results::Results;

/// Most iterations that are submitted between two looks at what has arrived.
const CHUNK: u64 = 32;
/// Seconds that may pass between two such looks, where iterations are short enough.
const LOOK: f64 = 0.25;
/// Seconds after which the weights are written in between: that much is lost with a device.
const SAVE: f64 = 30.0;
/// Iterations in a row without a single finite trajectory after which a training is given up.
const HOPELESS: usize = 100;

/// A run description with what it refers to.
struct Run {
    config: Config,
    /// The description as written, for the report.
    echo: toml::Value,
    field: Mlp,
    /// The observations in the units of the data.
    series: Series,
    scaling: Standardiser,
    folder: PathBuf,
}

/// What a training left behind.
struct Trained {
    theta: Parameters,
    /// ln σ of every component, if the loss has them.
    log_scale: Vec<f32>,
    records: Vec<Record>,
    seconds: f64,
    /// Why it ended before its time.
    stopped: Option<String>,
    /// Components whose range of fixed point had to be widened on the way.
    widened: Vec<usize>,
    /// Bits below the point of every component at the end, for states in fixed point.
    fraction_bits: Vec<i32>,
}

/// Trains, evaluates and writes the results into the output folder.
pub(crate) fn run(args: &Train, global: &Global) -> Result<Outcome> {
    let mut run = Run::read(args)?;
    let options = run.options()?;
    let scaled = run.scaling.to_model(&run.series.values)?;
    let data = DataSet::with_missing(&run.series.times, scaled.view())?.with_clock(&run.series.clock);
    let theta = run.parameters()?;
    let evaluation = Evaluation::new(&run.config, &run.field, &run.series.times, scaled.view())?;
    observed::Observed::new(&run, options.window).say();
    run.folder = output::make_folder(run.config.output.folder())?;

    let gpu = Gpu::new(&request(global))?;
    let trainer = Trainer::new(&gpu, &theta, &data, options.clone());
    let mut trainer = trainer.map_err(|e| run.config.keyed(e))?;
    let trained = advance(&mut trainer, &run, &options)?;
    // What has been learned is safe before anything else can go wrong.
    run.write(&trained.theta)?;
    let evaluation = evaluation.run(&gpu, &trained.theta, &trained.log_scale, trainer.grid().steps())?;
    let results = Results::new(&run, &gpu, &trainer, &options, &trained, &evaluation);
    results.write(&run, &trained, &evaluation)?;
    results.show(global, &run)?;
    if let Some(reason) = trained.stopped {
        return Ok(Outcome::Failed(reason));
    }
    Ok(Outcome::Done)
}

/// Trains to the end, or until there is no hope left or a reconstruction is off that must not be.
fn advance(trainer: &mut Trainer, run: &Run, options: &TrainOptions) -> Result<Trained> {
    let report_every = run.config.training()?.1.report_every;
    let work = options.batch as f64 * trainer.grid().steps() as f64;
    let progress = Progress::new(options.iterations, report_every as u64, work, options.running_cost.is_some());
    let start = Instant::now();
    let mut saved = start;
    let mut records: Vec<Record> = Vec::new();
    let mut drifted = None;
    let mut chunk = 1;
    while trainer.iteration() < options.iterations && !hopeless(&records, HOPELESS) && drifted.is_none() {
        let submitted = Instant::now();
        trainer.advance(chunk.min(options.iterations - trainer.iteration()))?;
        let slow = submitted.elapsed().as_secs_f64() > LOOK;
        chunk = if slow { (chunk / 2).max(1) } else { (2 * chunk).min(CHUNK) };
        let arrived = trainer.records()?;
        progress.show(&arrived);
        drifted = drift_error(run, &arrived);
        records.extend(arrived);
        if saved.elapsed().as_secs_f64() > SAVE {
            run.write(&trainer.parameters()?)?;
            saved = Instant::now();
        }
    }
    let arrived = trainer.finish()?;
    progress.show(&arrived);
    progress.end();
    let drifted = drifted.or_else(|| drift_error(run, &arrived));
    records.extend(arrived);
    let seconds = start.elapsed().as_secs_f64();
    let last = HOPELESS.min(records.len());
    let stopped = drifted.or_else(|| {
        hopeless(&records, last.max(1)).then(|| {
            format!(
                "no update could be made in the last {last} iterations, since trajectories did not stay finite; use a \
                 smaller step, smaller weights, a lower learning rate, or the stored adjoint"
            )
        })
    });
    let (widened, fraction_bits) = (trainer.widened()?, trainer.fraction_bits()?);
    Ok(Trained {
        theta: trainer.parameters()?,
        log_scale: trainer.log_scale()?,
        records,
        seconds,
        stopped,
        widened,
        fraction_bits,
    })
}

/// Why the run is to end, if a reconstruction is off by more than the tolerance and that is an error.
fn drift_error(run: &Run, records: &[Record]) -> Option<String> {
    let drift = results::drifted(records, run.config.solve.reconstruction_tolerance)?;
    (run.config.solve.on_drift == OnDrift::Error).then(|| format!("{drift}, and solve.on_drift is \"error\""))
}

/// True if nothing could be learned from the last `iterations`: no trajectory stayed finite, or some failed on the way
/// back, so that the update was skipped.
fn hopeless(records: &[Record], iterations: usize) -> bool {
    records.len() >= iterations
        && records.iter().rev().take(iterations).all(|r| r.trajectories == 0 || r.reverse_failed > 0)
}

impl Run {
    fn read(args: &Train) -> Result<Self> {
        let text = read_text(&args.config)?;
        let config = Config::parse(&args.config, &text)?;
        // It has just been parsed.
        let echo = toml::from_str(&text).unwrap_or(toml::Value::Boolean(false));
        let field = config.field()?;
        let (data, _) = config.training()?;
        if config.solve.dense {
            return Err(Error::Invalid {
                what: "solve.dense".into(),
                problem: "it means nothing to training, whose steps end at the points of the data".into(),
                remedy: "remove it".into(),
            });
        }
        let series = data.read()?;
        if series.names.len() != field.dim() {
            return Err(Error::Shape {
                what: format!("data in {}", data.file.display()),
                found: format!("{} components ({})", series.names.len(), series.names.join(", ")),
                expected: format!("{} = field.state", field.dim()),
                remedy: "change field.state or the columns of the data".into(),
            });
        }
        let scaling = Standardiser::fit(data.scale, &series.values)?;
        Ok(Self { config, echo, field, series, scaling, folder: PathBuf::new() })
    }

    fn options(&self) -> Result<TrainOptions> {
        let (data, train) = self.config.training()?;
        let [series, times] = [Axis(0), Axis(1)].map(|axis| self.series.values.len_of(axis));
        let window = data.points(times)?;
        let solve = &self.config.solve;
        Ok(TrainOptions {
            batch: train.batch.unwrap_or(series * (times - window + 1)),
            window,
            iterations: train.iterations as u64,
            optimizer: train.optimiser(),
            learning_rate: train.learning_rate,
            schedule: train.schedule(),
            weight_decay: train.weight_decay,
            clip_norm: train.clip_norm,
            seed: train.seed,
            method: solve.method,
            adjoint: solve.adjoint,
            adjoint_options: solve.adjoint_options(),
            steps: match (solve.step, solve.steps) {
                (Some(step), _) => Steps::Step(step),
                (None, steps) => Steps::PerInterval(steps.unwrap_or(1)),
            },
            loss: self.config.loss.loss()?,
            log_scale: self.config.log_scale(),
            learn_log_scale: self.config.loss.learns_scale(),
            running_cost: self.config.running_cost()?,
            kernels: self.config.kernels,
        })
    }

    fn parameters(&self) -> Result<Parameters> {
        let (_, train) = self.config.training()?;
        match &train.weights {
            Some(path) => {
                let weights = read_weights(path, &self.field)?;
                if weights.scaling.is_some_and(|scaling| scaling != self.scaling) {
                    output::warn(&format!(
                        "the weights {} come with another scaling than that of the data: the training starts from a field \
                         in other units",
                        path.display()
                    ));
                }
                Ok(weights.parameters)
            }
            None => Parameters::init(&self.field, train.init, train.seed),
        }
    }

    /// Writes weights, and the scaling without which they mean nothing.
    fn write(&self, theta: &Parameters) -> Result<()> {
        write_weights(self.folder.join("weights.safetensors"), theta, &self.scaling)
    }
}
