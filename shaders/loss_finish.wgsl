// From the reduced sums: the mean squared error over time, dim and the trajectories that take part, and the factor
// 2 / count that turns residuals into cotangents. Places in the summary: src/plan/solve.rs.

struct FinishCall {
    per_trajectory: f32,
}

var<immediate> call: FinishCall;

@group(0) @binding(0) var<storage, read_write> summary: array<f32>;

@compute @workgroup_size(1)
fn loss_finish() {
    let count = summary[4] * call.per_trajectory;
    let inverse = select(0.0, 1.0 / max(count, 1.0), count > 0.0);
    summary[0] = summary[3] * inverse;
    summary[1] = 2.0 * inverse;
    summary[2] = summary[4];
}
