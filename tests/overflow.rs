//! Is a trajectory marked whose field overflows inside, where the activation would make a finite number of it?
//!
//! A unit's argument of ±infinity or NaN must mark its trajectory in the step that met it, whatever the activation, in every
//! family of kernels, going forward and back; the others keep every bit. Overflow of the state itself is the matter of
//! tests/faults.rs.

mod common;

use common::{gpu, random2, random3};
use costate::{
    Activation, Adjoint, Caps, Family, Gpu, KernelOptions, Method, Mlp, NeuralOde, Parameters, RunningCost, TimeGrid,
    TrajectoryStatus,
};
use ndarray::s;

const ALL: [Activation; 7] = [
    Activation::Tanh,
    Activation::Relu,
    Activation::Elu,
    Activation::Softplus,
    Activation::Silu,
    Activation::Gelu,
    Activation::Sin,
];
const BATCH: usize = 24;

/// Three hidden units: a mild one, one that overflows where x_0 is beyond 1.13, and one whose argument is also
/// infinity − infinity. What they are worth is small. The first component rises by 10 a unit of time, whatever the units do.
fn theta(activation: Activation, layers: usize) -> Parameters {
    let field = Mlp::builder(2).hidden(&vec![3; layers], activation).build().expect("a valid field");
    let mut theta = vec![0.4, -0.2, 3e38, 0.0, 3e38, -3e38, 0.1, 0.1, 0.1];
    for _ in 1..layers {
        theta.extend([0.3, 1e-38, 1e-38, -0.2, 1e-38, 0.0, 0.1, 0.0, 1e-38, 0.1, 0.2, 0.3]);
    }
    let small = if layers == 1 { 1e-38 } else { 0.1 };
    theta.extend([0.0, 0.0, 0.0, 0.2, small, small, 10.0, 0.1]);
    Parameters::from_flat(&field, theta).expect("as many parameters")
}

fn grid() -> TimeGrid {
    TimeGrid::with_steps(0.0, &[0.002, 0.004], 0.004, 2).expect("a valid grid")
}

/// A trajectory that overflows, its initial state, and the step in which it does.
type Bad = (usize, [f32; 2], usize);

/// Those that overflow at once, and one that does in step `late`.
fn bad(late: usize) -> [Bad; 4] {
    [(3, [2.0, 0.1], 0), (9, [-2.0, 0.1], 0), (10, [2.0, 2.0], 0), (20, [1.115, 0.5], late)]
}

fn check(case: &str, ode: &NeuralOde, theta: &Parameters, expected: &[Bad]) {
    let bad: Vec<usize> = expected.iter().map(|b| b.0).collect();
    let mild = random2(BATCH, 2, 3) * 0.4;
    let mut x0 = mild.clone();
    for (b, x, _) in expected {
        x0.slice_mut(s![*b, ..]).assign(&ndarray::aview1(x));
    }
    let (found, alone) = (ode.solve(theta, x0.view()).expect(case), ode.solve(theta, mild.view()).expect(case));
    assert_eq!(alone.report.ok(), BATCH, "{case}: the mild ones are all well");
    let expect_status = |status: &[TrajectoryStatus], pass: &str| {
        for (b, status) in status.iter().enumerate() {
            match expected.iter().find(|bad| bad.0 == b) {
                None => assert_eq!(*status, TrajectoryStatus::Ok, "{case}: {pass}, trajectory {b}"),
                Some((_, _, step)) => {
                    let want = TrajectoryStatus::NonFinite { step: *step, time: ode.grid().times()[step + 1] };
                    assert_eq!(*status, want, "{case}: {pass}, trajectory {b}");
                }
            }
        }
    };
    expect_status(&found.report.status, "solve");
    let cotangents = random3(2, BATCH, 2, 5);
    let pulled = ode.vjp(theta, x0.view(), cotangents.view()).expect(case);
    let plain = ode.vjp(theta, mild.view(), cotangents.view()).expect(case);
    expect_status(&pulled.report.status, "gradient");
    for b in (0..BATCH).filter(|b| !bad.contains(b)) {
        assert_eq!(found.states.slice(s![.., b, ..]), alone.states.slice(s![.., b, ..]), "{case}: states of {b}");
        assert_eq!(pulled.x0.row(b), plain.x0.row(b), "{case}: dJ/dx0 of {b}");
    }
    for b in bad {
        // Words of fixed point are never NaN.
        let seen = found.states.slice(s![1, b, ..]).iter().any(|v| !v.is_finite());
        assert!(seen || ode.adjoint() == Adjoint::Exact, "{case}: the last state of {b}");
        assert!(pulled.x0.row(b).iter().all(|v| *v == 0.0), "{case}: dJ/dx0 of {b}");
    }
    assert!(pulled.theta.iter().all(|g| g.is_finite()), "{case}: dJ/dθ");
}

const PAIRED: KernelOptions = KernelOptions { family: Some(Family::Lane), trajectories: Some(8), workgroup: None };
const TILE: KernelOptions = KernelOptions { family: Some(Family::Tile), trajectories: None, workgroup: None };

/// A gpu whose lane kernels have no integers of 64 bits: one weight at a time, sums from scratch.
fn plain() -> Gpu {
    gpu().restricted(&Caps { int64: false, ..gpu().caps().clone() })
}

fn build(gpu: &Gpu, theta: &Parameters, method: Method, adjoint: Adjoint, kernels: KernelOptions) -> NeuralOde {
    let builder = NeuralOde::builder(theta.field().clone(), grid()).method(method).adjoint(adjoint).kernels(kernels);
    builder.build(gpu).expect("a small problem")
}

#[test]
fn an_argument_that_is_not_finite_marks_its_trajectory_in_paired_kernels() {
    for activation in ALL {
        let theta = theta(activation, 1);
        let ode = build(gpu(), &theta, Method::Euler, Adjoint::Backsolve, PAIRED);
        check(&format!("paired, {activation}"), &ode, &theta, &bad(2));
    }
}

#[test]
fn an_argument_that_is_not_finite_marks_its_trajectory_in_plain_kernels() {
    let plain = plain();
    for activation in ALL {
        let theta = theta(activation, 1);
        let ode = build(&plain, &theta, Method::Euler, Adjoint::Continuous, KernelOptions::default());
        check(&format!("plain, {activation}"), &ode, &theta, &bad(2));
    }
}

#[test]
fn an_argument_that_is_not_finite_marks_its_trajectory_in_tiles() {
    for activation in ALL {
        let theta = theta(activation, 1);
        let ode = build(gpu(), &theta, Method::Euler, Adjoint::Backsolve, TILE);
        check(&format!("tile, {activation}"), &ode, &theta, &bad(2));
    }
}

/// More stages, deep fields, pairs of states in floats and in fixed point.
#[test]
fn every_kind_of_walk_marks_them() {
    // What is evaluated at the end of a step overflows a step earlier.
    for (theta, method, adjoint, late) in [
        (theta(Activation::Tanh, 2), Method::Heun, Adjoint::Checkpointed, 1),
        (theta(Activation::Relu, 1), Method::Strang, Adjoint::Stored, 1),
        (theta(Activation::Tanh, 1), Method::Strang, Adjoint::Exact, 1),
        (theta(Activation::Softplus, 1), Method::Alf, Adjoint::Stored, 2),
    ] {
        let case = format!("{method}, {adjoint}, {}", theta.field().summary());
        check(&case, &build(gpu(), &theta, method, adjoint, KernelOptions::default()), &theta, &bad(late));
    }
}

/// Tangents go beside the values in text of their own.
#[test]
fn fields_with_tangents_mark_them() {
    let mut theta = theta(Activation::Tanh, 1);
    // The derivative along a probe of ±1 must not overflow itself.
    theta.as_mut_slice()[2..6].iter_mut().for_each(|w| *w *= 0.5);
    let cost = RunningCost::new().jacobian(1e-30, 3).expect("a valid cost");
    let builder = NeuralOde::builder(theta.field().clone(), grid()).method(Method::Euler).running_cost(cost);
    let ode = builder.adjoint(Adjoint::Stored).build(gpu()).expect("a small problem");
    check("tangents", &ode, &theta, &[(3, [4.0, 0.1], 0), (9, [-4.0, 0.1], 0), (10, [4.0, 4.0], 0)]);
}

/// An output activation sees arguments too.
#[test]
fn the_layer_of_the_outputs_marks_them() {
    for (kernels, adjoint) in [(PAIRED, Adjoint::Stored), (TILE, Adjoint::Backsolve)] {
        let field = Mlp::builder(2).hidden(&[3], Activation::Identity).output_activation(Activation::Tanh);
        let field = field.build().expect("a valid field");
        // The outputs' argument is 3e38 (x_0 + x_1), which does not go through a hidden unit.
        let theta = vec![1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 3e38, 3e38, 0.0, 0.1, 0.1, 0.1, 0.0, 0.0];
        let theta = Parameters::from_flat(&field, theta).expect("as many parameters");
        let ode = build(gpu(), &theta, Method::Euler, adjoint, kernels);
        let mut x0 = random2(BATCH, 2, 3) * 0.4;
        x0[[7, 0]] = 2.0;
        let report = ode.vjp(&theta, x0.view(), random3(2, BATCH, 2, 5).view()).expect("a vjp").report;
        let want = TrajectoryStatus::NonFinite { step: 0, time: ode.grid().times()[1] };
        assert_eq!((report.status[7], report.non_finite()), (want, 1), "{adjoint}");
    }
}
