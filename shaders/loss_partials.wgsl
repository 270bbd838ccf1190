// Over runs of 256 observations: the sum of their weighted losses, how many take part, how many trajectories, and the sum
// of the running costs of those. A quarantined trajectory and a masked observation add nothing to any.
// States [time, dim, stride]; partials [rows, 4]. Companions: fold, observation, loss_*, weight_*. Mirror:
// loss_cotangents.wgsl. Twin: Loss::value, src/model/loss.rs.

@group(0) @binding(0) var<storage, read> states: array<f32>;
@group(0) @binding(1) var<storage, read> observed: array<f32>;
@group(0) @binding(2) var<storage, read> status: array<u32>;
@group(0) @binding(3) var<storage, read> measures: array<f32>;
@group(0) @binding(4) var<storage, read_write> partials: array<f32>;

@compute @workgroup_size(64)
fn loss_partials(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let row = folded(group, groups, local);
    if (row < call.rows) {
        var losses = 0.0;
        var observations = 0.0;
        var trajectories = 0.0;
        var costs = 0.0;
        for (var i = row; i < call.count; i += call.rows) {
            let b = i % call.stride;
            if (b < call.batch && status[b] == 0u) {
                let weight = weight_of(i);
                if (weight >= 0.0) {
                    losses += loss_value(states[i] - observed[i], weight, component_of(i));
                    observations += 1.0;
                }
                if (i < call.stride && call.counts == 1u) {
                    trajectories += 1.0;
                    costs += measures[call.stride + b];
                }
            }
        }
        let at = 4u * (call.first_row + row);
        partials[at] = losses;
        partials[at + 1u] = observations;
        partials[at + 2u] = trajectories;
        partials[at + 3u] = costs;
    }
}
