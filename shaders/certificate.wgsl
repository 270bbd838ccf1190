// How far the state that the reverse pass has come to, or both copies of a pair, is from the known one: per trajectory the
// largest component of |x^(t) - x(t)| at t0 and at the times of anchors, whose comparisons come before; infinite for a
// trajectory that met a non-finite value. Companions: fold.wgsl, drift_partials.wgsl.

struct CertificateCall {
    dim: u32,
    stride: u32,
    batch: u32,
    copies: u32,
    fraction: u32,
    failed: u32,
}

var<immediate> call: CertificateCall;

@group(0) @binding(0) var<storage, read> state: array<f32>;
@group(0) @binding(1) var<storage, read> known: array<f32>;
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
        var lost = status[b] != 0u;
        for (var c = 0u; c < call.copies * call.dim; c++) {
            let distance = abs(state[c * call.stride + b] - known[(c % call.dim) * call.stride + b]);
            // The maximum of a number and a NaN may be the number.
            lost = lost || !is_finite(distance);
            worst = max(worst, distance);
        }
        if (lost) {
            // A variable, since infinity may not be written as a constant.
            var infinity = 0x7f800000u;
            worst = bitcast<f32>(infinity);
        }
        drift[b] = max(drift[b], worst);
    }
}
