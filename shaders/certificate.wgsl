// How far the state that the reverse pass has come to, or both copies of a pair, is from the known one: per trajectory the
// largest |x^(t) - x(t)| of its components, and the largest relative to what the component has met, at t0 and at the times
// of anchors, whose comparisons come before; infinite for a trajectory that met a non-finite value.
// Companions: fold, common, certificate_call, drift_partials. Mirror: certificate_fixed.wgsl.

@group(0) @binding(0) var<storage, read> state: array<f32>;
@group(0) @binding(1) var<storage, read> known: array<f32>;
@group(0) @binding(2) var<storage, read> status: array<u32>;
@group(0) @binding(3) var<storage, read> measures: array<f32>;
@group(0) @binding(4) var<storage, read_write> drift: array<f32>;

@compute @workgroup_size(64)
fn certificate(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let b = folded(group, groups, local);
    if (b < call.batch) {
        var worst = vec2<f32>();
        var lost = status[b] != 0u;
        for (var i = 0u; i < call.copies * call.dim; i++) {
            let c = i % call.dim;
            let distance = abs(state[i * call.stride + b] - known[c * call.stride + b]);
            // The maximum of a number and a NaN may be the number.
            lost = lost || !is_finite(distance);
            worst = max(worst, distances(distance, c, b));
        }
        worst = select(worst, endless(), lost);
        drift[b] = max(drift[b], worst.x);
        drift[call.stride + b] = max(drift[call.stride + b], worst.y);
    }
}
