// Absolute error of a residual. Twin: Loss::value, src/model/loss.rs.

fn loss_value(r: f32, weight: f32, c: u32) -> f32 {
    return weight * abs(r);
}

fn loss_slope(r: f32, c: u32) -> f32 {
    return sign(r);
}
