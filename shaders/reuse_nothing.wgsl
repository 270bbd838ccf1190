// Every stage is evaluated where it is needed: pulling back through one hands out no value.
// Mirror: reuse_step.wgsl. For pairs: pair_early.wgsl, pair_late.wgsl.

const KNOWN: u32 = 0u;

fn begin_reuse() {}

fn use_value(i: u32) {}
