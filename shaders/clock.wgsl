// Gradients with respect to the times of the grid (math.md sections 2.2 and 7). An entry at time t with length h lies in
// a segment of the grid, from a knot T_a to a knot T_b, and moves with both: t = T_a + place (T_b - T_a), h = part (T_b - T_a).
// Of each segment and trajectory the rows of the adjoint below hold
//   ends = sum over entries of place t_bar + part h_bar,   all = sum of t_bar,
// so that dJ/dT_b += ends and dJ/dT_a += all - ends. Companions: pull_back.wgsl, charge or charge_nothing.

var<private> t_bar: array<f32, TRAJECTORIES>;
var<private> h_bar: array<f32, TRAJECTORIES>;
// Sum of b_i g L over the stages.
var<private> cost_bar: array<f32, TRAJECTORIES>;
var<private> ends: array<f32, TRAJECTORIES>;
var<private> all_of: array<f32, TRAJECTORIES>;
var<private> segment: u32;

fn start_clock() {
    segment = call.segment;
}

/// Stage i: its value is still in k, the cotangent of its argument in `value`, that of its time behind it.
fn clock_stage(i: u32, h: f32, weight: f32) {
    let node = schedule.nodes[i];
    for (var r = 0u; r < TRAJECTORIES; r++) {
        var by_h = 0.0;
        for (var c = 0u; c < DIM; c++) {
            let q = c * TRAJECTORIES + r;
            by_h += node.b * k[i * COMPONENTS + q] * pull(q) + stage_sum(i, q) * value[q];
        }
        var by_t = charged_slope(weight, r);
        if (TIME_INPUT) {
            by_t += value[COMPONENTS + r];
        }
        t_bar[r] += by_t;
        h_bar[r] += by_h + node.c * by_t;
        cost_bar[r] += node.b * charged(i, r);
    }
}

/// End of an entry, whose weight in the running cost grows with its length at this rate.
fn turn_clock(n: u32, cost_rate: f32) {
    let both = schedule.clock[n / 2u];
    let clock = select(both.even, both.odd, n % 2u == 1u);
    for (var r = 0u; r < TRAJECTORIES; r++) {
        ends[r] += clock.x * t_bar[r] + clock.y * (h_bar[r] + cost_rate * cost_bar[r]);
        all_of[r] += t_bar[r];
        t_bar[r] = 0.0;
        h_bar[r] = 0.0;
        cost_bar[r] = 0.0;
    }
}

/// On to the segment that ends at an observation.
fn pass_knot(slot: u32) {
    if (slot != NO_SLOT) {
        stop_clock();
        segment = slot;
    }
}

fn stop_clock() {
    for (var r = 0u; r < TRAJECTORIES; r++) {
        let at = (ADJOINT_ROWS + 1u + 2u * segment) * call.stride + first + r;
        adjoint[at] += ends[r];
        adjoint[at + call.stride] += all_of[r];
        ends[r] = 0.0;
        all_of[r] = 0.0;
    }
}
