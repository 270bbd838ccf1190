//! Sums in a fixed order: runs of 64 rows, then runs of 64 of those, until one row is left.

use super::call::{NormCall, ReduceCall};
use super::fold::fold;
use super::kernel::Kernel;
use super::program::Program;
use super::{Caps, Slot, word};
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
    for level in Levels::new(source, rows, target) {
        let call = ReduceCall {
            rows: word(level.rows, "rows of a reduction")?,
            columns: word(columns, "columns of a reduction")?,
            maximum,
            target: if level.last { offset } else { 0 },
        };
        let groups = fold(level.rows.div_ceil(RUN) * columns, 64, caps)?;
        let bindings = vec![level.source.into(), level.into.into()];
        program.dispatch(Kernel::Reduce, bindings, groups, &call, level.rows * columns);
    }
    Ok(())
}

/// Appends the dispatches that reduce `rows` pairs of exponent and sum in [`Slot::Sums`] to one at `offset` values in the
/// summary.
pub(crate) fn reduce_norms(program: &mut Program, caps: &Caps, rows: u64, offset: u32) -> Result<()> {
    for level in Levels::new(Slot::Sums, rows, Slot::Summary) {
        let rows = word(level.rows, "rows of a reduction")?;
        let call = NormCall { rows, target: if level.last { offset } else { 0 } };
        let groups = fold(level.rows.div_ceil(RUN), 64, caps)?;
        let bindings = vec![level.source.into(), level.into.into()];
        program.dispatch(Kernel::NormSums, bindings, groups, &call, 2 * level.rows);
    }
    Ok(())
}

/// A norm that kernels leave as exponent and sum: NaN if a value is not finite. Mirror of shaders/norm.wgsl.
pub(crate) fn norm([exponent, sum]: [f32; 2]) -> f64 {
    if exponent < NOT_FINITE { f64::from(sum).sqrt() * f64::from(exponent).exp2() } else { f64::NAN }
}

/// The exponent that says that a value is not finite.
const NOT_FINITE: f32 = 128.0;

/// One dispatch of a tree.
struct Level {
    source: Slot,
    rows: u64,
    into: Slot,
    last: bool,
}

/// The dispatches of a tree, from the rows in `source` to the one in `target`.
struct Levels {
    source: Slot,
    /// None are left after the last.
    rows: u64,
    target: Slot,
}

impl Levels {
    fn new(source: Slot, rows: u64, target: Slot) -> Self {
        Self { source, rows, target }
    }
}

impl Iterator for Levels {
    type Item = Level;

    fn next(&mut self) -> Option<Level> {
        let &mut Self { source, rows, target } = self;
        let next = rows.div_ceil(RUN);
        let last = next == 1;
        let into = match (last, source) {
            (true, _) => target,
            (false, Slot::Sums) => Slot::SumsOfSums,
            (false, _) => Slot::Sums,
        };
        (self.source, self.rows) = (into, if last { 0 } else { next });
        (rows > 0).then_some(Level { source, rows, into, last })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_norm_is_its_sum_with_its_exponent() {
        assert_eq!(norm([3.0, 2.25]), 12.0);
        assert_eq!(norm([-126.0, 0.0]), 0.0, "of zeros");
        // Four values of f32::MAX: beyond f32, not beyond f64.
        let largest = f64::from(f32::MAX);
        assert!((norm([126.0, 64.0]) / (2.0 * largest) - 1.0).abs() < 1e-6, "no overflow");
        assert!(norm([NOT_FINITE, 0.0]).is_nan(), "a value is not finite");
    }
}
