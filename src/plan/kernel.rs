//! The kernels by name and specialisation.

use super::arrangement::Family;
use super::outer::Outer;
use super::spill::spills;
use crate::model::{Loss, Mlp, RunningCost};
use crate::solver::Adjoint;

/// How a lane kernel gets a row of weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum WeightFetch {
    /// Every lane loads the same values, four at a time.
    Uniform,
    /// Lane `l` of 8 loads value `8 c + l`, the others get it by subgroup broadcast. On llvmpipe a load costs the same
    /// whether the lanes want one value or eight. A workgroup is one subgroup then, so that an invocation's index in the
    /// one is its index in the other; taken for software adapters with subgroups of 8 only, where the tests run.
    Broadcast8,
    /// Lane `l` of 8 loads two neighbouring values as one word of 64 bits from a uniform buffer, so that one load of a
    /// subgroup brings sixteen; activations are kept in pairs too. On llvmpipe a load costs by the lane, not by the byte,
    /// and one from a uniform buffer is not masked. For software adapters with subgroups of 8 and 64-bit integers.
    Pairs8,
}

/// Where the sums of dJ/dθ are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Sums {
    /// By `outer_product`, from activations and deltas in scratch.
    Scratch,
    /// In the reverse kernel itself: activations never leave it, and every workgroup adds to a row of partials of its own.
    Inside,
}

/// How a kernel is arranged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Lane {
    pub family: Family,
    /// Trajectories of an invocation; in the tile family those of a workgroup, of which an invocation has one or none.
    pub trajectories: u32,
    /// Invocations of a workgroup.
    pub workgroup: u32,
    pub fetch: WeightFetch,
}

impl Lane {
    /// Trajectories of one workgroup.
    pub(crate) fn group_trajectories(self) -> u32 {
        match self.family {
            Family::Lane => self.trajectories * self.workgroup,
            Family::Tile => self.trajectories,
        }
    }

    /// Trajectories of one invocation.
    pub(crate) fn own_trajectories(self) -> u32 {
        match self.family {
            Family::Lane => self.trajectories,
            Family::Tile => 1,
        }
    }

    /// True if pulling back through a stage hands out the stage's value too.
    pub(crate) fn hands_out_values(self) -> bool {
        self.fetch == WeightFetch::Pairs8
    }

    /// Where a reverse kernel makes its sums.
    pub(crate) fn sums(self) -> Sums {
        match (self.family, self.fetch) {
            (Family::Tile, _) | (_, WeightFetch::Pairs8) => Sums::Inside,
            (Family::Lane, _) => Sums::Scratch,
        }
    }
}

/// What a pass computes beside states and the adjoint of the observations: it shapes the text of the step kernels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Terms {
    /// The running cost has the term `‖f‖²`.
    pub kinetic: bool,
    /// The running cost has the term `‖x − x_ref‖²`.
    pub reference: Option<ReferenceText>,
    /// The running cost has the term `‖∂f/∂x · ε‖²`.
    pub jacobian: bool,
    /// Gradients with respect to times are wanted.
    pub clock: bool,
    /// The errors of steps are estimated on the way there.
    pub estimate: Option<Estimate>,
}

/// What the error estimates of steps are weighed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Estimate {
    /// Each step by the size of the state there, as adaptive steps would be.
    Step,
    /// The largest by the largest state of the whole way.
    Whole,
}

/// What kernels know of a reference when they are compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ReferenceText {
    /// Number of its times.
    pub times: u32,
    /// True if all trajectories have the same.
    pub shared: bool,
}

impl ReferenceText {
    /// Halvings until two neighbours are found.
    pub(crate) fn search(self) -> u32 {
        self.times.next_power_of_two().ilog2()
    }
}

impl Terms {
    pub(crate) fn new(cost: Option<&RunningCost>, clock: bool) -> Self {
        let Some(cost) = cost else { return Self { clock, ..Self::default() } };
        let reference = cost.reference_term().filter(|(weight, _)| *weight > 0.0).map(|(_, reference)| ReferenceText {
            times: u32::try_from(reference.times().len()).unwrap_or(u32::MAX),
            shared: reference.is_shared(),
        });
        let (kinetic, jacobian) = (cost.kinetic_weight() > 0.0, cost.jacobian_weight() > 0.0);
        Self { kinetic, reference, jacobian, clock, ..Self::default() }
    }

    /// True if evaluations of the field are paid for.
    pub(crate) fn pay(self) -> bool {
        self.kinetic || self.jacobian || self.reference.is_some()
    }

    /// Rows of scratch that an evaluation takes: those of the derivative along the probe are its own.
    pub(crate) fn evaluation_rows(self) -> u32 {
        if self.jacobian { 2 } else { 1 }
    }
}

/// Everything that shapes the text of a step kernel. The method enters by its number of stages alone: the
/// coefficients are data, so methods with equally many stages share a pipeline.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct StepKernel {
    pub field: Mlp,
    pub stages: u32,
    pub lane: Lane,
    /// `Stored` if states are stored or come from storage, `Backsolve` if they are reconstructed, `Continuous` for the
    /// continuous adjoint, `None` if neither.
    pub adjoint: Option<Adjoint>,
    pub terms: Terms,
}

/// How the numbers of a pair of states are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Words {
    /// f32.
    Float,
    /// Fixed point of one word.
    One,
    /// Fixed point of two words.
    Two,
}

/// Everything that shapes the text of the kernels for methods on a pair of states. `stages` are those of one increment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PairKernel {
    pub field: Mlp,
    pub stages: u32,
    pub lane: Lane,
    pub words: Words,
    /// Where `pair_reverse` has the sources of the updates from.
    pub sources: Sources,
    pub terms: Terms,
    /// True if the updates have drifts.
    pub drifts: bool,
}

impl PairKernel {
    /// Planes that are kept of an update: its source, and for the drifts' gradient with respect to times its target.
    pub(crate) fn kept(&self) -> u32 {
        if self.drifts && self.terms.clock { 2 } else { 1 }
    }
}

/// What shapes the text of the kernels of the loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct LossKernel {
    pub kind: LossKind,
    /// True if observations have weights or a mask.
    pub weighted: bool,
}

/// A [`Loss`] without its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum LossKind {
    Mse,
    Mae,
    Huber,
    Gaussian,
}

impl From<Loss> for LossKind {
    fn from(loss: Loss) -> Self {
        match loss {
            Loss::Mse => Self::Mse,
            Loss::Mae => Self::Mae,
            Loss::Huber { .. } => Self::Huber,
            Loss::GaussianNll => Self::Gaussian,
        }
    }
}

/// Where the adjoint of a pair has the sources of the updates from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Sources {
    /// `pair_walk` has left them in a buffer.
    Stored,
    /// The kernel of the adjoint walks back itself.
    Walked,
}

/// The rule of an update, by the name of its file in `shaders/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Rule {
    Adam,
    Sgd,
}

/// A compute kernel, by the name of its file in `shaders/`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kernel {
    StepForward(StepKernel),
    StepReverse(StepKernel),
    ContinuousReverse(StepKernel),
    PairWalk(PairKernel),
    /// With stored sources the words do not matter: those come as f32.
    PairReverse(PairKernel),
    /// The states at save times between steps, with the kernel's field and lane.
    Dense(StepKernel),
    DenseReverse(StepKernel),
    /// Starts a pair in fixed point; its first evaluation of the field may decide on the binary points.
    PairStart(PairKernel),
    PairFinish(Words),
    SharePoints,
    CertificateFixed(Words),
    PackWeights,
    OuterProduct(Outer),
    UnpackGradient,
    TimeColumn,
    Accumulate,
    Reduce,
    LossLimits(LossKernel),
    LossPartials(LossKernel),
    LossFinish,
    LossCotangents(LossKernel),
    LossParameters(LossKernel),
    CostAdjoint,
    CostParameters,
    NormPartials,
    NormSums,
    Certificate,
    DriftPartials,
    /// Whether an update would leave the finite numbers.
    Foresee(Rule),
    Update(Rule),
    Gather {
        /// True if the data set has missing values.
        missing: bool,
    },
}

impl Kernel {
    /// True if the kernel keeps arrays in [`Slot::Spilled`](super::Slot), its last binding then.
    pub(crate) fn spills(&self) -> bool {
        match self {
            Self::StepForward(s)
            | Self::StepReverse(s)
            | Self::ContinuousReverse(s)
            | Self::Dense(s)
            | Self::DenseReverse(s) => spills(&s.field, s.stages, s.lane, s.terms),
            Self::PairWalk(p) | Self::PairReverse(p) => spills(&p.field, p.stages, p.lane, p.terms),
            _ => false,
        }
    }

    /// The field that a kernel evaluates.
    pub(crate) fn field(&self) -> Option<&Mlp> {
        match self {
            Self::StepForward(s)
            | Self::StepReverse(s)
            | Self::ContinuousReverse(s)
            | Self::Dense(s)
            | Self::DenseReverse(s) => Some(&s.field),
            Self::PairWalk(p) | Self::PairReverse(p) => Some(&p.field),
            _ => None,
        }
    }

    /// Name of the shader file and of its entry point.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::StepForward(_) => "step_forward",
            Self::StepReverse(_) => "step_reverse",
            Self::ContinuousReverse(_) => "continuous_reverse",
            Self::PairWalk(_) => "pair_walk",
            Self::PairReverse(_) => "pair_reverse",
            Self::Dense(_) => "dense",
            Self::DenseReverse(_) => "dense_reverse",
            Self::PairStart(_) => "pair_start",
            Self::PairFinish(_) => "pair_finish",
            Self::SharePoints => "share_points",
            Self::CertificateFixed(_) => "certificate_fixed",
            Self::PackWeights => "pack_weights",
            Self::OuterProduct(_) => "outer_product",
            Self::UnpackGradient => "unpack_gradient",
            Self::TimeColumn => "time_column",
            Self::Accumulate => "accumulate",
            Self::Reduce => "reduce",
            Self::LossLimits(_) => "loss_limits",
            Self::LossPartials(_) => "loss_partials",
            Self::LossFinish => "loss_finish",
            Self::LossCotangents(_) => "loss_cotangents",
            Self::LossParameters(_) => "loss_parameters",
            Self::CostAdjoint => "cost_adjoint",
            Self::CostParameters => "cost_parameters",
            Self::NormPartials => "norm_partials",
            Self::NormSums => "norm_sums",
            Self::Certificate => "certificate",
            Self::DriftPartials => "drift_partials",
            Self::Foresee(_) => "foresee",
            Self::Update(_) => "update",
            Self::Gather { .. } => "gather",
        }
    }
}
