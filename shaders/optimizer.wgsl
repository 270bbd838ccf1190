// Shared by the optimisers: the gradient that is applied. Companion of adam.wgsl and sgd.wgsl, with summary.wgsl.

struct OptimizerCall {
    count: u32,
    rate: f32,
    decay: f32,
    second_decay: f32,
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
@group(0) @binding(2) var<storage, read> summary: array<f32>;

/// Factor that clips the gradient's norm.
fn clip_factor() -> f32 {
    let norm = sqrt(summary[NORM]);
    return select(1.0, call.clip / norm, norm > call.clip);
}

/// Decoupled weight decay.
fn shrunk(i: u32) -> f32 {
    return theta[i] * select(1.0, call.shrink, i < call.shrinking);
}

/// An update is made unless the gradient is not finite, no trajectory was left, one failed on the way back, after it
/// had added to the gradient, or a word of fixed point did not come back: then the step is skipped as a whole.
fn usable() -> bool {
    let left = summary[TRAJECTORIES_LEFT];
    return is_finite(summary[NORM]) && left > 0.0 && summary[SURVIVORS] == left && summary[DIFFERING] == 0.0;
}
