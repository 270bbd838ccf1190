// Adds the partials of a block of dispatches to the totals, element by element, and starts the next block at zero.
// The second level of the sums of dJ/dtheta (src/plan/accumulate.rs), whoever has made the first; their order stays fixed.

struct CountCall {
    count: u32,
}

var<immediate> call: CountCall;

@group(0) @binding(0) var<storage, read_write> partials: array<f32>;
@group(0) @binding(1) var<storage, read_write> totals: array<f32>;

@compute @workgroup_size(64)
fn accumulate(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = folded(group, groups, local);
    if (i < call.count) {
        totals[i] += partials[i];
        partials[i] = 0.0;
    }
}
