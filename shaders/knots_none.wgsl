// The continuous adjoint without gradients with respect to times. Mirror: knots.wgsl.

fn pass_end(slot: u32, last: bool, t: f32) {}

fn pass_start(t: f32) {}
