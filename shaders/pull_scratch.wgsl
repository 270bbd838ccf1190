// Pulling back with activations and deltas in scratch, for outer_product.wgsl: the field is evaluated once.
// Companions: pull_back.wgsl, charge_*, clock_*, a binding `scratch`, generated mlp_record and mlp_backprop.
// Mirror: pull_inside.wgsl.

// Scratch row of this invocation in the current evaluation, in units of Lanes; so are call.rows and call.tile.
var<private> scratch_row: u32;

// Stages that are evaluated before pulling back: each leaves what its own way back needs.
const RECORDED: u32 = STAGES;

fn begin_sums(group: u32) {}

fn end_sums() {}

/// Evaluates the stages of an increment and leaves their activations and slopes in the scratch rows of evaluation `n`.
fn record_stage(i: u32, n: u32, in_tile: u32, t: f32) {
    scratch_row = (n * STAGES + i) * EVALUATION_ROWS * call.tile + in_tile;
    mlp_record(t);
    keep_stage(i);
    keep_tangent(i);
}

/// Pulls back through the stages from the last to the first: k holds the cotangents of their arguments afterwards. A stage
/// has the share b_i of `paid` in the quadrature of the running cost.
fn pull_stages(n: u32, in_tile: u32, t: f32, h: f32, paid: f32) {
    for (var m = 0u; m < STAGES; m++) {
        let i = STAGES - 1u - m;
        let weight = schedule.nodes[i].b * paid;
        stage_cotangent(i, h);
        charge(i, h, weight, t + schedule.nodes[i].c * h);
        scratch_row = (n * STAGES + i) * EVALUATION_ROWS * call.tile + in_tile;
        mlp_backprop();
        charge_argument(weight);
        clock_stage(i, h, weight);
        keep_stage(i);
    }
}
