// Numbers of one dispatch of a step kernel; meanings in src/plan/kernel.rs.

const NO_SLOT: u32 = 0xffffffffu;
// Bits of `mode`.
const BACKWARD: u32 = 1u;
const KEEP: u32 = 2u;
const SAVE: u32 = 4u;
const PAY: u32 = 16u;
const FIRST: u32 = 32u;
const LAST: u32 = 64u;

struct StepCall {
    first_step: u32,
    steps: u32,
    first_trajectory: u32,
    batch: u32,
    stride: u32,
    slot_base: u32,
    outer_slot: u32,
    step_number: u32,
    rows: u32,
    tile: u32,
    mode: u32,
    event: u32,
    bits: u32,
    span: f32,
    segment: u32,
    // Always 0: a loop whose bound has it added is not unrolled by a compiler that knows constants only.
    idle: u32,
}

var<immediate> call: StepCall;

// First trajectory of this invocation; the others follow it.
var<private> first: u32;

/// Index of private element q in a buffer [dim, stride].
fn element(q: u32) -> u32 {
    return (q / TRAJECTORIES) * call.stride + first + q % TRAJECTORIES;
}
