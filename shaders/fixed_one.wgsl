// Fixed point of one word, x = I 2^-point. Companions: fixed.wgsl and a binding `state`.
// Mirror: fixed_two.wgsl. Twin: src/reference/fixed.rs.

alias Fixed = i32;

// Planes [dim, stride] that both copies fill; the binary points lie behind them.
const COPY_PLANES: u32 = 2u;
// Bits below the last one that `scaled` counts.
const MORE_BITS: i32 = 0;

/// The value at place `at` of copy c; a copy fills a plane [dim, stride].
fn fetch(c: u32, at: u32, plane: u32) -> Fixed {
    return bitcast<i32>(state[c * plane + at]);
}

fn put(c: u32, at: u32, plane: u32, v: Fixed) {
    state[c * plane + at] = bitcast<u32>(v);
}

fn plus(a: Fixed, b: Fixed) -> Fixed {
    return a + b;
}

fn minus(a: Fixed, b: Fixed) -> Fixed {
    return a - b;
}

fn chosen(a: Fixed, b: Fixed, second: bool) -> Fixed {
    return select(a, b, second);
}

fn is_negative(a: Fixed) -> bool {
    return a < 0;
}

/// True if a + b = sum has left the range.
fn wrapped(a: Fixed, b: Fixed, sum: Fixed) -> bool {
    return ((a ^ sum) & (b ^ sum)) < 0;
}

/// Divided by 2^by, rounded down.
fn halved(a: Fixed, by: u32) -> Fixed {
    return a >> by;
}

/// What `halved` drops.
fn dropped(a: Fixed, by: u32) -> u32 {
    return bitcast<u32>(a) & ((1u << by) - 1u);
}

/// Undoes `halved`.
fn restored(a: Fixed, by: u32, bits: u32) -> Fixed {
    return (a << by) | bitcast<i32>(bits);
}

fn is_zero(a: Fixed) -> bool {
    return a == 0;
}

fn differs(a: Fixed, b: Fixed) -> bool {
    return a != b;
}

fn from_fixed(a: Fixed, point: i32) -> f32 {
    let magnitude = nearest(bitcast<u32>(select(a, 0 - a, a < 0)), -point);
    return select(magnitude, -magnitude, a < 0);
}

/// g in units of the last place, rounded to even.
fn scaled(g: f32, point: i32) -> f32 {
    return round(scaled_by(g, point));
}

/// The nearest word; zero for what does not fit.
fn to_fixed(g: f32, point: i32) -> Fixed {
    let q = scaled(g, point);
    return i32(select(q, 0.0, unfit(g, q) != 0u));
}
