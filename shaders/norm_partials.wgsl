// Sums of squares over runs of 256 values of the gradient.

struct CountCall {
    count: u32,
}

var<immediate> call: CountCall;

@group(0) @binding(0) var<storage, read> values: array<f32>;
@group(0) @binding(1) var<storage, read_write> partials: array<f32>;

@compute @workgroup_size(64)
fn norm_partials(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let row = folded(group, groups, local);
    let first = row * 256u;
    if (first < call.count) {
        var sum = 0.0;
        for (var i = first; i < min(first + 256u, call.count); i++) {
            sum += values[i] * values[i];
        }
        partials[row] = sum;
    }
}
