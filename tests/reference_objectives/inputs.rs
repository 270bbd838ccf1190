//! Masks, and arguments that make no sense.

use costate::reference::{Observations, Seed, gradient_with_cost, running_cost};
use costate::{Adjoint, Error, Loss, Method, Reference, RunningCost, TimeGrid};
use ndarray::Array3;

use super::{BATCH, Case, DIM, Times};

#[test]
fn what_is_masked_changes_nothing() {
    for (loss, times) in [Loss::GaussianNll, Loss::Mae, Loss::Mse].into_iter().zip(Times::all()) {
        let mut case = Case::new(times.grid().observations(), loss);
        let run = |case: &Case| case.gradient(Method::BlanesMoan4.into(), Adjoint::Stored, &times.grid());
        let plain = run(&case);
        let mask = case.mask.clone();
        let masked = || mask.indexed_iter().filter(|(_, seen)| !**seen).map(|(index, _)| index);
        assert!(masked().count() > 2, "{loss}: some are masked");
        for other in [f64::NAN, 1e9] {
            for index in masked() {
                case.targets[index] = other;
                case.weights[index] = other;
            }
            assert_eq!(run(&case), plain, "{loss}: {other} under the mask");
        }
        let targets = plain.targets.expect("targets");
        assert!(masked().all(|index| targets[index] == 0.0), "{loss}: no gradient where masked");
        assert!(targets.iter().filter(|g| **g != 0.0).count() > BATCH, "{loss}: a gradient elsewhere");
    }
}

#[test]
fn plain_targets_are_observations_without_anything() {
    let case = Case::new(2, Loss::Mse);
    let grid = Times::all()[0].grid();
    let run = |seed: Seed<'_>| {
        gradient_with_cost(Method::Rk4, Adjoint::Stored, &case.field(), &grid, case.x0.view(), seed, Some(&case.cost))
            .expect("a valid problem")
    };
    let targets = case.targets.view();
    let full = Array3::from_elem(targets.raw_dim(), true);
    let ones = Array3::from_elem(targets.raw_dim(), 1.0);
    let plain = Observations { loss: Loss::Mse, targets, weights: None, mask: None, log_scale: &[] };
    let explicit = Observations { weights: Some(ones.view()), mask: Some(full.view()), ..plain };
    assert_eq!(run(Seed::Targets(targets)), run(Seed::Observations(plain)), "nothing given");
    assert_eq!(run(Seed::Targets(targets)), run(Seed::Observations(explicit)), "nothing masked, weights of 1");
    // Weights do not enter the number of observations.
    let twice = Array3::from_elem(targets.raw_dim(), 2.0);
    let twice = run(Seed::Observations(Observations { weights: Some(twice.view()), ..plain }));
    assert_eq!(twice.loss.map(|l| l / 2.0), run(Seed::Targets(targets)).loss, "weights of 2");
}

/// The message of the error that this objective must give.
#[track_caller]
fn refusal(case: &Case, change: impl FnOnce(&mut Observations<'_>), cost: Option<&RunningCost>) -> String {
    let Seed::Observations(mut observations) = case.seed() else { panic!("the seed is made of observations") };
    change(&mut observations);
    let (grid, seed) = (Times::all()[0].grid(), Seed::Observations(observations));
    let result = gradient_with_cost(Method::Rk4, Adjoint::Stored, &case.field(), &grid, case.x0.view(), seed, cost);
    match result {
        Err(error @ (Error::Shape { .. } | Error::Invalid { .. } | Error::NonFiniteData { .. })) => error.to_string(),
        other => panic!("should be refused: {other:?}"),
    }
}

#[test]
fn observations_that_make_no_sense_are_refused() {
    let case = Case::new(2, Loss::GaussianNll);
    let refused = |change: &dyn Fn(&mut Case), part: &str| {
        let mut case = case.clone();
        change(&mut case);
        let error = refusal(&case, |_| (), None);
        assert!(error.contains(part), "{part}: {error}");
    };
    let seen = [0, 0, 1];
    refused(&|c| c.targets = Array3::zeros((2, BATCH, DIM + 1)), "targets");
    refused(&|c| c.weights = Array3::zeros((1, BATCH, DIM)), "weights");
    refused(&|c| c.mask = Array3::from_elem((2, 1, DIM), true), "mask");
    refused(&|c| c.mask.fill(false), "nothing is observed");
    refused(&|c| c.targets[seen] = f64::NAN, "(0, 0, 1)");
    for weight in [-1.0, f64::NAN, f64::INFINITY] {
        refused(&|c| c.weights[seen] = weight, "weight of the observation at (0, 0, 1)");
    }
    refused(&|c| c.log_scale = vec![0.0], "log scales");
    refused(&|c| c.log_scale[1] = f64::NAN, "[1]");
    refused(&|c| c.loss = Loss::Mse, "log scales");
}

#[test]
fn references_that_do_not_fit_are_refused() {
    let case = Case::new(2, Loss::Mse);
    let with = |times: [f64; 2], batch: usize, dim: usize| {
        let values = Array3::zeros((2, batch, dim));
        let reference = Reference::new(&times, values.view()).expect("a valid reference");
        RunningCost::new().reference(1.0, reference).expect("a valid weight")
    };
    // The grid runs from 0.2 to 1.1.
    for (cost, part) in [
        (with([0.0, 2.0], BATCH, DIM + 1), "reference has shape"),
        (with([0.0, 2.0], BATCH - 1, DIM), "reference has shape"),
        (with([0.0, 1.0], 1, DIM), "covers the solve"),
        (with([0.21, 2.0], BATCH, DIM), "covers the solve"),
    ] {
        let error = refusal(&case, |_| (), Some(&cost));
        assert!(error.contains(part), "{part}: {error}");
        let grid = Times::all()[0].grid();
        let value = running_cost(Method::Rk4, &case.field(), &grid, case.x0.view(), &cost);
        assert!(value.is_err(), "the value alone: {value:?}");
    }
    let grid = TimeGrid::uniform(0.2, 1.1, 3).expect("a valid grid");
    for times in [[0.2, 1.1], [1.1, 0.2], [0.2 + 5e-10, 1.1 - 5e-10]] {
        let value = running_cost(Method::Rk4, &case.field(), &grid, case.x0.view(), &with(times, 1, DIM));
        assert!(value.is_ok(), "{times:?} covers the solve but for rounding: {value:?}");
    }
}
