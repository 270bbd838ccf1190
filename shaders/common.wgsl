// Shared by all kernels: the test for non-finite values.
// Twin: f32::is_finite.

/// Looks at the exponent bits: a compiler may assume that no NaN exists and fold `v != v`.
fn is_finite(v: f32) -> bool {
    return (bitcast<u32>(v) & 0x7f800000u) != 0x7f800000u;
}
