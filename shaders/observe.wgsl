// What the forward pass does with x at a save time: writes it, or replaces the target by the residual.
// Companions: stages.wgsl, step_call.wgsl. Mirror: the cotangents in step_reverse.wgsl and pair_reverse.wgsl.

@group(0) @binding(3) var<storage, read_write> observed: array<f32>;
@group(0) @binding(4) var<storage, read_write> status: array<u32>;

const SAVE: u32 = 0u;
const RESIDUAL: u32 = 1u;

// A residual beyond this would make the sum of squares overflow, and with it the loss of the whole batch.
const RESIDUAL_LIMIT: f32 = 1e15;

fn observe(slot: u32, n: u32) {
    if (slot == NO_SLOT || call.residual > RESIDUAL) {
        return;
    }
    let base = (slot - call.slot_base) * DIM * call.stride;
    for (var q = 0u; q < COMPONENTS; q++) {
        let at = base + element(q);
        let residual = x[q] - observed[at];
        let b = first + q % TRAJECTORIES;
        if (call.residual == RESIDUAL && abs(residual) > RESIDUAL_LIMIT && status[b] == 0u) {
            status[b] = LOSS_OVERFLOW | n;
        }
        observed[at] = select(x[q], residual, call.residual == RESIDUAL);
    }
}
