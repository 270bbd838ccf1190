// Where the adjoint of the running costs starts, and stays: each trajectory's share in the objective, [stride].
// Companions: fold.wgsl, summary.wgsl.

struct CostCall {
    // First place in the adjoint.
    at: u32,
    count: u32,
}

var<immediate> call: CostCall;

@group(0) @binding(0) var<storage, read> summary: array<f32>;
@group(0) @binding(1) var<storage, read_write> adjoint: array<f32>;

@compute @workgroup_size(64)
fn cost_adjoint(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = folded(group, groups, local);
    if (i < call.count) {
        adjoint[call.at + i] = summary[COST_SCALE];
    }
}
