// Where the binary points of fixed point lie. Mirror: src/solver/points.rs.

// Added to a point that is asked for: zero says that none is. Above it a bit says that the range was left with another.
const ASKED: i32 = 1024;
const LEFT: u32 = 0x10000u;
const NO_EXPONENT: i32 = -1000;
// A number below 2^e has this many bits less e below its point: 2^4 of room above it, all of its own bits below.
const OWN_BITS: i32 = 27;
// All f32 numbers fit the least point; beyond the largest there are none.
const LEAST_POINT: i32 = -101;
const LARGEST_POINT: i32 = 152;
// Bits by which a range that was left is widened.
const WIDER: i32 = 8;
// A resolution is small against a component if it is below 2^-20 of it.
const FINE: i32 = 20;
// An initial value is held well if its rounding is below 2^-17 of its power of two, or of where the field takes it from the
// first: a range that was widened once holds what grows as e^t.
const START_BITS: i32 = 17;

/// The point for numbers below 2^e.
fn point_for(e: i32) -> i32 {
    return clamp(OWN_BITS - e, LEAST_POINT, LARGEST_POINT);
}
