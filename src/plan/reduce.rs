//! Sums in a fixed order: runs of 64 rows, then runs of 64 of those, until one row is left.

use super::call::ReduceCall;
use super::fold::fold;
use super::kernel::Kernel;
use super::program::Program;
use super::{Caps, Slot};
use crate::error::Result;

/// Rows that one invocation of `reduce` adds.
pub(crate) const RUN: u64 = 64;
/// Elements that one invocation of a `…_partials` kernel adds before the tree.
pub(crate) const PARTIAL_RUN: u64 = 256;

/// Values that the intermediate buffers must hold to reduce `[rows, columns]`.
pub(crate) fn sums_sizes(rows: u64, columns: u64) -> [u64; 2] {
    let first = rows.div_ceil(RUN);
    [first * columns, first.div_ceil(RUN) * columns]
}

/// Appends the dispatches that reduce `[rows, columns]` in `source` to one row at `offset` values in `target`.
#[expect(clippy::too_many_arguments, reason = "a reduction is told by exactly these numbers")]
pub(crate) fn reduce(
    program: &mut Program,
    caps: &Caps,
    source: Slot,
    rows: u64,
    columns: u64,
    maximum: u32,
    target: Slot,
    offset: u32,
) -> Result<()> {
    let (mut source, mut rows) = (source, rows);
    loop {
        let next = rows.div_ceil(RUN);
        let last = next == 1;
        let into = match (last, source) {
            (true, _) => target,
            (false, Slot::Sums) => Slot::SumsOfSums,
            (false, _) => Slot::Sums,
        };
        let call = ReduceCall {
            rows: crate::plan::word(rows, "rows of a reduction")?,
            columns: crate::plan::word(columns, "columns of a reduction")?,
            maximum,
            target: if last { offset } else { 0 },
        };
        let groups = fold(next * columns, 64, caps)?;
        program.dispatch(Kernel::Reduce, vec![source.into(), into.into()], groups, &call, rows * columns);
        if last {
            return Ok(());
        }
        (source, rows) = (into, next);
    }
}
