//! Are the steps as long as asked for, whatever the times have gone through, and bad grids refused?
#![expect(clippy::cast_possible_truncation, reason = "times that have gone through f32")]

use super::*;
use proptest::prelude::*;

#[test]
fn every_save_time_is_hit_exactly() {
    let saves = [0.1, 0.3, 0.7000001, 2.0];
    let grid = TimeGrid::with_step(0.0, &saves, 2.0, 0.0317).expect("a valid grid");
    assert_eq!(grid.save_times(), saves);
    assert!(
        grid.times().windows(2).all(|w| w[1] > w[0] && w[1] - w[0] <= 0.0317 + 1e-12),
        "steps rise by at most the step"
    );
}

#[test]
fn rounding_adds_no_step() {
    assert_eq!(TimeGrid::with_step(0.0, &[], 1.0, 0.1).expect("a valid grid").steps(), 10);
    assert_eq!(TimeGrid::with_step(0.0, &[0.25, 0.5, 1.0], 1.0, 0.025).expect("a valid grid").steps(), 40);
}

/// Saves every tenth, or every tenth of an hour, with steps as long, from several origins and as f64, f32 and printed.
#[test]
fn intervals_of_one_step_have_one_step() {
    for (origin, spacing) in [(0.0, 0.1), (10_000.0, 0.1), (1.7e9, 0.1), (1.7e9, 3600.0), (-3.0, 0.1)] {
        let meant = |i: i32| origin + f64::from(i) * spacing;
        let grid = |times: &[f64], resolution| {
            TimeGrid::with_step_within(times[0], &times[1..], times[10], spacing, resolution).expect("a valid grid")
        };
        let times: Vec<f64> = (0..=10).map(meant).collect();
        assert_eq!(grid(&times, 0.0).steps(), 10, "f64 from {origin} by {spacing}");
        let backward: Vec<f64> = times.iter().rev().copied().collect();
        assert_eq!(grid(&backward, 0.0).steps(), 10, "f64 back to {origin} by {spacing}");
        let printed: Vec<f64> = times.iter().map(|t| (t * 1e3 + 0.3).round() / 1e3).collect();
        assert_eq!(grid(&printed, 0.0005).steps(), 10, "three decimals from {origin} by {spacing}");
        // Where f32 cannot tell tenths apart no grid can be right.
        if origin < 1e9 || spacing > 1e3 {
            let single: Vec<f64> = times.iter().map(|t| f64::from(*t as f32)).collect();
            assert_eq!(grid(&single, 0.0).steps(), 10, "f32 from {origin} by {spacing}");
        }
    }
}

#[test]
fn whole_seconds_far_away_are_no_rounded_ones() {
    let saves = [1e7 + 1.0, 1e7 + 2.0];
    assert_eq!(TimeGrid::with_step(1e7, &saves, saves[1], 0.4).expect("a valid grid").steps(), 6);
    let hours = [1.7e9 + 3600.0, 1.7e9 + 7200.0];
    assert_eq!(TimeGrid::with_step(1.7e9, &hours, hours[1], 1000.0).expect("a valid grid").steps(), 8);
}

#[test]
fn frames_of_three_decimals_take_a_step_each() {
    let frames: Vec<f64> = (0..=90).map(|i| (f64::from(i) / 30.0 * 1e3).round() / 1e3).collect();
    let grid = |resolution| TimeGrid::with_step_within(0.0, &frames[1..], frames[90], 1.0 / 30.0, resolution);
    assert_eq!(grid(0.0005).expect("a valid grid").steps(), 90);
    assert!(grid(0.0).expect("a valid grid").steps() > 100, "34 milliseconds are more than a step");
}

proptest! {
    /// Beyond the rounding of its ends no interval is covered by fewer steps than it takes.
    #[test]
    fn no_step_is_longer_than_asked_for(
        origin in prop::sample::select(vec![0.0, 1.0, -7.3, 1e4, 1e7, 1.7e9]),
        gaps in prop::collection::vec(0.01_f64..300.0, 1..8), step in 0.01_f64..50.0, single: bool,
    ) {
        let as_it_came = |t: f64| if single { f64::from(t as f32) } else { t };
        let mut times = vec![as_it_came(origin)];
        for gap in gaps {
            let next = as_it_came(times[times.len() - 1] + gap);
            prop_assume!(next > times[times.len() - 1]);
            times.push(next);
        }
        let t1 = times[times.len() - 1];
        let grid = TimeGrid::with_step(times[0], &times[1..], t1, step).expect("a valid grid");
        for (ends, places) in times.windows(2).zip([0].iter().chain(grid.saves()).collect::<Vec<_>>().windows(2)) {
            let count = (places[1] - places[0]) as f64;
            let length = ends[1] - ends[0];
            let slack = (rounding(ends[0]) + rounding(ends[1])).min(0.5 * step);
            prop_assert!(count * step * (1.0 + 1e-11) >= length - slack, "{} steps for {}", count, length);
            prop_assert!(count <= (length / step).ceil(), "{} steps for {}", count, length);
        }
    }
}

#[test]
fn runs_backward_and_past_the_last_save_time() {
    let grid = TimeGrid::with_steps(1.0, &[1.0, 0.5], -1.0, 4).expect("a valid grid");
    assert_eq!((grid.steps(), grid.saves()), (8, &[0, 4][..]));
    assert_eq!(grid.t1(), -1.0);
}

#[test]
fn dense_save_times_lie_in_their_steps() {
    for sign in [1.0, -1.0] {
        let save_at: Vec<f64> = [0.0, 0.1, 0.25, 0.26, 0.3, 1.0].iter().map(|t| sign * t).collect();
        let grid = TimeGrid::dense(0.0, &save_at, sign, 0.25).expect("a valid grid");
        assert_eq!(grid.steps(), 4, "steps do not depend on the save times");
        assert_eq!(grid.save_times(), save_at);
        assert_eq!(grid.saves(), [0, 1, 2, 3, 4], "ends of the steps in use");
        for output in grid.outputs() {
            let (start, end) = (grid.times()[output.step], grid.times()[output.step + 1]);
            assert!((start + output.u * (end - start) - output.time).abs() < 1e-15, "{output:?}");
        }
    }
}

#[test]
fn time_gradients_of_all_boundaries_move_the_knots() {
    // J = Σ g_n τ_n of boundaries that follow t0, a save time and t1.
    let g = [0.3, -1.0, 2.0, 0.7, 0.1, -0.4, 0.9];
    let objective = |t0: f64, save: f64, t1: f64| {
        let grid = TimeGrid::with_steps(t0, &[save], t1, 3).expect("a valid grid");
        grid.times().iter().zip(&g).map(|(t, g)| t * g).sum::<f64>()
    };
    let grid = TimeGrid::with_steps(0.1, &[0.5], 2.0, 3).expect("a valid grid");
    let found = grid.time_gradient(&g, &[]);
    let e = 1e-6;
    let by_t0 = (objective(0.1 + e, 0.5, 2.0) - objective(0.1 - e, 0.5, 2.0)) / (2.0 * e);
    let by_save = (objective(0.1, 0.5 + e, 2.0) - objective(0.1, 0.5 - e, 2.0)) / (2.0 * e);
    let by_t1 = (objective(0.1, 0.5, 2.0 + e) - objective(0.1, 0.5, 2.0 - e)) / (2.0 * e);
    for (found, wanted) in [(found.t0, by_t0), (found.saves[0], by_save), (found.t1, by_t1)] {
        assert!((found - wanted).abs() < 1e-8, "{found} and {wanted}");
    }
}

#[test]
fn bad_grids_are_refused() {
    for bad in [
        TimeGrid::uniform(0.0, 1.0, 0),
        TimeGrid::uniform(1.0, 1.0, 3),
        TimeGrid::uniform(0.0, f64::NAN, 3),
        TimeGrid::with_step(0.0, &[], 1.0, 0.0),
        TimeGrid::with_step(0.0, &[], 1.0, -0.1),
        TimeGrid::with_step(0.0, &[], 1.0, 1e-12),
        TimeGrid::with_step_within(0.0, &[], 1.0, 0.1, -1.0),
        TimeGrid::with_step_within(0.0, &[], 1.0, 0.1, f64::NAN),
        TimeGrid::with_step(0.0, &[0.5, 0.5], 1.0, 0.1),
        TimeGrid::with_step(0.0, &[0.5, 0.4], 1.0, 0.1),
        TimeGrid::with_step(0.0, &[1.5], 1.0, 0.1),
        TimeGrid::with_step(0.0, &[-0.5], 1.0, 0.1),
        TimeGrid::from_boundaries(vec![0.0, 1.0], vec![]),
        TimeGrid::from_boundaries(vec![0.0, 1.0], vec![2]),
        TimeGrid::from_boundaries(vec![0.0], vec![0]),
    ] {
        assert!(matches!(bad, Err(Error::Invalid { .. })), "{bad:?} should be invalid");
    }
}
