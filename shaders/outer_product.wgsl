// dJ/dtheta from scratch: dW[j, k] += sum over rows of delta[j, row] input[k, row], db[j] likewise with input 1.
// A rectangle of weights and a slice of the rows belong to one invocation, or to the lanes of a subgroup together; sums are
// added in ascending order, and slices keep partials of their own over all dispatches of a pass, so the order of all sums is
// fixed. No atomics. Of a rectangle's two sides, deltas and inputs, one is called wide and one narrow.
// In: scratch [units, rows] as groups of four rows, rectangles (src/plan/outer.rs); in/out: partials [slices, P].
// Companions: outer_alone or outer_together, generated outer_sums. Twin: the sums in Field::vjp, src/reference/field.rs.

struct OuterCall {
    rectangles: u32,
    rows: u32,
    used: u32,
    slice: u32,
    parameters: u32,
}

var<immediate> call: OuterCall;

@group(0) @binding(0) var<storage, read> scratch: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> rectangles: array<Rectangle>;
@group(0) @binding(2) var<storage, read_write> partials: array<f32>;

/// A rectangle of weights. Its place (w, n) is the weight at `weight + w wide_step + n narrow_step`, or where w or n is that
/// of the bias, the bias at `bias` plus the other.
struct Rectangle {
    wide_unit: u32,
    narrow_unit: u32,
    wide: u32,
    narrow: u32,
    weight: u32,
    wide_step: u32,
    narrow_step: u32,
    bias: u32,
    bias_wide: u32,
    bias_narrow: u32,
}

fn add(rectangle: Rectangle, w: u32, n: u32, sum: f32) {
    if (w < rectangle.wide && n < rectangle.narrow) {
        let weight = rectangle.weight + w * rectangle.wide_step + n * rectangle.narrow_step;
        let bias = rectangle.bias + select(w, n, w == rectangle.bias_wide);
        let at = select(weight, bias, w == rectangle.bias_wide || n == rectangle.bias_narrow);
        partials[base + at] += sum;
    }
}

// First partial of the slice.
var<private> base: u32;

@compute @workgroup_size(WORKGROUP)
fn outer_product(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let index = rectangle_of(group.x, local);
    // Spare invocations repeat the last rectangle without places: nothing leaves early, so no load is masked.
    var rectangle = rectangles[min(index, call.rectangles - 1u)];
    rectangle.wide = select(0u, rectangle.wide, index < call.rectangles);
    base = group.y * call.parameters;
    let start = group.y * call.slice;
    outer_sums(rectangle, lane_of(local), start, min(start + call.slice, call.used));
}
