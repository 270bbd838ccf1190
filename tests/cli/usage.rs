//! Mistakes: exit code 2, one sentence, nothing on standard output, nothing written.

use costate::{Adjoint, Method};

use super::*;

const SOLVE: &str = "solve --config run.toml --weights w.safetensors --x0 x0.npy --out x.npy";
const GRADIENT: &str = "gradient --config run.toml --weights w.safetensors --x0 x0.npy --out g.safetensors";

#[test]
fn mistakes_are_told_in_one_sentence() {
    let folder = Folder::new();
    folder.file("typo.toml", &EULER.replace("euler", "eule"));
    folder.file("timeless.toml", "[field]\nstate = 2\nhidden = [5, 3]\n[solve]\nsteps = 4\n");
    folder.file("other.toml", &EULER.replace("[5, 3]", "[6, 3]"));
    folder.file("three.toml", &format!("{EULER}\n[kernels]\ntrajectories = 3\n"));
    folder.file("large.toml", &format!("{EULER}\n[kernels]\nworkgroup = 65536\n"));
    folder.file("family.toml", &format!("{EULER}\n[kernels]\nfamily = \"tiles\"\n"));
    folder.file("text.npy", "no array");
    std::fs::create_dir(folder.path("results")).unwrap();
    let before = folder.entries();
    let gradient = |rest: &str| format!("{GRADIENT} {rest}");
    let cases: [(String, &[&str]); 25] = [
        (String::new(), &["subcommand"]),
        ("slove".into(), &["slove", "solve"]),
        ("solve --config run.toml".into(), &["--weights", "--x0", "--out"]),
        (format!("{SOLVE} --colour"), &["--colour"]),
        (SOLVE.replace("run.toml", "none.toml"), &["cannot read none.toml"]),
        (SOLVE.replace("run.toml", "typo.toml"), &["typo.toml", "line 5", "eule", "rk4_38"]),
        (SOLVE.replace("run.toml", "timeless.toml"), &["solve.t1"]),
        (SOLVE.replace("run.toml", "other.toml"), &["net.0.weight", "[5, 2]", "2-6-3-2"]),
        (SOLVE.replace("run.toml", "three.toml"), &["trajectories per invocation", "3", "1, 2, 4 or 8"]),
        (SOLVE.replace("run.toml", "large.toml"), &["workgroup size", "65536 invocations", "at most"]),
        (SOLVE.replace("run.toml", "family.toml"), &["family.toml", "tiles", "lane"]),
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
fn descriptions_that_cannot_be_are_refused() {
    let folder = Folder::new();
    let before = folder.entries();
    for (method, adjoint, lines, words) in [
        ("rk4", "exact", "", ["solve.adjoint", "exact with the method rk4", "made of kicks"]),
        ("alf", "exact", "", ["solve.adjoint", "exact with the method alf", "use stored"]),
        ("mccallum_foster:rk4:1.5", "stored", "", ["method", "1.5", "0 < λ ≤ 1"]),
        ("strang", "exact", "fraction_bits = 40", ["solve.fraction_bits", "40", "use 16 to 29"]),
        ("rk4", "stored", "log_words = 2", ["solve.log_words", "2 with the method rk4", "made of kicks"]),
        ("rk4", "backsolve", "anchors = 5", ["solve.anchors", "5 for 4 steps", "use 1 to 4"]),
        ("rk4", "stored", "memory = \"much\"", ["memory", "\"much\"", "512 MiB"]),
        ("strang", "stored", "state_words = 2", ["solve.state_words", "2 with the stored", "exact adjoint"]),
    ] {
        folder.file("run.toml", &solving(method, adjoint, lines));
        for command in [SOLVE.to_owned(), format!("{GRADIENT} --targets y.npy"), "check --config run.toml".to_owned()] {
            let ran = folder.run(&format!("{command} --json")).failed(2, &words);
            assert!(ran.stdout.is_empty(), "`{command}` should print nothing: {}", ran.stdout);
            assert_eq!(ran.stderr.len(), 1, "`{command}` should say one thing: {:?}", ran.stderr);
        }
    }
    // A range that the data do not fit is only known with the data.
    folder.file("run.toml", &solving("strang", "exact", "fraction_bits = 29"));
    let ten = ndarray::Array2::from_elem((7, 2), 10.0_f32);
    let words = ["solve.fraction_bits", "±4 with 29", "data up to 10", "leave fraction bits out"];
    costate::io::write_npy(folder.path("x0.npy"), ten.view()).unwrap();
    folder.run(&format!("{GRADIENT} --targets y.npy")).failed(2, &words);
    folder.run(SOLVE).failed(2, &words);
    assert_eq!(folder.entries(), before, "nothing is written");
    // Points of their own hold any data.
    folder.file("run.toml", &solving("strang", "exact", ""));
    costate::io::write_npy(folder.path("x0.npy"), ten.mapv(|x| 1e5 * x).view()).unwrap();
    folder.run(SOLVE).succeeded();
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
    for key in
        ["hidden", "save_at", "reconstruction_tolerance", "window", "learning_rate", "plot_components", "on_drift"]
    {
        assert!(train.contains(key), "the key '{key}' should be in the help of train");
    }
    let methods = Method::RUNGE_KUTTA.into_iter().chain(Method::PAIR).map(Method::name);
    for name in methods.chain(Adjoint::ALL.map(|a| a.name().to_owned())) {
        assert!(train.split_whitespace().any(|word| word == name), "'{name}' should be in the help of train");
    }
    assert!(folder.run("--version").succeeded().stdout.starts_with("costate "), "the version is told");
}

/// Lines that are wider than the terminal are broken anywhere, and columns with them.
#[test]
fn help_keeps_its_columns() {
    let folder = Folder::new();
    let keys = |columns: usize| {
        let help = folder.run_with("train --help", &[("COLUMNS", &columns.to_string())]).succeeded().stdout;
        help.split_once("Keys of a run description").unwrap().1.to_owned()
    };
    for subcommand in ["", "solve", "gradient", "train", "check", "bench", "adapters"] {
        for (columns, flag) in [80, 100].into_iter().flat_map(|columns| [(columns, "-h"), (columns, "--help")]) {
            let arguments = format!("{subcommand} {flag}");
            let help = folder.run_with(&arguments, &[("COLUMNS", &columns.to_string())]).succeeded().stdout;
            for line in help.lines() {
                let width = line.chars().count();
                assert!(width <= columns, "`{arguments}`, {columns} columns: {width} in '{line}'");
            }
        }
    }
    assert_eq!(keys(80), keys(100), "they fit either");
    // A key, its meaning, and where that goes on, each in its column.
    const MEANING: usize = 28;
    let mut found = 0;
    for line in keys(80).lines().skip(1).take_while(|line| !line.starts_with("Methods")).filter(|l| !l.is_empty()) {
        let gap: String = line.chars().skip(MEANING - 2).take(2).collect();
        let starts = line.chars().nth(MEANING).is_some_and(|c| c != ' ');
        let section = line.starts_with('[') && line.ends_with(']');
        assert!(section || (gap == "  " && starts), "'{line}' should have its meaning in column {MEANING}");
        found += usize::from(line.starts_with("  ") && !line.starts_with("   "));
    }
    assert!(found > 40, "{found} keys are not all");
}

#[test]
fn refusals_name_the_file_of_the_description() {
    let folder = Folder::new();
    let train = "[data]\nfile = \"spiral.csv\"\nwindow = 9\n[train]\niterations = 3\nlearning_rate = 0.1\n";
    folder.file("spiral.csv", "t,x,y\n0,1,2\n1,2,3\n2,3,4\n");
    let x0 = "--weights w.safetensors --x0 x0.npy --out x.npy";
    let kicks = solving("strang", "exact", "");
    for (name, text, command, words) in [
        // Found when the data are read, when a device is there, when the data are seen.
        ("a.toml", format!("{EULER}{train}"), "train a.toml", ["data.window in a.toml", "2 to 3"]),
        ("b.toml", EULER.to_owned(), "train b.toml", ["section [data] in b.toml", "missing"]),
        (
            "c.toml",
            format!("{EULER}[kernels]\ntrajectories = 3\n"),
            &format!("solve --config c.toml {x0}"),
            ["kernels.trajectories in c.toml", "3"],
        ),
        (
            "d.toml",
            format!("{EULER}memory = 99\n"),
            &format!("solve --config d.toml {x0}"),
            ["solve.memory in d.toml", "99 bytes"],
        ),
        (
            "e.toml",
            format!("{EULER}[kernels]\nworkgroup = 65536\n"),
            &format!("solve --config e.toml {x0}"),
            ["kernels.workgroup in e.toml", "65536"],
        ),
        (
            "f.toml",
            kicks.replace("t1 = 0.4", "t1 = nan"),
            &format!("solve --config f.toml {x0}"),
            ["solve.t1 in f.toml", "NaN"],
        ),
        (
            "g.toml",
            EULER.replace("t1 = 0.4\n", ""),
            &format!("solve --config g.toml {x0}"),
            ["solve.t1 in g.toml", "missing"],
        ),
    ] {
        folder.file(name, &text);
        let ran = folder.run(command).failed(2, &words);
        assert_eq!(ran.stderr.last().unwrap().matches(name).count(), 1, "once is enough: {:?}", ran.stderr);
    }
}

#[test]
fn pickles_and_odd_weights_are_told_apart() {
    let folder = Folder::new();
    let with = |weights: &str| folder.run(&SOLVE.replace("w.safetensors", weights));
    std::fs::write(folder.path("net.pt"), b"PK\x03\x04\0\0\x08\x08\0\0\0\0net/data.pkl").unwrap();
    with("net.pt").failed(2, &["net.pt", "pickle", "torch.load(\"net.pt\"", "weights_only=True", "net.safetensors"]);
    folder.file("bare.toml", &EULER.replace("[solve]", "bias = false\n[solve]"));
    let bare = SOLVE.replace("run.toml", "bare.toml");
    folder.run(&bare).failed(2, &["net.0.bias", "without biases", "remove [field] bias = false"]);
    let unknown = EULER.replace("[solve]", "activation = \"PReLU\"\n[solve]");
    folder.file("unknown.toml", &unknown);
    let unknown = SOLVE.replace("run.toml", "unknown.toml");
    folder.run(&unknown).failed(2, &["unknown.toml", "line 4", "PReLU", "sigmoid, leaky_relu"]);
}

/// Under a limit on its address space the binary says what it needs, instead of being aborted half-way.
#[test]
#[cfg(target_os = "linux")]
fn memory_that_is_not_there_is_told_before_the_run() {
    let folder = Folder::new();
    let saves: Vec<String> = (1..=2000).map(|i| format!("{}", f64::from(i) * 2e-4)).collect();
    folder.file("long.toml", &format!("{EULER}save_at = [{}]\n", saves.join(", ")));
    costate::io::write_npy(folder.path("many.npy"), ndarray::Array2::<f32>::zeros((100_000, 2)).view()).unwrap();
    let before = folder.entries();
    // Room for the driver and its threads, not for 1.6 GB of states on a software device and once more for the caller.
    let limited = |arguments: &str| {
        let script = format!("ulimit -v 2500000; exec \"$0\" {arguments}");
        Command::new("sh")
            .args(["-c", &script, env!("CARGO_BIN_EXE_costate")])
            .current_dir(folder.0.path())
            .env("MESA_SHADER_CACHE_DIR", user_cache())
            .output()
            .unwrap()
    };
    let many = limited(&SOLVE.replace("run.toml", "long.toml").replace("x0.npy", "many.npy"));
    let stderr = String::from_utf8(many.stderr).unwrap();
    assert_eq!(many.status.code(), Some(2), "{stderr}");
    for word in ["error: a batch of 100000 trajectories at 2000 save times", "host memory", "ulimit -v"] {
        assert!(stderr.contains(word), "'{word}' should be in '{stderr}'");
    }
    assert_eq!(folder.entries(), before, "nothing is written");
    let few = limited(SOLVE);
    assert_eq!(few.status.code(), Some(0), "what fits is run: {}", String::from_utf8(few.stderr).unwrap());
}
