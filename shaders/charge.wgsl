// What the running cost adds to the cotangents of an evaluation, times its weight in the quadrature and the cotangent g of
// the trajectory's cost: to that of the field's value 2 kinetic f, of the derivative along the probe 2 jacobian J eps, of
// the argument 2 reference (x - x_ref). Companions: cost.wgsl, pull_back.wgsl. Mirror: pay.wgsl.

// Cotangents of the trajectories' costs.
var<private> g: array<f32, TRAJECTORIES>;
// The derivatives along the probe at all stages, and the cotangent of one.
var<private> tangents: array<f32, COMPONENTS * STAGES>;
var<private> tangent_cotangent: array<f32, COMPONENTS>;

fn begin_charging() {
    draw_probe();
    for (var r = 0u; r < TRAJECTORIES; r++) {
        g[r] = select(0.0, adjoint[ADJOINT_ROWS * call.stride + first + r], alive[r]);
    }
}

fn keep_tangent(i: u32) {
    if (JACOBIAN) {
        for (var q = 0u; q < COMPONENTS; q++) {
            tangents[i * COMPONENTS + q] = tangent[q];
        }
    }
}

/// Adds to the cotangents of stage i, whose value is still in k; leaves its argument and reference at hand.
fn charge(i: u32, h: f32, weight: f32, t: f32) {
    stage_argument(i, h);
    seek_reference(t);
    for (var q = 0u; q < COMPONENTS; q++) {
        let factor = 2.0 * weight * g[q % TRAJECTORIES];
        if (KINETIC) {
            cotangent[q] += factor * schedule.cost.kinetic * k[i * COMPONENTS + q];
        }
        if (JACOBIAN) {
            tangent_cotangent[q] = factor * schedule.cost.jacobian * tangents[i * COMPONENTS + q];
        }
    }
}

/// Adds to the cotangent of the argument that the field's body has left in `value`.
fn charge_argument(weight: f32) {
    if (REFERENCE) {
        for (var q = 0u; q < COMPONENTS; q++) {
            let factor = 2.0 * weight * g[q % TRAJECTORIES];
            value[q] += factor * schedule.cost.reference * (argument[q] - reference_value(q));
        }
    }
}

/// Makes the reference at a time the one at hand.
fn seek_time(t: f32) {
    seek_reference(t);
}

/// g L at stage i, for the gradient with respect to times.
fn charged(i: u32, r: u32) -> f32 {
    var sum = 0.0;
    for (var c = 0u; c < DIM; c++) {
        let q = c * TRAJECTORIES + r;
        sum += share_of(q, k[i * COMPONENTS + q], tangents[i * COMPONENTS + q]);
    }
    return g[r] * sum;
}

/// g weight dL/dt: the reference moves.
fn charged_slope(weight: f32, r: u32) -> f32 {
    var sum = 0.0;
    if (REFERENCE) {
        for (var c = 0u; c < DIM; c++) {
            let q = c * TRAJECTORIES + r;
            sum -= 2.0 * schedule.cost.reference * (argument[q] - reference_value(q)) * reference_slope(q);
        }
    }
    return g[r] * weight * sum;
}
