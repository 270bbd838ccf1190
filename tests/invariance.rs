//! Does a trajectory get the same bits, whatever runs beside it, wherever it stands, however the work is cut?
//!
//! States and dJ/dx0 are compared bit for bit, but where a solve starts anew in between; dJ/dθ and the loss are sums over
//! trajectories and steps whose order may follow the cut, so they get 1e-6. The long runs pass the 1024 steps of a schedule
//! window and the 65 535 loop trips after which lavapipe silently leaves a loop. Blind to mistakes that are the same in every
//! arrangement: for those the long run is also held against the f64 twin.

mod common;

use common::{field, gpu, parameters, random2, random3, relative, relative_max, twin_gradient, ways};
use costate::{Activation, Adjoint, Caps, Error, Gpu, Gradient, Method, Mlp, NeuralOde, Parameters, TimeGrid};
use ndarray::{Array2, Array3, Axis, s};

/// Sums of thousands of f32 terms in another order (math.md §11 #11): u √n ≈ 6e-8 · 10 with partial cancellation. Steps one
/// by one stay below it since the sum over dispatches has two levels: with one, 3000 steps moved dJ/dθ by 5e-6.
const SUMS: f64 = 1e-6;

fn mlp() -> Mlp {
    field(3, &[5], Activation::Tanh, false)
}

fn theta() -> Parameters {
    parameters(&mlp(), 1)
}

fn problem(gpu: &Gpu, method: Method, adjoint: Adjoint, grid: &TimeGrid) -> NeuralOde {
    attempt(gpu, method, adjoint, grid).expect("a small problem")
}

fn attempt(gpu: &Gpu, method: Method, adjoint: Adjoint, grid: &TimeGrid) -> costate::Result<NeuralOde> {
    NeuralOde::builder(mlp(), grid.clone()).method(method).adjoint(adjoint).build(gpu)
}

fn grid() -> TimeGrid {
    TimeGrid::from_boundaries(vec![0.0, 0.1, 0.15, 0.3, 0.4], vec![0, 2, 4]).expect("a valid grid")
}

fn close(a: &[f32], b: &[f32]) -> f64 {
    relative(a, b.iter().map(|v| f64::from(*v)).collect::<Vec<_>>().iter())
}

fn bits<'a>(values: impl IntoIterator<Item = &'a f32>) -> Vec<u32> {
    values.into_iter().map(|v| v.to_bits()).collect()
}

#[test]
fn the_same_input_gives_the_same_bits() {
    let (x0, targets) = (random2(200, 3, 1), random3(3, 200, 3, 2));
    for (method, adjoint) in ways(Method::Heun, Method::Strang) {
        let run = |ode: &NeuralOde| {
            let gradient = ode.loss_and_gradient(&theta(), x0.view(), targets.view()).expect("a gradient");
            let solution = ode.solve(&theta(), x0.view()).expect("a solve");
            let loss = gradient.loss.expect("a loss").to_bits();
            (loss, bits(&gradient.theta), bits(&gradient.x0), bits(&solution.states))
        };
        let ode = problem(gpu(), method, adjoint, &grid());
        let first = run(&ode);
        assert!(first == run(&ode), "{method} {adjoint}: a second run in the same buffers differs");
        assert!(
            first == run(&problem(gpu(), method, adjoint, &grid())),
            "{method} {adjoint}: a run in new buffers differs"
        );
        // Another problem in between, in other buffers of the same size and in the same ones.
        let other = random2(200, 3, 9);
        ode.loss_and_gradient(&theta(), other.view(), targets.view()).expect("a gradient");
        assert!(first == run(&ode), "{method} {adjoint}: a run remembers the one before");
    }
}

/// The places are chosen around the edges of vectors, invocations, groups and padding.
#[test]
fn a_trajectory_does_not_feel_the_others() {
    let (x0, cotangents) = (random2(1000, 3, 1), random3(3, 1000, 3, 2));
    for (method, adjoint) in ways(Method::Heun, Method::Strang) {
        let ode = problem(gpu(), method, adjoint, &grid());
        let states = ode.solve(&theta(), x0.view()).expect("a solve").states;
        let gradient = ode.vjp(&theta(), x0.view(), cotangents.view()).expect("a vjp").x0;
        let alone = problem(gpu(), method, adjoint, &grid());
        for b in [0, 1, 7, 8, 31, 32, 63, 64, 65, 500, 998, 999] {
            let one = x0.slice(s![b..=b, ..]);
            let own = alone.solve(&theta(), one).expect("a solve of one").states;
            assert_eq!(bits(&own), bits(states.slice(s![.., b, ..])), "{method} {adjoint}: states of trajectory {b}");
            let own = alone.vjp(&theta(), one, cotangents.slice(s![.., b..=b, ..])).expect("a vjp of one").x0;
            assert_eq!(bits(&own), bits(gradient.row(b)), "{method} {adjoint}: dJ/dx0 of trajectory {b}");
        }
    }
}

#[test]
fn a_permuted_batch_gives_permuted_results() {
    let (x0, targets) = (random2(333, 3, 1), random3(3, 333, 3, 2));
    // 100 has no factor in common with 333: a permutation far from any order of lanes and groups.
    let order: Vec<usize> = (0..333).map(|i| (i * 100 + 17) % 333).collect();
    for (method, adjoint) in ways(Method::Heun, Method::Strang) {
        let ode = problem(gpu(), method, adjoint, &grid());
        let run = |x0: &Array2<f32>, targets: &Array3<f32>| {
            let gradient = ode.loss_and_gradient(&theta(), x0.view(), targets.view()).expect("a gradient");
            (ode.solve(&theta(), x0.view()).expect("a solve").states, gradient)
        };
        let (states, gradient) = run(&x0, &targets);
        let (permuted, shuffled) = run(&x0.select(Axis(0), &order), &targets.select(Axis(1), &order));
        assert_eq!(bits(&states.select(Axis(1), &order)), bits(&permuted), "{method} {adjoint}: states");
        assert_eq!(bits(&gradient.x0.select(Axis(0), &order)), bits(&shuffled.x0), "{method} {adjoint}: dJ/dx0");
        let error = close(&gradient.theta, &shuffled.theta);
        assert!(error < SUMS, "{method} {adjoint}: dJ/dθ moved by {error:e}");
    }
}

/// The tightest value of one limit at which the problem still fits: doubled until the plan accepts it.
fn tightest(start: u64, set: impl Fn(u64) -> Caps, build: impl Fn(&Gpu) -> costate::Result<()>) -> Gpu {
    for value in (0..40).map(|i| start << i) {
        let gpu = gpu().restricted(&set(value));
        match build(&gpu) {
            Ok(()) => return gpu,
            Err(Error::LimitExceeded { .. }) => (),
            Err(other) => panic!("a limit of {value} should be accepted or exceeded, not: {other}"),
        }
    }
    panic!("no limit is wide enough");
}

#[test]
fn one_long_dispatch_equals_many_short_ones() {
    const STEPS: usize = 3000;
    let (x0, targets) = (random2(70, 3, 1), random3(3, 70, 3, 2));
    let grid = TimeGrid::with_steps(0.0, &[0.0, 0.4, 1.0], 1.0, STEPS / 2).expect("a valid grid");
    for (method, adjoint) in ways(Method::Rk4, Method::Strang) {
        let run = |gpu: &Gpu| {
            let ode = problem(gpu, method, adjoint, &grid);
            let gradient = ode.loss_and_gradient(&theta(), x0.view(), targets.view()).expect("a gradient");
            (ode.solve(&theta(), x0.view()).expect("a solve"), gradient)
        };
        let set = |max_trips| Caps { max_trips, scratch_bytes: 1, ..gpu().caps().clone() };
        let fits = |gpu: &Gpu| attempt(gpu, method, adjoint, &grid)?.memory_plan(70).map(|_| ());
        let tiny = tightest(64, set, fits);
        let (whole_states, whole) = run(gpu());
        let (cut_states, cut) = run(&tiny);
        let counts = (whole.report.dispatches, cut.report.dispatches);
        println!(
            "{method} {adjoint}: {counts:?} dispatches, solve {} and {}",
            whole_states.report.dispatches, cut_states.report.dispatches
        );
        assert!(counts.1 > 2 * counts.0, "{method} {adjoint}: the limits cut nothing: {counts:?} dispatches");
        assert_eq!(
            bits(&whole_states.states),
            bits(&cut_states.states),
            "{method} {adjoint}: states depend on the cut"
        );
        assert_eq!(bits(&whole.x0), bits(&cut.x0), "{method} {adjoint}: dJ/dx0 depends on the cut");
        let moved = close(&cut.theta, &whole.theta);
        println!("{method} {adjoint}: dJ/dθ moved by {moved:.1e}");
        assert!(moved < SUMS, "{method} {adjoint}: dJ/dθ moved by {moved:e} with the cut");

        // math.md §11 #2: 3e-5 for N ≤ 1000, growing with √N. The cut run has the same states and dJ/dx0.
        let twin = twin_gradient(method, adjoint, &theta(), &grid, &x0, Some(&targets), None);
        let errors = [
            relative_max(&whole_states.states, &twin.states),
            relative(&whole.theta, &twin.theta),
            relative(&cut.theta, &twin.theta),
            relative(&whole.x0, &twin.x0),
        ];
        println!("{method} {adjoint}: N = {STEPS} against the twin {errors:?}");
        assert!(errors.iter().all(|e| *e < 5e-5), "{method} {adjoint}: N = {STEPS} is off by {errors:?}");
    }
}

/// A submission that ends after every dispatch, and few steps per dispatch.
#[test]
fn short_submissions_change_nothing() {
    let (x0, targets) = (random2(70, 3, 1), random3(3, 70, 3, 2));
    let impatient = gpu().restricted(&Caps { submit_flops: 1, ..gpu().caps().clone() });
    for (method, adjoint) in ways(Method::Heun, Method::Strang) {
        let run = |gpu: &Gpu| {
            let ode = problem(gpu, method, adjoint, &grid());
            ode.loss_and_gradient(&theta(), x0.view(), targets.view()).expect("a gradient")
        };
        let (one, many) = (run(gpu()), run(&impatient));
        assert!(many.report.dispatches > one.report.dispatches, "{method} {adjoint}: nothing was cut");
        assert_eq!(bits(&one.x0), bits(&many.x0), "{method} {adjoint}: dJ/dx0 depends on the submissions");
        let error = close(&many.theta, &one.theta);
        assert!(error < SUMS, "{method} {adjoint}: dJ/dθ moved by {error:e}");
    }
}

#[test]
fn two_halves_of_a_grid_equal_the_whole() {
    let times = grid().times().to_vec();
    let half = |from: usize, to: usize| {
        TimeGrid::from_boundaries(times[from..=to].to_vec(), vec![to - from]).expect("a valid grid")
    };
    let (x0, cotangents) = (random2(40, 3, 1), random3(1, 40, 3, 2));
    for middle in 1..4 {
        let solve = |grid: TimeGrid, x0: &Array2<f32>| {
            let ode = problem(gpu(), Method::Heun, Adjoint::Stored, &grid);
            ode.solve(&theta(), x0.view()).expect("a solve").states.index_axis_move(Axis(0), 0)
        };
        let vjp = |grid: TimeGrid, x0: &Array2<f32>, cotangents: &Array3<f32>| -> Gradient {
            let ode = problem(gpu(), Method::Heun, Adjoint::Stored, &grid);
            ode.vjp(&theta(), x0.view(), cotangents.view()).expect("a vjp")
        };
        let x_middle = solve(half(0, middle), &x0);
        // What starts anew lacks what the sum before it had rounded away: half a unit, and as much again where it is kept.
        let apart = |halves: &Array2<f32>, whole: &Array2<f32>| relative_max(halves, &whole.mapv(f64::from));
        let error = apart(&solve(half(middle, 4), &x_middle), &solve(half(0, 4), &x0));
        assert!(error <= f64::from(f32::EPSILON), "states by {middle}: {error:e}");
        let second = vjp(half(middle, 4), &x_middle, &cotangents);
        let first = vjp(half(0, middle), &x0, &second.x0.clone().insert_axis(Axis(0)));
        let whole = vjp(half(0, 4), &x0, &cotangents);
        // That of the states, and of the adjoint itself.
        let error = apart(&first.x0, &whole.x0);
        assert!(error <= 2.0 * f64::from(f32::EPSILON), "dJ/dx0 over the halves by {middle}: {error:e}");
        let sum: Vec<f32> = first.theta.iter().zip(&second.theta).map(|(a, b)| a + b).collect();
        let error = close(&sum, &whole.theta);
        assert!(error < SUMS, "dJ/dθ over the halves by {middle}: {error:e}");
    }
}

/// Bindings so small that observations and stored states are seen through many windows.
#[test]
fn windows_of_observations_and_stored_states_change_nothing() {
    const SAVES: usize = 150;
    let save_at: Vec<f64> = (0..SAVES).map(|i| i as f64 / SAVES as f64).collect();
    let grid = TimeGrid::with_steps(0.0, &save_at, 1.0, 1).expect("a valid grid");
    let (x0, targets) = (random2(640, 3, 1), random3(SAVES, 640, 3, 2));
    for (method, adjoint) in ways(Method::Heun, Method::Strang) {
        let run = |gpu: &Gpu| {
            let ode = problem(gpu, method, adjoint, &grid);
            let gradient = ode.loss_and_gradient(&theta(), x0.view(), targets.view()).expect("a gradient");
            (ode.solve(&theta(), x0.view()).expect("a solve").states, gradient)
        };
        let set = |max_binding| Caps { max_binding, scratch_bytes: 1, ..gpu().caps().clone() };
        let fits = |gpu: &Gpu| attempt(gpu, method, adjoint, &grid)?.memory_plan(640).map(|_| ());
        let narrow = tightest(1 << 12, set, fits);
        let (whole_states, whole) = run(gpu());
        let observations = whole.report.memory.bytes(costate::Slot::Observed);
        let binding = narrow.caps().max_binding;
        assert!(observations > 4 * binding, "{observations} bytes of observations are few for a binding of {binding}");
        let (cut_states, cut) = run(&narrow);
        assert_eq!(bits(&whole_states), bits(&cut_states), "{method} {adjoint}: states depend on the windows");
        assert_eq!(bits(&whole.x0), bits(&cut.x0), "{method} {adjoint}: dJ/dx0 depends on the windows");
        let (a, b) = (whole.loss.expect("a loss"), cut.loss.expect("a loss"));
        assert!(f64::from((a - b).abs()) <= SUMS * f64::from(a), "{method} {adjoint}: the loss moved from {a} to {b}");
        let error = close(&cut.theta, &whole.theta);
        assert!(error < SUMS, "{method} {adjoint}: dJ/dθ moved by {error:e}");
        let twin = twin_gradient(method, adjoint, &theta(), &grid, &x0, Some(&targets), None);
        let errors = [relative(&cut.theta, &twin.theta), relative(&cut.x0, &twin.x0)];
        assert!(errors.iter().all(|e| *e < 2e-5), "{method} {adjoint}: off the twin by {errors:?}");
    }
}

/// A binding that holds two states of three, with saves at both ends of the first step: t0 and the first boundary.
#[test]
fn a_window_of_two_observations_changes_nothing() {
    let grid = TimeGrid::from_boundaries(vec![0.0, 0.1, 0.2], vec![0, 1, 2]).expect("a valid grid");
    let set = |max_binding| Caps { max_binding, scratch_bytes: 1, ..gpu().caps().clone() };
    let fits = |gpu: &Gpu| attempt(gpu, Method::Heun, Adjoint::Stored, &grid)?.memory_plan(64).map(|_| ());
    let narrow = tightest(1 << 12, set, fits);
    // Two fifths of the binding, in trajectories of 3 components of 4 bytes: it must hold two states anyway.
    let batch = usize::try_from(narrow.caps().max_binding * 2 / 5 / 12).expect("a small batch");
    let (x0, targets) = (random2(batch, 3, 1), random3(3, batch, 3, 2));
    // What is measured of a pair takes more room than this, so that it cannot happen to it.
    for (method, adjoint) in ways(Method::Heun, Method::Strang).into_iter().filter(|(m, _)| m.pair().is_none()) {
        let run = |gpu: &Gpu| {
            let ode = problem(gpu, method, adjoint, &grid);
            let gradient = ode.loss_and_gradient(&theta(), x0.view(), targets.view()).expect("a gradient");
            (ode.solve(&theta(), x0.view()).expect("a solve").states, gradient)
        };
        let ((whole_states, whole), (cut_states, cut)) = (run(gpu()), run(&narrow));
        for (slot, (a, b)) in whole_states.outer_iter().zip(cut_states.outer_iter()).enumerate() {
            assert!(bits(a) == bits(b), "{method} {adjoint}: the states of save {slot} depend on the windows");
        }
        assert!(bits(&whole.x0) == bits(&cut.x0), "{method} {adjoint}: dJ/dx0 depends on the windows");
    }
}
