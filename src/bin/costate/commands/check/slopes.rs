//! Finite differences of the twin's objective.

use costate::{Activation, Loss, Result, RunningCost};
use rand::{Rng, SeedableRng};
use rand_distr::{Distribution, StandardNormal};
use rand_pcg::Pcg64;

use super::parts::{Argument, Parts, free_saves, largest, ratio};
use super::twin::{Point, Twin};

/// Random directions per argument of the objective.
const DIRECTIONS: usize = 6;

/// Slopes of the objective with respect to everything it depends on.
pub(super) struct Slopes {
    arguments: Vec<(Argument, Directions)>,
    /// The least size that slopes in time are measured by.
    floor: f64,
}

/// Directions, of length 1 in the units of what is moved, and the slope along each, by finite differences.
pub(super) struct Directions(Vec<(Vec<f64>, f64)>);

/// Length of a difference step, and how many directions are tried.
#[derive(Clone, Copy)]
struct Differences {
    step: f64,
    tries: usize,
}

/// Four points of a line, in steps, and what makes a slope of the values there: twice, by two rules, to be compared.
struct Rule {
    points: [f64; 4],
    good: [f64; 4],
    crude: [f64; 4],
}

/// Central differences: both sides near and far, extrapolated.
const CENTRAL: Rule = Rule {
    points: [1.0, -1.0, 2.0, -2.0],
    good: [8.0 / 12.0, -8.0 / 12.0, -1.0 / 12.0, 1.0 / 12.0],
    crude: [0.0, 0.0, 0.25, -0.25],
};
/// Forward differences, of the third order.
const FORWARD: Rule =
    Rule { points: [0.0, 1.0, 2.0, 3.0], good: [-11.0 / 6.0, 3.0, -1.5, 1.0 / 3.0], crude: [-1.5, 2.0, -0.5, 0.0] };

impl Slopes {
    /// Along random directions, and along each of t0 and t1.
    pub(super) fn new(twin: &Twin<'_>, exact: &Parts, seed: u64) -> Result<Self> {
        // The stream of the initial states starts at the seed itself.
        let mut rng = Pcg64::seed_from_u64(seed ^ 0x5851_f42d_4c95_7f2d);
        let arguments = Argument::all(&twin.grid, twin.loss).into_iter();
        let found = arguments.map(|argument| Ok((argument, slopes(twin, argument, &mut rng)?)));
        Ok(Self { arguments: found.collect::<Result<_>>()?, floor: exact.floor() })
    }

    /// Largest difference between the slopes and those that `gradient` predicts, over the largest slope; of all times for
    /// a time.
    pub(super) fn mismatch(&self, gradient: &Parts, argument: Argument) -> f64 {
        let related = |a: Argument| a == argument || (a.is_time() && argument.is_time());
        let sizes = self.arguments.iter().filter(|(a, _)| related(*a)).map(|(_, d)| d.size());
        let size = sizes.fold(if argument.is_time() { self.floor } else { 0.0 }, largest);
        let own = self.arguments.iter().find(|(a, _)| *a == argument);
        own.map_or(f64::NAN, |(_, directions)| ratio(directions.mismatch(gradient.get(argument)), size))
    }
}

fn slopes(twin: &Twin<'_>, argument: Argument, rng: &mut impl Rng) -> Result<Directions> {
    let how = differences(twin, argument);
    match argument {
        Argument::Theta | Argument::X0 | Argument::Targets | Argument::LogScale => {
            let mut directions = random(rng, twin.point.get(argument).len(), how.tries);
            directions.iter_mut().for_each(|direction| twin.stretch(argument, direction));
            let states = twin.states()?;
            Directions::new(directions, how.step, &CENTRAL, &|change| {
                let moved = twin.point.moved(argument, change);
                match argument {
                    Argument::Theta | Argument::X0 => twin.objective(&moved, &twin.grid),
                    // The states are the same.
                    _ => Ok(twin.loss_of(&moved, &states)),
                }
            })
        }
        Argument::T0 | Argument::T1 => {
            let first = argument == Argument::T0;
            // A dense grid may have a save time at its end, which stays: only outward there is something to see.
            let dense = twin.grid.is_dense();
            let outward = if first { -twin.forward() } else { twin.forward() };
            let (rule, sign) = if dense { (&FORWARD, outward) } else { (&CENTRAL, 1.0) };
            Directions::new(vec![vec![sign]], how.step * twin.gap(), rule, &|change| {
                let ends = if first { [change[0], 0.0] } else { [0.0, change[0]] };
                twin.objective(&twin.point, &twin.shifted(ends, &[])?)
            })
        }
        Argument::Saves | Argument::Times => {
            let directions = random(rng, free_saves(&twin.grid).len(), how.tries);
            Directions::new(directions, how.step * twin.gap(), &CENTRAL, &|change| {
                twin.objective(&twin.point, &twin.shifted([0.0; 2], change)?)
            })
        }
    }
}

/// Random unit vectors.
fn random(rng: &mut impl Rng, length: usize, count: usize) -> Vec<Vec<f64>> {
    let one = |rng: &mut _| {
        let mut direction: Vec<f64> = (0..length).map(|_| StandardNormal.sample(rng)).collect();
        let norm = direction.iter().map(|v: &f64| v * v).sum::<f64>().sqrt();
        direction.iter_mut().for_each(|v| *v /= norm);
        direction
    };
    (0..count).map(|_| one(rng)).collect()
}

/// How differences are taken.
fn differences(twin: &Twin<'_>, argument: Argument) -> Differences {
    let jacobian = twin.cost.as_ref().is_some_and(|cost| cost.jacobian_weight() > 0.0);
    let of_field = twin.field.layers().iter().any(|layer| match layer.activation {
        Activation::Relu | Activation::LeakyRelu => true,
        // Its slope has a kink.
        Activation::Elu => jacobian,
        _ => false,
    });
    let of_loss = matches!(twin.loss, Loss::Mae | Loss::Huber { .. });
    // Pieces of a reference and of an interpolated state meet in a kink of their slopes.
    let reference = twin.cost.as_ref().and_then(RunningCost::reference_term).is_some();
    let of_time = argument.is_time() && (reference || twin.grid.is_dense());
    // Rounding over the step and the step's fourth power balance, except where kinks must not be stepped over.
    if of_field || of_loss || of_time {
        Differences { step: 1e-6, tries: 4 * DIRECTIONS }
    } else {
        Differences { step: 1e-4, tries: DIRECTIONS }
    }
}

impl Directions {
    /// Where more directions are given than needed, those are kept along which two rules agree best: the others have
    /// stepped over a kink and say nothing.
    fn new(
        directions: Vec<Vec<f64>>,
        step: f64,
        rule: &Rule,
        objective: &dyn Fn(&[f64]) -> Result<f64>,
    ) -> Result<Self> {
        let mut found = Vec::with_capacity(directions.len());
        for direction in directions {
            let at = |h: f64| objective(&direction.iter().map(|v| h * step * v).collect::<Vec<_>>());
            let mut values = [0.0; 4];
            for (value, h) in values.iter_mut().zip(rule.points) {
                *value = at(h)?;
            }
            let slope = |weights: &[f64; 4]| values.iter().zip(weights).map(|(v, w)| v * w).sum::<f64>() / step;
            let (good, crude) = (slope(&rule.good), slope(&rule.crude));
            found.push(((good - crude).abs(), direction, good));
        }
        found.sort_by(|a, b| a.0.total_cmp(&b.0));
        Ok(Self(found.into_iter().take(DIRECTIONS).map(|(_, direction, slope)| (direction, slope)).collect()))
    }

    /// Directions and slopes of the caller's.
    pub(super) fn along(
        rng: &mut impl Rng,
        twin: &Twin<'_>,
        objective: impl Fn(&Point) -> Result<f64>,
    ) -> Result<Self> {
        let Differences { step, tries } = differences(twin, Argument::Theta);
        let parameters = twin.point.get(Argument::Theta).len();
        let mut directions = random(rng, parameters + twin.point.get(Argument::X0).len(), tries);
        directions.iter_mut().for_each(|direction| twin.stretch(Argument::X0, &mut direction[parameters..]));
        Self::new(directions, step, &CENTRAL, &|change| {
            let (theta, x0) = change.split_at(parameters);
            objective(&twin.point.moved(Argument::Theta, theta).moved(Argument::X0, x0))
        })
    }

    /// The largest slope.
    pub(super) fn size(&self) -> f64 {
        self.0.iter().map(|(_, slope)| slope.abs()).fold(0.0, largest)
    }

    /// Largest difference between the slopes and those that `gradient` predicts.
    pub(super) fn mismatch(&self, gradient: &[f64]) -> f64 {
        let off = self.0.iter().map(|(direction, slope)| {
            let predicted = gradient.iter().zip(direction).map(|(g, v)| g * v).sum::<f64>();
            (predicted - slope).abs()
        });
        if self.0.iter().any(|(direction, _)| direction.len() != gradient.len()) {
            return f64::NAN;
        }
        off.fold(0.0, largest)
    }
}
