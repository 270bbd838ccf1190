//! A batch in parts. A trajectory that cannot be done as the rest of its batch is done again another way, alone: what a
//! trajectory gets follows from itself, never from its neighbours.

use ndarray::{Array2, Array3, ArrayView2, ArrayView3, Axis};

use super::observations::Observations;
use super::outcome::{Cost, Gradient, Reconstruction, Report, Solution};
use super::session::Seed;
use super::status::TrajectoryStatus;
use super::warning::{Reason, Warning};
use crate::plan::Elsewhere;
use crate::solver::TimeGradient;

/// How a part of a batch is done. Each way is a net for what the one before could not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Way {
    /// As the problem says.
    Asked,
    /// An exact walk with a larger log.
    LargerLog { words: u32 },
    /// The same method in floats, with kept states.
    Kept,
}

/// Why a trajectory must be done another way, if there is one; `drift` is that of its reconstruction.
pub(super) fn reason(status: TrajectoryStatus, drift: Option<f32>, tolerance: f32) -> Option<Reason> {
    match status {
        TrajectoryStatus::Parted => Some(Reason::Parted),
        TrajectoryStatus::OutOfRange { .. } | TrajectoryStatus::TooCoarse => Some(Reason::Range),
        TrajectoryStatus::ReverseNonFinite { .. } if drift.is_some() => {
            Some(Reason::Drift { drift: f32::INFINITY, tolerance })
        }
        TrajectoryStatus::Ok => {
            drift.filter(|d| d.is_nan() || *d > tolerance).map(|drift| Reason::Drift { drift, tolerance })
        }
        _ => None,
    }
}

/// The trajectories that one way leaves to the next.
#[derive(Debug, Default)]
pub(super) struct Left {
    /// Their places in the part, rising.
    pub places: Vec<usize>,
    reasons: Vec<Reason>,
}

impl Left {
    /// Of a part with these statuses and relative drifts.
    pub(super) fn of(status: &[TrajectoryStatus], drifts: Option<&[f32]>, tolerance: f32) -> Self {
        let mut left = Self::default();
        for (place, status) in status.iter().enumerate() {
            if let Some(reason) = reason(*status, drifts.map(|d| d[place]), tolerance) {
                left.places.push(place);
                left.reasons.push(reason);
            }
        }
        left
    }

    /// True for a trajectory that is left.
    pub(super) fn has(&self, place: usize) -> bool {
        self.places.binary_search(&place).is_ok()
    }

    /// All of a part, if any of it is left.
    pub(super) fn with_all(self, part: usize) -> Self {
        let Some(first) = self.reasons.first().copied() else { return self };
        Self { places: (0..part).collect(), reasons: vec![first; part] }
    }

    /// Those that `way` may help, and those that must wait for the last one: a larger log brings copies together only.
    pub(super) fn split(self, way: Way) -> [Self; 2] {
        let mut parts = [Self::default(), Self::default()];
        for (place, reason) in self.places.into_iter().zip(self.reasons) {
            let helps = !matches!(way, Way::LargerLog { .. }) || reason == Reason::Parted;
            let part = &mut parts[usize::from(!helps)];
            part.places.push(place);
            part.reasons.push(reason);
        }
        parts
    }

    /// One warning for each kind of reason; of drifts the largest is told.
    pub(super) fn warnings(&self, way: Way) -> Vec<Warning> {
        let kind = |reason: &Reason| match reason {
            Reason::Parted => 0,
            Reason::Range => 1,
            Reason::Drift { .. } => 2,
        };
        let size = |reason: &Reason| match reason {
            Reason::Drift { drift, .. } => *drift,
            _ => 0.0,
        };
        let log_words = match way {
            Way::LargerLog { words } => Some(words),
            Way::Asked | Way::Kept => None,
        };
        let of_kind = |wanted: i32| {
            let those = || self.reasons.iter().filter(|r| kind(r) == wanted);
            let worst = those().max_by(|a, b| size(a).total_cmp(&size(b)))?;
            Some(Warning::Redone { trajectories: those().count(), reason: *worst, log_words })
        };
        (0..3).filter_map(of_kind).collect()
    }
}

/// What is given for some trajectories of a batch.
pub(super) struct Input {
    pub x0: Array2<f32>,
    seed: OwnSeed,
}

enum OwnSeed {
    Nothing,
    Targets { targets: Array3<f32>, weights: Option<Array3<f32>>, mask: Option<Array3<bool>>, log_scale: Vec<f32> },
    Cotangents(Array3<f32>),
}

impl Input {
    /// The rows of these trajectories.
    pub(super) fn select(x0: ArrayView2<'_, f32>, seed: Option<&Seed<'_>>, rows: &[usize]) -> Self {
        let of = |values: ArrayView3<'_, f32>| values.select(Axis(1), rows);
        let seed = match seed {
            None => OwnSeed::Nothing,
            Some(Seed::Cotangents(values)) => OwnSeed::Cotangents(of(*values)),
            Some(Seed::Targets(o)) => OwnSeed::Targets {
                targets: of(o.targets),
                weights: o.weights.map(of),
                mask: o.mask.map(|mask| mask.select(Axis(1), rows)),
                log_scale: o.log_scale.to_vec(),
            },
        };
        Self { x0: x0.select(Axis(0), rows), seed }
    }

    /// What a gradient starts from.
    pub(super) fn seed(&self) -> Option<Seed<'_>> {
        match &self.seed {
            OwnSeed::Nothing => None,
            OwnSeed::Cotangents(values) => Some(Seed::Cotangents(values.view())),
            OwnSeed::Targets { targets, weights, mask, log_scale } => Some(Seed::Targets(Observations {
                targets: targets.view(),
                weights: weights.as_ref().map(|w| w.view()),
                mask: mask.as_ref().map(|m| m.view()),
                log_scale,
            })),
        }
    }
}

/// Observations and trajectories of a part that its means are over.
#[expect(clippy::cast_precision_loss, reason = "counts in the divisor of a mean, in f32 on the device")]
pub(super) fn counted(seed: &Seed<'_>, status: &[TrajectoryStatus]) -> Elsewhere {
    let Seed::Targets(observations) = seed else { return Elsewhere::default() };
    let well: Vec<usize> = status.iter().enumerate().filter(|(_, s)| s.is_ok()).map(|(b, _)| b).collect();
    let each = observations.targets.len() / observations.targets.shape()[1].max(1);
    let seen = match observations.mask {
        None => each * well.len(),
        Some(mask) => well.iter().map(|b| mask.index_axis(Axis(1), *b).iter().filter(|m| **m).count()).sum(),
    };
    Elsewhere { observations: seen as f32, trajectories: well.len() as f32 }
}

/// Puts the reports of parts together; `rows` are the places in the batch of each part's trajectories.
fn report(parts: &[(&[usize], &Report)], batch: usize) -> Option<Report> {
    let (_, first) = parts.first()?;
    let mut whole = Report { status: vec![TrajectoryStatus::Ok; batch], warnings: Vec::new(), ..(*first).clone() };
    for (rows, part) in parts {
        for (row, status) in rows.iter().zip(&part.status) {
            whole.status[*row] = *status;
        }
        whole.warnings.extend(part.warnings.iter().cloned());
    }
    for (_, part) in &parts[1..] {
        whole.dispatches += part.dispatches;
        whole.flops += part.flops;
        whole.bytes_moved += part.bytes_moved;
        whole.seconds += part.seconds;
        whole.copy_difference = whole.copy_difference.into_iter().chain(part.copy_difference).reduce(f32::max);
    }
    Some(whole)
}

/// Solutions of parts as one.
pub(super) fn join_solutions(parts: Vec<(Vec<usize>, Solution)>, batch: usize) -> Option<Solution> {
    let reports: Vec<(&[usize], &Report)> = parts.iter().map(|(rows, s)| (rows.as_slice(), &s.report)).collect();
    let report = report(&reports, batch)?;
    let [times, _, dim]: [usize; 3] = parts[0].1.states.dim().into();
    let mut states = Array3::from_elem([times, batch, dim], f32::NAN);
    for (rows, part) in &parts {
        for (from, to) in rows.iter().enumerate() {
            states.index_axis_mut(Axis(1), *to).assign(&part.states.index_axis(Axis(1), from));
        }
    }
    let costs = parts.iter().map(|(rows, part)| (rows.as_slice(), part.cost.as_ref()));
    let cost = join_costs(costs, batch, false);
    Some(Solution { states, cost, report })
}

/// Gradients of parts, each with the means of all of them, as one. `summed` tells that costs are a sum, not a mean.
pub(super) fn join_gradients(parts: Vec<(Vec<usize>, Gradient)>, batch: usize, summed: bool) -> Option<Gradient> {
    let reports: Vec<(&[usize], &Report)> = parts.iter().map(|(rows, g)| (rows.as_slice(), &g.report)).collect();
    let report = report(&reports, batch)?;
    let costs = parts.iter().map(|(rows, part)| (rows.as_slice(), part.cost.as_ref()));
    let cost = join_costs(costs, batch, summed);
    let reconstruction = join_certificates(&parts, &report.status);
    let mut parts = parts.into_iter();
    let (rows, mut whole) = parts.next()?;
    whole.x0 = scattered(&rows, whole.x0, batch, 0);
    whole.targets = whole.targets.map(|values| scattered(&rows, values, batch, 1));
    for (rows, part) in parts {
        whole.loss = whole.loss.zip(part.loss).map(|(a, b)| a + b);
        add(&mut whole.theta, &part.theta);
        whole.x0 += &scattered(&rows, part.x0, batch, 0);
        if let (Some(whole), Some(part)) = (&mut whole.targets, part.targets) {
            *whole += &scattered(&rows, part, batch, 1);
        }
        if let (Some(whole), Some(part)) = (&mut whole.log_scale, part.log_scale) {
            add(whole, &part);
        }
        if let (Some(whole), Some(part)) = (&mut whole.times, part.times) {
            *whole = sum(whole, &part);
        }
    }
    Some(Gradient { cost, reconstruction, report, ..whole })
}

/// Rows of a part at their places in the batch; zero elsewhere. Gradients that were not asked for stay empty.
fn scattered<D: ndarray::RemoveAxis>(
    rows: &[usize],
    values: ndarray::Array<f32, D>,
    batch: usize,
    axis: usize,
) -> ndarray::Array<f32, D> {
    if values.is_empty() {
        return values;
    }
    let mut shape = values.raw_dim();
    shape[axis] = batch;
    let mut whole = ndarray::Array::zeros(shape);
    for (from, to) in rows.iter().enumerate() {
        whole.index_axis_mut(Axis(axis), *to).assign(&values.index_axis(Axis(axis), from));
    }
    whole
}

fn add(whole: &mut [f32], part: &[f32]) {
    whole.iter_mut().zip(part).for_each(|(a, b)| *a += b);
}

fn sum(a: &TimeGradient, b: &TimeGradient) -> TimeGradient {
    let saves = a.saves.iter().zip(&b.saves).map(|(a, b)| a + b).collect();
    TimeGradient { t0: a.t0 + b.t0, t1: a.t1 + b.t1, saves }
}

fn join_costs<'a>(
    parts: impl Iterator<Item = (&'a [usize], Option<&'a Cost>)>,
    batch: usize,
    summed: bool,
) -> Option<Cost> {
    let mut per_trajectory = vec![f64::NAN; batch];
    for (rows, cost) in parts {
        for (row, value) in rows.iter().zip(&cost?.per_trajectory) {
            per_trajectory[*row] = *value;
        }
    }
    Some(Cost::new(per_trajectory, summed))
}

/// Parts whose states were kept have nothing to be certified: they are off by nothing.
fn join_certificates(parts: &[(Vec<usize>, Gradient)], status: &[TrajectoryStatus]) -> Option<Reconstruction> {
    let certified = || parts.iter().filter_map(|(_, part)| part.reconstruction.as_ref());
    let words = certified().next()?.words_differing;
    let [mut absolute, mut relative] = [vec![0.0; status.len()], vec![0.0; status.len()]];
    for (rows, part) in parts {
        let Some(certificate) = &part.reconstruction else { continue };
        for (from, to) in rows.iter().enumerate() {
            absolute[*to] = certificate.per_trajectory[from];
            relative[*to] = certificate.relative_per_trajectory[from];
        }
    }
    Some(Reconstruction::new(absolute, relative, status, words))
}
