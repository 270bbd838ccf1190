// An entry of the schedule: one update of a pair, src/solver/pair.rs.

struct Entry {
    // Length and time of the increment.
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

/// Observation after the update, or NO_SLOT: zero above the bits wraps to it.
fn slot_of(entry: Entry) -> u32 {
    return (entry.word >> 5u) - 1u;
}
