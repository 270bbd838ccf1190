// Adam with decoupled weight decay (Kingma & Ba 2015; Loshchilov & Hutter 2019). The bias corrections are in `rate` and
// `correction`, computed on the host in f64. The root of the second moment is kept instead of the moment: the square of a
// gradient would overflow above 2^64 and underflow below 2^-63. `second_decay` and `second_share` are roots, too.
// Companions: common.wgsl, optimizer.wgsl; update.wgsl or foresee.wgsl. Twin: tests/training.rs.

@group(0) @binding(3) var<storage, read_write> moment: array<f32>;
@group(0) @binding(4) var<storage, read_write> second_moment: array<f32>;

struct Stepped {
    theta: f32,
    moment: f32,
    second_moment: f32,
}

/// sqrt(a^2 + b^2) of numbers >= 0, with squares of numbers around 1.
fn hypotenuse(a: f32, b: f32) -> f32 {
    let e = clamp(i32(bitcast<u32>(max(a, b)) >> 23u) - 127, LEAST_EXPONENT, -LEAST_EXPONENT);
    let scale = power_of_two(-e);
    let root = sqrt((a * scale) * (a * scale) + (b * scale) * (b * scale));
    return root * power_of_two(e);
}

fn stepped(i: u32) -> Stepped {
    let g = clipped(i);
    let m = call.decay * moment[i] + call.share * g;
    let v = hypotenuse(call.second_decay * second_moment[i], call.second_share * abs(g));
    return Stepped(shrunk(i) - call.rate * (m / (v * call.correction + call.epsilon)), m, v);
}

fn is_good(s: Stepped) -> bool {
    return is_finite(s.theta) && is_finite(s.moment) && is_finite(s.second_moment);
}

fn keep(i: u32, s: Stepped) {
    theta[i] = s.theta;
    moment[i] = s.moment;
    second_moment[i] = s.second_moment;
}
