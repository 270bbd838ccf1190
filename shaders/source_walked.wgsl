// The pair walks back inside pair_reverse.wgsl: one evaluation serves the update's inverse and its adjoint. Bit for bit only
// if the driver gives this pipeline the bits that it gave pair_walk, which a self-test finds out and every run checks
// again; trajectories that failed do not come back. Companions: pair_float or pair_fixed and theirs. Mirror:
// source_stored.wgsl.

@group(0) @binding(6) var<storage, read_write> state: array<Word>;

// Contractions before the current update.
var<private> event: u32;

// Trouble was noted going forward.

fn note_trouble(q: u32, kind: u32) {}

fn note_increment(q: u32, g: f32) {}

fn begin_sources() {
    event = call.event;
    load_pair();
}

fn before_contraction() {
    event -= 1u;
    expand();
}

fn find_source(entry: Entry, n: u32) {
    let source_side = 1u - (entry.word & SIDE);
    slide(source_side, -entry.drift);
    for (var q = 0u; q < COMPONENTS; q++) {
        x[q] = copy_value(source_side, q);
    }
}

/// The target before the update, once it is taken back.
fn target_value(q: u32, n: u32) -> f32 {
    return copy_value(target_side, q);
}

fn take_back(entry: Entry) {
    kick(entry.word & SIDE, entry, true);
    slide(1u - (entry.word & SIDE), -entry.drift);
}

fn end_sources() {
    store_pair();
}
