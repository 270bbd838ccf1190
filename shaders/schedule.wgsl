// The method's coefficients and a window of the steps, filled by src/plan/schedule.rs.

struct Coefficient {
    @size(16) value: f32,
}

struct Node {
    c: f32,
    @size(12) b: f32,
}

struct Step {
    start: f32,
    end: f32,
    h: f32,
    // Observation at the end of the step, or NO_SLOT.
    slot: u32,
}

struct Schedule {
    a: array<Coefficient, 64>,
    nodes: array<Node, 8>,
    steps: array<Step, 1024>,
}
