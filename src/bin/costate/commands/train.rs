//! `costate train`: from time series to weights, a report and plots.

mod evaluation;
mod files;
mod observed;
mod progress;
mod results;
mod training;

use std::path::{Path, PathBuf};

use costate::io::{Series, Standardiser, read_weights};
use costate::train::{DataSet, Steps, TrainOptions, Trainer};
use costate::{Error, Gpu, Mlp, Parameters, Result};
use ndarray::Axis;

use super::{Outcome, request};
use crate::cli::{Global, Train};
use crate::config::{Config, read_text};
use crate::output::{self, FolderLock, Inputs};
use crate::signals::Signals;
use evaluation::Evaluation;
use files::Files;
use results::Results;
use training::{End, Training};

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
    let _lock = FolderLock::take(&run.folder)?;
    run.check_files(&args.config, global)?;

    let gpu = Gpu::new(&request(global))?;
    let trainer = Trainer::new(&gpu, &theta, &data, options.clone());
    let mut trainer = trainer.map_err(|e| run.config.keyed(e))?;
    let signals = Signals::listen()?;
    let mut files = Files::new(&run.folder, &run.scaling);
    let mut training = Training::new(&run, &options, &mut trainer)?;
    let mut end = training.advance(&signals, &mut files);
    let trained = match training.finish(&end) {
        Some(trained) => trained,
        // There is nothing to be kept: not a single record came back.
        None => return end.outcome(&run.folder),
    };
    // What has been learned is safe before anything else can go wrong.
    files.weights(&trained);
    files.losses(&trained.records);
    let steps = trainer.grid().steps();
    let evaluated = match end {
        End::Done | End::Stopped(_) => {
            let evaluated = evaluation.run(&gpu, &trained.last.theta, &trained.last.log_scale, steps);
            evaluated.map_err(|e| end = End::Broken(e)).ok()
        }
        End::Interrupted(_) | End::Broken(_) => None,
    };
    if let (End::Done, Some(signal)) = (&end, signals.seen()) {
        end = End::Interrupted(signal);
    }
    let results = Results::new(&run, &gpu, &trainer, &options, &trained, &end, evaluated.as_ref());
    results.write(&mut files, &run, &trained, evaluated.as_ref());
    results.show(global, &run)?;
    match end.outcome(&run.folder) {
        Ok(Outcome::Done) => files.end().map(|()| Outcome::Done),
        other => {
            // The sentence is about the run; that a file is missing is the lesser evil.
            files.end().unwrap_or_else(|e| output::warn(&e.to_string()));
            other
        }
    }
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

    /// Refuses to write over what is read.
    fn check_files(&self, config: &Path, global: &Global) -> Result<()> {
        let (data, train) = self.config.training()?;
        let inputs = Inputs::default()
            .and("the run description", Some(config))
            .and("data.file", Some(&data.file))
            .and("train.weights", train.weights.as_deref())
            .and("cost.reference", self.config.reference_file());
        let outputs = files::NAMES.map(|name| self.folder.join(name));
        output::check_files(&outputs.each_ref().map(PathBuf::as_path), &inputs, global.json)
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
}
