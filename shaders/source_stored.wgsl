// The sources of the updates as pair_walk has left them. Companion of pair_reverse.wgsl; mirror: source_walked.wgsl.

@group(0) @binding(6) var<storage, read> sources: array<f32>;

fn begin_sources() {}

fn before_contraction() {}

fn find_source(entry: Entry, n: u32) {
    let base = n * KEPT * DIM * call.stride;
    for (var q = 0u; q < COMPONENTS; q++) {
        x[q] = select(0.0, sources[base + element(q)], alive[q % TRAJECTORIES]);
    }
}

/// The target before the update, where it is kept behind the source.
fn target_value(q: u32, n: u32) -> f32 {
    let stored = sources[(n * KEPT + 1u) * DIM * call.stride + element(q)];
    return select(0.0, stored, alive[q % TRAJECTORIES]);
}

fn take_back(entry: Entry) {}

fn end_sources() {}
