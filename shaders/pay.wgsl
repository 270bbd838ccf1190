// Adds up the running cost of each trajectory over a dispatch, with the weights of the solver's own quadrature.
// A trajectory whose cost is not finite is taken out: it would spoil the mean of the batch.
// Companions: cost.wgsl, step_call.wgsl, status.wgsl, bindings `measures` and `status`. Mirror: charge.wgsl.

var<private> paid: array<f32, TRAJECTORIES>;

fn begin_paying() {
    draw_probe();
}

/// The cost of the evaluation at hand.
fn pay(weight: f32, t: f32) {
    if ((call.mode & PAY) == 0u) {
        return;
    }
    seek_reference(t);
    for (var q = 0u; q < COMPONENTS; q++) {
        paid[q % TRAJECTORIES] += weight * share_of(q, value[q], tangent[q]);
    }
}

fn end_paying() {
    if ((call.mode & PAY) == 0u) {
        return;
    }
    for (var r = 0u; r < TRAJECTORIES; r++) {
        let b = first + r;
        let sum = measures[call.stride + b] + paid[r];
        measures[call.stride + b] = sum;
        if (!is_finite(sum) && status[b] == 0u) {
            status[b] = COST_OVERFLOW | (call.step_number + call.steps - 1u);
        }
    }
}
