//! Units: the scaling travels with the weights, and what is computed with them says whose units it is in.

use std::fmt::Write;

use costate::io::{Standardiser, read_weights, write_npy, write_npy_wide};
use costate::{Activation, Mlp};
use ndarray::{Array2, Array3, ArrayD, ArrayView, Axis, Dimension, array, stack};

use super::*;
use crate::runs::{names, narrow, tensor, write_linear};

const SOLVE: &str = "solve --config run.toml --weights out/weights.safetensors";
const GRADIENT: &str = "gradient --config run.toml --weights out/weights.safetensors";

/// Trains for a few iterations on a spiral in units of its own.
fn trained(scale: &str) -> Folder {
    let folder = Folder::new();
    let text = (0..=10).map(|i| 0.2 * f64::from(i)).fold("t,x,y\n".to_owned(), |mut text, t: f64| {
        let radius = (-0.3 * t).exp();
        let [x, y] = [1000.0 + 5.0 * radius * (2.0 * t).cos(), 3e-7 + 1e-7 * radius * (2.0 * t).sin()];
        writeln!(text, "{t},{x},{y}").unwrap();
        text
    });
    folder.file("spiral.csv", &text);
    let train = "[data]\nfile = \"spiral.csv\"\nscale = \"SCALE\"\nwindow = 4\n[train]\niterations = 20\n\
                 learning_rate = 0.02\n[output]\nfolder = \"out\"\nplot = false\n";
    let start =
        "[field]\nstate = 2\nhidden = [5, 3]\n[solve]\nmethod = \"euler\"\nsteps = 2\nadjoint = \"backsolve\"\n";
    folder.file("train.toml", &format!("{start}{}", train.replace("SCALE", scale)));
    folder.run("train train.toml").succeeded();
    folder.file("run.toml", &format!("{}save_at = [0.2, 0.4]\n", solving("euler", "stored", "")));
    folder
}

fn scaling(folder: &Folder) -> Standardiser {
    let field = Mlp::builder(2).hidden(&[5, 3], Activation::Tanh).build().unwrap();
    read_weights(folder.path("out/weights.safetensors"), &field).unwrap().scaling.unwrap()
}

/// The conversion by hand, and its slope dz/dx.
fn model<D: Dimension>(
    scaling: &Standardiser,
    x: ArrayView<'_, f64, D>,
) -> (ndarray::Array<f32, D>, ndarray::Array<f64, D>) {
    let log = scaling.scale().name() == "log_standardise";
    let (mut z, mut slope) = (x.to_owned(), x.to_owned());
    for (i, (z, slope)) in z.iter_mut().zip(&mut slope).enumerate() {
        let [mean, deviation] = [scaling.mean()[i % 2], scaling.deviation()[i % 2]];
        let x = *z;
        *z = (if log { x.ln() } else { x } - mean) / deviation;
        *slope = if log { 1.0 / (x * deviation) } else { 1.0 / deviation };
    }
    (z.mapv(narrow), slope)
}

fn data(scaling: &Standardiser, z: &Array3<f64>) -> Array3<f64> {
    let mut x = z.clone();
    for (i, x) in x.iter_mut().enumerate() {
        let g = *x * scaling.deviation()[i % 2] + scaling.mean()[i % 2];
        *x = if scaling.scale().name() == "log_standardise" { g.exp() } else { g };
    }
    x
}

/// Three states near the spiral.
fn x0() -> Array2<f64> {
    array![[1003.25, 3.5e-7], [998.0, 2.25e-7], [1001.0, 3.0e-7]]
}

#[track_caller]
fn assert_close(what: &str, got: &ArrayD<f64>, want: &ArrayD<f64>, tolerance: f64) {
    assert_eq!(got.shape(), want.shape(), "shape of {what}");
    for (got, want) in got.iter().zip(want) {
        assert!((got - want).abs() <= tolerance * want.abs(), "{what}: {got:e} should be {want:e}");
    }
}

/// The one note of a run, and the units of its report.
#[track_caller]
fn told(ran: &Ran, words: &[&str]) -> String {
    let notes: Vec<&String> = ran.stderr.iter().filter(|l| l.starts_with("note: ")).collect();
    let [note] = notes.as_slice() else { panic!("one note is expected: {:?}", ran.stderr) };
    for word in words {
        assert!(note.contains(word), "'{note}' should contain '{word}'");
    }
    ran.json()["units"].as_str().unwrap().to_owned()
}

#[test]
fn a_solve_takes_and_returns_the_units_of_the_data() {
    for scale in ["standardise", "log_standardise"] {
        let folder = trained(scale);
        let scaling = scaling(&folder);
        let report: Value = serde_json::from_slice(&std::fs::read(folder.path("out/report.json")).unwrap()).unwrap();
        assert_eq!(serde_json::to_value(&scaling).unwrap(), report["scaling"], "the file has what the report has");
        write_npy_wide(folder.path("x0.npy"), x0().view()).unwrap();
        write_npy(folder.path("z0.npy"), model(&scaling, x0().view()).0.view()).unwrap();
        let ran = folder.run(&format!("{SOLVE} --x0 x0.npy --out x.npy --json")).succeeded();
        let words = ["x0 and states are in the units of the data", scale, "weights.safetensors", "--units model"];
        assert_eq!(told(&ran, &words), "data");
        let ran = folder.run(&format!("{SOLVE} --x0 z0.npy --out z.npy --units model --json")).succeeded();
        assert_eq!(told(&ran, &["x0 and states are in the units of the model", scale]), "model");
        let x: Array3<f64> = ndarray_npy::read_npy(folder.path("x.npy")).unwrap();
        let z: Array3<f32> = ndarray_npy::read_npy(folder.path("z.npy")).unwrap();
        assert_close(scale, &x.clone().into_dyn(), &data(&scaling, &z.mapv(f64::from)).into_dyn(), 1e-15);
        // By the size of the data nobody could mistake one for the other.
        assert!(x.index_axis(Axis(2), 0).iter().all(|x| (900.0..1100.0).contains(x)), "{x}");
        assert_eq!(x.shape(), [2, 3, 2]);

        let asked = folder.run(&format!("{SOLVE} --x0 x0.npy --out y.npy --units data")).succeeded();
        assert!(asked.stdout.contains("units          those of the data"), "people are told: {}", asked.stdout);
        assert_eq!(std::fs::read(folder.path("y.npy")).unwrap(), std::fs::read(folder.path("x.npy")).unwrap());
        if scale == "log_standardise" {
            write_npy_wide(folder.path("x0.npy"), (-x0()).view()).unwrap();
            let words = ["x0.npy", "-1003.25", "logarithm"];
            folder.run(&format!("{SOLVE} --x0 x0.npy --out n.npy")).failed(2, &words);
            assert!(!folder.path("n.npy").exists(), "nothing is written");
        }
    }
}

#[test]
fn gradients_are_by_what_is_in_the_units_of_the_data() {
    for scale in ["standardise", "log_standardise"] {
        let folder = trained(scale);
        let scaling = scaling(&folder);
        let targets = stack![Axis(0), x0() * 1.001, x0() * 0.998];
        let ([z0, z0_slope], [y, y_slope]) = {
            let ((z0, a), (y, b)) = (model(&scaling, x0().view()), model(&scaling, targets.view()));
            ([z0.mapv(f64::from).into_dyn(), a.into_dyn()], [y.mapv(f64::from).into_dyn(), b.into_dyn()])
        };
        write_npy_wide(folder.path("x0.npy"), x0().view()).unwrap();
        write_npy_wide(folder.path("y.npy"), targets.view()).unwrap();
        write_npy(folder.path("z0.npy"), z0.mapv(narrow).view()).unwrap();
        write_npy(folder.path("zy.npy"), y.mapv(narrow).view()).unwrap();
        let of_data = "--x0 x0.npy --targets y.npy --wrt theta,x0,targets --out g.safetensors --json";
        let ran = folder.run(&format!("{GRADIENT} {of_data}")).succeeded();
        assert_eq!(
            told(&ran, &["x0, targets and the gradients by them", scale, "loss and dJ/dθ are the model's"]),
            "data"
        );
        let of_model = "--x0 z0.npy --targets zy.npy --wrt theta,x0,targets --out m.safetensors --json --units model";
        let by_model = folder.run(&format!("{GRADIENT} {of_model}")).succeeded();
        assert_eq!(told(&by_model, &["are in the units of the model"]), "model");
        assert_eq!(ran.json()["loss"], by_model.json()["loss"], "the loss is the model's");
        let [g, m] = ["g.safetensors", "m.safetensors"].map(|name| folder.path(name));
        for name in names(&g).iter().filter(|name| !["x0", "targets"].contains(&name.as_str())) {
            assert_eq!(tensor(&g, name), tensor(&m, name), "{name} is the model's");
        }
        // Once rounded to f32; the slope of a logarithm is that at the rounded z.
        let close = 1e-6;
        assert_close("dJ/dx0", &tensor(&g, "x0"), &(&tensor(&m, "x0") * &z0_slope), close);
        assert_close("dJ/dy", &tensor(&g, "targets"), &(&tensor(&m, "targets") * &y_slope), close);
    }
}

#[test]
fn cotangents_are_by_states_in_the_units_of_the_data() {
    for scale in ["standardise", "log_standardise"] {
        let folder = trained(scale);
        let scaling = scaling(&folder);
        write_npy_wide(folder.path("x0.npy"), x0().view()).unwrap();
        let (z0, slope) = model(&scaling, x0().view());
        write_npy(folder.path("z0.npy"), z0.view()).unwrap();
        folder.run(&format!("{SOLVE} --x0 x0.npy --out x.npy")).succeeded();
        let x: Array3<f64> = ndarray_npy::read_npy(folder.path("x.npy")).unwrap();
        // J = sum of c x, so that dJ/dz = c dx/dz.
        let c =
            Array3::from_shape_fn(x.raw_dim(), |(i, j, k)| if k == 0 { 0.5 + (i + j) as f64 } else { 3e6 + j as f64 });
        let of_model = &c / &model(&scaling, x.view()).1;
        write_npy(folder.path("c.npy"), c.mapv(narrow).view()).unwrap();
        write_npy(folder.path("cz.npy"), of_model.mapv(narrow).view()).unwrap();
        let ran =
            folder.run(&format!("{GRADIENT} --x0 x0.npy --cotangents c.npy --out g.safetensors --json")).succeeded();
        assert_eq!(told(&ran, &["x0, cotangents and dJ/dx0", scale]), "data");
        let by_model = "--x0 z0.npy --cotangents cz.npy --out m.safetensors --units model";
        folder.run(&format!("{GRADIENT} {by_model}")).succeeded();
        let [g, m] = ["g.safetensors", "m.safetensors"].map(|name| folder.path(name));
        for name in names(&g) {
            let [got, want] = [&g, &m].map(|path| tensor(path, &name));
            let want = if name == "x0" { &want * &slope.clone().into_dyn() } else { want };
            let norm = |a: &ArrayD<f64>| a.iter().map(|v| v * v).sum::<f64>().sqrt();
            let error = norm(&(&got - &want)) / norm(&want);
            assert!(error < 1e-6, "{scale}, {name} is off by {error:e}");
        }
        // Against a difference: one component of one initial state moves, J follows.
        let gradient = tensor(&g, "x0");
        let objective = |x0: &Array2<f64>| {
            write_npy_wide(folder.path("moved.npy"), x0.view()).unwrap();
            folder.run(&format!("{SOLVE} --x0 moved.npy --out moved_x.npy")).succeeded();
            let x: Array3<f64> = ndarray_npy::read_npy(folder.path("moved_x.npy")).unwrap();
            (&x * &c).sum()
        };
        let h = 0.5;
        let [mut right, mut left] = [x0(), x0()];
        (right[[0, 0]], left[[0, 0]]) = (right[[0, 0]] + h, left[[0, 0]] - h);
        let difference = (objective(&right) - objective(&left)) / (2.0 * h);
        let found = gradient[[0, 0]];
        // Rounding of z to f32, some 1e-7 of a deviation of 2.5, over h, and the curvature of tanh over h².
        assert!((found / difference - 1.0).abs() < 2e-2, "{scale}: dJ/dx0 is {found}, the difference {difference}");
    }
}

#[test]
fn gaps_in_targets_need_no_units() {
    let folder = trained("log_standardise");
    write_npy_wide(folder.path("x0.npy"), x0().view()).unwrap();
    let mut targets = stack![Axis(0), x0(), x0() * 1.1];
    targets[[0, 1, 0]] = f64::NAN;
    targets[[1, 2, 1]] = -1.0;
    write_npy_wide(folder.path("y.npy"), targets.view()).unwrap();
    let mask = targets.mapv(|y| if y > 0.0 { 1.0_f32 } else { 0.0 });
    write_npy(folder.path("m.npy"), mask.view()).unwrap();
    let seen = "--x0 x0.npy --targets y.npy --mask m.npy --wrt x0,targets --out g.safetensors";
    let ran = folder.run(&format!("{GRADIENT} {seen} --json")).succeeded();
    assert!(ran.json()["loss"].as_f64().unwrap() > 0.0, "{}", ran.stdout);
    let gradient = tensor(&folder.path("g.safetensors"), "targets");
    assert_eq!((gradient[[0, 1, 0]], gradient[[1, 2, 1]]), (0.0, 0.0), "nothing is asked of a gap");
    assert!(gradient[[0, 0, 0]] != 0.0, "but of the others");
    folder.run(&format!("{GRADIENT} --x0 x0.npy --targets y.npy --out h.safetensors")).failed(2, &["y.npy"]);
    // A slope of 6e-8 takes a large gradient beyond f32: that is said, in the report too.
    write_npy(folder.path("c.npy"), Array3::from_elem((2, 3, 2), 1e33_f32).view()).unwrap();
    let ran = folder.run(&format!("{GRADIENT} --x0 x0.npy --cotangents c.npy --out g.safetensors --json")).succeeded();
    let warnings = ran.json()["warnings"].to_string();
    assert!(warnings.contains("numbers of dJ/dx0 are beyond what f32 can hold"), "{warnings}");
    assert!(ran.stderr.iter().any(|l| l.starts_with("warning: ") && l.contains("dJ/dx0")), "{ran:?}");
}

#[test]
fn units_that_nobody_knows_are_refused() {
    let folder = Folder::new();
    let known = "--weights w.safetensors --x0 x0.npy";
    for command in [
        format!("solve --config run.toml {known} --out x.npy --units data"),
        format!("gradient --config run.toml {known} --targets y.npy --out g.safetensors --units data"),
        format!("check --config run.toml {known} --units data"),
    ] {
        let words = ["--units data", "w.safetensors", "costate.scaling", "leave it out"];
        let ran = folder.run(&command).failed(2, &words);
        assert_eq!((ran.stderr.len(), ran.stdout.as_str()), (1, ""), "one sentence: {ran:?}");
    }
    folder.run(&format!("solve --config run.toml {known} --out x.npy --units metres")).failed(2, &["metres"]);
    let ran = folder.run(&format!("solve --config run.toml {known} --out x.npy --units model --json")).succeeded();
    assert_eq!(ran.json()["units"], "model");
    assert!(ran.stderr.is_empty(), "there is no choice to speak of: {:?}", ran.stderr);
}

/// Gradients are named as in the file of the weights.
#[test]
fn gradients_are_named_as_the_weights_that_were_read() {
    let folder = Folder::new();
    let field = Mlp::builder(2).hidden(&[5, 3], Activation::Tanh).build().unwrap();
    let theta = costate::io::read_parameters(folder.path("w.safetensors"), &field).unwrap();
    let command = "gradient --config run.toml --weights w.safetensors --x0 x0.npy --targets y.npy --out g.safetensors";
    folder.run(command).succeeded();
    let want = tensor(&folder.path("g.safetensors"), "net.2.weight");
    for prefix in ["_orig_mod.module.", ""] {
        let tensors = costate::io::Tensors::with_prefix(prefix).theta(&field, theta.as_slice()).unwrap();
        tensors.write(folder.path("w.safetensors")).unwrap();
        folder.run(command).succeeded();
        let layers = ["0.bias", "0.weight", "2.bias", "2.weight", "4.bias", "4.weight"];
        let mut expected: Vec<String> = layers.iter().map(|name| format!("{prefix}{name}")).collect();
        expected.extend(["loss", "x0"].map(str::to_owned));
        expected.sort_unstable();
        assert_eq!(names(&folder.path("g.safetensors")), expected);
        assert_eq!(tensor(&folder.path("g.safetensors"), &format!("{prefix}2.weight")), want, "'{prefix}'");
    }
}

#[test]
fn a_field_without_biases_is_trained_and_differentiated_without() {
    let folder = trained("standardise");
    for name in ["train.toml", "run.toml"] {
        let text = std::fs::read_to_string(folder.path(name)).unwrap();
        folder.file(name, &text.replace("[solve]", "bias = false\n[solve]"));
    }
    folder.run("train train.toml").succeeded();
    let layers = ["net.0.weight", "net.2.weight", "net.4.weight"];
    assert_eq!(names(&folder.path("out/weights.safetensors")), layers);
    write_npy_wide(folder.path("x0.npy"), x0().view()).unwrap();
    write_npy_wide(folder.path("y.npy"), stack![Axis(0), x0(), x0()].view()).unwrap();
    folder.run(&format!("{GRADIENT} --x0 x0.npy --targets y.npy --out g.safetensors")).succeeded();
    assert_eq!(names(&folder.path("g.safetensors")), [&["loss"], &layers[..], &["x0"]].concat());
    let report = folder.run("check --config run.toml --weights out/weights.safetensors --batch 3 --json").succeeded();
    assert_eq!(report.json()["passed"], true, "{}", report.stdout);
}

#[test]
fn a_check_takes_the_states_that_it_is_given() {
    let folder = trained("standardise");
    write_npy_wide(folder.path("x0.npy"), x0().view()).unwrap();
    let check = "check --config run.toml --weights out/weights.safetensors --json";
    let ran = folder.run(&format!("{check} --x0 x0.npy")).succeeded();
    assert_eq!(told(&ran, &["--x0 are in the units of the data", "compared is in the model's"]), "data");
    let report = ran.json();
    assert_eq!((&report["batch"], &report["x0"]), (&3.into(), &"x0.npy".into()), "{report}");
    assert_eq!(folder.run(check).succeeded().json()["units"], "model", "drawn states are the model's");

    // Small states, in a field of their own: x' = -x with every number exact, and the same of a component each.
    write_linear(&folder.path("l.safetensors"), -1.0);
    let linear = |method: &str, adjoint: &str, lines: &str| {
        folder.file("run.toml", &solving(method, adjoint, lines).replace("[5, 3]", "[]"));
    };
    let check = "check --config run.toml --weights l.safetensors --x0 s.npy";
    write_npy_wide(folder.path("s.npy"), array![[1e-7, 1e3], [-3e-7, 2e3]].view()).unwrap();
    linear("rk4", "stored", "");
    let report = folder.run(&format!("{check} --json")).succeeded().json();
    for line in report["checks"].as_array().unwrap() {
        assert!(line["ok"] == true, "{line}");
    }
    let text = folder.run(check).succeeded().stdout;
    assert!(text.contains("of each component"), "it says by what errors are measured: {text}");
    // Four steps forth by 0.9 and back by 1.1 lose 0.99^4 of any state, which of 1e-5 is less than the tolerance by itself.
    write_npy_wide(folder.path("s.npy"), array![[1e-5, -2e-5]].view()).unwrap();
    linear("euler", "backsolve", "");
    let ran = folder.run(&format!("{check} --json")).failed(1, &["backsolve: reconstruction error"]);
    let report = ran.json();
    let lines = report["checks"].as_array().unwrap();
    let drift = lines.iter().find(|line| line["check"] == "backsolve: reconstruction error").unwrap();
    assert!((drift["value"].as_f64().unwrap() - (1.0 - 0.99_f64.powi(4))).abs() < 1e-4, "{drift}");
    // A resolution of 2^-22 has nothing of 1e-7, though states of 1 that were drawn would pass.
    linear("strang", "exact", "fraction_bits = 22");
    folder.run("check --config run.toml --weights l.safetensors").succeeded();
    write_npy_wide(folder.path("s.npy"), array![[1e-7, -2e-7]].view()).unwrap();
    let ran = folder.run(check);
    assert!(matches!(ran.code, Some(1 | 2)), "states that are lost must not pass: {ran:?}");

    folder.run(&format!("{check} --batch 4")).failed(2, &["--x0", "--batch"]);
    folder.run("check --config run.toml --units data").failed(2, &["--x0"]);
    folder.run("check --config run.toml --batch 18446744073709551615").failed(2, &["--batch", "≤ 1048576"]);
    write_npy_wide(folder.path("s.npy"), array![[1.0, 2.0, 3.0]].view()).unwrap();
    folder.run(check).failed(2, &["s.npy", "[1, 3]", "[batch, 2]"]);
}
