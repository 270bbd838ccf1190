//! From a run description to the things it describes.

use std::path::Path;

use costate::io::{Series, TableOptions};
use costate::solver::DEFAULT_LOG_WORDS;
use costate::train::{Optimizer, Schedule};
use costate::{Adjoint, AdjointOptions, Error, Mlp, Result, TimeGrid};
use ndarray::{Axis, Slice};

use super::{Activations, Config, Data, Delimiter, OptimiserName, Output, ScheduleName, Solve, Train};

impl Config {
    /// The field.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the list of activations has not one entry per hidden layer, and as
    /// [`costate::MlpBuilder::build`].
    pub(crate) fn field(&self) -> Result<Mlp> {
        let field = &self.field;
        let activations = match &field.activation {
            Activations::Same(activation) => vec![*activation; field.hidden.len()],
            Activations::Each(list) => list.clone(),
        };
        if activations.len() != field.hidden.len() {
            return Err(Error::Invalid {
                what: "field.activation".into(),
                problem: format!("{} names for {} hidden layers", activations.len(), field.hidden.len()),
                remedy: "give one name, or one per hidden layer".into(),
            });
        }
        let builder = Mlp::builder(field.state).output_activation(field.output_activation);
        let builder = builder.time_input(field.time_input).bias(field.bias);
        field
            .hidden
            .iter()
            .zip(activations)
            .fold(builder, |builder, (&width, activation)| builder.hidden(&[width], activation))
            .build()
    }

    /// The time grid of `[solve]`: saves at `save_at`, or at `t1`. Without `t1` that of one sample of `[data]`.
    ///
    /// # Errors
    /// [`Error::Invalid`] if `t1` is missing and there are no data, and as [`TimeGrid::with_step`].
    pub(crate) fn grid(&self) -> Result<TimeGrid> {
        match (self.solve.t1, &self.data) {
            (Some(t1), _) => self.solve.grid(self.solve.t0, self.solve.save_at.as_deref().unwrap_or(&[t1]), t1),
            (None, Some(data)) => {
                let times = data.read()?.times;
                self.grid_for_times(&times[..data.points(times.len())?])
            }
            (None, None) => Err(Error::Invalid {
                what: "solve.t1".into(),
                problem: "it is missing".into(),
                remedy: "give the end of the integration, or data whose times it follows from".into(),
            }),
        }
    }

    /// The grid of a training sample observed at `times`: from the first, saved at every later one.
    ///
    /// `t0`, `t1` and `save_at` of the description play no part.
    ///
    /// # Errors
    /// [`Error::Invalid`] for fewer than two times, and as [`TimeGrid::with_step`].
    pub(crate) fn grid_for_times(&self, times: &[f64]) -> Result<TimeGrid> {
        let ([t0, later @ ..], Some(t1)) = (times, times.last().filter(|_| times.len() > 1)) else {
            return Err(Error::Invalid {
                what: "observation times".into(),
                problem: format!("{} of them", times.len()),
                remedy: "use a window of at least two points".into(),
            });
        };
        self.solve.grid(*t0, later, *t1)
    }

    /// The sections that only training needs.
    ///
    /// # Errors
    /// [`Error::Invalid`] if one is missing.
    pub(crate) fn training(&self) -> Result<(&Data, &Train)> {
        let missing = |section: &str, remedy: &str| Error::Invalid {
            what: format!("section [{section}]"),
            problem: "it is missing".into(),
            remedy: remedy.into(),
        };
        let data = self.data.as_ref().ok_or_else(|| missing("data", "name the data set: file = \"data.csv\""))?;
        let train =
            self.train.as_ref().ok_or_else(|| missing("train", "give at least iterations and learning_rate"))?;
        Ok((data, train))
    }
}

impl Data {
    /// The series of the file, thinned by `stride`.
    ///
    /// # Errors
    /// As [`Series::read_with`].
    pub(crate) fn read(&self) -> Result<Series> {
        let options = TableOptions {
            delimiter: self.delimiter.map(|delimiter| match delimiter {
                Delimiter::Comma => b',',
                Delimiter::Semicolon => b';',
                Delimiter::Tab => b'\t',
            }),
            time: self.time.clone(),
            series: self.id.clone(),
            columns: self.columns.clone(),
        };
        let mut series = Series::read_with(&self.file, &options)?;
        let every = self.stride.try_into().unwrap_or(isize::MAX);
        series.values = series.values.slice_axis(Axis(1), Slice::new(0, None, every)).to_owned();
        series.times = series.times.into_iter().step_by(self.stride).collect();
        Ok(series)
    }

    /// Points of one sample, out of series of `times` points.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the stride leaves fewer than two points, or the window does not fit.
    pub(crate) fn points(&self, times: usize) -> Result<usize> {
        if times < 2 {
            return Err(Error::Invalid {
                what: "data.stride".into(),
                problem: format!("every {}th point leaves {times}", self.stride),
                remedy: "use a smaller stride: at least two points are needed".into(),
            });
        }
        let window = self.window.unwrap_or(times);
        if window > times || window < 2 {
            return Err(Error::Invalid {
                what: "data.window".into(),
                problem: format!("{window} points where the data have {times}"),
                remedy: format!("use 2 to {times}"),
            });
        }
        Ok(window)
    }
}

impl Solve {
    /// The details of the adjoint.
    pub(crate) fn adjoint_options(&self) -> AdjointOptions {
        AdjointOptions {
            anchors: self.anchors,
            log_words: self.log_words,
            fraction_bits: self.fraction_bits,
            two_words: self.state_words == Some(2),
            memory: self.memory.map(|m| m.as_u64()),
            ..AdjointOptions::default()
        }
    }

    /// Those details that another adjoint of the method has too, such that the forward pass computes the same numbers
    /// where it can: the reversible adjoint cannot have the contraction.
    pub(crate) fn options_for(&self, other: Adjoint) -> AdjointOptions {
        let options = self.adjoint_options();
        if self.adjoint.resolve(self.method).is_ok_and(|own| own == other) {
            return options;
        }
        AdjointOptions {
            anchors: options.anchors.filter(|_| matches!(other, Adjoint::Checkpointed | Adjoint::Backsolve)),
            log_words: if other == Adjoint::Reversible { None } else { self.log_words_used() },
            fraction_bits: options.fraction_bits.filter(|_| other == Adjoint::Exact),
            two_words: options.two_words && other == Adjoint::Exact,
            ..options
        }
    }

    /// Words of the contraction log, the default included; none if the method has no contraction.
    pub(crate) fn log_words_used(&self) -> Option<u32> {
        let exact = self.adjoint.resolve(self.method).is_ok_and(|own| own == Adjoint::Exact);
        let words = self.log_words.or(exact.then_some(DEFAULT_LOG_WORDS)).unwrap_or(0);
        self.method.pair().filter(|p| p.is_additive()).map(|_| words)
    }

    pub(super) fn grid(&self, t0: f64, save_at: &[f64], t1: f64) -> Result<TimeGrid> {
        match (self.step, self.steps) {
            (Some(step), None) if self.dense => TimeGrid::dense(t0, save_at, t1, step),
            (Some(step), None) => TimeGrid::with_step(t0, save_at, t1, step),
            (None, Some(steps)) if self.dense => TimeGrid::dense_with_steps(t0, save_at, t1, steps),
            (None, Some(steps)) => TimeGrid::with_steps(t0, save_at, t1, steps),
            (both, _) => Err(Error::Invalid {
                what: "solve.step and solve.steps".into(),
                problem: if both.is_some() { "both are given" } else { "neither is given" }.into(),
                remedy: "give one of them: the longest step, or the steps per interval between save times".into(),
            }),
        }
    }
}

impl Train {
    /// The optimiser; what is not given has its usual value.
    pub(crate) fn optimiser(&self) -> Optimizer {
        match self.optimiser {
            OptimiserName::Adam => Optimizer::Adam {
                beta1: self.beta1.unwrap_or(0.9),
                beta2: self.beta2.unwrap_or(0.999),
                epsilon: self.epsilon.unwrap_or(1e-8),
            },
            OptimiserName::Sgd => Optimizer::Sgd { momentum: self.momentum.unwrap_or(0.0) },
        }
    }

    /// The course of the learning rate.
    pub(crate) fn schedule(&self) -> Schedule {
        let final_rate = self.final_learning_rate.unwrap_or(0.0);
        match self.schedule {
            ScheduleName::Constant => Schedule::Constant,
            ScheduleName::Cosine => Schedule::Cosine { final_rate },
            ScheduleName::Exponential => Schedule::Exponential { final_rate },
        }
    }
}

impl Output {
    /// The folder for results: `runs/` and the name of the description, beside it, if none is given.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.as_deref().unwrap_or(Path::new("runs"))
    }

    /// True if plots are drawn (default).
    pub(crate) fn plot(&self) -> bool {
        self.plot.unwrap_or(true)
    }

    /// The two components of the phase plane, 0 and 1 if none are given; `None` if the state has but one.
    pub(crate) fn plot_components(&self, state: usize) -> Option<[usize; 2]> {
        self.plot_components.or((state >= 2).then_some([0, 1]))
    }
}
