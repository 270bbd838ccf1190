// Stored adjoint, reverse: the state before step n is loaded. Mirror: store_state.wgsl.

@group(0) @binding(7) var<storage, read> stored: array<f32>;

const PHASES: u32 = 1u;

fn recover(n: u32) {
    let base = n * DIM * call.stride;
    for (var q = 0u; q < COMPONENTS; q++) {
        x[q] = select(0.0, stored[base + element(q)], alive[q % TRAJECTORIES]);
    }
}

fn reconstructed(h: f32) {}
