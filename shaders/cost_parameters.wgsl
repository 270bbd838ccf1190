// The gradient of the term |theta|^2 of the running cost, for all trajectories that are left.
// Companions: fold.wgsl, summary.wgsl.

struct WeightCall {
    count: u32,
    // 2 weight (t1 - t0)
    factor: f32,
}

var<immediate> call: WeightCall;

@group(0) @binding(0) var<storage, read> theta: array<f32>;
@group(0) @binding(1) var<storage, read> summary: array<f32>;
@group(0) @binding(2) var<storage, read_write> gradient: array<f32>;

@compute @workgroup_size(64)
fn cost_parameters(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = folded(group, groups, local);
    if (i < call.count) {
        let factor = call.factor * summary[COST_SCALE] * summary[SURVIVORS];
        gradient[i] += factor * theta[i];
    }
}
