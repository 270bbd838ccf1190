//! Are times equally spaced, as far as their digits tell?

/// How the times of a file were written, which says how far each may be from what was meant.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Clock {
    /// Name of the column or array that the times are from.
    pub column: String,
    /// The first time as it was written, if that was a date: the times are seconds since then.
    pub since: Option<String>,
    /// Unit of the last digit that the times were printed with; 0 for times that were not printed.
    pub digit: f64,
    /// True if all times were printed with the digits of an f32.
    pub single: bool,
}

/// The spacing of a list of times.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Spacing {
    /// Intervals differ by more than the rounding of the times.
    Uneven,
    /// Intervals are the same.
    Even,
    /// Intervals are this long but for the rounding of the times.
    Rounded(f64),
}

/// How far intervals may differ from their mean, relative to it, to count as equal in any case.
const UNIFORM: f64 = 1e-6;
/// Rounding tells nothing where it is not small against the interval: the days 0, 1, 3, 4 are rounded multiples of 4/3.
const SMALL: f64 = 0.125;

impl Clock {
    /// The spacing of `times`, which increase.
    pub(crate) fn spacing(&self, times: &[f64]) -> Spacing {
        let [first, .., last] = times[..] else { return Spacing::Even };
        let step = (last - first) / (times.len() - 1) as f64;
        let all = |within: &dyn Fn(usize, f64) -> bool| (1..times.len()).all(|i| within(i, times[i] - times[i - 1]));
        if all(&|_, interval| (interval - step).abs() <= UNIFORM * step.abs()) {
            return Spacing::Even;
        }
        // One number that happens to be an f32 says nothing: 0 and every year are.
        let single = self.single || times.iter().all(|&t| f64::from(narrow(t)) == t);
        let rounding = |i: usize| unit(times[i], single);
        let largest = (0..times.len()).map(rounding).fold(0.0, f64::max);
        let binary =
            largest <= SMALL * step && all(&|i, interval| (interval - step).abs() <= rounding(i) + rounding(i - 1));
        // Both ends of the line through all times are rounded by half a digit too.
        let place = |i: usize| (times[i] - first) - i as f64 * step;
        let printed = self.digit > 0.0
            && self.digit <= SMALL * step
            && (1..times.len()).all(|i| place(i).abs() <= self.digit * (1.0 + UNIFORM));
        if binary || printed { Spacing::Rounded(step) } else { Spacing::Uneven }
    }
}

/// The unit in the last place of a time, of an f32 if it is `single`.
fn unit(time: f64, single: bool) -> f64 {
    let (wide, narrow) = (time.abs(), narrow(time.abs()));
    if single { f64::from(narrow.next_up()) - f64::from(narrow) } else { wide.next_up() - wide }
}

#[expect(clippy::cast_possible_truncation, reason = "whether anything is lost is the question")]
fn narrow(time: f64) -> f32 {
    time as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spacing(digit: f64, times: &[f64]) -> Spacing {
        Clock { digit, ..Clock::default() }.spacing(times)
    }

    /// `text` is what a column holds.
    fn printed(digit: f64, text: &str) -> Spacing {
        spacing(digit, &text.split(' ').map(|t| t.parse().expect("a number")).collect::<Vec<f64>>())
    }

    #[test]
    fn rounding_is_no_unevenness() {
        assert_eq!(spacing(0.0, &[0.0, 0.1, 0.2, 0.3]), Spacing::Even, "multiples of 0.1 in f64");
        let narrow: Vec<f64> = (0..1001_u16).map(|i| f64::from(f32::from(i) * 0.01)).collect();
        assert!(matches!(spacing(0.0, &narrow), Spacing::Rounded(h) if (h - 0.01).abs() < 1e-9), "linspace in f32");
        let frames: Vec<f64> = (0..300).map(|i| (f64::from(i) / 30.0 * 1e3).round() / 1e3).collect();
        assert!(
            matches!(spacing(1e-3, &frames), Spacing::Rounded(h) if (h - 1.0 / 30.0).abs() < 1e-5),
            "30 per second"
        );
        assert_eq!(spacing(0.0, &frames), Spacing::Uneven, "the same as binary numbers");
        let epoch: Vec<f64> = (0..100).map(|i| 1.7e9 + f64::from(i) / 10.0).collect();
        assert!(matches!(spacing(0.1, &epoch), Spacing::Rounded(h) if (h - 0.1).abs() < 1e-8), "seconds with tenths");
        assert!(matches!(spacing(0.0, &epoch), Spacing::Rounded(_)), "the same in a binary file");
        assert_eq!(printed(1.0, "0 33 67 100 133"), Spacing::Rounded(33.25), "milliseconds");
    }

    #[test]
    fn unevenness_is_no_rounding() {
        for (digit, text) in
            [(1.0, "0 1 3 4"), (1.0, "0 1 2 4"), (1.0, "0 2 4 7 9"), (0.1, "0 0.3 0.4 1"), (1.0, "0 10 20 33")]
        {
            assert_eq!(printed(digit, text), Spacing::Uneven, "{text} with a last digit of {digit}");
        }
        // Even numbers above 2^24 are f32, whose unit is 2 there.
        assert_eq!(spacing(0.0, &[16_777_216.0, 16_777_218.0, 16_777_222.0]), Spacing::Uneven, "multiples of the unit");
        assert_eq!(spacing(0.0, &[0.0, 0.1, 0.2, 0.3 + 1e-6]), Spacing::Uneven, "far above the rounding of f64");
        assert_eq!(spacing(0.0, &[3.0]), Spacing::Even, "one time");
    }
}
