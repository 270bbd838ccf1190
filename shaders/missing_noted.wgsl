// Missing values of a data set are NaN there: their observations get a negative weight, and a target of zero.
// Companion: common.wgsl. Mirror: missing_none.wgsl.

@group(0) @binding(3) var<storage, read_write> weighting: array<f32>;

fn noted(at: u32, value: f32) -> f32 {
    let seen = is_finite(value);
    weighting[at] = select(-1.0, 1.0, seen);
    return select(0.0, value, seen);
}
