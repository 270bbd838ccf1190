// The largest magnitude that each component of a trajectory has met going forward, [dim, stride] in `measures`: what the
// reports call relative is relative to it, and so are the binary points of fixed point. Kept in private memory over a
// dispatch. Companions: common.wgsl, step_call.wgsl, stages.wgsl, a binding `measures`.

// Rows of `measures` before it: the distance of the copies of a pair, the running cost.
const LARGEST_ROW: u32 = 2u;

var<private> largest: array<f32, COMPONENTS>;

fn begin_largest() {
    for (var q = 0u; q < COMPONENTS; q++) {
        largest[q] = measures[LARGEST_ROW * call.stride + element(q)];
    }
}

/// Takes note of a value of component q. One that is not finite is that of a failed trajectory.
fn note_value(q: u32, v: f32) {
    largest[q] = select(largest[q], max(largest[q], abs(v)), is_finite(v));
}

fn end_largest() {
    for (var q = 0u; q < COMPONENTS; q++) {
        measures[LARGEST_ROW * call.stride + element(q)] = largest[q];
    }
}
