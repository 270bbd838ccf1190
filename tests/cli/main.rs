//! Does the binary keep its promises: files and their shapes, the keys of its JSON, exit codes, one sentence per
//! failure, nothing half-written, and the same gradient as PyTorch?
//!
//! Blind spots: the fields are tiny and the runs short, so that speed and large batches are not seen; layouts of tables
//! and plots are not compared with anything; a terminal (progress bar, width of tables) is never there; a disk that
//! fills up is not tried. PyTorch is compared through a file that it wrote once
//! (`tests/fixtures/make_torch_fixture.py`).

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod bench;
mod data;
mod objectives;
mod outputs;
mod reports;
mod runs;
mod train;
mod training_ends;
mod tuning;
mod units;
mod usage;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The field and the steps of the fixture from PyTorch, whatever adjoint is the default.
const EULER: &str = "[field]\nstate = 2\nhidden = [5, 3]\n[solve]\nmethod = \"euler\"\nt1 = 0.4\nstep = 0.1\n";

/// The same with a method and an adjoint, and more lines for the section `[solve]`.
fn solving(method: &str, adjoint: &str, lines: &str) -> String {
    format!("{}adjoint = \"{adjoint}\"\n{lines}\n", EULER.replace("euler", method))
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// The cache directory of whoever runs the tests, or where Mesa is told to keep its own.
fn user_cache() -> PathBuf {
    let set = |name| std::env::var_os(name).map(PathBuf::from);
    let home = || set("HOME").unwrap_or_default().join(".cache");
    set("MESA_SHADER_CACHE_DIR").or_else(|| set("XDG_CACHE_HOME")).unwrap_or_else(home)
}

/// A temporary folder in which the binary runs.
struct Folder(tempfile::TempDir);

impl Folder {
    /// With the fixture's run description `run.toml`, weights `w.safetensors`, initial states `x0.npy` and targets
    /// `y.npy`.
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.file("run.toml", EULER);
        std::fs::copy(fixture("torch_mlp.safetensors"), folder.path("w.safetensors")).unwrap();
        std::fs::copy(fixture("torch_mlp_x.npy"), folder.path("x0.npy")).unwrap();
        let targets = runs::tensor(&fixture("torch_euler.safetensors"), "targets").insert_axis(ndarray::Axis(0));
        costate::io::write_npy(folder.path("y.npy"), targets.mapv(runs::narrow).view()).unwrap();
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn file(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn entries(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort_unstable();
        names
    }

    /// Runs the binary with arguments that are separated by spaces.
    fn run(&self, arguments: &str) -> Ran {
        self.run_with(arguments, &[])
    }

    /// The same, with more in its environment.
    fn run_with(&self, arguments: &str, environment: &[(&str, &str)]) -> Ran {
        let output = Command::new(env!("CARGO_BIN_EXE_costate"))
            .args(arguments.split_whitespace())
            .current_dir(self.0.path())
            .env_remove("RUST_LOG")
            // Without it drivers complain on standard error, unless the binary sees to it.
            .env_remove("XDG_RUNTIME_DIR")
            // Not what the developer's machine was tuned for; but compiled kernels are kept where Mesa keeps them.
            .env("MESA_SHADER_CACHE_DIR", user_cache())
            .env("XDG_CACHE_HOME", self.path("cache"))
            .envs(environment.iter().copied())
            .output()
            .unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        // What is told after two seconds depends on the machine.
        let stderr = stderr.lines().filter(|l| !l.contains("compiling kernel ")).map(str::to_owned).collect();
        Ran {
            arguments: arguments.to_owned(),
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr,
        }
    }
}

/// What a run of the binary left behind.
#[derive(Debug)]
struct Ran {
    arguments: String,
    code: Option<i32>,
    stdout: String,
    stderr: Vec<String>,
}

impl Ran {
    #[track_caller]
    fn succeeded(self) -> Self {
        assert_eq!(self.code, Some(0), "`{}` should succeed: {:?}", self.arguments, self.stderr);
        self
    }

    /// The exit code and the one sentence on standard error, which holds all `words`.
    #[track_caller]
    fn failed(self, code: i32, words: &[&str]) -> Self {
        assert_eq!(self.code, Some(code), "`{}` should exit with {code}: {:?}", self.arguments, self.stderr);
        let errors: Vec<&String> = self.stderr.iter().filter(|l| l.starts_with("error: ")).collect();
        assert_eq!(errors.len(), 1, "`{}` should give one sentence: {:?}", self.arguments, self.stderr);
        for word in words {
            assert!(errors[0].contains(word), "'{}' should contain '{word}'", errors[0]);
        }
        self
    }

    /// The one JSON object that standard output consists of.
    #[track_caller]
    fn json(&self) -> Value {
        let value: Value = serde_json::from_str(&self.stdout)
            .unwrap_or_else(|e| panic!("`{}` should print one JSON object ({e}): {}", self.arguments, self.stdout));
        assert!(value.is_object(), "`{}` should print an object: {value}", self.arguments);
        value
    }
}

/// Every key is there.
#[track_caller]
fn assert_keys(value: &Value, keys: &[&str]) {
    for key in keys {
        assert!(value.get(key).is_some(), "the key '{key}' should be in {value}");
    }
}
