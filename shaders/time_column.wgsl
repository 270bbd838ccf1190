// The kernels count the time from t0 (src/plan/origin.rs): to dJ/dw of the weights of the time in layer 0 they have summed
// delta (t - t0). What is missing is t0 times the sum of delta, which is the gradient of the bias.
// Companion: fold.wgsl. Mirror: pack_weights.wgsl.

struct ShiftCall {
    units: u32,
    inputs: u32,
    first_bias: u32,
    // t0 as the sum of two numbers.
    high: f32,
    low: f32,
}

var<immediate> call: ShiftCall;

@group(0) @binding(0) var<storage, read_write> gradient: array<f32>;

@compute @workgroup_size(64)
fn time_column(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let j = folded(group, groups, local);
    if (j < call.units) {
        let deltas = gradient[call.first_bias + j];
        // The time is the last input.
        let at = j * call.inputs + call.inputs - 1u;
        gradient[at] += call.low * deltas;
        gradient[at] += call.high * deltas;
    }
}
