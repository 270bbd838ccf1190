// Adam with decoupled weight decay (Kingma & Ba 2015; Loshchilov & Hutter 2019). The bias corrections are in `rate` and
// `correction`, computed on the host in f64. Companion: optimizer.wgsl. Twin: tests/training.rs.

@group(0) @binding(3) var<storage, read_write> moment: array<f32>;
@group(0) @binding(4) var<storage, read_write> second_moment: array<f32>;

@compute @workgroup_size(64)
fn adam(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = folded(group, groups, local);
    if (i < call.count && usable()) {
        let g = gradient[i] * clip_factor();
        let m = call.decay * moment[i] + (1.0 - call.decay) * g;
        let v = call.second_decay * second_moment[i] + (1.0 - call.second_decay) * (g * g);
        moment[i] = m;
        second_moment[i] = v;
        theta[i] = shrunk(i) - call.rate * m / (sqrt(v) * call.correction + call.epsilon);
    }
}
