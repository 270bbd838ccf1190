// Gradients of the continuous adjoint with respect to times, by the Hamiltonian H = <a, f> + g L at the knots:
//   dJ/dt1 = H(t1),   dJ/dt0 = -H(t0),   dJ/dt_k = <dl/dx(t_k), f(x(t_k), t_k)>.
// Rows of the adjoint as in clock.wgsl: a knot T_b gets `ends`, T_a before it `all - ends`.
// Companions: continuous_reverse.wgsl, charge or charge_nothing.

/// At the end of a step, whose field is stage 0: a jump of the adjoint, or t1.
fn pass_end(slot: u32, last: bool, t: f32) {
    let segment = select(slot, call.segment, last);
    if (segment == NO_SLOT) {
        return;
    }
    stage_argument(0u, 0.0);
    seek_time(t);
    for (var r = 0u; r < TRAJECTORIES; r++) {
        var sum = select(0.0, charged(0u, r), last);
        for (var c = 0u; c < DIM; c++) {
            let q = c * TRAJECTORIES + r;
            sum += select(jump[q], a[q], last) * k[q];
        }
        // Added to both rows: the knot before this segment gets nothing.
        let at = (ADJOINT_ROWS + 1u + 2u * segment) * call.stride + first + r;
        adjoint[at] += sum;
        adjoint[at + call.stride] += sum;
    }
}

/// At t0, after the last step back.
fn pass_start(t: f32) {
    stage_argument(0u, 0.0);
    mlp_eval(t);
    keep_stage(0u);
    keep_tangent(0u);
    seek_time(t);
    let segment = call.event;
    for (var r = 0u; r < TRAJECTORIES; r++) {
        var sum = charged(0u, r);
        for (var c = 0u; c < DIM; c++) {
            let q = c * TRAJECTORIES + r;
            sum += a[q] * k[q];
        }
        adjoint[(ADJOINT_ROWS + 2u + 2u * segment) * call.stride + first + r] -= sum;
    }
}
