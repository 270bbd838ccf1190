// The log of the bits that contractions drop, [words, dim, stride]: contraction e lies at bit e * bits, so that reading
// needs no pointer. Companions: step_call.wgsl and a binding `bit_log`, the last one of the kernel.

/// Word of the log and position in it of contraction number `event`.
fn log_word() -> u32 {
    return (event * call.bits) / 32u;
}

fn log_offset() -> u32 {
    return (event * call.bits) % 32u;
}

fn log_bits(q: u32, dropped: u32) {
    let at = log_word() * DIM * call.stride + element(q);
    let old = select(bit_log[at], 0u, log_offset() == 0u);
    bit_log[at] = old | (dropped << log_offset());
}

fn logged_bits(q: u32) -> u32 {
    let at = log_word() * DIM * call.stride + element(q);
    return (bit_log[at] >> log_offset()) & ((1u << call.bits) - 1u);
}
