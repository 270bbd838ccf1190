// Training: a binary point that one trajectory of a minibatch asks for is asked for by all of the next, so that ranges are
// widened once for a component. One workgroup for a component; its invocations take every 64th trajectory.

struct ShareCall {
    stride: u32,
    batch: u32,
}

var<immediate> call: ShareCall;

@group(0) @binding(0) var<storage, read_write> asked: array<u32>;

var<workgroup> least: atomic<u32>;

@compute @workgroup_size(64)
fn share_points(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let row = group.x * call.stride;
    if (local == 0u) {
        atomicStore(&least, 0xffffffffu);
    }
    workgroupBarrier();
    for (var b = local; b < call.batch; b += 64u) {
        // Without the bit that says that a range was left.
        atomicMin(&least, asked[row + b] & 0xffffu);
    }
    workgroupBarrier();
    let point = atomicLoad(&least);
    for (var b = local; b < call.stride; b += 64u) {
        asked[row + b] = point;
    }
}
