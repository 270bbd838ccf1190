// Between f32 and fixed point, x = I 2^-point with a binary point for each component of each trajectory, in operations whose result no implementation may choose (math.md section 4.1).
// Companions: common.wgsl, status.wgsl. Twin: src/reference/fixed.rs.

/// The kind of trouble with an increment g whose scaled value is q; zero if it fits 32 bits. Looks at the bits: a
/// compiler may assume that no NaN exists. The scaled value of a finite increment may be infinite.
fn unfit(g: f32, q: f32) -> u32 {
    let large = (bitcast<u32>(q) & 0x7fffffffu) >= 0x4f000000u;
    return select(select(0u, OUT_OF_RANGE, large), FORWARD_NON_FINITE, !is_finite(g));
}

/// v * 2^e for -252 <= e <= 254, exactly unless it over- or underflows: 2^e itself need be no f32.
fn scaled_by(v: f32, e: i32) -> f32 {
    let half = e >> 1u;
    return v * power_of_two(half) * power_of_two(e - half);
}

/// The least e with |v| < 2^e, for a normal number v; that of 2^-126 for smaller ones.
fn exponent_of(v: f32) -> i32 {
    return i32((bitcast<u32>(v) >> 23u) & 0xffu) - 126;
}

/// The nearest f32 of n * 2^e for n below 2^32: to even in integers, since WGSL leaves the rounding of f32(n) open.
fn nearest(n: u32, e: i32) -> f32 {
    let shift = u32(max(8 - i32(countLeadingZeros(n)), 0));
    let half = select(0u, (1u << (max(shift, 1u) - 1u)) - 1u + ((n >> shift) & 1u), shift > 0u);
    // The sum may pass 2^32 by its carry, which is then all that is left of it.
    let sum = n + half;
    let carry = select(0u, 1u << (32u - max(shift, 1u)), sum < n);
    return scaled_by(f32((sum >> shift) + carry), i32(shift) + e);
}
