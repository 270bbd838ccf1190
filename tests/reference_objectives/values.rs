//! The value of the running cost, and of states between step boundaries.

use costate::reference::{running_cost, solve};
use costate::{Loss, Method, Tableau, TimeGrid};
use ndarray::{Array2, Axis, s};

use super::{Case, DIM, cost, dot};

/// The Lagrangian of one trajectory once more, from its definition.
fn lagrangian(case: &Case, b: usize, x: &[f64], t: f64) -> f64 {
    let cost = &case.cost;
    let probe: Vec<f64> = (0..).take(DIM).map(|c| cost.probe(u32::try_from(b).expect("a small batch"), c)).collect();
    let (f, tangent) = case.field().tangent(x, t, &probe);
    let (weight, reference) = cost.reference_term().expect("a reference");
    let off: f64 = (0..DIM).map(|c| (x[c] - reference.at(b, c, t).0).powi(2)).sum();
    cost.kinetic_weight() * dot(&f, &f)
        + weight * off
        + cost.jacobian_weight() * dot(&tangent, &tangent)
        + cost.parameters_weight() * dot(&case.theta, &case.theta)
}

/// The augmented system `[x; c]' = [f; L]` by the textbook; returns c at the end.
fn augmented(tableau: &Tableau, case: &Case, b: usize, grid: &TimeGrid) -> f64 {
    let rate = |state: &[f64], t: f64| {
        let mut rate = case.field().eval(&state[..DIM], t);
        rate.push(lagrangian(case, b, &state[..DIM], t));
        rate
    };
    let mut state = case.x0.row(b).to_vec();
    state.push(0.0);
    for span in grid.times().windows(2) {
        let h = span[1] - span[0];
        let mut rates: Vec<Vec<f64>> = Vec::new();
        for i in 0..tableau.stages() {
            let stage: Vec<f64> = (0..=DIM)
                .map(|c| state[c] + h * rates.iter().enumerate().map(|(j, k)| tableau.a(i, j) * k[c]).sum::<f64>())
                .collect();
            rates.push(rate(&stage, span[0] + tableau.c[i] * h));
        }
        for c in 0..=DIM {
            state[c] += h * rates.iter().zip(tableau.b).map(|(k, b)| b * k[c]).sum::<f64>();
        }
    }
    state[DIM]
}

#[test]
fn the_cost_of_a_runge_kutta_solve_is_that_of_an_augmented_system() {
    let case = Case::new(1, Loss::Mse);
    for (t0, t1) in [(0.1, 1.3), (1.3, 0.1)] {
        let grid = TimeGrid::uniform(t0, t1, 7).expect("a valid grid");
        for method in Method::RUNGE_KUTTA {
            let found =
                running_cost(method, &case.field(), &grid, case.x0.view(), &case.cost).expect("a valid problem");
            for (b, found) in found.iter().enumerate() {
                let expected = augmented(method.tableau(), &case, b, &grid);
                assert!((found / expected - 1.0).abs() < 1e-13, "{method}, {b}: {found}, augmented {expected}");
                assert_eq!(*found < 0.0, t1 < t0, "{method}: backward in time the cost is negative");
            }
        }
    }
}

#[test]
fn the_cost_converges_with_the_order_of_the_method() {
    let foster = Method::mccallum_foster(Method::Rk4, 1.0).expect("a valid method");
    let mut case = Case::new(1, Loss::Mse);
    // Knots of the reference are kinks of its third derivative: order 4 wants them at step boundaries.
    let values = cost().reference_term().expect("a reference").1.values().to_owned();
    let smooth = costate::Reference::new(&[-0.5, 2.5], values.slice(s![..2, .., ..])).expect("a valid reference");
    case.cost = case.cost.clone().reference(0.9, smooth).expect("a valid weight");
    let cost_of = |method: Method, steps: usize| {
        let grid = TimeGrid::uniform(0.0, 2.0, steps).expect("a valid grid");
        running_cost(method, &case.field(), &grid, case.x0.view(), &case.cost).expect("a valid problem")
    };
    let exact = cost_of(Method::Dopri5, 2000);
    let error = |method: Method, steps: usize| {
        cost_of(method, steps).iter().zip(&exact).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
    };
    for method in Method::PAIR.into_iter().chain([foster, Method::Heun, Method::Rk4]) {
        let order = f64::from(method.pair().map_or(method.tableau().order, |p| p.order));
        let slope = (error(method, 20) / error(method, 80)).log2() / 2.0;
        println!("{method}: the cost has order {slope:.2}, error {:.1e}", error(method, 80));
        assert!((slope - order).abs() < 0.3, "{method}: the cost has order {slope:.2}, not {order}");
    }
}

#[test]
fn states_between_boundaries_are_cubic() {
    let case = Case::new(1, Loss::Mse);
    let at = |steps: usize, saves: &[f64]| {
        let grid = TimeGrid::dense_with_steps(0.0, saves, 1.0, steps).expect("a valid grid");
        solve(Method::Dopri5, &case.field(), &grid, case.x0.view()).expect("a valid problem")
    };
    let saves = [0.0, 0.13, 0.25, 0.58, 0.91, 1.0];
    let hit = TimeGrid::with_step(0.0, &saves, 1.0, 1e-3).expect("a valid grid");
    let exact = solve(Method::Dopri5, &case.field(), &hit, case.x0.view()).expect("a valid problem");
    let error = |steps: usize| (at(steps, &saves) - &exact).iter().fold(0.0_f64, |m, d| m.max(d.abs()));
    let slope = (error(8) / error(32)).log2() / 2.0;
    assert!(slope > 3.6 && error(32) < 1e-6, "order {slope:.2}, error {:e}", error(32));
    // At step boundaries nothing is interpolated.
    let boundaries = at(4, &saves);
    let plain = TimeGrid::with_steps(0.0, &[0.25], 1.0, 1).expect("a valid grid");
    let step = solve(Method::Dopri5, &case.field(), &plain, case.x0.view()).expect("a valid problem");
    assert_eq!(boundaries.index_axis(Axis(0), 0), case.x0, "the start");
    let difference: Array2<f64> = &boundaries.index_axis(Axis(0), 2) - &step.index_axis(Axis(0), 0);
    assert!(difference.iter().all(|d| d.abs() < 1e-15), "the end of the first step: {difference:?}");
}
