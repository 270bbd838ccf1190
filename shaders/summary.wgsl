// Places in the summary of a pass; mirror of `summary` in src/plan/solve.rs.

// Mean loss, factor of the cotangents of the loss, trajectories that take part.
const LOSS: u32 = 0u;
const SCALE: u32 = 1u;
const TRAJECTORIES_LEFT: u32 = 2u;
// As reduced: sum of the weighted losses, observations, trajectories, sum of the running costs.
const LOSS_SUM: u32 = 3u;
const OBSERVATIONS: u32 = 4u;
const COUNTED: u32 = 5u;
const COST_SUM: u32 = 6u;
// Mean running cost, and the cotangent of a trajectory's running cost.
const COST: u32 = 7u;
const COST_SCALE: u32 = 8u;
// After the reverse pass: trajectories that are left, words that differ.
const SURVIVORS: u32 = 11u;
const DIFFERING: u32 = 12u;
// Norm of the gradient: its exponent, then its sum (norm.wgsl).
const NORM: u32 = 14u;
// Not 0 if an update would leave the finite numbers.
const OVERFLOWING: u32 = 18u;
