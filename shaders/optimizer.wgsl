// Shared by the optimisers: the gradient that is applied. Companion of adam.wgsl and sgd.wgsl, with summary.wgsl, norm.wgsl
// and update.wgsl or foresee.wgsl, which have the summary.

struct OptimizerCall {
    count: u32,
    rate: f32,
    decay: f32,
    // Of the gradient in the first moment.
    share: f32,
    second_decay: f32,
    second_share: f32,
    correction: f32,
    epsilon: f32,
    shrink: f32,
    clip: f32,
    // Values that shrink: the parameters of the field, not those of the loss.
    shrinking: u32,
}

var<immediate> call: OptimizerCall;

@group(0) @binding(0) var<storage, read_write> theta: array<f32>;
@group(0) @binding(1) var<storage, read> gradient: array<f32>;

/// The gradient, scaled down if its norm is above what is allowed. Scaled gradients give the same bits: all of them are
/// brought to the exponent of the norm first.
fn clipped(i: u32) -> f32 {
    let root = sqrt(measured(NORM + 1u));
    let scale = power_of_two(-i32(measured(NORM)));
    return select(gradient[i], (gradient[i] * scale) * (call.clip / root), root > call.clip * scale);
}

/// Decoupled weight decay.
fn shrunk(i: u32) -> f32 {
    return theta[i] * select(1.0, call.shrink, i < call.shrinking);
}

/// A gradient is good unless it is not finite, no trajectory was left, one failed on the way back, after it had added to
/// the gradient, or a word of fixed point did not come back: then the update is skipped as a whole.
/// Twin: `Skip`, src/train/record.rs.
fn usable() -> bool {
    let left = measured(TRAJECTORIES_LEFT);
    return measured(NORM) < NOT_FINITE && left > 0.0 && measured(SURVIVORS) == left && measured(DIFFERING) == 0.0;
}
