//! Refusals of something that a run description says: by key and file, also where the library made them.

use std::path::Path;

use costate::Error;

use super::Config;

/// The sections of a run description.
const SECTIONS: [&str; 9] = ["field", "solve", "loss", "cost", "gradient", "kernels", "data", "train", "output"];

/// A refusal that names a key, with the name of the file behind it; any other as it is.
pub(crate) fn named(path: &Path, error: Error) -> Error {
    match error {
        Error::Invalid { what, problem, remedy } if is_keyed(&what) => {
            Error::Invalid { what: with_file(&what, path), problem, remedy }
        }
        other => other,
    }
}

/// True for `solve.step` and `section [data]`.
fn is_keyed(what: &str) -> bool {
    let section = match what.strip_prefix("section [") {
        Some(section) => section.split_once(']'),
        None => what.split_once('.'),
    };
    section.is_some_and(|(section, _)| SECTIONS.contains(&section))
}

/// Once is enough.
fn with_file(what: &str, path: &Path) -> String {
    let file = format!(" in {}", path.display());
    if what.contains(&file) { what.to_owned() } else { format!("{what}{file}") }
}

impl Config {
    /// The library's refusal of something that a key gave, with the name of the key and of the file.
    pub(crate) fn keyed(&self, error: Error) -> Error {
        let at = |key: &str| with_file(key, &self.path);
        match error {
            Error::Invalid { what, problem, remedy } => match self.key(&what) {
                Some((key, Some(value))) => {
                    let problem = if problem.starts_with(&value) { problem } else { format!("{value} {problem}") };
                    Error::Invalid { what: at(&key), problem, remedy }
                }
                Some((key, None)) if key.ends_with(&what) => Error::Invalid { what: at(&key), problem, remedy },
                Some((key, None)) => Error::Invalid { what: format!("{} ({what})", at(&key)), problem, remedy },
                None => named(&self.path, Error::Invalid { what, problem, remedy }),
            },
            Error::LimitExceeded { what, needed, limit, adapter, remedy } if what == "the workgroup size" => {
                let what = format!("{}: {what}", at("kernels.workgroup"));
                Error::LimitExceeded { what, needed, limit, adapter, remedy }
            }
            Error::BudgetExceeded { what, needed, budget, remedy } if self.solve.memory.is_some() => {
                Error::BudgetExceeded { what: format!("{}: {what}", at("solve.memory")), needed, budget, remedy }
            }
            other => other,
        }
    }

    /// The key that gave what the library calls `what`, and its value where the name alone does not tell what is wrong.
    fn key(&self, what: &str) -> Option<(String, Option<String>)> {
        let solve = &self.solve;
        let shown = |value: Option<u32>| value.map(|v| v.to_string());
        let steps = if solve.step.is_some() { "solve.step" } else { "solve.steps" };
        let start = |prefix: &str| what.starts_with(prefix);
        let (key, value) = match what {
            "adjoint" => ("solve.adjoint", Some(solve.adjoint.to_string())),
            "anchors" => ("solve.anchors", solve.anchors.map(|a| a.to_string())),
            "log words" => ("solve.log_words", shown(solve.log_words)),
            "words of the state" => ("solve.state_words", shown(solve.state_words)),
            "fraction bits" => ("solve.fraction_bits", shown(solve.fraction_bits)),
            "fixed-point range" if solve.fraction_bits.is_some() => ("solve.fraction_bits", Some(String::new())),
            "state dimension" => ("field.state", None),
            "step" => ("solve.step", None),
            "t0" => ("solve.t0", None),
            "t1" | "time span" if solve.t1.is_some() => ("solve.t1", None),
            "trajectories per invocation" => ("kernels.trajectories", None),
            "workgroup size" => ("kernels.workgroup", None),
            "tile" => ("kernels.trajectories", None),
            "initialiser" => ("train.init", None),
            "time grid" => (steps, None),
            _ if start("width of hidden layer") || start("layer of ") => ("field.hidden", None),
            _ if start("number of steps") => (steps, None),
            _ if start("save time") && solve.save_at.is_some() => ("solve.save_at", None),
            _ if start("log scale of component") => ("loss.log_scale", None),
            _ if start("times of the reference") && self.cost.is_some() => ("cost.reference", None),
            _ => return None,
        };
        Some((key.to_owned(), value))
    }
}
