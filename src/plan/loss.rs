//! The loss of the observations and the running cost: sums, means and what the adjoint starts from.

use super::Slot;
use super::call::{CostCall, CountCall, Elsewhere, LossCall, WeightCall};
use super::fold::fold;
use super::kernel::{Kernel, LossKernel, LossKind};
use super::program::{Binding, Program};
use super::reduce::{PARTIAL_RUN, reduce, reduce_norms};
use super::solve::{LOSS_COLUMNS, Plan, summary};
use super::word;
use crate::error::Result;
use crate::model::Loss;

/// A window of the observations.
struct Window {
    slot: u32,
    slots: u32,
}

impl Plan {
    /// Where the states at the save times are.
    pub(crate) fn seen(&self) -> Slot {
        if self.spec.grid.is_dense() { Slot::Outputs } else { Slot::Observed }
    }

    /// Loss and running cost, and cotangents in the place of the states at the save times.
    /// Means are over what takes part here and `elsewhere`.
    pub(crate) fn loss(&self, elsewhere: Elsewhere) -> Result<Program> {
        let mut program = self.loss_sums(self.shape.batch, elsewhere)?;
        self.loss_parameters(&mut program)?;
        if self.spec.wrt.reverses() || self.spec.wrt.targets {
            self.loss_cotangents(&mut program)?;
        }
        Ok(program)
    }

    /// Loss and running cost of the first `batch` trajectories, into the summary.
    pub(super) fn loss_sums(&self, batch: u32, elsewhere: Elsewhere) -> Result<Program> {
        let mut program = Program::default();
        self.loss_limits(&mut program, batch)?;
        let mut first_row = 0;
        for window in self.windows() {
            let (count, rows) = self.window_rows(&window, 1);
            let counts = u32::from(window.slot == 0);
            let call = LossCall { first_row, rows, counts, batch, ..self.loss_call(count)? };
            let seen = [self.seen(), Slot::Targets].map(|slot| self.observations(slot, &window));
            let mut bindings = seen.to_vec();
            bindings.extend([Slot::Status, Slot::Measures, Slot::Sums].map(Binding::from));
            let groups = fold(u64::from(rows), 64, &self.caps)?;
            program.dispatch(
                Kernel::LossPartials(self.loss_kernel()),
                self.weighed(bindings, &window),
                groups,
                &call,
                count,
            );
            first_row += rows;
        }
        let rows = u64::from(first_row);
        reduce(&mut program, &self.caps, Slot::Sums, rows, LOSS_COLUMNS, 0, Slot::Summary, summary::SUMS)?;
        program.dispatch(Kernel::LossFinish, vec![Slot::Summary.into()], [1, 1], &elsewhere, 1);
        Ok(program)
    }

    /// Takes trajectories out whose terms the sums could not hold.
    fn loss_limits(&self, program: &mut Program, batch: u32) -> Result<()> {
        for window in self.windows() {
            let (count, _) = self.window_rows(&window, 1);
            let mut bindings = [self.seen(), Slot::Targets].map(|slot| self.observations(slot, &window)).to_vec();
            bindings.push(Slot::Status.into());
            let kernel = Kernel::LossLimits(self.loss_kernel());
            let groups = fold(count, 64, &self.caps)?;
            let call = LossCall { batch, ..self.loss_call(count)? };
            program.dispatch(kernel, self.weighed(bindings, &window), groups, &call, count);
        }
        Ok(())
    }

    fn loss_cotangents(&self, program: &mut Program) -> Result<()> {
        for window in self.windows() {
            let (count, _) = self.window_rows(&window, 1);
            let mut bindings = [self.seen(), Slot::Targets].map(|slot| self.observations(slot, &window)).to_vec();
            bindings.extend([Slot::Status, Slot::Summary].map(Binding::from));
            let kernel = Kernel::LossCotangents(self.loss_kernel());
            let groups = fold(count, 64, &self.caps)?;
            program.dispatch(kernel, self.weighed(bindings, &window), groups, &self.loss_call(count)?, count);
        }
        Ok(())
    }

    /// The gradient with respect to the parameters of the loss, behind that with respect to θ.
    fn loss_parameters(&self, program: &mut Program) -> Result<()> {
        if !self.spec.wrt.loss || self.shape.loss_parameters == 0 {
            return Ok(());
        }
        let mut first_row = 0;
        for window in self.windows() {
            let (count, rows) = self.window_rows(&window, self.shape.dim);
            let call = LossCall { first_row, rows, ..self.loss_call(count)? };
            let mut bindings = [self.seen(), Slot::Targets].map(|slot| self.observations(slot, &window)).to_vec();
            bindings.extend([Slot::Status, Slot::Summary, Slot::Sums].map(Binding::from));
            let kernel = Kernel::LossParameters(self.loss_kernel());
            let groups = fold(u64::from(rows) * self.shape.dim, 64, &self.caps)?;
            program.dispatch(kernel, self.weighed(bindings, &window), groups, &call, count);
            first_row += rows;
        }
        let (rows, parameters) = (u64::from(first_row), self.shape.parameters);
        reduce(program, &self.caps, Slot::Sums, rows, self.shape.dim, 0, Slot::Gradient, parameters)
    }

    /// Where the adjoint of the running cost starts.
    pub(super) fn cost_adjoint(&self, program: &mut Program) -> Result<()> {
        if !self.shape.terms.pay() {
            return Ok(());
        }
        let at = word(self.shape.adjoint_values(), "values of the adjoint")?;
        let call = CostCall { at, count: self.shape.stride };
        let bindings = [Slot::Summary, Slot::Adjoint].map(Binding::from).to_vec();
        let groups = fold(self.shape.stride.into(), 64, &self.caps)?;
        program.dispatch(Kernel::CostAdjoint, bindings, groups, &call, 1);
        Ok(())
    }

    /// The part of the gradient that the term ‖θ‖² of the running cost has, once it is known how many trajectories are left.
    pub(crate) fn cost_parameters(&self) -> Result<Program> {
        let mut program = Program::default();
        let weight = self.spec.cost.as_ref().map_or(0.0, |c| c.parameters_weight());
        if weight == 0.0 || !self.spec.wrt.theta {
            return Ok(program);
        }
        #[expect(clippy::cast_possible_truncation, reason = "rounded once for the device")]
        let factor = (2.0 * weight * (self.spec.grid.t1() - self.spec.grid.t0())) as f32;
        let call = WeightCall { count: self.shape.parameters, factor };
        let bindings = [Slot::Theta, Slot::Summary, Slot::Gradient].map(Binding::from).to_vec();
        let count = u64::from(self.shape.parameters);
        program.dispatch(Kernel::CostParameters, bindings, fold(count, 64, &self.caps)?, &call, count);
        Ok(program)
    }

    /// The norm of `count` values of a buffer, as exponent and sum at `into` in the summary.
    pub(crate) fn norm(&self, slot: Slot, count: u32, into: u32) -> Result<Program> {
        let mut program = Program::default();
        let rows = u64::from(count).div_ceil(PARTIAL_RUN);
        let bindings = [slot, Slot::Sums].map(Binding::from).to_vec();
        let groups = fold(rows, 64, &self.caps)?;
        program.dispatch(Kernel::NormPartials, bindings, groups, &CountCall { count }, count.into());
        reduce_norms(&mut program, &self.caps, rows, into)?;
        Ok(program)
    }

    fn loss_kernel(&self) -> LossKernel {
        LossKernel { kind: self.spec.loss.into(), weighted: self.spec.weighted }
    }

    /// The windows in which the observations are seen.
    fn windows(&self) -> impl Iterator<Item = Window> {
        let (size, end) = (self.shape.loss_window, self.shape.observations);
        (0..end.div_ceil(size)).map(move |i| Window { slot: i * size, slots: size.min(end - i * size) })
    }

    /// Elements of a window, and rows of partials over runs of them in each of `parts`.
    fn window_rows(&self, window: &Window, parts: u64) -> (u64, u32) {
        let count = u64::from(window.slots) * self.shape.state_values();
        (count, u32::try_from((count / parts).div_ceil(PARTIAL_RUN)).unwrap_or(u32::MAX))
    }

    fn loss_call(&self, count: u64) -> Result<LossCall> {
        Ok(LossCall {
            count: word(count, "observations of one binding")?,
            stride: self.shape.stride,
            dim: word(self.shape.dim, "components")?,
            batch: self.shape.batch,
            parameters: self.shape.parameters,
            delta: match self.spec.loss {
                Loss::Huber { delta } => delta,
                _ => 0.0,
            },
            most: self.largest_term(),
            ..LossCall::default()
        })
    }

    /// The largest term whose sum over all observations is a number, with as much again to spare for every rounding.
    #[expect(clippy::cast_precision_loss, reason = "a count in a bound")]
    fn largest_term(&self) -> f32 {
        f32::MAX / (4.0 * (u64::from(self.shape.observations) * self.shape.state_values()) as f32)
    }

    /// The bindings of a loss kernel with those that its variant adds.
    fn weighed(&self, mut bindings: Vec<Binding>, window: &Window) -> Vec<Binding> {
        if self.spec.weighted {
            bindings.push(self.observations(Slot::Weighting, window));
        }
        if self.loss_kernel().kind == LossKind::Gaussian {
            bindings.push(Slot::Theta.into());
        }
        bindings
    }

    fn observations(&self, slot: Slot, window: &Window) -> Binding {
        let bytes = self.shape.state_bytes();
        Binding { slot, offset: u64::from(window.slot) * bytes, bytes: Some(u64::from(window.slots) * bytes) }
    }
}
