//! `[loss]`, `[cost]`, `[gradient]` and dense save times.

use costate::{Loss, Wrt};

use super::*;

fn with(section: &str) -> String {
    format!("{FIELD}{SOLVE}{section}\n")
}

#[test]
fn losses_are_read() {
    let loss = |lines: &str| {
        let config = parse(&with(&format!("[loss]\n{lines}"))).unwrap();
        (config.loss.loss().unwrap(), config.log_scale())
    };
    assert_eq!(loss("kind = \"mae\""), (Loss::Mae, vec![]));
    assert_eq!(loss("kind = \"huber\""), (Loss::Huber { delta: 1.0 }, vec![]), "PyTorch's default");
    assert_eq!(loss("kind = \"huber\"\ndelta = 0.25"), (Loss::Huber { delta: 0.25 }, vec![]));
    assert_eq!(loss("kind = \"gaussian_nll\""), (Loss::GaussianNll, vec![0.0; 2]));
    assert_eq!(loss("kind = \"gaussian_nll\"\nlog_scale = -1"), (Loss::GaussianNll, vec![-1.0; 2]), "one for all");
    assert_eq!(loss("kind = \"gaussian_nll\"\nlog_scale = [-1, 0.5]"), (Loss::GaussianNll, vec![-1.0, 0.5]));
    let learnt = "[loss]\nkind = \"gaussian_nll\"\nlearn_scale = true\n[train]\niterations = 1\nlearning_rate = 0.1";
    parse(&with(learnt)).unwrap();
    assert_eq!(parse(&with("")).unwrap().loss.loss().unwrap(), Loss::Mse, "the default");
}

#[test]
fn losses_without_sense_are_refused() {
    for (lines, words) in [
        ("delta = 1.0", &["loss.delta", "nothing to mse", "huber"][..]),
        ("kind = \"huber\"\ndelta = 0", &["loss.delta", "> 0"]),
        ("kind = \"huber\"\ndelta = nan", &["loss.delta", "NaN"]),
        ("kind = \"huber\"\ndelta = 1e-60", &["delta", "> 0"]),
        ("kind = \"mae\"\nlog_scale = 0.1", &["loss.log_scale", "nothing to mae", "gaussian_nll"]),
        ("kind = \"gaussian_nll\"\nlog_scale = [0.1, 0.2, 0.3]", &["loss.log_scale", "3 numbers for 2"]),
        ("kind = \"gaussian_nll\"\nlog_scale = []", &["loss.log_scale", "0 numbers for 2"]),
        ("kind = \"gaussian_nll\"\nlog_scale = inf", &["loss.log_scale", "inf", "finite"]),
        ("kind = \"gaussian_nll\"\nlog_scale = \"small\"", &["line 9, column 13, log_scale", "small"]),
        ("learn_scale = true", &["loss.learn_scale", "nothing to mse"]),
        ("kind = \"gaussian_nll\"\nlearn_scale = true", &["loss.learn_scale", "[train]"]),
        ("sigma = 1", &["sigma", "log_scale"]),
    ] {
        assert_refused(&with(&format!("[loss]\n{lines}")), words);
    }
}

#[test]
fn costs_are_read() {
    let text = with("[cost]\nkinetic = 0.5\njacobian = 0.25\nseed = 7\nparameters = 1e-3");
    let cost = parse(&text).unwrap().running_cost().unwrap().unwrap();
    assert_eq!((cost.kinetic_weight(), cost.jacobian_weight(), cost.seed()), (0.5, 0.25, 7));
    assert_eq!((cost.parameters_weight(), cost.reference_term()), (1e-3, None));
    assert_eq!(parse(&with("")).unwrap().running_cost().unwrap(), None, "none unless there is a section");
    let config = parse(&with("[cost]\nreference = { file = \"r/ref.npz\" }")).unwrap();
    let error = config.running_cost().unwrap_err().to_string();
    assert!(error.contains("folder/r/ref.npz"), "paths are relative to the description: {error}");
}

#[test]
fn costs_without_sense_are_refused() {
    for (lines, words) in [
        ("", &["[cost]", "no term", "kinetic"][..]),
        ("kinetic = -0.1", &["cost.kinetic", "-0.1", "≥ 0"]),
        ("parameters = nan", &["cost.parameters", "NaN"]),
        ("reference = { weight = -1, file = \"r.npz\" }", &["cost.reference.weight", "-1"]),
        ("reference = { weight = 1 }", &["line 8", "file"]),
        ("reference = \"r.npz\"", &["line 8, column 13, reference"]),
        ("kinetic = 1.0\nseed = 3", &["cost.seed", "Jacobian"]),
        ("jacobian = 1.0\nseed = -3", &["line 9, column 8, seed", "-3"]),
        ("kinetics = 1.0", &["kinetics", "kinetic"]),
    ] {
        assert_refused(&with(&format!("[cost]\n{lines}")), words);
    }
}

#[test]
fn arguments_of_the_gradient_are_read() {
    let nll = "[loss]\nkind = \"gaussian_nll\"\n";
    let config = parse(&with(&format!("{nll}[gradient]\nwrt = [\"x0\", \"saves\", \"loss\"]"))).unwrap();
    let wanted = Wrt { x0: true, saves: true, loss: true, ..Wrt::nothing() };
    assert_eq!(config.wrt(None).unwrap(), wanted);
    let flag = Wrt { t1: true, ..Wrt::nothing() };
    assert_eq!(config.wrt(Some(flag)).unwrap(), flag, "the command line wins");
    assert_eq!(parse(&with("")).unwrap().wrt(None).unwrap(), Wrt::default());
    for (lines, words) in [
        ("wrt = [\"theta\", \"y\"]", &["line 8, column 7, wrt", "'y'", "targets"][..]),
        ("wrt = []", &["line 8, column 7, wrt", "none named"]),
        ("wrt = \"theta\"", &["line 8, column 7, wrt"]),
        ("wrt = [\"loss\"]", &["gradient.wrt", "mse", "gaussian_nll"]),
    ] {
        assert_refused(&with(&format!("[gradient]\n{lines}")), words);
    }
    let error = parse(&with("")).unwrap().wrt(Some(Wrt { loss: true, ..flag })).unwrap_err().to_string();
    assert!(error.contains("--wrt") && error.contains("mse"), "{error}");
}

#[test]
fn steps_of_a_dense_grid_do_not_stop() {
    let grid = |lines: &str| {
        let text = format!("{FIELD}[solve]\nt1 = 1.0\nsave_at = [0.3, 0.55, 1.0]\n{lines}\n");
        parse(&text).unwrap().grid().unwrap()
    };
    for lines in ["dense = true\nstep = 0.25", "dense = true\nsteps = 4"] {
        let grid = grid(lines);
        assert_eq!((grid.steps(), grid.observations(), grid.is_dense()), (4, 3, true), "{lines}");
        assert_eq!(grid.save_times(), [0.3, 0.55, 1.0]);
    }
    assert_eq!(grid("steps = 4").steps(), 12, "otherwise steps are counted per interval");
    let anchors = "method = \"rk4\"\nadjoint = \"backsolve\"\nanchors = 5\ndense = true\nsteps = 4";
    assert_refused(&format!("{FIELD}[solve]\nt1 = 1.0\n{anchors}\n"), &["solve.anchors", "5 for 4 steps"]);
    assert_refused(&format!("{FIELD}{SOLVE}dense = \"yes\"\n"), &["line 7, column 9, dense"]);
}
