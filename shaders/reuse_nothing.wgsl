// Every stage is evaluated where it is needed: pulling back through one hands out no value.
// Mirrors: reuse_step.wgsl, and for pairs reuse_increment.wgsl.

const KNOWN: u32 = 0u;

fn begin_reuse() {}

fn use_value(i: u32) {}
