// Whether the reverse pass has come back to the words that it started from: per trajectory the largest distance of the
// copies from the given initial state, infinite for a trajectory that failed, and the number of words that differ, if
// asked for in failed ones too. Companions: fold, common, status, fixed, fixed_one or fixed_two, drift_partials. Mirrors: certificate.wgsl,
// fixed_start.wgsl.

struct CertificateCall {
    dim: u32,
    stride: u32,
    batch: u32,
    copies: u32,
    fraction: u32,
    // 1 if failed trajectories must come back too.
    failed: u32,
}

var<immediate> call: CertificateCall;

@group(0) @binding(0) var<storage, read_write> state: array<u32>;
@group(0) @binding(1) var<storage, read> initial: array<f32>;
@group(0) @binding(2) var<storage, read> status: array<u32>;
// [2, stride]: distances, numbers of words that differ.
@group(0) @binding(3) var<storage, read_write> drift: array<f32>;

@compute @workgroup_size(64)
fn certificate_fixed(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let b = folded(group, groups, local);
    if (b < call.batch) {
        var worst = 0.0;
        var differing = 0.0;
        let plane = call.dim * call.stride;
        for (var i = 0u; i < 2u * call.dim; i++) {
            let at = (i % call.dim) * call.stride + b;
            let start = to_fixed(initial[at]);
            let now = fetch(i / call.dim, at, plane);
            worst = max(worst, abs(from_fixed(minus(now, start))));
            differing += select(0.0, 1.0, differs(now, start));
        }
        if (status[b] != 0u) {
            // A variable, since infinity may not be written as a constant.
            var infinity = 0x7f800000u;
            worst = bitcast<f32>(infinity);
            differing = select(0.0, differing, call.failed == 1u);
        }
        drift[b] = worst;
        drift[call.stride + b] = differing;
    }
}
