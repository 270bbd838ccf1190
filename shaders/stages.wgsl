// One explicit Runge-Kutta step for the TRAJECTORIES of an invocation, math.md section 1:
//   X_i = x + h sum_{j<i} a_ij k_j,   k_i = f(X_i, t + c_i h),   x+ = x + h sum b_i k_i.
// Private arrays hold component c of trajectory r at index c * TRAJECTORIES + r.
// Companions: schedule.wgsl and a binding `schedule`, two_sum.wgsl. Twin: src/reference/step.rs.

const COMPONENTS: u32 = DIM * TRAJECTORIES;
// With gradients in time the cotangent of the time follows that of the argument.
const VALUES: u32 = (DIM + TIME_ROWS) * TRAJECTORIES;

// State; stages k_i, in the reverse pass later the cotangents of the X_i; argument and value of f.
var<private> x: array<f32, COMPONENTS>;
// What x lacks of the sum of its increments, less than half a unit of its last place: without it many small steps would leave
// x where it is. The field never sees it.
var<private> rest: array<f32, COMPONENTS>;
var<private> k: array<f32, COMPONENTS * STAGES>;
var<private> argument: array<f32, PADDED_DIM * TRAJECTORIES>;
var<private> value: array<f32, VALUES>;

/// Component q of sum_{j<i} a_ij k_j.
fn stage_sum(i: u32, q: u32) -> f32 {
    var sum = 0.0;
    for (var j = 0u; j < i; j++) {
        sum += schedule.a[i * 8u + j].value * k[j * COMPONENTS + q];
    }
    return sum;
}

fn stage_argument(i: u32, h: f32) {
    for (var q = 0u; q < COMPONENTS; q++) {
        argument[q] = x[q] + h * stage_sum(i, q);
    }
}

fn keep_stage(i: u32) {
    for (var q = 0u; q < COMPONENTS; q++) {
        k[i * COMPONENTS + q] = value[q];
    }
}

/// Component q of the increment h sum b_i k_i.
fn increment(q: u32, h: f32) -> f32 {
    var sum = 0.0;
    for (var i = 0u; i < STAGES; i++) {
        sum += schedule.nodes[i].b * k[i * COMPONENTS + q];
    }
    return h * sum;
}

fn advance(h: f32) {
    for (var q = 0u; q < COMPONENTS; q++) {
        let both = two_sum(x[q], increment(q, h) + rest[q]);
        x[q] = both.x;
        rest[q] = both.y;
    }
}
