//! `train` on data as people have them: gaps, delimiters, dates, offsets, and files that are none.

use std::fmt::Write;

use ndarray::Array3;
use ndarray_npy::NpzWriter;

use super::*;

const TRAIN: &str = "[field]\nstate = 2\nhidden = [5, 3]\n[solve]\nmethod = \"euler\"\nsteps = 2\nadjoint = \"backsolve\"\n\
     [data]\nfile = \"data.csv\"\n\
     [train]\niterations = 20\nlearning_rate = 0.02\nreport_every = 20\n[output]\nfolder = \"out\"\nplot = false\n";

fn spiral(t: f64) -> [f64; 2] {
    let radius = (-0.3 * t).exp();
    [radius * (2.0 * t).cos(), radius * (2.0 * t).sin()]
}

/// A table of 11 points of a spiral around `offset`, with times as `time` writes them.
fn table(names: &str, offset: f64, time: impl Fn(u32) -> String) -> String {
    (0..=10).fold(format!("{names}\n"), |mut text, i| {
        let [x, y] = spiral(0.2 * f64::from(i)).map(|v| v + offset);
        writeln!(text, "{},{x},{y}", time(i)).unwrap();
        text
    })
}

fn tenths(i: u32) -> String {
    format!("{:.1}", 0.2 * f64::from(i))
}

fn train(folder: &Folder, data: &str) -> Ran {
    folder.file("train.toml", &TRAIN.replace("[train]", &format!("{data}\n[train]")));
    folder.run("train train.toml --json")
}

fn npz(folder: &Folder, arrays: &[(&str, Array3<f64>)], mask: Option<&Array3<bool>>) {
    let mut npz = NpzWriter::new(std::fs::File::create(folder.path("data.npz")).unwrap());
    npz.add_array("t", &(0..=10).map(|i| 0.2 * f64::from(i)).collect::<ndarray::Array1<f64>>()).unwrap();
    for (name, array) in arrays {
        npz.add_array(*name, array).unwrap();
    }
    if let Some(mask) = mask {
        npz.add_array("mask", mask).unwrap();
    }
    npz.finish().unwrap();
}

#[test]
fn gaps_are_counted_and_take_no_part() {
    let folder = Folder::new();
    let plain = table("t,x,y", 0.0, tenths);
    folder.file("data.csv", &plain);
    let report = train(&folder, "").succeeded().json();
    let counts =
        |report: &Value| ["series", "points", "observations", "missing"].map(|key| report["data"][key].clone());
    assert_eq!(counts(&report), [1, 11, 22, 0].map(Value::from));
    assert_eq!(
        (&report["data"]["time"]["column"], &report["data"]["time"]["equally_spaced"]),
        (&"t".into(), &true.into())
    );

    // A value that is far off, once in the data and once not observed.
    let far = |cell: &str| {
        let lines = plain.lines().enumerate().map(|(i, line)| match (i, line.rsplit_once(',')) {
            (4 | 5, Some((rest, _))) => format!("{rest},{cell}\n"),
            _ => format!("{line}\n"),
        });
        lines.collect::<String>()
    };
    folder.file("data.csv", &far("NA"));
    let ran = train(&folder, "").succeeded();
    let gaps = ran.json();
    assert_eq!(counts(&gaps), [1, 11, 20, 2].map(Value::from));
    assert_eq!(gaps["data"]["missing_by_component"], serde_json::json!([0, 2]));
    assert!(ran.stderr.iter().any(|l| l == "data: 2 of 22 values were not observed (y 2)"), "{:?}", ran.stderr);
    let first = |report: &Value| report["losses"][0][1].as_f64().unwrap();
    // The same by the two other ways of saying so.
    let values = |cell: f64| {
        Array3::from_shape_fn(
            (1, 11, 2),
            |(_, i, c)| if c == 1 && (3..5).contains(&i) { cell } else { spiral(0.2 * i as f64)[c] },
        )
    };
    for (cell, masked) in [(f64::NAN, false), (1e6, true)] {
        let values = values(cell);
        let mask = masked.then(|| values.mapv(|v| v < 1e3));
        npz(&folder, &[("x", values)], mask.as_ref());
        folder.file("npz.toml", &TRAIN.replace("data.csv", "data.npz"));
        let report = folder.run("train npz.toml --json").succeeded().json();
        assert_eq!(counts(&report), counts(&gaps));
        assert!((first(&report) - first(&gaps)).abs() < 1e-6 * first(&gaps), "{} and {}", first(&report), first(&gaps));
        assert!(report["evaluation_loss"].is_number(), "a loss of what was observed: {}", report["evaluation_loss"]);
    }
    folder.file("data.csv", &far("1000"));
    assert!(first(&train(&folder, "").succeeded().json()) > 1e3 * first(&gaps), "the value itself is far off");

    let lines =
        plain.lines().enumerate().map(|(i, line)| if i > 8 { line[..3].to_owned() + ",," } else { line.to_owned() });
    folder.file("data.csv", &lines.collect::<Vec<_>>().join("\n"));
    let ran = train(&folder, "window = 4").succeeded();
    assert_eq!((&ran.json()["data"]["missing"], &ran.json()["data"]["empty_windows"]), (&6.into(), &1.into()));
    assert!(ran.stderr.iter().any(|l| l.starts_with("data: 1 windows hold no observation")), "{:?}", ran.stderr);
    folder.file("data.csv", &far(""));
    train(&folder, "window = 4").failed(2, &["series 0 is missing at point 3", "where a window may start"]);
    folder.file("data.csv", &plain.replacen("0.0,1,", "0.0,,", 1));
    train(&folder, "").failed(2, &["component 0 of series 0 is missing at the first time", "begin every series"]);
    npz(&folder, &[("x", values(0.0)), ("weights", values(1.0))], None);
    folder.run("train npz.toml").failed(2, &["data.npz", "array weights has no place", "t, x, y, mask are known"]);
    npz(&folder, &[("x", values(0.0)), ("y", values(1.0))], None);
    folder.run("train npz.toml").failed(2, &["data.npz", "both x and y"]);
}

#[test]
fn tables_of_any_kind_are_the_same_data() {
    let folder = Folder::new();
    folder.file("data.csv", &table("t,x,y", 0.0, tenths));
    let plain = train(&folder, "").succeeded().json();
    let semicolons = table("t,x,y", 0.0, tenths).replace(',', ";").replace('.', ",");
    let tabs = table("t,x,y", 0.0, tenths).replace(',', "\t");
    let index: String = table("id_of_row,t,x,y", 0.0, |i| format!("{i},{}", tenths(i))).replacen("id_of_row", "", 1);
    for (text, keys) in [
        (&semicolons, ""),
        (&semicolons, "delimiter = \";\""),
        (&tabs, "delimiter = \"tab\""),
        (&index, ""),
        (&index, "time = \"t\"\ncolumns = [\"x\", \"y\"]"),
    ] {
        folder.file("data.csv", text);
        let ran = train(&folder, keys).succeeded();
        assert_eq!(ran.json()["losses"], plain["losses"], "{keys}, {text}");
        let index = ran.stderr.iter().filter(|l| l.contains("the first column has no name")).count();
        assert_eq!(index, usize::from(text.starts_with(',')), "what was left out is said: {:?}", ran.stderr);
    }
    for (keys, words) in [
        ("delimiter = \":\"", &["train.toml", "delimiter"][..]),
        ("time = \"hour\"", &["no column hour", "data.time", "found: , t, x, y"]),
        ("columns = [\"x\", \"z\"]", &["no column z", "data.columns"]),
    ] {
        train(&folder, keys).failed(2, words);
    }
    folder.file("data.csv", &table("t,x,x", 0.0, tenths));
    train(&folder, "").failed(2, &["data.csv", "columns 2 and 3 are both named x"]);
    npz(&folder, &[("x", Array3::zeros((1, 11, 2)))], None);
    folder.file("train.toml", &TRAIN.replace("data.csv\"", "data.npz\"\ndelimiter = \";\""));
    folder.run("train train.toml").failed(2, &["data.npz", "delimiter", "archive of arrays"]);
}

#[test]
fn an_offset_costs_no_digits() {
    let folder = Folder::new();
    let losses = |offset: f64, scale: &str| {
        folder.file("data.csv", &table("t,x,y", offset, tenths));
        let report = train(&folder, &format!("scale = \"{scale}\"")).succeeded().json();
        let ends = [&report["losses"][0][1], &report["losses"][19][1]].map(|l| l.as_f64().unwrap());
        (ends, report["warnings"].to_string())
    };
    let (expected, _) = losses(0.0, "standardise");
    for offset in [1e5, 1e7] {
        let (found, warnings) = losses(offset, "standardise");
        for (a, b) in found.iter().zip(expected) {
            assert!((a - b).abs() < 1e-5 * b, "offset {offset:e}: losses {found:?}, not {expected:?}");
        }
        assert!(!warnings.contains("varies by"), "nothing is lost at {offset:e}: {warnings}");
    }
    let (_, warnings) = losses(1e7, "none");
    assert!(warnings.contains("component x varies by") && warnings.contains("standardise"), "{warnings}");
}

#[test]
fn rounded_times_and_dates_are_equally_spaced() {
    let folder = Folder::new();
    let frame = |i: u32| f64::from(i) / 30.0;
    let losses = |text: &str| {
        folder.file("data.csv", text);
        let report = train(&folder, "window = 4").succeeded().json();
        [&report["losses"][0][1], &report["losses"][19][1]].map(|l| l.as_f64().unwrap())
    };
    let small = losses(&table("t,x,y", 0.0, |i| format!("{:.1}", f64::from(i) / 10.0)));
    let large = losses(&table("t,x,y", 0.0, |i| format!("{:.1}", 1.7e9 + f64::from(i) / 10.0)));
    for (a, b) in large.iter().zip(small) {
        assert!((a - b).abs() < 1e-6 * b, "epoch seconds are the same data: {large:?}, not {small:?}");
    }
    for (name, time) in [
        ("30 per second", Box::new(move |i| format!("{:.3}", frame(i))) as Box<dyn Fn(u32) -> String>),
        ("epoch seconds", Box::new(|i| format!("{:.1}", 1.7e9 + f64::from(i) / 10.0))),
        ("dates", Box::new(move |i| format!("2024-01-31T12:00:{:06.3}Z", frame(i)))),
    ] {
        folder.file("data.csv", &table("time,x,y", 0.0, time));
        let ran = train(&folder, "window = 4").succeeded();
        let time = &ran.json()["data"]["time"];
        assert_eq!((&time["column"], &time["equally_spaced"]), (&"time".into(), &true.into()), "{name}");
        let told =
            ran.stderr.iter().any(|l| l == "data: times are seconds since 2024-01-31T12:00:00.000Z (column time)");
        assert_eq!((told, time["seconds_since"].is_string()), (name == "dates", name == "dates"), "{:?}", ran.stderr);
    }
    folder.file("data.csv", &table("time,x,y", 0.0, |i| (i + i / 7).to_string()));
    train(&folder, "window = 4").failed(2, &["unequally spaced"]);
}

#[cfg(target_os = "linux")]
#[test]
fn what_never_ends_is_refused() {
    let folder = Folder::new();
    folder.file("data.csv", &table("t,x,y", 0.0, tenths));
    std::os::unix::fs::symlink("/dev/zero", folder.path("zero.npz")).unwrap();
    folder.run("train /dev/zero").failed(2, &["/dev/zero", "more than 64.0 MiB"]);
    for (x0, weights) in [("/dev/zero", "w.safetensors"), ("x0.npy", "/dev/zero")] {
        let solve = format!("solve --config run.toml --weights {weights} --x0 {x0} --out x.npy");
        folder.run(&solve).failed(2, &["/dev/zero", "more than 256.0 MiB"]);
    }
    folder.file("train.toml", &TRAIN.replace("data.csv", "zero.npz"));
    let ran = folder.run("train train.toml").failed(2, &["zero.npz", "more than 256.0 MiB"]);
    assert!(
        ran.stderr.iter().any(|l| l.contains("zero.npz is no regular file")),
        "what is waited for: {:?}",
        ran.stderr
    );
}

#[test]
fn a_grid_is_taken_from_any_table() {
    let folder = Folder::new();
    folder.file("data.csv", &table("x;y;t", 0.0, tenths).replace(',', ";").replacen("x;y;t", "t;x;y", 1));
    folder
        .file("run.toml", &EULER.replace("t1 = 0.4\n", "").replace("[solve]", "[data]\nfile = \"data.csv\"\n[solve]"));
    folder.run("solve --config run.toml --weights w.safetensors --x0 x0.npy --out x.npy --json").succeeded();
    let states = costate::io::read_npy3(folder.path("x.npy")).unwrap();
    assert_eq!(states.len_of(ndarray::Axis(0)), 10, "a state at every later time");
}
