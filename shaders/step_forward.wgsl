// Advances the state of a tile of the batch by a run of steps.
// In: weights (packed), schedule, state x and its rest [2, dim, stride]; out: state, observations [time, dim, stride], status
// (first step that left the finite numbers), running cost, error estimate, and with the stored adjoint the state before each
// step.
// Invariant: every invocation of the grid owns trajectories that exist in the buffers (the batch is padded).
// Companions: common, schedule, entry_step, stages, step_call, own_trajectories or tile, observe, store_*, pay or
// pay_nothing, largest, estimate or estimate_none, generated mlp_eval. Twin: src/reference/solve.rs.

@group(0) @binding(1) var<uniform> schedule: Schedule;
@group(0) @binding(2) var<storage, read_write> state: array<f32>;
@group(0) @binding(5) var<storage, read_write> measures: array<f32>;

/// Notes the first step at whose end a trajectory is not finite; that its running cost was not finite before says less.
fn check(n: u32) {
    for (var q = 0u; q < COMPONENTS; q++) {
        let b = first + q % TRAJECTORIES;
        if (owns() && !is_finite(x[q]) && (status[b] == 0u || (status[b] & KIND) == COST_OVERFLOW)) {
            status[b] = FORWARD_NON_FINITE | n;
        }
    }
}

@compute @workgroup_size(WORKGROUP)
fn step_forward(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    first = call.first_trajectory + place_of(group.x, local) * TRAJECTORIES;
    lane = local;
    begin_largest();
    for (var q = 0u; q < COMPONENTS; q++) {
        x[q] = state[element(q)];
        note_value(q, x[q]);
        rest[q] = state[DIM * call.stride + element(q)];
    }
    begin_paying();
    begin_estimate();
    observe(call.outer_slot);
    for (var n = 0u; n < call.steps; n++) {
        let step = schedule.entries[call.first_step + n];
        store(n);
        for (var s = 0u; s < STAGES; s++) {
            // Of one stage only a compiler sees the number: its place in k is no address to be computed.
            let i = s % STAGES;
            stage_argument(i, step.h);
            let t = step.start + schedule.nodes[i].c * step.h;
            mlp_eval(t);
            if (s == 0u) {
                close_estimate();
            }
            pay(schedule.nodes[i].b * step.h, t);
            keep_stage(i);
        }
        open_estimate(step.h);
        advance(step.h);
        weigh_estimate();
        check(call.step_number + n);
        for (var q = 0u; q < COMPONENTS; q++) {
            note_value(q, x[q]);
        }
        observe(step.slot);
    }
    end_paying();
    end_estimate();
    if (owns()) {
        end_largest();
        for (var q = 0u; q < COMPONENTS; q++) {
            state[element(q)] = x[q];
            state[DIM * call.stride + element(q)] = rest[q];
        }
    }
}
