//! Does the kernel that walks back and pulls the adjoint back in one repeat the bits of the way there?
//!
//! WGSL lets a driver round differently in two pipelines, so that only a test can tell (math.md section 4.6). Found once
//! for each such pair of kernels and device.

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

use super::reference::reference_of;
use crate::error::{Error, Result};
use crate::gpu::{Arena, Gpu, execute, read};
use crate::model::{Init, Parameters};
use crate::plan::{Elsewhere, Observe, Plan, Slot, Spec, summary};
use crate::solver::{AdjointOptions, Contraction, DEFAULT_LOG_WORDS, TimeGrid};

/// Steps of the test.
const STEPS: usize = 64;
/// Trajectories of the test: two groups of a GPU, several of a CPU.
const BATCH: usize = 128;

/// Lets the plan use the fused kernel if it repeats the bits, after a test if there was none before.
pub(crate) fn fuse_if_exact(gpu: &Gpu, plan: &mut Plan) -> Result<()> {
    let Some(kernels) = plan.fused_kernels().filter(|_| !plan.spec.options.separate) else { return Ok(()) };
    let found = match gpu.repeats(&kernels) {
        Some(found) => found,
        None => match repeats(gpu, plan) {
            Ok(Some(found)) => {
                tracing::debug!(found, "the fused kernel repeats the bits of the way there");
                gpu.set_repeats(kernels, found);
                found
            }
            // What could not be tested is not relied on.
            Ok(None) | Err(Error::LimitExceeded { .. }) => false,
            Err(error) => return Err(error),
        },
    };
    plan.set_fused(found);
    Ok(())
}

/// True unless the plan of an exact gradient is told or known to walk back in a kernel of its own. Tests nothing.
pub(crate) fn may_fuse(gpu: &Gpu, spec: &Spec) -> bool {
    let kernels = Plan::new(spec.clone(), gpu.caps()).ok().and_then(|plan| plan.fused_kernels());
    !spec.options.separate && kernels.and_then(|kernels| gpu.repeats(&kernels)) != Some(false)
}

/// Walks random trajectories through 64 steps of the problem's length, but no longer ones than 0.1, and back, with
/// contractions whether the problem has them or not, and compares every word. `None` if no trajectory stays in range, or
/// if the kernel cannot be had for this batch.
fn repeats(gpu: &Gpu, plan: &Plan) -> Result<Option<bool>> {
    let spec = &plan.spec;
    let (t0, t1) = (spec.grid.t0(), spec.grid.t1());
    let step = ((t1 - t0) / spec.grid.steps() as f64).clamp(-0.1, 0.1);
    let grid = TimeGrid::uniform(t0, t0 + step * STEPS as f64, STEPS)?;
    let options = AdjointOptions { log_words: Some(DEFAULT_LOG_WORDS), ..spec.options };
    let contraction = Contraction::new(STEPS, DEFAULT_LOG_WORDS);
    // The arrangement of the problem, whatever the plan would choose for this batch.
    let kernels = plan.arrangement();
    let spec = Spec { grid, options, contraction, batch: BATCH, kernels, ..spec.clone() };
    let tested = plan;
    let mut plan = Plan::new(spec, gpu.caps())?;
    if plan.fused_kernels() != tested.fused_kernels() {
        return Ok(None);
    }
    plan.set_fused(true);
    let mut arena = Arena::for_plan(gpu, &plan)?;
    arena.upload(Slot::Theta, Parameters::init(&plan.spec.field, Init::Torch, 0)?.as_slice())?;
    let mut rng = Pcg64::seed_from_u64(0);
    let x0: Vec<f32> = (0..plan.shape.state_values()).map(|_| rng.random_range(-1.0..1.0)).collect();
    arena.upload(Slot::Initial, &x0)?;
    if let Some(reference) = plan.spec.cost.as_deref().and_then(reference_of) {
        // Zero at all times: what matters is that pieces have a length.
        #[expect(clippy::cast_possible_truncation, reason = "rounded once for the device")]
        let times: Vec<f32> = reference.times().iter().map(|t| *t as f32).collect();
        arena.upload(Slot::Reference, &times)?;
    }
    let mut reverse = plan.reverse()?;
    reverse.extend(plan.certificate()?);
    execute(
        &mut arena,
        &plan,
        &[
            &plan.pack()?,
            &plan.start(false),
            &plan.forward(Observe::Save)?,
            &plan.loss(Elsewhere::default())?,
            &reverse,
        ],
    )?;
    let found: Vec<f32> = read(&arena, Slot::Summary, summary::LEN as u64)?;
    Ok((found[summary::SURVIVORS] > 0.0).then_some(found[summary::DIFFERING] == 0.0))
}
