// Sums of squared residuals over runs of 256 observations, and the number of trajectories that take part.
// A quarantined trajectory adds nothing to either. Residuals [time, dim, stride]; partials [rows, 2].
// Twin: src/reference/solve.rs.

struct LossCall {
    count: u32,
    stride: u32,
    batch: u32,
    first_row: u32,
    rows: u32,
    counts: u32,
}

var<immediate> call: LossCall;

@group(0) @binding(0) var<storage, read> residuals: array<f32>;
@group(0) @binding(1) var<storage, read> status: array<u32>;
@group(0) @binding(2) var<storage, read_write> partials: array<f32>;

@compute @workgroup_size(64)
fn loss_partials(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let row = folded(group, groups, local);
    if (row < call.rows) {
        var squares = 0.0;
        var trajectories = 0.0;
        for (var i = row; i < call.count; i += call.rows) {
            let b = i % call.stride;
            if (b < call.batch && status[b] == 0u) {
                squares += residuals[i] * residuals[i];
                if (i < call.stride && call.counts == 1u) {
                    trajectories += 1.0;
                }
            }
        }
        partials[2u * (call.first_row + row)] = squares;
        partials[2u * (call.first_row + row) + 1u] = trajectories;
    }
}
