// How far the reconstructed initial state is from the given one: per trajectory the largest component of
// |x^(t0) - x(t0)|. Quarantined trajectories count as 0. Companion: drift_partials.wgsl.

struct CertificateCall {
    dim: u32,
    stride: u32,
    batch: u32,
}

var<immediate> call: CertificateCall;

@group(0) @binding(0) var<storage, read> state: array<f32>;
@group(0) @binding(1) var<storage, read> initial: array<f32>;
@group(0) @binding(2) var<storage, read> status: array<u32>;
@group(0) @binding(3) var<storage, read_write> drift: array<f32>;

@compute @workgroup_size(64)
fn certificate(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let b = folded(group, groups, local);
    if (b < call.batch) {
        var worst = 0.0;
        if (status[b] == 0u) {
            for (var c = 0u; c < call.dim; c++) {
                worst = max(worst, abs(state[c * call.stride + b] - initial[c * call.stride + b]));
            }
        }
        drift[b] = worst;
    }
}
