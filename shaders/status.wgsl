// What the words of the status mean; decoded by src/problem/outcome.rs.

// Status words: the kind in the upper four bits, the step or update below.
const FORWARD_NON_FINITE: u32 = 0x10000000u;
const REVERSE_NON_FINITE: u32 = 0x20000000u;
const COST_OVERFLOW: u32 = 0x30000000u;
const OUT_OF_RANGE: u32 = 0x40000000u;
const PARTED: u32 = 0x50000000u;
const COARSE: u32 = 0x60000000u;
const LOSS_OVERFLOW: u32 = 0x70000000u;
const KIND: u32 = 0xf0000000u;
