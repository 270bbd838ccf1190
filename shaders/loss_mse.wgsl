// Squared error of a residual. Twin: Loss::value, src/model/loss.rs.

fn loss_value(r: f32, weight: f32, c: u32) -> f32 {
    // A weight that belongs to small units keeps the square in range.
    return weight * r * r;
}

fn loss_slope(r: f32, c: u32) -> f32 {
    return 2.0 * r;
}
