// Negative log-likelihood of a residual under a Gaussian whose scale, as ln sigma, is a parameter of each component.
// Companions: activation (exp_value), a binding `theta`. Twin: Loss::value, src/model/loss.rs.

// ln(2 pi) / 2
const HALF_LOG_TAU: f32 = 0.918938533;

fn log_scale(c: u32) -> f32 {
    return theta[call.parameters + c];
}

fn in_scales(r: f32, c: u32) -> f32 {
    return r * exp_value(-log_scale(c));
}

fn loss_value(r: f32, weight: f32, c: u32) -> f32 {
    let z = in_scales(r, c);
    return weight * (0.5 * z * z + log_scale(c) + HALF_LOG_TAU);
}

fn loss_slope(r: f32, c: u32) -> f32 {
    return in_scales(r, c) * exp_value(-log_scale(c));
}

/// Derivative with respect to ln sigma.
fn loss_by_scale(r: f32, c: u32) -> f32 {
    let z = in_scales(r, c);
    return 1.0 - z * z;
}
