// Given initial states into both copies of a pair in fixed point, and the binary points: one for each component of each
// trajectory, so that results depend neither on units nor on the rest of the batch. A point that is asked for is taken;
// otherwise it follows from |x_i|, where that is 0 from |t1 - t0| |f_i(x, t0)|, and where both are 0 from the trajectory's
// largest component. In: weights, schedule, initial states, points asked for, [dim, stride]; out: state, with points and
// exponents of the field behind the copies.
// Companions: common, schedule, entry_update, status, stages, step_call, fixed, fixed_one or fixed_two, generated mlp_eval.
// Mirror: certificate_fixed.wgsl.

@group(0) @binding(1) var<uniform> schedule: Schedule;
@group(0) @binding(2) var<storage, read_write> state: array<u32>;
@group(0) @binding(3) var<storage, read> initial: array<f32>;
// Bits below the point plus ASKED, or zero.
@group(0) @binding(4) var<storage, read> asked: array<u32>;

var<private> exponent: array<i32, COMPONENTS>;
// Of |t1 - t0| |f_i(x, t0)|, how far the field takes a component from where it starts: what that is small against needs no
// digits of the start.
var<private> driven: array<i32, COMPONENTS>;

/// The exponent of v, or NO_EXPONENT for zero and what is below all normal numbers.
fn exponent_or_none(v: f32) -> i32 {
    return select(NO_EXPONENT, exponent_of(v), is_finite(v) && (bitcast<u32>(v) & 0x7f800000u) != 0u);
}

fn find_exponents() {
    for (var q = 0u; q < COMPONENTS; q++) {
        argument[q] = x[q];
    }
    mlp_eval(schedule.entries[0].t);
    for (var r = 0u; r < TRAJECTORIES; r++) {
        var most = NO_EXPONENT;
        for (var c = 0u; c < DIM; c++) {
            let q = c * TRAJECTORIES + r;
            let own = exponent_or_none(x[q]);
            driven[q] = exponent_or_none(call.span * value[q]);
            let e = select(own, driven[q], own == NO_EXPONENT);
            exponent[q] = e;
            most = max(most, e);
        }
        most = select(most, 0, most == NO_EXPONENT);
        for (var c = 0u; c < DIM; c++) {
            let q = c * TRAJECTORIES + r;
            exponent[q] = select(exponent[q], most, exponent[q] == NO_EXPONENT);
        }
    }
}

@compute @workgroup_size(WORKGROUP)
fn pair_start(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    first = call.first_trajectory + (group.x * WORKGROUP + local) * TRAJECTORIES;
    lane = local;
    for (var q = 0u; q < COMPONENTS; q++) {
        x[q] = initial[element(q)];
    }
    find_exponents();
    let plane = DIM * call.stride;
    for (var q = 0u; q < COMPONENTS; q++) {
        let at = element(q);
        let given = asked[at] & ~LEFT;
        let point = select(i32(given) - ASKED, point_for(exponent[q]), given == 0u);
        let v = to_fixed(x[q], point);
        put(0u, at, plane, v);
        put(1u, at, plane, v);
        state[COPY_PLANES * plane + at] = bitcast<u32>(point);
        state[(COPY_PLANES + 1u) * plane + at] = bitcast<u32>(driven[q]);
    }
}
