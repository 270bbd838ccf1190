//! `costate solve`: states at the save times.

use std::path::Path;

use costate::io::write_npy;
use costate::{Error, Result, Wrt};
use ndarray::Array1;

use super::report::RunReport;
use super::{Input, Outcome, given, inputs, narrow, plan, planned_batch, problem};
use crate::cli::{Global, Solve};
use crate::config::Config;
use crate::output;

/// Integrates and writes `[time, batch, dim]`, in the units that x0 came in.
pub(crate) fn run(args: &Solve, global: &Global) -> Result<Outcome> {
    let config = Config::read(&args.problem.config)?;
    if args.problem.plan {
        let batch = planned_batch(&args.problem)?;
        let (gpu, ode) = problem(&config, Wrt::default(), global)?;
        return plan::solve(&config, &gpu, &ode, batch, global);
    }
    config.grid()?;
    let Input { weights, units, x0 } = Input::read(&config, &args.problem)?;
    let out = given(args.out.as_deref(), "--out")?;
    if args.cost_out.is_some() && config.cost.is_none() {
        return Err(Error::Invalid {
            what: "--cost-out".into(),
            problem: "there is no running cost".into(),
            remedy: "leave it out, or add the section [cost] to the run description".into(),
        });
    }
    let outputs: Vec<&Path> = [out].into_iter().chain(args.cost_out.as_deref()).collect();
    output::check_files(&outputs, &inputs(&config, &args.problem), global.json)?;
    let (gpu, ode) = problem(&config, Wrt::default(), global)?;
    let solution = ode.solve(&weights.parameters, x0.view()).map_err(|e| config.keyed(e))?;
    units.write(out, solution.states.view())?;
    if let (Some(path), Some(cost)) = (&args.cost_out, &solution.cost) {
        let costs: Array1<f32> = cost.per_trajectory.iter().copied().map(narrow).collect();
        write_npy(path, costs.view())?;
    }
    units.tell("x0 and states", "");
    let report = RunReport::new(&gpu, &ode, &solution.report, out).with_units(units.name());
    report.with_cost(solution.cost.as_ref()).show(global)
}
