// The sums of dJ/dtheta that a subgroup makes, in a row of partials of its own, over all dispatches of a pass. Values are
// summed over the trajectories of an invocation first, then over the lanes; one at a time, in a fixed order.
// Layout of a row: src/plan/inside.rs. Companions: words.wgsl, a binding `sums`. Twin: Field::vjp, src/reference/field.rs.

const EXPONENT: u32 = 0x7f800000u;

// First word of this lane in the row.
var<private> sum_base: u32;

fn begin_sums(group: u32) {
    sum_base = group * SUM_WORDS + lane;
}

fn end_sums() {}

fn add_sums(word: u32, a: f32, b: f32) {
    let at = sum_base + word;
    let before = sums[at];
    sums[at] = both(low(before) + a, high(before) + b);
}

/// Half of the lanes keep `a`, the others `b`, each added to that of the lane `distance` away.
fn fold_lanes(a: f32, b: f32, distance: u32) -> f32 {
    let upper = (lane & distance) != 0u;
    return select(a, b, upper) + subgroupShuffleXor(select(b, a, upper), distance);
}

/// Lane l gets the sum of value l over the eight lanes: a transposition whose levels add.
fn over_lanes(v0: f32, v1: f32, v2: f32, v3: f32, v4: f32, v5: f32, v6: f32, v7: f32) -> f32 {
    let a = fold_lanes(fold_lanes(v0, v1, 1u), fold_lanes(v2, v3, 1u), 2u);
    let b = fold_lanes(fold_lanes(v4, v5, 1u), fold_lanes(v6, v7, 1u), 2u);
    return fold_lanes(a, b, 4u);
}
