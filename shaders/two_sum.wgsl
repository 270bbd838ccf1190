// Sums that keep what they round away. A compiler may fold (a + b) - a to b: what must not be looked through passes an
// exclusive or with a zero that it does not know. Companion: a binding or immediate `call` with a member `idle`, always 0.

fn opaque(v: f32) -> f32 {
    return bitcast<f32>(bitcast<u32>(v) ^ call.idle);
}

/// The rounded sum, and what it lacks of the sum: exact, whichever is the larger (Knuth, TAOCP 2, 4.2.2).
fn two_sum(a: f32, b: f32) -> vec2<f32> {
    let sum = opaque(a + b);
    let of_b = opaque(sum - a);
    return vec2(sum, (a - (sum - of_b)) + (b - of_b));
}
