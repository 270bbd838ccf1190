//! The run description, `run.toml`: what the keys are and what they hold.
//!
//! A key that is not known is an error, and so is one that the rest of the description makes meaningless (`momentum`
//! for adam): a setting that is silently ignored costs more than a run that does not start. Relative paths are
//! relative to the folder of the description.

mod build;
mod check;
mod keys;
mod objective;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};

use bytesize::ByteSize;
use costate::io::{Scale, read_at_most};
use costate::{Activation, Adjoint, Error, Init, KernelOptions, Method, RECONSTRUCTION_TOLERANCE, Result};
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

pub(crate) use keys::named;
pub(crate) use objective::{Cost, Gradient, Loss};

/// Most bytes of a text that is read.
const LONGEST: u64 = 64 << 20;

/// A whole run description.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Its file.
    #[serde(skip)]
    path: PathBuf,
    /// The field.
    pub(crate) field: Field,
    /// Solver, times and adjoint.
    pub(crate) solve: Solve,
    /// What an observation is worth.
    #[serde(default)]
    pub(crate) loss: Loss,
    /// The running cost, if there is one.
    pub(crate) cost: Option<Cost>,
    /// What `gradient` differentiates by.
    #[serde(default)]
    pub(crate) gradient: Gradient,
    /// What of the kernels' arrangement is not left to the plan.
    #[serde(default)]
    pub(crate) kernels: KernelOptions,
    /// The data set; needed by `train` only.
    pub(crate) data: Option<Data>,
    /// The training; needed by `train` only.
    pub(crate) train: Option<Train>,
    /// Where results go.
    #[serde(default)]
    pub(crate) output: Output,
}

/// `[field]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Field {
    /// Number of components of the state.
    pub(crate) state: usize,
    /// Widths of the hidden layers; may be empty.
    pub(crate) hidden: Vec<usize>,
    /// Activation of the hidden layers.
    #[serde(default)]
    pub(crate) activation: Activations,
    /// Activation of the last layer.
    #[serde(default = "identity")]
    pub(crate) output_activation: Activation,
    /// True if the time is the last input of layer 0.
    #[serde(default)]
    pub(crate) time_input: bool,
    /// False for layers without biases.
    #[serde(default = "yes")]
    pub(crate) bias: bool,
}

/// One activation for all hidden layers, or one for each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Activations {
    /// `activation = "tanh"`
    Same(Activation),
    /// `activation = ["tanh", "softplus"]`
    Each(Vec<Activation>),
}

/// `[solve]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Solve {
    /// The solver.
    #[serde(default)]
    pub(crate) method: Method,
    /// Start; 0 if not given. Training takes it from the data.
    #[serde(default)]
    pub(crate) t0: f64,
    /// End; training takes it from the data.
    pub(crate) t1: Option<f64>,
    /// Longest step; this or `steps`.
    pub(crate) step: Option<f64>,
    /// Steps per interval between neighbouring save times, with `dense` all of them; this or `step`.
    pub(crate) steps: Option<usize>,
    /// True if steps do not stop at save times, where states are interpolated then.
    #[serde(default)]
    pub(crate) dense: bool,
    /// Save times; `[t1]` if not given. Training takes them from the data.
    pub(crate) save_at: Option<Vec<f64>>,
    /// Where the gradient gets the states from.
    #[serde(default)]
    pub(crate) adjoint: Adjoint,
    /// States kept on the way; checkpointed and backsolve only.
    pub(crate) anchors: Option<usize>,
    /// Bytes that a run may keep on the device: with auto and checkpointed they pick the way to the gradient.
    #[serde(default, deserialize_with = "size")]
    pub(crate) memory: Option<ByteSize>,
    /// Words of the contraction log per component; methods made of kicks only.
    pub(crate) log_words: Option<u32>,
    /// Bits below the point of a state in fixed point; exact only.
    pub(crate) fraction_bits: Option<u32>,
    /// Words of 32 bits per component of a state in fixed point, 1 or 2; exact only.
    pub(crate) state_words: Option<u32>,
    /// Largest accepted difference between the given and the reconstructed x(t0).
    #[serde(default = "reconstruction_tolerance")]
    pub(crate) reconstruction_tolerance: f32,
    /// What a larger difference is.
    #[serde(default)]
    pub(crate) on_drift: OnDrift,
}

/// What a reconstruction is that is off by more than the tolerance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OnDrift {
    /// A warning.
    #[default]
    Warn,
    /// The end of the run.
    Error,
}

/// `[data]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Data {
    /// `.csv` or `.npz`, see [`costate::io::Series::read`].
    pub(crate) file: PathBuf,
    /// What stands between the cells of a table.
    delimiter: Option<Delimiter>,
    /// The column of times.
    time: Option<String>,
    /// The column that tells several series apart.
    id: Option<String>,
    /// The columns that are components.
    columns: Option<Vec<String>>,
    /// How the components are scaled.
    #[serde(default)]
    pub(crate) scale: Scale,
    /// Points per sample, the first of which is the initial state; the whole series if not given.
    pub(crate) window: Option<usize>,
    /// Every how many points one is used.
    #[serde(default = "one")]
    pub(crate) stride: usize,
}

/// What stands between the cells of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
enum Delimiter {
    #[serde(rename = ",")]
    Comma,
    #[serde(rename = ";")]
    Semicolon,
    #[serde(rename = "\t", alias = "tab")]
    Tab,
}

/// `[train]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Train {
    /// Samples drawn for each iteration; as many as there are if not given.
    pub(crate) batch: Option<usize>,
    /// Number of updates of the parameters.
    pub(crate) iterations: usize,
    #[serde(default)]
    optimiser: OptimiserName,
    /// Learning rate at the start.
    pub(crate) learning_rate: f64,
    #[serde(default)]
    schedule: ScheduleName,
    final_learning_rate: Option<f64>,
    momentum: Option<f64>,
    beta1: Option<f64>,
    beta2: Option<f64>,
    epsilon: Option<f64>,
    /// Decoupled weight decay: each update takes `learning_rate * weight_decay * θ` off.
    #[serde(default)]
    pub(crate) weight_decay: f64,
    /// Largest norm of the gradient; a larger one is scaled down.
    pub(crate) clip_norm: Option<f64>,
    /// How the parameters are drawn; not used with `weights`.
    #[serde(default)]
    pub(crate) init: Init,
    /// Seed of the parameters and of the order of the samples.
    #[serde(default)]
    pub(crate) seed: u64,
    /// Iterations between two lines of progress.
    #[serde(default = "report_every")]
    pub(crate) report_every: usize,
    /// Iterations between two evaluations of the whole data set, by which the best weights are chosen.
    pub(crate) checkpoint_every: Option<usize>,
    /// Weights to start from, instead of drawing them.
    pub(crate) weights: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum OptimiserName {
    #[default]
    Adam,
    Sgd,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ScheduleName {
    #[default]
    Constant,
    Cosine,
    Exponential,
}

/// `[output]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Output {
    folder: Option<PathBuf>,
    plot: Option<bool>,
    plot_components: Option<[usize; 2]>,
}

impl Config {
    /// Reads and checks a run description.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read, [`Error::Format`] with line and column for what is not TOML, an unknown
    /// key or name, a missing key or a wrong type, [`Error::Invalid`] with the key for values that make no sense; see
    /// [`named`].
    pub(crate) fn read(path: &Path) -> Result<Self> {
        Self::parse(path, &read_text(path)?)
    }

    /// As [`Self::read`], with the text at hand; `path` gives the folder and the name in messages.
    pub(crate) fn parse(path: &Path, text: &str) -> Result<Self> {
        let mut config: Self = toml::from_str(text).map_err(|e| {
            let place = e.span().map_or(String::new(), |span| place(text, span.start));
            Error::Format {
                path: path.to_owned(),
                format: "run description",
                problem: format!("{place}{}", e.message().trim_end().replace('\n', ", ")),
                remedy: "`costate train --help` lists the keys".into(),
            }
        })?;
        config.path = path.to_owned();
        config.resolve_paths(path);
        check::numbers(text).and_then(|()| config.check()).map_err(|e| config.keyed(e))?;
        Ok(config)
    }

    /// The file of the reference of the running cost, if there is one.
    pub(crate) fn reference_file(&self) -> Option<&Path> {
        self.cost.as_ref()?.reference.as_ref().map(|reference| reference.file.as_path())
    }

    fn resolve_paths(&mut self, path: &Path) {
        let base = path.parent().unwrap_or(Path::new(""));
        let stem = path.file_stem().unwrap_or(path.as_os_str());
        let folder = self.output.folder.take().unwrap_or_else(|| Path::new("runs").join(stem));
        self.output.folder = Some(base.join(folder));
        if let Some(data) = &mut self.data {
            data.file = base.join(&data.file);
        }
        if let Some(reference) = self.cost.as_mut().and_then(|c| c.reference.as_mut()) {
            reference.file = base.join(&reference.file);
        }
        if let Some(weights) = self.train.as_mut().and_then(|t| t.weights.as_mut()) {
            *weights = base.join(&weights);
        }
    }
}

/// The text of a file that people or this program have written.
///
/// # Errors
/// [`Error::Io`] if it cannot be read or is no text, [`Error::Invalid`] if it is far too long.
pub(crate) fn read_text(path: &Path) -> Result<String> {
    let bytes = read_at_most(path, LONGEST)?;
    String::from_utf8(bytes).map_err(|_| Error::Io {
        action: "read",
        path: path.to_owned(),
        source: std::io::Error::new(std::io::ErrorKind::InvalidData, "it is no text in UTF-8"),
    })
}

/// `line 3, column 10, key: ` for a byte of the text; the key only if the byte lies behind one.
fn place(text: &str, byte: usize) -> String {
    let before = text.get(..byte).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|&c| c != '\n').count() + 1;
    // What stands before the value in its line is the key.
    let start = before.rfind('\n').map_or(0, |end| end + 1);
    let key = before[start..].split_once('=').map_or(String::new(), |(key, _)| format!(", {}", key.trim()));
    format!("line {line}, column {column}{key}: ")
}

fn identity() -> Activation {
    Activation::Identity
}

fn yes() -> bool {
    true
}

fn one() -> usize {
    1
}

fn report_every() -> usize {
    100
}

fn reconstruction_tolerance() -> f32 {
    RECONSTRUCTION_TOLERANCE
}

/// A number of bytes, or a text such as `512 MiB`.
fn size<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Option<ByteSize>, D::Error> {
    use serde::de::Error;
    let value = toml::Value::deserialize(deserializer)?;
    let size = match &value {
        toml::Value::Integer(bytes) => u64::try_from(*bytes).ok().map(ByteSize::b),
        toml::Value::String(text) => text.parse().ok(),
        _ => None,
    };
    // Nothing can be kept in no bytes.
    size.filter(|s| s.as_u64() > 0).map(Some).ok_or_else(|| {
        D::Error::custom(format!("{value} is no size; write a number of bytes > 0, or a text such as \"512 MiB\""))
    })
}

impl Default for Activations {
    fn default() -> Self {
        Self::Same(Activation::Tanh)
    }
}

/// By hand, because serde's untagged enums swallow the message that lists the known names.
impl<'de> Deserialize<'de> for Activations {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct NameOrList;

        impl<'de> Visitor<'de> for NameOrList {
            type Value = Activations;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of an activation or a list of names, one per hidden layer")
            }

            fn visit_str<E: serde::de::Error>(self, name: &str) -> std::result::Result<Activations, E> {
                name.parse().map(Activations::Same).map_err(E::custom)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> std::result::Result<Activations, A::Error> {
                let mut each = Vec::new();
                while let Some(activation) = list.next_element()? {
                    each.push(activation);
                }
                Ok(Activations::Each(each))
            }
        }

        deserializer.deserialize_any(NameOrList)
    }
}
