// What a pair's forward pass is worth, per trajectory: how far the copies have parted at the ends of steps, relative to the
// largest magnitude of each component, and whether the binary points of fixed point were right.
// Companions: fold, common, status, points_none or points_fit.

struct FinishCall {
    dim: u32,
    stride: u32,
    batch: u32,
    // Copies further apart than this make the trajectory worthless.
    parted: f32,
    // What a resolution that is not small does: nothing, the trajectory is marked (MARK), and its point is moved (MOVE).
    coarse: u32,
}

var<immediate> call: FinishCall;

@group(0) @binding(0) var<storage, read_write> measures: array<f32>;
@group(0) @binding(1) var<storage, read_write> status: array<u32>;

/// The largest magnitude of component c, as shaders/largest.wgsl keeps it.
fn largest_of(c: u32, b: u32) -> f32 {
    return measures[(2u + c) * call.stride + b];
}

/// The largest distance of the copies in component c at the ends of steps.
fn distance_of(c: u32, b: u32) -> f32 {
    return measures[(2u + call.dim + c) * call.stride + b];
}

@compute @workgroup_size(64)
fn pair_finish(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let b = folded(group, groups, local);
    if (b >= call.batch) {
        return;
    }
    let unfit = fit_points(b);
    var apart = 0.0;
    for (var c = 0u; c < call.dim; c++) {
        let distance = distance_of(c, b);
        // Of two copies at a distance one is not zero.
        apart = max(apart, select(0.0, distance / largest_of(c, b), distance > 0.0));
    }
    measures[b] = apart;
    if (unfit == PARTED || (status[b] == 0u && apart > call.parted)) {
        status[b] = PARTED;
    } else if (status[b] == 0u) {
        status[b] = unfit;
    }
}
