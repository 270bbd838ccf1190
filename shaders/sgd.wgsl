// Stochastic gradient descent with momentum, as in PyTorch: v <- decay v + g, theta <- theta - rate v.
// Companion: optimizer.wgsl. Twin: tests/training.rs.

@group(0) @binding(3) var<storage, read_write> moment: array<f32>;

@compute @workgroup_size(64)
fn sgd(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = folded(group, groups, local);
    if (i < call.count && usable()) {
        let v = call.decay * moment[i] + gradient[i] * clip_factor();
        moment[i] = v;
        theta[i] = shrunk(i) - call.rate * v;
    }
}
