//! Numbers in fixed point, of one word and of two, and the lossless contraction of a pair of them.
//!
//! A word I stands for `I · 2^−bits`; of two words, high and low, the low one has 32 more bits below the point, so that
//! together they are the i64 `I` of `I · 2^−(bits + 32)`. Sums wrap: what leaves the range is wrong as a number, but goes
//! back to where it came from.

/// The nearest word of `g`, ties to even, and false; zero and true if g is not finite or out of range, `|g| ≥ 2^(31−bits)`
/// after rounding.
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "the value is an integer and was found to fit")]
pub fn to_fixed(g: f32, bits: i32) -> (i32, bool) {
    // The product is exact: multiplying by a power of two only moves the exponent, or overflows.
    let q = scaled_by(g, bits).round_ties_even();
    if unfit(q) { (0, true) } else { (q as i32, false) }
}

/// The nearest f32 of a word, ties to even, by integer operations alone.
#[must_use]
pub fn from_fixed(word: i32, bits: i32) -> f32 {
    let magnitude = scaled_by(nearest(word.unsigned_abs()), -bits);
    if word < 0 { -magnitude } else { magnitude }
}

/// The nearest words, high and low, of `g`, ties to even, and false; zeros and true if g is not finite or
/// `|g| ≥ 2^(31−bits)`.
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "the value is an integer and was found to fit")]
pub fn to_fixed2(g: f32, bits: i32) -> ([u32; 2], bool) {
    let scaled = scaled_by(g, bits);
    if unfit(scaled) {
        return ([0, 0], true);
    }
    // In f64 the product with 2^32 is exact, and below 2^63.
    (split((f64::from(scaled) * 2.0_f64.powi(32)).round_ties_even() as i64), false)
}

/// The f32 of two words: each is rounded by itself and their sum once more, so that it may be one ulp off the nearest.
#[must_use]
pub fn from_fixed2(words: [u32; 2], bits: i32) -> f32 {
    // Through sign and magnitude: the words of a small negative number are large.
    let value = joined(words);
    let [high, low] = split(value.wrapping_abs());
    let magnitude = scaled_by(nearest(high), -bits) + scaled_by(nearest(low), -bits - 32);
    if value < 0 { -magnitude } else { magnitude }
}

/// Brings a pair together: `D = y − z` loses its last `m` bits, which are returned, and is divided by `2^m`; the mean
/// `M = z + ⌊D/2⌋` stays. A bijection of `(y, z)` with `(y', z', dropped)` modulo 2^32, whose inverse is [`expand`].
#[must_use]
pub fn contract(y: i32, z: i32, m: u32) -> (i32, i32, u32) {
    let difference = y.wrapping_sub(z);
    let mean = z.wrapping_add(difference >> 1);
    let (y, z) = around(mean, difference >> m);
    (y, z, difference.cast_unsigned() & mask(m))
}

/// Undoes [`contract`].
#[must_use]
pub fn expand(y: i32, z: i32, m: u32, dropped: u32) -> (i32, i32) {
    let difference = y.wrapping_sub(z);
    let mean = z.wrapping_add(difference >> 1);
    around(mean, (difference << m) | dropped.cast_signed())
}

/// [`contract`] for numbers of two words.
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "all but the last m < 32 bits are masked")]
pub fn contract2(y: i64, z: i64, m: u32) -> (i64, i64, u32) {
    let difference = y.wrapping_sub(z);
    let mean = z.wrapping_add(difference >> 1);
    let (y, z) = around2(mean, difference >> m);
    (y, z, difference as u32 & mask(m))
}

/// [`expand`] for numbers of two words.
#[must_use]
pub fn expand2(y: i64, z: i64, m: u32, dropped: u32) -> (i64, i64) {
    let difference = y.wrapping_sub(z);
    let mean = z.wrapping_add(difference >> 1);
    around2(mean, (difference << m) | i64::from(dropped))
}

/// The number of two words, high and low.
#[must_use]
pub fn joined([high, low]: [u32; 2]) -> i64 {
    (i64::from(high.cast_signed()) << 32) | i64::from(low)
}

/// The two words of a number, high and low.
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "the halves are taken apart")]
pub fn split(value: i64) -> [u32; 2] {
    [(value >> 32) as u32, value as u32]
}

/// The pair with this mean and difference.
fn around(mean: i32, difference: i32) -> (i32, i32) {
    let z = mean.wrapping_sub(difference >> 1);
    (z.wrapping_add(difference), z)
}

fn around2(mean: i64, difference: i64) -> (i64, i64) {
    let z = mean.wrapping_sub(difference >> 1);
    (z.wrapping_add(difference), z)
}

/// The last m bits.
fn mask(m: u32) -> u32 {
    (1 << m) - 1
}

/// True if a scaled value is not finite or does not fit 31 bits and a sign, judged by its bits as the kernels must.
fn unfit(scaled: f32) -> bool {
    /// The bits of 2^31.
    const LIMIT: u32 = 0x4f00_0000;
    scaled.to_bits() & 0x7fff_ffff >= LIMIT
}

/// The nearest f32 of n, ties to even: shifted to 24 bits, of which the last is rounded in integers.
#[expect(clippy::cast_possible_truncation, reason = "at most 2^24 is left")]
fn nearest(n: u32) -> f32 {
    let shift = 8_u32.saturating_sub(n.leading_zeros());
    let half = if shift == 0 { 0 } else { (1 << (shift - 1)) - 1 + u64::from((n >> shift) & 1) };
    let kept = ((u64::from(n) + half) >> shift) as u32;
    kept as f32 * f32::from_bits((127 + shift) << 23)
}

/// `v · 2^e` for e from −252 to 254, exactly unless it over- or underflows: `2^e` itself need be no f32.
fn scaled_by(v: f32, e: i32) -> f32 {
    let power_of_two = |e: i32| f32::from_bits(((127 + e) << 23).cast_unsigned());
    let half = e >> 1;
    v * power_of_two(half) * power_of_two(e - half)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    const LIMIT: f64 = 2_147_483_648.0;
    /// Words around every place where the rounding, the sign or the range may go wrong.
    fn edges() -> Vec<i32> {
        let powers = (0..31).flat_map(|e| [-3, -2, -1, 0, 1, 2, 3].map(|d| (1_i32 << e).wrapping_add(d)));
        let halves = (24..31).flat_map(|e| {
            let ulp = 1_i32 << (e - 23);
            [-1, 0, 1]
                .map(|d| (1 << e) + ulp / 2 + d)
                .into_iter()
                .chain([-1, 0, 1].map(move |d| (1 << e) + 3 * (ulp / 2) + d))
        });
        let positive: Vec<i32> = powers.chain(halves).chain([0, i32::MAX, i32::MAX - 63, i32::MAX - 64]).collect();
        positive.iter().flat_map(|&w| [w, w.wrapping_neg()]).chain([i32::MIN, i32::MIN + 1]).collect()
    }

    /// What [`to_fixed`] must give, in f64, where nothing rounds but the rounding.
    fn want(g: f32, bits: i32) -> (i32, bool) {
        let q = (f64::from(g) * f64::from(bits).exp2()).round_ties_even();
        // NaN is not below the limit.
        if q.abs() < LIMIT { (format!("{q:.0}").parse().expect("an integer"), false) } else { (0, true) }
    }

    /// The nearest f32 of an integer over `2^bits`, by the exact distances to its neighbours.
    fn nearest_f32(value: i128, bits: i32) -> f32 {
        // Rust rounds integers to nearest even; the power of two is exact.
        value as f32 * (-(bits as f32)).exp2()
    }

    fn check_one(g: f32, bits: i32) {
        assert_eq!(to_fixed(g, bits), want(g, bits), "{g:e} with {bits} bits");
    }

    fn check_two(g: f32, bits: i32) {
        let exact = f64::from(g) * f64::from(bits).exp2();
        let (words, bad) = to_fixed2(g, bits);
        if exact.is_nan() || exact.abs() >= LIMIT {
            assert_eq!((words, bad), ([0, 0], true), "{g:e} does not fit {bits} bits");
            return;
        }
        let q: i64 = format!("{:.0}", (exact * 2.0_f64.powi(32)).round_ties_even()).parse().expect("an integer");
        assert_eq!((joined(words), bad), (q, false), "{g:e} with {bits} bits");
    }

    fn check_from_two(value: i64, bits: i32) {
        let (found, exact) = (from_fixed2(split(value), bits), nearest_f32(i128::from(value), bits + 32));
        assert!(
            [exact.next_down(), exact, exact.next_up()].contains(&found),
            "{value}: {found:e} is more than an ulp off {exact:e}"
        );
    }

    #[test]
    fn edge_words_become_the_nearest_floats() {
        for word in edges() {
            for bits in [0, 16, 26, 29, 31] {
                assert_eq!(from_fixed(word, bits), nearest_f32(i128::from(word), bits), "{word} with {bits} bits");
                check_from_two(i64::from(word), bits);
                check_from_two(i64::from(word) << 32, bits);
                check_from_two((i64::from(word) << 32).wrapping_sub(1), bits);
            }
        }
        check_from_two(i64::MAX, 26);
        check_from_two(i64::MIN, 26);
        assert_eq!(from_fixed(0, 26).to_bits(), 0, "zero is positive");
        assert_eq!(from_fixed2([u32::MAX, u32::MAX], 26), -(-58.0_f32).exp2(), "the smallest negative number");
    }

    #[test]
    fn every_word_of_24_bits_comes_back() {
        for word in (-(1 << 24)..=1 << 24).step_by(7).chain([-(1 << 24), -1, 0, 1, 1 << 24]) {
            for bits in [16, 26, 29] {
                assert_eq!(to_fixed(from_fixed(word, bits), bits), (word, false), "{word} with {bits} bits");
            }
        }
    }

    #[test]
    fn floats_at_the_edges_become_words_or_trouble() {
        for bits in [16, 26, 29] {
            let unit = (-(bits as f32)).exp2();
            // The largest that fits, the smallest that does not, on both sides: the range has no place for −2^31.
            let over = unit * 2_147_483_648.0;
            assert_eq!(to_fixed(over.next_down(), bits), (i32::MAX - 127, false), "below the range's end");
            for g in [over, -over, f32::MAX, f32::MIN, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, -f32::NAN] {
                assert_eq!(to_fixed(g, bits), (0, true), "{g:e} with {bits} bits");
                assert_eq!(to_fixed2(g, bits), ([0, 0], true), "{g:e} with {bits} bits");
            }
            for (q, word) in [(0.5, 0), (1.5, 2), (2.5, 2), (-0.5, 0), (-1.5, -2), (-2.5, -2), (0.500_000_06, 1)] {
                assert_eq!(to_fixed(q * unit, bits), (word, false), "{q} units, ties to even");
            }
            let small = unit * (-32.0_f32).exp2();
            for (q, value) in [(0.5, 0), (1.5, 2), (-0.5, 0), (-1.5, -2), (-1.0, -1), (1.0, 1)] {
                assert_eq!(to_fixed2(q * small, bits), (split(value), false), "{q} units of the low word");
            }
            // Rounding up the low word carries into the high one.
            let g = unit.next_down();
            assert_eq!(to_fixed2(g, bits).0, split((1 << 32) - 256), "24 bits below one unit of the high word");
            for g in [f32::MIN_POSITIVE, f32::from_bits(1), 0.0, -0.0, over.next_down(), (-over).next_up(), unit] {
                check_one(g, bits);
                check_two(g, bits);
            }
        }
    }

    #[test]
    fn contractions_at_the_edges_are_undone() {
        let words = edges();
        for m in [1, 2, 4, 8] {
            for &y in &words {
                for &z in words.iter().step_by(5) {
                    let (a, b, dropped) = contract(y, z, m);
                    assert_eq!(expand(a, b, m, dropped), (y, z), "({y}, {z}) contracted by {m} bits");
                }
            }
        }
    }

    #[test]
    fn contraction_keeps_the_mean_and_divides_the_difference() {
        for (y, z, m) in [(1000, 200, 3), (-7, 250, 1), (5, 5, 4), (3, 4, 8), (-1_000_000, 1_000_000, 2)] {
            let (a, b, dropped) = contract(y, z, m);
            assert_eq!(a - b, (y - z).div_euclid(1 << m), "({y}, {z}): the difference, rounded down");
            assert_eq!(dropped.cast_signed(), (y - z).rem_euclid(1 << m), "({y}, {z}): the rest");
            assert_eq!((a + b).div_euclid(2), (y + z).div_euclid(2), "({y}, {z}): the mean");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

        #[test]
        fn any_float_becomes_the_nearest_word(pattern in any::<u32>(), bits in -60_i32..=60) {
            check_one(f32::from_bits(pattern), bits);
            check_two(f32::from_bits(pattern), bits);
        }

        #[test]
        fn any_float_in_range_becomes_the_nearest_word(x in -1.2_f32..1.2, scale in 0..60, bits in 16_i32..=29) {
            let g = x * (31.0 - bits as f32 - scale as f32).exp2();
            check_one(g, bits);
            check_two(g, bits);
        }

        #[test]
        fn any_word_becomes_the_nearest_float(word in any::<i32>(), shift in 0..31, bits in -60_i32..=60) {
            let word = word >> shift;
            prop_assert_eq!(from_fixed(word, bits), nearest_f32(i128::from(word), bits));
        }

        #[test]
        fn any_two_words_become_a_float_within_an_ulp(value in any::<i64>(), shift in 0..63, bits in -60_i32..=60) {
            check_from_two(value >> shift, bits);
        }

        #[test]
        fn words_are_taken_apart_and_joined(value in any::<i64>()) {
            prop_assert_eq!(joined(split(value)), value);
        }

        #[test]
        fn a_contraction_is_a_bijection(y in any::<i32>(), z in any::<i32>(), m in prop::sample::select(vec![1_u32, 2, 4, 8])) {
            let (a, b, dropped) = contract(y, z, m);
            prop_assert!(dropped < 1 << m);
            prop_assert_eq!(expand(a, b, m, dropped), (y, z));
        }

        #[test]
        fn a_contraction_of_two_words_is_a_bijection(y in any::<i64>(), z in any::<i64>(), m in prop::sample::select(vec![1_u32, 2, 4, 8])) {
            let (a, b, dropped) = contract2(y, z, m);
            prop_assert!(dropped < 1 << m);
            prop_assert_eq!(expand2(a, b, m, dropped), (y, z));
        }

        /// Two words that hold a number of one are contracted alike.
        #[test]
        fn contractions_of_both_widths_agree(y in -(1_i32 << 29)..1 << 29, z in -(1_i32 << 29)..1 << 29, m in 1_u32..=8) {
            let (a, b, dropped) = contract(y, z, m);
            prop_assert_eq!(contract2(i64::from(y), i64::from(z), m), (i64::from(a), i64::from(b), dropped));
            prop_assert_eq!(i64::from(a) - i64::from(b), (i64::from(y) - i64::from(z)) >> m);
        }

        /// The other way round: every pair with every dropped bits comes from exactly one pair.
        #[test]
        fn an_expansion_is_a_bijection(y in any::<i32>(), z in any::<i32>(), m in 1_u32..=8, bits in any::<u32>()) {
            // Of a contracted pair the difference has its first bits alike; any other is no image.
            let (mean, difference) = (z.wrapping_add(y.wrapping_sub(z) >> 1), y.wrapping_sub(z) >> m);
            let (y, z) = around(mean, difference);
            let (a, b) = expand(y, z, m, bits & mask(m));
            prop_assert_eq!(contract(a, b, m), (y, z, bits & mask(m)));
        }
    }
}
