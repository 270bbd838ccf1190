// Pulling back through a stage evaluates it: with the value of the last one, the first to be pulled back through, the
// update is taken back, and no stage is evaluated twice for it. Written by the generated mlp_pull.
// Mirror: pair_early.wgsl.

var<private> found: array<f32, COMPONENTS>;
// The update at hand.
var<private> taken: Entry;

fn before_pull(entry: Entry, n: u32) {
    taken = entry;
}

/// The other stages' values are still in k.
fn use_value(i: u32) {
    if (i + 1u == STAGES) {
        for (var q = 0u; q < COMPONENTS; q++) {
            k[i * COMPONENTS + q] = found[q];
        }
        take_back(taken);
    }
}
