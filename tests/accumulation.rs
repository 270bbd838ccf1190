//! Does dJ/dθ keep its digits when thousands of steps add to it?
//!
//! Every dispatch of the reverse pass adds to sums in f32. One sum over all of them would round as often as there are
//! dispatches; with more than 64 the sum goes over two levels (math.md §9.4). Compared with the f64 twin over a mild field
//! whose terms mostly have one sign, which is the bad case. Blind to the states' own rounding, which is in the numbers
//! too: the gates hold for the sum of both.

mod common;

use common::{field, gpu, parameters, random2, random3, relative, twin_gradient};
use costate::{Activation, Adjoint, Caps, Gpu, KernelOptions, Method, NeuralOde, TimeGrid};

/// Sums in scratch and an `outer_product`, and sums that the reverse kernel makes.
const LANES: [u32; 2] = [4, 8];

/// dJ/dθ, its relative L2 error, that of dJ/dx0, and the number of dispatches, for `steps` steps over T = 2.
fn run(gpu: &Gpu, way: (Method, Adjoint), trajectories: u32, steps: usize) -> (Vec<f32>, [f64; 2], usize) {
    let (method, adjoint) = way;
    let kernels = KernelOptions { trajectories: Some(trajectories), ..KernelOptions::default() };
    let mlp = field(2, &[16], Activation::Tanh, false);
    let theta = parameters(&mlp, 3);
    let grid = TimeGrid::uniform(0.0, 2.0, steps).expect("a valid grid");
    let (x0, targets) = (random2(4, 2, 1), random3(1, 4, 2, 2));
    let ode = NeuralOde::builder(mlp, grid.clone()).method(method).adjoint(adjoint).kernels(kernels).build(gpu);
    let ode = ode.expect("a small problem");
    let got = ode.loss_and_gradient(&theta, x0.view(), targets.view()).expect("a gradient");
    let want = twin_gradient(method, adjoint, &theta, &grid, &x0, Some(&targets), None);
    let errors = [relative(&got.theta, &want.theta), relative(&got.x0, &want.x0)];
    let dispatches = got.report.dispatches;
    println!(
        "{method} {adjoint} by {trajectories}, N = {steps}: θ {:.1e}, x0 {:.1e}, {dispatches} dispatches",
        errors[0], errors[1]
    );
    (got.theta, errors, dispatches)
}

/// The distance to the twin is that of states and adjoints: N increments, each rounded to a unit of what it is added to.
/// Gates at three to four times what was seen (8e-7, 4.1e-6, 5.6e-6).
#[test]
fn long_runs_keep_their_digits() {
    for (steps, gate) in [(1000, 3e-6), (3000, 1.5e-5), (10_000, 2e-5)] {
        for method in [Method::Euler, Method::Rk4] {
            for (adjoint, trajectories) in [Adjoint::Stored, Adjoint::Checkpointed].into_iter().zip(LANES) {
                let (_, errors, _) = run(gpu(), (method, adjoint), trajectories, steps);
                let good = errors.iter().all(|e| *e < gate);
                assert!(good, "{method} {adjoint} by {trajectories}, N = {steps}: dJ/dθ, dJ/dx0 off by {errors:?}");
            }
        }
    }
}

/// States and adjoints of both runs are equal bit for bit, so the distance is that of the sums alone. Seen: 8e-8; with
/// one level 5.7e-7.
#[test]
fn sums_do_not_feel_the_number_of_dispatches() {
    const STEPS: usize = 3000;
    let short = gpu().restricted(&Caps { scratch_bytes: 1, trajectory_flops: 1, ..gpu().caps().clone() });
    for trajectories in LANES {
        let (whole, _, few) = run(gpu(), (Method::Euler, Adjoint::Stored), trajectories, STEPS);
        let (cut, _, many) = run(&short, (Method::Euler, Adjoint::Stored), trajectories, STEPS);
        assert!(few < 200 && many > 2 * STEPS, "{few} and {many} dispatches: the limits cut nothing");
        let moved = relative(&cut, whole.iter().map(|v| f64::from(*v)).collect::<Vec<_>>().iter());
        println!("dJ/dθ moved by {moved:.1e}");
        assert!(moved < 3e-7, "{trajectories} trajectories: dJ/dθ moved by {moved:e} with the cut");
    }
}
