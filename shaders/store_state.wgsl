// Stored adjoint, forward: keeps the state before each step. Mirror: recover_stored.wgsl.

@group(0) @binding(6) var<storage, read_write> stored: array<f32>;

fn store(n: u32) {
    if (!owns()) {
        return;
    }
    let base = n * DIM * call.stride;
    for (var q = 0u; q < COMPONENTS; q++) {
        stored[base + element(q)] = x[q];
    }
}
