// A pair of states in f32. Companion of pair_walk.wgsl; mirror: pair_fixed.wgsl.

alias Word = f32;

// y, then z.
var<private> pair: array<f32, 2u * COMPONENTS>;

fn load_pair() {
    for (var c = 0u; c < 2u; c++) {
        for (var q = 0u; q < COMPONENTS; q++) {
            pair[c * COMPONENTS + q] = state[c * DIM * call.stride + element(q)];
        }
    }
}

fn store_pair() {
    for (var c = 0u; c < 2u; c++) {
        for (var q = 0u; q < COMPONENTS; q++) {
            state[c * DIM * call.stride + element(q)] = pair[c * COMPONENTS + q];
        }
    }
}

fn copy_value(side: u32, q: u32) -> f32 {
    return select(pair[q], pair[COMPONENTS + q], side == 1u);
}

/// Replaces one copy. No element is addressed by the side: a private array that is stays out of the registers.
fn put_copy(side: u32, q: u32, v: f32) {
    pair[q] = select(v, pair[q], side == 1u);
    pair[COMPONENTS + q] = select(pair[COMPONENTS + q], v, side == 1u);
}

fn distance_of(q: u32) -> f32 {
    return abs(pair[q] - pair[COMPONENTS + q]);
}

/// source += drift * target.
fn slide(source_side: u32, drift: f32) {
    for (var q = 0u; q < COMPONENTS; q++) {
        put_copy(source_side, q, copy_value(source_side, q) + drift * copy_value(1u - source_side, q));
    }
}

/// The update itself, or its inverse. Where the increment is subtracted the target is kept whole. Going back, the start
/// of ALF leaves its source in both copies.
fn kick(target_side: u32, entry: Entry, backward: bool) {
    let alpha = select(schedule.pair.alpha, 1.0, has(entry, NEGATIVE));
    let beta = select(schedule.pair.beta, 0.0, has(entry, NEGATIVE));
    for (var q = 0u; q < COMPONENTS; q++) {
        let old = copy_value(target_side, q);
        let source = x[q];
        let plain = increment(q, entry.h);
        let g = select(plain, -plain, has(entry, NEGATIVE));
        let there = select(alpha * old + beta * source + g, g, has(entry, START));
        let back = select((old - g - beta * source) / alpha, source, has(entry, START));
        let after = select(there, back, backward);
        if (!is_finite(after)) {
            note_trouble(q, FORWARD_NON_FINITE);
        }
        put_copy(target_side, q, after);
    }
}

/// Keeps the mean and divides the difference by 2^bits.
fn contract() {
    let factor = 0.5 * power_of_two(-i32(call.bits));
    for (var q = 0u; q < COMPONENTS; q++) {
        let mean = 0.5 * (pair[q] + pair[COMPONENTS + q]);
        let half = factor * (pair[q] - pair[COMPONENTS + q]);
        pair[q] = mean + half;
        pair[COMPONENTS + q] = mean - half;
    }
}

/// Floats keep no log: the plan never asks for the way back through a contraction.
fn expand() {}
