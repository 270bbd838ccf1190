//! Derivatives against central differences of the twin's own forward pass.

use costate::reference::{Field, Scheme, activation, curvature};
use costate::solver::Contraction;
use costate::{Activation, Adjoint, Init, Loss, Method, Mlp, Parameters, TimeGrid};

use super::{Case, Times, assert_close, dot, flat, methods, random};

const EPS: f64 = 1e-5;
/// Ten times the error of the differences, relative to the largest derivative of a check.
const TOLERANCE: f64 = 3e-9;

/// The slope of `j` at 0.
fn slope(j: impl Fn(f64) -> f64) -> f64 {
    (j(EPS) - j(-EPS)) / (2.0 * EPS)
}

/// `v` moved by `s` along `direction`.
fn moved(v: &mut [f64], s: f64, direction: &[f64]) {
    v.iter_mut().zip(direction).for_each(|(v, d)| *v += s * d);
}

#[test]
fn curvatures_are_derivatives_of_slopes() {
    for a in Activation::ALL {
        // No point nearer to the kinks at 0 than ε.
        for p in (0..=160).map(|i| -8.05 + 0.1 * f64::from(i)).filter(|p| p.abs() > 2.0 * EPS) {
            let found = curvature(a, p);
            let expected = slope(|s| activation(a, p + s).1);
            assert!((found - expected).abs() < 1e-9, "{a}'' at {p}: {found}, by differences {expected}");
        }
        for p in [-1e6, -1e3, -40.0, 40.0, 710.0, 1e3, 1e6] {
            assert!(curvature(a, p).abs() <= 1.0, "{a}'' at {p}: {}", curvature(a, p));
        }
    }
}

#[test]
fn directional_derivatives_and_their_vjp() {
    let (x, t, direction) = (random(3, 1), 0.7, [1.0, -1.0, 1.0]);
    let (k, d) = (random(3, 2), random(3, 3));
    let mut worst = 0.0_f64;
    for a in Activation::ALL.into_iter().filter(|a| !matches!(a, Activation::Relu | Activation::Elu)) {
        for time_input in [false, true] {
            let what = format!("{a}, time {time_input}");
            let mlp = Mlp::builder(3).hidden(&[5, 4], a).output_activation(a).time_input(time_input);
            let mlp = mlp.build().expect("the field is valid");
            let theta = Parameters::init(&mlp, Init::Torch, 3).expect("the initialiser is valid");
            let theta: Vec<f64> = theta.as_slice().iter().map(|&v| f64::from(v)).collect();
            let tangent = |x: &[f64], t: f64, theta: &[f64]| {
                Field::new(&mlp, theta).expect("the parameters fit").tangent(x, t, &direction)
            };
            let field = Field::new(&mlp, &theta).expect("the parameters fit");
            let (value, derivative) = tangent(&x, t, &theta);
            assert_eq!(value, field.eval(&x, t), "{what}: the value beside the derivative");
            for (c, derivative) in derivative.iter().enumerate() {
                let expected = slope(|s| {
                    let mut x = x.clone();
                    moved(&mut x, s, &direction);
                    field.eval(&x, t)[c]
                });
                assert!((derivative - expected).abs() < 1e-9, "{what}: {derivative} and {expected}");
            }

            let j = |x: &[f64], t: f64, theta: &[f64]| {
                let (f, tangent) = tangent(x, t, theta);
                dot(&k, &f) + dot(&d, &tangent)
            };
            let mut theta_bar = vec![0.0; theta.len()];
            let (x_bar, t_bar) = field.tangent_vjp(&x, t, &direction, &k, &d, &mut theta_bar);
            let by = |v: &[f64], c: usize, s: f64| {
                let mut v = v.to_vec();
                v[c] += s;
                v
            };
            let in_x: Vec<f64> = (0..3).map(|c| slope(|s| j(&by(&x, c, s), t, &theta))).collect();
            let in_theta: Vec<f64> = (0..theta.len()).map(|c| slope(|s| j(&x, t, &by(&theta, c, s)))).collect();
            // A difference rounds as j does, however small it is itself: three sigmoids leave a thousandth.
            let beside = |values: Vec<f64>| [values, vec![j(&x, t, &theta)]].concat();
            let (x_bar, in_x) = (beside(x_bar), beside(in_x));
            let (theta_bar, in_theta) = (beside(theta_bar), beside(in_theta));
            worst = worst.max(assert_close(&format!("{what}: x"), &x_bar, &in_x, TOLERANCE));
            worst = worst.max(assert_close(&format!("{what}: theta"), &theta_bar, &in_theta, TOLERANCE));
            let in_t = slope(|s| j(&x, t + s, &theta));
            assert!((t_bar - in_t).abs() < 1e-9, "{what}: t {t_bar} and {in_t}");
        }
    }
    println!("derivatives of directional derivatives: off by at most {worst:.1e}");
}

/// Everything that an objective depends on, along random directions and for every time; returns the worst error.
fn check(what: &str, scheme: Scheme, case: &Case, times: &Times) -> f64 {
    let grid = times.grid();
    let found = case.gradient(scheme, Adjoint::Stored, &grid);
    let at = |change: &dyn Fn(&mut Case, &mut Times)| {
        let (mut case, mut times) = (case.clone(), times.clone());
        change(&mut case, &mut times);
        case.objective(scheme, &times.grid())
    };
    let (value, cost) = (found.loss.expect("a loss"), found.cost.as_ref().expect("a cost"));
    let total = value + cost.iter().sum::<f64>() / cost.len() as f64;
    assert!((total - at(&|_, _| ())).abs() < 1e-13, "{what}: the gradient's own objective is {total}");

    let (mut gradients, mut expected) = (Vec::new(), Vec::new());
    let mut expect = |gradient: f64, change: &dyn Fn(&mut Case, &mut Times, f64)| {
        gradients.push(gradient);
        expected.push(slope(|s| at(&|case, times| change(case, times, s))));
    };
    for seed in [100, 101, 102] {
        let d = random(found.theta.len(), seed);
        expect(dot(&found.theta, &d), &|case, _, s| moved(&mut case.theta, s, &d));
        let d = random(found.x0.len(), seed);
        expect(dot(flat(&found.x0), &d), &|case, _, s| {
            moved(case.x0.as_slice_mut().expect("contiguous"), s, &d);
        });
        let targets = found.targets.as_ref().expect("targets");
        let d = random(targets.len(), seed);
        expect(dot(flat(targets), &d), &|case, _, s| {
            moved(case.targets.as_slice_mut().expect("contiguous"), s, &d);
        });
    }
    for (c, &gradient) in found.log_scale.iter().enumerate() {
        expect(gradient, &|case, _, s| case.log_scale[c] += s);
    }
    let by_time = found.times(&grid);
    expect(by_time.t0, &|_, times, s| times.t0 += s);
    expect(by_time.t1, &|_, times, s| times.t1 += s);
    let first = usize::from(times.ends[0]);
    for i in 0..times.inner.len() {
        expect(by_time.saves[first + i], &|_, times, s| times.inner[i] += s);
    }
    assert_eq!(found.log_scale.len(), case.loss.parameter_count(2), "{what}: one gradient for each scale");
    assert!(!times.ends[0] || by_time.saves[0] == by_time.t0, "{what}: a save time at t0 moves with it");
    let last = by_time.saves.len() - 1;
    assert!(!times.ends[1] || by_time.saves[last] == by_time.t1, "{what}: a save time at t1 moves with it");
    assert_close(what, &gradients, &expected, TOLERANCE)
}

#[test]
fn every_method_has_the_gradient_of_its_objective() {
    let losses = [Loss::GaussianNll, Loss::huber(0.8).expect("a valid delta")];
    for method in methods() {
        let mut worst = 0.0_f64;
        for (i, times) in Times::all().iter().enumerate() {
            let case = Case::new(times.grid().observations(), losses[i % 2]);
            worst = worst.max(check(&format!("{method}, {times:?}"), method.into(), &case, times));
        }
        println!("{method}: off the differences by at most {worst:.1e}");
    }
}

#[test]
fn contraction_does_not_touch_the_cost() {
    for method in [Method::Strang, Method::BlanesMoan4, Method::ReversibleHeun] {
        for (i, times) in Times::all().iter().enumerate() {
            let contraction = Some(Contraction { bits: 2, period: 1 + i % 2 });
            let case = Case::new(times.grid().observations(), Loss::GaussianNll);
            check(&format!("{method}, {contraction:?}, {times:?}"), Scheme { method, contraction }, &case, times);
        }
    }
}

/// The boundaries one by one, which the gradients of t0, t1 and the save times only see the sum of.
#[test]
fn every_boundary_has_its_gradient() {
    let boundaries = [0.2, 0.45, 0.7, 0.8, 1.1];
    for method in methods() {
        let case = Case::new(3, Loss::Mse);
        let grid = |times: &[f64]| TimeGrid::from_boundaries(times.to_vec(), vec![0, 2, 4]).expect("a valid grid");
        let found = case.gradient(method.into(), Adjoint::Stored, &grid(&boundaries)).boundaries;
        let expected: Vec<f64> = (0..boundaries.len())
            .map(|n| {
                slope(|s| {
                    let mut times = boundaries;
                    times[n] += s;
                    case.objective(method.into(), &grid(&times))
                })
            })
            .collect();
        assert_close(&format!("{method}: boundaries"), &found, &expected, TOLERANCE);
    }
}

/// States that are found again instead of kept give the same gradient where they are the same states.
#[test]
fn reversible_methods_find_the_same_gradient_again() {
    for method in methods().into_iter().filter(|m| m.adjoints().contains(&Adjoint::Reversible)) {
        for times in Times::all() {
            let case = Case::new(times.grid().observations(), Loss::Mse);
            let [kept, again] =
                [Adjoint::Stored, Adjoint::Reversible].map(|a| case.gradient(method.into(), a, &times.grid()));
            assert_eq!(kept.cost, again.cost, "{method}: the cost is that of the forward pass");
            for (what, kept, again) in
                [("theta", &kept.theta, &again.theta), ("boundaries", &kept.boundaries, &again.boundaries)]
            {
                assert_close(&format!("{method}: {what}"), again, kept, 1e-12);
            }
        }
    }
}

/// Backsolve drifts, and its gradient with it: to nothing, as the steps get short.
#[test]
fn backsolve_takes_the_cost_at_the_states_it_finds() {
    for times in Times::all().map(|times| Times { steps: 40, ..times }) {
        let case = Case::new(times.grid().observations(), Loss::GaussianNll);
        let run = |adjoint| case.gradient(Method::Rk4.into(), adjoint, &times.grid());
        let (kept, found) = (run(Adjoint::Stored), run(Adjoint::Backsolve));
        assert_eq!((&kept.cost, kept.loss), (&found.cost, found.loss), "values are those of the forward pass");
        assert_eq!(kept.targets, found.targets, "what observations ask for comes from the forward pass");
        assert_ne!(kept.theta, found.theta, "the drift must be seen");
        assert_close("theta", &found.theta, &kept.theta, 1e-8);
        assert_close("boundaries", &found.boundaries, &kept.boundaries, 1e-8);
    }
}
