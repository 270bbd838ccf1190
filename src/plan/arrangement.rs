//! Which kernels a plan takes: their family, trajectories per invocation, workgroup size.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::caps::{Caps, DeviceKind};
use super::inside::{MAX_DIM, MAX_WIDTH};
use super::kernel::{Lane, WeightFetch};
use super::layout::FieldLayout;
use super::shape::Spec;
use crate::error::{Error, Result};
use crate::model::{Activation, Mlp};
use crate::solver::Adjoint;

/// How the work is laid on the device. All families compute the same sums in the same order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Family {
    /// An invocation owns whole trajectories, in registers and private memory; no barriers.
    Lane,
    /// A workgroup owns a tile of trajectories; activations stay in workgroup memory, products are blocked in registers.
    Tile,
}

impl Family {
    /// Every family.
    pub const ALL: [Self; 2] = [Self::Lane, Self::Tile];

    /// The name on the command line and in files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lane => "lane",
            Self::Tile => "tile",
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Family {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|f| f.name() == name).ok_or_else(|| Error::UnknownName {
            kind: "kernel family",
            name: name.to_owned(),
            known: Self::ALL.map(Self::name).join(", "),
        })
    }
}

/// What of the kernels' arrangement is given; the plan chooses the rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KernelOptions {
    /// The family.
    pub family: Option<Family>,
    /// Trajectories of one invocation (lane family).
    pub trajectories: Option<u32>,
    /// Invocations of one workgroup.
    pub workgroup: Option<u32>,
}

/// The arrangements of the kernels of a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arrangement {
    /// Of the way there.
    pub forward: Lane,
    /// Of the way back.
    pub reverse: Lane,
    /// Of kernels that hand activations on in scratch: those of save times between steps.
    pub other: Lane,
}

impl Arrangement {
    /// Chooses the arrangement of every kernel.
    ///
    /// Not a function of the batch: a trajectory is computed by the same pipeline, so gives the same bits, whatever the
    /// batch it stands in.
    pub(crate) fn new(spec: &Spec, layout: &FieldLayout, caps: &Caps) -> Result<Self> {
        let plain = plain(&spec.field, caps);
        let pairs = Lane { trajectories: 8, fetch: WeightFetch::Pairs8, ..plain };
        let paired = loads_pairs(&spec.field, layout, caps);
        Ok(Self {
            forward: if paired { pairs } else { plain },
            reverse: if paired && sums_inside(spec) { pairs } else { plain },
            other: plain,
        })
    }

    /// The largest group of trajectories that a workgroup of any kernel owns: the others divide it.
    pub(crate) fn group_trajectories(self) -> u32 {
        [self.forward, self.reverse, self.other].map(Lane::group_trajectories).into_iter().max().unwrap_or(1)
    }
}

/// Trajectories per invocation, workgroup size and weight fetch of kernels that take any field. On CPUs several trajectories
/// share each load of a weight (an uncoalesced load costs eight scalar ones there); 4 is where compile time, seconds in
/// LLVM, and speed balance. Wide fields take fewer, their text and registers grow with both. On GPUs the hardware does
/// the sharing.
fn plain(field: &Mlp, caps: &Caps) -> Lane {
    let lane = Lane { family: Family::Lane, trajectories: 1, workgroup: 64, fetch: WeightFetch::Uniform };
    match caps.kind {
        DeviceKind::Gpu => lane,
        DeviceKind::Cpu => Lane {
            trajectories: match field.max_width() {
                0..=128 => 4,
                129..=256 => 2,
                _ => 1,
            },
            workgroup: 8,
            fetch: if caps.subgroup == Some(8) { WeightFetch::Broadcast8 } else { WeightFetch::Uniform },
            ..lane
        },
    }
}

/// True if weights can be loaded in pairs, and inputs and outputs are so few that the layers next to them need no loop of
/// their own.
fn loads_pairs(field: &Mlp, layout: &FieldLayout, caps: &Caps) -> bool {
    let hidden = field.layers().len() - 1;
    let bytes = layout.packed as u64 * 4;
    caps.kind == DeviceKind::Cpu
        && caps.subgroup == Some(8)
        && caps.int64
        && bytes <= caps.max_uniform
        && hidden >= 1
        && field.max_width() <= MAX_WIDTH
        && field.dim() <= MAX_DIM
}

/// True if the way back needs no activations but those of the evaluation at hand.
fn sums_inside(spec: &Spec) -> bool {
    let terms = spec.terms();
    spec.wrt.theta
        && !terms.pay()
        && !terms.clock
        && !spec.grid.is_dense()
        && spec.adjoint != Some(Adjoint::Continuous)
        && spec.field.layers().iter().next_back().is_some_and(|output| output.activation == Activation::Identity)
}
