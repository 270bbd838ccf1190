// A save time between steps: Hermite weights of the states and of the field at both ends of its step, the weights'
// derivatives, times since t0, and where the states lie. Filled by src/plan/dense.rs.

struct Interpolation {
    states: vec2<f32>,
    fields: vec2<f32>,
    state_slopes: vec2<f32>,
    field_slopes: vec2<f32>,
    times: vec2<f32>,
    slots: vec2<u32>,
    // Those of the field divided by the length of the step.
    shapes: vec2<f32>,
    // The track's entries before the ends, for the status.
    entries: vec2<u32>,
}

/// One end of the step.
struct End {
    of_state: f32,
    of_field: f32,
    state_slope: f32,
    field_slope: f32,
    shape: f32,
    t: f32,
    slot: u32,
    entry: u32,
}

fn end_of(row: Interpolation, e: u32) -> End {
    if (e == 0u) {
        return End(
            row.states.x, row.fields.x, row.state_slopes.x, row.field_slopes.x, row.shapes.x, row.times.x, row.slots.x,
            row.entries.x,
        );
    }
    return End(
        row.states.y, row.fields.y, row.state_slopes.y, row.field_slopes.y, row.shapes.y, row.times.y, row.slots.y,
        row.entries.y,
    );
}
