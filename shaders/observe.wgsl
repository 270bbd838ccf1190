// What the forward pass does with x at a save time: it writes it down.
// Companions: stages.wgsl, step_call.wgsl. Mirror: the cotangents in step_reverse.wgsl and pair_reverse.wgsl.

@group(0) @binding(3) var<storage, read_write> observed: array<f32>;
@group(0) @binding(4) var<storage, read_write> status: array<u32>;

fn observe(slot: u32) {
    if (!owns() || slot == NO_SLOT || (call.mode & SAVE) == 0u) {
        return;
    }
    let base = (slot - call.slot_base) * DIM * call.stride;
    for (var q = 0u; q < COMPONENTS; q++) {
        observed[base + element(q)] = x[q];
    }
}
