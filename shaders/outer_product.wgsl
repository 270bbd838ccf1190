// dJ/dtheta from scratch: dW[j, k] += sum over rows of delta[j, row] input[k, row], db[j] likewise with input 1.
// Each invocation owns a square of 8 x 8 weights and a slice of the rows, and adds in ascending order; slices keep
// partials of their own over all dispatches of a pass, so the order of all sums is fixed. No atomics.
// In: scratch [units, rows] as groups of four rows, blocks (src/plan/layout.rs); in/out: partials [slices, P].
// Companion: generated outer_block. Twin: the sums in Field::vjp, src/reference/field.rs.

struct OuterCall {
    blocks: u32,
    rows: u32,
    used: u32,
    slice: u32,
    parameters: u32,
}

var<immediate> call: OuterCall;

@group(0) @binding(0) var<storage, read> scratch: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> blocks: array<u32>;
@group(0) @binding(2) var<storage, read_write> partials: array<f32>;

/// A square of weights.
struct Block {
    input_unit: u32,
    delta_unit: u32,
    columns: u32,
    rows: u32,
    weight: u32,
    per_row: u32,
    bias: u32,
    bias_column: u32,
    // First partial of the slice.
    base: u32,
}

fn add(block: Block, j: u32, k: u32, sum: f32) {
    if (j < block.rows && k < block.columns) {
        let at = select(block.weight + j * block.per_row + k, block.bias + j, k == block.bias_column);
        partials[block.base + at] += sum;
    }
}

@compute @workgroup_size(WORKGROUP)
fn outer_product(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let index = group.x * WORKGROUP + local;
    // Spare invocations repeat the last block without rows: nothing leaves early, so no load is masked.
    let at = min(index, call.blocks - 1u) * 8u;
    let rows = select(0u, blocks[at + 3u], index < call.blocks);
    let block = Block(
        blocks[at], blocks[at + 1u], blocks[at + 2u], rows, blocks[at + 4u], blocks[at + 5u],
        blocks[at + 6u], blocks[at + 7u], group.y * call.parameters,
    );
    let start = group.y * call.slice;
    outer_block(block, start, min(start + call.slice, call.used));
}
