// Between f32 and fixed point, in operations whose result no implementation may choose (math.md section 4.1).
// Companions: common.wgsl, status.wgsl. Twin: src/reference/fixed.rs.

/// The kind of trouble with an increment whose rounded value is q; zero if it fits 32 bits. Looks at the bits: a
/// compiler may assume that no NaN exists.
fn unfit(q: f32) -> u32 {
    let magnitude = bitcast<u32>(q) & 0x7fffffffu;
    return select(select(0u, OUT_OF_RANGE, magnitude >= 0x4f000000u), FORWARD_NON_FINITE, magnitude >= 0x7f800000u);
}

/// The nearest f32 of n * 2^e for n below 2^32: to even in integers, since WGSL leaves the rounding of f32(n) open.
fn nearest(n: u32, e: i32) -> f32 {
    let shift = u32(max(8 - i32(countLeadingZeros(n)), 0));
    let half = select(0u, (1u << (max(shift, 1u) - 1u)) - 1u + ((n >> shift) & 1u), shift > 0u);
    // The sum may pass 2^32 by its carry, which is then all that is left of it.
    let sum = n + half;
    let carry = select(0u, 1u << (32u - max(shift, 1u)), sum < n);
    return f32((sum >> shift) + carry) * power_of_two(i32(shift) + e);
}
