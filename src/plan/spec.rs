//! What is integrated, how, and for how many trajectories: what every plan is made of.

use std::sync::Arc;

use super::arrangement::KernelOptions;
use super::kernel::{Estimate, Terms, Words};
use crate::model::{Loss, Mlp, RunningCost, Wrt};
use crate::solver::{Adjoint, AdjointOptions, Contraction, Method, TimeGrid};

/// How the numbers of the state are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    Float,
    /// Fixed point, with a binary point for each component of each trajectory.
    Fixed {
        two_words: bool,
    },
}

impl Arithmetic {
    pub(crate) fn words(self) -> Words {
        match self {
            Self::Float => Words::Float,
            Self::Fixed { two_words: false } => Words::One,
            Self::Fixed { two_words: true } => Words::Two,
        }
    }
}

/// What is done about a resolution of fixed point that is not small against a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coarse {
    /// Nothing: the points are those of a whole data set, of which a trajectory may be a small part.
    Ignore = 0,
    /// The trajectory is marked.
    Mark = 1,
    /// It is marked, and its point moved for another walk.
    Move = 2,
}

/// Copies of a pair that are further apart than this part of a component have nothing to do with each other.
pub(crate) const PARTED: f32 = 0.5;

/// What is integrated, how, and for how many trajectories.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Spec {
    pub field: Mlp,
    pub method: Method,
    pub grid: TimeGrid,
    /// `None` for a solve without gradient.
    pub adjoint: Option<Adjoint>,
    pub options: AdjointOptions,
    pub arithmetic: Arithmetic,
    pub contraction: Option<Contraction>,
    pub batch: usize,
    /// Bytes of scratch, if they are to be fewer than the device's usual ones.
    pub scratch: u64,
    /// The loss of the observations.
    pub loss: Loss,
    /// True if observations may have weights or a mask.
    pub weighted: bool,
    /// The running cost.
    pub cost: Option<Arc<RunningCost>>,
    /// Gradients that are wanted.
    pub wrt: Wrt,
    /// What is given of the kernels' arrangement.
    pub kernels: KernelOptions,
    /// Distance of the copies of a pair, relative to what a component has met, beyond which a trajectory is worthless.
    pub parted: f32,
    /// What a resolution of fixed point that is not small against a component does.
    pub coarse: Coarse,
    /// True if the errors of steps are to be estimated, where the method has an estimate.
    pub estimate: bool,
}

impl Spec {
    /// A solve whose numbers are those of a gradient by `adjoint`, which is not `Auto`.
    pub(crate) fn solve(
        field: Mlp,
        method: Method,
        grid: TimeGrid,
        adjoint: Adjoint,
        options: AdjointOptions,
        batch: usize,
    ) -> Self {
        let arithmetic = match adjoint {
            Adjoint::Exact => Arithmetic::Fixed { two_words: options.two_words },
            _ => Arithmetic::Float,
        };
        let contraction = options.contraction(method, adjoint, grid.steps());
        Self {
            field,
            method,
            grid,
            adjoint: None,
            options,
            arithmetic,
            contraction,
            batch,
            scratch: u64::MAX,
            loss: Loss::default(),
            weighted: false,
            cost: None,
            wrt: Wrt::default(),
            kernels: KernelOptions::default(),
            parted: PARTED,
            coarse: if options.fraction_bits.is_some() { Coarse::Mark } else { Coarse::Move },
            estimate: false,
        }
    }

    /// The same problem with its gradient.
    pub(crate) fn gradient(
        field: Mlp,
        method: Method,
        grid: TimeGrid,
        adjoint: Adjoint,
        options: AdjointOptions,
        batch: usize,
    ) -> Self {
        Self { adjoint: Some(adjoint), ..Self::solve(field, method, grid, adjoint, options, batch) }
    }
}

impl Spec {
    /// The adjoint, if a gradient is wanted that it must go back for.
    pub(crate) fn way_back(&self) -> Option<Adjoint> {
        self.adjoint.filter(|_| self.wrt.reverses())
    }

    /// What the kernels compute beside the adjoint of the observations.
    pub(crate) fn terms(&self) -> Terms {
        // The last step, which has no next, has no estimate either.
        let estimates = self.estimate && self.method.pair().is_none() && self.grid.steps() > 1;
        let weighed = if self.method.tableau().embedded { Estimate::Step } else { Estimate::Whole };
        Terms {
            estimate: estimates.then_some(weighed),
            ..Terms::new(self.cost.as_deref(), self.adjoint.is_some() && self.wrt.times())
        }
    }
}
