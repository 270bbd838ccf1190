//! How often the two copies of a pair are brought together, and how many bits that costs.

use serde::{Deserialize, Serialize};

/// The contraction of a pair: after every `period` steps the difference of the copies is divided by `2^bits`.
///
/// Kicks preserve volume in (y, z), so on a field that contracts at rate μ the difference of the copies grows as e^{μT}
/// unless it is made smaller; the bits that this drops go to a log, so that nothing is lost (a lossless Haar transform;
/// after the integer reversibility of Levesque & Verlet 1993). Stable for `h μ < bits · ln 2 / period`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Contraction {
    /// Bits m that one contraction drops: 1, 2, 4 or 8.
    pub bits: u32,
    /// Steps K between contractions.
    pub period: usize,
}

impl Contraction {
    /// Most bits that one contraction drops.
    pub const MOST_BITS: u32 = 8;

    /// The strongest that there is, for copies whose dropped bits nobody needs again.
    pub(crate) const STRONGEST: Self = Self { bits: Self::MOST_BITS, period: 1 };

    /// The contraction of `steps` steps whose log fits `words` 32-bit words per component; none for no words.
    ///
    /// The most bits that fit after every step, or if not even one does, one bit after every `period` steps.
    #[must_use]
    pub fn new(steps: usize, words: u32) -> Option<Self> {
        let room = 32 * words as usize;
        if room == 0 {
            return None;
        }
        let bits = [Self::MOST_BITS, 4, 2, 1].into_iter().find(|&m| steps.saturating_mul(m as usize) <= room);
        Some(match bits {
            Some(bits) => Self { bits, period: 1 },
            None => Self { bits: 1, period: steps.div_ceil(room) },
        })
    }

    /// True if step n (from 0) is followed by a contraction.
    #[must_use]
    pub fn after_step(&self, n: usize) -> bool {
        (n + 1).is_multiple_of(self.period)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_never_too_small_and_never_half_empty_without_need() {
        for words in [1, 2, 4, 8] {
            for steps in 1..3000 {
                let c = Contraction::new(steps, words).expect("a log of some words");
                let used = (steps / c.period) * c.bits as usize;
                let room = 32 * words as usize;
                assert!(used <= room, "{steps} steps need {used} bits of {room}");
                assert!(
                    c.bits == 8 || 2 * used + 2 * steps / c.period >= room.min(steps),
                    "{steps} steps use {used} of {room}"
                );
            }
        }
        assert_eq!(Contraction::new(100, 0), None, "no words, no contraction");
    }

    #[test]
    fn the_table_of_the_default_log() {
        let rule = |steps| Contraction::new(steps, 4).map(|c| (c.period, c.bits));
        let expected = [(16, (1, 8)), (32, (1, 4)), (64, (1, 2)), (128, (1, 1)), (1000, (8, 1)), (10_000, (79, 1))];
        for (steps, pair) in expected {
            assert_eq!(rule(steps), Some(pair), "{steps} steps");
        }
    }
}
