//! The buffers and programs of one problem at one batch size, kept between calls.

use std::time::Instant;

use ndarray::{ArrayView2, ArrayView3, Axis};

use super::arrays::to_device;
use super::fuse_if_exact;
use super::observations::Observations;
use super::outcome::{FractionBits, Gradient, Report, Solution};
use super::programs::{Moved, Part, Programs};
use super::reference::{device_reference, reference_of};
use super::status::{TrajectoryStatus, read_status};
use super::warning::Warning;
use crate::error::{Error, Result};
use crate::gpu::{Arena, Gpu, KernelTime, add, execute, execute_profiled, read};
use crate::host::check_host_memory;
use crate::model::Parameters;
use crate::plan::{Arithmetic, Elsewhere, Observe, Plan, Program, Slot, Spec, Work, step_of, summary};
use crate::solver::{Adjoint, Contraction, DEFAULT_LOG_WORDS, asked};

/// The copies of a pair may be this far apart, relative to what a component has met, before there is a warning.
pub(super) const APART: f32 = 1e-2;
/// Walks after which a trajectory that still moves its binary points is given up: from any range to that of f32.
const MOST_WALKS: usize = 32;

/// What the reverse pass starts from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Seed<'a> {
    Targets(Observations<'a>),
    Cotangents(ArrayView3<'a, f32>),
}

/// Buffers on the device and the plan that they were made for.
#[derive(Debug)]
pub(super) struct Session {
    gpu: Gpu,
    pub(super) plan: Plan,
    pub(super) arena: Arena,
    programs: Programs,
    /// True if kernels are to be timed.
    pub(super) profile: bool,
    done: Done,
    /// What the loss was planned with.
    pub(super) elsewhere: Elsewhere,
    /// Trajectories whose binary points were moved in the last walk.
    moved: Moved,
}

/// What a call has made the device do so far.
#[derive(Debug, Default)]
struct Done {
    dispatches: usize,
    work: Work,
    times: Option<Vec<KernelTime>>,
}

impl Session {
    pub(super) fn new(gpu: &Gpu, spec: Spec) -> Result<Self> {
        let mut plan = Plan::new(spec, gpu.caps())?;
        let what =
            format!("a batch of {} trajectories at {} save times", plan.spec.batch, plan.spec.grid.observations());
        check_host_memory(
            &what,
            plan.host().added_bytes(),
            "use a smaller batch or fewer save times, or raise the limit",
        )?;
        fuse_if_exact(gpu, &mut plan)?;
        let arena = Arena::for_plan(gpu, &plan)?;
        if let Some(reference) = plan.spec.cost.as_deref().and_then(reference_of) {
            arena.upload(Slot::Reference, &device_reference(reference, &plan))?;
        }
        let elsewhere = Elsewhere::default();
        let programs = Programs::new(&plan, elsewhere)?;
        let (done, moved) = (Done::default(), Moved::default());
        Ok(Self { gpu: gpu.clone(), plan, arena, programs, profile: false, done, elsewhere, moved })
    }

    /// Refuses data that do not fit a range of fixed point that was given.
    fn check_range(&self, x0: &ArrayView2<'_, f32>) -> Result<()> {
        match self.plan.spec.arithmetic {
            Arithmetic::Float => Ok(()),
            Arithmetic::Fixed { .. } => {
                self.plan.spec.options.check_range(x0.iter().fold(0.0_f32, |m, v| m.max(v.abs())))
            }
        }
    }

    pub(super) fn batch(&self) -> usize {
        self.plan.spec.batch
    }

    pub(super) fn is_weighted(&self) -> bool {
        self.plan.spec.weighted
    }

    pub(super) fn solve(&mut self, theta: &Parameters, x0: ArrayView2<'_, f32>) -> Result<Solution> {
        let start = self.begin();
        self.check_range(&x0)?;
        self.upload(theta, None, x0)?;
        self.walk(Observe::Save)?;
        let mut report = self.report(start)?;
        let states = self.states(&report)?;
        let cost = self.cost(&report, squares(theta), false)?;
        report.seconds = start.elapsed().as_secs_f64();
        Ok(Solution { states, cost, report })
    }

    /// A gradient; that no trajectory is left is for the caller to judge.
    pub(super) fn gradient(
        &mut self,
        theta: &Parameters,
        x0: ArrayView2<'_, f32>,
        seed: &Seed<'_>,
        elsewhere: Elsewhere,
    ) -> Result<Gradient> {
        let start = self.begin();
        if self.elsewhere != elsewhere {
            self.programs.loss = self.plan.loss(elsewhere)?;
            self.elsewhere = elsewhere;
        }
        self.check_range(&x0)?;
        self.upload(theta, Some(seed), x0)?;
        self.checked_pass(seed, false)?;
        let mut status = self.status()?;
        // A trajectory that failed on the way back has already added to the sums: once more without it.
        while status.iter().any(|s| matches!(s, TrajectoryStatus::ReverseNonFinite { .. })) {
            let before = status.iter().filter(|s| s.is_ok()).count();
            self.checked_pass(seed, true)?;
            status = self.status()?;
            if status.iter().filter(|s| s.is_ok()).count() == before {
                break;
            }
        }
        let report = self.report(start)?;
        let mut gradient = self.collect(seed, squares(theta), report)?;
        gradient.report.seconds = start.elapsed().as_secs_f64();
        Ok(gradient)
    }

    /// Begins a call.
    fn begin(&mut self) -> Instant {
        self.done = Done::default();
        Instant::now()
    }

    /// A pass whose words have come back; if those of the fused kernel have not, by separate kernels.
    fn checked_pass(&mut self, seed: &Seed<'_>, keep_status: bool) -> Result<()> {
        self.pass(seed, keep_status)?;
        match self.check_words() {
            Err(Error::NotReversed { .. }) if self.unfuse()? => {
                self.pass(seed, keep_status)?;
                self.check_words()
            }
            other => other,
        }
    }

    /// Forward, loss and reverse. With `keep_status` the trajectories that failed before take no part.
    fn pass(&mut self, seed: &Seed<'_>, keep_status: bool) -> Result<()> {
        let stride = self.plan.shape.stride;
        let observe = match seed {
            Seed::Targets(observations) => {
                let (times, values) = (observations.targets.shape()[0], self.plan.shape.state_values());
                let targets = |time, out: &mut Vec<f32>| observations.device_targets(time, stride, out);
                self.arena.upload_blocks(Slot::Targets, times, values, targets)?;
                if self.is_weighted() {
                    let weights = |time, out: &mut Vec<f32>| observations.device_weights(time, stride, out);
                    self.arena.upload_blocks(Slot::Weighting, times, values, weights)?;
                }
                Observe::Save
            }
            Seed::Cotangents(values) => {
                let make = |time, out: &mut Vec<f32>| to_device(values.index_axis(Axis(0), time), stride, out);
                let state = self.plan.shape.state_values();
                self.arena.upload_blocks(self.plan.seen(), values.shape()[0], state, make)?;
                // No loss gives the share of the running costs; every trajectory counts.
                let mut values = [0.0_f32; summary::LEN];
                values[summary::COST_SCALE] = 1.0;
                self.arena.upload(Slot::Summary, &values)?;
                Observe::Cotangents
            }
        };
        if keep_status {
            self.run(&[Part::StartAgain, Part::Forward(observe)])?;
        } else {
            self.walk(observe)?;
        }
        match seed {
            Seed::Targets(_) => self.run(&[Part::Loss, Part::Reverse]),
            Seed::Cotangents(_) => self.run(&[Part::Reverse]),
        }
    }

    /// The way there. In fixed point once more for as long as a trajectory has moved one of its binary points: those that
    /// have not keep their bits, so that no trajectory feels another.
    fn walk(&mut self, observe: Observe) -> Result<()> {
        self.moved = Moved::default();
        let fixed = self.plan.spec.arithmetic != Arithmetic::Float;
        if fixed {
            self.ask_for_points()?;
        }
        self.run(&[Part::Pack, Part::Start, Part::Forward(observe)])?;
        let mut before = Vec::new();
        for _ in 0..MOST_WALKS {
            let words = if fixed { self.status_words()? } else { Vec::new() };
            if !self.moved.note(&words, &before, self.plan.spec.coarse) {
                break;
            }
            before = words;
            self.run(&[Part::Start, Part::Forward(observe)])?;
        }
        Ok(())
    }

    /// The binary points that were given, or none.
    fn ask_for_points(&self) -> Result<()> {
        let bits = self.plan.spec.options.fraction_bits;
        #[expect(clippy::cast_possible_wrap, reason = "a number of bits")]
        let point = bits.map_or(0, |bits| asked(bits as i32));
        #[expect(clippy::cast_possible_truncation, reason = "a length of memory")]
        let mut points = vec![point; self.plan.shape.state_values() as usize];
        points.resize(points.len() + self.plan.spec.field.dim(), 0);
        self.arena.upload(Slot::AskedPoints, &points)
    }

    /// The acceptance test of bit-exact walks: every word is back.
    fn check_words(&self) -> Result<()> {
        if self.plan.spec.arithmetic == Arithmetic::Float || !self.plan.spec.wrt.reverses() {
            return Ok(());
        }
        let summary: Vec<f32> = read(&self.arena, Slot::Summary, summary::LEN as u64)?;
        let words = summary[summary::DIFFERING];
        if words == 0.0 {
            return Ok(());
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
        Err(Error::NotReversed { words: words as u64, adapter: self.gpu.adapter().to_owned() })
    }

    /// Goes back to separate kernels if the fused one was used: the self-test had not met what the problem has.
    ///
    /// True if the run is to be done again.
    fn unfuse(&mut self) -> Result<bool> {
        let Some(kernels) = self.plan.fused_kernels().filter(|_| self.plan.is_fused()) else { return Ok(false) };
        tracing::warn!("the fused kernel does not repeat the bits of the way there: walking back in its own kernel");
        self.gpu.set_repeats(kernels, false);
        self.plan.set_fused(false);
        self.programs = Programs::new(&self.plan, self.elsewhere)?;
        Ok(true)
    }

    fn upload(&mut self, theta: &Parameters, seed: Option<&Seed<'_>>, x0: ArrayView2<'_, f32>) -> Result<()> {
        let mut parameters = theta.as_slice().to_vec();
        if let Some(Seed::Targets(observations)) = seed {
            parameters.extend(observations.log_scale);
        }
        self.arena.upload(Slot::Theta, &parameters)?;
        let mut values = Vec::with_capacity(x0.ncols() * self.plan.shape.stride as usize);
        to_device(x0, self.plan.shape.stride, &mut values);
        self.arena.upload(Slot::Initial, &values)
    }

    /// Runs parts of a pass.
    fn run(&mut self, parts: &[Part]) -> Result<()> {
        for part in parts {
            if let Part::Forward(observe) = *part
                && self.programs.forward.as_ref().is_none_or(|(planned, _)| *planned != observe)
            {
                self.programs.forward = Some((observe, self.plan.forward(observe)?));
            }
        }
        let programs: Vec<&Program> = parts.iter().filter_map(|part| self.programs.of(*part)).collect();
        for program in &programs {
            self.done.work += self.plan.work(program);
            self.done.dispatches += program.dispatches();
        }
        if !self.profile {
            return execute(&mut self.arena, &self.plan, &programs);
        }
        if let Some(times) = execute_profiled(&mut self.arena, &self.plan, &programs)? {
            add(self.done.times.get_or_insert_default(), &times);
        }
        Ok(())
    }

    fn status_words(&self) -> Result<Vec<u32>> {
        read(&self.arena, Slot::Status, self.batch() as u64)
    }

    fn status(&self) -> Result<Vec<TrajectoryStatus>> {
        let spec = &self.plan.spec;
        let step = |entry| step_of(entry, spec.method, &spec.grid, spec.contraction);
        Ok(read_status(&self.status_words()?, &spec.grid, step))
    }

    /// The report of a call, with what it has made the device do.
    fn report(&mut self, start: Instant) -> Result<Report> {
        let status = self.status()?;
        let Done { dispatches, work, times } = std::mem::take(&mut self.done);
        let spec = &self.plan.spec;
        let mut report = Report {
            copy_difference: self.copy_difference(&status)?,
            fraction_bits: self.fraction_bits(&status)?,
            error_estimate: self.error_estimate(&status)?,
            status,
            steps: spec.grid.steps(),
            field_evaluations: self.plan.evaluations(),
            memory: self.plan.memory.clone(),
            allocated_bytes: self.arena.bytes(),
            dispatches,
            flops: work.flops,
            bytes_moved: work.bytes,
            kernels: times,
            seconds: start.elapsed().as_secs_f64(),
            adjoint: spec.adjoint,
            anchors: self.plan.anchors(),
            warnings: Vec::new(),
        };
        report.warnings.extend(self.moved.warning());
        report.warnings.extend(report.copy_difference.filter(|d| *d > APART).map(|d| self.parted(d)));
        report.warnings.extend(self.large_estimate(&report));
        report.warnings.extend(self.lost_increments(&report.status)?);
        Ok(report)
    }

    /// The warning about copies that part.
    fn parted(&self, difference: f32) -> Warning {
        let spec = &self.plan.spec;
        // More words help where fewer bits than can be are dropped after each step, and the adjoint has a log.
        let most = spec.contraction.is_some_and(|c| c.bits == Contraction::MOST_BITS);
        let kicks = spec.method.pair().is_some_and(|p| p.is_additive());
        let possible = kicks
            && match spec.adjoint {
                Some(adjoint) => adjoint != Adjoint::Reversible,
                // A solve does not know of floats whether their adjoint has a log.
                None => spec.arithmetic != Arithmetic::Float,
            };
        let words = spec.options.log_words.unwrap_or(if spec.contraction.is_some() { DEFAULT_LOG_WORDS } else { 0 });
        Warning::CopiesParted { difference, limit: APART, log_words: (possible && !most).then_some(words) }
    }

    /// The binary points of the trajectories that went well.
    fn fraction_bits(&self, status: &[TrajectoryStatus]) -> Result<Option<FractionBits>> {
        if self.plan.spec.arithmetic == Arithmetic::Float {
            return Ok(None);
        }
        let shape = &self.plan.shape;
        let words: Vec<i32> = read(&self.arena, Slot::State, shape.state_buffer_values())?;
        #[expect(clippy::cast_possible_truncation, reason = "a length of memory")]
        let points =
            words[shape.kept_values() as usize..].chunks(shape.stride as usize).take(self.plan.spec.field.dim());
        let well = points.flat_map(|row| row.iter().zip(status).filter(|(_, s)| s.is_ok()).map(|(p, _)| *p));
        Ok(well.fold(None, |found: Option<FractionBits>, p| {
            let FractionBits { min, max } = found.unwrap_or(FractionBits { min: p, max: p });
            Some(FractionBits { min: min.min(p), max: max.max(p) })
        }))
    }

    /// The largest distance of the copies over the trajectories that went well.
    fn copy_difference(&self, status: &[TrajectoryStatus]) -> Result<Option<f32>> {
        let measured = self.plan.spec.method.pair().is_some_and(|p| p.has_copies());
        if !measured {
            return Ok(None);
        }
        let spread: Vec<f32> = read(&self.arena, Slot::Measures, self.batch() as u64)?;
        let well = spread.iter().zip(status).filter(|(_, s)| **s == TrajectoryStatus::Ok);
        Ok(Some(well.fold(0.0, |m, (d, _)| m.max(*d))))
    }
}

/// ‖θ‖².
fn squares(theta: &Parameters) -> f64 {
    theta.as_slice().iter().map(|v| f64::from(*v).powi(2)).sum()
}
