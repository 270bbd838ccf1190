// How large the errors of the steps may be, from what is evaluated anyway: of each component h |sum e_i k_i|, over the stages
// and the field at the end of the step. That is the first stage of the next step, where the estimate is closed; the last
// step of a solve has no next, and is left out.
// With an embedded method (WEIGHED_BY_STEP) every step is weighed by max(|x|, |x+|) + 1e-3 m, m being the largest |x| so far,
// and the largest step counts. Otherwise the largest error of the steps is weighed by the largest |x| of the whole way up to
// the last step: had that one its part in the size alone, a state that grows without bound would hide its errors.
// Passes that only repeat a part of the way there estimate nothing.
// Of a batch that is too large for one binding the first trajectories are looked at.
// Companions: stages.wgsl, step_call.wgsl, binding `estimates`, whose rows are those of src/plan/errors.rs. Mirror:
// estimate_none.wgsl. Twin: src/reference/estimate.rs.

// What a component is to the size that its trajectory has met, at least.
const SHARE: f32 = 1e-3;

// The step before: its length, and sum e_i k_i over its stages.
var<private> open_length: f32;
var<private> open_sum: array<f32, COMPONENTS>;
// Largest |x| so far.
var<private> met: array<f32, COMPONENTS>;
// What the step before is weighed by, or else the largest error so far.
var<private> weight: array<f32, COMPONENTS>;
// Largest weighed error.
var<private> worst: array<f32, TRAJECTORIES>;

/// Trajectories in a row of the estimates.
fn estimated() -> u32 {
    return arrayLength(&estimates) / (COMPONENT_ROWS + 3u * DIM);
}

fn estimating() -> bool {
    return (call.mode & PAY) != 0u && first < estimated();
}

/// Place of a trajectory in a row.
fn estimate_place(row: u32, r: u32) -> u32 {
    return row * estimated() + first + r;
}

/// Place of component q in the rows of `part`: what was met, sums that are open, weights.
fn component_place(part: u32, q: u32) -> u32 {
    return estimate_place(COMPONENT_ROWS + part * DIM + q / TRAJECTORIES, q % TRAJECTORIES);
}

fn begin_estimate() {
    if (!estimating()) {
        return;
    }
    // Before the first step these are zeros, and nothing is open.
    open_length = estimates[estimate_place(LENGTH_ROW, 0u)];
    for (var q = 0u; q < COMPONENTS; q++) {
        met[q] = max(estimates[component_place(0u, q)], abs(x[q]));
        open_sum[q] = estimates[component_place(1u, q)];
        weight[q] = estimates[component_place(2u, q)];
    }
    for (var r = 0u; r < TRAJECTORIES; r++) {
        worst[r] = select(0.0, estimates[estimate_place(ERROR_ROW, r)], WEIGHED_BY_STEP);
    }
}

/// The field at the end of the step before is at hand.
fn close_estimate() {
    if (!estimating()) {
        return;
    }
    for (var q = 0u; q < COMPONENTS; q++) {
        let error = abs(open_length * (open_sum[q] + schedule.nodes[STAGES].error * value[q]));
        if (WEIGHED_BY_STEP) {
            // A component that was zero all the way has no size to be weighed by.
            let share = select(0.0, error / weight[q], weight[q] > 0.0);
            worst[q % TRAJECTORIES] = max(worst[q % TRAJECTORIES], share);
        } else {
            weight[q] = max(weight[q], error);
            met[q] = max(met[q], abs(x[q]));
        }
    }
}

/// The stages of a step are known, its end is not.
fn open_estimate(h: f32) {
    if (!estimating()) {
        return;
    }
    open_length = h;
    for (var q = 0u; q < COMPONENTS; q++) {
        var sum = 0.0;
        for (var i = 0u; i < STAGES; i++) {
            sum += schedule.nodes[i].error * k[i * COMPONENTS + q];
        }
        open_sum[q] = sum;
        if (WEIGHED_BY_STEP) {
            weight[q] = abs(x[q]);
        }
    }
}

/// Its end is known.
fn weigh_estimate() {
    if (!estimating() || !WEIGHED_BY_STEP) {
        return;
    }
    for (var q = 0u; q < COMPONENTS; q++) {
        met[q] = max(met[q], abs(x[q]));
        weight[q] = max(weight[q], abs(x[q])) + SHARE * met[q];
    }
}

fn end_estimate() {
    if (!estimating() || !owns()) {
        return;
    }
    for (var q = 0u; q < COMPONENTS; q++) {
        estimates[component_place(0u, q)] = met[q];
        estimates[component_place(1u, q)] = open_sum[q];
        estimates[component_place(2u, q)] = weight[q];
        if (!WEIGHED_BY_STEP) {
            let share = select(0.0, weight[q] / met[q], met[q] > 0.0);
            worst[q % TRAJECTORIES] = max(worst[q % TRAJECTORIES], share);
        }
    }
    for (var r = 0u; r < TRAJECTORIES; r++) {
        estimates[estimate_place(LENGTH_ROW, r)] = open_length;
        estimates[estimate_place(ERROR_ROW, r)] = worst[r];
    }
}
