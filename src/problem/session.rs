//! The buffers and programs of one problem at one batch size, kept between calls.

use std::time::Instant;

use ndarray::{ArrayView2, ArrayView3};

use super::arrays::to_device;
use super::fuse_if_exact;
use super::observations::Observations;
use super::outcome::{Gradient, Report, Solution, TrajectoryStatus, Warning, read_status};
use super::reference::{device_reference, reference_of};
use crate::error::{Error, Result};
use crate::gpu::{Arena, Gpu, KernelTime, add, execute, execute_profiled, read};
use crate::model::Parameters;
use crate::plan::{Arithmetic, Observe, Plan, Program, Slot, Spec, Work, step_of, summary};
use crate::solver::{Adjoint, Contraction, DEFAULT_LOG_WORDS, FRACTION_BITS, WIDER, range};

/// The copies of a pair may be this far apart before there is a warning.
const PARTED: f32 = 1e-2;

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
}

/// What a call has made the device do so far.
#[derive(Debug, Default)]
struct Done {
    dispatches: usize,
    work: Work,
    times: Option<Vec<KernelTime>>,
}

/// The parts of a pass, planned once.
#[derive(Debug, Default)]
struct Programs {
    pack: Program,
    start: Program,
    start_again: Program,
    /// The last kind of forward pass, and its work.
    forward: Option<(Observe, Program, Work)>,
    loss: Program,
    /// Reverse pass and certificate.
    reverse: Program,
    /// Of the other programs, without the loss and with it.
    work: [Work; 2],
}

impl Programs {
    fn new(plan: &Plan) -> Result<Self> {
        let mut programs =
            Self { pack: plan.pack()?, start: plan.start(false), start_again: plan.start(true), ..Self::default() };
        if plan.spec.adjoint.is_some() {
            programs.loss = plan.loss()?;
            programs.reverse = plan.reverse()?;
            programs.reverse.extend(plan.certificate()?);
            programs.reverse.extend(plan.cost_parameters()?);
        }
        let mut work = Work::default();
        for program in [&programs.pack, &programs.start, &programs.reverse] {
            work += plan.work(program);
        }
        programs.work = [work; 2];
        programs.work[1] += plan.work(&programs.loss);
        Ok(programs)
    }
}

impl Session {
    pub(super) fn new(gpu: &Gpu, spec: Spec) -> Result<Self> {
        let mut plan = Plan::new(spec, gpu.caps())?;
        fuse_if_exact(gpu, &mut plan)?;
        let arena = Arena::for_plan(gpu, &plan)?;
        if let Some(reference) = plan.spec.cost.as_deref().and_then(reference_of) {
            arena.upload(Slot::Reference, &device_reference(reference, &plan))?;
        }
        let programs = Programs::new(&plan)?;
        Ok(Self { gpu: gpu.clone(), plan, arena, programs, profile: false, done: Done::default() })
    }

    /// Puts the binary point where the data ask for it; floats have none.
    fn fit_range(&mut self, x0: &ArrayView2<'_, f32>, seed: Option<&Seed<'_>>) -> Result<()> {
        let largest = |values: &mut dyn Iterator<Item = &f32>| values.fold(0.0_f32, |m, v| m.max(v.abs()));
        let targets = match seed {
            Some(Seed::Targets(observations)) => observations.largest(),
            _ => 0.0,
        };
        match self.plan.spec.arithmetic {
            Arithmetic::Float => Ok(()),
            Arithmetic::Fixed { .. } => {
                let options = self.plan.spec.options;
                let states = largest(&mut x0.iter());
                if options.fraction_bits.is_some() {
                    return self.set_fraction_bits(options.fraction_bits_for(states.max(targets))?);
                }
                let bits = options.fraction_bits_for(states)?;
                // Targets ask for room, but no state need come near them.
                let room = options.fraction_bits_for(targets).unwrap_or(*FRACTION_BITS.start());
                self.set_fraction_bits(bits.min(room))
            }
        }
    }

    fn set_fraction_bits(&mut self, bits: u32) -> Result<()> {
        if self.plan.spec.arithmetic.fraction_bits() != bits {
            self.plan.set_fraction_bits(bits);
            self.programs = Programs::new(&self.plan)?;
        }
        Ok(())
    }

    /// Widens the range of fixed point if a trajectory has left it.
    ///
    /// True if the run is to be done again.
    fn widen(&mut self, report: &mut Report, widened: bool) -> Result<bool> {
        let place = report.status.iter().position(|s| matches!(s, TrajectoryStatus::OutOfRange { .. }));
        let Some(trajectory) = place else { return Ok(false) };
        let bits = self.plan.spec.arithmetic.fraction_bits();
        let wider = bits.saturating_sub(WIDER).max(*FRACTION_BITS.start());
        if !widened && wider < bits {
            self.set_fraction_bits(wider)?;
            return Ok(true);
        }
        let time = match report.status[trajectory] {
            TrajectoryStatus::OutOfRange { time, .. } => time,
            _ => f64::NAN,
        };
        let others = report.out_of_range() - 1;
        Err(Error::OutOfRange { trajectory, time, range: range(bits), others })
    }

    pub(super) fn batch(&self) -> usize {
        self.plan.spec.batch
    }

    pub(super) fn is_weighted(&self) -> bool {
        self.plan.spec.weighted
    }

    pub(super) fn solve(&mut self, theta: &Parameters, x0: ArrayView2<'_, f32>) -> Result<Solution> {
        let start = self.begin();
        self.fit_range(&x0, None)?;
        self.upload(theta, None, x0)?;
        self.run(Observe::Save, false)?;
        let mut report = self.report(start)?;
        if self.widen(&mut report, false)? {
            self.run(Observe::Save, false)?;
            report = self.report(start)?;
            self.widen(&mut report, true)?;
            self.warn(&mut report, Warning::Widened { fraction_bits: self.plan.spec.arithmetic.fraction_bits() });
        }
        let mut report = self.told(report);
        let states = self.at_saves(self.plan.seen())?;
        let cost = self.cost(&report, squares(theta), false)?;
        report.seconds = start.elapsed().as_secs_f64();
        Ok(Solution { states, cost, report })
    }

    pub(super) fn gradient(&mut self, theta: &Parameters, x0: ArrayView2<'_, f32>, seed: Seed<'_>) -> Result<Gradient> {
        let start = self.begin();
        self.fit_range(&x0, Some(&seed))?;
        self.upload(theta, Some(&seed), x0)?;
        // Words that do not come back say more than a range that was left.
        self.checked_pass(&seed, false)?;
        let mut report = self.report(start)?;
        if self.widen(&mut report, false)? {
            self.checked_pass(&seed, false)?;
            report = self.report(start)?;
            self.widen(&mut report, true)?;
            self.warn(&mut report, Warning::Widened { fraction_bits: self.plan.spec.arithmetic.fraction_bits() });
        }
        // A trajectory that failed on the way back has already added to the sums: once more without it.
        while report.status.iter().any(|s| matches!(s, TrajectoryStatus::ReverseNonFinite { .. })) {
            let before = report.ok();
            self.checked_pass(&seed, true)?;
            report = Report { warnings: report.warnings, ..self.report(start)? };
            if report.ok() == before {
                break;
            }
        }
        let report = self.told(report);
        let mut gradient = self.collect(&seed, squares(theta), report)?;
        gradient.report.seconds = start.elapsed().as_secs_f64();
        Ok(gradient)
    }

    /// Begins a call.
    fn begin(&mut self) -> Instant {
        self.done = Done::default();
        Instant::now()
    }

    /// The report with what the call has made the device do.
    fn told(&mut self, report: Report) -> Report {
        let Done { dispatches, work, times } = std::mem::take(&mut self.done);
        Report { dispatches, flops: work.flops, bytes_moved: work.bytes, kernels: times, ..report }
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
                self.arena.upload(Slot::Targets, &observations.device_targets(stride))?;
                if self.is_weighted() {
                    self.arena.upload(Slot::Weighting, &observations.device_weights(stride))?;
                }
                Observe::Loss
            }
            Seed::Cotangents(values) => {
                let mut device = Vec::new();
                for state in values.outer_iter() {
                    to_device(state, stride, &mut device);
                }
                self.arena.upload(self.plan.seen(), &device)?;
                // No loss gives the share of the running costs; every trajectory counts.
                let mut values = [0.0_f32; summary::LEN];
                values[summary::COST_SCALE] = 1.0;
                self.arena.upload(Slot::Summary, &values)?;
                Observe::Cotangents
            }
        };
        self.run(observe, keep_status)
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
        self.programs = Programs::new(&self.plan)?;
        Ok(true)
    }

    fn warn(&self, report: &mut Report, warning: Warning) {
        tracing::warn!("{warning}");
        report.warnings.push(warning);
    }

    fn upload(&mut self, theta: &Parameters, seed: Option<&Seed<'_>>, x0: ArrayView2<'_, f32>) -> Result<()> {
        let mut parameters = theta.as_slice().to_vec();
        if let Some(Seed::Targets(observations)) = seed {
            parameters.extend(observations.log_scale);
        }
        self.arena.upload(Slot::Theta, &parameters)?;
        let mut values = Vec::new();
        to_device(x0, self.plan.shape.stride, &mut values);
        self.arena.upload(Slot::Initial, &values)
    }

    /// Runs what `observe` asks for.
    fn run(&mut self, observe: Observe, keep_status: bool) -> Result<()> {
        if self.programs.forward.as_ref().is_none_or(|(planned, ..)| *planned != observe) {
            let forward = self.plan.forward(observe)?;
            let work = self.plan.work(&forward);
            self.programs.forward = Some((observe, forward, work));
        }
        let Programs { pack, start, start_again, forward, loss, reverse, work } = &self.programs;
        let mut programs = vec![pack, if keep_status { start_again } else { start }];
        if let Some((_, program, work)) = forward {
            programs.push(program);
            self.done.work += *work;
        }
        let with_loss = observe == Observe::Loss;
        if with_loss {
            programs.push(loss);
        }
        programs.push(reverse);
        self.done.work += work[usize::from(with_loss)];
        self.done.dispatches += programs.iter().map(|p| p.dispatches()).sum::<usize>();
        if !self.profile {
            return execute(&mut self.arena, &self.plan, &programs);
        }
        if let Some(times) = execute_profiled(&mut self.arena, &self.plan, &programs)? {
            add(self.done.times.get_or_insert_default(), &times);
        }
        Ok(())
    }

    /// The report of the last run, but for what [`Self::told`] adds.
    fn report(&self, start: Instant) -> Result<Report> {
        let spec = &self.plan.spec;
        let words: Vec<u32> = read(&self.arena, Slot::Status, self.batch() as u64)?;
        let status = read_status(&words, &spec.grid, |entry| step_of(entry, spec.method, &spec.grid, spec.contraction));
        let mut report = Report {
            copy_difference: self.copy_difference(&status)?,
            status,
            steps: spec.grid.steps(),
            field_evaluations: self.plan.evaluations(),
            memory: self.plan.memory.clone(),
            allocated_bytes: self.arena.bytes(),
            dispatches: 0,
            flops: 0,
            bytes_moved: 0,
            kernels: None,
            seconds: start.elapsed().as_secs_f64(),
            adjoint: spec.adjoint,
            anchors: self.plan.anchors(),
            fraction_bits: match spec.arithmetic {
                Arithmetic::Float => None,
                Arithmetic::Fixed { fraction_bits, .. } => Some(fraction_bits),
            },
            warnings: Vec::new(),
        };
        if let Some(difference) = report.copy_difference.filter(|d| *d > PARTED) {
            // More words help where fewer bits than can be are dropped after each step, and the adjoint has a log.
            let most = spec.contraction.is_some_and(|c| c.bits == Contraction::MOST_BITS);
            let kicks = spec.method.pair().is_some_and(|p| p.is_additive());
            let possible = kicks
                && match spec.adjoint {
                    Some(adjoint) => adjoint != Adjoint::Reversible,
                    // A solve does not know of floats whether their adjoint has a log.
                    None => spec.arithmetic != Arithmetic::Float,
                };
            let words =
                spec.options.log_words.unwrap_or(if spec.contraction.is_some() { DEFAULT_LOG_WORDS } else { 0 });
            let log_words = (possible && !most).then_some(words);
            self.warn(&mut report, Warning::CopiesParted { difference, limit: PARTED, log_words });
        }
        if let Some(warning) = self.lost_increments(&report.status)? {
            self.warn(&mut report, warning);
        }
        Ok(report)
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
