// How much of its increments a pair has lost to rounding: increments are added up apart, and what the mean of the copies has
// moved by is subtracted. Contractions keep the mean, and in fixed point that sum of words is exact, so that only what
// rounding has taken from one kick after the other is left. Only for kicks: other methods blend the copies.
// Companions: pair_walk.wgsl, largest, pair_float or pair_fixed, a binding `measures`.

// Mean of the copies at the start of the dispatch, and sum of the increments since then.
var<private> started: array<f32, COMPONENTS>;
var<private> asked: array<f32, COMPONENTS>;

// Less than this, in parts of the component, is the rounding of the two means.
const MEAN_ROUNDING: f32 = 5e-7;

fn counts_losses() -> bool {
    return schedule.pair.alpha == 1.0 && schedule.pair.beta == 0.0 && (call.mode & PAY) != 0u;
}

fn mean_of_copies(q: u32) -> f32 {
    return 0.5 * copy_value(0u, q) + 0.5 * copy_value(1u, q);
}

fn begin_asking() {
    for (var q = 0u; q < COMPONENTS; q++) {
        started[q] = mean_of_copies(q);
        asked[q] = 0.0;
    }
}

/// Adds the increment at hand.
fn ask(entry: Entry) {
    let h = select(entry.h, -entry.h, has(entry, NEGATIVE));
    for (var q = 0u; q < COMPONENTS; q++) {
        asked[q] += increment(q, h);
    }
}

/// Adds the share of each component that the dispatch has lost, and the share that the increments were to move it by.
fn note_losses() {
    if (!counts_losses()) {
        return;
    }
    for (var q = 0u; q < COMPONENTS; q++) {
        let mean = mean_of_copies(q);
        let size = max(abs(mean), abs(started[q]));
        // Each copy is kicked through every step.
        let increment = 0.5 * asked[q];
        let lost = abs(increment - (mean - started[q]));
        // Behind the largest magnitudes and the distances of the copies.
        let at = (LARGEST_ROW + 2u * DIM) * call.stride + element(q);
        if (size > 0.0) {
            measures[at] += select(0.0, lost / size, lost > MEAN_ROUNDING * size);
            measures[at + DIM * call.stride] += abs(increment) / size;
        }
    }
}
