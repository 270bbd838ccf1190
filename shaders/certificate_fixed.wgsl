// Whether the reverse pass has come back to the words that it started from: per trajectory how far the copies are from the
// given initial state, its rounding to words included, and the number of words that differ, if asked for in failed
// trajectories too. Companions: fold, common, status, fixed, fixed_one or fixed_two, certificate_call, drift_partials.
// Mirrors: certificate.wgsl, pair_start.wgsl.

@group(0) @binding(0) var<storage, read_write> state: array<u32>;
@group(0) @binding(1) var<storage, read> initial: array<f32>;
@group(0) @binding(2) var<storage, read> status: array<u32>;
@group(0) @binding(3) var<storage, read> measures: array<f32>;
@group(0) @binding(4) var<storage, read_write> drift: array<f32>;

@compute @workgroup_size(64)
fn certificate_fixed(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let b = folded(group, groups, local);
    if (b < call.batch) {
        var worst = vec2<f32>();
        var differing = 0.0;
        let plane = call.dim * call.stride;
        for (var i = 0u; i < 2u * call.dim; i++) {
            let c = i % call.dim;
            let at = c * call.stride + b;
            let point = bitcast<i32>(state[COPY_PLANES * plane + at]);
            let now = fetch(i / call.dim, at, plane);
            worst = max(worst, distances(abs(from_fixed(now, point) - initial[at]), c, b));
            differing += select(0.0, 1.0, differs(now, to_fixed(initial[at], point)));
        }
        if (status[b] != 0u) {
            worst = endless();
            differing = select(0.0, differing, call.failed == 1u);
        }
        drift[b] = worst.x;
        drift[call.stride + b] = worst.y;
        drift[2u * call.stride + b] = differing;
    }
}
