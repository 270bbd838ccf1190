//! What a call keeps on the host.

use std::fmt;

use super::buffers::Slot;
use super::caps::DeviceKind;
use super::solve::Plan;

/// Bytes that move between host and device at a time.
pub(crate) const PORTION: u64 = 64 << 20;
/// Bytes per trajectory for how it went: the word of the device, what it is decoded to, its running cost.
const STATUS: u64 = 4 + 24 + 8;
/// What the driver of a software adapter takes beside the buffers: mostly for compiling.
const DRIVER: u64 = 64 << 20;

/// Every large part of the memory that a call keeps on the host at its peak. A software adapter has its buffers there too.
///
/// An estimate, from above: what is needed before and after another is counted as if it were needed beside it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostPlan {
    entries: Vec<(&'static str, u64)>,
}

impl HostPlan {
    /// What is kept and its size in bytes: `input`, arrays that the caller hands over; `results`; `transfers`, between host and
    /// device; and with a software adapter `device`, the buffers, and `driver`.
    #[must_use]
    pub fn entries(&self) -> &[(&'static str, u64)] {
        &self.entries
    }

    /// All of it in bytes.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        self.entries.iter().fold(0, |sum, (_, bytes)| sum.saturating_add(*bytes))
    }

    /// What a call adds to the arrays that it is handed.
    #[must_use]
    pub fn added_bytes(&self) -> u64 {
        let input = self.entries.iter().find(|(name, _)| *name == "input").map_or(0, |(_, bytes)| *bytes);
        self.total_bytes() - input
    }
}

impl fmt::Display for HostPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, bytes) in &self.entries {
            writeln!(f, "{name:<14}{bytes:>14} B")?;
        }
        write!(f, "{:<14}{:>14} B", "total", self.total_bytes())
    }
}

impl Plan {
    /// What a call by this plan keeps on the host.
    pub(crate) fn host(&self) -> HostPlan {
        let (spec, shape) = (&self.spec, &self.shape);
        let batch = u64::from(shape.batch);
        let state = 4 * shape.dim * batch;
        let observed = u64::from(shape.observations) * state;
        let parameters = 4 * u64::from(shape.parameters + shape.loss_parameters);
        let gradient = spec.adjoint.is_some();
        let given = if gradient { observed * if spec.weighted { 2 } else { 1 } } else { 0 };
        let found = match (gradient, spec.wrt.targets) {
            // dJ/dθ and dJ/dx0.
            (true, targets) => parameters + state + if targets { observed } else { 0 },
            (false, _) => observed,
        };
        let moved = u64::from(shape.observations) * shape.state_bytes();
        // Initial states and the adjoint move in one piece, with a copy of the driver's.
        let whole = 2 * shape.state_bytes() + if gradient { 8 * shape.adjoint_values() } else { 0 };
        let transfers = 2 * moved.min(PORTION.max(shape.state_bytes())) + whole + 2 * parameters;
        let mut entries =
            vec![("input", parameters + state + given), ("results", found + STATUS * batch), ("transfers", transfers)];
        if self.caps.kind == DeviceKind::Cpu {
            entries.extend([("device", self.memory.total_bytes()), ("driver", DRIVER)]);
        }
        HostPlan { entries }
    }

    /// The same for a training, whose data set stays on the device.
    pub(crate) fn host_of_training(&self) -> HostPlan {
        let data = self.memory.bytes(Slot::Data);
        let parameters = 4 * u64::from(self.shape.parameters + self.shape.loss_parameters);
        let mut entries = vec![("input", data + parameters), ("transfers", 2 * (data + parameters))];
        if self.caps.kind == DeviceKind::Cpu {
            entries.extend([("device", self.memory.total_bytes()), ("driver", DRIVER)]);
        }
        HostPlan { entries }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Activation, Mlp};
    use crate::plan::{Caps, Spec};
    use crate::solver::{Adjoint, AdjointOptions, Method, TimeGrid};

    /// 2^18 trajectories of 2 components at 800 save times are 1.6 GiB, once for the caller and once on the device.
    #[test]
    fn states_are_kept_once() {
        let field = Mlp::builder(2).hidden(&[8], Activation::Tanh).build().expect("a valid field");
        let saves: Vec<f64> = (1..=800).map(|i| f64::from(i) * 0.01).collect();
        let grid = TimeGrid::with_steps(0.0, &saves, 8.0, 1).expect("a valid grid");
        let options = AdjointOptions::default();
        let spec = Spec::solve(field, Method::Euler, grid, Adjoint::Stored, options, 1 << 18);
        let states = 800 * 2 * 4 * (1_u64 << 18);
        let of = |caps: &Caps| Plan::new(spec.clone(), caps).expect("it fits").host();
        let limits = Caps { max_buffer: 1 << 34, ..Caps::gpu("test") };
        let gpu = of(&limits);
        let names: Vec<&str> = gpu.entries().iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["input", "results", "transfers"]);
        assert!(gpu.total_bytes() > states && gpu.total_bytes() < states + (300 << 20), "{gpu}");
        let cpu = of(&Caps { max_buffer: 1 << 34, ..Caps::cpu("test") });
        assert!(cpu.total_bytes() > 2 * states && cpu.total_bytes() < 2 * states + (400 << 20), "{cpu}");
        assert_eq!(cpu.added_bytes() + cpu.entries()[0].1, cpu.total_bytes(), "what is added");
    }
}
