// Shared by the reverse kernels: who takes part, what goes to scratch, and the cotangents of the stages of an increment:
//   K_i = h (b_i pull + sum_{j>i} a_ji Y_j),   Y_i = K_i df/dx(X_i)   (math.md section 2.2).
// Companions: stages.wgsl, step_call.wgsl, charge_*, clock_*, a binding `status` and a function `pull`.

// Cotangent K_i of a stage.
var<private> cotangent: array<f32, COMPONENTS>;
// Trajectories that take part, and those that met a non-finite value in this entry.
var<private> alive: array<bool, TRAJECTORIES>;
var<private> bad: array<bool, TRAJECTORIES>;
// Scratch row of this invocation in the current evaluation, in units of Lanes; so are call.rows and call.tile.
var<private> scratch_row: u32;

/// The value that goes to scratch: zero for trajectories that take no part, so that they add nothing to dJ/dtheta.
fn keep(v: f32, r: u32) -> f32 {
    let finite = is_finite(v);
    bad[r] = bad[r] || !finite;
    return select(0.0, v, finite && alive[r]);
}

/// Trajectories that are padding or failed before take no part.
fn count_in() {
    for (var r = 0u; r < TRAJECTORIES; r++) {
        let b = first + r;
        alive[r] = b < call.batch && status[b] == 0u;
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

/// Evaluates the stages of an increment and leaves their activations and slopes in the scratch rows of evaluation `n`.
fn record_stage(i: u32, n: u32, in_tile: u32, t: f32) {
    scratch_row = (n * STAGES + i) * EVALUATION_ROWS * call.tile + in_tile;
    mlp_record(t);
    keep_stage(i);
    keep_tangent(i);
}

/// Pulls back through the stages from the last to the first: k holds the cotangents of their arguments afterwards. A stage
/// has the share b_i of `paid` in the quadrature of the running cost.
fn pull_stages(n: u32, in_tile: u32, t: f32, h: f32, paid: f32) {
    for (var m = 0u; m < STAGES; m++) {
        let i = STAGES - 1u - m;
        let weight = schedule.nodes[i].b * paid;
        stage_cotangent(i, h);
        charge(i, h, weight, t + schedule.nodes[i].c * h);
        scratch_row = (n * STAGES + i) * EVALUATION_ROWS * call.tile + in_tile;
        mlp_backprop();
        charge_argument(weight);
        clock_stage(i, h, weight);
        keep_stage(i);
    }
}
