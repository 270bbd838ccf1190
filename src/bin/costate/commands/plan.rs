//! What `--plan` shows: every byte that a run would keep on the device, and what other adjoints would; and what it takes on
//! the host.

use costate::{Adjoint, AdjointOptions, Error, FieldEvaluations, Gpu, HostPlan, MemoryPlan, NeuralOde, Result, Wrt};
use serde::Serialize;

use super::{Outcome, builder};
use crate::cli::Global;
use crate::config::Config;
use crate::output::{self, DeviceBytes, HostBytes};

/// The JSON object of a plan.
#[derive(Serialize)]
struct Plan<'a> {
    adapter: &'a str,
    driver: &'a str,
    method: String,
    adjoint: String,
    batch: usize,
    steps: usize,
    device_bytes: DeviceBytes,
    host_bytes: HostBytes,
    /// None for a solve, which has no adjoint.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    candidates: Vec<Candidate>,
}

/// A way to the gradient, and what it would cost.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Candidate {
    adjoint: String,
    anchors: Option<usize>,
    device_bytes: Option<u64>,
    /// Per trajectory.
    field_evaluations: Option<FieldEvaluations>,
    taken: bool,
    /// Why it is not taken, if it could not be.
    reason: Option<String>,
}

/// What a solve would keep.
pub(super) fn solve(config: &Config, gpu: &Gpu, ode: &NeuralOde, batch: usize, global: &Global) -> Result<Outcome> {
    let plan = ode.solve_memory_plan(batch).map_err(|e| config.keyed(e))?;
    let host = ode.solve_host_plan(batch)?;
    show(global, gpu, ode, batch, (plan, host), Vec::new())
}

/// What a gradient would keep, and every other adjoint of the method.
pub(super) fn gradient(
    (config, wrt): (&Config, Wrt),
    (gpu, ode): (&Gpu, &NeuralOde),
    batch: usize,
    global: &Global,
) -> Result<Outcome> {
    let candidates = candidates((config, wrt), gpu, ode, batch)?;
    let plan = match ode.memory_plan(batch) {
        Err(Error::LimitExceeded { what, needed, limit, adapter, remedy }) => {
            // Something else may fit.
            let fitting: Vec<&str> =
                candidates.iter().filter(|c| c.device_bytes.is_some()).map(|c| c.adjoint.as_str()).collect();
            let remedy = match fitting.as_slice() {
                [] => remedy,
                fitting => format!("{remedy}; it would fit with adjoint {}", fitting.join(" or ")),
            };
            return Err(Error::LimitExceeded { what, needed, limit, adapter, remedy });
        }
        plan => plan?,
    };
    let host = ode.host_plan(batch)?;
    show(global, gpu, ode, batch, (plan, host), candidates)
}

/// The exact ways that a budget chooses among, if it may, and the other adjoints of the method.
fn candidates((config, wrt): (&Config, Wrt), gpu: &Gpu, ode: &NeuralOde, batch: usize) -> Result<Vec<Candidate>> {
    let open = config.solve.anchors.is_none() && matches!(config.solve.adjoint, Adjoint::Auto | Adjoint::Checkpointed);
    let exact = if open { ode.candidates(batch)? } else { Vec::new() };
    let budget = config.solve.memory.is_some();
    let chosen = match budget {
        true => exact.iter().position(|c| c.fits),
        false => exact.iter().position(|c| c.adjoint == ode.adjoint() && c.anchors.is_none()),
    };
    let mut rows: Vec<Candidate> = exact
        .iter()
        .enumerate()
        .map(|(place, c)| Candidate {
            adjoint: c.adjoint.to_string(),
            anchors: c.anchors,
            device_bytes: Some(c.bytes),
            field_evaluations: Some(c.field_evaluations),
            taken: chosen == Some(place),
            reason: (!c.fits)
                .then(|| if budget { "does not fit the budget" } else { "does not fit the device" }.into()),
        })
        .collect();
    rows.extend(
        others((config, wrt), gpu, ode, batch)?
            .into_iter()
            .filter(|o| exact.iter().all(|c| c.adjoint.name() != o.adjoint)),
    );
    Ok(rows)
}

/// The adjoints of the method with what each would keep.
fn others((config, wrt): (&Config, Wrt), gpu: &Gpu, ode: &NeuralOde, batch: usize) -> Result<Vec<Candidate>> {
    let adjoints = ode.method().adjoints().iter();
    adjoints
        .map(|&adjoint| {
            let options = AdjointOptions { memory: None, ..config.solve.options_for(adjoint) };
            let other = builder(config, wrt)?.adjoint(adjoint).adjoint_options(options).build(gpu)?;
            let (device_bytes, reason) = match other.memory_plan(batch) {
                Ok(plan) => (Some(plan.total_bytes()), None),
                Err(e @ Error::LimitExceeded { .. }) => (None, Some(e.to_string())),
                Err(e) => return Err(e),
            };
            Ok(Candidate {
                adjoint: adjoint.to_string(),
                anchors: options.anchors,
                device_bytes,
                field_evaluations: None,
                taken: adjoint == ode.adjoint(),
                reason,
            })
        })
        .collect()
}

fn show(
    global: &Global,
    gpu: &Gpu,
    ode: &NeuralOde,
    batch: usize,
    (plan, host): (MemoryPlan, HostPlan),
    candidates: Vec<Candidate>,
) -> Result<Outcome> {
    if global.json {
        output::print_json(&Plan {
            adapter: gpu.adapter(),
            driver: gpu.driver(),
            method: ode.method().to_string(),
            adjoint: ode.adjoint().to_string(),
            batch,
            steps: ode.grid().steps(),
            device_bytes: DeviceBytes(plan),
            host_bytes: HostBytes(host),
            candidates,
        })?;
        return Ok(Outcome::Done);
    }
    let listed = |header, entries: Vec<(String, u64)>, total: u64| {
        let rows = entries.into_iter().chain([("total".to_owned(), total)]);
        output::table([header, "bytes", ""], 2, rows.map(|(name, n)| [name, n.to_string(), output::bytes(n)]))
    };
    let buffers = plan.entries().iter().map(|(slot, bytes)| (output::slot_name(*slot), *bytes)).collect();
    let kept = host.entries().iter().map(|(name, bytes)| ((*name).to_owned(), *bytes)).collect();
    let mut text = listed("buffer", buffers, plan.total_bytes());
    text = format!("{text}\n\n{}", listed("on the host", kept, host.total_bytes()));
    if !candidates.is_empty() {
        text = format!("{text}\n\n{}", table(&candidates));
    }
    output::print(&text)?;
    Ok(Outcome::Done)
}

/// A line per candidate, a star before the one that is taken.
fn table(candidates: &[Candidate]) -> String {
    let dash = || "-".to_owned();
    let number = |n: Option<u64>| n.map_or_else(dash, |n| n.to_string());
    let rows = candidates.iter().map(|c| {
        [
            format!("{}{}", if c.taken { "* " } else { "  " }, c.adjoint),
            c.anchors.map_or_else(dash, |a| a.to_string()),
            c.device_bytes.map_or_else(dash, output::bytes),
            number(c.field_evaluations.map(|e| e.forward)),
            number(c.field_evaluations.map(|e| e.reverse)),
            c.reason.clone().unwrap_or_default(),
        ]
    });
    output::table(["  adjoint", "anchors", "device memory", "forward", "reverse", ""], 0, rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_that_is_taken_has_a_star_and_the_others_a_reason() {
        let candidate = |adjoint: &str, taken: bool, reason: Option<&str>| Candidate {
            adjoint: adjoint.into(),
            anchors: taken.then_some(16),
            device_bytes: taken.then_some(3 << 20),
            field_evaluations: taken.then_some(FieldEvaluations { forward: 160, reverse: 310 }),
            taken,
            reason: reason.map(str::to_owned),
        };
        let text = table(&[candidate("stored", false, Some("too large")), candidate("checkpointed", true, None)]);
        let line = |name: &str| text.lines().find(|l| l.contains(name)).map(str::trim).unwrap_or_default();
        assert!(line("stored").ends_with("too large") && !line("stored").contains('*'), "in {text}");
        for part in ["* checkpointed", "16", "3.0 MiB", "160", "310"] {
            assert!(line("checkpointed").contains(part), "'{part}' should be in {text}");
        }
    }
}
