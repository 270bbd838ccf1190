// The method's coefficients and a window of the entries, filled by src/plan/schedule.rs.
// Companion: entry_step.wgsl or entry_update.wgsl.

struct Coefficient {
    @size(16) value: f32,
}

// Time and weight of a stage, and its weight in the error estimate; the field at the end of the step is one stage more.
struct Node {
    c: f32,
    b: f32,
    @size(8) error: f32,
}

// Numbers of a method on a pair: factors of target and source in an update, weights of y and z in the output.
struct Pair {
    alpha: f32,
    beta: f32,
    y: f32,
    z: f32,
}

// Weights of the terms of the running cost, and the seed of the probe.
struct Cost {
    kinetic: f32,
    reference: f32,
    jacobian: f32,
    seed: u32,
}

// Of two entries: the place of the entry's time in its segment of the grid, and its length as a part of the segment's.
struct Clock {
    even: vec2<f32>,
    odd: vec2<f32>,
}

struct Schedule {
    a: array<Coefficient, 64>,
    nodes: array<Node, 8>,
    pair: Pair,
    cost: Cost,
    entries: array<Entry, 1024>,
    clock: array<Clock, 512>,
}
