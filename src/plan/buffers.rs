//! The device buffers by name, and the table of their sizes.

use std::fmt;

/// A device buffer, named by what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Slot {
    /// Parameters θ, `[P]`.
    Theta,
    /// Parameters packed for the kernels: padded rows, and once more transposed.
    Weights,
    /// Where each packed value comes from.
    PackTable,
    /// Method coefficients and a window of the steps; its size does not depend on their number.
    Schedule,
    /// State x and what its sum has rounded away, `[2, dim, stride]`: the only copy of the trajectory. Two states for methods
    /// on a pair, of one or two words; in fixed point followed by the binary points and exponents of the first increments, `[2, dim, stride]`.
    State,
    /// Measured on the way there, `[2, stride]`: the largest relative distance of the copies of a pair, the running cost.
    /// Then `[dim, stride]` the largest magnitude of every component, and of a pair `[3, dim, stride]` the largest distance of
    /// its copies, and of kicks the share of a component that rounding has taken from its increments, and the share that they
    /// were to move it by.
    Measures,
    /// Error estimates of the steps: the largest, and what the next step must know, `[2 + 3 dim, trajectories]`.
    Estimates,
    /// The reference of a running cost: times, then values and slopes.
    Reference,
    /// Fixed point: the bits that contractions have dropped, `[words, dim, stride]`.
    BitLog,
    /// Fixed point: binary points that are asked for, `[dim, stride]`, and the least that a range may be widened to, `[dim]`.
    AskedPoints,
    /// Adjoint a = dJ/dx and what its sum has rounded away, `[2, dim, stride]`; of both copies of a pair. With a running cost or gradients with respect to times
    /// followed by the adjoint of the cost, and for each segment between save times two sums, `[1 + 2 segments, stride]`.
    Adjoint,
    /// Given initial states x(t0), `[dim, stride]`.
    Initial,
    /// Save times: states, then cotangents, `[time, dim, stride]`. On a dense grid at the ends of the steps in use.
    Observed,
    /// Targets at the save times, `[time, dim, stride]`.
    Targets,
    /// Weights of the observations, negative where they are masked, `[time, dim, stride]`.
    Weighting,
    /// Dense grids: states at the save times, then cotangents, `[time, dim, stride]`.
    Outputs,
    /// Dense grids: the states at the ends of the steps in use, while their cotangents take their place.
    Ends,
    /// Dense grids: how each save time is interpolated.
    DenseTable,
    /// Dense grids: what each save time adds to the gradient with respect to times, `[time, 4, stride]`.
    DenseTimes,
    /// Per trajectory: 0, or what went wrong and at which step, `[stride]`.
    Status,
    /// The state before every step (for a pair: the source of every update) of the segment that the reverse pass walks
    /// through, `[segment, dim, stride]`. With the stored adjoint that segment is the whole grid; where a pair walks back
    /// it is what one dispatch takes.
    Stored,
    /// States kept on the way, `[anchors, planes, dim, stride]`: with the checkpointed adjoint as many as it has segments or
    /// was told, with anchored backsolve one less, since x(t1) is at hand.
    Anchors,
    /// Activations and deltas of the evaluations of one dispatch, `[units, rows]`.
    Scratch,
    /// Long private arrays of the kernels of one dispatch, where a software adapter would take long to compile them.
    Spilled,
    /// Rectangles of weights for `outer_product`.
    Rectangles,
    /// Where the sum of each parameter lies in a row of partials, if reverse kernels make them, `[P]`.
    SumTable,
    /// A row of partials in that order.
    SumRow,
    /// Parameter-gradient partials: `[slices, P]` of the scratch, or a row for each workgroup of the reverse kernel.
    Partials,
    /// Partials of earlier dispatches, of the same shape; with the stored and checkpointed adjoints only if there are so many
    /// that one sum over them would lose digits.
    Totals,
    /// Intermediate sums of reductions.
    Sums,
    /// Intermediate sums of reductions, second level.
    SumsOfSums,
    /// dJ/dθ, `[P]`.
    Gradient,
    /// Loss, seed scale, counts and norms of one pass.
    Summary,
    /// Per trajectory the largest |x̂(t0) − x(t0)| and the largest relative to what the component has met, `[2, stride]`; in
    /// fixed point also the number of words that differ.
    Drift,
    /// First moment (Adam) or velocity (SGD), `[P]`.
    Moment,
    /// Second moment (Adam), `[P]`.
    SecondMoment,
    /// Data set, `[series, time, dim]`.
    Data,
    /// Summaries of past iterations.
    History,
}

/// Every byte that a run keeps on the device, known before anything is allocated.
///
/// Only [`Slot::Stored`] and [`Slot::Anchors`] grow with the number of steps, and with [`Adjoint::Stored`](crate::Adjoint),
/// `Checkpointed` and anchored `Backsolve` alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryPlan {
    entries: Vec<(Slot, u64)>,
}

impl MemoryPlan {
    /// Adds a buffer of `values` 32-bit values. Empty buffers get one value: a binding may not be empty.
    pub(crate) fn add(&mut self, slot: Slot, values: u64) {
        self.entries.push((slot, values.max(1) * 4));
    }

    /// Adds the buffers of another plan.
    pub(crate) fn extend(&mut self, other: &Self) {
        self.entries.extend(&other.entries);
    }

    /// Buffers and their sizes in bytes.
    #[must_use]
    pub fn entries(&self) -> &[(Slot, u64)] {
        &self.entries
    }

    /// Size of one buffer in bytes, 0 if the run has no such buffer.
    #[must_use]
    pub fn bytes(&self, slot: Slot) -> u64 {
        self.entries.iter().find(|(s, _)| *s == slot).map_or(0, |(_, b)| *b)
    }

    /// All buffers together in bytes.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        self.entries.iter().map(|(_, b)| b).sum()
    }
}

impl fmt::Display for MemoryPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (slot, bytes) in &self.entries {
            writeln!(f, "{:<14}{bytes:>14} B", format!("{slot:?}"))?;
        }
        write!(f, "{:<14}{:>14} B", "total", self.total_bytes())
    }
}
