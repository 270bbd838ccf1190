// The tile family going back: products that sum over trajectories must not meet a value that is not finite, and every
// workgroup adds the sums of dJ/dtheta to a row of partials of its own, [P], each value by one invocation, always the same.
// Companions: tile.wgsl, a binding `sums`, generated begin_sums and end_sums. Mirror: sums_inside.wgsl.

const EXPONENTS: vec4<u32> = vec4<u32>(0x7f800000u);

// 1 for trajectories that met a value that is not finite, whoever computed it.
var<workgroup> faults: array<atomic<u32>, TILE>;

// First value of this workgroup's row.
var<private> sum_base: u32;

/// Makes zeros of values that are not finite, and notes whose they were.
fn settle(v: vec4<f32>, trajectory: u32) -> vec4<f32> {
    let wrong = (bitcast<vec4<u32>>(v) & EXPONENTS) == EXPONENTS;
    if (any(wrong)) {
        atomicStore(&faults[trajectory], 1u);
    }
    return select(v, vec4<f32>(), wrong);
}

/// Adds to the weights of a unit for four inputs.
fn add_weights(first: u32, unit: u32, units: u32, input: u32, inputs: u32, v: vec4<f32>) {
    if (unit < units) {
        add_values(first + unit * inputs + input, inputs - min(input, inputs), v);
    }
}

/// Adds the first `count` of four values.
fn add_values(first: u32, count: u32, v: vec4<f32>) {
    let at = sum_base + first;
    if (count > 0u) {
        sums[at] += v.x;
    }
    if (count > 1u) {
        sums[at + 1u] += v.y;
    }
    if (count > 2u) {
        sums[at + 2u] += v.z;
    }
    if (count > 3u) {
        sums[at + 3u] += v.w;
    }
}
