//! What the step kernels walk through, entry by entry: the steps of a Runge–Kutta method, or the updates of a pair.

use super::origin::Origin;
use super::word;
use crate::error::{Error, Result};
use crate::solver::{Contraction, Method, Side, TimeGrid, Update};

/// Bits of an update's word: what it does. The observation after it, plus one, lies above.
pub(crate) mod flags {
    /// The target is z, not y.
    pub(crate) const SIDE: u32 = 1;
    /// The increment is subtracted.
    pub(crate) const NEGATIVE: u32 = 2;
    /// The target becomes the increment.
    pub(crate) const START: u32 = 4;
    /// Both copies have arrived at the end of the step.
    pub(crate) const ALIGNED: u32 = 8;
    /// The copies are contracted afterwards.
    pub(crate) const CONTRACT: u32 = 16;
    /// Number of these bits.
    pub(crate) const BITS: u32 = 5;
}

/// More entries than this do not fit the status words.
const MAX_ENTRIES: usize = 1 << 28;

/// An update as the kernels get it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct PackedUpdate {
    pub h: f32,
    /// Since t0.
    pub t: f32,
    pub drift: f32,
    pub word: u32,
}

/// The entries of a solve.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Track {
    /// Number of entries.
    pub entries: usize,
    /// For every save time the number of entries before it, rising.
    pub saves: Vec<usize>,
    /// For every contraction the number of entries before it, rising; never more than the log has bits.
    pub contractions: Vec<usize>,
    /// The contraction, if there is one.
    pub contraction: Option<Contraction>,
    /// The updates of a pair; empty for a Runge–Kutta method, whose entries are the steps of the grid.
    pub updates: Vec<PackedUpdate>,
}

impl Track {
    pub(crate) fn new(method: Method, grid: &TimeGrid, contraction: Option<Contraction>) -> Result<Self> {
        let Some(pair) = method.pair() else {
            return Ok(Self {
                entries: grid.steps(),
                saves: grid.saves().to_vec(),
                contractions: Vec::new(),
                contraction: None,
                updates: Vec::new(),
            });
        };
        let mut track =
            Self { entries: 0, saves: Vec::new(), contractions: Vec::new(), contraction, updates: Vec::new() };
        let origin = Origin::of(grid);
        if grid.saves()[0] == 0 {
            track.saves.push(0);
        }
        for update in pair.updates(grid, contraction) {
            track.entries += 1;
            if track.entries > MAX_ENTRIES {
                let problem = format!("more than {MAX_ENTRIES} updates by {method}");
                return Err(Error::invalid("time grid", problem, "use fewer steps, or a method with fewer updates"));
            }
            let observed = update.aligned && grid.saves().get(track.saves.len()) == Some(&(update.step + 1));
            let mut packed = pack(&update, origin);
            if observed {
                packed.word |= word(track.saves.len() as u64 + 1, "save times")? << flags::BITS;
                track.saves.push(track.entries);
            }
            if update.contract {
                track.contractions.push(track.entries);
            }
            track.updates.push(packed);
        }
        Ok(track)
    }

    /// Contractions before entry `entry`.
    pub(crate) fn contractions_before(&self, entry: usize) -> usize {
        self.contractions.partition_point(|&c| c <= entry)
    }
}

/// The step that an entry belongs to.
pub(crate) fn step_of(entry: usize, method: Method, grid: &TimeGrid, contraction: Option<Contraction>) -> usize {
    let updates = method.pair().map(|pair| pair.updates(grid, contraction).nth(entry));
    updates.map_or(entry, |update| update.map_or(grid.steps() - 1, |u| u.step))
}

#[expect(clippy::cast_possible_truncation, reason = "host f64 becomes device f32, rounded once")]
fn pack(update: &Update, origin: Origin) -> PackedUpdate {
    let bits = [
        (update.side == Side::Z, flags::SIDE),
        (update.negative, flags::NEGATIVE),
        (update.start, flags::START),
        (update.aligned, flags::ALIGNED),
        (update.contract, flags::CONTRACT),
    ];
    PackedUpdate {
        h: update.h as f32,
        t: origin.since(update.t),
        drift: update.drift as f32,
        word: bits.iter().filter(|(set, _)| *set).map(|(_, bit)| bit).sum(),
    }
}
