//! Methods on a pair of states: kick compositions and the published reversible schemes, as lists of updates.
//!
//! A pair `(y, z)` starts as `(x0, x0)`. Every method here is a sequence of *updates*, each of which changes one copy (the
//! target) by an increment that the other copy (the source) decides:
//!
//! ```text
//! source ← source + d · target            (a drift; only ALF has one)
//! target ← α · target + β · source + s · Ψ_h(t, source)
//! source ← source + d · target
//! ```
//!
//! with `s = ±1`; where the increment is subtracted the target is kept whole, `α = 1` and `β = 0`: only the first half of a
//! McCallum–Foster step blends the copies. `Ψ_h(t, x) = Φ_h(t, x) − x` is the increment of an explicit Runge–Kutta step,
//! `h f(x, t)` where the base is Euler. With `α = 1`, `β = 0` and no drift the update is a *kick*: it can be taken back
//! whatever `Ψ` is, exactly in fixed point.

use Side::{Y, Z};

use super::contraction::Contraction;
use super::grid::TimeGrid;
use super::tableau::{self, Tableau};

/// One of the two copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The first copy, y.
    Y,
    /// The second copy, z.
    Z,
}

impl Side {
    /// The other copy.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Y => Self::Z,
            Self::Z => Self::Y,
        }
    }
}

/// One kick of a composition: `target += weight · h · f(source, t + node · h)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Kick {
    /// The copy that changes.
    pub side: Side,
    /// Weight a_i (of y) or b_i (of z).
    pub weight: f64,
    /// The source's time within the step: the sum of its earlier weights.
    pub node: f64,
}

/// How the updates of a method are made.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum PairKind {
    /// A composition of kicks; with `swap` the copies change roles after every step.
    Kicks {
        /// The kicks of one step.
        kicks: &'static [Kick],
        /// True if y and z change roles after every step.
        swap: bool,
    },
    /// The asynchronous leapfrog with η = 1: y is the state, z its velocity.
    Alf,
    /// McCallum–Foster with a base method and the coupling λ.
    McCallumFoster {
        /// λ in (0, 1].
        coupling: f64,
    },
}

/// A method on a pair of states.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PairScheme {
    /// How its updates are made.
    pub kind: PairKind,
    /// The Runge–Kutta method whose increment the updates use: Euler, except for McCallum–Foster over another base.
    pub increment: &'static Tableau,
    /// Order of convergence.
    pub order: u32,
    /// Where the scheme is from.
    pub source: &'static str,
}

/// One update of the pair; see the module's description. Lengths and times are those of the grid, in f64.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Update {
    /// The copy that changes.
    pub side: Side,
    /// Length h of the increment Ψ_h(t, source).
    pub h: f64,
    /// Time t of the increment.
    pub t: f64,
    /// True if the increment is subtracted, and the target kept whole whatever [`PairScheme::blend`] says.
    pub negative: bool,
    /// Drift d, before and after.
    pub drift: f64,
    /// True for the start of ALF, where the target becomes the increment.
    pub start: bool,
    /// Number of the step that this update ends or lies in.
    pub step: usize,
    /// True if both copies have arrived at the end of the step, and something is to be done there: an observation, a
    /// contraction, or the end of the grid.
    pub aligned: bool,
    /// True if the copies are contracted after this update.
    pub contract: bool,
}

impl PairScheme {
    /// Weights of y and z in the output.
    #[must_use]
    pub const fn output(&self) -> [f64; 2] {
        match self.kind {
            // The odd part of the error cancels in the mean.
            PairKind::Kicks { .. } => [0.5, 0.5],
            PairKind::Alf | PairKind::McCallumFoster { .. } => [1.0, 0.0],
        }
    }

    /// α and β of the updates whose increment is added; for a [negative](Update::negative) one they are 1 and 0.
    #[must_use]
    pub const fn blend(&self) -> [f64; 2] {
        match self.kind {
            PairKind::Kicks { .. } => [1.0, 0.0],
            PairKind::Alf => [-1.0, 0.0],
            PairKind::McCallumFoster { coupling } => [coupling, 1.0 - coupling],
        }
    }

    /// True if y and z are two copies of the state; z is a velocity in ALF.
    #[must_use]
    pub const fn has_copies(&self) -> bool {
        !matches!(self.kind, PairKind::Alf)
    }

    /// True if every update is a kick, so that fixed point makes it reversible bit for bit.
    #[must_use]
    pub fn is_additive(&self) -> bool {
        match self.kind {
            PairKind::Kicks { .. } => true,
            PairKind::Alf => false,
            PairKind::McCallumFoster { coupling } => coupling == 1.0,
        }
    }

    /// The updates of one step, without regard to its neighbours.
    fn step(&self, n: usize, t: f64, h: f64) -> Vec<Update> {
        match self.kind {
            PairKind::Kicks { kicks, swap } => {
                let swapped = swap && n % 2 == 1;
                let side = |s: Side| if swapped { s.other() } else { s };
                kicks.iter().map(|k| plain(n, side(k.side), k.weight * h, t + k.node * h)).collect()
            }
            PairKind::Alf => vec![Update { drift: 0.5 * h, ..plain(n, Z, 2.0, t + 0.5 * h) }],
            PairKind::McCallumFoster { .. } => {
                vec![plain(n, Y, h, t), Update { negative: true, ..plain(n, Z, -h, t + h) }]
            }
        }
    }

    /// All updates of a solve, in order.
    ///
    /// Neighbouring kicks of one copy use the same value of f, so they are one update of their common length, unless the
    /// pair is observed or contracted between them.
    pub fn updates(&self, grid: &TimeGrid, contraction: Option<Contraction>) -> impl Iterator<Item = Update> {
        let scheme = *self;
        let kicks = matches!(self.kind, PairKind::Kicks { .. });
        let start = matches!(self.kind, PairKind::Alf).then(|| Update { start: true, ..plain(0, Z, 1.0, grid.t0()) });
        let times = grid.times().to_vec();
        let saves = grid.saves().to_vec();
        let steps = grid.steps();
        let mut kept: Option<Update> = None;
        let mut save = saves.partition_point(|&s| s == 0);
        let mut n = 0;
        let mut ready: std::collections::VecDeque<Update> = start.into_iter().collect();
        std::iter::from_fn(move || {
            while ready.is_empty() && n < steps {
                let mut updates = scheme.step(n, times[n], times[n + 1] - times[n]);
                if let (Some(before), Some(first)) = (kept.take(), updates.first_mut()) {
                    if before.side == first.side {
                        first.h += before.h;
                    } else {
                        ready.push_back(before);
                    }
                }
                let observed = saves.get(save) == Some(&(n + 1));
                save += usize::from(observed);
                let contract = contraction.is_some_and(|c| c.after_step(n));
                let aligned = observed || contract || n + 1 == steps;
                if let Some(last) = updates.last_mut() {
                    last.aligned = aligned;
                    last.contract = contract;
                }
                if kicks && !aligned {
                    kept = updates.pop();
                }
                ready.extend(updates);
                n += 1;
            }
            ready.pop_front()
        })
    }
}

/// A kick of step n.
fn plain(n: usize, side: Side, h: f64, t: f64) -> Update {
    Update { side, h, t, negative: false, drift: 0.0, start: false, step: n, aligned: false, contract: false }
}

const fn kick(side: Side, weight: f64, node: f64) -> Kick {
    Kick { side, weight, node }
}

pub(super) const STRANG: PairScheme = PairScheme {
    kind: PairKind::Kicks { kicks: &[kick(Y, 0.5, 0.0), kick(Z, 1.0, 0.5), kick(Y, 0.5, 1.0)], swap: false },
    increment: &tableau::EULER,
    order: 2,
    source: "Strang 1968, doi:10.1137/0705041, on the doubled space",
};

/// γ of Yoshida's triple jump, `1 / (2 − 2^{1/3})`, and of its middle part.
const Y4: f64 = 1.351_207_191_959_657_6;
const Y4_MIDDLE: f64 = 1.0 - 2.0 * Y4;

pub(super) const YOSHIDA4: PairScheme = PairScheme {
    kind: PairKind::Kicks {
        kicks: &[
            kick(Y, 0.5 * Y4, 0.0),
            kick(Z, Y4, 0.5 * Y4),
            kick(Y, 0.5 * (Y4 + Y4_MIDDLE), Y4),
            kick(Z, Y4_MIDDLE, 0.5),
            kick(Y, 0.5 * (Y4_MIDDLE + Y4), Y4 + Y4_MIDDLE),
            kick(Z, Y4, 1.0 - 0.5 * Y4),
            kick(Y, 0.5 * Y4, 1.0),
        ],
        swap: false,
    },
    increment: &tableau::EULER,
    order: 4,
    source: "Yoshida 1990, doi:10.1016/0375-9601(90)90092-3, on the doubled space",
};

/// γ of Suzuki's fivefold composition, `1 / (4 − 4^{1/3})`, and of its middle part.
const S4: f64 = 0.414_490_771_794_375_74;
const S4_MIDDLE: f64 = 1.0 - 4.0 * S4;

pub(super) const SUZUKI4: PairScheme = PairScheme {
    kind: PairKind::Kicks {
        kicks: &[
            kick(Y, 0.5 * S4, 0.0),
            kick(Z, S4, 0.5 * S4),
            kick(Y, S4, S4),
            kick(Z, S4, 1.5 * S4),
            kick(Y, 0.5 * (S4 + S4_MIDDLE), 2.0 * S4),
            kick(Z, S4_MIDDLE, 0.5),
            kick(Y, 0.5 * (S4_MIDDLE + S4), 2.0 * S4 + S4_MIDDLE),
            kick(Z, S4, 1.0 - 1.5 * S4),
            kick(Y, S4, 1.0 - S4),
            kick(Z, S4, 1.0 - 0.5 * S4),
            kick(Y, 0.5 * S4, 1.0),
        ],
        swap: false,
    },
    increment: &tableau::EULER,
    order: 4,
    source: "Suzuki 1990, doi:10.1016/0375-9601(90)90962-N, on the doubled space",
};

/// Weights of y (`A`) and z (`B`) of the S6 method; the rest follows from symmetry.
const A: [f64; 4] = [0.079_203_696_431_195_7, 0.353_172_906_049_774, -0.042_065_080_357_719_5, 0.219_376_955_753_499_6];
const B: [f64; 3] = [0.209_515_106_613_362, -0.143_851_773_179_818, 0.434_336_666_566_456];

pub(super) const BLANES_MOAN4: PairScheme = PairScheme {
    kind: PairKind::Kicks {
        kicks: &[
            kick(Y, A[0], 0.0),
            kick(Z, B[0], A[0]),
            kick(Y, A[1], B[0]),
            kick(Z, B[1], A[0] + A[1]),
            kick(Y, A[2], B[0] + B[1]),
            kick(Z, B[2], A[0] + A[1] + A[2]),
            kick(Y, A[3], 0.5),
            kick(Z, B[2], 1.0 - (A[0] + A[1] + A[2])),
            kick(Y, A[2], 1.0 - (B[0] + B[1])),
            kick(Z, B[1], 1.0 - (A[0] + A[1])),
            kick(Y, A[1], 1.0 - B[0]),
            kick(Z, B[0], 1.0 - A[0]),
            kick(Y, A[0], 1.0),
        ],
        swap: false,
    },
    increment: &tableau::EULER,
    order: 4,
    source: "Blanes & Moan 2002, doi:10.1016/S0377-0427(01)00492-7, the method S6, on the doubled space",
};

/// With `v = 2y − ŷ` a step of reversible Heun is `v += h f(ŷ)`, `ŷ += h f(v)` with the names changed: kicks whose copies
/// change roles, y being their mean.
pub(super) const REVERSIBLE_HEUN: PairScheme = PairScheme {
    kind: PairKind::Kicks { kicks: &[kick(Y, 1.0, 0.0), kick(Z, 1.0, 1.0)], swap: true },
    increment: &tableau::EULER,
    order: 2,
    source: "Kidger, Foster, Li & Lyons 2021, arXiv:2105.13493",
};

pub(super) const ALF: PairScheme = PairScheme {
    kind: PairKind::Alf,
    increment: &tableau::EULER,
    order: 2,
    source: "Zhuang, Dvornek, Tatikonda & Duncan 2021 (MALI), arXiv:2102.04668, with η = 1",
};

/// McCallum & Foster over a base method.
pub(super) const fn mccallum_foster(base: &'static Tableau, coupling: f64) -> PairScheme {
    PairScheme {
        kind: PairKind::McCallumFoster { coupling },
        increment: base,
        order: base.order,
        source: "McCallum & Foster 2024, arXiv:2410.11648",
    }
}
