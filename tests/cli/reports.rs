//! `check`, `bench` and `adapters`: tables, keys and verdicts.

use costate::{Adjoint, Method};

use super::*;
use crate::runs::write_linear;

const CHECK: &str = "check --config run.toml --batch 3";
const BENCH: &str = "bench --hidden 5,3 --method euler --adjoint backsolve --steps 4 --repeats 1";

#[test]
fn a_check_passes_or_fails_line_by_line() {
    let folder = Folder::new();
    let report = folder.run(&format!("{CHECK} --weights w.safetensors --json")).succeeded().json();
    assert_keys(&report, &["adapter", "driver", "method", "adjoint", "steps", "checks", "passed"]);
    assert_eq!(report["passed"], true);
    let checks = report["checks"].as_array().unwrap();
    assert!(checks.len() >= 8, "states, gradients, differences, reconstruction: {report}");
    for check in checks {
        assert_keys(check, &["check", "value", "tolerance", "ok"]);
        let value = check["value"].as_f64().unwrap();
        assert!(check["tolerance"].as_f64().is_none_or(|t| value <= t), "{check} should not pass");
    }

    folder.file("run.toml", &format!("{EULER}adjoint = \"backsolve\"\nreconstruction_tolerance = 1e-9\n"));
    let ran = folder.run(&format!("{CHECK} --json")).failed(1, &["1 of", "reconstruction error"]);
    assert_eq!(ran.json()["passed"], false);
    let ran = folder.run(CHECK).failed(1, &["reconstruction error"]);
    assert!(ran.stdout.contains("FAIL") && ran.stdout.contains("ok"), "the table shows both: {}", ran.stdout);
}

/// `dx/dt = rate x` by four steps of Euler's method, of 0.1: for −50 each takes the state to −4 times itself.
#[test]
fn a_check_and_a_solve_tell_how_much_the_steps_matter() {
    let folder = Folder::new();
    folder.file("run.toml", &EULER.replace("hidden = [5, 3]", "hidden = []"));
    let line = |report: &Value| {
        let checks = report["checks"].as_array().unwrap().clone();
        let line = checks.into_iter().find(|c| c["check"] == "half the steps change the result by");
        let line = line.unwrap_or_else(|| panic!("no such line: {report}"));
        (line["value"].as_f64().unwrap(), line["ok"].as_bool().unwrap())
    };
    for (rate, change, fails) in [(-0.1_f32, 1e-4..1e-3, false), (-1.0, 0.01..0.02, false), (-50.0, 0.6..0.7, true)] {
        write_linear(&folder.path("w.safetensors"), rate);
        let ran = folder.run(&format!("{CHECK} --weights w.safetensors --json"));
        let ran = if fails { ran.failed(1, &["half the steps change"]) } else { ran.succeeded() };
        let (value, ok) = line(&ran.json());
        assert!(change.contains(&value) && ok != fails, "rate {rate}: {value}, {ok}");
        let told = ran.stderr.iter().any(|l| l.contains("half the steps change"));
        assert_eq!(told, value > 1e-2, "rate {rate}: {:?}", ran.stderr);
        // The same field in a solve.
        let report = folder.run("solve --config run.toml --weights w.safetensors --x0 x0.npy --out x.npy --json");
        let report = report.succeeded().json();
        let error = report["error_estimate"].as_f64().unwrap();
        let warned = report["warnings"].as_array().unwrap().iter().any(|w| w.as_str().unwrap().contains("may err"));
        // Half the square of h λ, of a state that each step takes to 1 + h λ of itself.
        let z = f64::from(rate) * 0.1;
        let expected = 0.5 * z * z * if z < -2.0 { (1.0 + z).abs().recip() } else { 1.0 };
        assert!((error / expected - 1.0).abs() < 1e-4, "rate {rate}: {error}, not {expected}");
        assert_eq!(warned, fails, "rate {rate}: {report}");
    }
}

#[test]
fn a_check_compares_every_adjoint_of_the_method() {
    let folder = Folder::new();
    let other = "save_at = [-0.1, -0.35]\nt1 = -0.35";
    for (method, adjoint, lines, time_input) in [
        ("strang", "exact", "fraction_bits = 22", false),
        ("blanes_moan4", "stored", "log_words = 1", true),
        ("alf", "reversible", "", true),
        ("mccallum_foster:rk4:0.999", "auto", "", true),
        ("ees27", "backsolve", "", false),
    ] {
        let mut text = solving(method, adjoint, lines);
        if time_input {
            // Backward in time, with the time as input.
            text = text.replace("[solve]", "time_input = true\n[solve]").replace("t1 = 0.4", other);
        }
        folder.file("run.toml", &text);
        let report = folder.run(&format!("{CHECK} --json")).succeeded().json();
        let checks = report["checks"].as_array().unwrap();
        let value = |name: &str| checks.iter().find(|c| c["check"] == name).map(|c| c["value"].as_f64().unwrap());
        let method: Method = method.parse().unwrap();
        for other in method.adjoints().iter().filter(|a| **a != Adjoint::Stored) {
            assert!(value(&format!("{other} vs stored dJ/dθ")).is_some(), "{method}, {other}: {report}");
            let drift = value(&format!("{other}: reconstruction error"));
            assert_eq!(drift.is_some(), !other.keeps_states(), "{method}, {other}: {report}");
            let words = value(&format!("{other}: words that differ"));
            assert_eq!(words, (*other == Adjoint::Exact).then_some(0.0), "{method}, {other}: {report}");
        }
        let copies = method.pair().is_some_and(|p| p.has_copies());
        assert_eq!(value("distance of the copies").is_some(), copies, "{method}: {report}");
    }
    // On a contracting field the contraction decides the numbers, which the twin has too.
    let linear = |method: &str, adjoint: &str, rate: f32, times: &str| {
        write_linear(&folder.path("w.safetensors"), rate);
        let text = solving(method, adjoint, "").replace("[5, 3]", "[]");
        folder.file("run.toml", &text.replace("t1 = 0.4\nstep = 0.1", times));
        folder.run(&format!("{CHECK} --weights w.safetensors"))
    };
    linear("strang", "exact", -2.0, "t1 = 2.0\nstep = 0.05").succeeded();
    // Without one the copies part.
    let ran = linear("blanes_moan4", "stored", -8.0, "t1 = 1.5\nstep = 0.025").failed(1, &["distance of the copies"]);
    assert!(ran.stdout.contains("not used"), "other adjoints are shown as such: {}", ran.stdout);
}

/// The values of the lines of a check, by their names.
#[track_caller]
fn checked(folder: &Folder) -> Vec<(String, f64)> {
    let report = folder.run(&format!("{CHECK} --json")).succeeded().json();
    let checks = report["checks"].as_array().unwrap().clone();
    checks.iter().map(|c| (c["check"].as_str().unwrap().to_owned(), c["value"].as_f64().unwrap())).collect()
}

#[test]
fn a_check_covers_the_whole_objective() {
    const NLL: &str = "[loss]\nkind = \"gaussian_nll\"\nlog_scale = [0.2, -0.3]\n";
    const COST: &str = "[cost]\nkinetic = 0.3\njacobian = 0.2\nparameters = 1e-2\nreference = { file = \"ref.npz\" }\n";
    let folder = Folder::new();
    objectives::write_reference(&folder, &[0.0, 0.1, 0.4], 2);
    for (method, adjoint, lines, sections) in [
        ("rk4", "checkpointed", "save_at = [0.13, 0.4]\ndense = true\n", format!("{NLL}{COST}")),
        (
            "euler",
            "continuous",
            "save_at = [0.1, 0.4]\nreconstruction_tolerance = 0.1\n",
            format!("[loss]\nkind = \"huber\"\n{COST}"),
        ),
        ("strang", "exact", "save_at = [0.1, 0.25]\n", format!("{NLL}{COST}")),
    ] {
        folder.file("run.toml", &format!("{}{sections}", solving(method, adjoint, lines)));
        let lines = checked(&folder);
        let has = |name: &str| lines.iter().any(|(check, _)| check == name);
        let mut arguments = vec!["θ", "x0", "t0", "t1", "saves", "targets"];
        arguments.extend(sections.contains("nll").then_some("ln σ"));
        for argument in arguments {
            for (who, whom) in [("device", "f64"), ("f64", "differences"), ("device", "differences")] {
                let name = format!("{who} dJ/d{argument} vs {whom}");
                assert!(has(&name), "{method}: '{name}' should be among {lines:?}");
            }
        }
        for name in [
            "device loss vs f64",
            "device running costs vs f64",
            "⟨J v, w⟩ vs ⟨v, Jᵀ w⟩",
            "masked and weighted dJ/dθ vs f64",
            "what is masked: words that change",
        ] {
            assert!(has(name), "{method}: '{name}' should be among {lines:?}");
        }
        let runge_kutta = method != "strang";
        assert_eq!(has("continuous vs stored dJ/dt"), runge_kutta, "{method}: {lines:?}");
        assert_eq!(has("continuous vs its f64 dJ/dθ"), runge_kutta && adjoint != "continuous", "{method}: {lines:?}");
    }
    // The continuous adjoint of Euler's method is far from the gradient of the computed loss, and is said to be.
    folder.file("run.toml", &solving("euler", "stored", ""));
    let lines = checked(&folder);
    let value = |name: &str| lines.iter().find(|(check, _)| check == name).map_or(f64::NAN, |(_, value)| *value);
    assert!(value("continuous vs stored dJ/dθ") > 1e-3, "{lines:?}");
    assert!(value("continuous vs its f64 dJ/dθ") < 1e-4, "{lines:?}");
    assert!(!lines.iter().any(|(check, _)| check.contains("cost") || check.contains("saves")), "none here: {lines:?}");

    objectives::write_reference(&folder, &[0.0, 0.3], 2);
    folder.file("run.toml", &format!("{EULER}{COST}"));
    folder.run(CHECK).failed(2, &["reference", "0 to 0.3", "t1 = 0.4"]);
}

#[test]
fn a_bench_measures_the_adjoints_that_a_method_has() {
    let folder = Folder::new();
    let bench = "bench --hidden 5,3 --steps 4 --repeats 1 --batch 7 --json";
    let lists = "--method rk4,strang,alf --adjoint auto,backsolve,exact,reversible";
    let ran = folder.run(&format!("{bench} {lists}")).succeeded();
    let report = ran.json();
    let rows = report["results"].as_array().unwrap();
    let cases: Vec<[&str; 3]> =
        rows.iter().map(|row| ["method", "adjoint", "phase"].map(|key| row[key].as_str().unwrap())).collect();
    let expected = [
        ["rk4", "stored", "forward"],
        ["rk4", "stored", "gradient"],
        ["rk4", "backsolve", "gradient"],
        ["strang", "exact", "forward"],
        ["strang", "exact", "gradient"],
        // In floats, where exact is in fixed point.
        ["strang", "reversible", "forward"],
        ["strang", "reversible", "gradient"],
        ["alf", "reversible", "forward"],
        ["alf", "reversible", "gradient"],
    ];
    assert_eq!(cases, expected);
    let left_out = report["left_out"].as_array().unwrap();
    let missing: Vec<[&str; 2]> =
        left_out.iter().map(|row| ["method", "adjoint"].map(|key| row[key].as_str().unwrap())).collect();
    let expected =
        [["rk4", "exact"], ["rk4", "reversible"], ["strang", "backsolve"], ["alf", "backsolve"], ["alf", "exact"]];
    assert_eq!(missing, expected);
    let notes = ran.stderr.iter().filter(|l| l.starts_with("warning: ") && l.contains("left out")).count();
    assert_eq!(notes, expected.len(), "each is named: {:?}", ran.stderr);
    folder
        .run(&format!("{bench} --method rk4 --adjoint exact"))
        .failed(2, &["exact with the method rk4", "use stored"]);
    folder.run(&format!("{bench} --method rk4,alf --adjoint exact")).failed(2, &["--adjoint", "use auto"]);
}

#[test]
fn a_bench_reports_every_phase() {
    let folder = Folder::new();
    let before = folder.entries();
    let report = folder.run(&format!("{BENCH} --batch 7,1000000000000 --json")).succeeded().json();
    assert_keys(&report, &["adapter", "driver", "results", "left_out"]);
    let rows = report["results"].as_array().unwrap();
    let phases: Vec<&str> = rows.iter().map(|row| row["phase"].as_str().unwrap()).collect();
    assert_eq!(phases, ["forward", "gradient"]);
    for row in rows {
        assert_keys(row, &["method", "adjoint", "device_bytes"]);
        assert_eq!((&row["batch"], &row["state"], &row["steps"]), (&7.into(), &2.into(), &4.into()));
        assert_eq!(row["hidden"], serde_json::json!([5, 3]));
        let [seconds, speed, gflops] =
            ["seconds", "trajectory_steps_per_second", "gflops"].map(|key| row[key].as_f64().unwrap());
        assert!((speed * seconds / 28.0 - 1.0).abs() < 1e-9, "7 trajectories of 4 steps: {row}");
        // 31 weights, two operations each; a gradient with backsolve counts five evaluations, less one for each of the three
        // reconstructions that are begun with what is known, where kernels hand that out.
        let known = if row["kernels"]["trajectories"] == 8 { 3.0 / 4.0 } else { 0.0 };
        let units = if row["phase"] == "forward" { 1.0 } else { 5.0 - known };
        assert!((gflops * 1e9 / (speed * 62.0 * units) - 1.0).abs() < 1e-9, "operations of {row}");
    }
    let left_out = report["left_out"].as_array().unwrap();
    assert_eq!(left_out.len(), 2, "the other batch does not fit: {report}");
    assert!(left_out[0]["reason"].as_str().unwrap().contains("limit"), "with the reason: {report}");
    assert_eq!(folder.entries(), before, "no files unless asked for");

    let ran = folder.run(&format!("{BENCH} --batch 7 --phase forward --out new/bench")).succeeded();
    assert!(ran.stdout.contains("trajectory-steps/s"), "a table for people: {}", ran.stdout);
    let written: Value = serde_json::from_slice(&std::fs::read(folder.path("new/bench/bench.json")).unwrap()).unwrap();
    assert_eq!(written["results"].as_array().unwrap().len(), 1, "one row: {written}");
    let plot = std::fs::read_to_string(folder.path("new/bench/throughput.svg")).unwrap();
    assert!(plot.starts_with("<svg"), "a plot is drawn");
    folder.run(&format!("{BENCH} --batch 1000000000000")).failed(1, &["no batch fits"]);
    folder.run(&format!("{BENCH} --batch 7 --out run.toml")).failed(2, &["run.toml", "cannot be written to"]);
}

#[test]
fn adapters_are_listed_with_the_choice() {
    let folder = Folder::new();
    let report = folder.run("adapters --json").succeeded().json();
    let adapters = report["adapters"].as_array().unwrap();
    assert!(!adapters.is_empty(), "these tests need a Vulkan adapter");
    for adapter in adapters {
        assert_keys(adapter, &["index", "name", "driver", "backend", "kind", "subgroup", "usable", "lacks"]);
        assert_keys(adapter, &["max_binding_bytes", "max_buffer_bytes", "workgroup_bytes"]);
    }
    let chosen = report["chosen"].as_u64().unwrap();
    let taken = adapters.iter().find(|a| a["chosen"] == true).unwrap();
    assert_eq!(taken["index"], chosen);
    let name = taken["name"].as_str().unwrap();
    assert!(report["reason"].as_str().unwrap().contains(name), "the choice has a reason: {report}");
    let table = folder.run(&format!("adapters --adapter {chosen}")).succeeded().stdout;
    assert!(table.contains(name) && table.contains("names it"), "a table for people: {table}");
    folder.run("adapters --adapter 99999").failed(2, &["99999", "known", name]);
    folder.run("adapters --adapter nosuch").failed(2, &["nosuch", "known", name]);
    let solve = "solve --config run.toml --weights w.safetensors --x0 x0.npy --out x.npy";
    folder.run(&format!("{solve} --adapter nosuch")).failed(2, &["nosuch", name]);
    assert!(!folder.path("x.npy").exists(), "nothing is written");
}

#[test]
fn the_log_goes_to_standard_error() {
    let folder = Folder::new();
    let ran = folder.run("solve --config run.toml --plan --batch 3 --json -v").succeeded();
    ran.json();
    assert!(ran.stderr.iter().any(|l| l.contains("device opened")), "-v logs: {:?}", ran.stderr);
}
