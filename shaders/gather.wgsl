// Takes a minibatch from the data set [series, times, dim] on the device: for each trajectory a series and a window of
// `window` points. The first point becomes the initial state, the others the targets of the save times. With `ordered` at 0
// windows are drawn; otherwise each series is cut into so many windows that follow each other, of which the last ends
// where the series does, and they are taken in order from the `first` on.
// The draw is a counter-based hash of (seed, iteration, trajectory): no state, the same on every device.
// Companions: fold, missing_none or missing_noted. Twin: src/train/draw.rs.

struct GatherCall {
    seed: u32,
    iteration: u32,
    batch: u32,
    stride: u32,
    dim: u32,
    series: u32,
    times: u32,
    window: u32,
    ordered: u32,
    first: u32,
}

var<immediate> call: GatherCall;

@group(0) @binding(0) var<storage, read> data: array<f32>;
@group(0) @binding(1) var<storage, read_write> initial: array<f32>;
@group(0) @binding(2) var<storage, read_write> observed: array<f32>;

/// PCG output permutation (Jarzynski & Olano 2020).
fn pcg(v: u32) -> u32 {
    let s = v * 747796405u + 2891336453u;
    let w = ((s >> ((s >> 28u) + 4u)) ^ s) * 277803737u;
    return (w >> 22u) ^ w;
}

@compute @workgroup_size(64)
fn gather(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    // One invocation per point of a sample: lavapipe leaves all loops of an invocation after 65 535 trips.
    let i = folded(group, groups, local);
    if (i < call.batch * call.window) {
        let b = i % call.batch;
        let point = i / call.batch;
        let key = pcg(b ^ pcg(call.iteration ^ pcg(call.seed)));
        let starts = call.times - call.window + 1u;
        let drawn = key % (call.series * starts);
        // Trajectories beyond the last window repeat it, and are not counted.
        let cut = max(call.ordered, 1u);
        let taken = min(call.first + b, call.series * cut - 1u);
        let follows = min(taken % cut * (call.window - 1u), starts - 1u);
        let series = select(drawn / starts, taken / cut, call.ordered > 0u);
        let start = select(drawn % starts, follows, call.ordered > 0u);
        for (var c = 0u; c < call.dim; c++) {
            let value = data[(series * call.times + start + point) * call.dim + c];
            if (point == 0u) {
                initial[c * call.stride + b] = value;
            } else {
                let at = ((point - 1u) * call.dim + c) * call.stride + b;
                observed[at] = noted(at, value);
            }
        }
    }
}
