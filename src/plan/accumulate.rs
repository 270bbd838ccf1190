//! Sums over the dispatches of a pass, in two levels.
//!
//! Each dispatch of the reverse pass adds its dJ/dθ to the partials, or each evaluation where the reverse kernel makes the
//! sums. One f32 sum of n terms rounds n times, each time to half a unit of the whole sum; blocks of √n terms, added to
//! totals block by block, round 2√n times (math.md §9.4: as good as Kahan's sum, which drivers optimise away).

use super::buffers::Slot;
use super::call::CountCall;
use super::fold::fold;
use super::kernel::{Kernel, PairKernel, StepKernel, Sums};
use super::program::{Binding, Command, Dispatch, Program};
use super::reduce::reduce;
use super::solve::Plan;
use super::word;
use crate::error::Result;

/// Dispatches that one level may sum, and the shortest block.
const SHORTEST: u64 = 64;

/// Length of the blocks for so many additions to a partial, one a dispatch or one an evaluation; `None` if one level will do.
pub(super) fn block(dispatches: u64) -> Option<u64> {
    let root = dispatches.isqrt();
    (dispatches > SHORTEST).then_some((root + u64::from(root * root < dispatches)).max(SHORTEST))
}

impl Plan {
    /// Appends the sum over slices, and over blocks of dispatches if there are many, that makes dJ/dθ of the partials.
    pub(super) fn sum_gradient(&self, program: Program) -> Result<Program> {
        if !self.spec.wrt.theta {
            return Ok(program);
        }
        let mut program = self.in_blocks(program)?;
        let source = if self.block.is_some() { Slot::Totals } else { Slot::Partials };
        let (rows, columns) = (self.shape.partial_rows(), self.shape.partial_columns());
        let ordered = self.shape.inside.as_ref().is_none_or(|row| row.units().is_none());
        let target = if ordered { Slot::Gradient } else { Slot::SumRow };
        reduce(&mut program, &self.caps, source, rows, columns, 0, target, 0)?;
        if !ordered {
            let call = CountCall { count: self.shape.parameters };
            let bindings = [Slot::SumRow, Slot::SumTable, Slot::Gradient].map(Binding::from).to_vec();
            let count = u64::from(self.shape.parameters);
            program.dispatch(Kernel::UnpackGradient, bindings, fold(count, 64, &self.caps)?, &call, count);
        }
        self.shift_gradient(&mut program)?;
        Ok(program)
    }

    /// Puts an `accumulate` after every block of dispatches that add to the partials, and after the last of them.
    fn in_blocks(&self, program: Program) -> Result<Program> {
        let Some(block) = self.block else { return Ok(program) };
        let mut blocked = Program::default();
        blocked.clear(Slot::Totals);
        let mut added = 0;
        for command in program.commands {
            added += if let Command::Dispatch(d) = &command { self.adds(d) } else { 0 };
            blocked.commands.push(command);
            if added >= block {
                self.accumulate(&mut blocked)?;
                added = 0;
            }
        }
        if added > 0 {
            self.accumulate(&mut blocked)?;
        }
        Ok(blocked)
    }

    /// How often a dispatch adds to each partial: a reverse kernel that makes the sums itself does so with every evaluation.
    fn adds(&self, dispatch: &Dispatch) -> u64 {
        match &*dispatch.kernel {
            Kernel::OuterProduct(_) => 1,
            Kernel::StepReverse(StepKernel { lane, stages, .. })
            | Kernel::PairReverse(PairKernel { lane, stages, .. })
                if lane.sums() == Sums::Inside =>
            {
                u64::from(*stages) * u64::from(dispatch.steps())
            }
            _ => 0,
        }
    }

    fn accumulate(&self, program: &mut Program) -> Result<()> {
        let count = self.shape.partials();
        let call = CountCall { count: word(count, "gradient partials")? };
        let bindings = vec![Slot::Partials.into(), Slot::Totals.into()];
        program.dispatch(Kernel::Accumulate, bindings, fold(count, 64, &self.caps)?, &call, count);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Activation, Mlp};
    use crate::plan::{Caps, KernelOptions, Spec};
    use crate::solver::{Adjoint, AdjointOptions, Method, TimeGrid};

    #[test]
    fn blocks_are_the_root_of_the_dispatches_but_not_short() {
        for (dispatches, expected) in [
            (0, None),
            (64, None),
            (65, Some(64)),
            (4096, Some(64)),
            (4097, Some(65)),
            (10_000, Some(100)),
            (10_001, Some(101)),
            (1 << 40, Some(1 << 20)),
        ] {
            assert_eq!(block(dispatches), expected, "{dispatches} dispatches");
        }
    }

    /// The same where reverse kernels add with every evaluation.
    fn every_evaluation_reaches_the_gradient(spec: &Spec) {
        let caps = Caps { scratch_bytes: 1, trajectory_flops: 1, int64: true, subgroup: Some(8), ..Caps::cpu("test") };
        let kernels = KernelOptions { trajectories: Some(8), ..KernelOptions::default() };
        let plan = Plan::new(Spec { kernels, ..spec.clone() }, &caps).expect("a small problem");
        let case = format!("{} {:?}, {} steps of {}", spec.method, spec.adjoint, spec.grid.steps(), spec.batch);
        let stages = u64::from(plan.shape.stages);
        let tiles = u64::from(plan.shape.stride / plan.shape.reverse_tile);
        let (mut waiting, mut total, mut reduced) = (0, 0, None);
        for command in &plan.reverse().expect("a program").commands {
            let Command::Dispatch(dispatch) = command else { continue };
            match &*dispatch.kernel {
                Kernel::StepReverse(_) | Kernel::PairReverse(_) => {
                    assert!(dispatch.bindings.iter().any(|b| b.slot == Slot::Partials), "{case}: sums elsewhere");
                    waiting += stages * u64::from(dispatch.steps());
                    total += stages * u64::from(dispatch.steps());
                }
                Kernel::OuterProduct(_) => panic!("{case}: sums of scratch"),
                Kernel::Accumulate => waiting = 0,
                Kernel::Reduce => reduced = reduced.or(Some(dispatch.bindings[0].slot)),
                _ => (),
            }
        }
        assert_eq!(total, plan.shape.entries * stages * tiles, "{case}: evaluations pulled back");
        let (source, left) = if total > SHORTEST { (Slot::Totals, 0) } else { (Slot::Partials, total) };
        assert_eq!((reduced, waiting), (Some(source), left), "{case}: what is summed, what was left out");
    }

    #[test]
    fn every_addition_reaches_the_gradient() {
        let field = Mlp::builder(2).hidden(&[5], Activation::Tanh).build().expect("a valid field");
        // Method, adjoint, steps, batch, and the number of blocks that they make.
        for (method, adjoint, steps, batch, blocks) in [
            (Method::Euler, Adjoint::Stored, 1, 1, 0),
            (Method::Euler, Adjoint::Stored, 64, 1, 0),
            (Method::Euler, Adjoint::Stored, 65, 1, 2),
            (Method::Euler, Adjoint::Stored, 128, 1, 2),
            (Method::Euler, Adjoint::Backsolve, 64, 1, 0),
            (Method::Euler, Adjoint::Backsolve, 40, 128, 2),
            (Method::Euler, Adjoint::Checkpointed, 10_000, 1, 100),
            (Method::Euler, Adjoint::Backsolve, 10_001, 1, 100),
            (Method::Strang, Adjoint::Exact, 100, 1, 5),
            (Method::Alf, Adjoint::Checkpointed, 127, 1, 2),
        ] {
            let grid = TimeGrid::uniform(0.0, 1.0, steps).expect("a valid grid");
            let spec = Spec::gradient(field.clone(), method, grid, adjoint, AdjointOptions::default(), batch);
            // Every step a dispatch of its own, or two: 64 trajectories in a tile.
            let caps = Caps { scratch_bytes: 1, ..Caps::cpu("test") };
            let plan = Plan::new(spec.clone(), &caps).expect("a small problem");
            every_evaluation_reaches_the_gradient(&spec);
            let program = plan.reverse().expect("a program");
            let (mut waiting, mut accumulated, mut total) = (0, 0, 0);
            let mut reduced = None;
            for command in &program.commands {
                let Command::Dispatch(dispatch) = command else { continue };
                match &*dispatch.kernel {
                    Kernel::OuterProduct(_) => {
                        waiting += 1;
                        total += 1;
                    }
                    Kernel::Accumulate => {
                        assert!(waiting <= 101, "a block of {waiting}");
                        accumulated += 1;
                        waiting = 0;
                    }
                    Kernel::Reduce => reduced = reduced.or(Some(dispatch.bindings[0].slot)),
                    _ => (),
                }
            }
            let case = format!("{method}, {adjoint}, {steps} steps, batch {batch}");
            assert_eq!(total, plan.shape.entries * (batch as u64).div_ceil(64), "{case}: dispatches");
            assert_eq!(accumulated, blocks, "{case}: blocks");
            let totals = blocks > 0;
            assert!(!totals || waiting == 0, "{case}: {waiting} additions are lost");
            let source = if totals { Slot::Totals } else { Slot::Partials };
            assert_eq!(reduced, Some(source), "{case}: what is reduced");
            let has = plan.memory.bytes(Slot::Totals) > 0;
            assert_eq!(has, totals || !adjoint.keeps_states(), "{case}: totals in memory");
        }
    }
}
