//! Losses, masks, weights, running costs, dense save times and gradients by more than θ and x0.

use costate::io::{read_npy3, write_npy};
use ndarray::{Array1, Array2, Array3, Axis};
use ndarray_npy::{NpzWriter, WriteNpyExt};

use super::runs::{names, narrow, tensor, write_linear};
use super::*;

const SOLVE: &str = "solve --config run.toml --weights w.safetensors --x0 x0.npy --out x.npy";
const GRADIENT: &str = "gradient --config run.toml --weights w.safetensors --x0 x0.npy --out g.safetensors";
const NLL: &str = "[loss]\nkind = \"gaussian_nll\"\nlog_scale = [0.1, -0.2]\n";

/// The fixture's problem with two save times, and targets `y.npy` for them.
fn folder(sections: &str) -> Folder {
    let folder = Folder::new();
    folder.file("run.toml", &format!("{EULER}adjoint = \"stored\"\nsave_at = [0.2, 0.4]\n{sections}"));
    write_npy(folder.path("y.npy"), targets().view()).unwrap();
    folder
}

fn targets() -> Array3<f32> {
    Array3::from_shape_fn((2, 7, 2), |(i, j, k)| narrow(0.3 * i as f64 - 0.1 * j as f64 + 0.2 * k as f64))
}

fn write(folder: &Folder, name: &str, array: &impl WriteNpyExt) {
    array.write_npy(std::fs::File::create(folder.path(name)).unwrap()).unwrap();
}

/// A reference on `times` for all trajectories.
pub(crate) fn write_reference(folder: &Folder, times: &[f64], dim: usize) {
    let mut npz = NpzWriter::new(std::fs::File::create(folder.path("ref.npz")).unwrap());
    npz.add_array("times", &Array1::from(times.to_vec())).unwrap();
    npz.add_array("values", &Array2::<f64>::from_shape_fn((times.len(), dim), |(i, c)| times[i] + c as f64)).unwrap();
    npz.finish().unwrap();
}

fn bytes(folder: &Folder) -> Vec<u8> {
    std::fs::read(folder.path("g.safetensors")).unwrap()
}

#[test]
fn gradients_are_written_as_asked_for() {
    let folder = folder(&format!("{NLL}[cost]\nkinetic = 0.5\n[gradient]\nwrt = [\"x0\", \"t0\", \"targets\"]\n"));
    let report = folder.run(&format!("{GRADIENT} --targets y.npy --json")).succeeded().json();
    assert_eq!(names(&folder.path("g.safetensors")), ["cost", "loss", "t0", "targets", "x0"]);
    assert_eq!(report["wrt"], serde_json::json!(["x0", "t0", "targets"]));
    assert!(report["times"]["t1"].is_null() && report["times"]["saves"].is_null(), "not asked for: {report}");

    let all = "theta,x0,t0,t1,saves,targets,loss";
    let report = folder.run(&format!("{GRADIENT} --targets y.npy --wrt {all} --json")).succeeded().json();
    let path = folder.path("g.safetensors");
    for (name, shape) in [
        ("net.0.weight", &[5, 2][..]),
        ("x0", &[7, 2]),
        ("loss", &[1]),
        ("cost", &[7]),
        ("t0", &[1]),
        ("t1", &[1]),
        ("save_times", &[2]),
        ("targets", &[2, 7, 2]),
        ("log_scale", &[2]),
    ] {
        assert_eq!(tensor(&path, name).shape(), shape, "{name}");
    }
    assert_keys(&report, &["loss", "cost", "objective", "wrt", "times"]);
    let number = |key: &str| report[key].as_f64().unwrap();
    assert!((number("objective") - number("loss") - number("cost")).abs() < 1e-6, "a sum: {report}");
    let mean = tensor(&path, "cost").mean().unwrap();
    assert!((number("cost") / mean - 1.0).abs() < 1e-6, "the mean of {mean}: {report}");
    let saves = tensor(&path, "save_times");
    assert_eq!(report["times"]["saves"].as_array().unwrap().len(), 2, "{report}");
    assert!((saves[[1]] - tensor(&path, "t1")[[0]]).abs() < 1e-9, "the save time at t1 is t1");
    let whole: Vec<_> = ["t1", "save_times", "targets"].iter().map(|name| (*name, tensor(&path, name))).collect();
    folder.run(&format!("{GRADIENT} --targets y.npy --wrt t1,saves,targets")).succeeded();
    for (name, want) in whole {
        assert_eq!(tensor(&path, name), want, "{name} does not depend on what else is asked for");
    }
    let text = folder.run(&format!("{GRADIENT} --targets y.npy --wrt t1")).succeeded().stdout;
    for word in ["loss", "cost", "objective", "dJ/dt1"] {
        assert!(text.contains(word), "'{word}' should be in {text}");
    }
    assert_eq!(names(&path), ["cost", "loss", "t1"], "no weights, no x0");
}

#[test]
fn a_loss_is_that_of_the_description() {
    let residuals = |folder: &Folder| -> Vec<f64> {
        folder.run(SOLVE).succeeded();
        let states = read_npy3(folder.path("x.npy")).unwrap();
        (&states - &targets()).iter().map(|r| f64::from(*r)).collect()
    };
    for (section, loss) in [
        ("[loss]\nkind = \"mae\"\n", costate::Loss::Mae),
        ("[loss]\nkind = \"huber\"\ndelta = 0.3\n", costate::Loss::huber(0.3).unwrap()),
        (NLL, costate::Loss::GaussianNll),
    ] {
        let folder = folder(section);
        let report = folder.run(&format!("{GRADIENT} --targets y.npy --json")).succeeded().json();
        let residuals = residuals(&folder);
        let terms = residuals.iter().enumerate().map(|(i, r)| loss.value(*r, [0.1, -0.2][i % 2]).0);
        let want = terms.sum::<f64>() / residuals.len() as f64;
        let found = report["loss"].as_f64().unwrap();
        assert!((found - want).abs() < 1e-5 * want.abs(), "{loss}: {found}, not {want}");
        assert!(report["cost"].is_null() && report["times"].is_null(), "neither is asked for: {report}");
    }
}

#[test]
fn a_mask_hides_and_weights_weigh() {
    let folder = folder("");
    let seen = Array3::from_shape_fn((2, 7, 2), |(i, j, k)| (i + j + k) % 3 != 0);
    write(&folder, "m.npy", &seen);
    let run = |rest: &str| {
        folder.run(&format!("{GRADIENT} --targets y.npy --wrt theta,x0,targets {rest}")).succeeded();
        bytes(&folder)
    };
    let with_mask = run("--mask m.npy");
    assert_ne!(with_mask, run(""), "the mask matters");
    let mut gaps = targets().mapv(f64::from);
    gaps.iter_mut().zip(&seen).filter(|(_, seen)| !**seen).for_each(|(y, _)| *y = f64::NAN);
    write(&folder, "y.npy", &gaps);
    assert_eq!(run("--mask m.npy"), with_mask, "what is masked is not looked at");
    write(&folder, "numbers.npy", &seen.mapv(|seen| if seen { -2_i32 } else { 0 }));
    assert_eq!(run("--mask numbers.npy"), with_mask, "numbers other than 0 are true");
    let by_target = tensor(&folder.path("g.safetensors"), "targets");
    assert!(by_target.iter().zip(&seen).all(|(g, seen)| (*g != 0.0) == *seen), "no gradient where masked");
    folder.run(&format!("{GRADIENT} --targets y.npy")).failed(2, &["y.npy", "NaN", "[0, 0, 0]"]);

    write(&folder, "y.npy", &targets());
    write(&folder, "w.npy", &Array3::from_elem((2, 7, 2), 2.0_f32));
    run("");
    let plain = tensor(&folder.path("g.safetensors"), "x0");
    run("--observation-weights w.npy");
    let twice = tensor(&folder.path("g.safetensors"), "x0");
    let off = plain.iter().zip(&twice).fold(0.0, |m: f64, (a, b)| m.max((2.0 * a - b).abs()));
    assert!(off < 1e-6, "twice the weight is twice the gradient, off by {off}");
}

#[test]
fn costs_are_reported_and_written() {
    let folder = folder("[cost]\nkinetic = 0.5\nreference = { weight = 2, file = \"ref.npz\" }\n");
    // dx/dt = 0 costs nothing but the distance from the reference t, t + 1.
    write_linear(&folder.path("w.safetensors"), 0.0);
    folder.file("run.toml", &std::fs::read_to_string(folder.path("run.toml")).unwrap().replace("[5, 3]", "[]"));
    write(&folder, "x0.npy", &Array2::<f32>::zeros((7, 2)));
    write_reference(&folder, &[0.0, 0.2, 0.4], 2);
    let report = folder.run(&format!("{SOLVE} --cost-out cost.npy --json")).succeeded().json();
    // Euler: 0.1 Σ 2 (t² + (t + 1)²) at 0, 0.1, 0.2, 0.3.
    let want: f64 = [0.0_f64, 0.1, 0.2, 0.3].iter().map(|t| 0.2 * (t * t + (t + 1.0) * (t + 1.0))).sum();
    assert!((report["cost"].as_f64().unwrap() - want).abs() < 1e-6, "{want}: {report}");
    let costs: Array1<f32> = ndarray_npy::read_npy(folder.path("cost.npy")).unwrap();
    assert!(costs.len() == 7 && costs.iter().all(|c| (f64::from(*c) - want).abs() < 1e-6), "each {want}: {costs}");
    assert!(report.get("wrt").is_none(), "a solve has no gradient: {report}");

    write(&folder, "c.npy", &Array3::<f32>::zeros((2, 7, 2)));
    let report = folder.run(&format!("{GRADIENT} --cotangents c.npy --wrt x0 --json")).succeeded().json();
    assert!((report["cost"].as_f64().unwrap() - want).abs() < 1e-6, "the mean here too: {report}");
    assert!(report["objective"].is_null() && report["loss"].is_null(), "the objective is the caller's: {report}");
    assert!(tensor(&folder.path("g.safetensors"), "x0").iter().all(|g| *g < 0.0), "closer to the reference is cheaper");
}

#[test]
fn dense_save_times_leave_the_steps_alone() {
    let folder = folder("");
    folder.file("run.toml", &format!("{EULER}adjoint = \"stored\"\nsave_at = [0.13, 0.2, 0.37]\ndense = true\n"));
    let report = folder.run(&format!("{SOLVE} --json")).succeeded().json();
    assert_eq!(report["steps"], 4, "0.4 in steps of 0.1: {report}");
    let states = read_npy3(folder.path("x.npy")).unwrap();
    assert_eq!(states.shape(), [3, 7, 2], "[time, batch, dim]");
    folder.file("run.toml", &format!("{EULER}adjoint = \"stored\"\nsave_at = [0.2]\n"));
    folder.run(SOLVE).succeeded();
    let hit = read_npy3(folder.path("x.npy")).unwrap();
    let off = &states.index_axis(Axis(0), 1) - &hit.index_axis(Axis(0), 0);
    assert!(off.iter().all(|d| d.abs() < 1e-6), "a save time on a boundary is the state there: {off}");

    folder.file("run.toml", &format!("{EULER}adjoint = \"stored\"\nsave_at = [0.13, 0.2, 0.37]\ndense = true\n"));
    write(&folder, "y.npy", &Array3::<f32>::zeros((3, 7, 2)));
    let report = folder.run(&format!("{GRADIENT} --targets y.npy --wrt x0,saves --json")).succeeded().json();
    assert_eq!(report["times"]["saves"].as_array().unwrap().len(), 3, "{report}");
    assert!(folder.run(SOLVE).succeeded().stdout.contains("4 steps, 3 save times"), "the summary counts save times");
}

#[test]
fn mistakes_about_objectives_are_told_in_one_sentence() {
    let folder = folder("");
    let base = std::fs::read_to_string(folder.path("run.toml")).unwrap();
    write(&folder, "c.npy", &targets());
    write(&folder, "short.npy", &Array3::from_elem((1, 7, 2), true));
    write(&folder, "flat.npy", &Array1::from_elem(7, true));
    write(&folder, "blind.npy", &Array3::from_elem((2, 7, 2), false));
    write(&folder, "below.npy", &Array3::from_elem((2, 7, 2), -1.0_f32));
    write_reference(&folder, &[0.0, 0.3], 2);
    let gradient = |rest: &str| format!("{GRADIENT} --targets y.npy {rest}");
    let reference = "[cost]\nreference = { file = \"ref.npz\" }\n";
    let cases: [(&str, String, &[&str]); 16] = [
        ("", gradient("--mask short.npy"), &["short.npy", "[1, 7, 2]", "[2, 7, 2]"]),
        ("", gradient("--mask flat.npy"), &["flat.npy", "[7]", "[time, batch, dim]"]),
        ("", gradient("--mask blind.npy"), &["mask", "nothing is observed"]),
        ("", gradient("--mask none.npy"), &["cannot read none.npy"]),
        ("", gradient("--observation-weights short.npy"), &["short.npy", "|b1"]),
        ("", gradient("--observation-weights below.npy"), &["weights", "-1", "use weights ≥ 0"]),
        ("", gradient("--wrt theta,y"), &["--wrt", "'y'", "targets"]),
        ("", gradient("--wrt loss"), &["--wrt", "mse", "gaussian_nll"]),
        ("", format!("{GRADIENT} --cotangents c.npy --mask blind.npy"), &["--mask", "--cotangents"]),
        ("", format!("{GRADIENT} --cotangents c.npy --wrt targets"), &["targets", "cotangents"]),
        ("", format!("{SOLVE} --cost-out c2.npy"), &["--cost-out", "[cost]"]),
        ("[cost]\nkinetic = -1.0\n", SOLVE.to_owned(), &["cost.kinetic", "-1", "≥ 0"]),
        (reference, SOLVE.to_owned(), &["reference", "0 to 0.3", "t1 = 0.4"]),
        (reference, gradient(""), &["reference", "0 to 0.3", "t1 = 0.4"]),
        ("[cost]\nreference = { file = \"y.npy\" }\n", SOLVE.to_owned(), &["y.npy", "npz"]),
        ("[loss]\nkind = \"gaussian_nll\"\nlog_scale = 90\n", gradient(""), &["log scale", "90", "standardise"]),
    ];
    let before = folder.entries();
    for (section, arguments, words) in cases {
        folder.file("run.toml", &format!("{base}{section}"));
        let ran = folder.run(&format!("{arguments} --json")).failed(2, words);
        assert!(ran.stdout.is_empty(), "`{arguments}` should print nothing: {}", ran.stdout);
        assert_eq!(ran.stderr.len(), 1, "`{arguments}` should say one thing: {:?}", ran.stderr);
    }
    assert_eq!(folder.entries(), before, "nothing is written");

    // Archives that do not fit.
    folder.file("run.toml", &format!("{base}{reference}"));
    write_reference(&folder, &[0.0, 0.4], 3);
    folder.run(SOLVE).failed(2, &["reference", "[2, 1, 3]", "2]"]);
    write_reference(&folder, &[0.0, 0.4, 0.2], 2);
    folder.run(SOLVE).failed(2, &["ref.npz", "0.2 after 0.4", "rising"]);
    let mut npz = NpzWriter::new(std::fs::File::create(folder.path("ref.npz")).unwrap());
    npz.add_array("times", &Array1::<f64>::zeros(2)).unwrap();
    npz.add_array("x", &Array1::<f64>::zeros(2)).unwrap();
    npz.finish().unwrap();
    folder.run(SOLVE).failed(2, &["ref.npz", "array x", "values"]);
}
