// A norm as exponent e and sum s, for sqrt(s) 2^e. Mirror: `norm` in src/plan/reduce.rs.

// The exponent that says that a value is not finite.
const NOT_FINITE: f32 = 128.0;
// Of the smallest normal number; 2^126 is the largest power of two that has a normal reciprocal.
const LEAST_EXPONENT: i32 = -126;
