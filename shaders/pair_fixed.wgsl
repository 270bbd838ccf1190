// A pair of states in fixed point: every update is a bijection of the words, whatever the increment's value, and so is the
// contraction together with its log (math.md sections 4.2 to 4.4). Every component of every trajectory has a binary point of
// its own, behind the copies in `state`. Companions of pair_walk.wgsl: fixed, fixed_one or fixed_two, pair_log.
// Mirror: pair_float.wgsl.

alias Word = u32;

// y, then z.
var<private> pair: array<Fixed, 2u * COMPONENTS>;
// Bits below the binary point.
var<private> point: array<i32, COMPONENTS>;

fn load_pair() {
    for (var q = 0u; q < COMPONENTS; q++) {
        point[q] = bitcast<i32>(state[COPY_PLANES * DIM * call.stride + element(q)]);
    }
    for (var c = 0u; c < 2u; c++) {
        for (var q = 0u; q < COMPONENTS; q++) {
            pair[c * COMPONENTS + q] = fetch(c, element(q), DIM * call.stride);
        }
    }
}

fn store_pair() {
    for (var c = 0u; c < 2u; c++) {
        for (var q = 0u; q < COMPONENTS; q++) {
            put(c, element(q), DIM * call.stride, pair[c * COMPONENTS + q]);
        }
    }
}

fn copy_value(side: u32, q: u32) -> f32 {
    return from_fixed(chosen(pair[q], pair[COMPONENTS + q], side == 1u), point[q]);
}

/// Replaces one copy. No element is addressed by the side: a private array that is stays out of the registers.
fn put_copy(side: u32, q: u32, v: Fixed) {
    pair[q] = chosen(v, pair[q], side == 1u);
    pair[COMPONENTS + q] = chosen(pair[COMPONENTS + q], v, side == 1u);
}

fn distance_of(q: u32) -> f32 {
    return abs(from_fixed(minus(pair[q], pair[COMPONENTS + q]), point[q]));
}

/// No method with a drift is walked in fixed point.
fn slide(source_side: u32, drift: f32) {}

fn kick(target_side: u32, entry: Entry, backward: bool) {
    for (var q = 0u; q < COMPONENTS; q++) {
        let plain = increment(q, entry.h);
        let g = select(plain, -plain, has(entry, NEGATIVE));
        let step = to_fixed(g, point[q]);
        let old = chosen(pair[q], pair[COMPONENTS + q], target_side == 1u);
        let there = plus(old, step);
        put_copy(target_side, q, chosen(there, minus(old, step), backward));
        // A sum that wraps is undone on the way back like any other; but the solution is worthless.
        note_trouble(q, max(unfit(g, scaled(g, point[q])), select(0u, OUT_OF_RANGE, wrapped(old, step, there))));
        note_increment(q, g);
    }
}

/// (y, z) to mean M and difference D, a bijection; D loses bits to the log; back to (y, z).
fn contract() {
    for (var q = 0u; q < COMPONENTS; q++) {
        let z = pair[COMPONENTS + q];
        let difference = minus(pair[q], z);
        // A difference that wraps is undone like any other, but the mean is worthless.
        note_trouble(q, select(0u, OUT_OF_RANGE, wrapped(difference, z, pair[q])));
        let mean = plus(z, halved(difference, 1u));
        log_bits(q, dropped(difference, call.bits));
        let less = halved(difference, call.bits);
        let below = minus(mean, halved(less, 1u));
        pair[COMPONENTS + q] = below;
        pair[q] = plus(below, less);
    }
}

/// Mirror of `contract`.
fn expand() {
    for (var q = 0u; q < COMPONENTS; q++) {
        let z = pair[COMPONENTS + q];
        let less = minus(pair[q], z);
        let mean = plus(z, halved(less, 1u));
        let difference = restored(less, call.bits, logged_bits(q));
        let below = minus(mean, halved(difference, 1u));
        pair[COMPONENTS + q] = below;
        pair[q] = plus(below, difference);
    }
}
