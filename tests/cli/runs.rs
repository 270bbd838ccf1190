//! `solve` and `gradient`: files, reports, and the numbers of PyTorch.

use std::path::Path;

use costate::io::{read_npy3, write_npy, write_parameters};
use costate::{Mlp, Parameters};
use ndarray::{Array3, ArrayD, array};
use safetensors::tensor::{Dtype, SafeTensors};
use serde_json::Value;

use super::*;

/// f32 rounding over a few evaluations of 5 inputs, with room to spare.
const TOLERANCE: f64 = 2e-5;

const SOLVE: &str = "solve --config run.toml --weights w.safetensors --x0 x0.npy --out x.npy";
const GRADIENT: &str = "gradient --config run.toml --weights w.safetensors --x0 x0.npy --out g.safetensors";

const KEYS: [&str; 11] = [
    "adapter",
    "driver",
    "method",
    "adjoint",
    "steps",
    "field_evaluations",
    "loss",
    "reconstruction",
    "device_bytes",
    "trajectories",
    "seconds",
];

#[expect(clippy::cast_possible_truncation, reason = "the device computes in f32")]
pub(crate) fn narrow(value: f64) -> f32 {
    value as f32
}

/// A tensor of a file, f32 or f64.
pub(crate) fn tensor(path: &Path, name: &str) -> ArrayD<f64> {
    let bytes = std::fs::read(path).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let tensor = tensors.tensor(name).unwrap_or_else(|e| panic!("{name} in {}: {e}", path.display()));
    let values = match tensor.dtype() {
        Dtype::F32 => tensor.data().as_chunks().0.iter().map(|b| f32::from_le_bytes(*b).into()).collect(),
        Dtype::F64 => tensor.data().as_chunks().0.iter().map(|b| f64::from_le_bytes(*b)).collect(),
        other => panic!("{name} is {other:?}"),
    };
    ArrayD::from_shape_vec(tensor.shape(), values).unwrap()
}

pub(crate) fn names(path: &Path) -> Vec<String> {
    let bytes = std::fs::read(path).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let mut names: Vec<String> = tensors.names().into_iter().map(str::to_owned).collect();
    names.sort_unstable();
    names
}

#[track_caller]
fn assert_close(what: &str, got: &ArrayD<f64>, want: &ArrayD<f64>) {
    assert_eq!(got.shape(), want.shape(), "shape of {what}");
    let norm = |a: &ArrayD<f64>| a.iter().map(|v| v * v).sum::<f64>().sqrt();
    let error = norm(&(got - want)) / norm(want);
    assert!(error < TOLERANCE, "{what} is off by {error:e}");
}

/// Every parameter tensor and x0 of a gradient file against PyTorch's.
#[track_caller]
fn assert_torch_gradient(path: &Path) {
    let torch = fixture("torch_euler.safetensors");
    for name in names(path).iter().filter(|n| *n != "loss") {
        assert_close(name, &tensor(path, name), &tensor(&torch, &format!("grad.{name}")));
    }
}

#[track_caller]
fn assert_report(report: &Value, adjoint: &str, evaluations: [u64; 2]) {
    assert_keys(report, &KEYS);
    assert_eq!((&report["method"], &report["adjoint"]), (&"euler".into(), &adjoint.into()), "names in {report}");
    assert_eq!(report["steps"], 4, "0.4 in steps of 0.1");
    assert_eq!(report["field_evaluations"]["forward"], evaluations[0], "evaluations in {report}");
    assert_eq!(report["field_evaluations"]["reverse"], evaluations[1], "evaluations in {report}");
    let trajectories = serde_json::json!({"ok": 7, "non_finite": 0, "overflow": 0, "parted": 0});
    assert_eq!(report["trajectories"], trajectories, "all went well");
    let bytes = report["device_bytes"].as_object().unwrap();
    let total: u64 = bytes.iter().filter(|(name, _)| *name != "total").map(|(_, b)| b.as_u64().unwrap()).sum();
    assert_eq!(bytes["total"], total, "the buffers should add up");
    assert!(bytes.contains_key("state") && total > 0, "the state should be among {bytes:?}");
    assert!(report["seconds"].as_f64().unwrap() > 0.0, "a run takes time");
}

/// Weights of dx/dt = rate x in two components.
pub(crate) fn write_linear(path: &Path, rate: f32) {
    let field = Mlp::builder(2).build().unwrap();
    let theta = Parameters::from_flat(&field, vec![rate, 0.0, 0.0, rate, 0.0, 0.0]).unwrap();
    write_parameters(path, &theta).unwrap();
}

#[test]
fn a_solve_is_that_of_pytorch() {
    let folder = Folder::new();
    folder.file("run.toml", &solving("euler", "stored", ""));
    let report = folder.run(&format!("{SOLVE} --json")).succeeded().json();
    assert_report(&report, "stored", [4, 0]);
    assert!(report["loss"].is_null() && report["reconstruction"].is_null(), "a solve has neither: {report}");
    let states = read_npy3(folder.path("x.npy")).unwrap();
    assert_eq!(states.shape(), [1, 7, 2], "[time, batch, dim]");
    let last = states.index_axis(ndarray::Axis(0), 0).mapv(f64::from).into_dyn();
    assert_close("x(t1)", &last, &tensor(&fixture("torch_euler.safetensors"), "x1"));
    let ran = folder.run(SOLVE).succeeded();
    assert!(ran.stdout.contains("7 ok") && ran.stderr.is_empty(), "a summary and nothing else: {ran:?}");
}

#[test]
fn states_come_at_every_save_time() {
    let folder = Folder::new();
    folder.file("run.toml", &format!("{EULER}save_at = [0.0, 0.2, 0.4]\n"));
    folder.run(SOLVE).succeeded();
    let states = read_npy3(folder.path("x.npy")).unwrap();
    assert_eq!(states.shape(), [3, 7, 2], "[time, batch, dim]");
    let x0 = costate::io::read_npy2(folder.path("x0.npy")).unwrap();
    assert_eq!(states.index_axis(ndarray::Axis(0), 0), x0, "the state at t0 is the given one");
}

#[test]
fn a_gradient_is_that_of_pytorch() {
    let folder = Folder::new();
    folder.file("run.toml", &solving("euler", "stored", ""));
    let ran = folder.run(&format!("{GRADIENT} --targets y.npy --json")).succeeded();
    let report = ran.json();
    assert_report(&report, "stored", [4, 4]);
    assert!(report["reconstruction"].is_null(), "nothing is reconstructed: {report}");
    let path = folder.path("g.safetensors");
    let expected =
        ["loss", "net.0.bias", "net.0.weight", "net.2.bias", "net.2.weight", "net.4.bias", "net.4.weight", "x0"];
    assert_eq!(names(&path), expected);
    assert_torch_gradient(&path);
    let loss = tensor(&fixture("torch_euler.safetensors"), "loss");
    assert_close("loss", &tensor(&path, "loss"), &loss);
    assert!((report["loss"].as_f64().unwrap() / loss[[0]] - 1.0).abs() < TOLERANCE, "the loss is reported: {report}");
}

#[test]
fn cotangents_are_pulled_back() {
    let folder = Folder::new();
    let torch = fixture("torch_euler.safetensors");
    let (x1, targets) = (tensor(&torch, "x1"), tensor(&torch, "targets"));
    let cotangents = ((&x1 - &targets) * (2.0 / x1.len() as f64)).insert_axis(ndarray::Axis(0));
    write_npy(folder.path("c.npy"), cotangents.mapv(narrow).view()).unwrap();
    let report = folder.run(&format!("{GRADIENT} --cotangents c.npy --json")).succeeded().json();
    assert!(report["loss"].is_null(), "a vector-Jacobian product has no loss: {report}");
    let path = folder.path("g.safetensors");
    assert!(!names(&path).contains(&"loss".to_owned()), "no loss in the file either");
    assert_torch_gradient(&path);
}

#[test]
fn a_reconstruction_is_reported_and_warned_about() {
    let folder = Folder::new();
    // Kernels that own fewer trajectories evaluate every stage: the number below is that of any adapter.
    let kernels = "[kernels]\ntrajectories = 4\n";
    folder.file("run.toml", &format!("{EULER}adjoint = \"backsolve\"\nreconstruction_tolerance = 1e-6\n{kernels}"));
    let ran = folder.run(&format!("{GRADIENT} --targets y.npy --json")).succeeded();
    let report = ran.json();
    assert_report(&report, "backsolve", [4, 8]);
    assert_keys(&report["reconstruction"], &["max_abs", "mean_abs", "bit_exact"]);
    let [largest, mean] = ["max_abs", "mean_abs"].map(|key| report["reconstruction"][key].as_f64().unwrap());
    assert!(largest >= mean && mean > 1e-6, "Euler drifts: {report}");
    assert_eq!(report["reconstruction"]["bit_exact"], false);
    assert_warning(&ran, &["reconstructed x(t0)", "1.00e-6", "checkpointed"]);
    folder.file("run.toml", &format!("{EULER}adjoint = \"backsolve\"\nreconstruction_tolerance = 1.0\n"));
    let ran = folder.run(&format!("{GRADIENT} --targets y.npy")).succeeded();
    assert!(ran.stderr.is_empty(), "within the tolerance there is no warning: {:?}", ran.stderr);

    std::fs::remove_file(folder.path("g.safetensors")).unwrap();
    let strict = "adjoint = \"backsolve\"\nreconstruction_tolerance = 1e-6\non_drift = \"error\"\n";
    folder.file("run.toml", &format!("{EULER}{strict}"));
    let ran = folder.run(&format!("{GRADIENT} --targets y.npy --json")).failed(1, &["x(t0)", "1e-6", "checkpointed"]);
    assert_eq!((ran.stdout.as_str(), ran.stderr.len()), ("", 1), "one sentence and nothing else: {:?}", ran.stderr);
    assert!(!folder.path("g.safetensors").exists(), "no gradient is written that cannot be trusted");
}

/// The one warning on standard error, which is also in the report.
#[track_caller]
fn assert_warning(ran: &Ran, words: &[&str]) {
    let [line] = ran.stderr.as_slice() else { panic!("one line is expected: {:?}", ran.stderr) };
    let warnings = ran.json()["warnings"].clone();
    let [warning] = warnings.as_array().unwrap().as_slice() else { panic!("one warning is expected: {warnings}") };
    let warning = warning.as_str().unwrap();
    assert_eq!(*line, format!("warning: {warning}"), "the line is the warning of the report");
    for word in words {
        assert!(warning.contains(word), "'{word}' should be in '{warning}'");
    }
}

#[test]
fn an_exact_gradient_is_bit_exact_and_says_so() {
    let folder = Folder::new();
    let gradient = |method: &str, adjoint: &str, lines: &str| {
        folder.file("run.toml", &solving(method, adjoint, lines));
        let ran = folder.run(&format!("{GRADIENT} --targets y.npy --json")).succeeded();
        assert!(ran.stderr.is_empty(), "{method}, {adjoint}: nothing to warn about: {:?}", ran.stderr);
        let report = ran.json();
        assert_keys(&report, &KEYS);
        (report, tensor(&folder.path("g.safetensors"), "x0"))
    };
    // The same contraction of the copies, in floats.
    let (stored, want) = gradient("blanes_moan4", "stored", "log_words = 4");
    assert!(stored["reconstruction"].is_null() && stored["fraction_bits"].is_null(), "floats, kept: {stored}");
    for (adjoint, lines, bits) in [
        ("exact", "", 26),
        ("auto", "", 26),
        ("exact", "state_words = 1", 26),
        ("exact", "state_words = 2", 26),
        ("exact", "fraction_bits = 28", 28),
    ] {
        let (report, found) = gradient("blanes_moan4", adjoint, lines);
        assert_close(lines, &found, &want);
        // With points of their own components are held to their last bit; with one for all small ones are rounded.
        let certificate = &report["reconstruction"];
        assert_eq!(certificate["bit_exact"], true, "{adjoint}, {lines}: {report}");
        let off = certificate["max_abs"].as_f64().unwrap();
        assert!(off <= if lines.contains("bits") { 2.0_f64.powi(-29) } else { 0.0 }, "{adjoint}, {lines}: {report}");
        assert_eq!((&report["adjoint"], &report["fraction_bits"]["min"]), (&"exact".into(), &bits.into()), "{lines}");
        let apart = report["copy_difference"].as_f64().unwrap();
        assert!(apart > 0.0 && apart < 1e-5, "{adjoint}, {lines}: {report}");
        assert_eq!(report["warnings"], serde_json::json!([]), "{adjoint}, {lines}: {report}");
        assert_eq!(report["trajectories"], serde_json::json!({"ok": 7, "non_finite": 0, "overflow": 0, "parted": 0}));
    }
    let text = folder.run(&format!("{GRADIENT} --targets y.npy")).succeeded().stdout;
    for word in ["bit for bit", "apart at most", "28 to 28 fraction bits"] {
        assert!(text.contains(word), "'{word}' should be in {text}");
    }
    // The states of a solve are those of the forward pass.
    let solve = folder.run(&format!("{SOLVE} --json")).succeeded().json();
    assert_eq!((&solve["adjoint"], &solve["fraction_bits"]["max"]), (&"exact".into(), &28.into()), "{solve}");
    assert!(solve["copy_difference"].is_number() && solve["reconstruction"].is_null(), "{solve}");
}

#[test]
fn methods_on_a_pair_run_from_a_description() {
    let folder = Folder::new();
    for method in ["strang", "yoshida4", "suzuki4", "reversible_heun", "alf", "mccallum_foster:rk4:0.999"] {
        folder.file("run.toml", &solving(method, "reversible", ""));
        let report = folder.run(&format!("{GRADIENT} --targets y.npy --json")).succeeded().json();
        assert_eq!((&report["method"], &report["adjoint"]), (&method.into(), &"reversible".into()), "{report}");
        let drift = report["reconstruction"]["max_abs"].as_f64().unwrap();
        assert!(drift < 1e-5, "{method}: rounding only: {report}");
        assert_eq!(report["copy_difference"].is_null(), method == "alf", "the z of alf is no copy: {report}");
    }
    let text = solving("mccallum_foster:rk4:0.5", "auto", "").replace("step = 0.1", "step = 0.01");
    folder.file("run.toml", &text);
    let ran = folder.run(&format!("{GRADIENT} --targets y.npy --json")).succeeded();
    assert_warning(&ran, &["done again", "kept states"]);
    let report = ran.json();
    // Those that came back stay as they are.
    assert_eq!(report["adjoint"], "reversible", "what the rest was done by: {report}");
    assert!(report["reconstruction"]["max_relative"].as_f64().unwrap() <= 1e-3, "no certificate is off: {report}");
    assert_eq!(report["trajectories"]["ok"], 7, "{report}");
}

#[test]
fn warnings_of_a_run_are_in_its_report() {
    let folder = Folder::new();
    write_linear(&folder.path("w.safetensors"), -8.0);
    let linear = |adjoint: &str| {
        let text = solving("blanes_moan4", adjoint, "").replace("[5, 3]", "[]");
        text.replace("t1 = 0.4\nstep = 0.1", "t1 = 1.5\nstep = 0.025")
    };
    folder.file("run.toml", &linear("stored"));
    // Only with its adjoint is it known that more words would help.
    let remedies = [(SOLVE.to_owned(), "smaller steps"), (format!("{GRADIENT} --targets y.npy"), "log words")];
    for (command, remedy) in remedies {
        let ran = folder.run(&format!("{command} --json")).succeeded();
        assert_warning(&ran, &["copies of the state", "apart", remedy]);
        assert!(ran.json()["copy_difference"].as_f64().unwrap() > 1e-2, "they have parted: {}", ran.stdout);
    }
    folder.file("run.toml", &linear("exact"));
    let ran = folder.run(&format!("{GRADIENT} --targets y.npy --json")).succeeded();
    assert!(ran.stderr.is_empty(), "with a log they are brought together: {:?}", ran.stderr);

    // Two components that grow by e^3.2 leave a range of ±4, which is widened for them.
    write_linear(&folder.path("w.safetensors"), 8.0);
    write_npy(folder.path("x0.npy"), array![[0.3_f32, 0.0]].view()).unwrap();
    write_npy(folder.path("y.npy"), Array3::<f32>::ones((1, 1, 2)).view()).unwrap();
    let growing = {
        let text = solving("blanes_moan4", "exact", "fraction_bits = 29").replace("[5, 3]", "[]");
        text.replace("step = 0.1", "step = 0.01")
    };
    folder.file("run.toml", &growing);
    let ran = folder.run(&format!("{GRADIENT} --targets y.npy --json")).succeeded();
    assert_warning(&ran, &["1 trajectory left a range of fixed point", "wider"]);
    assert_eq!(ran.json()["fraction_bits"], serde_json::json!({"min": 21, "max": 29}), "{}", ran.stdout);
}

#[test]
fn a_bad_trajectory_is_named_and_the_rest_goes_on() {
    let folder = Folder::new();
    folder.file("run.toml", &EULER.replace("[5, 3]", "[]"));
    let field = Mlp::builder(2).build().unwrap();
    let theta = Parameters::from_flat(&field, vec![100.0, 0.0, 0.0, 100.0, 0.0, 0.0]).unwrap();
    write_parameters(folder.path("w.safetensors"), &theta).unwrap();
    write_npy(folder.path("x0.npy"), array![[0.0_f32, 0.0], [1e38, 0.0]].view()).unwrap();
    write_npy(folder.path("y.npy"), Array3::<f32>::ones((1, 2, 2)).view()).unwrap();
    for arguments in [SOLVE.to_owned(), format!("{GRADIENT} --targets y.npy")] {
        let ran = folder.run(&format!("{arguments} --json")).succeeded();
        assert_eq!(
            ran.json()["trajectories"],
            serde_json::json!({"ok": 1, "non_finite": 1, "overflow": 0, "parted": 0})
        );
        let warning = ran.stderr.iter().find(|l| l.starts_with("warning: ")).cloned().unwrap_or_default();
        assert!(
            warning.contains("1 of 2") && warning.contains("trajectory 1:") && warning.contains("in step 0"),
            "got '{warning}'"
        );
    }
    write_npy(folder.path("x0.npy"), array![[1e38_f32, 0.0]].view()).unwrap();
    let ran = folder.run(&format!("{SOLVE} --json")).failed(1, &["none of 1 trajectories is left"]);
    assert_eq!(ran.json()["trajectories"]["non_finite"], 1, "the report is there nevertheless");
}

#[test]
fn a_plan_is_shown_without_a_run() {
    let folder = Folder::new();
    folder.file("run.toml", &solving("euler", "stored", ""));
    let before = folder.entries();
    let solve = folder.run("solve --config run.toml --plan --batch 1000 --json").succeeded().json();
    let gradient = folder.run("gradient --config run.toml --plan --x0 x0.npy --json").succeeded().json();
    assert_eq!((&solve["batch"], &gradient["batch"]), (&1000.into(), &7.into()));
    assert!(solve["device_bytes"].get("adjoint").is_none(), "a solve has no adjoint: {solve}");
    assert!(gradient["device_bytes"]["stored"].as_u64().unwrap() >= 4 * 7 * 2 * 4, "4 states are kept: {gradient}");
    let text = folder.run("gradient --config run.toml --plan --batch 7").succeeded().stdout;
    assert!(text.contains("stored") && text.contains("total"), "a table for people: {text}");
    assert!(solve.get("candidates").is_none(), "a solve has no adjoint: {solve}");

    folder.file("run.toml", &solving("blanes_moan4", "exact", ""));
    let report = folder.run("gradient --config run.toml --plan --batch 7 --json").succeeded().json();
    let candidates = report["candidates"].as_array().unwrap();
    let column = |key: &str| -> Vec<Value> { candidates.iter().map(|c| c[key].clone()).collect() };
    assert_eq!(column("adjoint"), ["stored", "checkpointed", "reversible", "exact"]);
    assert_eq!(column("taken"), [false, false, false, true]);
    assert_eq!(candidates[3]["device_bytes"], report["device_bytes"]["total"], "the one that is taken: {report}");
    let text = folder.run("gradient --config run.toml --plan --batch 7").succeeded().stdout;
    assert!(text.contains("* exact") && text.contains("  reversible"), "a line for each: {text}");
    assert_eq!(folder.entries(), before, "nothing is written");
}

/// A budget picks the way, `--plan` shows among which, and what fits nothing is refused with the numbers.
#[test]
fn a_memory_budget_picks_the_way() {
    let folder = Folder::new();
    write_linear(&folder.path("w.safetensors"), -1.0);
    let long =
        |memory: &str| solving("rk4", "auto", memory).replace("[5, 3]", "[]").replace("step = 0.1", "step = 0.001");
    folder.file("run.toml", &long("memory = \"1 GiB\""));
    let ran = folder.run(&format!("{GRADIENT} --targets y.npy --json")).succeeded().json();
    assert_eq!(ran["adjoint"], "stored", "with room for everything: {ran}");
    // 400 states of 512 bytes alone are more.
    folder.file("run.toml", &long("memory = \"150 kB\""));
    let plan = folder.run(&format!("{GRADIENT} --targets y.npy --json --plan")).succeeded().json();
    let candidates = plan["candidates"].as_array().unwrap();
    let taken: Vec<_> = candidates.iter().filter(|c| c["taken"] == true).collect();
    assert!(candidates.len() > 4 && taken.len() == 1 && taken[0]["adjoint"] == "checkpointed", "candidates: {plan}");
    assert_eq!(plan["device_bytes"]["total"], taken[0]["device_bytes"], "the plan is that of the one taken");
    let ran = folder.run(&format!("{GRADIENT} --targets y.npy --json")).succeeded().json();
    assert_eq!(ran["adjoint"], "checkpointed", "with less: {ran}");
    assert_eq!(ran["device_bytes"]["total"], taken[0]["device_bytes"], "the run is the one planned");
    folder.file("run.toml", &long("memory = \"1 kB\""));
    folder.run(&format!("{GRADIENT} --targets y.npy")).failed(2, &["memory budget is 1000 bytes", "smaller batch"]);
}
