// Shared by the reverse kernels: who takes part, and the cotangents of the stages of an increment:
//   K_i = h (b_i pull + sum_{j>i} a_ji Y_j),   Y_i = K_i df/dx(X_i)   (math.md section 2.2).
// Companions: stages.wgsl, step_call.wgsl, pull_scratch or pull_inside, a binding `status` and a function `pull`.

// Cotangent K_i of a stage.
var<private> cotangent: array<f32, COMPONENTS>;
// Trajectories that take part, and those that met a non-finite value in this entry.
var<private> alive: array<bool, TRAJECTORIES>;
var<private> bad: array<bool, TRAJECTORIES>;

/// The value that dJ/dtheta is made of: zero for trajectories that take no part, so that they add nothing to dJ/dtheta.
fn keep(v: f32, r: u32) -> f32 {
    let finite = is_finite(v);
    bad[r] = bad[r] || !finite;
    return select(0.0, v, finite && alive[r]);
}

/// Trajectories that are padding, failed before or belong to another invocation take no part.
fn count_in() {
    for (var r = 0u; r < TRAJECTORIES; r++) {
        let b = first + r;
        alive[r] = owns() && b < call.batch && status[b] == 0u;
    }
}

/// Notes the first entry in which a trajectory met a non-finite value.
fn quarantine(n: u32) {
    for (var r = 0u; r < TRAJECTORIES; r++) {
        if (bad[r] && alive[r]) {
            status[first + r] = REVERSE_NON_FINITE | n;
        }
        alive[r] = alive[r] && !bad[r];
    }
}

fn stage_cotangent(i: u32, h: f32) {
    for (var q = 0u; q < COMPONENTS; q++) {
        var sum = schedule.nodes[i].b * pull(q);
        for (var j = i + 1u; j < STAGES; j++) {
            sum += schedule.a[j * 8u + i].value * k[j * COMPONENTS + q];
        }
        cotangent[q] = h * sum;
    }
}
