//! Binomial checkpointing: which states are kept and run again from, where there is room for few of them.
//!
//! Griewank & Walther 2000 (Algorithm 799, doi:10.1145/347837.347846). To walk back through `l` entries with room for `s`
//! states, that of the start among them, one runs ahead by `m` entries, keeps the state there, walks back through what lies
//! behind it with one state less, and then through the first `m` entries with all of them. The best `m` are known in closed
//! form (math.md §5), and with them an entry runs `r` times at most, `r` being the least number with `C(s + r, s) ≥ l`.

/// One thing to do. The state at hand is called `x`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Keep x, the state before `entry`, in place `slot`.
    Keep { slot: usize, entry: usize },
    /// Take x from place `slot`.
    Restore { slot: usize },
    /// Run x, the state before `from`, ahead to before `to`.
    Advance { from: usize, to: usize },
    /// Pull the adjoint back through `entry`; x is the state before it, and not needed afterwards.
    Reverse { entry: usize },
}

/// The actions that walk back through all entries, in order. The first of them are a walk there, which ends before the last
/// entry.
#[derive(Clone, Debug)]
pub(super) struct Revolve {
    /// Places for states.
    room: usize,
    /// Entries before which a state is kept, by place.
    kept: Vec<usize>,
    /// Entries that are not walked back through yet.
    end: usize,
    /// The entry that x is before, if it is of use.
    at: Option<usize>,
}

impl Revolve {
    /// For `entries` entries with room for `room` states, at least one.
    pub(super) fn new(entries: usize, room: usize) -> Self {
        Self { room: room.max(1), kept: Vec::new(), end: entries, at: Some(0) }
    }
}

impl Iterator for Revolve {
    type Item = Action;

    fn next(&mut self) -> Option<Action> {
        while self.kept.last().is_some_and(|&start| start == self.end) {
            self.kept.pop();
        }
        if self.end == 0 {
            return None;
        }
        let slot = self.kept.len();
        let Some(&start) = self.kept.last() else {
            self.kept.push(0);
            return Some(Action::Keep { slot, entry: 0 });
        };
        let Some(at) = self.at else {
            self.at = Some(start);
            return Some(Action::Restore { slot: slot - 1 });
        };
        if at + 1 == self.end {
            self.end = at;
            self.at = None;
            return Some(Action::Reverse { entry: at });
        }
        if at == start {
            let to = match self.room - slot {
                0 => self.end - 1,
                free => start + split(self.end - start, free + 1),
            };
            self.at = Some(to);
            return Some(Action::Advance { from: start, to });
        }
        self.kept.push(at);
        Some(Action::Keep { slot, entry: at })
    }
}

/// `C(n, k)`, or the largest number if it is larger.
fn binomial(n: u64, k: u64) -> u128 {
    let mut value: u128 = 1;
    for i in 1..=u128::from(k.min(n.saturating_sub(k))) {
        match value.checked_mul(u128::from(n) + 1 - i) {
            // Exact at every turn: a product of i neighbours is divisible by i!.
            Some(product) => value = product / i,
            None => return u128::MAX,
        }
    }
    if k > n { 0 } else { value }
}

/// How often an entry runs at most: the least `r` with `C(states + r, states) ≥ entries`.
fn repetitions(entries: u64, states: u64) -> u64 {
    let mut r: u64 = 0;
    let mut reach: u128 = 1;
    while reach < u128::from(entries) {
        r += 1;
        // C(s + r, s) from C(s + r − 1, s).
        reach = reach * u128::from(states + r) / u128::from(r);
    }
    r
}

/// Entries to run ahead before the next state is kept, for `entries ≥ 2` and room for `states ≥ 2`.
fn split(entries: usize, states: usize) -> usize {
    let (l, s) = (entries as u64, states as u64);
    let r = repetitions(l, s);
    let least = binomial((s + r).saturating_sub(2), s).max(1);
    let ahead = u128::from(l).saturating_sub(binomial(s + r - 1, s - 1)).max(least);
    usize::try_from(ahead).unwrap_or(usize::MAX).min(entries - 1)
}

/// Entries that the actions run ahead through: `r l − C(s + r, s + 1)`. The evaluations that pulling back through an entry
/// needs anyway are not among them.
pub(super) fn cost(entries: u64, states: u64) -> u64 {
    let r = repetitions(entries, states);
    let all = u128::from(r) * u128::from(entries);
    u64::try_from(all.saturating_sub(binomial(states + r, states + 1))).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Carries the actions out on numbers in place of states; returns the entries run ahead through.
    fn execute(entries: usize, room: usize) -> u64 {
        let mut slots: Vec<Option<usize>> = vec![None; room];
        let (mut x, mut next, mut ran) = (Some(0), entries, 0);
        for action in Revolve::new(entries, room) {
            match action {
                Action::Keep { slot, entry } => {
                    assert_eq!(x, Some(entry), "{entries} entries, {room} states: a state that is not at hand is kept");
                    slots[slot] = Some(entry);
                }
                Action::Restore { slot } => {
                    assert!(slots[slot].is_some(), "{entries} entries, {room} states: nothing is kept in {slot}");
                    x = slots[slot];
                }
                Action::Advance { from, to } => {
                    assert_eq!(x, Some(from), "{entries} entries, {room} states: runs ahead from elsewhere");
                    assert!(to > from && to < entries, "{entries} entries, {room} states: {from} to {to}");
                    ran += (to - from) as u64;
                    x = Some(to);
                }
                Action::Reverse { entry } => {
                    assert_eq!(x, Some(entry), "{entries} entries, {room} states: walks back from elsewhere");
                    assert_eq!(entry + 1, next, "{entries} entries, {room} states: an entry is missed or taken twice");
                    (x, next) = (None, entry);
                }
            }
        }
        assert_eq!(next, 0, "{entries} entries, {room} states: entries are left");
        ran
    }

    /// The least cost for up to `entries` entries and `states` states, by trying every split.
    fn best(entries: usize, states: usize) -> Vec<Vec<u64>> {
        let mut table = vec![vec![0; entries + 1]; states + 1];
        table[1] = (0..=entries as u64).map(|l| l * l.saturating_sub(1) / 2).collect();
        for s in 2..=states {
            for l in 2..=entries {
                let ahead = (1..l).map(|m| m as u64 + table[s - 1][l - m] + table[s][m]);
                table[s][l] = ahead.min().unwrap_or(0);
            }
        }
        table
    }

    #[test]
    fn no_other_split_is_cheaper() {
        let table = best(60, 6);
        for (s, row) in table.iter().enumerate().skip(1) {
            for (l, least) in row.iter().enumerate().skip(1) {
                assert_eq!(cost(l as u64, s as u64), *least, "{l} entries, {s} states: closed form");
                assert_eq!(execute(l, s), *least, "{l} entries, {s} states: actions");
            }
        }
    }

    #[test]
    fn known_costs() {
        // One state: every entry from the start. As many as entries: no entry twice, the last one not at all.
        assert_eq!(
            [cost(1, 1), cost(10, 1), cost(10, 10), cost(10, 99), cost(10, 2)],
            [0, 45, 9, 9, 20],
            "small numbers"
        );
        // math.md §5, per entry.
        for (l, s, each) in [(100, 2, 8.45), (100, 5, 3.16), (1000, 9, 4.00), (10_000, 9, 6.20), (10_000, 65, 2.77)] {
            let found = cost(l, s) as f64 / l as f64;
            assert!((found - each).abs() < 0.005, "{l} entries, {s} states: {found} per entry, not {each}");
        }
        assert_eq!(cost(u64::MAX >> 20, 1 << 50), (u64::MAX >> 20) - 1, "large numbers do not overflow");
    }

    #[test]
    fn nothing_to_walk_through_is_nothing_to_do() {
        assert_eq!(Revolve::new(0, 3).next(), None, "no entries");
        let one: Vec<Action> = Revolve::new(1, 1).collect();
        assert_eq!(one, [Action::Keep { slot: 0, entry: 0 }, Action::Reverse { entry: 0 }], "one entry");
    }

    proptest! {
        #[test]
        fn the_actions_are_valid_and_cost_what_they_should(entries in 1_usize..=1000, room in 1_usize..=21) {
            prop_assert_eq!(execute(entries, room), cost(entries as u64, room as u64));
        }
    }
}
