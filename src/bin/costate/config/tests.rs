//! Reads and rejects run descriptions: every key, every mistake.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;

use costate::AdjointOptions;
use costate::train::{Optimizer, Schedule};

use super::*;

mod fuzz;
mod objective;

const FIELD: &str = "[field]\nstate = 2\nhidden = [64, 32]\n";
const SOLVE: &str = "[solve]\nt1 = 1.0\nstep = 0.025\n";

fn parse(text: &str) -> Result<Config> {
    Config::parse(Path::new("folder/run.toml"), text)
}

/// The message of a description that must be refused as bad input.
fn refusal(text: &str) -> String {
    let error = parse(text).expect_err(text);
    assert!(error.is_usage(), "{error} should be bad usage");
    assert!(!error.to_string().contains('\n'), "'{error}' should be one line");
    error.to_string()
}

fn assert_refused(text: &str, words: &[&str]) {
    let message = refusal(text);
    assert!(message.contains("folder/run.toml"), "'{message}' should name the file");
    for word in words {
        assert!(message.contains(word), "'{message}' should contain '{word}'");
    }
}

#[test]
fn the_contract_is_read() {
    let config = parse(
        r#"
[field]
state = 2                        # d
hidden = [64, 64]                # may be empty
activation = "tanh"
output_activation = "identity"
time_input = false

[solve]
method = "rk4"
t0 = 0
t1 = 1.0
step = 0.025
save_at = [0.25, 0.5, 1.0]
adjoint = "backsolve"
reconstruction_tolerance = 1e-2

[loss]
kind = "mse"
"#,
    )
    .unwrap();
    assert_eq!(config.field().unwrap().summary(), "2-64-64-2 tanh");
    let grid = config.grid().unwrap();
    assert_eq!((grid.steps(), grid.save_times()), (40, vec![0.25, 0.5, 1.0]));
    assert_eq!((config.solve.method, config.solve.adjoint), (Method::Rk4, Adjoint::Backsolve));
    assert_eq!(config.solve.reconstruction_tolerance, 1e-2);
    assert_eq!(config.loss.loss().unwrap(), costate::Loss::Mse);
    assert!(config.training().unwrap_err().to_string().contains("[data]"), "the missing section should be named");
}

#[test]
fn defaults_hold() {
    let config = parse(&format!("{FIELD}{SOLVE}")).unwrap();
    assert_eq!(config.field().unwrap().summary(), "2-64-32-2 tanh");
    assert_eq!(config.grid().unwrap().save_times(), [1.0]);
    assert_eq!((config.solve.method, config.solve.adjoint), (Method::Tsit5, Adjoint::Auto));
    assert_eq!(config.solve.reconstruction_tolerance, 1e-3);
    assert_eq!(config.output.folder(), Path::new("folder/runs/run"));
    assert!(config.output.plot(), "plots are drawn unless switched off");
    assert_eq!(config.output.plot_components(2), Some([0, 1]));
    assert_eq!(config.output.plot_components(1), None);
}

#[test]
fn activations_may_differ() {
    let config = parse(&format!("{FIELD}activation = [\"tanh\", \"softplus\"]\n{SOLVE}")).unwrap();
    let activations: Vec<_> = config.field().unwrap().layers().iter().map(|l| l.activation).collect();
    assert_eq!(activations, [Activation::Tanh, Activation::Softplus, Activation::Identity]);
    assert_refused(&format!("{FIELD}activation = [\"tanh\"]\n{SOLVE}"), &["field.activation", "1 names", "2 hidden"]);
    let torch = parse(&format!("{FIELD}activation = [\"LeakyReLU\", \"nn.SiLU\"]\n{SOLVE}")).unwrap();
    let activations: Vec<_> = torch.field().unwrap().layers().iter().map(|l| l.activation).collect();
    assert_eq!(activations, [Activation::LeakyRelu, Activation::Silu, Activation::Identity]);
    let linear = |line: &str| parse(&format!("[field]\nstate = 3\nhidden = []\n{line}\n{SOLVE}")).unwrap();
    assert_eq!(linear("").field().unwrap().parameter_count(), 12);
    assert_eq!(linear("bias = false").field().unwrap().parameter_count(), 9);
}

#[test]
fn training_is_described() {
    let text = format!(
        "{FIELD}[solve]\nsteps = 5\n[data]\nfile = \"d/x.csv\"\nscale = \"log_standardise\"\nwindow = 10\nstride = 2\n\
         [train]\nbatch = 16\niterations = 300\noptimiser = \"adam\"\nlearning_rate = 0.01\nschedule = \"cosine\"\n\
         final_learning_rate = 1e-4\nbeta1 = 0.8\ninit = {{ normal = 0.1 }}\nseed = 7\nweights = \"w.safetensors\"\n\
         [output]\nfolder = \"out\"\nplot = false\nplot_components = [1, 0]\n"
    );
    let config = parse(&text).unwrap();
    let (data, train) = config.training().unwrap();
    assert_eq!(data.file, Path::new("folder/d/x.csv"));
    assert_eq!((data.scale, data.window, data.stride), (Scale::LogStandardise, Some(10), 2));
    assert_eq!((train.batch, train.iterations, train.seed, train.report_every), (Some(16), 300, 7, 100));
    assert_eq!(train.optimiser(), Optimizer::Adam { beta1: 0.8, beta2: 0.999, epsilon: 1e-8 });
    assert_eq!(train.schedule(), Schedule::Cosine { final_rate: 1e-4 });
    assert_eq!(train.init, Init::Normal(0.1));
    assert_eq!(train.weights.as_deref(), Some(Path::new("folder/w.safetensors")));
    assert_eq!(config.output.folder(), Path::new("folder/out"));
    assert_eq!(config.output.plot_components(2), Some([1, 0]));
    assert!(!config.output.plot(), "plots are switched off");
    let error = config.grid().unwrap_err().to_string();
    assert!(error.contains("x.csv"), "without t1 the times are those of the data: {error}");
    let neither = parse(&format!("{FIELD}[solve]\nsteps = 5\n")).unwrap().grid().unwrap_err().to_string();
    assert!(neither.contains("solve.t1"), "without data t1 is needed: {neither}");

    let grid = config.grid_for_times(&[1900.0, 1901.0, 1903.0]).unwrap();
    assert_eq!((grid.t0(), grid.save_times(), grid.steps()), (1900.0, vec![1901.0, 1903.0], 10));
    assert!(config.grid_for_times(&[1900.0]).is_err(), "one point is no trajectory");
    assert!(config.grid_for_times(&[]).is_err(), "no point is no trajectory");
}

#[test]
fn mistakes_are_named_with_their_place() {
    let field = |line: &str| format!("[field]\nstate = 2\nhidden = [4]\n{line}\n{SOLVE}");
    let solve = |line: &str| format!("{FIELD}{SOLVE}{line}\n");
    assert_refused(&field("widht = 3"), &["folder/run.toml", "line 4, column 1", "widht", "hidden"]);
    assert_refused(&field("activation = \"tahn\""), &["line 4", "activation 'tahn'", "softplus"]);
    assert_refused(&field("activation = [\"tahn\"]"), &["line 4", "activation 'tahn'", "softplus"]);
    assert_refused(&field("activation = 3"), &["line 4", "name of an activation"]);
    assert_refused(&field("time_input = \"no\""), &["line 4, column 14", "boolean"]);
    assert_refused(&solve("method = \"rk5\""), &["solver method 'rk5'", "rk4_38"]);
    assert_refused(&solve("adjoint = \"magic\""), &["adjoint 'magic'", "backsolve"]);
    assert_refused(&solve("[extra]"), &["extra"]);
    assert_refused(&solve("[loss]\nkind = \"rmse\""), &["line 8, column 8, kind", "rmse", "gaussian_nll"]);
    assert_refused(&solve("t0 = "), &["line 7"]);
    assert_refused(&format!("[field]\nstate = 2\nhidden = [-4]\n{SOLVE}"), &["line 3", "-4"]);
    assert_refused(&format!("[field]\nhidden = [4]\n{SOLVE}"), &["missing field `state`"]);
    assert_refused(FIELD, &["missing field `solve`"]);
    assert_refused(&format!("[field]\nstate = 2\nhidden = [0]\n{SOLVE}"), &["hidden layer 0"]);
}

#[test]
fn values_without_sense_are_refused() {
    let solve = |lines: &str| format!("{FIELD}[solve]\n{lines}\n");
    assert_refused(&solve("t1 = 1.0"), &["neither"]);
    assert_refused(&solve("t1 = 1.0\nstep = 0.1\nsteps = 10"), &["both"]);
    assert_refused(&solve("step = 0.0"), &["solve.step"]);
    assert_refused(&solve("step = nan"), &["solve.step"]);
    assert_refused(&solve("steps = 0"), &["solve.steps"]);
    assert_refused(&solve("steps = 3\nsave_at = [0.5]"), &["solve.save_at", "t1"]);
    assert_refused(&solve("t1 = 1.0\nsteps = 3\nsave_at = [0.5, 0.2]"), &["save time 1"]);
    assert_refused(&solve("steps = 3\nreconstruction_tolerance = -1.0"), &["reconstruction_tolerance"]);
    let output = format!("{FIELD}{SOLVE}[output]\nplot_components = [0, 2]\n");
    assert_refused(&output, &["output.plot_components", "[0, 2]"]);
    for (line, word) in
        [("window = 1", "data.window"), ("stride = 0", "data.stride"), ("scale = \"log\"", "standardise")]
    {
        assert_refused(&format!("{FIELD}{SOLVE}[data]\nfile = \"x.csv\"\n{line}\n"), &[word]);
    }
}

#[test]
fn numbers_that_the_device_cannot_hold_are_refused_by_key() {
    let solve = |lines: &str| format!("{FIELD}[solve]\nt1 = 1.0\n{lines}\n");
    let train = |lines: &str| format!("{FIELD}{SOLVE}[train]\niterations = 9\n{lines}\n");
    for (text, words) in [
        (solve("step = 0.1\nt0 = nan"), ["solve.t0", "NaN", "finite"]),
        (solve("step = 0.1\nt0 = -inf"), ["solve.t0", "-inf", "finite"]),
        (solve("step = 0.1\nsave_at = [0.5, nan]"), ["solve.save_at[1]", "NaN", "finite"]),
        (solve("step = 1e39"), ["solve.step", "1e39", "3.4e38"]),
        (solve("step = 0.1\nreconstruction_tolerance = 1e39"), ["reconstruction_tolerance", "1e39", "3.4e38"]),
        (solve("step = 0.1\n[loss]\nkind = \"huber\"\ndelta = nan"), ["loss.delta", "NaN", "finite"]),
        (
            solve("step = 0.1\n[cost]\nreference = { weight = inf, file = \"r.npz\" }"),
            ["cost.reference.weight", "inf", "finite"],
        ),
        (train("learning_rate = 1e39"), ["train.learning_rate", "1e39", "3.4e38"]),
        (train("learning_rate = -inf"), ["train.learning_rate", "-inf", "finite"]),
        // The first update of Adam is taken by ten times the rate.
        (train("learning_rate = 1e38"), ["train.learning_rate", "1e38", "at most 3.4e37"]),
        (train("learning_rate = 1e-46"), ["train.learning_rate", "1e-46", "at least 1.2e-38"]),
        (train("learning_rate = 0.1\nclip_norm = 1e-50"), ["train.clip_norm", "1e-50", "at least 1.2e-38"]),
        (
            train("learning_rate = 0.1\nweight_decay = 10.0"),
            ["train.weight_decay", "10 at a learning rate of 0.1", "below 1"],
        ),
        (train("learning_rate = 0.1\ninit = { normal = nan }"), ["train.init.normal", "NaN", "finite"]),
    ] {
        assert_refused(&text, &words);
    }
    let sgd = "learning_rate = 1e38\noptimiser = \"sgd\"";
    assert_eq!(parse(&train(sgd)).unwrap().train.unwrap().learning_rate, 1e38, "without a correction it fits");
}

#[test]
fn refusals_of_the_library_name_the_key_and_the_file() {
    let solve = |lines: &str| format!("{FIELD}[solve]\nt1 = 1.0\n{lines}\n");
    let cases = [
        (format!("[field]\nstate = 0\nhidden = [4]\n{SOLVE}"), "field.state in folder/run.toml"),
        (format!("[field]\nstate = 2\nhidden = [4, 0]\n{SOLVE}"), "field.hidden in folder/run.toml"),
        (format!("[field]\nstate = 2\nhidden = [65536, 65536]\n{SOLVE}"), "field.hidden in folder/run.toml"),
        (format!("{FIELD}activation = [\"tanh\"]\n{SOLVE}"), "field.activation in folder/run.toml"),
        (solve("step = 0.1\nsave_at = [1.5]"), "solve.save_at in folder/run.toml"),
        (solve("step = 0.1\nt0 = 1.0"), "solve.t1 in folder/run.toml"),
        (solve("step = 0.1\nsave_at = []"), "solve.save_at in folder/run.toml"),
        (solve("step = 1e-20"), "solve.step in folder/run.toml"),
        (solve("steps = 999999999999"), "solve.steps in folder/run.toml"),
        (solve("step = 0.1\nmethod = \"rk4\"\nadjoint = \"exact\""), "solve.adjoint in folder/run.toml"),
        (format!("{FIELD}{SOLVE}[data]\nfile = \"x.csv\"\nwindow = 1\n"), "data.window in folder/run.toml"),
    ];
    for (text, key) in cases {
        assert_refused(&text, &[key]);
        assert_eq!(refusal(&text).matches("run.toml").count(), 1, "once is enough: {}", refusal(&text));
    }
    // Without t1 nobody knows how many steps there are, and no number stands for that.
    let anchors = format!("{FIELD}[solve]\nsteps = 2\nmethod = \"rk4\"\nadjoint = \"backsolve\"\nanchors = 0\n");
    assert_refused(&anchors, &["solve.anchors", ": 0; use at least 1"]);
    assert!(!refusal(&anchors).contains("18446744073709551615"), "no sentinel: {}", refusal(&anchors));

    let config = parse(&format!("{FIELD}{SOLVE}[kernels]\ntrajectories = 3\n")).unwrap();
    let of = |what: &str| {
        let (problem, remedy) = ("3".into(), "use 4".into());
        config.keyed(Error::Invalid { what: what.into(), problem, remedy }).to_string()
    };
    let key = "kernels.trajectories in folder/run.toml (trajectories per invocation)";
    assert_eq!(of("trajectories per invocation"), format!("invalid {key}: 3; use 4"));
    assert_eq!(of("x0"), "invalid x0: 3; use 4", "what no key gave stays");
    assert_eq!(of("data.window"), "invalid data.window in folder/run.toml: 3; use 4");
    assert_eq!(of("section [data]"), "invalid section [data] in folder/run.toml: 3; use 4");
}

#[test]
fn details_of_the_adjoint_are_read() {
    let solve = |lines: &str| parse(&format!("{FIELD}{SOLVE}{lines}\n")).unwrap().solve;
    let exact = solve(
        "method = \"strang\"\nadjoint = \"exact\"\nlog_words = 2\nfraction_bits = 24\nstate_words = 2\non_drift = \"error\"",
    );
    let expected =
        AdjointOptions { log_words: Some(2), fraction_bits: Some(24), two_words: true, ..AdjointOptions::default() };
    assert_eq!((exact.adjoint_options(), exact.on_drift), (expected, OnDrift::Error));
    let backsolve =
        solve("method = \"rk4\"\nadjoint = \"backsolve\"\nanchors = 40\nstate_words = 1\non_drift = \"warn\"");
    let expected = AdjointOptions { anchors: Some(40), ..AdjointOptions::default() };
    assert_eq!((backsolve.adjoint_options(), backsolve.on_drift), (expected, OnDrift::Warn));
    let none = solve("method = \"rk4\"\nadjoint = \"stored\"");
    assert_eq!((none.adjoint_options(), none.on_drift), (AdjointOptions::default(), OnDrift::Warn));
    let foster = solve("method = \"mccallum_foster:rk4:0.999\"\nadjoint = \"reversible\"");
    assert_eq!(foster.method, Method::mccallum_foster(Method::Rk4, 0.999).unwrap());
}

#[test]
fn other_adjoints_get_what_keeps_the_forward_pass() {
    let solve = |lines: &str| parse(&format!("{FIELD}{SOLVE}{lines}\n")).unwrap().solve;
    let words = |lines: &str, other: Adjoint| solve(lines).options_for(other).log_words;
    let exact = "method = \"strang\"\nadjoint = \"exact\"\nfraction_bits = 24";
    assert_eq!(words(exact, Adjoint::Stored), Some(4), "the default of the exact adjoint");
    assert_eq!(words(exact, Adjoint::Reversible), None, "floats cannot take a contraction back");
    assert_eq!(solve(exact).options_for(Adjoint::Stored).fraction_bits, None, "floats have no point to place");
    assert_eq!(solve(exact).options_for(Adjoint::Exact), solve(exact).adjoint_options());
    let stored = "method = \"strang\"\nadjoint = \"stored\"";
    assert_eq!(words(stored, Adjoint::Exact), Some(0), "no contraction, as in the run");
    assert_eq!(words(&format!("{stored}\nlog_words = 3"), Adjoint::Exact), Some(3));
    let backsolve = "method = \"rk4\"\nadjoint = \"backsolve\"\nanchors = 3";
    assert_eq!(words(backsolve, Adjoint::Stored), None, "no copies, no contraction");
    assert_eq!(solve(backsolve).options_for(Adjoint::Checkpointed).anchors, Some(3));
    assert_eq!(solve(backsolve).options_for(Adjoint::Stored).anchors, None);
}

#[test]
fn details_that_the_adjoint_does_not_have_are_refused() {
    let solve = |method: &str, adjoint: &str, line: &str| {
        format!("{FIELD}{SOLVE}method = \"{method}\"\nadjoint = \"{adjoint}\"\n{line}\n")
    };
    for (method, adjoint, line, words) in [
        ("rk4", "exact", "", ["solve.adjoint", "exact with the method rk4", "made of kicks"]),
        ("alf", "backsolve", "", ["solve.adjoint", "backsolve with the method alf", "use stored"]),
        ("ees27", "reversible", "", ["solve.adjoint", "reversible with the method ees27", "blanes_moan4"]),
        ("rk4", "stored", "anchors = 16", ["solve.anchors", "16 with the stored", "checkpointed or backsolve"]),
        ("rk4", "backsolve", "anchors = 41", ["solve.anchors", "41 for 40 steps", "use 1 to 40"]),
        ("rk4", "backsolve", "anchors = 0", ["solve.anchors", "0 for 40 steps", "use 1 to 40"]),
        ("rk4", "backsolve", "anchors = -1", ["line 9, column 11, anchors", "-1", "train --help"]),
        ("rk4", "stored", "log_words = 4", ["solve.log_words", "4 with the method rk4", "made of kicks"]),
        ("strang", "reversible", "log_words = 4", ["solve.log_words", "4 with the reversible", "exact adjoint"]),
        ("strang", "exact", "log_words = 9999", ["solve.log_words", "9999", "at most 1024"]),
        ("strang", "stored", "fraction_bits = 26", ["solve.fraction_bits", "26 with the stored", "exact adjoint"]),
        ("strang", "exact", "fraction_bits = 15", ["solve.fraction_bits", "15", "use 16 to 29"]),
        ("strang", "exact", "fraction_bits = 30", ["solve.fraction_bits", "30", "use 16 to 29"]),
        ("strang", "exact", "state_words = 3", ["solve.state_words", "3", "use 1 or 2"]),
        ("strang", "stored", "state_words = 2", ["solve.state_words", "2 with the stored", "exact adjoint"]),
        ("strang", "exact", "on_drift = \"stop\"", ["line 9, column 12, on_drift", "stop", "warn"]),
        ("rk4", "stored", "memory = \"lots\"", ["line 9, column 10, memory", "\"lots\"", "\"512 MiB\""]),
        ("rk4", "stored", "memory = \"5 apples\"", ["memory", "\"5 apples\"", "\"512 MiB\""]),
        ("rk4", "stored", "memory = \"-1 MiB\"", ["memory", "\"-1 MiB\"", "number of bytes > 0"]),
        ("rk4", "stored", "memory = -5", ["memory", "-5", "number of bytes > 0"]),
        ("rk4", "stored", "memory = 0", ["memory", "0 is no size", "number of bytes > 0"]),
        ("rk4", "stored", "memory = true", ["memory", "true", "number of bytes > 0"]),
        ("mccallum_foster:rk4:1.5", "stored", "", ["line 7, column 10, method", "1.5", "0 < λ ≤ 1"]),
        ("mccallum_foster:rk4:0", "stored", "", ["line 7, column 10, method", ": 0;", "0 < λ ≤ 1"]),
        ("mccallum_foster:alf:1", "stored", "", ["line 7, column 10, method", "alf", "Runge–Kutta"]),
    ] {
        assert_refused(&solve(method, adjoint, line), &words);
    }
    // Without t1 the number of steps is that of the data, and anchors cannot be counted yet.
    parse(&format!("{FIELD}[solve]\nsteps = 2\nmethod = \"rk4\"\nadjoint = \"backsolve\"\nanchors = 99\n")).unwrap();
    let text = format!("{FIELD}[solve]\nsteps = 2\nmethod = \"rk4\"\nadjoint = \"stored\"\nlog_words = 1\n");
    assert_refused(&text, &["solve.log_words"]);
}

#[test]
fn training_settings_that_would_be_ignored_are_refused() {
    let train = |lines: &str| format!("{FIELD}{SOLVE}[train]\nlearning_rate = 0.1\niterations = 9\n{lines}\n");
    parse(&train("")).unwrap();
    for (lines, words) in [
        ("momentum = 0.9", ["train.momentum", "adam"]),
        ("optimiser = \"sgd\"\nbeta1 = 0.9", ["train.beta1", "sgd"]),
        ("beta2 = 1.0", ["train.beta2", "below 1"]),
        ("epsilon = 0.0", ["train.epsilon", "> 0"]),
        ("final_learning_rate = 0.1", ["train.final_learning_rate", "constant"]),
        ("schedule = \"exponential\"", ["train.final_learning_rate", "missing"]),
        ("schedule = \"exponential\"\nfinal_learning_rate = 0.0", ["train.final_learning_rate", "> 0"]),
        ("weight_decay = inf", ["train.weight_decay", "finite"]),
        ("batch = 0", ["train.batch", "at least 1"]),
        ("clip_norm = 0.0", ["train.clip_norm", "> 0"]),
        ("report_every = 0", ["train.report_every", "at least 1"]),
        ("init = \"glorot\"", ["glorot", "xavier"]),
        ("seed = -1", ["line 10, column 8", "-1"]),
    ] {
        assert_refused(&train(lines), &words);
    }
    let sgd = parse(&train("optimiser = \"sgd\"\nmomentum = 0.9\nschedule = \"cosine\"")).unwrap();
    let (setting, schedule) = sgd.train.map(|t| (t.optimiser(), t.schedule())).unwrap();
    assert_eq!(setting, Optimizer::Sgd { momentum: 0.9 });
    assert_eq!(schedule, Schedule::Cosine { final_rate: 0.0 });
}

#[test]
fn a_missing_file_is_bad_input() {
    let error = Config::read(Path::new("no/such/run.toml")).unwrap_err();
    assert!(matches!(error, Error::Io { action: "read", .. }), "{error} should be a failed read");
}
