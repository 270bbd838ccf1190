// The update of the parameters, unless it is skipped as a whole. Mirror: foresee.wgsl, which has seen it.
// Companions: fold.wgsl, optimizer.wgsl, adam.wgsl or sgd.wgsl.

@group(0) @binding(2) var<storage, read> summary: array<f32>;

fn measured(place: u32) -> f32 {
    return summary[place];
}

@compute @workgroup_size(64)
fn update(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = folded(group, groups, local);
    if (i < call.count && usable() && measured(OVERFLOWING) == 0.0) {
        keep(i, stepped(i));
    }
}
