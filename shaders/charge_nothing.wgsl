// A reverse pass without running cost. Mirror: charge.wgsl.

fn begin_charging() {}

fn keep_tangent(i: u32) {}

fn charge(i: u32, h: f32, weight: f32, t: f32) {}

fn charge_argument(weight: f32) {}

fn seek_time(t: f32) {}

/// g L, for the gradient with respect to times.
fn charged(i: u32, r: u32) -> f32 {
    return 0.0;
}

/// g weight dL/dt.
fn charged_slope(weight: f32, r: u32) -> f32 {
    return 0.0;
}
