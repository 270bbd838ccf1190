// The continuous adjoint: solves x' = f, a' = -a df/dx - dL/dx backward with the same tableau, and adds up
// integral of (a df/dtheta + dL/dtheta) (math.md section 2.3). With steps from t + h to t and stages i in order:
//   X_i = x - h sum_{j<i} a_ij f_j,   A_i = a + h sum_{j<i} a_ij V_j,   V_i = A_i df/dx(X_i) + dL/dx(X_i).
// Deltas go to scratch times h b_i, so that outer_product.wgsl sums the integral. Optimise, then discretise: not the
// gradient of what step_forward computed. Companions as those of step_reverse.wgsl. Twin: src/reference/.

// What the deltas of a stage are worth in the integral over theta.
var<private> share: f32;
// The derivatives V_i of the stages, and the cotangent of an observation at the end of a step.
var<private> v: array<f32, COMPONENTS * STAGES>;
var<private> jump: array<f32, COMPONENTS>;

/// Adds the cotangent of an observation.
fn receive(slot: u32) {
    for (var q = 0u; q < COMPONENTS; q++) {
        jump[q] = 0.0;
    }
    if (slot == NO_SLOT) {
        return;
    }
    let base = (slot - call.slot_base) * DIM * call.stride;
    for (var q = 0u; q < COMPONENTS; q++) {
        jump[q] = select(0.0, observed[base + element(q)], alive[q % TRAJECTORIES]);
        add_to_adjoint(q, jump[q]);
    }
}

fn pull(q: u32) -> f32 {
    return 0.0;
}

/// A_i.
fn stage_adjoint(i: u32, h: f32) {
    for (var q = 0u; q < COMPONENTS; q++) {
        var sum = 0.0;
        for (var j = 0u; j < i; j++) {
            sum += schedule.a[i * 8u + j].value * v[j * COMPONENTS + q];
        }
        cotangent[q] = a[q] + h * sum;
    }
}

/// The stages of a step back, and the step.
fn walk_back(step: Entry, n: u32, in_tile: u32, last: bool) {
    for (var i = 0u; i < STAGES; i++) {
        let t = step.end - schedule.nodes[i].c * step.h;
        stage_argument(i, -step.h);
        record_stage(i, n, in_tile, t);
        if (i == 0u) {
            pass_end(step.slot, last, t);
        }
        share = step.h * schedule.nodes[i].b;
        stage_adjoint(i, step.h);
        charge(i, -step.h, 1.0, t);
        mlp_backprop();
        charge_argument(1.0);
        for (var q = 0u; q < COMPONENTS; q++) {
            v[i * COMPONENTS + q] = value[q];
        }
    }
    for (var q = 0u; q < COMPONENTS; q++) {
        var sum = 0.0;
        for (var i = 0u; i < STAGES; i++) {
            sum += schedule.nodes[i].b * v[i * COMPONENTS + q];
        }
        add_to_adjoint(q, step.h * sum);
    }
    advance(-step.h);
}

@compute @workgroup_size(WORKGROUP)
fn continuous_reverse(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let in_tile = group.x * WORKGROUP + local;
    enter(local, in_tile);
    for (var back = 0u; back < call.steps; back++) {
        let n = call.steps - 1u - back;
        let step = schedule.entries[call.first_step + n];
        receive(step.slot);
        walk_back(step, n, in_tile, back == 0u && (call.mode & LAST) != 0u);
        check(call.step_number + n);
    }
    if ((call.mode & FIRST) != 0u) {
        pass_start(schedule.entries[call.first_step].start);
    }
    receive(call.outer_slot);
    leave();
}
