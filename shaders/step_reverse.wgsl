// Walks a tile of the batch back through a run of steps: recovers the state before each step, evaluates the stages again
// and pulls the adjoint through them (discrete adjoint, math.md section 2.2):
//   K_i = h (b_i a + sum_{j>i} a_ji Y_j),   Y_i = K_i df/dx(X_i),   a <- a + sum Y_i.
// Activations and deltas go to scratch, or the sums of dJ/dtheta are made here: pull_scratch.wgsl, pull_inside.wgsl.
// In: weights, schedule, state (after the last step), cotangents of the observations; in/out: adjoint and state, each with
// its rest [2, dim, stride],
// status. Trajectories that are padding or not finite add nothing to dJ/dtheta.
// Companions: common, schedule, entry_step, stages, step_call, own_trajectories or tile, single_back, pull_back,
// pull_scratch or pull_inside, reuse_*, charge_*, clock_*, recover_*, and the field's functions that those name.
// Twin: src/reference/solve.rs.

/// Adds the cotangent of an observation.
fn receive(slot: u32) {
    if (slot == NO_SLOT) {
        return;
    }
    let base = (slot - call.slot_base) * DIM * call.stride;
    for (var q = 0u; q < COMPONENTS; q++) {
        add_to_adjoint(q, select(0.0, observed[base + element(q)], alive[q % TRAJECTORIES]));
    }
}

/// What the stages are pulled back with.
fn pull(q: u32) -> f32 {
    return a[q];
}

@compute @workgroup_size(WORKGROUP)
fn step_reverse(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let in_tile = place_of(group.x, local);
    enter(local, in_tile);
    begin_sums(group.x);
    start_clock();
    // Stages of the reconstruction that need no evaluation.
    var known = 0u;
    for (var back = 0u; back < call.steps; back++) {
        let n = call.steps - 1u - back;
        let step = schedule.entries[call.first_step + n];
        pass_knot(step.slot);
        receive(step.slot);
        recover(n);
        begin_reuse();
        for (var p = known; p < (PHASES - 1u) * STAGES + RECORDED; p++) {
            // Reconstruction first, if there is such a phase, then the stages of the step itself.
            let recording = p + STAGES >= PHASES * STAGES;
            let i = p % STAGES;
            if (p == STAGES) {
                reconstructed(step.h);
            }
            let h = select(-step.h, step.h, recording);
            stage_argument(i, h);
            record_stage(i, n, in_tile, select(step.end, step.start, recording) + schedule.nodes[i].c * h);
        }
        if (RECORDED == 0u) {
            reconstructed(step.h);
        }
        pull_stages(n, in_tile, step.start, step.h, step.h);
        known = KNOWN;
        turn_clock(call.first_step + n, 1.0);
        for (var q = 0u; q < COMPONENTS; q++) {
            // Summed apart: the increments are small, and each addition to a rounds to a unit of a.
            var sum = 0.0;
            for (var i = 0u; i < STAGES; i++) {
                sum += k[i * COMPONENTS + q];
            }
            add_to_adjoint(q, sum);
        }
        check(call.step_number + n);
    }
    stop_clock();
    receive(call.outer_slot);
    end_sums();
    leave();
}
