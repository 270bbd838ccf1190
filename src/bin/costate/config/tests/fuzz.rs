//! Run descriptions with every key wrong in every way, and damaged ones: read or refused in one line that names the file.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

use super::*;

/// Between them they have every key that there is.
const GOOD: [&str; 3] = [
    r#"
[field]
state = 2
hidden = [4, 3]
activation = ["tanh", "LeakyReLU"]
output_activation = "identity"
time_input = true
bias = false
[solve]
method = "strang"
adjoint = "exact"
t0 = -1.0
t1 = 1.0
steps = 4
save_at = [0.25, 1.0]
log_words = 4
fraction_bits = 24
state_words = 2
memory = "64 MiB"
reconstruction_tolerance = 1e-3
on_drift = "error"
[loss]
kind = "gaussian_nll"
log_scale = [0.5, -1]
[gradient]
wrt = ["theta", "x0", "loss"]
[kernels]
trajectories = 2
workgroup = 64
"#,
    r#"
[field]
state = 2
hidden = [4]
[solve]
method = "rk4"
adjoint = "backsolve"
step = 0.5
dense = true
anchors = 2
[loss]
kind = "huber"
delta = 0.5
[cost]
kinetic = 0.1
jacobian = 0.2
seed = 3
parameters = 1e-3
reference = { weight = 1.0, file = "reference.npz" }
[data]
file = "data.csv"
delimiter = ";"
time = "t"
id = "series"
columns = ["x", "y"]
scale = "standardise"
window = 4
stride = 2
[train]
batch = 3
iterations = 10
optimiser = "sgd"
momentum = 0.9
learning_rate = 0.1
schedule = "exponential"
final_learning_rate = 0.01
weight_decay = 1e-4
clip_norm = 2.0
init = { normal = 0.1 }
seed = 7
report_every = 5
checkpoint_every = 5
weights = "w.safetensors"
[output]
folder = "out"
plot = true
plot_components = [1, 0]
"#,
    r#"
field = { state = 1, hidden = [] }
[solve]
method = "mccallum_foster:rk4:0.99"
t1 = 3
steps = 2
[loss]
kind = "gaussian_nll"
learn_scale = true
[data]
file = "data.npz"
[train]
iterations = 1
learning_rate = 1e-3
optimiser = "adam"
beta1 = 0.8
beta2 = 0.99
epsilon = 1e-9
"#,
];

/// Values of every type and size.
const VALUES: [&str; 48] = [
    "true",
    "0",
    "1",
    "-1",
    "2",
    "3.5",
    "-0.0",
    "1e-320",
    "1e-46",
    "1e30",
    "1e39",
    "1e308",
    "1e400",
    "-1e400",
    "nan",
    "-nan",
    "inf",
    "-inf",
    "4294967295",
    "4294967296",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "99999999999999999999999",
    "0xffff_ffff",
    "\"\"",
    "\"x\"",
    "\"nan\"",
    "\"tanh\"",
    "\"mccallum_foster:rk4:nan\"",
    "\"mccallum_foster:mccallum_foster:rk4:0.5:0.5\"",
    "\"18446744073709551616 EiB\"",
    "\"a\\nb\\u0000\\u001b[31m\"",
    "'''\ntwo\nlines'''",
    "\"open",
    "[]",
    "[[]]",
    "[0]",
    "[-1, 1e400]",
    "[1, 2, 3]",
    "[9223372036854775807, 9223372036854775807]",
    "[\"tanh\", 1]",
    "[\"\\n\", \"x0\"]",
    "{}",
    "{ normal = -inf }",
    "{ weight = 1e400, file = \"\" }",
    "1979-05-27T07:32:00Z",
    "",
];

/// What is wrong with the way in which a description is read or refused.
fn fault(text: &str) -> Option<String> {
    let read = || -> Result<()> {
        let config = parse(text)?;
        // What a description gives must be there without a panic too.
        let field = config.field()?;
        config.wrt(None)?;
        assert_eq!(config.log_scale().len() % field.dim(), 0, "one for each component");
        let times = config.solve.t1.map(|_| config.grid()).transpose()?;
        let times = times.map_or_else(Vec::new, |grid| grid.save_times());
        assert!(times.iter().all(|t| t.is_finite()), "save times are not finite: {times:?}");
        assert!(config.running_cost().is_err() || config.reference_file().is_none(), "there is no such file");
        if let Some(train) = &config.train {
            let _ = (train.optimiser(), train.schedule());
        }
        if let Some(data) = &config.data {
            let _ = data.points(10);
            assert!(data.read().is_err(), "there is no such file");
        }
        let _ = config.output.plot_components(field.dim());
        let _ = config.grid_for_times(&[0.0, 0.5, 1.0]);
        Ok(())
    };
    match catch_unwind(AssertUnwindSafe(read)) {
        Err(_) => Some("a panic, or something unsound".to_owned()),
        Ok(Ok(())) => None,
        Ok(Err(error)) => {
            let message = error.to_string();
            let good = error.is_usage()
                && message.contains("folder/run.toml")
                && message.chars().count() < 3000
                && !message.contains(|c: char| c.is_control());
            (!good).then(|| format!("{message:?}"))
        }
    }
}

/// Tries many descriptions.
struct Trial {
    faults: Vec<String>,
    read: usize,
    refused: usize,
}

impl Trial {
    fn new() -> Self {
        Self { faults: Vec::new(), read: 0, refused: 0 }
    }

    fn text(&mut self, text: &str) {
        if let Some(fault) = fault(text) {
            self.faults.push(format!("{fault} for {text}"));
        }
        let count = if parse(text).is_ok() { &mut self.read } else { &mut self.refused };
        *count += 1;
    }

    fn end(self, at_least: usize) {
        let Self { faults, read, refused } = self;
        println!("{read} read, {refused} refused");
        assert!(faults.is_empty(), "{} faults, as\n{}", faults.len(), faults[..faults.len().min(8)].join("\n"));
        assert!(read + refused >= at_least && read * 50 > at_least, "{read} read, {refused} refused");
    }
}

#[test]
fn every_key_with_every_value_is_read_or_refused() {
    let mut trial = Trial::new();
    for good in GOOD {
        parse(good).unwrap();
        let lines: Vec<&str> = good.lines().collect();
        for (i, line) in lines.iter().enumerate() {
            let with = |new: &str| {
                let mut lines = lines.clone();
                lines[i] = new;
                lines.join("\n")
            };
            // Left out, twice, with something behind it, of another name, within another section.
            for new in
                ["", &format!("{line}\n{line}"), &format!("{line} x"), &format!("x{line}"), &format!("[x]\n{line}")]
            {
                trial.text(&with(new));
            }
            let Some((key, _)) = line.split_once(" = ") else { continue };
            for value in VALUES {
                trial.text(&with(&format!("{key} = {value}")));
            }
        }
    }
    trial.end(3500);
}

#[test]
fn damaged_descriptions_are_read_or_refused() {
    const PIECES: [&str; 16] =
        ["\0", "\n", "\r", "\u{feff}", "\"", "'", "[", "]", "{", "=", "#", ".", "é", "\u{2028}", "[solve]\n", "1e999"];
    let mut trial = Trial::new();
    let mut rng = Pcg64::seed_from_u64(11);
    for good in GOOD {
        trial.text(&good.replace('\n', "\r\n"));
        trial.text(&format!("\u{feff}{good}"));
        for _ in 0..700 {
            let mut text: Vec<char> = good.chars().collect();
            for _ in 0..rng.random_range(1..3) {
                let at = rng.random_range(0..text.len());
                let end = (at + rng.random_range(0..12)).min(text.len());
                match rng.random_range(0..5) {
                    0 => text.truncate(at.max(1)),
                    1 => drop(text.drain(at..end)),
                    2 => drop(text.splice(at..at, text[at..end].to_vec())),
                    3 => text[at..end].reverse(),
                    _ => drop(text.splice(at..at, PIECES.choose(&mut rng).unwrap().chars())),
                }
                if text.is_empty() {
                    text.push(' ');
                }
            }
            trial.text(&text.into_iter().collect::<String>());
        }
    }
    let deep = format!("{}x = {}1{}", GOOD[0], "[".repeat(5000), "]".repeat(5000));
    let long = format!("{}folder = \"{}\"", GOOD[1], "x".repeat(100_000));
    let keys: String = (0..5000).map(|i| format!("key{i} = 1\n")).collect();
    for text in ["", "\n", "#", &deep, &long, &format!("{}[output]\n{keys}", GOOD[0]), &"a.".repeat(5000)] {
        trial.text(text);
    }
    trial.end(2000);
}

#[test]
fn files_that_are_no_descriptions_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.toml");
    let refused = |words: &str| {
        let message = Config::read(&path).unwrap_err().to_string();
        assert!(message.contains("run.toml") && message.contains(words), "'{message}' should contain '{words}'");
        assert!(!message.contains(|c: char| c.is_control()), "{message:?} should be one line");
    };
    refused("cannot read");
    for (bytes, words) in [(&b"\xff\xfe["[..], "no text in UTF-8"), (b"[field]\n# \xe9\n", "no text"), (b"", "field")] {
        std::fs::write(&path, bytes).unwrap();
        refused(words);
    }
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    refused("cannot read");
}
