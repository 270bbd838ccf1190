// Copies the parameters [P] into the padded and transposed rows that the step kernels read.
// Table: src/plan/layout.rs; places that no parameter fills become zero. The kernels count the time from t0
// (src/plan/origin.rs), so the biases of layer 0 become b + w t0 with the weights w of the time. Both may be huge and their
// sum ordinary, so the sum is made without a rounding until the end.
// Companions: fold.wgsl, two_sum.wgsl. Mirror: time_column.wgsl.

struct PackCall {
    count: u32,
    // Layer 0: units (0 if the time does not enter or counts from 0), inputs, first bias in theta.
    units: u32,
    inputs: u32,
    first_bias: u32,
    // t0 as the sum of two numbers.
    high: f32,
    low: f32,
    // 1 if the activation has the period 2 pi: then whole turns are taken off.
    periodic: u32,
    idle: u32,
}

var<immediate> call: PackCall;

@group(0) @binding(0) var<storage, read> theta: array<f32>;
@group(0) @binding(1) var<storage, read> table: array<u32>;
@group(0) @binding(2) var<storage, read_write> weights: array<f32>;

const NO_PARAMETER: u32 = 0xffffffffu;

// A sum and what it has rounded away.
var<private> sum: f32;
var<private> lost: f32;

fn add(v: f32) {
    let both = two_sum(sum, v);
    sum = both.x;
    lost += both.y;
}

/// The twelve leading bits: a product of two such numbers, or of what they leave, is exact.
fn leading(v: f32) -> f32 {
    return bitcast<f32>(bitcast<u32>(v) & 0xfffff000u);
}

fn add_product(a: f32, b: f32) {
    let a1 = leading(a);
    let b1 = leading(b);
    add(a1 * b1);
    add(a1 * (b - b1));
    add((a - a1) * b1);
    add((a - a1) * (b - b1));
}

fn take_off_turns() {
    // The second time for what the rounding of many turns has left.
    for (var again = 0u; again < 2u; again++) {
        let turns = -round(sum * 0.15915494);
        // 2 pi in three parts.
        add_product(turns, 6.2831855);
        add_product(turns, -1.7484555e-7);
        add_product(turns, -6.860498e-15);
    }
}

fn shifted_bias(bias: f32, weight: f32) -> f32 {
    sum = bias;
    lost = 0.0;
    add_product(weight, call.high);
    add_product(weight, call.low);
    if (call.periodic == 1u) {
        take_off_turns();
    }
    return sum + lost;
}

@compute @workgroup_size(64)
fn pack_weights(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = folded(group, groups, local);
    if (i < call.count) {
        let p = table[i];
        var value = select(theta[min(p, arrayLength(&theta) - 1u)], 0.0, p == NO_PARAMETER);
        // Not below: the difference wraps.
        let unit = p - call.first_bias;
        if (p != NO_PARAMETER && unit < call.units) {
            // The time is the last input.
            value = shifted_bias(value, theta[unit * call.inputs + call.inputs - 1u]);
        }
        weights[i] = value;
    }
}
