// Takes a trajectory out whose observation has a term that the sums over the batch could not hold: it would make the loss and
// the gradient of all others infinite. Every observation that finds so writes the same word.
// Companions: fold, common, status, observation, loss_*, weight_*. Mirror: loss_partials.wgsl.

@group(0) @binding(0) var<storage, read> states: array<f32>;
@group(0) @binding(1) var<storage, read> observed: array<f32>;
@group(0) @binding(2) var<storage, read_write> status: array<atomic<u32>>;

@compute @workgroup_size(64)
fn loss_limits(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = folded(group, groups, local);
    if (i < call.count) {
        let b = i % call.stride;
        let weight = weight_of(i);
        if (b < call.batch && weight >= 0.0 && atomicLoad(&status[b]) == 0u) {
            let term = loss_value(states[i] - observed[i], weight, component_of(i));
            if (!is_finite(term) || abs(term) > call.most) {
                atomicMax(&status[b], LOSS_OVERFLOW);
            }
        }
    }
}
