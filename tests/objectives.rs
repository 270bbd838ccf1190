//! Does the device compute every term of the objective and every gradient of it, for every solver and adjoint?
//!
//! Running costs, losses with weights and masks, gradients with respect to θ, x0, times, targets and the loss are held
//! against the f64 twin, which tests/reference_objectives holds against finite differences and closed forms. Blind to
//! errors that both share, and to single-precision sensitivity of long solves (tests/exact.rs).

#![expect(clippy::cast_possible_truncation, reason = "f64 held against what the device has in f32")]

mod common;

use common::{checked_gpu, field, gpu, parameters, random2, random3, relative, relative_max, to_f64};
use costate::reference::{self, Field, Scheme, Seed};
use costate::{
    Activation, Adjoint, AdjointOptions, Caps, Gpu, Gradient, Loss, Method, Mlp, NeuralOde, Observations, Parameters,
    Reference, RunningCost, TimeGrid, Wrt,
};
use ndarray::{Array2, Array3};

/// Relative tolerance of gradients over some tens of steps (math.md section 11); below 5e-6 on lavapipe.
const TOLERANCE: f64 = 1e-5;

/// A problem with everything.
struct Problem {
    theta: Parameters,
    grid: TimeGrid,
    x0: Array2<f32>,
    targets: Array3<f32>,
    weights: Array3<f32>,
    mask: Array3<bool>,
    log_scale: Vec<f32>,
    loss: Loss,
    cost: Option<RunningCost>,
    wrt: Wrt,
}

impl Problem {
    fn new(field: &Mlp, grid: TimeGrid, batch: usize, loss: Loss, cost: Option<RunningCost>) -> Self {
        let (times, dim) = (grid.observations(), field.dim());
        Self {
            theta: parameters(field, 3),
            x0: random2(batch, dim, 4),
            targets: random3(times, batch, dim, 5),
            weights: random3(times, batch, dim, 6).mapv(|v| 1.0 + 0.9 * v),
            mask: random3(times, batch, dim, 7).mapv(|v| v > -0.5),
            log_scale: (0..loss.parameter_count(dim)).map(|c| 0.3 - 0.4 * c as f32).collect(),
            grid,
            loss,
            cost,
            wrt: Wrt::all(loss),
        }
    }

    fn observations(&self) -> Observations<'_> {
        Observations::new(self.targets.view())
            .weights(self.weights.view())
            .mask(self.mask.view())
            .log_scale(&self.log_scale)
    }

    fn ode(&self, method: Method, adjoint: Adjoint) -> NeuralOde {
        self.ode_on(gpu(), method, adjoint)
    }

    fn ode_on(&self, gpu: &Gpu, method: Method, adjoint: Adjoint) -> NeuralOde {
        let mut builder = NeuralOde::builder(self.theta.field().clone(), self.grid.clone())
            .method(method)
            .adjoint(adjoint)
            .loss(self.loss)
            .gradients(self.wrt);
        if let Some(cost) = &self.cost {
            builder = builder.running_cost(cost.clone());
        }
        builder.build(gpu).unwrap_or_else(|e| panic!("{method}, {adjoint}: {e}"))
    }

    fn device(&self, gpu: &Gpu, method: Method, adjoint: Adjoint) -> Gradient {
        let ode = self.ode_on(gpu, method, adjoint);
        let gradient = ode.loss_and_gradient(&self.theta, self.x0.view(), self.observations());
        gradient.unwrap_or_else(|e| panic!("{method}, {adjoint}: {e}"))
    }

    fn twin(&self, method: Method, adjoint: Adjoint) -> reference::Gradient {
        let values: Vec<f64> = self.theta.as_slice().iter().map(|v| f64::from(*v)).collect();
        let field = Field::new(self.theta.field(), &values).expect("matching parameters");
        let (targets, weights) = (to_f64(&self.targets), to_f64(&self.weights));
        let log_scale: Vec<f64> = self.log_scale.iter().map(|v| f64::from(*v)).collect();
        let seed = Seed::Observations(reference::Observations {
            loss: self.loss,
            targets: targets.view(),
            weights: Some(weights.view()),
            mask: Some(self.mask.view()),
            log_scale: &log_scale,
        });
        let steps = self.grid.steps();
        let scheme = Scheme { method, contraction: AdjointOptions::default().contraction(method, adjoint, steps) };
        let (x0, cost) = (to_f64(&self.x0), self.cost.as_ref());
        reference::gradient_with_cost(scheme, adjoint, &field, &self.grid, x0.view(), seed, cost)
            .expect("a valid problem")
    }

    fn check(&self, method: Method, adjoint: Adjoint) {
        self.check_on(gpu(), method, adjoint);
    }

    fn check_on(&self, gpu: &Gpu, method: Method, adjoint: Adjoint) {
        let (found, wanted) = (self.device(gpu, method, adjoint), self.twin(method, adjoint));
        let case = format!("{method}, {adjoint}, {}", self.loss);
        assert_eq!(found.report.ok(), self.x0.nrows(), "{case}: trajectories");
        // The gradient of the weights of the time grows with t0: it must not hide the others.
        let of_time = |i: usize| {
            let (field, layer) = (self.theta.field(), self.theta.field().layers()[0]);
            field.time_input() && i < layer.bias && i % layer.n_in == layer.n_in - 1
        };
        let part = |time: bool| {
            let chosen = (0..found.theta.len()).filter(|i| of_time(*i) == time);
            let pairs: Vec<(f32, f64)> = chosen.map(|i| (found.theta[i], wanted.theta[i])).collect();
            relative(pairs.iter().map(|(f, _)| f), pairs.iter().map(|(_, w)| w))
        };
        let by_time = if self.theta.field().time_input() { part(true) } else { 0.0 };
        let mut errors = vec![
            ("theta", part(false)),
            ("weights of the time", by_time),
            ("x0", relative(&found.x0, &wanted.x0)),
            (
                "targets",
                relative(found.targets.as_ref().expect("asked for"), wanted.targets.as_ref().expect("targets")),
            ),
        ];
        let loss = f64::from(found.loss.expect("targets"));
        let wanted_loss = wanted.loss.expect("targets");
        errors.push(("loss", (loss - wanted_loss).abs() / wanted_loss.abs()));
        if let (Some(cost), Some(paid)) = (&found.cost, &wanted.cost) {
            let paid_by_device: Vec<f32> = cost.per_trajectory.iter().map(|c| *c as f32).collect();
            errors.push(("cost", relative_max(&paid_by_device, paid)));
            let mean = paid.iter().sum::<f64>() / paid.len() as f64;
            errors.push(("mean cost", (cost.total - mean).abs() / mean.abs()));
        }
        let (times, wanted_times) = (found.times.as_ref().expect("asked for"), wanted.times(&self.grid));
        // Relative to the largest: parts of opposite sign cancel in a single one.
        let all = |t: &costate::TimeGradient| -> Vec<f64> { [t.t0, t.t1].into_iter().chain(t.saves.clone()).collect() };
        let all_found: Vec<f32> = all(times).iter().map(|t| *t as f32).collect();
        // The Hamiltonian at save times and t0 is that of the reconstructed states on the device, of the known ones in the
        // twin: the same only where the reconstruction does not drift.
        if adjoint != Adjoint::Continuous || method.tableau().reversal_order >= 5 && method.order() >= 4 {
            errors.push(("times", relative_max(&all_found, &all(&wanted_times))));
        }
        if self.wrt.loss {
            errors.push(("log scale", relative(found.log_scale.as_ref().expect("asked for"), &wanted.log_scale)));
        }
        let bad: Vec<_> = errors.iter().filter(|(_, e)| e.is_nan() || *e > TOLERANCE).collect();
        assert!(bad.is_empty(), "{case}: {bad:?} of {errors:?}, times {times:?} and {wanted_times:?}");
    }
}

fn reference(batch: usize, dim: usize) -> Reference {
    reference_at(&REFERENCE_TIMES, batch, dim)
}

const REFERENCE_TIMES: [f64; 6] = [-1.1, -0.5, 0.0, 0.3, 0.9, 1.6];

fn reference_at(times: &[f64], batch: usize, dim: usize) -> Reference {
    let values = random3(times.len(), batch, dim, 9);
    Reference::new(times, values.view()).expect("a valid reference")
}

fn whole_cost(batch: usize, dim: usize) -> RunningCost {
    let cost = RunningCost::new().kinetic(0.3).and_then(|c| c.reference(0.7, reference(batch, dim)));
    cost.and_then(|c| c.jacobian(0.2, 11)).and_then(|c| c.parameters(0.01)).expect("valid weights")
}

/// Times with save times at t0 and between, and a rest after the last.
fn grid() -> TimeGrid {
    TimeGrid::with_steps(0.1, &[0.1, 0.4, 1.0], 1.3, 4).expect("a valid grid")
}

fn adjoints(method: Method) -> Vec<Adjoint> {
    let mut adjoints = method.adjoints().to_vec();
    if method.pair().is_none() {
        adjoints.push(Adjoint::Continuous);
    }
    adjoints
}

#[test]
fn everything_at_once_for_every_adjoint() {
    let field = field(2, &[5, 4], Activation::Tanh, true);
    let problem = Problem::new(&field, grid(), 70, Loss::GaussianNll, Some(whole_cost(1, 2)));
    for method in [Method::Rk4, Method::BlanesMoan4] {
        for adjoint in adjoints(method) {
            problem.check(method, adjoint);
        }
    }
}

/// Stages, drifts, blends and swaps, each with running cost and clock of its own; a reference for each trajectory.
#[test]
fn everything_at_once_for_every_method() {
    let field = field(2, &[3], Activation::Tanh, true);
    let grid = TimeGrid::with_steps(0.1, &[0.3, 0.8], 0.8, 5).expect("a valid grid");
    let problem = Problem::new(&field, grid, 5, Loss::huber(0.5).expect("a valid delta"), Some(whole_cost(5, 2)));
    let foster = |base, coupling| Method::mccallum_foster(base, coupling).expect("a valid method");
    let fosters = [foster(Method::Euler, 1.0), foster(Method::Heun, 0.9)];
    for method in Method::RUNGE_KUTTA.into_iter().chain(Method::PAIR).chain(fosters) {
        for adjoint in adjoints(method) {
            problem.check(method, adjoint);
        }
    }
}

/// The same problem in another unit of time, counted from elsewhere: weights of the time are a `unit`-th and biases make up
/// for the origin, so that both are huge while their sum is what it was.
fn elsewhere(problem: Problem, origin: f64, unit: f64) -> Problem {
    let moved = |t: f64| origin + unit * t;
    let field = problem.theta.field().clone();
    let (first, last) = (field.layers()[0], field.layers()[field.layers().len() - 1]);
    let mut theta = problem.theta.as_slice().to_vec();
    for j in 0..first.n_out {
        let weight = &mut theta[first.weight + (j + 1) * first.n_in - 1];
        *weight = (f64::from(*weight) / unit) as f32;
        let shift = f64::from(*weight) * origin;
        theta[first.bias + j] = (f64::from(theta[first.bias + j]) - shift) as f32;
    }
    theta[last.weight..].iter_mut().for_each(|w| *w = (f64::from(*w) / unit) as f32);
    let grid = if problem.grid.is_dense() {
        let saves: Vec<f64> = problem.grid.save_times().iter().map(|t| moved(*t)).collect();
        let [t0, t1] = [problem.grid.t0(), problem.grid.t1()].map(moved);
        TimeGrid::dense_with_steps(t0, &saves, t1, problem.grid.steps())
    } else {
        let times = problem.grid.times().iter().map(|t| moved(*t)).collect();
        TimeGrid::from_boundaries(times, problem.grid.saves().to_vec())
    };
    let times = REFERENCE_TIMES.map(moved);
    let cost = RunningCost::new().kinetic(0.3 * unit.abs()).and_then(|c| {
        let dim = problem.theta.field().dim();
        c.reference(0.7 / unit.abs(), reference_at(&times, 1, dim))?.jacobian(0.2 * unit.abs(), 11)
    });
    Problem {
        theta: Parameters::from_flat(&field, theta).expect("finite parameters"),
        grid: grid.expect("a valid grid"),
        cost: problem.cost.and(Some(cost.expect("valid weights"))),
        ..problem
    }
}

/// Times in epoch seconds, in ten millions or backward are as good as times near zero, in every kernel that sees them.
#[test]
fn the_origin_of_time_does_not_matter() {
    let places = [(1e4, 1.0), (1e7, 5.0), (1.7e9, 3600.0), (-1.7e9 + 0.37, -600.0)];
    let sine = field(2, &[5, 4], Activation::Sin, true);
    let tanh = field(2, &[5, 4], Activation::Tanh, true);
    let dense = TimeGrid::dense_with_steps(0.1, &[0.1, 0.33, 1.2], 1.3, 7).expect("a valid grid");
    for (i, (origin, unit)) in places.into_iter().enumerate() {
        let all = Problem::new(&tanh, grid(), 70, Loss::GaussianNll, Some(whole_cost(1, 2)));
        let all = elsewhere(all, origin, unit);
        let ways = [
            (Method::Rk4, Adjoint::Stored),
            (Method::Rk4, Adjoint::Continuous),
            (Method::BlanesMoan4, Adjoint::Exact),
            (Method::Alf, Adjoint::Checkpointed),
        ];
        // Compiled once, the kernels serve every place.
        for (method, adjoint) in ways {
            all.check(method, adjoint);
        }
        let plain = elsewhere(Problem::new(&tanh, grid(), 70, Loss::Mse, None), origin, unit);
        plain.check(Method::Rk4, Adjoint::Backsolve);
        let outputs = Problem::new(&tanh, dense.clone(), 6, Loss::Mse, None);
        elsewhere(outputs, origin, unit).check(Method::Rk4, Adjoint::Stored);
        if i == 2 {
            let as_gpu = gpu().restricted(&Caps::gpu("a GPU"));
            elsewhere(Problem::new(&sine, grid(), 70, Loss::Mse, None), origin, unit).check_on(
                &as_gpu,
                Method::Heun,
                Adjoint::Backsolve,
            );
        }
    }
}

/// Pre-activations of thousands of turns, where a sine of f32 has no digits left.
#[test]
fn whole_turns_of_a_sine_do_not_matter() {
    let field = field(2, &[5], Activation::Sin, true);
    let grid = TimeGrid::with_steps(1.7e9, &[1.7e9 + 0.25, 1.7e9 + 1.0], 1.7e9 + 1.5, 4).expect("a valid grid");
    let problem = Problem::new(&field, grid, 6, Loss::Mse, None);
    problem.check(Method::Rk4, Adjoint::Stored);
}

/// Kernels as a GPU gets them: one trajectory per invocation, no broadcasts.
#[test]
fn kernels_made_for_a_gpu_have_every_term() {
    let as_gpu = gpu().restricted(&Caps::gpu("a GPU"));
    let field = field(3, &[6, 5], Activation::Silu, true);
    let problem = Problem::new(&field, grid(), 70, Loss::GaussianNll, Some(whole_cost(1, 3)));
    for (method, adjoint) in [
        (Method::Heun, Adjoint::Backsolve),
        (Method::Heun, Adjoint::Continuous),
        (Method::Strang, Adjoint::Exact),
        (Method::Alf, Adjoint::Checkpointed),
    ] {
        problem.check_on(&as_gpu, method, adjoint);
    }
    let save_at = [0.2, 0.25, 0.9];
    let dense = TimeGrid::dense_with_steps(0.0, &save_at, 1.0, 6).expect("a valid grid");
    Problem::new(&field, dense, 70, Loss::Mse, None).check_on(&as_gpu, Method::Rk4, Adjoint::Stored);
}

/// Kernels with bounds and loop checks compute the same bits: nothing reads or writes where it should not.
#[test]
fn checked_kernels_have_the_same_bits() {
    let field = field(2, &[5, 4], Activation::Tanh, true);
    let save_at = [0.1, 0.33, 1.2];
    let dense = TimeGrid::dense_with_steps(0.1, &save_at, 1.3, 7).expect("a valid grid");
    for grid in [grid(), dense] {
        let problem = Problem::new(&field, grid, 11, Loss::GaussianNll, Some(whole_cost(11, 2)));
        for (method, adjoint) in [
            (Method::Heun, Adjoint::Stored),
            (Method::Heun, Adjoint::Continuous),
            (Method::Strang, Adjoint::Exact),
            (Method::Alf, Adjoint::Stored),
        ] {
            let [trusted, checked] = [gpu(), checked_gpu()].map(|gpu| problem.device(gpu, method, adjoint));
            let case = format!("{method}, {adjoint}, dense {}", problem.grid.is_dense());
            assert_eq!((trusted.theta, trusted.x0, trusted.loss), (checked.theta, checked.x0, checked.loss), "{case}");
            assert_eq!((trusted.times, trusted.cost), (checked.times, checked.cost), "{case}: times and cost");
            assert_eq!((trusted.targets, trusted.log_scale), (checked.targets, checked.log_scale), "{case}: the loss");
        }
    }
}

#[test]
fn every_loss_alone_and_backward_in_time() {
    let field = field(3, &[6], Activation::Gelu, false);
    let grid = TimeGrid::with_steps(1.0, &[1.0, 0.2, -0.4], -0.4, 6).expect("a valid grid");
    for loss in [Loss::Mse, Loss::Mae, Loss::huber(0.3).expect("a valid delta"), Loss::GaussianNll] {
        let mut problem = Problem::new(&field, grid.clone(), 9, loss, None);
        problem.check(Method::Heun, Adjoint::Stored);
        problem.cost = Some(whole_cost(1, 3));
        problem.check(Method::Strang, Adjoint::Exact);
    }
}

#[test]
fn every_activation_has_a_curvature() {
    for activation in Activation::ALL {
        // A field of rectified outputs is zero for most parameters.
        let output = if activation == Activation::Relu { Activation::Identity } else { activation };
        let field = Mlp::builder(2).hidden(&[7, 5], activation).output_activation(output).time_input(true).build();
        let cost = RunningCost::new().jacobian(1.0, 5).expect("a valid weight");
        let problem = Problem::new(&field.expect("a valid field"), grid(), 3, Loss::Mse, Some(cost));
        problem.check(Method::Euler, Adjoint::Stored);
    }
}

/// Wide layers take their inputs block by block, tangents too.
#[test]
fn wide_layers_have_tangents_and_a_time() {
    let field = field(2, &[140], Activation::Tanh, true);
    let grid = TimeGrid::with_steps(0.0, &[0.5], 0.5, 3).expect("a valid grid");
    let cost = RunningCost::new().jacobian(0.3, 5).and_then(|c| c.kinetic(0.2)).expect("valid weights");
    Problem::new(&field, grid, 3, Loss::Mse, Some(cost)).check(Method::Midpoint, Adjoint::Backsolve);
}

#[test]
fn save_times_between_steps() {
    let field = field(2, &[5], Activation::Tanh, true);
    for (t0, t1, sign) in [(0.0, 1.5, 1.0), (0.0, -1.0, -1.0)] {
        let mut save_at = [0.0, 0.07, 0.11, 0.2, 0.55, 0.9].map(|t| sign * t).to_vec();
        save_at.push(t1);
        let grid = TimeGrid::dense_with_steps(t0, &save_at, t1, 12).expect("a valid grid");
        let problem = Problem::new(&field, grid, 6, Loss::Mse, Some(whole_cost(1, 2)));
        for (method, adjoint) in [
            (Method::Rk4, Adjoint::Stored),
            (Method::Rk4, Adjoint::Checkpointed),
            (Method::Dopri5, Adjoint::Backsolve),
            (Method::BlanesMoan4, Adjoint::Exact),
            (Method::Alf, Adjoint::Reversible),
        ] {
            problem.check(method, adjoint);
            let values: Vec<f64> = problem.theta.as_slice().iter().map(|v| f64::from(*v)).collect();
            let twin = Field::new(problem.theta.field(), &values).expect("matching parameters");
            let steps = problem.grid.steps();
            let contraction = AdjointOptions::default().contraction(method, adjoint, steps);
            let scheme = Scheme { method, contraction };
            let wanted = reference::solve(scheme, &twin, &problem.grid, to_f64(&problem.x0).view()).expect("a solve");
            let found = problem.ode(method, adjoint).solve(&problem.theta, problem.x0.view()).expect("a solve");
            let error = relative_max(&found.states, &wanted);
            assert!(error < 2e-6, "{method}, {adjoint}: states between steps are off by {error}");
            let cost = found.cost.expect("a running cost");
            let field_cost = problem.cost.as_ref().expect("a running cost");
            let x0 = to_f64(&problem.x0);
            let paid = reference::running_cost(scheme, &twin, &problem.grid, x0.view(), field_cost).expect("a cost");
            let mean = paid.iter().sum::<f64>() / paid.len() as f64;
            assert!(
                (cost.total - mean).abs() < 2e-5 * mean.abs(),
                "{method}: cost {} of a solve, not {mean}",
                cost.total
            );
        }
    }
}

/// Cotangents of one's own: the costs of the trajectories are summed.
#[test]
fn vector_jacobian_products_sum_the_costs() {
    let field = field(2, &[5], Activation::Tanh, true);
    for grid in [grid(), TimeGrid::dense_with_steps(0.1, &[0.33, 0.9], 1.3, 8).expect("a valid grid")] {
        let mut problem = Problem::new(&field, grid, 6, Loss::Mse, Some(whole_cost(1, 2)));
        problem.wrt = Wrt { targets: false, ..problem.wrt };
        for (method, adjoint) in [(Method::Rk4, Adjoint::Backsolve), (Method::BlanesMoan4, Adjoint::Exact)] {
            let ode = problem.ode(method, adjoint);
            let found = ode.vjp(&problem.theta, problem.x0.view(), problem.targets.view()).expect("a product");
            let values: Vec<f64> = problem.theta.as_slice().iter().map(|v| f64::from(*v)).collect();
            let twin = Field::new(problem.theta.field(), &values).expect("matching parameters");
            let contraction = AdjointOptions::default().contraction(method, adjoint, problem.grid.steps());
            let (x0, cotangents) = (to_f64(&problem.x0), to_f64(&problem.targets));
            let seed = Seed::Cotangents(cotangents.view());
            let (scheme, cost) = (Scheme { method, contraction }, problem.cost.as_ref());
            let wanted = reference::gradient_with_cost(scheme, adjoint, &twin, &problem.grid, x0.view(), seed, cost)
                .expect("a product");
            let (times, wanted_times) = (found.times.expect("asked for"), wanted.times(&problem.grid));
            let paid: f64 = wanted.cost.expect("a cost").iter().sum();
            for (what, error) in [
                ("theta", relative(&found.theta, &wanted.theta)),
                ("x0", relative(&found.x0, &wanted.x0)),
                ("t1", (times.t1 - wanted_times.t1).abs() / wanted_times.t1.abs()),
                ("cost", (found.cost.expect("a cost").total - paid).abs() / paid),
            ] {
                assert!(
                    error < TOLERANCE,
                    "{method}, {adjoint}, dense {}: {what} is off by {error}",
                    problem.grid.is_dense()
                );
            }
        }
    }
}
