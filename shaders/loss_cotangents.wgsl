// Turns states at save times into cotangents of the loss, in place: zero for masked observations, quarantined trajectories
// and padding. Companions: fold, summary, observation, loss_*, weight_*. Mirror: loss_partials.wgsl.

@group(0) @binding(0) var<storage, read_write> states: array<f32>;
@group(0) @binding(1) var<storage, read> observed: array<f32>;
@group(0) @binding(2) var<storage, read> status: array<u32>;
@group(0) @binding(3) var<storage, read> summary: array<f32>;

@compute @workgroup_size(64)
fn loss_cotangents(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = folded(group, groups, local);
    if (i < call.count) {
        let b = i % call.stride;
        let weight = weight_of(i);
        var cotangent = 0.0;
        if (b < call.batch && status[b] == 0u && weight >= 0.0) {
            cotangent = summary[SCALE] * (weight * loss_slope(states[i] - observed[i], component_of(i)));
        }
        states[i] = cotangent;
    }
}
