// Given initial states into both copies of a pair in fixed point. Companions: fold, common, status, fixed, fixed_one or
// fixed_two. Mirror: certificate_fixed.wgsl.

struct StartCall {
    // Values of a plane, dim * stride.
    count: u32,
    fraction: u32,
}

var<immediate> call: StartCall;

@group(0) @binding(0) var<storage, read> initial: array<f32>;
@group(0) @binding(1) var<storage, read_write> state: array<u32>;

@compute @workgroup_size(64)
fn fixed_start(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = folded(group, groups, local);
    if (i < call.count) {
        let v = to_fixed(initial[i]);
        put(0u, i, call.count, v);
        put(1u, i, call.count, v);
    }
}
