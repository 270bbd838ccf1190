// Two values in a word of 64 bits: neighbouring weights, the activations of two trajectories, two sums.
// Companion of the text that src/kernels/paired.rs generates.

fn low(w: u64) -> f32 {
    return bitcast<f32>(u32(w));
}

fn high(w: u64) -> f32 {
    return bitcast<f32>(u32(w >> 32u));
}

fn both(a: f32, b: f32) -> u64 {
    return u64(bitcast<u32>(a)) | (u64(bitcast<u32>(b)) << 32u);
}
