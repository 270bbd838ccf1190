//! Cutting a track into dispatches: forward first to last, reverse last to first.

use super::call::NO_SLOT;
use super::schedule::WINDOW;
use super::track::Track;

/// The entries `first .. first + count` of one dispatch and the observations that they touch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub first: usize,
    pub count: usize,
    /// First observation of the window of the observations buffer that is bound.
    pub slot_base: u32,
    /// Observation at t0 if this chunk holds the first entry and t0 is observed.
    pub outer_slot: u32,
}

/// Cuts a part of the track: no chunk has more than `most` entries, crosses a schedule window or a multiple of `segment`
/// entries, or touches observations of two windows of `window_slots`.
pub(crate) fn chunks(
    track: &Track,
    entries: std::ops::Range<usize>,
    most: u64,
    segment: u64,
    window_slots: u32,
) -> Vec<Chunk> {
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let segment = usize::try_from(segment).unwrap_or(usize::MAX).max(1);
    let window_slots = window_slots.max(1) as usize;
    let saves = &track.saves;
    let at_start = saves[0] == 0;
    let mut chunks = Vec::new();
    let mut first = entries.start;
    // A window of one observation cannot hold t0's and that of the first entries: t0 gets a chunk without entries.
    let apart = at_start && window_slots == 1;
    if apart && first == 0 && !entries.is_empty() {
        chunks.push(Chunk { first: 0, count: 0, slot_base: 0, outer_slot: 0 });
    }
    while first < entries.end {
        let cut = |length: usize| (first / length + 1).saturating_mul(length);
        let mut end = first.saturating_add(most).min(cut(WINDOW)).min(cut(segment)).min(entries.end);
        // Observations of this chunk: those at boundaries in (first, end], and t0's in the first chunk.
        let from = if first == 0 && !apart { 0 } else { saves.partition_point(|&s| s <= first) };
        // Past the last observation the last window stays bound.
        let base = from.min(saves.len() - 1) / window_slots * window_slots;
        if let Some(&beyond) = saves.get(base + window_slots) {
            end = end.min(beyond - 1).max(first + 1);
        }
        chunks.push(Chunk {
            first,
            count: end - first,
            slot_base: u32::try_from(base).unwrap_or(NO_SLOT),
            outer_slot: if first == 0 && at_start && !apart { 0 } else { NO_SLOT },
        });
        first = end;
    }
    chunks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::solver::{Method, TimeGrid};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn chunks_cover_the_grid_once_and_keep_their_bounds(
            per in 1_usize..40, saves in 1_usize..60, most in 1_u64..3000, window in 1_u32..8, from_start: bool, rest: bool,
            segment in 1_u64..200, part in 0_usize..=100,
        ) {
            let mut times: Vec<f64> = (1..=saves).map(|i| i as f64).collect();
            if from_start {
                times.insert(0, 0.0);
            }
            let t1 = saves as f64 + f64::from(u8::from(rest));
            let grid = TimeGrid::with_steps(0.0, &times, t1, per).expect("a valid grid");
            let track = Track::new(Method::Euler, &grid, None).expect("a valid track");
            // In two parts, either of which may be empty.
            let middle = track.entries * part / 100;
            let mut next = 0;
            let mut seen = 0;
            let parts = [0..middle, middle..track.entries].map(|part| chunks(&track, part, most, segment, window));
            for chunk in parts.into_iter().flatten() {
                prop_assert_eq!(chunk.first, next);
                prop_assert!((chunk.slot_base as usize) < grid.saves().len(), "an empty window");
                prop_assert!(chunk.count as u64 <= most);
                let last = (chunk.first + chunk.count.max(1) - 1) as u64;
                prop_assert_eq!(chunk.first as u64 / segment, last / segment);
                prop_assert!(chunk.count > 0 || (chunk.outer_slot == 0 && window == 1), "an empty chunk {:?}", chunk);
                prop_assert_eq!(chunk.first / WINDOW, (chunk.first + chunk.count.max(1) - 1) / WINDOW);
                next += chunk.count;
                let own = grid.saves().iter().enumerate().filter(|(_, s)| {
                    (chunk.first < **s && **s <= next) || (chunk.outer_slot == 0 && **s == 0)
                });
                for (slot, _) in own {
                    let slot = u32::try_from(slot).expect("few slots");
                    prop_assert!(slot >= chunk.slot_base && slot < chunk.slot_base + window, "slot {} of {:?}", slot, chunk);
                    seen += 1;
                }
            }
            prop_assert_eq!(next, grid.steps());
            prop_assert_eq!(seen, grid.saves().len());
        }
    }
}
