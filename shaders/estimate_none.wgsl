// A forward pass without error estimate. Mirror: estimate.wgsl.

fn begin_estimate() {}

fn close_estimate() {}

fn open_estimate(h: f32) {}

fn weigh_estimate() {}

fn end_estimate() {}
