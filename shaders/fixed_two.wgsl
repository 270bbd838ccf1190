// Fixed point of two words, high and low: 32 more bits below the point than fixed_one.wgsl has (math.md section 4.5).
// Companions: fixed.wgsl and a binding `state`. Twin: src/reference/fixed.rs.

alias Fixed = vec2<u32>;

const COPY_PLANES: u32 = 4u;
const MORE_BITS: i32 = 32;

/// The value at place `at` of copy c; a copy fills two planes [dim, stride], high words first.
fn fetch(c: u32, at: u32, plane: u32) -> Fixed {
    return vec2<u32>(state[2u * c * plane + at], state[(2u * c + 1u) * plane + at]);
}

fn put(c: u32, at: u32, plane: u32, v: Fixed) {
    state[2u * c * plane + at] = v.x;
    state[(2u * c + 1u) * plane + at] = v.y;
}

fn plus(a: Fixed, b: Fixed) -> Fixed {
    let low = a.y + b.y;
    return vec2<u32>(a.x + b.x + select(0u, 1u, low < a.y), low);
}

fn negated(a: Fixed) -> Fixed {
    let low = ~a.y + 1u;
    return vec2<u32>(~a.x + select(0u, 1u, low == 0u), low);
}

fn minus(a: Fixed, b: Fixed) -> Fixed {
    return plus(a, negated(b));
}

fn chosen(a: Fixed, b: Fixed, second: bool) -> Fixed {
    return select(a, b, vec2<bool>(second));
}

fn is_negative(a: Fixed) -> bool {
    return (a.x >> 31u) != 0u;
}

/// True if a + b = sum has left the range.
fn wrapped(a: Fixed, b: Fixed, sum: Fixed) -> bool {
    return (((a.x ^ sum.x) & (b.x ^ sum.x)) >> 31u) != 0u;
}

/// Divided by 2^by, 1 <= by <= 8, rounded down.
fn halved(a: Fixed, by: u32) -> Fixed {
    return vec2<u32>(bitcast<u32>(bitcast<i32>(a.x) >> by), (a.y >> by) | (a.x << (32u - by)));
}

/// What `halved` drops.
fn dropped(a: Fixed, by: u32) -> u32 {
    return a.y & ((1u << by) - 1u);
}

/// Undoes `halved`.
fn restored(a: Fixed, by: u32, bits: u32) -> Fixed {
    return vec2<u32>((a.x << by) | (a.y >> (32u - by)), (a.y << by) | bits);
}

fn is_zero(a: Fixed) -> bool {
    return a.x == 0u && a.y == 0u;
}

fn differs(a: Fixed, b: Fixed) -> bool {
    return a.x != b.x || a.y != b.y;
}

/// Through sign and magnitude: the words of a small negative value are large. Two roundings, at most one ulp off.
fn from_fixed(a: Fixed, point: i32) -> f32 {
    let n = chosen(a, negated(a), is_negative(a));
    let magnitude = nearest(n.x, -point) + nearest(n.y, -point - 32);
    return select(magnitude, -magnitude, is_negative(a));
}

/// g in units of the high word's last place.
fn scaled(g: f32, point: i32) -> f32 {
    return scaled_by(g, point);
}

/// The nearest words; zero for what does not fit.
fn to_fixed(g: f32, point: i32) -> Fixed {
    let q = abs(scaled(g, point));
    let u = select(q, 0.0, unfit(g, q) != 0u);
    let whole = floor(u);
    // The rest is exact, and so is its product; rounded it may be 2^32, which carries.
    let rest = round((u - whole) * 4294967296.0);
    let carry = rest >= 4294967296.0;
    let n = vec2<u32>(u32(whole) + select(0u, 1u, carry), u32(select(rest, 0.0, carry)));
    return chosen(n, negated(n), g < 0.0);
}
