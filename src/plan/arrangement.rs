//! Which kernels a plan takes: their family, trajectories per invocation, workgroup size.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::caps::{Caps, DeviceKind};
use super::inside::{MAX_DIM, MAX_WIDTH};
use super::kernel::{Lane, WeightFetch};
use super::layout::FieldLayout;
use super::shape::Spec;
use super::tile;
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
    /// Trajectories of one invocation (lane family) or workgroup (tile family).
    pub trajectories: Option<u32>,
    /// Invocations of one workgroup.
    pub workgroup: Option<u32>,
}

/// From this width on tiles are the default on GPUs: products of narrower layers leave most of a workgroup idle.
const TILE_WIDTH: usize = 32;

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
    ///
    /// # Errors
    /// [`Error::LimitExceeded`] if the tile family is asked for and no tile fits.
    pub(crate) fn new(spec: &Spec, layout: &FieldLayout, caps: &Caps) -> Result<Self> {
        let plain = plain(&spec.field, caps);
        let pairs = Lane { trajectories: 8, fetch: WeightFetch::Pairs8, ..plain };
        let paired = loads_pairs(&spec.field, layout, caps);
        let lanes = Self {
            forward: if paired { pairs } else { plain },
            reverse: if paired && sums_inside(spec) && ends_plainly(&spec.field) { pairs } else { plain },
            other: plain,
        };
        Ok(Self {
            forward: if walks_alone(spec) { tiled(spec, caps, false)?.unwrap_or(lanes.forward) } else { lanes.forward },
            reverse: if sums_inside(spec) { tiled(spec, caps, true)?.unwrap_or(lanes.reverse) } else { lanes.reverse },
            ..lanes
        })
    }

    /// The largest group of trajectories that a workgroup of any kernel owns: the others divide it.
    pub(crate) fn group_trajectories(self) -> u32 {
        [self.forward, self.reverse, self.other].map(Lane::group_trajectories).into_iter().max().unwrap_or(1)
    }

    /// The smallest such group: the limit on workgroups is a limit on trajectories.
    pub(crate) fn least_trajectories(self) -> u32 {
        [self.forward, self.reverse, self.other].map(Lane::group_trajectories).into_iter().min().unwrap_or(1)
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

/// The tile of a kernel if the tile family is asked for, or suits the device and the field.
fn tiled(spec: &Spec, caps: &Caps, pulls: bool) -> Result<Option<Lane>> {
    let options = spec.kernels;
    match options.family {
        Some(Family::Lane) => Ok(None),
        Some(Family::Tile) => tile::choose(&spec.field, caps, options, pulls).map(Some),
        None if caps.kind == DeviceKind::Gpu && spec.field.max_width() >= TILE_WIDTH => {
            let found = tile::choose(&spec.field, caps, KernelOptions::default(), pulls).ok();
            Ok(found.filter(|lane| lane.trajectories >= tile::LEAST))
        }
        None => Ok(None),
    }
}

/// True if evaluations on the way there need nothing but the state of one trajectory, no derivative and no copy.
fn walks_alone(spec: &Spec) -> bool {
    !spec.terms().pay() && spec.method.pair().is_none()
}

/// True if the way back needs no activations but those of the evaluation at hand.
fn sums_inside(spec: &Spec) -> bool {
    walks_alone(spec)
        && spec.wrt.theta
        && !spec.terms().clock
        && !spec.grid.is_dense()
        && spec.adjoint != Some(Adjoint::Continuous)
}

/// True if the outputs are sums.
fn ends_plainly(field: &Mlp) -> bool {
    field.layers().iter().next_back().is_some_and(|output| output.activation == Activation::Identity)
}
