// Numbers of a dispatch over the observations [time, dim, stride] of one binding; meanings in src/plan/kernel.rs.

struct LossCall {
    count: u32,
    stride: u32,
    dim: u32,
    batch: u32,
    first_row: u32,
    rows: u32,
    counts: u32,
    // First parameter of the loss in theta.
    parameters: u32,
    delta: f32,
    // Largest term that the sums can hold.
    most: f32,
}

var<immediate> call: LossCall;

fn component_of(i: u32) -> u32 {
    return (i / call.stride) % call.dim;
}
