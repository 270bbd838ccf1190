// Puts the sums that reverse kernels have made in their own order into that of the parameters [P].
// Table: src/plan/inside.rs. Mirror: pack_weights.wgsl.

struct CountCall {
    count: u32,
}

var<immediate> call: CountCall;

@group(0) @binding(0) var<storage, read> sums: array<f32>;
@group(0) @binding(1) var<storage, read> table: array<u32>;
@group(0) @binding(2) var<storage, read_write> gradient: array<f32>;

@compute @workgroup_size(64)
fn unpack_gradient(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let p = folded(group, groups, local);
    if (p < call.count) {
        gradient[p] = sums[table[p]];
    }
}
