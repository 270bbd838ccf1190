// Pulls the cotangents of states between steps back to those at the ends of the steps:
//   x_bar_e += w_e c + VJP(x_e, t_e; v_e c)   with the Hermite weights w_e of the state and v_e of the field.
// In: weights, states at the ends, cotangents; in/out: cotangents at the ends, [time, dim, stride]; out: scratch, and what
// each save time adds to the gradient with respect to times, [time, 4, stride].
// Companions: the step kernels' common files, dense_table, pull_back, generated mlp_record and mlp_backprop. Mirror:
// dense.wgsl.

@group(0) @binding(1) var<uniform> schedule: Schedule;
@group(0) @binding(2) var<storage, read> at_ends: array<f32>;
@group(0) @binding(3) var<storage, read> outputs: array<f32>;
@group(0) @binding(4) var<storage, read_write> observed: array<f32>;
@group(0) @binding(5) var<storage, read_write> status: array<u32>;
@group(0) @binding(7) var<storage, read_write> times: array<f32>;
@group(0) @binding(8) var<storage, read> table: array<Interpolation>;

// Cotangent of the state at the save time; what it adds to the gradients with respect to u and to the length of the step.
var<private> a: array<f32, COMPONENTS>;
var<private> by_place: array<f32, TRAJECTORIES>;
var<private> by_length: array<f32, TRAJECTORIES>;

fn pull(q: u32) -> f32 {
    return a[q];
}

@compute @workgroup_size(WORKGROUP)
fn dense_reverse(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let in_tile = group.x * WORKGROUP + local;
    first = call.first_trajectory + in_tile * TRAJECTORIES;
    lane = local;
    count_in();
    for (var n = 0u; n < call.steps; n++) {
        let m = call.first_step + n;
        for (var q = 0u; q < COMPONENTS; q++) {
            a[q] = select(0.0, outputs[m * DIM * call.stride + element(q)], alive[q % TRAJECTORIES]);
        }
        for (var r = 0u; r < TRAJECTORIES; r++) {
            by_place[r] = 0.0;
            by_length[r] = 0.0;
        }
        for (var e = 0u; e < 2u; e++) {
            pull_end(m, n, e, in_tile);
        }
        if (TIMES) {
            for (var r = 0u; r < TRAJECTORIES; r++) {
                times[4u * m * call.stride + first + r] = by_place[r];
                times[(4u * m + 1u) * call.stride + first + r] = by_length[r];
            }
        }
    }
}

fn pull_end(m: u32, n: u32, e: u32, in_tile: u32) {
    let end = end_of(table[m], e);
    let base = end.slot * DIM * call.stride;
    for (var q = 0u; q < COMPONENTS; q++) {
        argument[q] = select(0.0, at_ends[base + element(q)], alive[q % TRAJECTORIES]);
        cotangent[q] = end.of_field * a[q];
    }
    scratch_row = (2u * n + e) * call.tile + in_tile;
    mlp_record(end.t);
    if (TIMES) {
        for (var q = 0u; q < COMPONENTS; q++) {
            by_place[q % TRAJECTORIES] += a[q] * (end.state_slope * argument[q] + end.field_slope * value[q]);
            by_length[q % TRAJECTORIES] += a[q] * end.shape * value[q];
        }
    }
    mlp_backprop();
    for (var q = 0u; q < COMPONENTS; q++) {
        observed[base + element(q)] += select(0.0, end.of_state * a[q] + value[q], alive[q % TRAJECTORIES]);
    }
    quarantine(end.entry);
    if (TIME_INPUT) {
        for (var r = 0u; r < TRAJECTORIES; r++) {
            times[(4u * m + 2u + e) * call.stride + first + r] = value[COMPONENTS + r];
        }
    }
}
