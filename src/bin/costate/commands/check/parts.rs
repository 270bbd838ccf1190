//! A gradient by what it is taken with respect to, in f64, and how far two of them are apart.

use costate::{Loss, TimeGradient, TimeGrid, reference};

/// What a gradient is taken with respect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Argument {
    Theta,
    X0,
    T0,
    T1,
    /// The save times.
    Saves,
    /// All times together.
    Times,
    Targets,
    LogScale,
}

impl Argument {
    /// What is compared for every adjoint.
    pub(super) const WALKED: [Self; 3] = [Self::Theta, Self::X0, Self::Times];

    /// All that a problem has.
    pub(super) fn all(grid: &TimeGrid, loss: Loss) -> Vec<Self> {
        let mut all = vec![Self::Theta, Self::X0, Self::T0, Self::T1];
        if !free_saves(grid).is_empty() {
            all.push(Self::Saves);
        }
        all.push(Self::Targets);
        if loss.parameter_count(1) > 0 {
            all.push(Self::LogScale);
        }
        all
    }

    /// As in `dJ/dθ`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Theta => "θ",
            Self::X0 => "x0",
            Self::T0 => "t0",
            Self::T1 => "t1",
            Self::Saves => "saves",
            Self::Times => "t",
            Self::Targets => "targets",
            Self::LogScale => "ln σ",
        }
    }

    /// True for what the adjoint is walked back for.
    pub(super) fn is_walked(self) -> bool {
        !matches!(self, Self::Targets | Self::LogScale)
    }

    pub(super) fn is_time(self) -> bool {
        matches!(self, Self::T0 | Self::T1 | Self::Saves | Self::Times)
    }
}

/// Save times that can be moved without t0 or t1: by their place among all of them.
pub(super) fn free_saves(grid: &TimeGrid) -> Vec<usize> {
    let times = grid.save_times();
    (0..times.len()).filter(|&i| times[i] != grid.t0() && times[i] != grid.t1()).collect()
}

/// A gradient, flat.
#[derive(Clone, Debug)]
pub(super) struct Parts {
    theta: Vec<f64>,
    x0: Vec<f64>,
    /// t0, t1 and the save times that move without them.
    times: Vec<f64>,
    targets: Vec<f64>,
    log_scale: Vec<f64>,
    /// How large each component of the state is.
    sizes: Vec<f64>,
    /// The least size that gradients in time are measured by: they may all be zero.
    floor: f64,
}

impl Parts {
    /// That of the device.
    pub(super) fn of_device(gradient: &costate::Gradient, grid: &TimeGrid, sizes: &[f64]) -> Self {
        let targets = gradient.targets.as_ref().map_or(Vec::new(), wide);
        let log_scale = gradient.log_scale.as_ref().map_or(Vec::new(), wide);
        Self {
            theta: wide(&gradient.theta),
            x0: wide(&gradient.x0),
            times: gradient.times.as_ref().map_or(Vec::new(), |times| flat(times, grid)),
            targets,
            log_scale,
            sizes: sizes.to_vec(),
            floor: floor(gradient.objective(), grid),
        }
    }

    /// That of the twin.
    pub(super) fn of_twin(gradient: &reference::Gradient, grid: &TimeGrid, sizes: &[f64]) -> Self {
        let cost = gradient.cost.as_ref().map_or(0.0, |cost| cost.iter().sum::<f64>() / cost.len() as f64);
        Self {
            theta: gradient.theta.clone(),
            x0: gradient.x0.iter().copied().collect(),
            times: flat(&gradient.times(grid), grid),
            targets: gradient.targets.iter().flatten().copied().collect(),
            log_scale: gradient.log_scale.clone(),
            sizes: sizes.to_vec(),
            floor: floor(gradient.loss.unwrap_or_default() + cost, grid),
        }
    }

    pub(super) fn get(&self, argument: Argument) -> &[f64] {
        match argument {
            Argument::Theta => &self.theta,
            Argument::X0 => &self.x0,
            Argument::T0 => self.times.get(..1).unwrap_or_default(),
            Argument::T1 => self.times.get(1..2).unwrap_or_default(),
            Argument::Saves => self.times.get(2..).unwrap_or_default(),
            Argument::Times => &self.times,
            Argument::Targets => &self.targets,
            Argument::LogScale => &self.log_scale,
        }
    }

    /// Relative L2 distance `‖a − b‖ / ‖b‖` from `self`, b. Single times are measured by all of them. What is taken with
    /// respect to a state counts by what a state as large as its component is would change.
    pub(super) fn distance(&self, other: &Self, argument: Argument) -> f64 {
        let (a, b) = (other.get(argument), self.get(argument));
        if a.len() != b.len() {
            return f64::NAN;
        }
        let stated = matches!(argument, Argument::X0 | Argument::Targets);
        let weight = |i: usize| if stated { self.sizes[i % self.sizes.len()] } else { 1.0 };
        let squares = |values: &mut dyn Iterator<Item = f64>| -> f64 {
            values.enumerate().map(|(i, v)| (weight(i) * v).powi(2)).sum::<f64>().sqrt()
        };
        let difference = squares(&mut a.iter().zip(b).map(|(a, b)| a - b));
        let size = match argument.is_time() {
            true => squares(&mut self.times.iter().copied()).max(self.floor),
            false => squares(&mut b.iter().copied()),
        };
        ratio(difference, size)
    }

    /// How many numbers are not the same bit for bit.
    pub(super) fn words_differing(&self, other: &Self) -> usize {
        let arguments = [Argument::Theta, Argument::X0, Argument::Times, Argument::Targets, Argument::LogScale];
        let differing = arguments.into_iter().map(|argument| {
            let (a, b) = (self.get(argument), other.get(argument));
            a.iter().zip(b).filter(|(a, b)| a.to_bits() != b.to_bits()).count() + a.len().abs_diff(b.len())
        });
        differing.sum()
    }

    /// The least size that gradients in time are measured by.
    pub(super) fn floor(&self) -> f64 {
        self.floor
    }
}

/// A part of the objective per unit of time below which f32 has no digits left.
fn floor(objective: f64, grid: &TimeGrid) -> f64 {
    1e-3 * (objective / (grid.t1() - grid.t0())).abs()
}

fn flat(times: &TimeGradient, grid: &TimeGrid) -> Vec<f64> {
    let saves = free_saves(grid);
    [times.t0, times.t1].into_iter().chain(saves.iter().map(|&i| times.saves[i])).collect()
}

fn wide<'a>(values: impl IntoIterator<Item = &'a f32>) -> Vec<f64> {
    values.into_iter().map(|v| f64::from(*v)).collect()
}

/// What is equal is equal, whatever its size.
pub(super) fn ratio(difference: f64, size: f64) -> f64 {
    if difference == 0.0 { 0.0 } else { difference / size }
}

/// The larger of two, NaN if either is.
pub(super) fn largest(a: f64, b: f64) -> f64 {
    if a.is_nan() || a >= b { a } else { b }
}
