// Numbers of one dispatch of a step kernel; meanings in src/plan/kernel.rs.

const NO_SLOT: u32 = 0xffffffffu;
// Status words: the kind in the upper four bits, the step below.
const FORWARD_NON_FINITE: u32 = 0x10000000u;
const REVERSE_NON_FINITE: u32 = 0x20000000u;
const LOSS_OVERFLOW: u32 = 0x30000000u;

struct StepCall {
    first_step: u32,
    steps: u32,
    first_trajectory: u32,
    batch: u32,
    stride: u32,
    slot_base: u32,
    outer_slot: u32,
    residual: u32,
    step_number: u32,
    rows: u32,
    tile: u32,
}

var<immediate> call: StepCall;

// First trajectory of this invocation; the others follow it.
var<private> first: u32;

/// Index of private element q in a buffer [dim, stride].
fn element(q: u32) -> u32 {
    return (q / TRAJECTORIES) * call.stride + first + q % TRAJECTORIES;
}
