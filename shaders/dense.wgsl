// States at save times between steps: the cubic Hermite polynomial of the states and the field at both ends of a step.
// In: weights, states at the ends [time, dim, stride], table of the save times; out: states there, [time, dim, stride],
// status.
// Companions: the step kernels' common files, dense_table, generated mlp_eval. Mirror: dense_reverse.wgsl. Twin:
// src/reference/.

@group(0) @binding(1) var<uniform> schedule: Schedule;
@group(0) @binding(2) var<storage, read> at_ends: array<f32>;
@group(0) @binding(3) var<storage, read_write> outputs: array<f32>;
@group(0) @binding(4) var<storage, read> table: array<Interpolation>;
@group(0) @binding(5) var<storage, read_write> status: array<u32>;

@compute @workgroup_size(WORKGROUP)
fn dense(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    first = call.first_trajectory + (group.x * WORKGROUP + local) * TRAJECTORIES;
    lane = local;
    for (var n = 0u; n < call.steps; n++) {
        let m = call.first_step + n;
        for (var q = 0u; q < COMPONENTS; q++) {
            x[q] = 0.0;
        }
        for (var e = 0u; e < 2u; e++) {
            let end = end_of(table[m], e);
            for (var q = 0u; q < COMPONENTS; q++) {
                argument[q] = at_ends[end.slot * DIM * call.stride + element(q)];
            }
            mlp_eval(end.t);
            for (var q = 0u; q < COMPONENTS; q++) {
                x[q] += end.of_state * argument[q] + end.of_field * value[q];
            }
        }
        for (var q = 0u; q < COMPONENTS; q++) {
            outputs[m * DIM * call.stride + element(q)] = x[q];
            let b = first + q % TRAJECTORIES;
            let entry = table[m].entries.y;
            if (!is_finite(x[q]) && (status[b] == 0u || (status[b] & KIND) == COST_OVERFLOW)) {
                status[b] = FORWARD_NON_FINITE | entry;
            }
        }
    }
}
