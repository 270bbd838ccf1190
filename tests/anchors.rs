//! Does a reconstruction that starts anew at anchors stay near the states that it is to find, and does it say how near?
//!
//! On a field that contracts at rate μ rounding grows as e^{μ t} on the way back; anchors bound t (math.md §5). The
//! certificate is taken apart: the segments one by one are problems of their own. Blind to methods of low reversal order,
//! whose drift does not come from rounding.

mod common;

use common::{contracting, gpu, mild, random2, random3, relative, twin_gradient};
use costate::{Adjoint, AdjointOptions, Gradient, Method, NeuralOde, Parameters, Slot, TimeGrid};
use ndarray::{Array3, Axis};

fn build(theta: &Parameters, grid: &TimeGrid, method: Method, anchors: Option<usize>) -> NeuralOde {
    let options = AdjointOptions { anchors, ..AdjointOptions::default() };
    let builder = NeuralOde::builder(theta.field().clone(), grid.clone()).method(method);
    builder.adjoint(Adjoint::Backsolve).adjoint_options(options).build(gpu()).expect("a small problem")
}

fn gradient(theta: &Parameters, grid: &TimeGrid, method: Method, anchors: Option<usize>) -> Gradient {
    let (x0, targets) = (random2(6, 2, 21), random3(grid.saves().len(), 6, 2, 22));
    build(theta, grid, method, anchors).loss_and_gradient(theta, x0.view(), targets.view()).expect("a gradient")
}

fn drift(gradient: &Gradient) -> f32 {
    gradient.reconstruction.as_ref().expect("backsolve has a certificate").max_abs
}

#[test]
fn anchors_hold_a_contracting_field() {
    let theta = contracting(16, 1.0, 2);
    let grid = TimeGrid::with_steps(0.0, &[2.0, 6.0, 12.0, 20.0], 20.0, 250).expect("a valid grid");
    let (x0, targets) = (random2(6, 2, 21), random3(4, 6, 2, 22));
    let want = twin_gradient(Method::Rk4, Adjoint::Stored, &theta, &grid, &x0, Some(&targets), None);
    let run = |anchors| {
        let got = gradient(&theta, &grid, Method::Rk4, anchors);
        let errors = [relative(&got.theta, &want.theta), relative(&got.x0, want.x0.iter())];
        println!("{anchors:?} anchors: drift {:.1e}, dJ/dθ {:.1e}, dJ/dx0 {:.1e}", drift(&got), errors[0], errors[1]);
        (drift(&got), errors)
    };
    let (free, _) = run(None);
    assert!(free > 0.5, "without anchors the reconstruction is off by {free} only");
    // Every 3/μ of time or more often.
    for anchors in [7, 20, 100, 1000] {
        let (drift, errors) = run(Some(anchors));
        assert!(drift <= 1e-4, "{anchors} anchors: the reconstruction is off by {drift:e}");
        assert!(errors.iter().all(|e| *e <= 1e-4), "{anchors} anchors: dJ/dθ, dJ/dx0 off by {errors:?}");
    }
}

/// Each segment as a problem of its own, from the state that the forward pass has at its start: the certificate is the
/// largest of theirs, trajectory by trajectory. A problem of its own starts without what the sum before it has rounded away,
/// which is half a unit of a state below 2, there and back.
#[test]
fn the_certificate_is_that_of_the_worst_segment() {
    let theta = mild(16, 1);
    const STEPS: usize = 50;
    // On a mild field no segment is the worst for every trajectory.
    let whole = TimeGrid::uniform(0.0, 4.0, STEPS).expect("a valid grid");
    let x0 = random2(70, 2, 21);
    let zero = Array3::zeros((1, 70, 2));
    for (anchors, segment) in [(2, 25), (3, 17), (4, 13), (50, 1)] {
        let ode = build(&theta, &whole, Method::Euler, Some(anchors));
        // Another batch before it, which drifts more.
        ode.vjp(&theta, x0.mapv(|x| 3.0 * x).view(), zero.view()).expect("a vjp");
        let got = ode.vjp(&theta, x0.view(), zero.view()).expect("a vjp");
        let got = got.reconstruction.expect("a certificate").per_trajectory;
        let mut worst = vec![0.0_f32; 70];
        let mut earlier_is_worst = 0;
        let mut start = x0.clone();
        for first in (0..STEPS).step_by(segment) {
            let last = (first + segment).min(STEPS);
            let part = TimeGrid::from_boundaries(whole.times()[first..=last].to_vec(), vec![last - first]);
            let ode = build(&theta, &part.expect("a valid grid"), Method::Euler, None);
            let own = ode.vjp(&theta, start.view(), zero.view()).expect("a vjp").reconstruction.expect("a certificate");
            for (worst, own) in worst.iter_mut().zip(own.per_trajectory) {
                earlier_is_worst += usize::from(last == STEPS && own <= *worst);
                *worst = worst.max(own);
            }
            start = ode.solve(&theta, start.view()).expect("a solve").states.index_axis_move(Axis(0), 0);
        }
        let mixed = (1..70).contains(&earlier_is_worst);
        assert!(mixed, "{anchors} anchors: the last segment is the worst for {} of 70", 70 - earlier_is_worst);
        let off = got.iter().zip(&worst).map(|(got, own)| (got - own).abs()).fold(0.0, f32::max);
        assert!(off <= f32::EPSILON, "{anchors} anchors: the certificate is off by {off:e}");
    }
}

#[test]
fn one_anchor_is_none() {
    let theta = mild(16, 1);
    let grid = TimeGrid::with_steps(0.0, &[0.5, 1.0], 1.5, 30).expect("a valid grid");
    let [none, one] = [None, Some(1)].map(|anchors| gradient(&theta, &grid, Method::Heun, anchors));
    assert_eq!(none.theta, one.theta, "dJ/dθ");
    assert_eq!(none.x0, one.x0, "dJ/dx0");
    assert_eq!(drift(&none), drift(&one), "the certificate");
    assert_eq!(none.report.memory, one.report.memory, "memory");
}

/// The memory of anchored backsolve is that of plain backsolve and the anchors, whatever the number of steps.
#[test]
fn memory_is_that_of_the_anchors() {
    let theta = mild(16, 1);
    for steps in [100, 10_000] {
        let grid = TimeGrid::uniform(0.0, 1.0, steps).expect("a valid grid");
        let plan = |anchors| build(&theta, &grid, Method::Rk4, anchors).memory_plan(6).expect("a plan");
        let plain = plan(None);
        for (anchors, kept) in [(2, 1), (10, 9), (100, 99)] {
            let plan = plan(Some(anchors));
            assert_eq!(plan.bytes(Slot::Anchors), kept * plan.bytes(Slot::State), "{anchors} anchors of {steps} steps");
            let rest = plan.total_bytes() - plan.bytes(Slot::Anchors);
            assert_eq!(rest, plain.total_bytes(), "{anchors} anchors of {steps} steps: everything else");
        }
    }
    let grid = TimeGrid::uniform(0.0, 1.0, 100).expect("a valid grid");
    let report = gradient(&theta, &grid, Method::Rk4, Some(10)).report;
    assert_eq!(report.allocated_bytes, report.memory.total_bytes(), "bytes on the device");
}

/// A trajectory that fails keeps failing at every anchor, and the others do not feel it.
#[test]
fn a_failed_trajectory_has_an_infinite_certificate() {
    let theta = contracting(16, 1.0, 2);
    let grid = TimeGrid::uniform(0.0, 4.0, 40).expect("a valid grid");
    let mut x0 = random2(6, 2, 21);
    let ode = build(&theta, &grid, Method::Rk4, Some(4));
    let targets = random3(1, 6, 2, 22);
    let healthy = ode.loss_and_gradient(&theta, x0.view(), targets.view()).expect("a gradient");
    x0[[3, 0]] = 3e38;
    let got = ode.loss_and_gradient(&theta, x0.view(), targets.view()).expect("five trajectories are well");
    let [mut before, mut after] = [healthy, got].map(|g| g.reconstruction.expect("a certificate").per_trajectory);
    assert!(after[3].is_infinite(), "trajectory 3 has the certificate {}", after[3]);
    before.remove(3);
    after.remove(3);
    assert_eq!(before, after, "the certificates of the others");
}
