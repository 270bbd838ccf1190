//! The parts of a pass, planned once, and what fixed point was moved for on the way.

use std::collections::BTreeSet;

use super::status::kind;
use super::warning::Warning;
use crate::error::Result;
use crate::plan::{Coarse, Elsewhere, Observe, Plan, Program};

/// A part of a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Pack,
    Start,
    StartAgain,
    Forward(Observe),
    Loss,
    Reverse,
}

/// The parts of a pass, planned once.
#[derive(Debug, Default)]
pub(super) struct Programs {
    pack: Program,
    start: Program,
    start_again: Program,
    /// The last kind of forward pass.
    pub(super) forward: Option<(Observe, Program)>,
    pub(super) loss: Program,
    /// Reverse pass and certificate.
    reverse: Program,
}

impl Programs {
    pub(super) fn new(plan: &Plan, elsewhere: Elsewhere) -> Result<Self> {
        let mut programs =
            Self { pack: plan.pack()?, start: plan.start(false), start_again: plan.start(true), ..Self::default() };
        if plan.spec.adjoint.is_some() {
            programs.loss = plan.loss(elsewhere)?;
            programs.reverse = plan.reverse()?;
            programs.reverse.extend(plan.certificate()?);
            programs.reverse.extend(plan.cost_parameters()?);
        }
        Ok(programs)
    }

    pub(super) fn of(&self, part: Part) -> Option<&Program> {
        match part {
            Part::Pack => Some(&self.pack),
            Part::Start => Some(&self.start),
            Part::StartAgain => Some(&self.start_again),
            Part::Forward(_) => self.forward.as_ref().map(|(_, program)| program),
            Part::Loss => Some(&self.loss),
            Part::Reverse => Some(&self.reverse),
        }
    }
}

/// Trajectories that fixed point was moved for.
#[derive(Debug, Default)]
pub(super) struct Moved {
    widened: BTreeSet<usize>,
    refined: BTreeSet<usize>,
}

impl Moved {
    /// Takes note of the status after a walk; true if a point was moved since the walk `before`.
    pub(super) fn note(&mut self, words: &[u32], before: &[u32], coarse: Coarse) -> bool {
        let of = |kind: u32| words.iter().enumerate().filter(move |(_, w)| **w >> 28 == kind).map(|(b, _)| b);
        let widened = of(kind::OUT_OF_RANGE).count();
        self.widened.extend(of(kind::OUT_OF_RANGE));
        // A range that was left is not narrowed again: such a trajectory stays as it is.
        let moves = coarse == Coarse::Move && words != before;
        let refined = of(kind::COARSE).filter(|_| moves).count();
        self.refined.extend(of(kind::COARSE).filter(|_| moves));
        widened + refined > 0
    }

    pub(super) fn warning(&self) -> Option<Warning> {
        let (widened, refined) = (self.widened.len(), self.refined.len());
        (widened + refined > 0).then_some(Warning::PointsMoved { widened, refined })
    }
}
