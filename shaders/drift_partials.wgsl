// Over runs of 256 trajectories: maximum, sum and number of the finite relative drifts, number of words that differ,
// largest relative distance of the copies of a pair; partials [rows, 5].
// Companions: common.wgsl, certificate.wgsl.

struct DriftCall {
    count: u32,
    stride: u32,
    // 1 if the drifts are followed by the numbers of words that differ.
    fixed: u32,
}

var<immediate> call: DriftCall;

@group(0) @binding(0) var<storage, read> drift: array<f32>;
@group(0) @binding(1) var<storage, read> measures: array<f32>;
@group(0) @binding(2) var<storage, read_write> partials: array<f32>;

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
        var differing = 0.0;
        var apart = 0.0;
        for (var b = first; b < min(first + 256u, call.count); b++) {
            let relative = drift[call.stride + b];
            if (is_finite(relative)) {
                largest = max(largest, relative);
                sum += relative;
                survivors += 1.0;
                apart = max(apart, measures[b]);
            }
            if (call.fixed == 1u) {
                differing += drift[2u * call.stride + b];
            }
        }
        partials[5u * row] = largest;
        partials[5u * row + 1u] = sum;
        partials[5u * row + 2u] = survivors;
        partials[5u * row + 3u] = differing;
        partials[5u * row + 4u] = apart;
    }
}
