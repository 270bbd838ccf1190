// A forward pass without running cost. Mirror: pay.wgsl.

fn begin_paying() {}

fn pay(weight: f32, t: f32) {}

fn end_paying() {}
