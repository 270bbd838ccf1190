// Brings runs of 64 pairs of exponent and sum (norm_partials.wgsl) to their largest exponent and adds them in ascending
// order. Repeated until one pair is left (src/plan/reduce.rs): a tree of fixed shape.
// Companions: fold.wgsl, common.wgsl, norm.wgsl.

struct NormCall {
    rows: u32,
    // Offset of the result in values.
    into: u32,
}

var<immediate> call: NormCall;

@group(0) @binding(0) var<storage, read> source: array<f32>;
@group(0) @binding(1) var<storage, read_write> result: array<f32>;

@compute @workgroup_size(64)
fn norm_sums(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let run = folded(group, groups, local);
    let first = run * 64u;
    if (first < call.rows) {
        let last = min(first + 64u, call.rows);
        var e = f32(LEAST_EXPONENT);
        for (var row = first; row < last; row++) {
            e = max(e, source[2u * row]);
        }
        var sum = 0.0;
        for (var row = first; row < last; row++) {
            let scale = power_of_two(max(i32(source[2u * row] - e), LEAST_EXPONENT));
            // One factor after the other: the square of a small one would underflow.
            sum += (source[2u * row + 1u] * scale) * scale;
        }
        result[call.into + 2u * run] = e;
        result[call.into + 2u * run + 1u] = sum;
    }
}
