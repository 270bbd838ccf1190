//! What a problem asks of a device, and the errors that say so.

use super::caps::Caps;
use super::kernel::Words;
use super::lane::STRIDE;
use super::schedule::{MAX_STAGES, check_times};
use super::spec::Spec;
use crate::error::{Error, Result};
use crate::solver::Adjoint;

/// Wider layers would make private arrays that drivers cannot place.
const MAX_WIDTH: u64 = 4096;
/// Trajectories beyond this do not fit the kernels' 32-bit counters, whatever the device.
const MAX_BATCH: u64 = 1 << 31;
/// What no device can do, or what makes no sense.
pub(super) fn check_spec(spec: &Spec, caps: &Caps) -> Result<()> {
    if spec.batch == 0 {
        return Err(Error::invalid("batch", "0 trajectories", "give at least one initial state"));
    }
    debug_assert!(
        spec.method.tableau().stages() <= MAX_STAGES,
        "the schedule uniform has room for {MAX_STAGES} stages"
    );
    limit(caps, "a batch", spec.batch as u64, MAX_BATCH, Unit::Trajectories, "use a smaller batch")?;
    let width = spec.field.max_width() as u64;
    limit(caps, "the widest layer", width, MAX_WIDTH, Unit::Units, "use narrower layers")?;
    check_times(&spec.grid, spec.field.time_input())
}

/// The limits that depend on the size of the state.
pub(super) struct Limits<'a> {
    pub spec: &'a Spec,
    pub caps: &'a Caps,
    pub state_bytes: u64,
    pub group: u64,
}

impl Limits<'_> {
    /// Checks them; returns how many stored states one binding holds.
    pub(super) fn check(&self, segment: u64) -> Result<u64> {
        let (caps, batch) = (self.caps, self.spec.batch);
        let fits = |bytes: u64| {
            // The largest batch whose padded state keeps the limit.
            let unit = u64::from(STRIDE).max(self.group);
            let per_trajectory = (self.state_bytes / (batch as u64).next_multiple_of(unit)).max(1);
            bytes / per_trajectory / unit * unit
        };
        let state = format!("the state [dim, batch] of {batch} trajectories");
        // With what its sum has rounded away, or of both copies of a pair.
        let planes = if self.spec.arithmetic.words() == Words::Two { 4 } else { 2 };
        let allowed = caps.max_binding.min(caps.max_buffer);
        let remedy = format!("use a batch of at most {}", fits(allowed / planes));
        limit(caps, &state, self.state_bytes.saturating_mul(planes), allowed, Unit::Bytes, &remedy)?;
        let saves = self.spec.grid.saves().len() as u64;
        let observed = format!("the observations [time, dim, batch] of {batch} trajectories at {saves} times");
        let remedy = format!("use a batch of at most {}, or fewer save times", fits(caps.max_buffer / saves));
        limit(caps, &observed, saves.saturating_mul(self.state_bytes), caps.max_buffer, Unit::Bytes, &remedy)?;
        let Some(adjoint) = self.spec.way_back().filter(|a| a.keeps_states()) else {
            return Ok((caps.max_binding / self.state_bytes).max(1));
        };
        let stored = format!("storing {segment} states of {batch} trajectories");
        let remedy = format!(
            "use the {} adjoint, or a batch of at most {}",
            if adjoint == Adjoint::Stored { "checkpointed or backsolve" } else { "backsolve" },
            fits(caps.max_buffer / segment),
        );
        limit(caps, &stored, segment.saturating_mul(self.state_bytes), caps.max_buffer, Unit::Bytes, &remedy)?;
        Ok((caps.max_binding / self.state_bytes).max(1))
    }
}

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Bytes,
    Trips,
    Trajectories,
    Units,
}

impl Unit {
    #[expect(clippy::cast_precision_loss, reason = "shown to two digits")]
    fn show(self, value: u64) -> String {
        match self {
            Self::Bytes => format!("{value} bytes ({:.2} MiB)", value as f64 / f64::from(1 << 20)),
            Self::Trips => format!("{value} loop trips of one invocation"),
            Self::Trajectories => format!("{value} trajectories"),
            Self::Units => format!("{value} units"),
        }
    }
}

/// An error if `needed > allowed`.
pub(super) fn limit(caps: &Caps, what: &str, needed: u64, allowed: u64, unit: Unit, remedy: &str) -> Result<()> {
    if needed <= allowed {
        return Ok(());
    }
    Err(Error::LimitExceeded {
        what: what.to_owned(),
        needed: unit.show(needed),
        limit: unit.show(allowed),
        adapter: caps.adapter.clone(),
        remedy: remedy.to_owned(),
    })
}
