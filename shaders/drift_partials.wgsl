// Maximum, sum and number of the finite drifts over runs of 256 trajectories; partials [rows, 3].
// Companions: common.wgsl, certificate.wgsl.

struct CountCall {
    count: u32,
}

var<immediate> call: CountCall;

@group(0) @binding(0) var<storage, read> drift: array<f32>;
@group(0) @binding(1) var<storage, read_write> partials: array<f32>;

@compute @workgroup_size(64)
fn drift_partials(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let row = folded(group, groups, local);
    let first = row * 256u;
    if (first < call.count) {
        var largest = 0.0;
        var sum = 0.0;
        var survivors = 0.0;
        for (var b = first; b < min(first + 256u, call.count); b++) {
            if (is_finite(drift[b])) {
                largest = max(largest, drift[b]);
                sum += drift[b];
                survivors += 1.0;
            }
        }
        partials[3u * row] = largest;
        partials[3u * row + 1u] = sum;
        partials[3u * row + 2u] = survivors;
    }
}
