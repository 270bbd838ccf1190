//! How much the result depends on the steps: the same problem in f64 with half of them.

use costate::{Result, TimeGrid};
use ndarray::{Array2, Array3, Axis};

use super::Line;
use super::parts::{largest, ratio};
use super::twin::Twin;
use crate::output;

/// A change of this part of a component is worth a word.
const NOTABLE: f64 = 1e-2;
/// With a larger one the result is that of the steps, not of the field.
const WORTHLESS: f64 = 0.5;

/// The line, from the states at the save times with the steps of the run.
pub(super) fn line(twin: &Twin<'_>, states: &Array3<f64>) -> Result<Line> {
    let (check, grid) = match fewer(&twin.grid)? {
        Some(grid) => ("half the steps change the result by", grid),
        None => ("twice the steps change the result by", divided(&twin.grid, |steps| 2 * steps)?),
    };
    let change = change(states, &twin.states_on(&grid)?, &twin.initial()?);
    let mut line = Line::new(check, change, WORTHLESS);
    if change > NOTABLE && line.ok {
        line.remark = "much";
        output::warn(&format!(
            "{check} {change:.2e} of a component: the result is that of the steps as well as of the field; use smaller ones"
        ));
    }
    Ok(line)
}

/// Largest change over trajectories and components, each relative to the component's largest value.
fn change(states: &Array3<f64>, other: &Array3<f64>, starts: &Array2<f64>) -> f64 {
    let mut worst = 0.0;
    for (at, start) in starts.indexed_iter() {
        let lane = |array: &Array3<f64>| array.index_axis(Axis(1), at.0).index_axis(Axis(1), at.1).to_vec();
        let (found, changed) = (lane(states), lane(other));
        let size = found.iter().chain(&changed).map(|x| x.abs()).fold(start.abs(), largest);
        let off = found.iter().zip(&changed).map(|(a, b)| (a - b).abs()).fold(0.0, largest);
        // A component that is zero throughout has not changed.
        worst = largest(worst, if off == 0.0 { 0.0 } else { ratio(off, size) });
    }
    worst
}

/// The grid with half the steps, rounded up, between any two save times; `None` if there is one everywhere.
fn fewer(grid: &TimeGrid) -> Result<Option<TimeGrid>> {
    let fewer = divided(grid, |steps| steps.div_ceil(2))?;
    Ok((fewer.steps() < grid.steps()).then_some(fewer))
}

/// The grid with another number of steps between any two neighbours of t0, the save times and t1.
fn divided(grid: &TimeGrid, number: impl Fn(usize) -> usize) -> Result<TimeGrid> {
    if grid.is_dense() {
        return TimeGrid::dense_with_steps(grid.t0(), &grid.save_times(), grid.t1(), number(grid.steps()));
    }
    let mut knots: Vec<usize> = vec![0];
    knots.extend(grid.saves().iter().copied().filter(|n| *n != 0 && *n != grid.steps()));
    knots.push(grid.steps());
    let (mut times, mut saves) = (vec![grid.t0()], Vec::new());
    if grid.saves()[0] == 0 {
        saves.push(0);
    }
    for pair in knots.windows(2) {
        let steps = number(pair[1] - pair[0]);
        let [start, end] = [grid.times()[pair[0]], grid.times()[pair[1]]];
        times.extend((1..steps).map(|i| start + (end - start) * i as f64 / steps as f64));
        times.push(end);
        if grid.saves().contains(&pair[1]) {
            saves.push(times.len() - 1);
        }
    }
    TimeGrid::from_boundaries(times, saves)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_interval_gets_half_its_steps() {
        let grid = TimeGrid::with_step(0.0, &[0.0, 0.5, 0.6, 1.0], 1.2, 0.1).expect("a valid grid");
        let half = fewer(&grid).expect("a grid").expect("fewer steps");
        assert_eq!((grid.saves(), grid.steps()), ([0, 5, 6, 10].as_slice(), 12), "the grid itself");
        assert_eq!((half.saves(), half.steps()), ([0, 3, 4, 6].as_slice(), 7), "half of it");
        assert_eq!(half.save_times(), grid.save_times(), "save times");
        assert_eq!((half.t0(), half.t1()), (grid.t0(), grid.t1()), "ends");
        let single = TimeGrid::with_steps(0.0, &[1.0, 3.0], 3.0, 1).expect("a valid grid");
        assert_eq!(fewer(&single).expect("a grid"), None, "one step between save times");
        assert_eq!(divided(&single, |n| 2 * n).expect("a grid").times(), [0.0, 0.5, 1.0, 2.0, 3.0], "twice of it");
    }
}
