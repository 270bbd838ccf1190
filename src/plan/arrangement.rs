//! Which kernels a plan takes: their family, trajectories per invocation, workgroup size.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::caps::{Caps, DeviceKind};
use super::estimate;
use super::inside::{MAX_DIM, MAX_WIDTH};
use super::kernel::{Lane, WeightFetch};
use super::lane::Trips;
use super::layout::FieldLayout;
use super::spec::Spec;
use super::tile;
use crate::error::{Error, Result};
use crate::model::{Activation, Mlp};
use crate::solver::Adjoint;

/// How the work is laid on the device. All families sum an evaluation of the field in the same order.
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
    /// Trajectories of one invocation (lane family: 1, 2, 4, or 8 in kernels that keep activations to themselves; others have
    /// the plan's number then) or workgroup (tile family).
    pub trajectories: Option<u32>,
    /// Invocations of one workgroup.
    pub workgroup: Option<u32>,
}

/// From this width on tiles are the default on GPUs: products of narrower layers leave most of a workgroup idle.
const TILE_WIDTH: usize = 32;
/// Trajectories of an invocation that loads weights in pairs.
const EIGHT: u32 = 8;
/// Its workgroup, which is a subgroup.
const SUBGROUP: u32 = 8;
/// Most trajectories of an invocation that does not.
const MOST: u32 = 4;

impl KernelOptions {
    /// Refuses what no kernel of the lane family has, and what the device does not.
    fn check(self, caps: &Caps) -> Result<()> {
        let refuse = |what: &str, given: u32, remedy: String| Err(Error::invalid(what, given.to_string(), remedy));
        match self.trajectories {
            Some(given) if ![1, 2, MOST, EIGHT].contains(&given) => {
                return refuse("trajectories per invocation", given, format!("use 1, 2, {MOST} or {EIGHT}"));
            }
            _ => {}
        }
        let Some(given) = self.workgroup else { return Ok(()) };
        if self.trajectories == Some(EIGHT) && given != SUBGROUP {
            let remedy = format!("use {SUBGROUP} with {EIGHT} trajectories per invocation, whose lanes share loads");
            return refuse("workgroup size", given, remedy);
        }
        if !given.is_power_of_two() {
            return refuse("workgroup size", given, format!("use a power of two up to {}", caps.max_workgroup));
        }
        if given > caps.max_workgroup {
            return Err(Error::LimitExceeded {
                what: "the workgroup size".into(),
                needed: format!("{given} invocations"),
                limit: format!("{} invocations", caps.max_workgroup),
                adapter: caps.adapter.clone(),
                remedy: format!("use a workgroup size of at most {}, or leave it to the plan", caps.max_workgroup),
            });
        }
        Ok(())
    }

    /// What is given of the lane family: sizes without a family are its sizes.
    fn of_lanes(self) -> Self {
        if self.family == Some(Family::Tile) { Self::default() } else { self }
    }

    /// The arrangement of kernels that take any field, with what is given put in.
    fn plain(self, chosen: Lane) -> Lane {
        let workgroup = self.workgroup.unwrap_or(chosen.workgroup);
        // Lanes share loads where the workgroup is the subgroup.
        let shares = workgroup == chosen.workgroup;
        Lane {
            trajectories: self.trajectories.filter(|r| *r <= MOST).unwrap_or(chosen.trajectories),
            workgroup,
            fetch: if shares { chosen.fetch } else { WeightFetch::Uniform },
            ..chosen
        }
    }
}

impl From<Lane> for KernelOptions {
    fn from(lane: Lane) -> Self {
        Self { family: Some(lane.family), trajectories: Some(lane.trajectories), workgroup: Some(lane.workgroup) }
    }
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
    /// Chooses the arrangement of every kernel, as far as it is not given.
    ///
    /// A cost model weighs the time that compiling takes against the work of the passes ([`estimate`]), so the choice may
    /// change with the batch. The order of the sums of an evaluation does not; where a driver fuses multiplications and
    /// additions its own way in each pipeline, only options that are given make bits independent of the batch.
    ///
    /// Kernels that cannot be tiles are of the lane family even if tiles are asked for.
    ///
    /// # Errors
    /// [`Error::Invalid`] or [`Error::LimitExceeded`] if what is given makes no sense, or not on this device.
    pub(crate) fn new(spec: &Spec, layout: &FieldLayout, caps: &Caps) -> Result<Self> {
        let given = spec.kernels.of_lanes();
        given.check(caps)?;
        let plain = given.plain(plain(&spec.field, caps));
        let refusal = pairs_refused(&spec.field, layout, caps);
        if let (Some(EIGHT), Some(reason)) = (given.trajectories, &refusal) {
            return Err(Error::LimitExceeded {
                what: format!("{EIGHT} trajectories per invocation"),
                needed: "weights that are loaded in pairs".into(),
                limit: reason.clone(),
                adapter: caps.adapter.clone(),
                remedy: format!("use at most {MOST} trajectories per invocation, or leave it to the plan"),
            });
        }
        let asked = |wanted: Option<u32>, one: u32| wanted.is_none_or(|w| w == one);
        let pays = given.trajectories.is_some() || estimate::pairs_pay(spec);
        let paired = refusal.is_none() && pays && asked(given.trajectories, EIGHT) && asked(given.workgroup, SUBGROUP);
        let pairs = Lane { trajectories: EIGHT, fetch: WeightFetch::Pairs8, ..plain };
        let forward = if walks_alone(spec) { tiled(spec, caps, false)? } else { None };
        let reverse = if walks_alone(spec) && sums_inside(spec) { tiled(spec, caps, true)? } else { None };
        let arranged = |paired: bool| {
            // The derivative along a probe is another column of each product.
            let there = paired && !spec.terms().jacobian;
            let back = paired && sums_inside(spec) && ends_plainly(&spec.field);
            Self {
                forward: forward.unwrap_or(if there { pairs } else { plain }),
                reverse: reverse.unwrap_or(if back { pairs } else { plain }),
                other: plain,
            }
        };
        // More trajectories of an invocation take more loop trips: very deep fields may have too many.
        let fits = |arrangement: Self| {
            let stages = u32::try_from(spec.method.tableau().stages()).unwrap_or(u32::MAX);
            let trips = Trips::of(layout, spec, stages, arrangement);
            trips.forward_step.max(trips.reverse_step) + trips.fixed <= caps.max_trips
        };
        let paired = paired && (given.trajectories.is_some() || fits(arranged(true)));
        Ok(arranged(paired))
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
/// LLVM, and speed balance. Wide fields take fewer, their text and registers grow with both, and so do states of many
/// components, whose loops grow with both too. On GPUs the hardware does
/// the sharing.
fn plain(field: &Mlp, caps: &Caps) -> Lane {
    let lane = Lane { family: Family::Lane, trajectories: 1, workgroup: 64, fetch: WeightFetch::Uniform };
    match caps.kind {
        DeviceKind::Gpu => lane,
        DeviceKind::Cpu => Lane {
            trajectories: match (field.max_width(), field.dim()) {
                (0..=128, 0..=32) => 4,
                (0..=256, 0..=64) => 2,
                _ => 1,
            },
            workgroup: 8,
            fetch: if caps.subgroup == Some(8) { WeightFetch::Broadcast8 } else { WeightFetch::Uniform },
            ..lane
        },
    }
}

/// Why weights cannot be loaded in pairs, with inputs and outputs so few that the layers next to them need no loop of their
/// own; `None` if they can.
fn pairs_refused(field: &Mlp, layout: &FieldLayout, caps: &Caps) -> Option<String> {
    let bytes = layout.packed as u64 * 4;
    let (dim, width) = (field.dim(), field.max_width());
    if caps.kind != DeviceKind::Cpu || caps.subgroup != Some(8) || !caps.int64 {
        Some("software adapters with subgroups of 8 and integers of 64 bits".into())
    } else if bytes > caps.max_uniform {
        Some(format!("packed weights of {} bytes (these have {bytes})", caps.max_uniform))
    } else if dim > MAX_DIM || width > MAX_WIDTH || field.layers().len() < 2 {
        Some(format!("fields of 1 to {MAX_DIM} components with hidden layers of at most {MAX_WIDTH} units"))
    } else {
        None
    }
}

/// The tile of a kernel if the tile family is asked for, or suits the device and the field.
fn tiled(spec: &Spec, caps: &Caps, pulls: bool) -> Result<Option<Lane>> {
    let given = spec.kernels;
    let suits = caps.kind == DeviceKind::Gpu && spec.field.max_width() >= TILE_WIDTH;
    if given.family == Some(Family::Tile) {
        tile::choose(&spec.field, caps, given, pulls).map(Some)
    } else if given == KernelOptions::default() && suits {
        Ok(tile::choose(&spec.field, caps, given, pulls).ok().filter(|lane| lane.trajectories >= tile::LEAST))
    } else {
        Ok(None)
    }
}

/// True if an evaluation needs nothing but the state of a trajectory: no derivative, and no copy of the state.
fn walks_alone(spec: &Spec) -> bool {
    !spec.terms().pay() && spec.method.pair().is_none()
}

/// True if the way back needs no activations but those of the evaluation at hand.
fn sums_inside(spec: &Spec) -> bool {
    let terms = spec.terms();
    spec.wrt.theta && !terms.pay() && !terms.clock && !spec.grid.is_dense() && spec.adjoint != Some(Adjoint::Continuous)
}

/// True if the outputs are sums.
fn ends_plainly(field: &Mlp) -> bool {
    field.layers().iter().next_back().is_some_and(|output| output.activation == Activation::Identity)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Plan;
    use crate::solver::{AdjointOptions, Method, TimeGrid};

    fn spec(hidden: &[usize], dim: usize, way: (Method, Adjoint), batch: usize) -> Spec {
        let field = Mlp::builder(dim).hidden(hidden, Activation::Tanh).build().expect("a valid field");
        let grid = TimeGrid::uniform(0.0, 1.0, 10).expect("a valid grid");
        Spec::gradient(field, way.0, grid, way.1, AdjointOptions::default(), batch)
    }

    fn pairs() -> Caps {
        Caps { int64: true, subgroup: Some(8), ..Caps::cpu("test") }
    }

    /// The self-test of exact gradients asks for the kernels of a problem at a batch of its own.
    #[test]
    fn a_named_arrangement_is_that_of_any_batch() {
        let mut seen = Vec::new();
        let foster = Method::mccallum_foster(Method::Midpoint, 1.0).expect("a valid method");
        for batch in [1, 128, 65_536] {
            let spec = spec(&[16, 16], 2, (foster, Adjoint::Exact), batch);
            let plan = Plan::new(spec.clone(), &pairs()).expect("a small problem");
            let named = Spec { kernels: plan.arrangement(), batch: 128, ..spec };
            let again = Plan::new(named, &pairs()).expect("a small problem");
            assert!(plan.fused_kernels().is_some() && plan.fused_kernels() == again.fused_kernels(), "batch {batch}");
            seen.push(plan.arrangement());
        }
        assert_ne!(seen[0], seen[2], "the plan chooses by the batch");
    }

    /// Where the loop trips of a step with twice as many trajectories are too many, the plan does without.
    #[test]
    fn fields_keep_within_the_loop_trips() {
        let plan = |trajectories, max_trips| {
            let spec = spec(&[5, 5], 8, (Method::Dopri5, Adjoint::Backsolve), 1 << 20);
            let kernels = KernelOptions { trajectories, ..KernelOptions::default() };
            let plan = Plan::new(Spec { kernels, ..spec }, &Caps { max_trips, ..pairs() });
            plan.ok().map(|plan| plan.shape.arrangement.reverse.trajectories)
        };
        assert_eq!(plan(None, 50_000), Some(EIGHT), "with trips enough");
        let least = (0..50_000).step_by(100).find(|&trips| plan(Some(MOST), trips).is_some()).expect("some are enough");
        assert_eq!(plan(Some(EIGHT), least), None, "eight fit too: the test is about nothing");
        assert_eq!(plan(None, least), Some(MOST), "the plan does without");
    }
}
