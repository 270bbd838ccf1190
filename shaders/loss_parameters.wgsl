// Gradient with respect to the parameters of the loss: over runs of 256 observations of one component the sum of
// d loss / d ln sigma; partials [rows, dim]. Before loss_cotangents.wgsl, which overwrites the states.
// Companions: fold, summary, observation, loss_gaussian, weight_*.

@group(0) @binding(0) var<storage, read> states: array<f32>;
@group(0) @binding(1) var<storage, read> observed: array<f32>;
@group(0) @binding(2) var<storage, read> status: array<u32>;
@group(0) @binding(3) var<storage, read> summary: array<f32>;
@group(0) @binding(4) var<storage, read_write> partials: array<f32>;

@compute @workgroup_size(64)
fn loss_parameters(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = folded(group, groups, local);
    let row = index / call.dim;
    let c = index % call.dim;
    if (row < call.rows) {
        var sum = 0.0;
        // Observations of one component, numbered over times and trajectories.
        for (var e = row; e < call.count / call.dim; e += call.rows) {
            let b = e % call.stride;
            let i = ((e / call.stride) * call.dim + c) * call.stride + b;
            let weight = weight_of(i);
            if (b < call.batch && status[b] == 0u && weight >= 0.0) {
                sum += weight * loss_by_scale(states[i] - observed[i], c);
            }
        }
        partials[(call.first_row + row) * call.dim + c] = summary[SCALE] * sum;
    }
}
