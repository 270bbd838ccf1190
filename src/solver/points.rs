//! Where the binary points of states in fixed point lie. Mirror: `shaders/points.wgsl`.

/// Bits below the point of numbers of magnitude 1, rounded up to a power of two: a number has all 24 of its own, and
/// room for 16 times as much.
const OWN_BITS: i32 = 27;
/// All f32 numbers fit the least point; beyond the largest there are none.
const POINTS: std::ops::RangeInclusive<i32> = -101..=152;
/// Bits by which a range that a state has left is widened.
pub(crate) const WIDER: i32 = 8;
/// Added to a point as the kernels get it: a zero asks for none.
const ASKED: i32 = 1024;

/// Bits below the point for numbers up to `largest`; `None` for zero and what is no normal number.
pub(crate) fn point_for(largest: f32) -> Option<i32> {
    let exponent = i32::from(((largest.to_bits() >> 23) & 0xff) as u8) - 126;
    largest.is_normal().then(|| (OWN_BITS - exponent).clamp(*POINTS.start(), *POINTS.end()))
}

/// A point as the kernels get it.
pub(crate) fn asked(point: i32) -> u32 {
    (point.clamp(*POINTS.start(), *POINTS.end()) + ASKED).unsigned_abs()
}

/// The point that the kernels were asked for.
pub(crate) fn given_point(asked: u32) -> i32 {
    i32::try_from(asked).unwrap_or_default() - ASKED
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_bits_and_room_for_more() {
        for largest in [1.0_f32, 1.999, 1e-9, 3e12, 1e-37, f32::MAX] {
            let point = point_for(largest).expect("a normal number");
            let words = f64::from(largest) * f64::from(point).exp2();
            assert_eq!(words, words.round(), "{largest:e}: no bit lies below the point");
            assert!(words < f64::from(1 << 27), "{largest:e}: four bits of 31 are free");
            assert!(words >= f64::from(1 << 26), "{largest:e}: no more than four, where f32 has more");
        }
        assert_eq!([0.0, f32::NAN, f32::INFINITY].map(point_for), [None; 3]);
    }
}
