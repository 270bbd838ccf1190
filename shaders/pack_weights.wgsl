// Copies the parameters [P] into the padded and transposed rows that the step kernels read.
// Table: src/plan/layout.rs; places that no parameter fills become zero.

struct CountCall {
    count: u32,
}

var<immediate> call: CountCall;

@group(0) @binding(0) var<storage, read> theta: array<f32>;
@group(0) @binding(1) var<storage, read> table: array<u32>;
@group(0) @binding(2) var<storage, read_write> weights: array<f32>;

const NO_PARAMETER: u32 = 0xffffffffu;

@compute @workgroup_size(64)
fn pack_weights(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = folded(group, groups, local);
    if (i < call.count) {
        let p = table[i];
        weights[i] = select(theta[min(p, arrayLength(&theta) - 1u)], 0.0, p == NO_PARAMETER);
    }
}
