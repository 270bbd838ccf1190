// From the reduced sums: the mean loss over the observations that take part, the mean running cost over the trajectories
// that do, and what turns both into cotangents. Companion: summary.wgsl.

// What takes part in passes of their own: parts of one batch share their means.
struct FinishCall {
    observations: f32,
    trajectories: f32,
}

var<immediate> call: FinishCall;

@group(0) @binding(0) var<storage, read_write> summary: array<f32>;

/// 1 / count, 0 for none.
fn share(count: f32) -> f32 {
    return select(0.0, 1.0 / max(count, 1.0), count > 0.0);
}

@compute @workgroup_size(1)
fn loss_finish() {
    summary[SCALE] = share(summary[OBSERVATIONS] + call.observations);
    summary[COST_SCALE] = share(summary[COUNTED] + call.trajectories);
    summary[LOSS] = summary[LOSS_SUM] * summary[SCALE];
    summary[COST] = summary[COST_SUM] * summary[COST_SCALE];
    summary[TRAJECTORIES_LEFT] = summary[COUNTED];
    // What foresee.wgsl sets.
    summary[OVERFLOWING] = 0.0;
}
