//! How the lane kernel family is specialised for a field and a device, and what one step of it costs.

use super::caps::{Caps, DeviceKind};
use super::kernel::{Lane, WeightFetch};
use super::layout::{FieldLayout, Packed};
use crate::model::Mlp;

/// Buffers hold whole multiples of this many trajectories: windows then start at offsets that every device allows.
pub(crate) const STRIDE: u32 = 64;

/// Chooses trajectories per invocation, workgroup size and weight fetch.
///
/// A function of the field and the device alone, never of the batch: a trajectory is computed by the same pipeline,
/// so gives the same bits, whatever the batch it stands in. On CPUs several trajectories share each load of a weight
/// (an uncoalesced load costs eight scalar ones there); 4 is where compile time, seconds in LLVM, and speed balance.
/// Wide fields take fewer, their text and registers grow with both. On GPUs the hardware does the sharing.
pub(crate) fn choose(field: &Mlp, caps: &Caps) -> Lane {
    match caps.kind {
        DeviceKind::Gpu => Lane { trajectories: 1, workgroup: 64, fetch: WeightFetch::Uniform },
        DeviceKind::Cpu => Lane {
            trajectories: match field.max_width() {
                0..=128 => 4,
                129..=256 => 2,
                _ => 1,
            },
            workgroup: 8,
            fetch: if caps.subgroup == Some(8) { WeightFetch::Broadcast8 } else { WeightFetch::Uniform },
        },
    }
}

/// Loop trips of one invocation, by part of a kernel. `shaders/` and the generated text are held against these by a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trips {
    /// Trips of one forward step.
    pub forward_step: u64,
    /// Trips of one reverse step.
    pub reverse_step: u64,
    /// Trips outside the loop over steps, at most.
    pub fixed: u64,
}

/// Trips of a loop that runs `count` times around `body` trips: the test that ends it counts too.
fn looped(count: u64, body: u64) -> u64 {
    count * (body + 1) + 1
}

impl Trips {
    pub(crate) fn new(layout: &FieldLayout, dim: usize, stages: u32, lane: Lane, backsolve: bool) -> Self {
        let product = |packed: &Packed| match packed.blocks() as u64 {
            1 => looped(packed.rows as u64, 0),
            blocks => looped(packed.rows as u64, 0) * 2 + looped(blocks, looped(packed.rows as u64, 0)),
        };
        let evaluate: u64 = layout.layers.iter().map(|l| product(&l.forward)).sum();
        let copy = looped(dim as u64, 0);
        let record = copy + evaluate;
        let back: u64 = copy + layout.layers.iter().map(|l| product(&l.transposed)).sum::<u64>();
        let stages = u64::from(stages);
        let components = dim as u64 * u64::from(lane.trajectories);
        let whole = looped(components, 0);
        let combine = looped(components, looped(stages, 0));
        // Argument, evaluation, keeping k_i.
        let stage = |mlp: u64| looped(stages, combine + mlp + whole);
        // Update of the state, test for non-finite values, observation.
        let forward_step = stage(evaluate) + combine + 3 * whole;
        let phases = if backsolve { 2 } else { 1 };
        let recorded = looped(phases * stages, combine + record + whole + combine);
        let adjoint = looped(stages, combine + back + whole);
        Self { forward_step, reverse_step: recorded + adjoint + combine + 3 * whole, fixed: 8 * whole }
    }

    /// Trips of the kernels of a pair; a step is an update.
    pub(crate) fn pair(layout: &FieldLayout, dim: usize, stages: u32, lane: Lane) -> Self {
        let single = Self::new(layout, dim, stages, lane, false);
        let components = dim as u64 * u64::from(lane.trajectories);
        let whole = looped(components, 0);
        let kick = looped(components, looped(u64::from(stages), 0));
        // Drifts, source, keeping it, distance, contraction and expansion, output and observation, trouble.
        let forward_step = single.forward_step + kick + 9 * whole;
        // The adjoint, which may walk back itself; or else the kernel of the way forward does.
        let reverse_step = (single.reverse_step + kick + 7 * whole).max(forward_step);
        Self { forward_step, reverse_step, fixed: single.fixed + 12 * whole + 16 }
    }
}
