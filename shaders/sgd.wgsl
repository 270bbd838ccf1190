// Stochastic gradient descent with momentum, as in PyTorch: v <- decay v + g, theta <- theta - rate v.
// Companions: common.wgsl, optimizer.wgsl; update.wgsl or foresee.wgsl. Twin: tests/training.rs.

@group(0) @binding(3) var<storage, read_write> moment: array<f32>;

struct Stepped {
    theta: f32,
    moment: f32,
}

fn stepped(i: u32) -> Stepped {
    let v = call.decay * moment[i] + clipped(i);
    return Stepped(shrunk(i) - call.rate * v, v);
}

fn is_good(s: Stepped) -> bool {
    return is_finite(s.theta) && is_finite(s.moment);
}

fn keep(i: u32, s: Stepped) {
    theta[i] = s.theta;
    moment[i] = s.moment;
}
