// Huber's loss of a residual: a parabola up to delta, a line beyond. Twin: Loss::value, src/model/loss.rs.

fn loss_value(r: f32, weight: f32, c: u32) -> f32 {
    let m = abs(r);
    return weight * min(m, call.delta) * select(m - 0.5 * call.delta, 0.5 * m, m <= call.delta);
}

fn loss_slope(r: f32, c: u32) -> f32 {
    return clamp(r, -call.delta, call.delta);
}
