// A running cost without a reference. Mirror: reference_given.wgsl.

fn seek_reference(t: f32) {}

fn reference_value(q: u32) -> f32 {
    return 0.0;
}

fn reference_slope(q: u32) -> f32 {
    return 0.0;
}
