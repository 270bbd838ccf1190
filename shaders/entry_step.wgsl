// An entry of the schedule: one step of a Runge-Kutta method.

struct Entry {
    // Times since t0: src/plan/origin.rs.
    start: f32,
    end: f32,
    h: f32,
    // Observation at the end of the step, or NO_SLOT.
    slot: u32,
}
