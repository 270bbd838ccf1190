//! The program of one training iteration: draw, forward, loss, reverse, update. Nothing comes back to the host inside.

use super::budget::{Wish, choose};
use super::buffers::{MemoryPlan, Slot};
use super::call::{Elsewhere, GatherCall, OptimizerCall};
use super::caps::Caps;
use super::fold::fold;
use super::kernel::{Kernel, Rule};
use super::limits::{Unit, limit};
use super::memory::check_memory;
use super::program::{Binding, Program};
use super::shape::Shape;
use super::solve::{Observe, Plan, summary};
use super::spec::Spec;
use super::word;
use crate::error::Result;

/// Iterations whose summaries the device keeps until the host has read them.
pub(crate) const HISTORY: u64 = 1024;

/// The data set that minibatches are drawn from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DataShape {
    pub series: usize,
    /// Points per series.
    pub times: usize,
    /// Points per sample.
    pub window: usize,
}

impl DataShape {
    /// Windows that follow each other in a series, the last of them to its end: they see every point after the first.
    pub(crate) fn cuts(&self) -> u64 {
        (self.times as u64 - 1).div_ceil(self.window as u64 - 1)
    }

    /// Those of all series.
    pub(crate) fn windows(&self) -> u64 {
        self.series as u64 * self.cuts()
    }
}

/// Numbers of one iteration that the host computes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Iteration {
    pub number: u64,
    pub update: OptimizerCall,
}

/// A planned training run.
#[derive(Clone, Debug)]
pub(crate) struct TrainPlan {
    pub pass: Plan,
    pub data: DataShape,
    seed: u32,
    rule: Rule,
    caps: Caps,
    /// What does not change between iterations.
    body: Program,
}

impl TrainPlan {
    /// Plans a run; a memory budget may choose the adjoint.
    pub(crate) fn new(spec: Spec, wish: Wish, data: DataShape, seed: u32, rule: Rule, caps: &Caps) -> Result<Self> {
        let parameters = (spec.field.parameter_count() + spec.loss.parameter_count(spec.field.dim())) as u64;
        let values = data.series as u64 * data.times as u64 * spec.field.dim() as u64;
        let mut beside = MemoryPlan::default();
        beside.add(Slot::Data, values);
        beside.add(Slot::Moment, parameters);
        if rule == Rule::Adam {
            beside.add(Slot::SecondMoment, parameters);
        }
        beside.add(Slot::History, HISTORY * summary::LEN as u64);
        let spec = choose(spec, Wish { beside: beside.total_bytes(), ..wish }, caps)?;
        let mut pass = Plan::new(spec, caps)?;
        let data_bytes = values * 4;
        limit(
            caps,
            "the data set [series, time, dim]",
            data_bytes,
            caps.max_binding,
            Unit::Bytes,
            "use a part of the data",
        )?;
        let targets = u64::from(pass.shape.observations) * pass.shape.state_bytes();
        limit(
            caps,
            "the targets of a minibatch [time, dim, batch]",
            targets,
            caps.max_binding,
            Unit::Bytes,
            "use a smaller batch or window",
        )?;
        pass.memory.extend(&beside);
        check_memory(&pass.memory, caps)?;
        let mut plan = Self { pass, data, seed, rule, caps: caps.clone(), body: Program::default() };
        plan.plan_body()?;
        Ok(plan)
    }

    fn plan_body(&mut self) -> Result<()> {
        let pass = &self.pass;
        let mut body = pass.pack()?;
        body.extend(pass.start(false));
        body.extend(pass.forward(Observe::Save)?);
        pass.share_points(&mut body)?;
        body.extend(pass.loss(Elsewhere::default())?);
        body.extend(pass.reverse()?);
        body.extend(pass.certificate()?);
        body.extend(pass.cost_parameters()?);
        // For clipping, and to see whether it is finite.
        body.extend(pass.norm(Slot::Gradient, self.learnt(), summary::NORM)?);
        if pass.spec.cost.as_ref().is_some_and(|c| c.parameters_weight() > 0.0) {
            body.extend(pass.norm(Slot::Theta, pass.shape.parameters, summary::THETA)?);
        }
        self.body = body;
        Ok(())
    }

    /// Changes the pass and plans again what follows from it. Buffers keep their sizes.
    pub(crate) fn replan(&mut self, change: impl FnOnce(&mut Plan)) -> Result<()> {
        change(&mut self.pass);
        self.plan_body()
    }

    /// Draw, pass and update of the same iteration, to be run in this order: only the first and last are made anew.
    pub(crate) fn body(&self) -> &Program {
        &self.body
    }

    /// The update, and the summary's way into the history.
    pub(crate) fn update(&self, iteration: Iteration) -> Result<Program> {
        let mut program = Program::default();
        let parameters = u64::from(self.learnt());
        let mut bindings = [Slot::Theta, Slot::Gradient, Slot::Summary, Slot::Moment].map(Binding::from).to_vec();
        if self.rule == Rule::Adam {
            bindings.push(Slot::SecondMoment.into());
        }
        let groups = fold(parameters, 64, &self.caps)?;
        for kernel in [Kernel::Foresee(self.rule), Kernel::Update(self.rule)] {
            program.dispatch(kernel, bindings.clone(), groups, &iteration.update, 8 * parameters);
        }
        let bytes = summary::LEN as u64 * 4;
        let offset = iteration.number % HISTORY * bytes;
        program.copy((Slot::Summary, 0), (Slot::History, offset), bytes);
        Ok(program)
    }

    /// Draws the minibatch: initial states and targets.
    pub(crate) fn gather(&self, iteration: u64) -> Result<Program> {
        // A counter that wraps after 2^32 iterations.
        let iteration = word(iteration & u64::from(u32::MAX), "iterations")?;
        self.take(GatherCall { iteration, ordered: u32::from(self.in_order()), ..GatherCall::default() })
    }

    /// The loss of windows of the data, into the summary: so many from the first on, at most as many as a batch has.
    pub(crate) fn evaluation(&self, first: u64, count: u64) -> Result<Program> {
        let ordered = word(self.data.cuts(), "windows of a series")?;
        let first = word(first, "windows")?;
        let mut program = self.take(GatherCall { ordered, first, ..GatherCall::default() })?;
        program.extend(self.pass.pack()?);
        program.extend(self.pass.start(false));
        program.extend(self.pass.forward(Observe::Save)?);
        program.extend(self.pass.loss_sums(word(count, "windows of a batch")?, Elsewhere::default())?);
        Ok(program)
    }

    fn take(&self, call: GatherCall) -> Result<Program> {
        let DataShape { series, times, window } = self.data;
        let shape = &self.pass.shape;
        let call = GatherCall {
            seed: self.seed,
            batch: shape.batch,
            stride: shape.stride,
            dim: word(shape.dim, "components")?,
            series: word(series as u64, "series")?,
            times: word(times as u64, "points")?,
            window: word(window as u64, "points")?,
            ..call
        };
        let mut bindings = [Slot::Data, Slot::Initial, Slot::Targets].map(Binding::from).to_vec();
        let missing = self.pass.spec.weighted;
        if missing {
            bindings.push(Slot::Weighting.into());
        }
        let mut program = Program::default();
        let points = u64::from(shape.batch) * window as u64;
        word(points, "points of a minibatch")?;
        program.dispatch(
            Kernel::Gather { missing },
            bindings,
            fold(points, 64, &self.caps)?,
            &call,
            points * shape.dim,
        );
        Ok(program)
    }

    /// True if every iteration takes the whole data set, so that nothing is drawn.
    pub(crate) fn in_order(&self) -> bool {
        self.pass.shape.batch as usize == self.data.series && self.data.window == self.data.times
    }

    /// Values that the optimiser updates: the parameters of the field, and of the loss if they are learnt.
    pub(crate) fn learnt(&self) -> u32 {
        let Shape { parameters, loss_parameters, .. } = self.pass.shape;
        parameters + if self.pass.spec.wrt.loss { loss_parameters } else { 0 }
    }
}
