// Would an update leave the finite numbers? Then it is not made, not even in part: every value is stepped here first, and
// nothing is kept but a flag. Mirror: update.wgsl. Companions: fold.wgsl, optimizer.wgsl, adam.wgsl or sgd.wgsl.

// Zero in the flag's place until here (loss_finish.wgsl).
@group(0) @binding(2) var<storage, read_write> summary: array<atomic<u32>>;

fn measured(place: u32) -> f32 {
    return bitcast<f32>(atomicLoad(&summary[place]));
}

@compute @workgroup_size(64)
fn foresee(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = folded(group, groups, local);
    if (i < call.count && usable() && !is_good(stepped(i))) {
        // The bits of 1.
        atomicOr(&summary[OVERFLOWING], 0x3f800000u);
    }
}
