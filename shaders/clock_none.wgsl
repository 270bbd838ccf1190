// A reverse pass without gradients with respect to times. Mirror: clock.wgsl.

fn start_clock() {}

fn clock_stage(i: u32, h: f32, weight: f32) {}

fn turn_clock(n: u32, cost_rate: f32) {}

fn pass_knot(slot: u32) {}

fn stop_clock() {}
