//! Does the kernel that walks back and pulls the adjoint back in one repeat the bits of the way there?
//!
//! WGSL lets a driver round differently in two pipelines, so that only a test can tell (math.md section 4.6). Found once
//! for each kernel and device.

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

use crate::error::Result;
use crate::gpu::{Arena, Gpu, execute, read};
use crate::model::{Init, Parameters};
use crate::plan::{Observe, Plan, Slot, Spec, summary};
use crate::solver::TimeGrid;

/// Steps of the test.
const STEPS: usize = 64;
/// Trajectories of the test: two groups of a GPU, several of a CPU.
const BATCH: usize = 128;

/// Lets the plan use the fused kernel if it repeats the bits, after a test if there was none before.
pub(crate) fn fuse_if_exact(gpu: &Gpu, plan: &mut Plan) -> Result<()> {
    let Some(kernel) = plan.fused_kernel().filter(|_| !plan.spec.options.separate) else { return Ok(()) };
    let found = match gpu.repeats(&kernel) {
        Some(found) => found,
        None => {
            let found = repeats(gpu, &plan.spec)?;
            tracing::debug!(found, "the fused kernel repeats the bits of the way there");
            gpu.set_repeats(kernel, found);
            found
        }
    };
    plan.set_fused(found);
    Ok(())
}

/// Walks random trajectories through 64 steps of the problem's length and back, and compares every word.
fn repeats(gpu: &Gpu, spec: &Spec) -> Result<bool> {
    let (t0, t1) = (spec.grid.t0(), spec.grid.t1());
    let length = (t1 - t0) / spec.grid.steps() as f64 * STEPS as f64;
    let grid = TimeGrid::uniform(t0, t0 + length, STEPS)?;
    let contraction = spec.contraction.and_then(|_| crate::solver::Contraction::new(STEPS, 4));
    let spec = Spec { grid, contraction, batch: BATCH, ..spec.clone() };
    let mut plan = Plan::new(spec, gpu.caps())?;
    plan.set_fused(true);
    let mut arena = Arena::for_plan(gpu, &plan)?;
    arena.upload(Slot::Theta, Parameters::init(&plan.spec.field, Init::Torch, 0)?.as_slice())?;
    let mut rng = Pcg64::seed_from_u64(0);
    let x0: Vec<f32> = (0..plan.shape.state_values()).map(|_| rng.random_range(-1.0..1.0)).collect();
    arena.upload(Slot::Initial, &x0)?;
    let mut reverse = plan.reverse()?;
    reverse.extend(plan.certificate()?);
    execute(
        &mut arena,
        &plan,
        &[&plan.pack()?, &plan.start(), &plan.forward(Observe::Residual)?, &plan.loss()?, &reverse],
    )?;
    let found: Vec<f32> = read(&arena, Slot::Summary, summary::LEN as u64)?;
    Ok(found[summary::DIFFERING] == 0.0 && found[summary::SURVIVORS] > 0.0)
}
