//! What kernels see of the method and the time grid: a uniform of fixed size, refilled window by window.

use encase::{ShaderType, UniformBuffer};

use super::call::NO_SLOT;
use super::origin::Origin;
use super::spec::Spec;
use super::track::{PackedUpdate, Track};
use crate::error::{Error, Result};
use crate::solver::{PairScheme, TimeGrid, Update};

/// Entries in one window. The device holds one window at a time, so its memory does not depend on the number of steps.
pub(crate) const WINDOW: usize = 1024;
/// Stages that the uniform has room for.
pub(crate) const MAX_STAGES: usize = 8;

/// A number padded to 16 bytes, the stride of arrays in uniform buffers.
#[derive(Clone, Copy, Debug, Default, ShaderType)]
struct Coefficient {
    #[shader(size(16))]
    value: f32,
}

/// Time and weight of a stage, and its weight in the error estimate; the field at the end of the step is one stage more.
#[derive(Clone, Copy, Debug, Default, ShaderType)]
struct Node {
    c: f32,
    b: f32,
    #[shader(size(8))]
    error: f32,
}

/// An entry; times are those since t0. Steps: start, end, length, and the observation at the end (of the grid's direction), if any. Updates of a
/// pair: length, time, drift, and what they do.
#[derive(Clone, Copy, Debug, Default, ShaderType)]
struct Entry {
    first: f32,
    second: f32,
    third: f32,
    word: u32,
}

/// Numbers of a method on a pair: factors of target and source in an update, weights of y and z in the output.
#[derive(Clone, Copy, Debug, Default, ShaderType)]
struct PairNumbers {
    alpha: f32,
    beta: f32,
    y: f32,
    z: f32,
}

/// Weights of the terms of the running cost, and the seed of the probe.
#[derive(Clone, Copy, Debug, Default, ShaderType)]
struct Cost {
    kinetic: f32,
    reference: f32,
    jacobian: f32,
    seed: u32,
}

/// The clocks of two entries, since elements of an array in a uniform take 16 bytes: each entry's place in its segment of
/// the grid, between knots that it moves with, and its part of the segment's length.
#[derive(Clone, Copy, Debug, Default, ShaderType)]
struct Clocks {
    even_place: f32,
    even_part: f32,
    odd_place: f32,
    odd_part: f32,
}

#[derive(Clone, Debug, ShaderType)]
struct Schedule {
    a: [Coefficient; MAX_STAGES * MAX_STAGES],
    nodes: [Node; MAX_STAGES],
    pair: PairNumbers,
    cost: Cost,
    entries: [Entry; WINDOW],
    clock: [Clocks; WINDOW / 2],
}

/// Refuses times that are no ordinary numbers of f32: the lengths of the steps and of the solve, and where the field sees the
/// time, t0. How far t0 is from zero does not matter otherwise, since the kernels count from there.
pub(crate) fn check_times(grid: &TimeGrid, time_input: bool) -> Result<()> {
    let lengths = grid.times().windows(2).map(|w| (w[1] - w[0]).abs());
    let shortest = lengths.fold(f64::INFINITY, f64::min);
    let span = (grid.t1() - grid.t0()).abs();
    let farthest = if time_input { span.max(grid.t0().abs()) } else { span };
    if farthest > f64::from(f32::MAX) || shortest < f64::from(f32::MIN_POSITIVE) {
        return Err(Error::invalid(
            "time grid",
            format!("steps of {shortest:e} from {:e} to {:e}", grid.t0(), grid.t1()),
            "use a unit of time in which they are ordinary f32 numbers",
        ));
    }
    Ok(())
}

/// Bytes of the schedule uniform.
pub(crate) fn schedule_bytes() -> u64 {
    Schedule::min_size().get()
}

/// Writes window `index`: the entries `index * WINDOW ..`, computed in f64 and rounded once.
pub(crate) fn write_window(spec: &Spec, track: &Track, index: usize) -> Result<Vec<u8>> {
    let (method, grid) = (spec.method, &spec.grid);
    let tableau = method.tableau();
    let mut schedule = Schedule {
        a: [Coefficient::default(); MAX_STAGES * MAX_STAGES],
        nodes: [Node::default(); MAX_STAGES],
        pair: PairNumbers::default(),
        cost: cost(spec),
        entries: [Entry::default(); WINDOW],
        clock: [Clocks::default(); WINDOW / 2],
    };
    for i in 0..tableau.stages() {
        schedule.nodes[i] = Node { c: round(tableau.c[i]), b: round(tableau.b[i]), error: 0.0 };
        for j in 0..i {
            schedule.a[i * MAX_STAGES + j].value = round(tableau.a(i, j));
        }
    }
    for (node, error) in schedule.nodes.iter_mut().zip(tableau.error) {
        node.error = round(*error);
    }
    let first = index * WINDOW;
    if let Some(pair) = method.pair() {
        let ([alpha, beta], [y, z]) = (blend(&pair), pair.output().map(round));
        schedule.pair = PairNumbers { alpha, beta, y, z };
        let updates = track.updates.iter().skip(first);
        for (entry, &PackedUpdate { h, t, drift, word }) in schedule.entries.iter_mut().zip(updates) {
            *entry = Entry { first: h, second: t, third: drift, word };
        }
    } else {
        let last = (first + WINDOW).min(grid.steps());
        let origin = Origin::of(grid);
        let mut slot = grid.saves().partition_point(|&s| s <= first);
        for (entry, n) in schedule.entries.iter_mut().zip(first..last) {
            let (start, end) = (grid.times()[n], grid.times()[n + 1]);
            let observed = grid.saves().get(slot) == Some(&(n + 1));
            *entry = Entry {
                first: origin.since(start),
                second: origin.since(end),
                third: round(end - start),
                word: if observed { u32::try_from(slot).unwrap_or(NO_SLOT) } else { NO_SLOT },
            };
            slot += usize::from(observed);
        }
    }
    if spec.adjoint.is_some() && spec.wrt.times() {
        for (n, [place, part]) in clocks(spec, first).into_iter().enumerate() {
            let pair = &mut schedule.clock[n / 2];
            if n % 2 == 0 {
                (pair.even_place, pair.even_part) = (place, part);
            } else {
                (pair.odd_place, pair.odd_part) = (place, part);
            }
        }
    }
    let mut bytes = UniformBuffer::new(Vec::new());
    bytes.write(&schedule).map_err(|e| Error::Device { what: "the step schedule".into(), message: e.to_string() })?;
    Ok(bytes.into_inner())
}

fn cost(spec: &Spec) -> Cost {
    let Some(cost) = &spec.cost else { return Cost::default() };
    Cost {
        kinetic: round(cost.kinetic_weight()),
        reference: round(cost.reference_term().map_or(0.0, |(weight, _)| weight)),
        jacobian: round(cost.jacobian_weight()),
        seed: cost.seed(),
    }
}

/// Place and part, see [`Clocks`], of the entries from `first` on. Knots are the kept boundaries, t0 and t1.
fn clocks(spec: &Spec, first: usize) -> Vec<[f32; 2]> {
    let grid = &spec.grid;
    let boundary = |n: usize| grid.times()[n];
    let clock = |step: usize, t: f64, length: f64| {
        let after = grid.saves().partition_point(|&s| s <= step);
        let from = if after == 0 { 0 } else { grid.saves()[after - 1] };
        let to = grid.saves().get(after).copied().unwrap_or(grid.steps());
        let whole = boundary(to) - boundary(from);
        [(t - boundary(from)) / whole, length / whole].map(round)
    };
    match spec.method.pair() {
        None => {
            let steps = first..(first + WINDOW).min(grid.steps());
            steps.map(|n| clock(n, boundary(n), boundary(n + 1) - boundary(n))).collect()
        }
        Some(pair) => {
            // The increment of a drifting update has no length; its drifts are half of the step's.
            let length = |u: &Update| if pair.has_copies() { u.h } else { 2.0 * u.drift };
            let updates = pair.updates(grid, spec.contraction).skip(first).take(WINDOW);
            updates.map(|u| clock(u.step, u.t, length(&u))).collect()
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "this is the one place where host f64 becomes device f32")]
fn round(value: f64) -> f32 {
    value as f32
}

/// The shares of target and source in an update. Those of a blend add up to one in f32 too: a rest of 1e-8 would let the
/// state grow by as much in every step.
fn blend(pair: &PairScheme) -> [f32; 2] {
    let [alpha, beta] = pair.blend().map(round);
    if beta == 0.0 {
        return [alpha, beta];
    }
    let beta = 1.0 - alpha;
    [1.0 - beta, beta]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Mlp;
    use crate::solver::{Adjoint, AdjointOptions, Method};

    #[test]
    fn shares_add_up_to_one() {
        for coupling in [0.999, 0.9, 0.7, 0.3, 0.1, 1e-3] {
            let method = Method::mccallum_foster(Method::Rk4, coupling).expect("a valid coupling");
            let [alpha, beta] = blend(&method.pair().expect("a method on a pair"));
            assert_eq!(f64::from(alpha) + f64::from(beta), 1.0, "λ = {coupling}");
            assert!((f64::from(alpha) - coupling).abs() < 6e-8, "α = {alpha} for λ = {coupling}");
        }
        for (method, shares) in [(Method::BlanesMoan4, [1.0, 0.0]), (Method::Alf, [-1.0, 0.0])] {
            assert_eq!(blend(&method.pair().expect("a method on a pair")), shares, "{method}");
        }
    }

    #[test]
    fn windows_continue_each_other_and_name_each_observation_once() {
        let grid = TimeGrid::with_steps(0.0, &[0.0, 0.5, 1.0, 1.5], 2.0, 700).expect("a valid grid");
        let track = Track::new(Method::Tsit5, &grid, None).expect("a valid track");
        let field = Mlp::builder(1).build().expect("a valid field");
        let options = AdjointOptions::default();
        let spec = Spec::solve(field, Method::Tsit5, grid.clone(), Adjoint::Stored, options, 1);
        let mut slots = Vec::new();
        let mut time = 0.0_f32;
        for window in 0..grid.steps().div_ceil(WINDOW) {
            let bytes = write_window(&spec, &track, window).expect("a window");
            assert_eq!(bytes.len() as u64, schedule_bytes(), "every window has the same size");
            let words: &[u32] = bytemuck::cast_slice(&bytes);
            let steps = &words[(MAX_STAGES * MAX_STAGES + MAX_STAGES + 2) * 4..];
            for step in steps.chunks(4).take(WINDOW.min(grid.steps() - window * WINDOW)) {
                assert_eq!(f32::from_bits(step[0]), time, "a step starts where the last one ended");
                time = f32::from_bits(step[1]);
                slots.extend((step[3] != NO_SLOT).then_some(step[3]));
            }
        }
        assert_eq!(slots, [1, 2, 3], "slot 0 is the save at t0, before the first step");
        assert_eq!(time, 2.0, "the last step ends at t1");
    }
}
