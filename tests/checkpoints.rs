//! Is the checkpointed adjoint the stored one in less memory?
//!
//! A segment that runs again must give the very states of the first time, so states, dJ/dx0 and certificate are equal bit
//! for bit; dJ/dθ is summed over other cuts of the same terms. Blind to whether the stored gradient itself is right, which
//! tests/gradients.rs asks of both.

mod common;

use common::{field, gpu, parameters, random2, random3};
use costate::{Activation, Adjoint, Caps, Gpu, Method, Mlp, NeuralOde, Slot, TimeGrid};

fn mlp() -> Mlp {
    field(2, &[7], Activation::Tanh, true)
}

fn build(gpu: &Gpu, grid: &TimeGrid, adjoint: Adjoint) -> NeuralOde {
    NeuralOde::builder(mlp(), grid.clone()).method(Method::Heun).adjoint(adjoint).build(gpu).expect("a small problem")
}

#[test]
fn checkpoints_change_no_bit() {
    let theta = parameters(&mlp(), 5);
    let x0 = random2(70, 2, 1);
    // Segments that end with the grid and that do not; save times inside and at the edges of segments, and t0.
    let grids = [
        TimeGrid::uniform(0.0, 1.0, 1),
        TimeGrid::with_steps(0.0, &[0.0, 0.3, 0.5, 1.0], 1.2, 4),
        TimeGrid::with_steps(1.0, &[0.2, 0.0], 0.0, 8),
        TimeGrid::with_steps(0.0, &[0.4, 1.0, 2.0], 2.0, 700),
    ]
    .map(|g| g.expect("a valid grid"));
    let short = gpu().restricted(&Caps { max_trips: 4000, scratch_bytes: 60_000, ..gpu().caps().clone() });
    for grid in &grids {
        let targets = random3(grid.saves().len(), 70, 2, 2);
        let run = |gpu: &Gpu, adjoint| {
            build(gpu, grid, adjoint).loss_and_gradient(&theta, x0.view(), targets.view()).expect("a gradient")
        };
        let stored = run(gpu(), Adjoint::Stored);
        for gpu in [gpu(), &short] {
            let got = run(gpu, Adjoint::Checkpointed);
            assert_eq!(got.loss, stored.loss, "{} steps: the loss", grid.steps());
            assert_eq!(got.x0, stored.x0, "{} steps: dJ/dx0", grid.steps());
            let norm = stored.theta.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
            let pairs = got.theta.iter().zip(&stored.theta);
            let error = pairs.map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt();
            // Sums of N terms in another order: about √N roundings of 6e-8.
            let gate = 6e-8 * 4.0 * (grid.steps() as f64).sqrt().max(4.0);
            assert!(error <= gate * norm, "{} steps: dJ/dθ off by {:e}", grid.steps(), error / norm);
            let evaluations = got.report.field_evaluations;
            let again = evaluations.reverse - evaluations.forward;
            assert!(again <= evaluations.forward, "a step runs again once at most, not {again} evaluations");
        }
    }
}

#[test]
fn memory_grows_with_the_root_of_the_steps() {
    for (steps, kept) in [(1, [1, 1]), (10, [4, 3]), (100, [10, 10]), (101, [11, 10]), (10_000, [100, 100])] {
        let grid = TimeGrid::uniform(0.0, 1.0, steps).expect("a valid grid");
        let plan = build(gpu(), &grid, Adjoint::Checkpointed).memory_plan(64).expect("a plan");
        let state = plan.bytes(Slot::State);
        let got = [Slot::Stored, Slot::Anchors].map(|slot| plan.bytes(slot) / state);
        assert_eq!(got, kept, "{steps} steps keep a segment and its anchors");
    }
}
