//! The buffers and programs of one problem at one batch size, kept between calls.

use std::time::Instant;

use ndarray::{Array2, Array3, ArrayView2, ArrayView3};

use super::arrays::{from_device, to_device};
use super::outcome::{FieldEvaluations, Gradient, Reconstruction, Report, Solution, TrajectoryStatus, read_status};
use crate::error::{Error, Result};
use crate::gpu::{Arena, Gpu, execute, read};
use crate::model::Parameters;
use crate::plan::{Observe, Plan, Program, Slot, Spec, summary};
use crate::solver::Adjoint;

/// What the reverse pass starts from.
pub(super) enum Seed<'a> {
    Targets(ArrayView3<'a, f32>),
    Cotangents(ArrayView3<'a, f32>),
}

/// Buffers on the device and the plan that they were made for.
#[derive(Debug)]
pub(super) struct Session {
    plan: Plan,
    arena: Arena,
    programs: Programs,
}

/// The parts of a pass, planned once.
#[derive(Debug, Default)]
struct Programs {
    pack: Program,
    start: Program,
    /// The last kind of forward pass.
    forward: Option<(Observe, Program)>,
    loss: Program,
    /// Reverse pass and certificate.
    reverse: Program,
}

impl Session {
    pub(super) fn new(gpu: &Gpu, spec: Spec) -> Result<Self> {
        let plan = Plan::new(spec, gpu.caps())?;
        let arena = Arena::for_plan(gpu, &plan)?;
        let mut programs = Programs { pack: plan.pack()?, start: plan.start(), ..Programs::default() };
        if plan.spec.adjoint.is_some() {
            programs.loss = plan.loss()?;
            programs.reverse = plan.reverse()?;
            programs.reverse.extend(plan.certificate()?);
        }
        Ok(Self { plan, arena, programs })
    }

    pub(super) fn batch(&self) -> usize {
        self.plan.spec.batch
    }

    pub(super) fn solve(&mut self, theta: &Parameters, x0: ArrayView2<'_, f32>) -> Result<Solution> {
        let start = Instant::now();
        self.upload(theta, x0)?;
        let dispatches = self.run(Observe::Save, false)?;
        let (batch, dim) = (self.batch(), self.plan.spec.field.dim());
        let shape = &self.plan.shape;
        let values: Vec<f32> = read(&self.arena, Slot::Observed, u64::from(shape.saves) * shape.state_values())?;
        let rows: Vec<f32> = values
            .chunks(dim * shape.stride as usize)
            .flat_map(|state| from_device(state, shape.stride, batch, dim))
            .collect();
        let states = array3([shape.saves as usize, batch, dim], rows)?;
        Ok(Solution { states, report: self.report(dispatches, start)? })
    }

    pub(super) fn gradient(&mut self, theta: &Parameters, x0: ArrayView2<'_, f32>, seed: Seed<'_>) -> Result<Gradient> {
        let start = Instant::now();
        self.upload(theta, x0)?;
        let mut dispatches = self.pass(&seed, false)?;
        let mut report = self.report(0, start)?;
        // A trajectory that failed on the way back has already added to the sums: once more without it.
        while report.status.iter().any(|s| matches!(s, TrajectoryStatus::ReverseNonFinite { .. })) {
            let before = report.ok();
            dispatches += self.pass(&seed, true)?;
            report = self.report(0, start)?;
            if report.ok() == before {
                break;
            }
        }
        report.dispatches = dispatches;
        self.collect(&seed, report, start)
    }

    /// Forward, loss and reverse. With `keep_status` the trajectories that failed before take no part.
    fn pass(&mut self, seed: &Seed<'_>, keep_status: bool) -> Result<usize> {
        let (values, observe) = match seed {
            Seed::Targets(values) => (values, Observe::Residual),
            Seed::Cotangents(values) => (values, Observe::Nothing),
        };
        self.upload_observations(values)?;
        if observe == Observe::Nothing {
            // No loss gives the factor of the cotangents; every trajectory counts.
            let mut values = [0.0_f32; summary::LEN];
            values[summary::SCALE] = 1.0;
            self.arena.upload(Slot::Summary, &values)?;
        }
        self.run(observe, keep_status)
    }

    fn collect(&self, seed: &Seed<'_>, mut report: Report, start: Instant) -> Result<Gradient> {
        let shape = &self.plan.shape;
        let (batch, dim) = (self.batch(), self.plan.spec.field.dim());
        let summary: Vec<f32> = read(&self.arena, Slot::Summary, summary::LEN as u64)?;
        let theta: Vec<f32> = read(&self.arena, Slot::Gradient, u64::from(shape.parameters))?;
        let adjoint: Vec<f32> = read(&self.arena, Slot::Adjoint, shape.state_values())?;
        let loss = matches!(seed, Seed::Targets(_)).then_some(summary[summary::LOSS]);
        if report.ok() == 0 {
            let first = report.status[0];
            return Err(Error::NonFinite {
                what: "every trajectory".into(),
                detail: format!("trajectory 0 ended as {first:?}"),
            });
        }
        let bad = theta.iter().position(|g| !g.is_finite()).map(|i| format!("dJ/dθ[{i}] = {}", theta[i]));
        if let Some(detail) = bad.or_else(|| loss.filter(|l| !l.is_finite()).map(|l| format!("loss = {l}"))) {
            return Err(Error::NonFinite { what: "the gradient".into(), detail });
        }
        let reconstruction = if self.plan.spec.adjoint == Some(Adjoint::Backsolve) {
            let per_trajectory: Vec<f32> = read(&self.arena, Slot::Drift, batch as u64)?;
            #[expect(clippy::cast_precision_loss, reason = "a count in a mean that is reported")]
            let mean_abs = summary[summary::DRIFT as usize + 1] / report.ok() as f32;
            Some(Reconstruction { max_abs: summary[summary::DRIFT as usize], mean_abs, per_trajectory })
        } else {
            None
        };
        let x0 = from_device(&adjoint, shape.stride, batch, dim);
        let x0 = Array2::from_shape_vec((batch, dim), x0).map_err(|e| internal(&e))?;
        report.seconds = start.elapsed().as_secs_f64();
        Ok(Gradient { loss, theta, x0, reconstruction, report })
    }

    fn upload(&mut self, theta: &Parameters, x0: ArrayView2<'_, f32>) -> Result<()> {
        self.arena.upload(Slot::Theta, theta.as_slice())?;
        let mut values = Vec::new();
        to_device(x0, self.plan.shape.stride, &mut values);
        self.arena.upload(Slot::Initial, &values)
    }

    fn upload_observations(&mut self, values: &ArrayView3<'_, f32>) -> Result<()> {
        let mut device = Vec::new();
        for state in values.outer_iter() {
            to_device(state, self.plan.shape.stride, &mut device);
        }
        self.arena.upload(Slot::Observed, &device)
    }

    /// Runs what `observe` asks for; returns the number of kernel launches.
    fn run(&mut self, observe: Observe, keep_status: bool) -> Result<usize> {
        if self.programs.forward.as_ref().is_none_or(|(planned, _)| *planned != observe) {
            self.programs.forward = Some((observe, self.plan.forward(observe)?));
        }
        let Programs { pack, start, forward, loss, reverse } = &self.programs;
        let mut programs = vec![pack];
        if !keep_status {
            programs.push(start);
        }
        programs.extend(forward.as_ref().map(|(_, program)| program));
        if observe == Observe::Residual {
            programs.push(loss);
        }
        programs.push(reverse);
        execute(&mut self.arena, &self.plan, &programs)?;
        Ok(programs.iter().map(|p| p.dispatches()).sum())
    }

    fn report(&self, dispatches: usize, start: Instant) -> Result<Report> {
        let words: Vec<u32> = read(&self.arena, Slot::Status, self.batch() as u64)?;
        let steps = self.plan.spec.grid.steps();
        let forward = steps as u64 * u64::from(self.plan.shape.stages);
        let reverse = match self.plan.spec.adjoint {
            None => 0,
            Some(Adjoint::Backsolve) => 2 * forward,
            Some(Adjoint::Stored) => forward,
            // The last segment need not run again.
            Some(Adjoint::Checkpointed) => {
                let shape = &self.plan.shape;
                let again = (shape.segments() - 1) * shape.segment;
                forward + again * u64::from(shape.stages)
            }
            Some(_) => 2 * forward,
        };
        Ok(Report {
            status: read_status(&words, &self.plan.spec.grid),
            steps,
            field_evaluations: FieldEvaluations { forward, reverse },
            memory: self.plan.memory.clone(),
            allocated_bytes: self.arena.bytes(),
            dispatches,
            seconds: start.elapsed().as_secs_f64(),
        })
    }
}

fn array3(shape: [usize; 3], values: Vec<f32>) -> Result<Array3<f32>> {
    Array3::from_shape_vec(shape, values).map_err(|e| internal(&e))
}

/// A shape that the plan promised did not come back: a bug, but not one to panic over.
fn internal(error: &ndarray::ShapeError) -> Error {
    Error::Device { what: "the shape of a readback".into(), message: error.to_string() }
}
