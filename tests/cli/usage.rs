//! Mistakes: exit code 2, one sentence, nothing on standard output, nothing written.

use super::*;

const SOLVE: &str = "solve --config run.toml --weights w.safetensors --x0 x0.npy --out x.npy";
const GRADIENT: &str = "gradient --config run.toml --weights w.safetensors --x0 x0.npy --out g.safetensors";

#[test]
fn mistakes_are_told_in_one_sentence() {
    let folder = Folder::new();
    folder.file("typo.toml", &EULER.replace("euler", "eule"));
    folder.file("timeless.toml", "[field]\nstate = 2\nhidden = [5, 3]\n[solve]\nsteps = 4\n");
    folder.file("other.toml", &EULER.replace("[5, 3]", "[6, 3]"));
    folder.file("text.npy", "no array");
    std::fs::create_dir(folder.path("results")).unwrap();
    let before = folder.entries();
    let gradient = |rest: &str| format!("{GRADIENT} {rest}");
    let cases: [(String, &[&str]); 22] = [
        (String::new(), &["subcommand"]),
        ("slove".into(), &["slove", "solve"]),
        ("solve --config run.toml".into(), &["--weights", "--x0", "--out"]),
        (format!("{SOLVE} --colour"), &["--colour"]),
        (SOLVE.replace("run.toml", "none.toml"), &["cannot read none.toml"]),
        (SOLVE.replace("run.toml", "typo.toml"), &["typo.toml", "line 5", "eule", "rk4_38"]),
        (SOLVE.replace("run.toml", "timeless.toml"), &["solve.t1"]),
        (SOLVE.replace("run.toml", "other.toml"), &["net.0.weight", "[5, 2]", "2-6-3-2"]),
        (SOLVE.replace("w.safetensors", "none.safetensors"), &["cannot read none.safetensors"]),
        (SOLVE.replace("w.safetensors", "text.npy"), &["text.npy", "safetensors"]),
        (SOLVE.replace("x0.npy", "none.npy"), &["cannot read none.npy"]),
        (SOLVE.replace("x0.npy", "text.npy"), &["text.npy", "npy"]),
        (SOLVE.replace("x0.npy", "y.npy"), &["y.npy", "[1, 7, 2]"]),
        (SOLVE.replace("x.npy", "no/such/x.npy"), &["no/such/x.npy", "cannot be written"]),
        (SOLVE.replace("x.npy", "results"), &["results", "cannot be written"]),
        ("solve --config run.toml --plan --batch 0".into(), &["batch", "0"]),
        (gradient(""), &["--targets"]),
        (gradient("--targets y.npy --cotangents y.npy"), &["--targets", "--cotangents"]),
        (gradient("--targets x0.npy"), &["x0.npy", "[7, 2]"]),
        ("check --config run.toml --batch 0".into(), &["--batch", "≥ 1"]),
        ("bench --method rk5".into(), &["rk5", "tsit5"]),
        ("bench --hidden 5,x".into(), &["--hidden", "'x'"]),
    ];
    for (arguments, words) in cases {
        for json in ["", " --json"] {
            let ran = folder.run(&format!("{arguments}{json}")).failed(2, words);
            assert!(ran.stdout.is_empty(), "`{}` should print nothing: {}", ran.arguments, ran.stdout);
            assert_eq!(ran.stderr.len(), 1, "`{}` should say one thing: {:?}", ran.arguments, ran.stderr);
        }
    }
    assert_eq!(folder.entries(), before, "nothing is written");
}

#[test]
fn arrays_that_do_not_fit_are_refused() {
    let folder = Folder::new();
    let before = folder.entries();
    costate::io::write_npy(folder.path("x0.npy"), ndarray::Array2::<f32>::zeros((7, 3)).view()).unwrap();
    folder.run(SOLVE).failed(2, &["x0.npy", "[7, 3]", "[batch, 2]"]);
    costate::io::write_npy(folder.path("x0.npy"), ndarray::Array2::<f32>::zeros((6, 2)).view()).unwrap();
    folder.run(&format!("{GRADIENT} --targets y.npy")).failed(2, &["y.npy", "[1, 7, 2]", "[1, 6, 2]"]);
    assert_eq!(folder.entries(), before, "nothing is written");
}

#[test]
fn help_helps() {
    let folder = Folder::new();
    let whole = folder.run("--help").succeeded().stdout;
    for subcommand in ["solve", "gradient", "train", "check", "bench", "adapters"] {
        assert!(whole.contains(subcommand), "{subcommand} should be in the help");
        let help = folder.run(&format!("{subcommand} --help")).succeeded().stdout;
        for word in ["Example", &format!("costate {subcommand}"), "--json", "--adapter", "--verbose"] {
            assert!(help.contains(word), "'{word}' should be in the help of {subcommand}");
        }
    }
    let train = folder.run("train --help").succeeded().stdout;
    for key in ["hidden", "save_at", "reconstruction_tolerance", "window", "learning_rate", "plot_components"] {
        assert!(train.contains(key), "the key '{key}' should be in the help of train");
    }
    assert!(folder.run("--version").succeeded().stdout.starts_with("costate "), "the version is told");
}
