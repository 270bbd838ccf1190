//! `costate solve`: states at the save times.

use costate::Result;
use costate::io::write_npy;

use super::report::RunReport;
use super::{Outcome, given, input, plan, planned_batch, problem};
use crate::cli::{Global, Solve};
use crate::config::Config;
use crate::output;

/// Integrates and writes `[time, batch, dim]`.
pub(crate) fn run(args: &Solve, global: &Global) -> Result<Outcome> {
    let config = Config::read(&args.problem.config)?;
    if args.problem.plan {
        let batch = planned_batch(&args.problem)?;
        let (gpu, ode) = problem(&config, global)?;
        return plan::solve(&config, &gpu, &ode, batch, global);
    }
    config.grid()?;
    let (theta, x0) = input(&config, &args.problem)?;
    let out = given(args.out.as_deref(), "--out")?;
    output::check_file(out)?;
    let (gpu, ode) = problem(&config, global)?;
    let solution = ode.solve(&theta, x0.view()).map_err(|e| config.solve.keyed(e))?;
    write_npy(out, solution.states.view())?;
    RunReport::new(&gpu, &ode, &solution.report, out).show(global)
}
