// The method's coefficients and a window of the entries, filled by src/plan/schedule.rs.
// Companion: entry_step.wgsl or entry_update.wgsl.

struct Coefficient {
    @size(16) value: f32,
}

struct Node {
    c: f32,
    @size(12) b: f32,
}

// Numbers of a method on a pair: factors of target and source in an update, weights of y and z in the output.
struct Pair {
    alpha: f32,
    beta: f32,
    y: f32,
    z: f32,
}

struct Schedule {
    a: array<Coefficient, 64>,
    nodes: array<Node, 8>,
    pair: Pair,
    entries: array<Entry, 1024>,
}
