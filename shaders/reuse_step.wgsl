// The field at the start of a step is that at the end of the one before it: what pulling back through the first stage finds
// is the first stage of the next reconstruction. Written by the generated mlp_pull; stages go last to first, so that
// the first one's value is what is left. Mirror: reuse_nothing.wgsl.

var<private> found: array<f32, COMPONENTS>;

// Stages that are known once a step is done.
const KNOWN: u32 = 1u;

fn begin_reuse() {
    for (var q = 0u; q < COMPONENTS; q++) {
        k[q] = found[q];
    }
}

fn use_value(i: u32) {}
