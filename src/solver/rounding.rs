//! How far a number may be from the one that was meant, told by the number itself.

/// A decimal of at most this many digits is what was meant, even where f32 has it exactly.
const SHORT: usize = 8;

/// The distance by which a time, or a step, may differ from the decimal that somebody had in mind: a unit in the last place
/// of f64, or of f32 where the number went through f32 on its way.
///
/// That it did is seen by its being exactly an f32 whose decimal is long: 0.1 becomes 0.10000000149011612 there. Whole
/// seconds, halves and quarters are f32 too, but nothing was rounded to make them.
#[must_use]
pub(crate) fn rounding(number: f64) -> f64 {
    let number = number.abs();
    #[expect(clippy::cast_possible_truncation, reason = "the question is whether anything is lost")]
    let single = number as f32;
    if f64::from(single).to_bits() == number.to_bits() && digits(number) > SHORT {
        return f64::from(single.next_up()) - number;
    }
    number.next_up() - number
}

/// Digits of the shortest decimal that stands for the number.
fn digits(number: f64) -> usize {
    let decimal = format!("{number:e}");
    decimal.chars().take_while(|c| *c != 'e').filter(char::is_ascii_digit).count()
}

/// Equal parts that a length is cut into, none longer than `step`, where the length may be off by `slack`: a whole number of
/// steps must not get one more for a rounding. More than half a step is never given away.
pub(super) fn parts(length: f64, step: f64, slack: f64) -> f64 {
    let wanted = length / step;
    // The step is a number that somebody has written too, or the result of a division.
    let slack = (slack + wanted * rounding(step)) / step + 1e-12 * wanted;
    (wanted - slack.min(0.5)).ceil().max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_tell_where_they_have_been() {
        for short in [0.1, 0.25, 1.0, 30.0, 10_000.1_f64, 16_777_215.0, 4_194_304.5, 1.7e9, 1_700_003_600.0, 0.0, -3.7]
        {
            let unit = f64::EPSILON * short.abs();
            assert!(rounding(short) <= unit.max(f64::MIN_POSITIVE), "{short} is a number of f64: {}", rounding(short));
        }
        for single in [0.1_f32, 0.3, 1e-3, 10_000.1, -0.7, 1_048_576.1] {
            let unit = f64::from(f32::EPSILON * single.abs());
            let found = rounding(f64::from(single));
            assert!(found <= unit && found >= 0.49 * unit, "{single} went through f32: {found}");
        }
        assert_eq!(rounding(f64::from(1_700_003_600.0_f32)), 128.0, "epoch seconds in f32 are two minutes apart");
    }

    proptest! {
        #[test]
        fn no_part_is_longer_than_the_step_and_the_slack(
            length in 1e-6_f64..1e6, step in 1e-6_f64..1e6, share in 0.0_f64..2.0,
        ) {
            prop_assume!(length / step < 1e9);
            let slack = share * step;
            let parts = parts(length, step, slack);
            prop_assert!(parts * step * (1.0 + 2e-12) >= length - slack.min(0.5 * step), "{} parts", parts);
            prop_assert!(parts >= 1.0 && parts <= (length / step).ceil().max(1.0), "{} parts", parts);
        }
    }
}
