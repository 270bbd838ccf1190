//! How a training ends: skipped updates, a loss that grows, signals, a disk that is full, two runs in one folder.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStderr, Stdio};

use super::*;

/// One component, one Euler step from each point to the next: compiled in a moment.
const RUN: &str = "[field]\nstate = 1\nhidden = []\n[solve]\nmethod = \"euler\"\nsteps = 1\nadjoint = \"stored\"\n\
     [data]\nfile = \"d.csv\"\n[train]\niterations = 60\nlearning_rate = 0.01\nreport_every = 20\n[output]\nfolder = \"out\"\n";

fn folder(run: &str, data: &str) -> Folder {
    let folder = Folder::new();
    folder.file("train.toml", run);
    folder.file("d.csv", data);
    folder
}

/// A decay that is observed at six times.
fn decay(scale: f64) -> String {
    let rows = (0..6).map(|i| 0.2 * f64::from(i)).map(|t: f64| format!("{t},{:e}\n", scale * (-t).exp()));
    std::iter::once("t,x\n".to_owned()).chain(rows).collect()
}

fn report(folder: &Folder) -> Value {
    serde_json::from_slice(&fs::read(folder.path("out/report.json")).unwrap()).unwrap()
}

fn weights(folder: &Folder, name: &str) -> costate::Parameters {
    let field = costate::Mlp::builder(1).build().unwrap();
    costate::io::read_parameters(folder.path("out").join(name), &field).unwrap()
}

#[test]
fn a_decay_from_1e12_is_learned() {
    let folder = folder(&RUN.replace("= 60", "= 400"), &decay(1e12));
    let report = folder.run("train train.toml --json").succeeded().json();
    assert_eq!(report["skipped"]["total"], 0, "no update is skipped: {}", report["skipped"]);
    assert_eq!((&report["status"], &report["error"]), (&"done".into(), &Value::Null));
    let [start, last] = [&report["evaluations"][0], &report["last"]["evaluation"]].map(|e| e["loss"].as_f64().unwrap());
    assert!(last < 0.01 * start, "the loss falls from {start:e} to {last:e}");
    let losses = fs::read_to_string(folder.path("out/losses.csv")).unwrap();
    let first: f64 = losses.lines().nth(1).unwrap().split(',').nth(2).unwrap().parse().unwrap();
    assert!(first > 1e20, "the norm of the first gradient is {first:e}");
}

#[test]
fn nothing_but_skipped_updates_ends_a_training() {
    // Each of four steps adds 2 r h = 2e38 to dJ/db.
    let run = RUN
        .replace("= 60", "= 5000")
        .replace("steps = 1", "steps = 4")
        .replace("[train]", "[train]\nweights = \"zero.safetensors\"");
    let folder = folder(&run, "t,x\n0,0\n4e28,1e10\n");
    let field = costate::Mlp::builder(1).build().unwrap();
    let zero = costate::Parameters::from_flat(&field, vec![0.0, 0.0]).unwrap();
    costate::io::write_parameters(folder.path("zero.safetensors"), &zero).unwrap();
    let words =
        ["no update could be made in the last 100 iterations", "the gradient was not finite (100)", "standardise"];
    let ran = folder.run("train train.toml --json").failed(1, &words);
    let report = ran.json();
    let (iterations, skipped) = (report["iterations"].as_u64().unwrap(), &report["skipped"]);
    assert!((100..400).contains(&iterations), "it gives up early: {iterations}");
    assert_eq!((&skipped["gradient_not_finite"], &skipped["total"]), (&iterations.into(), &iterations.into()));
    assert_eq!((&skipped["no_trajectory_left"], &skipped["update_not_finite"]), (&0.into(), &0.into()), "{skipped}");
    assert_eq!(report["status"], "failed");
    assert!(report["error"].as_str().unwrap().contains("no update could be made"), "{}", report["error"]);
    let progress = ran.stderr.iter().find(|l| l.starts_with("iteration 40/")).unwrap();
    assert!(progress.contains("40 updates skipped: the gradient was not finite (40)"), "{progress}");
    let csv = fs::read_to_string(folder.path("out/losses.csv")).unwrap();
    assert!(csv.lines().nth(1).unwrap().ends_with(",gradient_not_finite"), "{csv}");
    // A run that is shorter than the patience.
    folder.file("train.toml", &run.replace("= 5000", "= 7"));
    folder.run("train train.toml").failed(1, &["in the last 7 iterations", "the gradient was not finite (7)"]);
}

#[test]
fn the_best_weights_survive_a_divergence() {
    // Gradient descent on the parabola of the bias, at a rate that is too large: each step doubles the distance.
    let run = RUN.replace("[train]", "[train]\noptimiser = \"sgd\"\nweights = \"start.safetensors\"");
    let run = run.replace("0.01", "1.5").replace("= 60", "= 8\ncheckpoint_every = 2");
    let folder = folder(&run, "t,x\n0,0\n1,1\n");
    let field = costate::Mlp::builder(1).build().unwrap();
    let start = costate::Parameters::from_flat(&field, vec![0.0, 0.0]).unwrap();
    costate::io::write_parameters(folder.path("start.safetensors"), &start).unwrap();
    let ran = folder.run("train train.toml --json").succeeded();
    let report = ran.json();
    // x(1) = b, loss (b - 1)², b - 1 = -(-2)^n: after 8 updates 256² times as much.
    let losses: Vec<f64> =
        report["evaluations"].as_array().unwrap().iter().map(|e| e["loss"].as_f64().unwrap()).collect();
    assert_eq!(losses, [1.0, 16.0, 256.0, 4096.0, 65536.0], "at the start and every two iterations");
    assert_eq!((&report["last"]["file"], &report["last"]["iteration"]), (&"weights.safetensors".into(), &8.into()));
    assert_eq!((&report["best"]["file"], &report["best"]["iteration"]), (&"best.safetensors".into(), &0.into()));
    assert_eq!(weights(&folder, "best.safetensors"), start, "nothing was better than the start");
    assert_eq!(weights(&folder, "weights.safetensors").as_slice(), [0.0, -255.0]);
    let warning = ran.stderr.iter().find(|l| l.contains("worse than the start")).unwrap();
    for word in ["warning", "from 1.0000e0 to 6.5536e4", "weights.safetensors holds the last", "best.safetensors"] {
        assert!(warning.contains(word), "'{word}' should be in {warning}");
    }

    // Slower: the best is in the middle, where the rate is still small.
    let spoiled =
        run.replace("1.5", "0.25").replace("[output]", "schedule = \"exponential\"\nfinal_learning_rate = 8\n[output]");
    folder.file("train.toml", &spoiled);
    let ran = folder.run("train train.toml --json").succeeded();
    let report = ran.json();
    let best = report["best"]["iteration"].as_u64().unwrap();
    assert!(best > 0 && best < 8, "the best is in the middle: {report}");
    let loss = report["best"]["evaluation"]["loss"].as_f64().unwrap();
    let least = report["evaluations"].as_array().unwrap().iter().map(|e| e["loss"].as_f64().unwrap());
    assert_eq!(loss, least.fold(f64::INFINITY, f64::min), "the least of all");
    let bias = f64::from(weights(&folder, "best.safetensors").as_slice()[1]);
    assert!(((bias - 1.0).powi(2) - loss).abs() < 1e-6, "the file has the weights of that loss: {bias}, {loss}");

    // All is well: last and best are the same, and nothing is said.
    folder.file("train.toml", &run.replace("1.5", "0.25"));
    let ran = folder.run("train train.toml --json").succeeded();
    assert_eq!(ran.json()["warnings"], serde_json::json!([]));
    assert_eq!(weights(&folder, "best.safetensors"), weights(&folder, "weights.safetensors"));
    assert!(!ran.stderr.iter().any(|l| l.contains("safetensors")), "{:?}", ran.stderr);
}

#[test]
fn a_run_does_not_write_over_what_it_reads() {
    let folder = folder(RUN, &decay(1.0));
    folder.run("train train.toml").succeeded();
    let learned = fs::read(folder.path("out/weights.safetensors")).unwrap();
    folder.file("train.toml", &RUN.replace("[train]", "[train]\nweights = \"out/weights.safetensors\""));
    folder.run("train train.toml").failed(2, &["out/weights.safetensors", "train.weights", "another"]);
    assert_eq!(fs::read(folder.path("out/weights.safetensors")).unwrap(), learned, "it is as it was");
    fs::rename(folder.path("d.csv"), folder.path("out/losses.csv")).unwrap();
    folder.file("train.toml", &RUN.replace("d.csv", "out/losses.csv"));
    folder.run("train train.toml").failed(2, &["losses.csv", "data.file"]);
    folder.file(
        "more.toml",
        &RUN.replace("[train]", "[train]\nweights = \"out/best.safetensors\"").replace("\"out\"", "\"more\""),
    );
    folder.file("d.csv", &decay(1.0));
    folder.run("train more.toml").succeeded();
}

#[cfg(unix)]
mod unix {
    use std::os::unix::fs::symlink;

    use super::*;

    /// The binary in the background.
    struct Running {
        child: Child,
        stderr: BufReader<ChildStderr>,
    }

    impl Running {
        fn start(folder: &Folder) -> Self {
            let mut child = Command::new(env!("CARGO_BIN_EXE_costate"))
                .args(["train", "train.toml", "--json"])
                .current_dir(folder.0.path())
                .env_remove("RUST_LOG")
                .env("MESA_SHADER_CACHE_DIR", user_cache())
                .env("XDG_CACHE_HOME", folder.path("cache"))
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            let stderr = BufReader::new(child.stderr.take().unwrap());
            Self { child, stderr }
        }

        /// Reads until a line that begins like this.
        fn wait_for(&mut self, start: &str) {
            let mut line = String::new();
            while !line.starts_with(start) {
                line.clear();
                assert!(self.stderr.read_line(&mut line).unwrap() > 0, "it ended before it said '{start}'");
            }
        }

        fn signal(&self, name: &str) {
            let id = self.child.id().to_string();
            assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success(), "kill -s {name} {id}");
        }

        /// The exit code and the rest of standard error.
        fn end(mut self) -> (Option<i32>, String) {
            let [mut rest, mut printed] = [String::new(), String::new()];
            self.stderr.read_to_string(&mut rest).unwrap();
            self.child.stdout.take().unwrap().read_to_string(&mut printed).unwrap();
            (self.child.wait().unwrap().code(), rest)
        }
    }

    /// A test that fails leaves nothing running.
    impl Drop for Running {
        fn drop(&mut self) {
            let _ = self.child.kill();
        }
    }

    /// A run that does not end by itself, with a scale that is learnt.
    fn endless() -> String {
        RUN.replace("= 60", "= 1000000000")
            .replace("[data]", "[loss]\nkind = \"gaussian_nll\"\nlog_scale = 0.5\nlearn_scale = true\n[data]")
    }

    #[test]
    fn a_signal_ends_a_training_with_everything_written() {
        let folder = folder(&endless(), &decay(1.0));
        for (name, code) in [("INT", 130), ("TERM", 143)] {
            let mut running = Running::start(&folder);
            running.wait_for("iteration 40/");
            running.signal(name);
            let (ended, rest) = running.end();
            assert_eq!(ended, Some(code), "after SIG{name}: {rest}");
            assert!(rest.contains(&format!("error: ended by SIG{name}")), "one sentence: {rest}");
            let report = report(&folder);
            assert_eq!(report["status"], "interrupted", "{report}");
            let iterations = report["iterations"].as_u64().unwrap();
            assert!(iterations >= 40, "{iterations} iterations");
            let csv = fs::read_to_string(folder.path("out/losses.csv")).unwrap();
            assert_eq!(csv.lines().count() as u64, iterations + 1, "every iteration has its line");
            assert_eq!(report["last"]["iteration"], iterations);
            for file in ["weights.safetensors", "best.safetensors"] {
                let bytes = fs::read(folder.path("out").join(file)).unwrap();
                let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
                let learnt = header.metadata().as_ref().unwrap()["costate.log_scale"].clone();
                let learnt: Vec<f32> = serde_json::from_str(&learnt).unwrap();
                assert!(learnt.len() == 1 && learnt[0] < 0.5, "{file}: ln σ was learnt: {learnt:?}");
                if file == "weights.safetensors" {
                    let told = report["log_scale"][0].as_f64().unwrap();
                    assert_eq!(runs::narrow(told), learnt[0], "the last one");
                }
            }
            assert!(!folder.path("out/.costate.lock").exists(), "the folder is free again");
        }
    }

    /// The weights go into a pipe that nobody reads: the first signal waits for that, the second does not.
    #[test]
    fn a_second_signal_ends_a_training_at_once() {
        let folder = folder(&endless(), &decay(1.0));
        fs::create_dir(folder.path("out")).unwrap();
        outputs::fifo(&folder.path("out/weights.safetensors"));
        let mut running = Running::start(&folder);
        running.wait_for("iteration 20/");
        running.signal("TERM");
        running.wait_for("SIGTERM: writing");
        running.signal("INT");
        assert_eq!(running.end().0, Some(130));
        assert!(!folder.path("out/report.json").exists(), "it did not get so far");
    }

    #[test]
    fn one_run_at_a_time_writes_into_a_folder() {
        let folder = folder(&endless(), &decay(1.0));
        fs::create_dir(folder.path("out")).unwrap();
        // What a killed run leaves: a lock of a process that is gone, and half a file.
        folder.file("out/.costate.lock", "4194305");
        folder.file("out/.costate-Ab12Cd.tmp", "half a file");
        folder.file("out/.costate-mine", "not ours");
        let mut running = Running::start(&folder);
        running.wait_for("removed 1 temporary file");
        running.wait_for("iteration 20/");
        let id = running.child.id().to_string();
        assert_eq!(fs::read_to_string(folder.path("out/.costate.lock")).unwrap(), id, "the stale lock is taken over");
        folder.run("train train.toml").failed(2, &["output folder", "out", &format!("process {id}"), "another"]);
        running.signal("KILL");
        assert_eq!(running.end().0, None, "killed");
        assert!(folder.path("out/.costate.lock").exists(), "a killed run cleans up nothing");
        folder.file("train.toml", RUN);
        folder.run("train train.toml").succeeded();
        assert!(!folder.path("out/.costate.lock").exists(), "the folder is free again");
        assert!(!folder.path("out/.costate-Ab12Cd.tmp").exists(), "half a file is removed");
        assert!(folder.path("out/.costate-mine").exists(), "and nothing else");
    }

    #[test]
    fn a_full_disk_loses_one_file_and_says_so() {
        let folder = folder(RUN, &decay(1.0));
        fs::create_dir(folder.path("out")).unwrap();
        let full = outputs::device(&folder, "full", 7);
        symlink(&full, folder.path("out/losses.csv")).unwrap();
        folder.run("train train.toml --json").failed(1, &["cannot write", "losses.csv", "No space left"]);
        assert_eq!(report(&folder)["status"], "done", "the training itself went well");
        assert_eq!(report(&folder)["iterations"], 60);
        weights(&folder, "weights.safetensors");
        weights(&folder, "best.safetensors");
        assert!(fs::symlink_metadata(folder.path("out/losses.csv")).unwrap().is_symlink(), "the link is still there");
    }
}
