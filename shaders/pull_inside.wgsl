// Pulling back with the sums of dJ/dtheta inside the kernel: activations never leave it. What a stage's argument is made of
// is evaluated first; the evaluation of a stage is repeated with its cotangent at hand.
// Companions: pull_back.wgsl, reuse_*, pair_early or pair_late, generated mlp_eval and mlp_pull, and begin_sums and end_sums
// of the kernel family.
// Mirror: pull_scratch.wgsl.

// Stages that are evaluated before pulling back: what the arguments of the others are made of.
const RECORDED: u32 = STAGES - 1u;

/// Evaluates a stage that later ones need.
fn record_stage(i: u32, n: u32, in_tile: u32, t: f32) {
    mlp_eval(t);
    keep_stage(i);
}

/// Pulls back through the stages from the last to the first: k holds the cotangents of their arguments afterwards.
fn pull_stages(n: u32, in_tile: u32, t: f32, h: f32, paid: f32) {
    for (var m = 0u; m < STAGES; m++) {
        // The remainder does nothing, but of one stage a compiler sees the number.
        let i = (STAGES - 1u - m) % STAGES;
        stage_cotangent(i, h);
        stage_argument(i, h);
        mlp_pull(t + schedule.nodes[i].c * h);
        use_value(i);
        keep_stage(i);
    }
}
