//! `train`: files, report, progress, and what becomes of a training that goes wrong.

use std::fmt::Write;

use costate::Mlp;
use costate::io::{read_parameters, write_parameters};

use super::*;

/// A spiral of 21 points, of which every second is used.
fn spiral(scale: f64) -> String {
    (0..=20).map(|i| 0.1 * f64::from(i)).fold("t,x,y\n".to_owned(), |mut text, t: f64| {
        let radius = scale * (-0.3 * t).exp();
        writeln!(text, "{t},{},{}", radius * (2.0 * t).cos(), radius * (2.0 * t).sin()).unwrap();
        text
    })
}

const TRAIN: &str = "[field]\nstate = 2\nhidden = [5, 3]\n[solve]\nmethod = \"euler\"\nsteps = 2\nadjoint = \"backsolve\"\n\
     [data]\nfile = \"spiral.csv\"\nstride = 2\nwindow = 4\n\
     [train]\niterations = 60\nlearning_rate = 0.02\nreport_every = 20\n[output]\nfolder = \"out\"\n";

fn folder() -> Folder {
    let folder = Folder::new();
    folder.file("train.toml", TRAIN);
    folder.file("spiral.csv", &spiral(1.0));
    folder
}

#[test]
fn a_training_leaves_weights_a_report_and_plots() {
    let folder = folder();
    let ran = folder.run("train train.toml --json").succeeded();
    let report = ran.json();
    assert_keys(&report, &["adapter", "driver", "method", "adjoint", "config", "scaling", "seconds", "device_bytes"]);
    assert_keys(&report, &["trajectory_steps_per_second", "evaluation_loss", "status", "error", "skipped"]);
    assert_keys(&report, &["evaluations", "last", "best"]);
    assert_keys(&report["reconstruction"], &["max_relative", "mean_relative", "bit_exact"]);
    assert_eq!(report["iterations"], 60);
    // 11 points make 8 windows of 4, with 3 intervals of 2 steps.
    assert_eq!((&report["batch"], &report["steps"]), (&8.into(), &6.into()));
    assert_eq!(report["config"]["train"]["learning_rate"], 0.02);
    let losses = report["losses"].as_array().unwrap();
    assert_eq!((losses.len(), &losses[59][0]), (60, &59.into()));
    let [first, last] = [&losses[0][1], &report["final_loss"]].map(|loss| loss.as_f64().unwrap());
    assert!(last < 0.5 * first, "the loss should fall from {first}, not to {last}");
    let lines = ran.stderr.iter().filter(|l| l.starts_with("iteration ")).count();
    assert_eq!(lines, 3, "a line every 20 iterations: {:?}", ran.stderr);

    let out = folder.path("out");
    let entries: Vec<String> =
        ["best.safetensors", "loss.svg", "losses.csv", "report.json", "series.svg", "trajectory.svg"]
            .into_iter()
            .chain(["weights.safetensors"])
            .map(str::to_owned)
            .collect();
    let mut found: Vec<String> =
        std::fs::read_dir(&out).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    found.sort_unstable();
    assert_eq!(found, entries);
    let written: Value = serde_json::from_slice(&std::fs::read(out.join("report.json")).unwrap()).unwrap();
    assert_eq!(written, report, "the file is what is printed");
    let csv = std::fs::read_to_string(out.join("losses.csv")).unwrap();
    assert_eq!(csv.lines().count(), 61, "a line per iteration and the header");
    let field = Mlp::builder(2).hidden(&[5, 3], costate::Activation::Tanh).build().unwrap();
    read_parameters(out.join("weights.safetensors"), &field).unwrap();

    folder.file(
        "more.toml",
        &format!("{}plot = false\n", TRAIN.replace("[train]", "[train]\nweights = \"out/weights.safetensors\""))
            .replace("\"out\"", "\"more\""),
    );
    let more = folder.run("train more.toml --json").succeeded().json();
    let start = more["losses"][0][1].as_f64().unwrap();
    assert!(start < 0.5 * first, "training goes on from the weights: {start} where it began with {first}");
    assert!(folder.run("train train.toml").succeeded().stdout.contains("trajectory-steps/s"), "a summary for people");
}

#[test]
fn mistakes_are_found_before_the_training() {
    let folder = folder();
    folder.file("one.csv", "t,x\n0,1\n1,2\n2,3\n");
    let before = folder.entries();
    for (from, to, words) in [
        ("[train]", "[other]", ["other", "train.toml"]),
        ("spiral.csv", "none.csv", ["cannot read", "none.csv"]),
        ("spiral.csv", "one.csv", ["1 components (x)", "field.state"]),
        ("window = 4", "window = 12", ["data.window", "use 2 to 11"]),
        ("stride = 2", "stride = 40", ["data.stride", "leaves 1"]),
        ("folder = \"out\"", "folder = \"run.toml\"", ["run.toml", "cannot be written to"]),
        ("[train]", "[train]\nweights = \"none\"", ["cannot read", "none"]),
        ("iterations = 60", "iterations = 0", ["train.iterations", "at least 1"]),
        ("learning_rate = 0.02", "learning_rate = 1e39", ["train.learning_rate", "1e39"]),
        ("[train]", "[train]\nclip_norm = 1e-40", ["train.clip_norm", "1e-40"]),
        ("[train]", "[train]\ncheckpoint_every = 0", ["train.checkpoint_every", "at least 1"]),
    ] {
        folder.file("train.toml", &TRAIN.replace(from, to));
        let ran = folder.run("train train.toml --json").failed(2, &words);
        assert!(ran.stdout.is_empty(), "`{to}` should print nothing: {}", ran.stdout);
    }
    folder.file("train.toml", EULER);
    folder.run("train train.toml").failed(2, &["[data]"]);
    assert_eq!(folder.entries(), before, "nothing is written");
}

#[test]
fn a_hopeless_training_stops_and_keeps_its_weights() {
    let folder = folder();
    folder.file("spiral.csv", &spiral(1e38));
    let linear = TRAIN.replace("[5, 3]", "[]").replace("= 60", "= 100000");
    folder.file("train.toml", &linear.replace("[train]", "[train]\nweights = \"w.safetensors\""));
    let field = Mlp::builder(2).build().unwrap();
    let theta = costate::Parameters::from_flat(&field, vec![500.0, 0.0, 0.0, 500.0, 0.0, 0.0]).unwrap();
    write_parameters(folder.path("w.safetensors"), &theta).unwrap();
    let ran = folder.run("train train.toml --json").failed(1, &["no update could be made", "100 iterations"]);
    let report = ran.json();
    assert!(report["iterations"].as_u64().unwrap() < 1000, "it gives up early: {}", report["iterations"]);
    assert!(report["final_loss"].is_null() && report["evaluation_loss"].is_null(), "no loss is claimed");
    assert!(ran.stderr.iter().any(|l| l.starts_with("warning: ")), "the trajectories are counted: {:?}", ran.stderr);
    let kept = read_parameters(folder.path("out/weights.safetensors"), &field).unwrap();
    assert_eq!(kept, theta, "the weights are the last good ones");
}

#[test]
fn a_training_reports_the_pair_that_it_walks() {
    let folder = folder();
    let train = |method: &str, adjoint: &str, more: &str| {
        TRAIN.replace("euler", method).replace("backsolve", adjoint).replace("[data]", &format!("{more}\n[data]"))
    };
    folder.file("train.toml", &train("strang", "exact", ""));
    let ran = folder.run("train train.toml --json").succeeded();
    let report = ran.json();
    assert_eq!(report["adjoint"], "exact");
    // What is left is the rounding of x0 to the points of the whole data, one for each component.
    assert_eq!(report["reconstruction"]["bit_exact"], true, "{report}");
    assert!(report["reconstruction"]["max_relative"].as_f64().unwrap() < 1e-6, "{report}");
    assert_eq!(report["fraction_bits"], serde_json::json!([26, 27]), "{report}");
    let apart = report["copy_difference"].as_f64().unwrap();
    assert!(apart > 0.0 && apart < 1e-2, "copies stay together: {apart}");
    assert_eq!(report["warnings"], serde_json::json!([]), "nothing to warn about");
    assert!(report["evaluation_loss"].as_f64().unwrap() < 1.0, "whole series: {}", report["evaluation_loss"]);
    assert!(!ran.stderr.iter().any(|l| l.contains("WARN") || l.contains("warning")), "{:?}", ran.stderr);

    // Nothing can be done again in a training: it keeps states at once.
    folder.file("train.toml", &train("alf", "auto", ""));
    let report = folder.run("train train.toml --json").succeeded().json();
    assert_eq!(report["adjoint"], "stored");
    assert!(report["reconstruction"].is_null() && report["copy_difference"].is_null(), "alf has no copies: {report}");
    assert!(report["fraction_bits"].is_null(), "floats have no point to place: {report}");

    folder.file("train.toml", &train("strang", "exact", "anchors = 2"));
    folder.run("train train.toml").failed(2, &["solve.anchors", "2 with the exact"]);
    folder.file("train.toml", &train("rk4", "checkpointed", "anchors = 7"));
    folder.run("train train.toml").failed(2, &["solve.anchors", "7 for 6 steps"]);
    folder.file("train.toml", &train("strang", "exact", "fraction_bits = 29"));
    folder.file("spiral.csv", &spiral(100.0));
    folder.run("train train.toml").failed(2, &["solve.fraction_bits", "±4", "data up to 100"]);
}

#[test]
fn a_drift_is_warned_about_or_ends_the_training() {
    let folder = folder();
    let tight = TRAIN.replace("[data]", "reconstruction_tolerance = 1e-9\n[data]");
    folder.file("train.toml", &tight);
    let ran = folder.run("train train.toml --json").succeeded();
    let warnings = ran.json()["warnings"].to_string();
    for word in ["iteration 0", "reconstruction_tolerance = 1e-9", "checkpointed"] {
        assert!(warnings.contains(word), "'{word}' should be in {warnings}");
    }
    folder.file("train.toml", &tight.replace("[data]", "on_drift = \"error\"\n[data]").replace("= 60", "= 5000"));
    let ran = folder.run("train train.toml --json").failed(1, &["iteration 0", "1e-9", "solve.on_drift"]);
    assert!(ran.json()["iterations"].as_u64().unwrap() < 5000, "it ends early: {}", ran.json()["iterations"]);
}

#[test]
fn a_training_learns_by_any_loss_and_cost() {
    let folder = folder();
    let train = |sections: &str| TRAIN.replace("[data]", &format!("{sections}\n[data]"));
    let nll = "[loss]\nkind = \"gaussian_nll\"\nlog_scale = [1.0, 0.5]";
    folder.file("train.toml", &train(&format!("{nll}\nlearn_scale = true\n[cost]\nkinetic = 0.01\nparameters = 1e-3")));
    let ran = folder.run("train train.toml --json").succeeded();
    let report = ran.json();
    let scales: Vec<f64> = report["log_scale"].as_array().unwrap().iter().map(|s| s.as_f64().unwrap()).collect();
    assert!(scales.len() == 2 && scales[0] < 0.9 && scales[1] < 0.4, "less noise than at the start: {scales:?}");
    assert!(report["final_cost"].as_f64().unwrap() > 0.0, "the cost is reported: {}", report["final_cost"]);
    let [first, last] = [&report["losses"][0][1], &report["final_loss"]].map(|loss| loss.as_f64().unwrap());
    assert!(last < first - 0.2, "the loss should fall from {first}, not to {last}");
    assert!(report["evaluation_loss"].is_number(), "by the loss of the training: {}", report["evaluation_loss"]);
    let told = ran.stderr.iter().filter(|l| l.starts_with("iteration ") && l.contains("  cost ")).count();
    assert_eq!(told, 3, "progress shows the cost: {:?}", ran.stderr);
    let csv = std::fs::read_to_string(folder.path("out/losses.csv")).unwrap();
    assert!(csv.lines().next().unwrap().contains(",cost,"), "a column of costs: {csv}");
    let plot = std::fs::read_to_string(folder.path("out/loss.svg")).unwrap();
    assert!(plot.contains("negative log-likelihood"), "the axis is named after the loss");
    let text = folder.run("train train.toml").succeeded().stdout;
    assert!(text.contains("ln σ") && text.contains("cost"), "a summary for people: {text}");

    folder.file("train.toml", &train(nll));
    let report = folder.run("train train.toml --json").succeeded().json();
    assert_eq!(report["log_scale"], serde_json::json!([1.0, 0.5]), "given, not learned");
    assert!(report["final_cost"].is_null(), "no cost: {}", report["final_cost"]);
    folder.file("train.toml", &train("[loss]\nkind = \"huber\"\ndelta = 0.1"));
    let report = folder.run("train train.toml --json").succeeded().json();
    let [first, last] = [&report["losses"][0][1], &report["final_loss"]].map(|loss| loss.as_f64().unwrap());
    assert!(last < 0.7 * first && report["log_scale"].is_null(), "from {first} to {last}");
}

#[test]
fn objectives_that_do_not_go_with_a_training_are_refused() {
    let folder = folder();
    objectives::write_reference(&folder, &[0.0, 2.0], 2);
    let before = folder.entries();
    let reference = "[cost]\nreference = { file = \"ref.npz\" }";
    for (section, words) in [
        ("dense = true", &["solve.dense", "training"][..]),
        (reference, &["reference", "windows"]),
        ("[cost]\nkinetic = -1", &["cost.kinetic", "-1"]),
        ("[loss]\nkind = \"mae\"\nlearn_scale = true", &["loss.learn_scale", "mae"]),
        ("[loss]\nkind = \"gaussian_nll\"\nlog_scale = -90", &["log scale", "-90"]),
    ] {
        folder.file("train.toml", &TRAIN.replace("[data]", &format!("{section}\n[data]")));
        let ran = folder.run("train train.toml --json").failed(2, words);
        assert!(ran.stdout.is_empty(), "`{section}` should print nothing: {}", ran.stdout);
    }
    std::fs::remove_dir_all(folder.path("out")).unwrap_or_default();
    assert_eq!(folder.entries(), before, "nothing is written");
    let whole = TRAIN.replace("window = 4\n", "").replace("[data]", &format!("{reference}\n[data]"));
    folder.file("train.toml", &whole);
    folder.run("train train.toml --json").succeeded();
}
