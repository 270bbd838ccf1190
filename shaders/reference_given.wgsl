// The reference of a running cost: times since t0 [count], then for each time values and slopes [2, dim] or [2, dim, stride]; a
// cubic Hermite polynomial in between. Companions: step_call.wgsl, a binding `reference`. Twin: Reference::at,
// src/model/reference.rs.

// Place of the values at the start of the piece that holds the time; basis of x_0, x'_0, x_1, x'_1 and its slopes there.
var<private> piece: u32;
var<private> basis: vec4<f32>;
var<private> basis_slope: vec4<f32>;

fn seek_reference(t: f32) {
    let rising = reference[REFERENCE_TIMES - 1u] > reference[0];
    var low = 0u;
    var high = REFERENCE_TIMES - 1u;
    for (var s = 0u; s < REFERENCE_SEARCH; s++) {
        let middle = (low + high) / 2u;
        let passed = select(t <= reference[middle], t >= reference[middle], rising);
        low = select(low, middle, passed);
        high = select(middle, high, passed);
    }
    // At most one apart now, and low is not the last time.
    low = min(low, REFERENCE_TIMES - 2u);
    let start = reference[low];
    let h = reference[low + 1u] - start;
    let u = (t - start) / h;
    let w = 1.0 - u;
    piece = low;
    basis = vec4(w * w * (1.0 + 2.0 * u), h * u * w * w, u * u * (3.0 - 2.0 * u), -h * u * u * w);
    basis_slope = vec4(-6.0 * u * w / h, w * (1.0 - 3.0 * u), 6.0 * u * w / h, u * (3.0 * u - 2.0));
}

/// Values and slopes at both ends of the piece.
fn reference_ends(q: u32) -> vec4<f32> {
    let own = select(element(q), q / TRAJECTORIES, REFERENCE_SHARED);
    let plane = DIM * select(call.stride, 1u, REFERENCE_SHARED);
    let at = REFERENCE_TIMES + 2u * piece * plane + own;
    return vec4(reference[at], reference[at + plane], reference[at + 2u * plane], reference[at + 3u * plane]);
}

fn reference_value(q: u32) -> f32 {
    return dot(basis, reference_ends(q));
}

fn reference_slope(q: u32) -> f32 {
    return dot(basis_slope, reference_ends(q));
}
