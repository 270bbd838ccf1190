//! The register block of `outer_product`: 64 named accumulators, since an indexed private array would go to memory.

use std::fmt::Write as _;

use crate::plan::GRADIENT_BLOCK;

/// Generates `outer_block`, which adds rows `start .. end` (groups of four) of one square of weights.
pub(super) fn outer_block() -> String {
    let n = GRADIENT_BLOCK;
    let mut text = String::from("fn outer_block(block: Block, start: u32, end: u32) {\n");
    for j in 0..n {
        for k in 0..n {
            let _ = writeln!(text, "    var s{j}_{k} = 0.0;");
        }
    }
    for (name, unit) in [("d", "delta_unit"), ("v", "input_unit")] {
        let _ = writeln!(text, "    let {name} = block.{unit} * call.rows;");
    }
    text.push_str("    for (var row = start; row < end; row++) {\n");
    for (name, base) in [("d", "d"), ("v", "v")] {
        for i in 0..n {
            let _ = writeln!(text, "        let {name}{i} = scratch[{base} + {i}u * call.rows + row];");
        }
    }
    for j in 0..n {
        for k in 0..n {
            let _ = writeln!(text, "        s{j}_{k} += dot(d{j}, v{k});");
        }
    }
    text.push_str("    }\n");
    for j in 0..n {
        for k in 0..n {
            let _ = writeln!(text, "    add(block, {j}u, {k}u, s{j}_{k});");
        }
    }
    text.push_str("}\n");
    text
}
