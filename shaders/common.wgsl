// Shared by all kernels: the test for non-finite values and what passes them on, powers of two.
// Twins: f32::is_finite, f32::powi.

/// Looks at the exponent bits: a compiler may assume that no NaN exists and fold `v != v`.
fn is_finite(v: f32) -> bool {
    return (bitcast<u32>(v) & 0x7f800000u) != 0x7f800000u;
}

/// A function's value v at p, or p itself where that is not finite. Most activations make a finite number of any argument:
/// what has overflowed before them, or is no number, would be seen by nobody.
fn passed_on(v: f32, p: f32) -> f32 {
    return select(p, v, is_finite(p));
}

/// 2^e for -126 <= e <= 127.
fn power_of_two(e: i32) -> f32 {
    return bitcast<f32>(u32(e + 127) << 23u);
}
