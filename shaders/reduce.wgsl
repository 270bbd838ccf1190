// Adds runs of 64 rows of [rows, columns] in ascending order, or takes their maximum in the columns that `maximum` marks.
// Repeated until one row is left (src/plan/reduce.rs): a tree of fixed shape.

struct ReduceCall {
    rows: u32,
    columns: u32,
    maximum: u32,
    // Offset of the result.
    into: u32,
}

var<immediate> call: ReduceCall;

@group(0) @binding(0) var<storage, read> source: array<f32>;
@group(0) @binding(1) var<storage, read_write> result: array<f32>;

const RUN: u32 = 64u;

@compute @workgroup_size(64)
fn reduce(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = folded(group, groups, local);
    let run = i / call.columns;
    let column = i % call.columns;
    let first = run * RUN;
    if (first < call.rows) {
        let last = min(first + RUN, call.rows);
        let largest = column < 32u && ((call.maximum >> column) & 1u) == 1u;
        var total = source[first * call.columns + column];
        for (var row = first + 1u; row < last; row++) {
            let value = source[row * call.columns + column];
            total = select(total + value, max(total, value), largest);
        }
        result[call.into + i] = total;
    }
}
