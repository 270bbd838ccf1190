//! The rows of [`Slot::Estimates`](super::Slot), `[rows, trajectories]`.

use super::caps::Caps;
use super::lane::STRIDE;

/// Largest weighed error estimate of a step.
pub(crate) const ERROR_ROW: u32 = 0;
/// Length of the step whose estimate is open.
pub(crate) const LENGTH_ROW: u32 = 1;
/// First row of the components: their largest magnitudes, the open sums of their estimates, what errors are weighed by.
pub(crate) const COMPONENT_ROWS: u32 = 2;

/// How many rows there are.
pub(super) fn estimate_rows(dim: u64) -> u64 {
    u64::from(COMPONENT_ROWS) + 3 * dim
}

/// How many trajectories of `stride` are looked at: as many as fit a quarter of a binding.
pub(super) fn estimated(dim: u64, stride: u64, caps: &Caps) -> u64 {
    let bytes = caps.max_binding.min(caps.max_buffer) / 4;
    let most = bytes / estimate_rows(dim).saturating_mul(4);
    stride.min(most / u64::from(STRIDE) * u64::from(STRIDE))
}
