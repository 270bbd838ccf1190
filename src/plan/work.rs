//! What commands compute and move, counted from their shapes.

use bytemuck::Pod;

use super::arrangement::Family;
use super::call::{
    CertificateCall, CountCall, DriftCall, GatherCall, KEEP, LossCall, NO_SLOT, NormCall, OptimizerCall, OuterCall,
    PAY, ReduceCall, SAVE, StepCall, WeightCall,
};
use super::kernel::{Kernel, LossKernel, PairKernel, Rule, Sources, StepKernel, Words};
use super::program::{Command, Dispatch, Program};
use super::reduce::RUN;
use super::solve::Plan;
use crate::solver::Adjoint;

/// Bytes of a value.
const VALUE: u64 = 4;

/// Operations and traffic. A lower bound of what a device does: padding, activations and sums over partials cost no
/// operations here, and a value that a kernel needs twice is moved once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Work {
    /// Two per weight and trajectory for each evaluation of the field, as many for each product of a delta with the
    /// weights, and as many for each outer product of dJ/dθ.
    pub flops: u64,
    /// Read from buffers and written to them.
    pub bytes: u64,
}

impl std::ops::Add for Work {
    type Output = Self;

    fn add(mut self, other: Self) -> Self {
        self += other;
        self
    }
}

impl std::ops::AddAssign for Work {
    fn add_assign(&mut self, other: Self) {
        self.flops += other.flops;
        self.bytes += other.bytes;
    }
}

impl Plan {
    /// The work of all commands of a program.
    pub(crate) fn work(&self, program: &Program) -> Work {
        let mut work = Work::default();
        for command in &program.commands {
            work += match command {
                Command::Clear(slot) => Work { flops: 0, bytes: self.memory.bytes(*slot) },
                Command::Copy { bytes, .. } => Work { flops: 0, bytes: 2 * bytes },
                // The steps are uploaded, not moved by the device.
                Command::Window(_) => Work::default(),
                Command::Dispatch(dispatch) => self.dispatch_work(dispatch),
            };
        }
        work
    }

    /// The work of one kernel launch.
    pub(crate) fn dispatch_work(&self, dispatch: &Dispatch) -> Work {
        let moved = |values: u64| Work { flops: 0, bytes: values * VALUE };
        match &*dispatch.kernel {
            Kernel::StepForward(_) | Kernel::StepReverse(_) | Kernel::ContinuousReverse(_) => self.steps(dispatch),
            Kernel::PairWalk(_) | Kernel::PairReverse(_) => self.updates(dispatch),
            Kernel::PairStart(_) => self.starts(dispatch),
            Kernel::Dense(_) | Kernel::DenseReverse(_) => self.outputs(dispatch),
            Kernel::OuterProduct(_) => self.outer(dispatch),
            Kernel::PackWeights | Kernel::UnpackGradient => moved(3 * count(dispatch)),
            Kernel::TimeColumn => moved(3 * count(dispatch)),
            // Partials are added to totals and cleared.
            Kernel::Accumulate => moved(4 * count(dispatch)),
            Kernel::Reduce => {
                let ReduceCall { rows, columns, .. } = call(dispatch);
                moved((u64::from(rows) + u64::from(rows).div_ceil(RUN)) * u64::from(columns))
            }
            Kernel::LossPartials(kernel) | Kernel::LossParameters(kernel) => moved(seen(dispatch, kernel, 2)),
            Kernel::LossLimits(kernel) => moved(seen(dispatch, kernel, 2)),
            Kernel::LossCotangents(kernel) => moved(seen(dispatch, kernel, 3)),
            Kernel::LossFinish => Work::default(),
            Kernel::CostAdjoint => moved(self.shape.stride.into()),
            Kernel::CostParameters => moved(3 * u64::from(call::<WeightCall>(dispatch).count)),
            Kernel::NormPartials => moved(2 * count(dispatch)),
            Kernel::NormSums => moved(4 * u64::from(call::<NormCall>(dispatch).rows)),
            Kernel::Certificate | Kernel::CertificateFixed(_) => {
                let CertificateCall { dim, batch, copies, .. } = call(dispatch);
                // State, what it is compared with, status, distance.
                moved((u64::from(copies) * u64::from(dim) + u64::from(dim) + 2) * u64::from(batch))
            }
            Kernel::DriftPartials => moved(2 * u64::from(call::<DriftCall>(dispatch).count)),
            Kernel::PairFinish(_) => moved(3 * self.shape.dim * u64::from(self.shape.batch)),
            Kernel::SharePoints => moved(2 * self.shape.state_values()),
            Kernel::Foresee(Rule::Adam) => moved(4 * u64::from(call::<OptimizerCall>(dispatch).count)),
            Kernel::Foresee(Rule::Sgd) => moved(3 * u64::from(call::<OptimizerCall>(dispatch).count)),
            Kernel::Update(Rule::Adam) => moved(7 * u64::from(call::<OptimizerCall>(dispatch).count)),
            Kernel::Update(Rule::Sgd) => moved(5 * u64::from(call::<OptimizerCall>(dispatch).count)),
            Kernel::Gather { .. } => {
                let GatherCall { batch, window, dim, .. } = call(dispatch);
                moved(2 * u64::from(batch) * u64::from(window) * u64::from(dim))
            }
        }
    }

    /// Steps of a single state, there or back.
    fn steps(&self, dispatch: &Dispatch) -> Work {
        let call: StepCall = call(dispatch);
        let trajectories = self.trajectories(dispatch, &call);
        let (steps, state) = (u64::from(call.steps), self.shape.dim);
        let stages = steps * u64::from(self.shape.stages);
        let observed = self.save_times(&call) * state;
        let (evaluations, rows) = match &*dispatch.kernel {
            Kernel::StepForward(kernel) => {
                let saved = if call.mode & SAVE == 0 { 0 } else { observed };
                let kept = if kernel.adjoint.is_some() { steps * state } else { 0 };
                // The state and its rest, read and written.
                (stages * self.paid(&call), 2 * 2 * state + saved + kept)
            }
            kernel => {
                let terms = u64::from(self.shape.terms.evaluation_rows());
                let stored = self.keeps_states() && !matches!(kernel, Kernel::ContinuousReverse(_));
                // Reconstructing a state is one more pass through the stages, except where they serve the adjoint too.
                let again = u64::from(self.spec.way_back() == Some(Adjoint::Backsolve));
                let states = if stored { steps * state } else { 2 * 2 * state };
                let rows = states + 2 * 2 * state + observed;
                if self.shape.inside.is_some() {
                    let before = stages - steps;
                    // A reconstruction's first stage is known from the step done before.
                    let known =
                        if self.shape.arrangement.reverse.hands_out_values() { steps.saturating_sub(1) } else { 0 };
                    let evaluations = stages * (again + 3) + before - again * known;
                    return self.evaluated(evaluations, rows + 1, trajectories) + self.added(dispatch, stages);
                }
                let scratch = self.shape.layout.units as u64 * terms * stages;
                (stages * (again + 2 * terms), rows + scratch)
            }
        };
        self.evaluated(evaluations, rows + 1, trajectories)
    }

    /// The start of a pair in fixed point: the words with their points. The evaluation that may decide on these is none of
    /// the solver's and does not count.
    fn starts(&self, dispatch: &Dispatch) -> Work {
        let trajectories = self.trajectories(dispatch, &call(dispatch));
        self.evaluated(0, (self.shape.planes + 3) * self.shape.dim, trajectories)
    }

    /// Updates of a pair, there or back.
    fn updates(&self, dispatch: &Dispatch) -> Work {
        let call: StepCall = call(dispatch);
        let trajectories = self.trajectories(dispatch, &call);
        let (steps, dim) = (u64::from(call.steps), self.shape.dim);
        let stages = steps * u64::from(self.shape.stages);
        let observed = self.save_times(&call) * dim;
        let sources = steps * self.shape.entry_states * dim;
        // Both planes of words, read and written, and the words of the log that contractions touch.
        let first = call.step_number as usize;
        let track = &self.track;
        let contractions = track.contractions_before(first + call.steps as usize) - track.contractions_before(first);
        let log = if self.spec.arithmetic.words() != Words::Float { contractions } else { 0 };
        let walked = 2 * self.shape.planes * dim + log as u64 * dim;
        let (evaluations, rows) = match &*dispatch.kernel {
            Kernel::PairReverse(kernel) => {
                let terms = u64::from(self.shape.terms.evaluation_rows());
                let states = if kernel.sources == Sources::Stored { sources } else { walked };
                let rows = states + 2 * 2 * dim + observed;
                if self.shape.inside.is_some() {
                    let before = stages - steps;
                    return self.evaluated(3 * stages + before, rows + 1, trajectories) + self.added(dispatch, stages);
                }
                let scratch = self.shape.layout.units as u64 * terms * stages;
                (stages * 2 * terms, rows + scratch)
            }
            _ => {
                let saved = if call.mode & SAVE == 0 { 0 } else { observed };
                let kept = if call.mode & KEEP == 0 { 0 } else { sources };
                (stages * self.paid(&call), walked + saved + kept)
            }
        };
        self.evaluated(evaluations, rows + 1, trajectories)
    }

    /// States at save times between steps, or their cotangents on the way back.
    fn outputs(&self, dispatch: &Dispatch) -> Work {
        let call: StepCall = call(dispatch);
        let trajectories = self.trajectories(dispatch, &call);
        let (outputs, dim) = (u64::from(call.steps), self.shape.dim);
        // The field at both ends of the step. Neighbouring save times may share these.
        let (evaluations, rows) = match &*dispatch.kernel {
            Kernel::Dense(_) => (2 * outputs, 2 * outputs * dim),
            _ => (4 * outputs, outputs * (4 * dim + 2 * self.shape.layout.units as u64)),
        };
        self.evaluated(evaluations, rows, trajectories)
    }

    fn outer(&self, dispatch: &Dispatch) -> Work {
        let OuterCall { used, parameters, .. } = call(dispatch);
        // Rows of trajectories that are not padding; exact over all tiles of a chunk.
        let share =
            |all: u64| u64::try_from(u128::from(all) * u128::from(self.shape.batch) / u128::from(self.shape.stride));
        let rows = 4 * u64::from(used);
        let flops = share(rows * self.spec.field.flops()).unwrap_or(u64::MAX);
        let read = share(rows * self.shape.layout.units as u64).unwrap_or(u64::MAX);
        let sums = 2 * u64::from(dispatch.groups[1]) * u64::from(parameters);
        Work { flops, bytes: (read + sums) * VALUE }
    }

    /// `evaluations` of the field, and `values` moved beside the weights, both per trajectory.
    fn evaluated(&self, evaluations: u64, values: u64, trajectories: u64) -> Work {
        Work {
            flops: evaluations * self.spec.field.flops() * trajectories,
            bytes: (values * trajectories + self.shape.layout.packed as u64) * VALUE,
        }
    }

    /// What a reverse kernel moves that adds to its partials: lanes with every evaluation, tiles once a dispatch at least.
    fn added(&self, dispatch: &Dispatch, evaluations: u64) -> Work {
        let sums = 2 * self.shape.partial_columns() * u64::from(dispatch.groups[0]);
        let tile = self.shape.arrangement.reverse.family == Family::Tile;
        let evaluations = if tile { 1 } else { evaluations };
        Work { flops: 0, bytes: evaluations * sums * VALUE }
    }

    /// Evaluations for one of the field: the derivative along the probe of a running cost is one more.
    fn paid(&self, call: &StepCall) -> u64 {
        if call.mode & PAY == 0 { 1 } else { self.shape.terms.evaluation_rows().into() }
    }

    /// Trajectories of a dispatch that exist.
    fn trajectories(&self, dispatch: &Dispatch, call: &StepCall) -> u64 {
        let all = u64::from(dispatch.groups[0]) * u64::from(group_trajectories(&dispatch.kernel));
        all.min(u64::from(self.shape.batch.saturating_sub(call.first_trajectory)))
    }

    /// Save times that the steps of a dispatch meet.
    fn save_times(&self, call: &StepCall) -> u64 {
        let first = call.step_number as usize;
        let before = |entry: usize| self.track.saves.partition_point(|&s| s <= entry);
        let inside = before(first + call.steps as usize) - before(first);
        inside as u64 + u64::from(call.outer_slot != NO_SLOT)
    }
}

/// Trajectories of a workgroup.
fn group_trajectories(kernel: &Kernel) -> u32 {
    match kernel {
        Kernel::StepForward(StepKernel { lane, .. })
        | Kernel::StepReverse(StepKernel { lane, .. })
        | Kernel::ContinuousReverse(StepKernel { lane, .. })
        | Kernel::Dense(StepKernel { lane, .. })
        | Kernel::DenseReverse(StepKernel { lane, .. })
        | Kernel::PairStart(PairKernel { lane, .. })
        | Kernel::PairWalk(PairKernel { lane, .. })
        | Kernel::PairReverse(PairKernel { lane, .. }) => lane.group_trajectories(),
        _ => 0,
    }
}

/// The numbers of a dispatch, as its kernel gets them.
fn call<T: Pod>(dispatch: &Dispatch) -> T {
    bytemuck::pod_read_unaligned(&bytemuck::cast_slice::<u32, u8>(&dispatch.call)[..size_of::<T>()])
}

fn count(dispatch: &Dispatch) -> u64 {
    call::<CountCall>(dispatch).count.into()
}

/// Values of a kernel over observations that moves so many for each, and a weight.
fn seen(dispatch: &Dispatch, kernel: &LossKernel, each: u64) -> u64 {
    u64::from(call::<LossCall>(dispatch).count) * (each + u64::from(kernel.weighted))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Activation, Mlp};
    use crate::plan::{Caps, KernelOptions, Observe, Slot, Spec};
    use crate::solver::{AdjointOptions, Method, TimeGrid};

    fn plan(method: Method, adjoint: Adjoint, steps: usize, batch: usize, caps: &Caps) -> Plan {
        let field = Mlp::builder(2).hidden(&[5, 7], Activation::Tanh).build().expect("a valid field");
        let grid = TimeGrid::uniform(0.0, 1.0, steps).expect("a valid grid");
        // Where there are kernels that make the sums themselves, they are meant.
        let kernels = KernelOptions { trajectories: caps.int64.then_some(8), ..KernelOptions::default() };
        let spec = Spec::gradient(field, method, grid, adjoint, AdjointOptions::default(), batch);
        Plan::new(Spec { kernels, ..spec }, caps).expect("a small problem")
    }

    #[test]
    fn operations_are_those_of_the_evaluations_reported() {
        let tiled = Caps { scratch_bytes: 1, max_workgroups: 8, ..Caps::cpu("test") };
        let cases = [
            (Method::Euler, Adjoint::Backsolve),
            (Method::Rk4, Adjoint::Stored),
            (Method::Rk4, Adjoint::Checkpointed),
            (Method::Rk4, Adjoint::Continuous),
            (Method::BlanesMoan4, Adjoint::Exact),
            (Method::BlanesMoan4, Adjoint::Stored),
            (Method::Alf, Adjoint::Reversible),
        ];
        let pairs = Caps { subgroup: Some(8), int64: true, ..Caps::cpu("test") };
        let tiled_pairs = Caps { scratch_bytes: 1, max_workgroups: 8, ..pairs.clone() };
        let all = [Caps::cpu("test"), tiled, pairs, tiled_pairs];
        for (caps, (method, adjoint)) in all.iter().flat_map(|c| cases.map(|case| (c, case))) {
            for (steps, batch) in [(1, 1), (10, 64), (37, 300)] {
                let plan = plan(method, adjoint, steps, batch, caps);
                let mut work = plan.work(&plan.forward(Observe::Save).expect("a program"));
                work += plan.work(&plan.reverse().expect("a program"));
                let evaluations = plan.evaluations();
                // A vector-Jacobian product for each evaluation forward: deltas and outer products.
                let units = evaluations.total() + 2 * evaluations.forward;
                let expected = units * batch as u64 * plan.spec.field.flops();
                // One per dispatch may be lost where padding is taken off.
                let off = expected.abs_diff(work.flops);
                let case = format!("{method}, {adjoint}, {steps} steps of {batch}");
                assert!(off <= 1000 && off * 1000 <= expected, "{case}: {} instead of {expected}", work.flops);
            }
        }
    }

    #[test]
    fn traffic_is_counted_once() {
        // One dispatch forward and one back, of 64 trajectories that need no padding.
        let plan = plan(Method::Rk4, Adjoint::Stored, 10, 64, &Caps::cpu("test"));
        let forward = plan.forward(Observe::Save).expect("a program");
        let weights = plan.memory.bytes(Slot::Weights);
        // States cleared and copied; state and its rest read and written, one save time, ten states kept, the status.
        let expected = (2 * 2 + 2 * 2) * 64 * 4 + weights + (2 * 2 * 2 + 2 + 10 * 2 + 1) * 64 * 4;
        assert_eq!(plan.work(&forward).bytes, expected, "forward");
        let reverse = plan.reverse().expect("a program");
        // Kept states are read; what ten steps of four stages leave for dJ/dθ is written and read.
        let least = 10 * 2 * 64 * 4 + 2 * 10 * 4 * plan.shape.layout.units as u64 * 64 * 4;
        let moved = plan.work(&reverse).bytes;
        assert!(moved > least && moved < 2 * least, "back: {moved} bytes, at least {least}");
    }

    #[test]
    fn traffic_grows_with_the_batch_and_the_steps() {
        for (method, adjoint) in [(Method::Rk4, Adjoint::Backsolve), (Method::BlanesMoan4, Adjoint::Exact)] {
            let bytes = |steps, batch| {
                let plan = plan(method, adjoint, steps, batch, &Caps::cpu("test"));
                let mut work = plan.work(&plan.forward(Observe::Save).expect("a program"));
                work += plan.work(&plan.reverse().expect("a program"));
                work.bytes
            };
            let [one, more, longer] = [bytes(100, 256), bytes(100, 1024), bytes(400, 256)];
            assert!(more > 3 * one && more < 5 * one, "{method}: {more} for four times the batch of {one}");
            assert!(longer > 3 * one && longer < 5 * one, "{method}: {longer} for four times the steps of {one}");
        }
    }
}
