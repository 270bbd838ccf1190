// Numbers of the kernels that compare what a reverse pass has come back to with what it should be, and how a distance is
// judged. Companion: a binding `measures`.

struct CertificateCall {
    dim: u32,
    stride: u32,
    batch: u32,
    copies: u32,
    // 1 if failed trajectories must come back too.
    failed: u32,
}

var<immediate> call: CertificateCall;

/// A distance in component c of trajectory b, and the same relative to the largest magnitude that the component has met
/// (shaders/largest.wgsl).
fn distances(distance: f32, c: u32, b: u32) -> vec2<f32> {
    let most = measures[(2u + c) * call.stride + b];
    return vec2<f32>(distance, select(0.0, distance / most, distance > 0.0));
}

fn endless() -> vec2<f32> {
    // A variable, since infinity may not be written as a constant.
    var infinity = 0x7f800000u;
    return vec2<f32>(bitcast<f32>(infinity));
}
