//! `costate gradient`: the gradient of the loss, or a vector-Jacobian product.

use costate::io::{read_npy3, write_gradient};
use costate::{Error, Result};

use super::report::RunReport;
use super::{Outcome, given, input, plan, planned_batch, problem};
use crate::cli::{Global, Gradient};
use crate::config::Config;
use crate::output;

/// Differentiates and writes tensors named as the weights, `x0` and, with targets, `loss`.
pub(crate) fn run(args: &Gradient, global: &Global) -> Result<Outcome> {
    let config = Config::read(&args.problem.config)?;
    if args.problem.plan {
        let batch = planned_batch(&args.problem)?;
        let (gpu, ode) = problem(&config, global)?;
        return plan::gradient(&config, &gpu, &ode, batch, global);
    }
    let times = config.grid()?.saves().len();
    let (theta, x0) = input(&config, &args.problem)?;
    let out = given(args.out.as_deref(), "--out")?;
    let path = args.cotangents.as_deref().or(args.targets.as_deref());
    let path = given(path, "--targets")?;
    let observations = read_npy3(path)?;
    let expected = [times, x0.nrows(), x0.ncols()];
    if observations.shape() != expected {
        return Err(Error::Shape {
            what: path.display().to_string(),
            found: format!("{:?}", observations.shape()),
            expected: format!("[time, batch, dim] = {expected:?}"),
            remedy: "give one value per save time, trajectory and component".into(),
        });
    }
    output::check_file(out)?;
    let (gpu, ode) = problem(&config, global)?;
    let gradient = if args.cotangents.is_some() {
        ode.vjp(&theta, x0.view(), observations.view())
    } else {
        ode.loss_and_gradient(&theta, x0.view(), observations.view())
    };
    let gradient = gradient.map_err(|e| config.solve.keyed(e))?;
    write_gradient(out, ode.field(), &gradient.theta, gradient.x0.view(), gradient.loss)?;
    RunReport::new(&gpu, &ode, &gradient.report, out).with_gradient(&gradient).show(global)
}
