//! The register block of `outer_product`: 64 named accumulators, since an indexed private array would go to memory.

use std::fmt::Write as _;

use crate::plan::{OUTER_LANES, Outer};

/// Generates `outer_sums`, which adds rows `start .. end` (groups of four) to one rectangle of weights, or to a lane's part
/// of it. Where lanes share the narrow side, lane l loads its units l, l + 8, …, and the others get them by broadcast.
pub(super) fn outer_sums(outer: Outer) -> String {
    let (wide, narrow) = (outer.lane_wide(), outer.narrow());
    let together = outer.together;
    let lanes = if together { OUTER_LANES } else { 1 };
    let mut text = String::from("fn outer_sums(rectangle: Rectangle, lane: u32, start: u32, end: u32) {\n");
    for w in 0..wide {
        for n in 0..narrow {
            let _ = writeln!(text, "    var s{w}_{n} = 0.0;");
        }
    }
    let _ = writeln!(text, "    let w = (rectangle.wide_unit + {wide}u * lane) * call.rows;");
    let _ = writeln!(text, "    let n = (rectangle.narrow_unit + lane) * call.rows;");
    text.push_str("    for (var row = start; row < end; row++) {\n");
    for w in 0..wide {
        let _ = writeln!(text, "        let w{w} = scratch[w + {w}u * call.rows + row];");
    }
    for load in 0..narrow / lanes {
        let _ = writeln!(text, "        let n{load} = scratch[n + {}u * call.rows + row];", load * lanes);
    }
    for n in 0..narrow {
        let value = if together {
            let _ = writeln!(text, "        let v{n} = subgroupBroadcast(n{}, {}u);", n / lanes, n % lanes);
            format!("v{n}")
        } else {
            format!("n{n}")
        };
        for w in 0..wide {
            let _ = writeln!(text, "        s{w}_{n} += dot(w{w}, {value});");
        }
    }
    text.push_str("    }\n");
    let _ = writeln!(text, "    let first = {wide}u * lane;");
    for w in 0..wide {
        for n in 0..narrow {
            let _ = writeln!(text, "    add(rectangle, first + {w}u, {n}u, s{w}_{n});");
        }
    }
    text.push_str("}\n");
    text
}
