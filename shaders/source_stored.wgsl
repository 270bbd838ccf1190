// The sources of the updates as pair_walk has left them. Companion of pair_reverse.wgsl; mirror: source_walked.wgsl.

@group(0) @binding(7) var<storage, read> sources: array<f32>;

fn begin_sources() {}

fn before_contraction() {}

fn find_source(entry: Entry, n: u32) {
    let base = n * DIM * call.stride;
    for (var q = 0u; q < COMPONENTS; q++) {
        x[q] = select(0.0, sources[base + element(q)], alive[q % TRAJECTORIES]);
    }
}

fn take_back(entry: Entry) {}

fn end_sources() {}
