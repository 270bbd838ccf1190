// An entry of the schedule: one update of a pair, src/solver/pair.rs.

struct Entry {
    // Length and time (since t0: src/plan/origin.rs) of the increment.
    h: f32,
    t: f32,
    // Drift before and after.
    drift: f32,
    // What it does in the lower five bits, the observation after it plus one above (src/plan/track.rs).
    word: u32,
}

const SIDE: u32 = 1u;
const NEGATIVE: u32 = 2u;
const START: u32 = 4u;
const ALIGNED: u32 = 8u;
const CONTRACT: u32 = 16u;

fn has(entry: Entry, bit: u32) -> bool {
    return (entry.word & bit) != 0u;
}

/// The length that an update stands for in the quadrature of the running cost: half of a kick's, since both copies are
/// kicked through every step; a whole step with a drift, which the start has not.
fn paid_length(entry: Entry) -> f32 {
    let kicked = select(0.5, -0.5, has(entry, NEGATIVE)) * entry.h;
    let drifts = schedule.pair.alpha < 0.0;
    return select(kicked, 2.0 * entry.drift, drifts);
}

/// How that length grows with the update's part of its segment: see clock.wgsl.
fn paid_rate(entry: Entry) -> f32 {
    return select(select(0.5, -0.5, has(entry, NEGATIVE)), 1.0, schedule.pair.alpha < 0.0);
}

/// Observation after the update, or NO_SLOT: zero above the bits wraps to it.
fn slot_of(entry: Entry) -> u32 {
    return (entry.word >> 5u) - 1u;
}
