// Over runs of 256 values: the largest exponent e, and the sum of squares of value 2^-e, so that the norm of finite values
// neither overflows nor underflows; partials [rows, 2]. Scaling all values by a power of two changes e and no other bit.
// An e of NOT_FINITE says that a value is not finite. Values below 2^-126 count as zero, as devices take them.
// Companions: fold.wgsl, common.wgsl, norm.wgsl. Continued in norm_sums.wgsl.

struct CountCall {
    count: u32,
}

var<immediate> call: CountCall;

@group(0) @binding(0) var<storage, read> values: array<f32>;
@group(0) @binding(1) var<storage, read_write> partials: array<f32>;

@compute @workgroup_size(64)
fn norm_partials(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let row = folded(group, groups, local);
    let first = row * 256u;
    if (first < call.count) {
        let last = min(first + 256u, call.count);
        // Without the sign, bits of floats are ordered as the floats are, and those of NaN come last.
        var largest = 0u;
        for (var i = first; i < last; i++) {
            largest = max(largest, bitcast<u32>(values[i]) & 0x7fffffffu);
        }
        let finite = largest < 0x7f800000u;
        let e = clamp(i32(largest >> 23u) - 127, LEAST_EXPONENT, -LEAST_EXPONENT);
        let scale = power_of_two(-e);
        var sum = 0.0;
        for (var i = first; i < last; i++) {
            let value = values[i] * scale;
            sum += value * value;
        }
        partials[2u * row] = select(NOT_FINITE, f32(e), finite);
        partials[2u * row + 1u] = select(0.0, sum, finite);
    }
}
