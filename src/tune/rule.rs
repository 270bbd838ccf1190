//! Who wins, as plain arithmetic on measured seconds.

/// What is chosen without measuring stays unless another takes at most this share of its time: measurements are noisy, and
/// a choice that changes from run to run for nothing helps nobody. The winner is then at most 1/0.97 slower than the best.
const WORTH_IT: f64 = 0.97;
/// A candidate this many times slower than the best of the first round is not measured again.
const HOPELESS: f64 = 3.0;

/// The winner by its place; the first is what is chosen without measuring. `None` if nothing was measured.
pub(super) fn winner(seconds: &[Option<f64>]) -> Option<usize> {
    let measured = seconds.iter().enumerate().filter_map(|(i, s)| s.filter(|s| s.is_finite()).map(|s| (i, s)));
    let (best, least) = measured.min_by(|(_, a), (_, b)| a.total_cmp(b))?;
    match seconds.first().copied().flatten() {
        Some(default) if default.is_finite() && least > WORTH_IT * default => Some(0),
        _ => Some(best),
    }
}

/// Which candidates are measured again after the first round: what is chosen without measuring always is.
pub(super) fn hopeful(seconds: &[Option<f64>]) -> Vec<bool> {
    let best = seconds.iter().flatten().copied().fold(f64::INFINITY, f64::min);
    let hopeful = |(i, seconds): (usize, &Option<f64>)| seconds.is_some_and(|s| i == 0 || s <= HOPELESS * best);
    seconds.iter().enumerate().map(hopeful).collect()
}

/// The middle one, or the mean of the two in the middle; `None` of nothing.
pub(super) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let upper = sorted.get(sorted.len() / 2)?;
    let lower = sorted.get((sorted.len() - 1) / 2)?;
    Some(f64::midpoint(*lower, *upper))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]

    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64;

    use super::*;

    #[test]
    fn a_little_faster_is_not_worth_it() {
        for (seconds, expected) in [
            (vec![Some(1.0), Some(0.98), Some(2.0)], Some(0)),
            (vec![Some(1.0), Some(0.96), Some(0.95)], Some(2)),
            (vec![Some(1.0), Some(1.0)], Some(0)),
            (vec![Some(1.0)], Some(0)),
            (vec![None, Some(1.0), Some(0.99)], Some(2)),
            (vec![Some(1.0), None, Some(0.5)], Some(2)),
            (vec![Some(f64::NAN), Some(1.0)], Some(1)),
            (vec![Some(1.0), Some(f64::NAN)], Some(0)),
            (vec![None, None], None),
            (vec![], None),
        ] {
            assert_eq!(winner(&seconds), expected, "{seconds:?}");
        }
    }

    /// Measurements by a clock that is off by up to a fifth in every round, and by ten times in one round of seven.
    #[test]
    fn the_winner_is_within_a_tenth_of_the_best() {
        let mut rng = Pcg64::seed_from_u64(7);
        for case in 0..2000 {
            let candidates = rng.random_range(1..20);
            let measured: Vec<Option<f64>> = (0..candidates)
                .map(|_| {
                    let truth = rng.random_range(0.5..2.0);
                    let rounds: Vec<f64> = (0..7)
                        .map(|round| truth * rng.random_range(1.0..1.2) * if round == 3 { 10.0 } else { 1.0 })
                        .collect();
                    median(&rounds)
                })
                .collect();
            let best = measured.iter().flatten().copied().fold(f64::INFINITY, f64::min);
            let chosen = measured[winner(&measured).unwrap()].unwrap();
            assert!(chosen <= 1.1 * best, "case {case}: {chosen} where the best is {best} of {measured:?}");
        }
    }

    #[test]
    fn slow_ones_are_dropped_but_never_the_default() {
        let seconds = [Some(9.0), Some(1.0), Some(3.0), Some(3.1), None];
        assert_eq!(hopeful(&seconds), [true, true, true, false, false]);
        assert!(hopeful(&[]).is_empty(), "nothing to drop");
    }

    #[test]
    fn medians_are_in_the_middle() {
        for (values, expected) in [
            (vec![], None),
            (vec![2.0], Some(2.0)),
            (vec![3.0, 1.0], Some(2.0)),
            (vec![9.0, 1.0, 2.0], Some(2.0)),
            (vec![4.0, 1.0, 3.0, 100.0], Some(3.5)),
        ] {
            assert_eq!(median(&values), expected, "{values:?}");
        }
    }
}
