//! Decisions as plain data: buffer sizes, tiles, dispatches, steps per dispatch. No device is needed to make a plan.

mod accumulate;
mod arrangement;
mod budget;
mod buffers;
mod call;
mod caps;
mod dense;
mod errors;
mod estimate;
mod fold;
mod host;
mod inside;
mod keep;
mod kernel;
mod lane;
mod layout;
mod limits;
mod loss;
mod memory;
mod origin;
mod outer;
mod pair;
mod passes;
mod program;
mod reduce;
mod replay;
mod revolve;
mod schedule;
mod shape;
mod solve;
mod spec;
mod spill;
mod steps;
mod tile;
mod track;
mod train;
mod tuning;
mod work;

pub use arrangement::{Family, KernelOptions};
pub use budget::Candidate;
pub(crate) use budget::{Wish, candidates, choose};
pub use buffers::{MemoryPlan, Slot};
pub(crate) use call::*;
pub use caps::{Caps, DeviceKind};
pub(crate) use dense::TIME_PARTS;
pub(crate) use errors::{COMPONENT_ROWS, ERROR_ROW, LENGTH_ROW};
pub use host::HostPlan;
pub(crate) use host::PORTION;
pub(crate) use inside::{InsideLayout, SumRow, SumRows};
pub use keep::FieldEvaluations;
pub(crate) use kernel::*;
#[cfg(test)]
pub(crate) use lane::Trips;
pub(crate) use layout::{BLOCK, FieldLayout, LOAD, LayerLayout, Packed};
pub(crate) use origin::Origin;
pub(crate) use outer::{OUTER_LANES, Outer, rectangles};
#[cfg(test)]
pub(crate) use program::CALL_WORDS;
pub(crate) use program::{Binding, CALL_BYTES, Command, Dispatch, Program};
pub(crate) use reduce::norm;
pub(crate) use schedule::schedule_bytes;
#[cfg(test)]
pub(crate) use schedule::{MAX_STAGES, WINDOW, write_window};
pub(crate) use solve::{Observe, Plan, summary};
pub(crate) use spec::{Arithmetic, Coarse, PARTED, Spec};
#[cfg(test)]
pub(crate) use spill::spilled_values;
pub(crate) use spill::{COPIED, COPIED_AT_ONCE, LEFT_SQUARES, spills};
pub(crate) use tile::{BLOCK_TRAJECTORIES, OWN_VALUES, SumBlocks, TileShape, UNITS, rows};
#[cfg(test)]
pub(crate) use track::Track;
pub(crate) use track::step_of;
pub(crate) use train::{DataShape, HISTORY, Iteration, TrainPlan};
pub(crate) use tuning::{kernel_candidates, kernels_of};
pub(crate) use work::Work;

use crate::error::{Error, Result};

/// A count as the 32-bit word that kernels get.
pub(crate) fn word(value: u64, what: &str) -> Result<u32> {
    u32::try_from(value).map_err(|_| {
        Error::invalid(format!("number of {what}"), value.to_string(), format!("use at most {} of them", u32::MAX))
    })
}
