//! `bench`: sweeps, scaling, comparison, profile, and what is said about bad input.

use super::*;

const SMALL: &str = "bench --hidden 5,3 --method euler --adjoint backsolve --repeats 1";

/// The rows of a report that have this value under a key.
fn rows<'a>(report: &'a Value, key: &str, value: impl Into<Value>) -> Vec<&'a Value> {
    let value = value.into();
    report["results"].as_array().unwrap().iter().filter(|row| row[key] == value).collect()
}

#[test]
fn a_sweep_varies_one_thing_at_a_time() {
    let folder = Folder::new();
    let sweeps = "--batch 7..30 --width 5,6 --depth 1,2 --state 2,3 --steps 4,8,16 --phase forward";
    let ran = folder.run(&format!("{SMALL} {sweeps} --json")).succeeded();
    let report = ran.json();
    assert_keys(&report, &["version", "commit", "date", "adapter", "driver", "repeats", "warmup", "peak_gflops"]);
    let date = report["date"].as_str().unwrap();
    assert!(date.len() == 20 && date.ends_with('Z') && date.as_bytes()[10] == b'T', "RFC 3339 in UTC: {date}");
    let batches: Vec<u64> = rows(&report, "hidden", serde_json::json!([5, 3]))
        .into_iter()
        .filter(|row| row["steps"] == 4 && row["state"] == 2)
        .map(|row| row["batch"].as_u64().unwrap())
        .collect();
    assert_eq!(batches, [7, 14, 28], "a range doubles");
    // Two widths, two depths of the first width; the base is measured once.
    for hidden in [serde_json::json!([5, 5]), serde_json::json!([6, 6]), serde_json::json!([5])] {
        let rows = rows(&report, "hidden", hidden.clone());
        assert!(!rows.is_empty() && rows.iter().all(|row| row["batch"] == 28), "{hidden} at the largest batch");
    }
    assert_eq!((rows(&report, "state", 3).len(), rows(&report, "steps", 16).len()), (1, 1), "{report}");
    for row in report["results"].as_array().unwrap() {
        assert_keys(row, &["seconds_min", "seconds_max", "repeats", "flops", "bytes_moved", "fraction_of_peak"]);
        let [seconds, flops, gflops] = ["seconds", "flops", "gflops"].map(|key| row[key].as_f64().unwrap());
        assert!((flops / seconds / 1e9 / gflops - 1.0).abs() < 1e-9, "operations per second of {row}");
        assert!(row["fraction_of_peak"].is_null() && row["phases"].is_null(), "neither was asked for: {row}");
        assert!(row["bytes_moved"].as_u64().unwrap() > 0, "{row}");
    }
    let scaling = report["scaling"].as_array().unwrap();
    let axes: Vec<&str> = scaling.iter().map(|s| s["axis"].as_str().unwrap()).collect();
    assert_eq!(axes, ["batch", "steps"], "axes of three values");
    let steps = &scaling[1];
    assert_keys(steps, &["phase", "method", "adjoint", "exponent", "std_error", "points", "bytes_exponent"]);
    assert_eq!(steps["points"], serde_json::json!([4, 8, 16]));
    assert_eq!(steps["bytes_exponent"].as_f64().unwrap().abs(), 0.0, "memory does not grow with the steps");
    assert!((steps["flops_exponent"].as_f64().unwrap() - 1.0).abs() < 1e-9, "operations do: {steps}");

    let table = folder.run(&format!("{SMALL} --batch 7 --steps 4,8,16 --peak 100 --peak-bandwidth 10")).succeeded();
    for word in ["steps", "of peak", "cost as a power", " ± "] {
        assert!(table.stdout.contains(word), "'{word}' should be in {}", table.stdout);
    }
}

#[test]
fn a_point_that_cannot_be_had_is_left_out() {
    let folder = Folder::new();
    let arguments = "--batch 7 --steps 4 --phase forward --width 5,1000000,6 --json";
    let ran = folder.run(&format!("{SMALL} {arguments}")).succeeded();
    let report = ran.json();
    assert_eq!(rows(&report, "batch", 7).len(), 3, "the base and two widths: {report}");
    let left_out = report["left_out"].as_array().unwrap();
    assert_eq!(left_out.len(), 1, "{report}");
    assert_eq!(
        (&left_out[0]["hidden"], &left_out[0]["batch"]),
        (&serde_json::json!([1_000_000, 1_000_000]), &7.into())
    );
    let reason = left_out[0]["reason"].as_str().unwrap();
    assert!(reason.contains("use narrower layers"), "{reason}");
    assert!(ran.stderr.iter().any(|l| l.contains("left out") && l.contains("1000000")), "{:?}", ran.stderr);
    let ran = folder.run(&format!("{} --hidden 5000 --batch 7 --json", SMALL.replace("--hidden 5,3", "")));
    assert!(ran.failed(2, &["5000", "use narrower layers"]).stdout.is_empty(), "nothing was measured");
}

#[test]
fn a_profile_shows_the_kernels() {
    let folder = Folder::new();
    let arguments = "--batch 200 --steps 20 --phase gradient --profile";
    let report = folder.run(&format!("{SMALL} {arguments} --json")).succeeded().json();
    let Some(phases) = report["results"][0]["phases"].as_array() else {
        let ran = folder.run(&format!("{SMALL} {arguments}")).succeeded();
        assert!(ran.stderr.iter().any(|l| l.contains("no timestamps")), "{:?}", ran.stderr);
        return;
    };
    for phase in phases {
        assert_keys(phase, &["kernel", "dispatches", "seconds", "flops", "bytes"]);
    }
    let seconds: f64 = phases.iter().map(|phase| phase["seconds"].as_f64().unwrap()).sum();
    assert!(seconds > 0.0, "{phases:?}");
    let flops: u64 = phases.iter().map(|phase| phase["flops"].as_u64().unwrap()).sum();
    assert_eq!(flops, report["results"][0]["flops"].as_u64().unwrap(), "all operations are in kernels");
    let table = folder.run(&format!("{SMALL} {arguments}")).succeeded();
    for word in ["step_reverse", "reduce", "device seconds"] {
        assert!(table.stdout.contains(word), "'{word}' should be in {}", table.stdout);
    }
}

#[test]
fn runs_are_compared() {
    let folder = Folder::new();
    let bench = format!("{SMALL} --batch 7 --steps 4");
    folder.run(&format!("{bench} --out old")).succeeded();
    let path = folder.path("old/bench.json");
    let mut old: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    // Half as fast before, on another driver, and with a row that is not measured again.
    for row in old["results"].as_array_mut().unwrap() {
        row["trajectory_steps_per_second"] = (row["trajectory_steps_per_second"].as_f64().unwrap() / 2.0).into();
    }
    let mut other = old["results"][0].clone();
    other["batch"] = 8.into();
    old["results"].as_array_mut().unwrap().push(other);
    old["driver"] = "old driver".into();
    folder.file("half.json", &old.to_string());
    let ran = folder.run(&format!("{bench},8 --compare half.json --json")).succeeded();
    let report = ran.json();
    let ratios: Vec<f64> = rows(&report, "steps", 4).iter().map(|row| row["ratio"].as_f64().unwrap()).collect();
    assert_eq!(ratios.len(), 2, "both phases have a partner: {report}");
    let compared = &report["compared"];
    let mean = (ratios[0] * ratios[1]).sqrt();
    assert!((compared["geometric_mean"].as_f64().unwrap() / mean - 1.0).abs() < 1e-9, "{compared}");
    assert_eq!((&compared["matched"], &compared["not_measured"]), (&2.into(), &1.into()), "{compared}");
    assert!(ran.stderr.iter().any(|l| l.contains("old driver")), "another driver is named: {:?}", ran.stderr);
    let table = folder.run(&format!("{bench} --compare half.json")).succeeded().stdout;
    assert!(table.contains("before ×") && table.contains("beside half.json"), "{table}");
}

#[test]
fn bad_input_is_told_before_anything_runs() {
    let folder = Folder::new();
    folder.file("other.json", "{\"results\": 3}");
    let before = folder.entries();
    let cases: [(&str, &[&str]); 13] = [
        ("--batch 8..4", &["--batch", "8..4", "FIRST..LAST"]),
        ("--batch 99999999999999999999", &["--batch", "99999999999999999999", "whole number"]),
        ("--width 0", &["--width", "'0'", "≥ 1"]),
        ("--depth 5000", &["--depth", "5000", "at most 1024"]),
        ("--steps 1000000000", &["steps", "1000000000", "at most"]),
        ("--hidden none --depth 2", &["--depth", "--hidden"]),
        ("--hidden 100000,100000", &["100000", "2^31", "use narrower layers"]),
        ("--peak -5", &["--peak", "'-5'", "> 0"]),
        ("--peak-bandwidth inf", &["--peak-bandwidth", "'inf'", "> 0"]),
        ("--warmup 0", &["--warmup", "≥ 1"]),
        ("--compare none.json", &["cannot read none.json"]),
        ("--compare other.json", &["other.json", "bench.json", "--out"]),
        ("--compare w.safetensors", &["w.safetensors"]),
    ];
    for (arguments, words) in cases {
        let ran = folder.run(&format!("bench {arguments} --json")).failed(2, words);
        assert!(ran.stdout.is_empty(), "`{}` should print nothing: {}", ran.arguments, ran.stdout);
    }
    assert_eq!(folder.entries(), before, "nothing is written");
}
