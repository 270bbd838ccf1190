//! The ways to a gradient, and their details.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::contraction::Contraction;
use super::method::Method;
use crate::error::Error;

/// How the gradient finds the states of the forward pass again. All but [`Self::Continuous`] give the discrete gradient:
/// that of the computed loss, not a discretisation of the continuous adjoint equation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[non_exhaustive]
pub enum Adjoint {
    /// For Runge–Kutta methods [`Self::Stored`] while the states fit the budget ([`AdjointOptions::memory`], 256 MiB unless
    /// told), else [`Self::Checkpointed`]: exact at any scale. [`Self::Exact`] where the method is made of kicks; and for the
    /// published reversible schemes [`Self::Reversible`] with kept states as a net. Trajectories whose copies part, which
    /// fixed point does not hold or whose reconstruction is off by more than the tolerance are done again, with a larger log
    /// or from kept states, by the same method, and the report says so.
    #[default]
    Auto,
    /// Keep the state of every step (of every update, for methods on a pair). Exact; memory grows with their number.
    Stored,
    /// Keep one state every ⌈√N⌉ steps, and run each segment again, storing its states, before going back through it.
    /// Exact, since a segment run again gives the same bits; memory grows with √N, for one more forward pass. With fewer
    /// states ([`AdjointOptions::anchors`]) steps run again several times, as seldom as that number allows.
    Checkpointed,
    /// Reconstruct the states by stepping with `−h` from x(t1). Memory does not grow with the number of steps, but the
    /// reconstruction drifts as `O(h^r)` with the tableau's reversal order r, and on a field that contracts at rate μ
    /// rounding grows as `e^{μ(t1−t0)}`: look at the reported reconstruction error, and set [`AdjointOptions::anchors`].
    Backsolve,
    /// Take back every update of a reversible scheme in f32. Exact but for rounding, which grows as `e^{μ(t1−t0)}` on a
    /// contracting field, in this scheme as in all others, some of which fail there going forward already.
    Reversible,
    /// Kicks on a state in fixed point, with a log of the bits that a contraction of the copies drops: reversible bit for
    /// bit on any field, in memory that does not depend on the number of steps. The reconstructed words are compared with
    /// the initial ones after every pass.
    Exact,
    /// The continuous adjoint, for Runge–Kutta methods: solve `x' = f`, `a' = −a ∂f/∂x − ∂L/∂x` backward from t1 with jumps
    /// of a at the observations, and add up `∫ (a ∂f/∂θ + ∂L/∂θ) dt` (Pontryagin 1962; Chen et al. 2018). Optimise, then
    /// discretise: *not* the gradient of the computed loss, from which it differs by the method's order in h, and x drifts as
    /// with [`Self::Backsolve`]. For comparison and for teaching.
    Continuous,
}

impl Adjoint {
    /// Every adjoint.
    pub const ALL: [Self; 7] = [
        Self::Auto,
        Self::Stored,
        Self::Checkpointed,
        Self::Backsolve,
        Self::Reversible,
        Self::Exact,
        Self::Continuous,
    ];

    /// True if the states going back are the very states of the forward pass.
    #[must_use]
    pub const fn is_exact(self) -> bool {
        matches!(self, Self::Stored | Self::Checkpointed | Self::Exact)
    }

    /// True if the states are kept, all or some, and not reconstructed.
    #[must_use]
    pub const fn keeps_states(self) -> bool {
        matches!(self, Self::Stored | Self::Checkpointed)
    }

    /// The name used in run files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Stored => "stored",
            Self::Checkpointed => "checkpointed",
            Self::Backsolve => "backsolve",
            Self::Reversible => "reversible",
            Self::Exact => "exact",
            Self::Continuous => "continuous",
        }
    }

    /// The adjoint that this one stands for with `method`.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the method cannot have it.
    pub fn resolve(self, method: Method) -> Result<Self, Error> {
        let possible = method.adjoints();
        match self {
            Self::Auto => {
                let order = [Self::Exact, Self::Reversible, Self::Stored];
                let published = matches!(method, Method::ReversibleHeun | Method::McCallumFoster { .. });
                let first = usize::from(published);
                Ok(order[first..].iter().copied().find(|a| possible.contains(a)).unwrap_or(Self::Stored))
            }
            _ if possible.contains(&self) || (self == Self::Continuous && method.pair().is_none()) => Ok(self),
            _ => Err(Error::invalid(
                "adjoint",
                format!("{self} with the method {method}"),
                format!(
                    "use {} with {method}{}",
                    possible.iter().map(|a| a.name()).collect::<Vec<_>>().join(", "),
                    match self {
                        Self::Backsolve | Self::Continuous => ", or a Runge–Kutta method",
                        Self::Exact => ", or a method made of kicks: strang, yoshida4, suzuki4, blanes_moan4",
                        Self::Reversible => ", or a reversible method such as blanes_moan4",
                        _ => "",
                    }
                ),
            )),
        }
    }
}

/// Words of the log per component with [`Adjoint::Exact`], unless told otherwise: contraction by 2^128.
pub const DEFAULT_LOG_WORDS: u32 = 4;
/// Where a binary point that is given for all components may be.
pub const FRACTION_BITS: std::ops::RangeInclusive<u32> = 16..=29;
/// Words of the log that the kernels can count: more would cover a contraction by 2^32768.
const MAX_LOG_WORDS: u32 = 1024;

/// Largest magnitude of a state with this many fraction bits.
#[must_use]
pub fn range(fraction_bits: u32) -> f32 {
    (1_u64 << (31 - fraction_bits.min(31))) as f32
}

/// Details of an adjoint. The defaults are right for standardised data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AdjointOptions {
    /// States kept on the way, x(t0) or x(t1) among them, for [`Adjoint::Checkpointed`] and [`Adjoint::Backsolve`]: √N segments and
    /// no anchors unless told otherwise.
    ///
    /// `A ≥ ⌈√N⌉` checkpoints make `A` segments of `⌈N / A⌉` steps, whose states are stored one segment at a time: every
    /// step but those of the last segment runs twice. With fewer, the states are kept and run from again as binomial
    /// checkpointing asks (revolve; Griewank & Walther 2000): never more than `A` of them, and the state at hand; a step runs
    /// up to `r` times there and back, `r` being the least number with `C(A + r, A) ≥ N`. For methods on a pair N counts updates.
    ///
    /// Backsolve with `A` anchors reconstructs `A` segments, each from the state kept at its end; one anchor, x(t1), is plain
    /// backsolve. On a field that contracts at rate μ segments of at most `3 / μ` of time amplify rounding 20-fold at most.
    pub anchors: Option<usize>,
    /// Bytes that all buffers of a gradient (or of a solve, or of a training run) may take on the device together.
    ///
    /// With [`Adjoint::Auto`] and [`Adjoint::Checkpointed`] and no `anchors` given, the way to the gradient is chosen among
    /// the exact ones that fit: the one with the fewest evaluations of the field, so stored states if there is room, then
    /// checkpoints, as many as fit. Other adjoints are held against it only.
    pub memory: Option<u64>,
    /// Words of the contraction log per component and trajectory, for methods made of kicks: 4 with
    /// [`Adjoint::Exact`], otherwise 0, which means no contraction. Covers a contraction by `2^(32 words)`.
    pub log_words: Option<u32>,
    /// Position of the binary point with [`Adjoint::Exact`], the same for all components: the range is `±2^(31 − bits)`, the
    /// resolution `2^−bits`. By default every component of every trajectory has a point of its own, from its initial value,
    /// moved where the trajectory leaves that range.
    pub fraction_bits: Option<u32>,
    /// True for a state of two words (64 bits) with [`Adjoint::Exact`]: for very long runs, where the rounding of
    /// 10^5 and more steps adds up.
    pub two_words: bool,
    /// True to walk back in a kernel of its own with [`Adjoint::Exact`], even where a self-test has found that the kernel
    /// which walks back and pulls the adjoint back in one repeats the bits of the way there. Slower by an evaluation per
    /// update; trajectories that failed are compared too.
    pub separate: bool,
}

impl AdjointOptions {
    /// The adjoint that `asked` stands for with `method` and these details: anchors ask for checkpoints.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the method cannot have it.
    pub fn resolve(&self, asked: Adjoint, method: Method) -> Result<Adjoint, Error> {
        let adjoint = asked.resolve(method)?;
        let anchored = asked == Adjoint::Auto && adjoint == Adjoint::Stored && self.anchors.is_some();
        Ok(if anchored { Adjoint::Checkpointed } else { adjoint })
    }

    /// The contraction of `steps` steps by `method`.
    #[must_use]
    pub fn contraction(&self, method: Method, adjoint: Adjoint, steps: usize) -> Option<Contraction> {
        let kicks = method.pair().is_some_and(|p| p.is_additive());
        let default = if adjoint == Adjoint::Exact { DEFAULT_LOG_WORDS } else { 0 };
        Contraction::new(steps, self.log_words.unwrap_or(default)).filter(|_| kicks)
    }

    /// Refuses data, whose largest magnitude is `largest`, that do not fit the range that was given.
    ///
    /// # Errors
    /// [`Error::Invalid`], naming the range.
    pub fn check_range(&self, largest: f32) -> Result<(), Error> {
        let Some(bits) = self.fraction_bits.filter(|bits| largest >= range(*bits)) else { return Ok(()) };
        Err(Error::invalid(
            "fixed-point range",
            format!("±{} with {bits} fraction bits, for data up to {largest}", range(bits)),
            "leave fraction bits out: every component then has a range of its own",
        ))
    }

    /// Refuses details that the method or its (resolved) adjoint does not have.
    ///
    /// # Errors
    /// [`Error::Invalid`], naming the detail.
    pub fn check(&self, method: Method, adjoint: Adjoint, steps: usize) -> Result<(), Error> {
        let refuse = |what: &str, problem: String, remedy: &str| Err(Error::invalid(what, problem, remedy));
        if let Some(anchors) = self.anchors {
            if !matches!(adjoint, Adjoint::Checkpointed | Adjoint::Backsolve) {
                let problem = format!("{anchors} with the {adjoint} adjoint");
                return refuse("anchors", problem, "leave them out, or use the checkpointed or backsolve adjoint");
            }
            if anchors == 0 || anchors > steps {
                let remedy = format!("use 1 to {steps}, the number of steps");
                return refuse("anchors", format!("{anchors} for {steps} steps"), &remedy);
            }
        }
        if let Some(words) = self.log_words.filter(|w| *w > 0) {
            if !method.pair().is_some_and(|p| p.is_additive()) {
                return refuse(
                    "log words",
                    format!("{words} with the method {method}"),
                    "use a method made of kicks, or leave them out",
                );
            }
            if adjoint == Adjoint::Reversible {
                let remedy = "use the exact adjoint: floats cannot take a contraction back";
                return refuse("log words", format!("{words} with the reversible adjoint"), remedy);
            }
            if words > MAX_LOG_WORDS {
                return refuse("log words", words.to_string(), &format!("use at most {MAX_LOG_WORDS}"));
            }
        }
        if adjoint != Adjoint::Exact && (self.fraction_bits.is_some() || self.two_words) {
            let (what, value) = match self.fraction_bits {
                Some(bits) => ("fraction bits", bits.to_string()),
                None => ("words of the state", "2".to_owned()),
            };
            return refuse(
                what,
                format!("{value} with the {adjoint} adjoint"),
                "leave it out, or use the exact adjoint",
            );
        }
        match self.fraction_bits {
            Some(bits) if !FRACTION_BITS.contains(&bits) => refuse(
                "fraction bits",
                bits.to_string(),
                &format!("use {} to {}", FRACTION_BITS.start(), FRACTION_BITS.end()),
            ),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Adjoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Adjoint {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|a| a.name() == name).ok_or_else(|| Error::UnknownName {
            kind: "adjoint",
            name: name.to_owned(),
            known: Self::ALL.map(Self::name).join(", "),
        })
    }
}

impl TryFrom<String> for Adjoint {
    type Error = Error;

    fn try_from(name: String) -> Result<Self, Error> {
        name.parse()
    }
}

impl From<Adjoint> for String {
    fn from(value: Adjoint) -> Self {
        value.name().to_owned()
    }
}
