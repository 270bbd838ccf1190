// A data set without missing values. Mirror: missing_noted.wgsl.

fn noted(at: u32, value: f32) -> f32 {
    return value;
}
