//! Does fixed point come back to its own bits, whatever the field, the batch, the length and the cut into dispatches?
//!
//! The library itself compares every word after every reverse pass and returns an error if one differs; these tests look
//! at what it says. Walks of 100 000 kicks are in tests/long_walks.rs. Blind to whether the numbers are right:
//! tests/contracting.rs compares them with f64.

mod common;

use common::{contracting, exact, field, gpu, mild, parameters, random2, random3, words_differing};
use costate::{
    Activation, Adjoint, AdjointOptions, Caps, Error, FractionBits, Method, NeuralOde, Parameters, TimeGrid, Warning,
};
use ndarray::{Array2, Array3};

/// Every method that has the adjoint, both widths of state, with and without contraction, backward in time too.
#[test]
fn every_method_comes_back() {
    let foster = Method::mccallum_foster(Method::Rk4, 1.0).expect("a valid method");
    let methods = Method::PAIR.into_iter().chain([foster]).filter(|m| m.adjoints().contains(&Adjoint::Exact));
    let theta = parameters(&field(3, &[9, 5], Activation::Gelu, true), 5);
    let (x0, targets) = (random2(70, 3, 6), random3(3, 70, 3, 7));
    let mut seen = 0;
    for method in methods {
        for (t0, t1) in [(0.0, 2.0), (2.0, 0.0)] {
            let grid = TimeGrid::with_steps(t0, &[t0, 1.5, t1], t1, 21).expect("a valid grid");
            for (two_words, log_words) in [(false, None), (true, None), (false, Some(0)), (true, Some(1))] {
                let options = AdjointOptions { two_words, log_words, ..AdjointOptions::default() };
                let gradient = exact(method, options, &theta, &grid, &x0, &targets).expect("a gradient");
                let case = format!("{method} from {t0} to {t1}, two words {two_words}, log {log_words:?}");
                assert_eq!(words_differing(&gradient), Some(0), "{case}");
                seen += 1;
            }
        }
    }
    assert_eq!(seen, 6 * 8, "cases");
}

/// The kernel that walks back and pulls the adjoint back in one does as two kernels do, for one evaluation less.
#[test]
fn one_kernel_or_two_give_the_same_gradient() {
    let theta = parameters(&field(3, &[9, 5], Activation::Gelu, true), 5);
    let (x0, targets) = (random2(70, 3, 6), random3(2, 70, 3, 7));
    let grid = TimeGrid::with_steps(0.0, &[1.5, 3.0], 3.0, 50).expect("a valid grid");
    for two_words in [false, true] {
        let [one, two] = [false, true].map(|separate| {
            let options = AdjointOptions { separate, two_words, ..AdjointOptions::default() };
            exact(Method::BlanesMoan4, options, &theta, &grid, &x0, &targets).expect("a gradient")
        });
        assert_eq!([&one, &two].map(words_differing), [Some(0); 2], "words that differ");
        let evaluations = [&one, &two].map(|g| g.report.field_evaluations);
        assert_eq!(evaluations[1].reverse, 2 * evaluations[1].forward, "two kernels evaluate twice");
        // Whether the self-test lets the one kernel be used is up to the driver.
        assert!(evaluations[0].reverse <= evaluations[1].reverse, "one kernel evaluates no more: {evaluations:?}");
        println!("two words {two_words}: {} evaluations instead of {}", evaluations[0].reverse, evaluations[1].reverse);
        let off = common::relative(&one.theta, two.theta.iter().map(|g| f64::from(*g)).collect::<Vec<_>>().iter());
        assert!(off < 1e-6, "dJ/dθ is off by {off:e}");
        assert_eq!(one.loss, two.loss, "the loss");
    }
}

/// The cut into dispatches changes no bit, and software adapters, which silently leave all loops of an invocation after
/// 65 535 trips, get dispatches that stay below.
#[test]
fn cutting_a_solve_anywhere_changes_no_bit() {
    let theta = contracting(16, 1.0, 8);
    let grid = TimeGrid::with_steps(0.0, &[3.1, 20.0], 20.0, 997).expect("a valid grid");
    let x0 = random2(130, 2, 9);
    let solve = |caps: &Caps| {
        let gpu = gpu().restricted(caps);
        let ode = NeuralOde::builder(theta.field().clone(), grid.clone())
            .method(Method::BlanesMoan4)
            .adjoint(Adjoint::Exact)
            .build(&gpu)
            .expect("a small problem");
        let solution = ode.solve(&theta, x0.view()).expect("a solve");
        let gradient = ode.loss_and_gradient(&theta, x0.view(), solution.states.view()).expect("a gradient");
        assert_eq!(words_differing(&gradient), Some(0), "words that differ with {} trips", caps.max_trips);
        let bits: Vec<u32> = solution.states.iter().map(|v| v.to_bits()).collect();
        (bits, solution.report.dispatches)
    };
    let (whole, few) = solve(gpu().caps());
    let mut most = few;
    for max_trips in [2000, 3001, 20_000] {
        let (bits, dispatches) = solve(&Caps { max_trips, ..gpu().caps().clone() });
        assert_eq!(bits, whole, "states with at most {max_trips} trips per dispatch");
        most = most.max(dispatches);
    }
    assert!(most > 3 * few, "the cuts were no cuts: {most} dispatches instead of {few}");
    let tiles = Caps { max_workgroups: 6, scratch_bytes: 1 << 14, ..gpu().caps().clone() };
    assert_eq!(solve(&tiles).0, whole, "states in tiles of one workgroup");
}

/// Without contraction the copies part on a contracting field until the state leaves its range. Addition wraps, so even
/// then every word comes back, and no range would be wide enough: the trajectories are named, and none is left.
#[test]
fn copies_that_leave_every_range_come_back_too() {
    let theta = contracting(8, 4.0, 10);
    let grid = TimeGrid::uniform(0.0, 20.0, 1000).expect("a valid grid");
    let (x0, targets) = (random2(65, 2, 11), random3(1, 65, 2, 12));
    // In a kernel of its own, since the fused one does not bring failed trajectories back.
    let options = AdjointOptions { log_words: Some(0), separate: true, ..AdjointOptions::default() };
    // A difference in a single word would be `NotReversed`.
    for options in [options, AdjointOptions { separate: false, ..options }] {
        let error = exact(Method::Strang, options, &theta, &grid, &x0, &targets).expect_err("copies that part");
        assert!(matches!(error, Error::NoneLeft { batch: 65, .. }), "{error}");
    }
    let contracted = exact(Method::Strang, AdjointOptions::default(), &theta, &grid, &x0, &targets);
    assert_eq!(words_differing(&contracted.expect("a gradient")), Some(0), "with a log");
}

/// A trajectory that grows is walked again with a wider range, alone; one that grows by e^60 is no matter for one word, and
/// done in floats: the others keep their points.
#[test]
fn a_trajectory_that_leaves_its_range_is_walked_again() {
    // dx/dt = rate x: 1 leaves the range that its beginning asks for, 0 stays where it is.
    let mlp = field(1, &[], Activation::Tanh, false);
    let grid = TimeGrid::uniform(0.0, 2.0, 4000).expect("a valid grid");
    let x0 = ndarray::array![[0.0], [1.0], [0.0]];
    let targets = Array3::ones((1, 3, 1));
    let run = |rate: f32| {
        let theta = Parameters::from_flat(&mlp, vec![rate, 0.0]).expect("finite parameters");
        let builder = NeuralOde::builder(mlp.clone(), grid.clone()).method(Method::Strang).adjoint(Adjoint::Auto);
        let ode = builder.build(gpu()).expect("a small problem");
        let solution = ode.solve(&theta, x0.view()).expect("a solve");
        (solution, ode.loss_and_gradient(&theta, x0.view(), targets.view()).expect("a gradient"))
    };
    let (solution, gradient) = run(4.0);
    for report in [&solution.report, &gradient.report] {
        assert_eq!(report.warnings, [Warning::PointsMoved { widened: 1, refined: 0 }], "what the report says");
        assert_eq!(report.ok(), 3, "{:?}", report.status);
    }
    // A range 2^8 wider holds 1 to 2^-18: hundreds of roundings by half of that, while x is of this size, grow with it.
    let gate = 500.0_f64.sqrt() * (-19.0_f64).exp2();
    approx::assert_relative_eq!(f64::from(solution.states[[0, 1, 0]]), 8.0_f64.exp(), max_relative = gate);
    let (solution, gradient) = run(30.0);
    assert!(
        matches!(solution.report.warnings[..], [Warning::Redone { trajectories: 1, log_words: None, .. }, ..]),
        "{:?}",
        solution.report.warnings
    );
    approx::assert_relative_eq!(f64::from(solution.states[[0, 1, 0]]), 60.0_f64.exp(), max_relative = 2e-3);
    // Its squared distance from a target is no f32.
    assert_eq!(gradient.report.status[1], costate::TrajectoryStatus::LossOverflow, "{:?}", gradient.report.status);
    assert_eq!((gradient.loss, gradient.report.ok()), (Some(1.0), 2), "the loss of those that stay at 0");
}

/// A range that was given is widened where a state leaves it, and the report says so.
#[test]
fn a_range_that_was_given_too_small_is_widened() {
    // dx/dt = 3 takes x from 1 to 61, which does not fit ±32.
    let mlp = field(1, &[], Activation::Tanh, false);
    let theta = Parameters::from_flat(&mlp, vec![0.0, 3.0]).expect("finite parameters");
    let grid = TimeGrid::uniform(0.0, 20.0, 100).expect("a valid grid");
    let (x0, targets) = (Array2::ones((3, 1)), Array3::zeros((1, 3, 1)));
    let given = AdjointOptions { fraction_bits: Some(26), ..AdjointOptions::default() };
    let gradient = exact(Method::Strang, given, &theta, &grid, &x0, &targets).expect("a gradient");
    assert_eq!(gradient.report.warnings, [Warning::PointsMoved { widened: 3, refined: 0 }], "what the report says");
    assert_eq!(gradient.report.fraction_bits, Some(FractionBits { min: 18, max: 18 }), "the range that was taken");
    approx::assert_relative_eq!(gradient.loss.unwrap_or_default(), 61.0 * 61.0, max_relative = 1e-5);
    // Targets say nothing about the states.
    let far = Array3::from_elem((1, 3, 1), 1e6);
    let alike = exact(Method::Strang, AdjointOptions::default(), &theta, &grid, &x0, &far).expect("a gradient").report;
    let near =
        exact(Method::Strang, AdjointOptions::default(), &theta, &grid, &x0, &targets).expect("a gradient").report;
    assert_eq!(alike.fraction_bits, near.fraction_bits, "points with far and near targets");
}

/// A component that starts from 0 in a fast decay is far below what its first slope promises: its point is moved.
#[test]
fn a_component_below_its_promise_gets_a_finer_point() {
    // x' = −x, y' = 100 (x − y): |t1 − t0| |f| is 200 for y, which stays below 1.
    let mlp = field(2, &[], Activation::Tanh, false);
    let theta = Parameters::from_flat(&mlp, vec![-1.0, 0.0, 100.0, -100.0, 0.0, 0.0]).expect("finite parameters");
    let grid = TimeGrid::uniform(0.0, 2.0, 2000).expect("a valid grid");
    let options = AdjointOptions { log_words: Some(64), ..AdjointOptions::default() };
    let builder = NeuralOde::builder(mlp, grid).method(Method::Strang).adjoint(Adjoint::Exact).adjoint_options(options);
    let solution = builder.build(gpu()).expect("a small problem").solve(&theta, ndarray::array![[1.0, 0.0]].view());
    let solution = solution.expect("a solve");
    assert_eq!(solution.report.warnings, [Warning::PointsMoved { widened: 0, refined: 1 }], "what the report says");
    let exact = (-2.0_f64).exp() / 0.99;
    approx::assert_relative_eq!(f64::from(solution.states[[0, 0, 1]]), exact, max_relative = 1e-5);
}

#[test]
fn bad_details_are_refused_with_what_would_do() {
    let theta = mild(4, 13);
    let grid = TimeGrid::uniform(0.0, 1.0, 10).expect("a valid grid");
    let build = |method, adjoint, options| {
        let builder = NeuralOde::builder(theta.field().clone(), grid.clone()).method(method).adjoint(adjoint);
        builder.adjoint_options(options).build(gpu()).expect_err("a bad detail").to_string()
    };
    let none = AdjointOptions::default();
    let bits = |bits| AdjointOptions { fraction_bits: Some(bits), ..none };
    let words = |words| AdjointOptions { log_words: Some(words), ..none };
    for (error, part) in [
        (build(Method::Rk4, Adjoint::Exact, none), "stored, checkpointed, backsolve"),
        (build(Method::Rk4, Adjoint::Reversible, none), "blanes_moan4"),
        (build(Method::Strang, Adjoint::Backsolve, none), "stored, checkpointed, reversible, exact"),
        (build(Method::Alf, Adjoint::Exact, none), "stored, checkpointed, reversible"),
        (build(Method::Strang, Adjoint::Exact, bits(30)), "16 to 29"),
        (build(Method::Strang, Adjoint::Stored, bits(26)), "fraction bits"),
        (build(Method::Rk4, Adjoint::Stored, words(4)), "log words"),
        (build(Method::Strang, Adjoint::Reversible, words(4)), "use the exact adjoint"),
        (build(Method::Strang, Adjoint::Exact, words(5000)), "1024"),
        (build(Method::Strang, Adjoint::Exact, AdjointOptions { anchors: Some(3), ..none }), "anchors"),
        (build(Method::Rk4, Adjoint::Checkpointed, AdjointOptions { anchors: Some(11), ..none }), "1 to 10"),
        (build(Method::Rk4, Adjoint::Checkpointed, AdjointOptions { anchors: Some(0), ..none }), "1 to 10"),
    ] {
        assert!(error.contains(part), "'{part}' is not in: {error}");
    }
    let x0 = Array2::from_elem((2, 2), 40.0);
    let targets = Array3::zeros((1, 2, 2));
    let error = exact(Method::Strang, bits(27), &theta, &grid, &x0, &targets).expect_err("a small range");
    assert!(error.to_string().contains("leave fraction bits out"), "{error}");
    exact(Method::Strang, none, &theta, &grid, &(x0 * 1e4), &targets).expect("a range of their own for huge data");
}

/// Whatever log the problem has, the self-test of the fused kernel finds the same: it has a log of its own.
#[test]
fn the_self_test_does_not_depend_on_the_log_of_the_problem() {
    let theta = mild(5, 31);
    let grid = TimeGrid::uniform(0.0, 1.0, 64).expect("a valid grid");
    let (x0, targets) = (random2(5, 2, 3), random3(1, 5, 2, 4));
    let mut found = Vec::new();
    for log_words in [1, 2, 3, 4, 8] {
        // A device of its own, which has tested nothing.
        let gpu = costate::Gpu::new(&costate::AdapterRequest::default()).expect("an adapter");
        let options = AdjointOptions { log_words: Some(log_words), ..AdjointOptions::default() };
        let builder = NeuralOde::builder(theta.field().clone(), grid.clone()).method(Method::Strang);
        let ode = builder.adjoint(Adjoint::Exact).adjoint_options(options).build(&gpu).expect("a small problem");
        let report = ode.loss_and_gradient(&theta, x0.view(), targets.view()).expect("a gradient").report;
        found.push(report.field_evaluations.reverse > report.field_evaluations.forward);
    }
    assert!(found.windows(2).all(|w| w[0] == w[1]), "separate kernels, by the words of the log: {found:?}");
}
