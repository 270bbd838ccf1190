//! `check`, `bench` and `adapters`: tables, keys and verdicts.

use super::*;

const CHECK: &str = "check --config run.toml --batch 3";
const BENCH: &str = "bench --hidden 5,3 --method euler --steps 4 --repeats 1";

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
        // 31 weights, two operations each; a gradient with backsolve counts five evaluations.
        let units = if row["phase"] == "forward" { 1.0 } else { 5.0 };
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
