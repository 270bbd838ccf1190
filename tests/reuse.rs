//! Are values of the field that pulling back finds anyway used, and do they change nothing?
//!
//! Kernels that own eight trajectories per invocation hand them out: a reconstruction begins with one, a fused walk of a
//! pair is made of them. Blind to what other kernels do.

mod common;

use common::{field, gpu, parameters, random2, random3, relative, relative_max, twin_gradient, words_differing};
use costate::{
    Activation, Adjoint, AdjointOptions, Caps, DeviceKind, Gpu, Gradient, KernelOptions, Method, Mlp, NeuralOde,
    Parameters, TimeGrid, TrajectoryStatus,
};
use ndarray::{Array2, Array3};

const EIGHT: KernelOptions = KernelOptions { trajectories: Some(8), family: None, workgroup: None };

/// Whether the adapter has such kernels.
fn has_pairs() -> bool {
    let caps = gpu().caps();
    caps.kind == DeviceKind::Cpu && caps.subgroup == Some(8) && caps.int64
}

struct Problem {
    theta: Parameters,
    grid: TimeGrid,
    x0: Array2<f32>,
    targets: Array3<f32>,
}

impl Problem {
    fn new(mlp: &Mlp, grid: TimeGrid, batch: usize) -> Self {
        let (x0, targets) = (random2(batch, mlp.dim(), 6), random3(grid.saves().len(), batch, mlp.dim(), 7));
        Self { theta: parameters(mlp, 5), grid, x0, targets }
    }

    fn gradient(&self, gpu: &Gpu, (method, adjoint): (Method, Adjoint), options: AdjointOptions) -> Gradient {
        let builder = NeuralOde::builder(self.theta.field().clone(), self.grid.clone()).method(method).adjoint(adjoint);
        let ode = builder.adjoint_options(options).kernels(EIGHT).build(gpu).expect("a small problem");
        ode.loss_and_gradient(&self.theta, self.x0.view(), self.targets.view()).expect("a gradient")
    }
}

/// The field depends on the time, so that a value of another step would be seen; more steps than a window of the schedule
/// holds, forward and backward, in one run, in many dispatches and between anchors.
#[test]
fn a_reconstruction_may_begin_anywhere() {
    if !has_pairs() {
        return;
    }
    let mlp = field(2, &[5, 6], Activation::Tanh, true);
    let short = Caps { trajectory_flops: 40_000, ..gpu().caps().clone() };
    for (t0, t1, steps) in [(0.0, 2.0, 40), (2.0, -1.0, 40), (0.0, 1.5, 1300)] {
        let grid = TimeGrid::with_steps(t0, &[0.3 * t0 + 0.7 * t1, t1], t1, steps / 2).expect("a valid grid");
        let problem = Problem::new(&mlp, grid, 65);
        let Problem { theta, grid, x0, targets } = &problem;
        // Steps are short: between anchors nothing else is reconstructed to the digits that matter.
        let want = twin_gradient(Method::Rk4, Adjoint::Backsolve, theta, grid, x0, Some(targets), None);
        for (gpu, anchors, what) in [
            (gpu().clone(), None, "one run"),
            (gpu().restricted(&short), None, "many dispatches"),
            (gpu().clone(), Some(7), "anchors"),
        ] {
            let options = AdjointOptions { anchors, ..AdjointOptions::default() };
            let got = problem.gradient(&gpu, (Method::Rk4, Adjoint::Backsolve), options);
            let errors = [relative(&got.theta, &want.theta), relative_max(&got.x0, &want.x0)];
            println!("{t0} to {t1}, {steps} steps, {what}: dJ/dθ {:.1e}, dJ/dx0 {:.1e}", errors[0], errors[1]);
            // Roundings there and back, of each step one at random: three deviations.
            let bound = 3.0 * (2.0 * steps as f64).sqrt() * 6e-8;
            assert!(errors.iter().all(|e| *e < bound), "{t0} to {t1}, {steps} steps, {what}: off by {errors:?}");
        }
    }
}

/// RK4: four evaluations and three products forward and back, less what is known. Counted by hand.
#[test]
fn evaluations_are_as_many_as_the_kernels_make() {
    if !has_pairs() {
        return;
    }
    let mlp = field(2, &[5], Activation::Tanh, false);
    let problem = Problem::new(&mlp, TimeGrid::uniform(0.0, 1.0, 10).expect("a valid grid"), 64);
    let count = |way| problem.gradient(gpu(), way, AdjointOptions::default()).report.field_evaluations;
    // Three stages before pulling back through four; the reconstruction's first is known but for the last step.
    assert_eq!(count((Method::Rk4, Adjoint::Stored)).reverse, 10 * (3 + 4), "stored");
    assert_eq!(count((Method::Rk4, Adjoint::Backsolve)).reverse, 10 * (3 + 3 + 4) + 1, "backsolve");
    assert_eq!(count((Method::Euler, Adjoint::Backsolve)).reverse, 10 + 1, "backsolve with one stage");
}

/// One kernel walks back and pulls back: what a pair takes forward it takes back, in fixed point to the last bit. A walk
/// that does not meet the words would be found out by the self-test, and two kernels would evaluate twice.
#[test]
fn a_fused_walk_evaluates_each_kick_once() {
    if !has_pairs() {
        return;
    }
    let mlp = field(2, &[5, 6], Activation::Tanh, true);
    let problem = Problem::new(&mlp, TimeGrid::uniform(0.0, 1.0, 30).expect("a valid grid"), 70);
    let foster = Method::mccallum_foster(Method::Rk4, 1.0).expect("a valid method");
    for (method, stages, two_words) in [
        (Method::Strang, 1, false),
        (Method::BlanesMoan4, 1, true),
        (Method::ReversibleHeun, 1, false),
        (foster, 4, true),
    ] {
        let options = AdjointOptions { two_words, ..AdjointOptions::default() };
        let got = problem.gradient(gpu(), (method, Adjoint::Exact), options);
        let evaluations = got.report.field_evaluations;
        let updates = evaluations.forward / stages;
        assert_eq!(evaluations.reverse, updates * (2 * stages - 1), "{method}: evaluations back, {evaluations:?}");
        assert_eq!(words_differing(&got), Some(0), "{method}: words that differ");
        let separate = AdjointOptions { separate: true, ..options };
        let apart = problem.gradient(gpu(), (method, Adjoint::Exact), separate);
        // As in tests/exact.rs: the states are the same, sums and products may be rounded otherwise.
        let off = relative(&got.theta, apart.theta.iter().map(|g| f64::from(*g)).collect::<Vec<_>>().iter());
        assert!(off < 1e-6, "{method}: dJ/dθ is {off:e} off that of two kernels");
        assert_eq!(got.loss, apart.loss, "{method}: the loss");
    }
}

/// Euler on a fast decay: forward times −0.9 per step, back times 2.9. What starts large overflows on the way back, between
/// others of its invocation, at the step that arithmetic says.
#[test]
fn one_that_overflows_going_back_leaves_the_others_alone() {
    let mlp = field(2, &[3], Activation::Identity, false);
    let layers = [[1.0, 0.0, 0.0, 1.0, 0.0, 0.0].as_slice(), &[0.0; 3], &[-1.9, 0.0, 0.0, 0.0, -1.9, 0.0], &[0.0; 2]];
    let theta = Parameters::from_flat(&mlp, layers.concat()).expect("finite parameters");
    let grid = TimeGrid::uniform(0.0, 10.0, 10).expect("a valid grid");
    let kernels = if has_pairs() { EIGHT } else { KernelOptions::default() };
    let builder = NeuralOde::builder(mlp, grid).method(Method::Euler).adjoint(Adjoint::Backsolve).kernels(kernels);
    let ode = builder.build(gpu()).expect("a small problem");
    let (mut x0, cotangents) = (random2(90, 2, 1), random3(1, 90, 2, 2));
    let alone = ode.vjp(&theta, x0.view(), cotangents.view()).expect("a vjp");
    x0[[3, 0]] = 1e36;
    let got = ode.vjp(&theta, x0.view(), cotangents.view()).expect("a vjp of the rest");
    // 0.9^10 · 2.9^n > 3.4e38 / 1e36 for n = 7.
    assert_eq!(got.report.status[3], TrajectoryStatus::ReverseNonFinite { step: 3, time: 3.0 }, "the large one");
    assert_eq!(got.report.ok(), 89, "nobody else fails");
    for b in (0..90).filter(|b| *b != 3) {
        assert_eq!(got.x0.row(b), alone.x0.row(b), "dJ/dx0 of trajectory {b}");
    }
    assert!(got.theta.iter().all(|g| g.is_finite()), "dJ/dθ has no trace of it");
}
