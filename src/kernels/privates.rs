//! The private arrays of the field's body, and how inputs come to registers where the long ones are in a buffer: each place
//! at which a text reads that costs compile time, so they come by way of short arrays, in loops.

use super::mlp::{MlpText, Source};
use crate::plan::{COPIED, COPIED_AT_ONCE, Packed};

impl MlpText<'_> {
    /// Private variables that the body needs: the lane, activations, sums of wide layers.
    pub(super) fn privates(&mut self, products: impl Iterator<Item = Packed>) {
        self.line(0, "// Number of this invocation in its subgroup.\nvar<private> lane: u32;");
        let layers = &self.layout.layers;
        let width = layers.iter().map(|l| Packed::padded(l.forward.rows)).max().unwrap_or(1);
        for r in 0..self.columns() {
            self.line(0, &format!("var<private> hidden_{r}: array<f32, {width}>;"));
        }
        if self.spilled {
            for r in 0..self.columns() {
                self.line(0, &format!("var<private> block_{r}: array<f32, {COPIED}>;"));
            }
        }
        if let Some(rows) = products.filter(|p| p.blocks() > 1).map(|p| p.rows).max() {
            self.line(0, &format!("var<private> wide: array<f32, {}>;", rows * self.columns()));
        }
    }

    /// Names the inputs by way of `block_{r}`, which stay private.
    pub(super) fn copied_inputs(&mut self, depth: usize, source: Source, count: usize, offset: &str) {
        for first in (0..count).step_by(COPIED) {
            let some = COPIED.min(count - first);
            self.copied_some(depth, source, (first, some), offset);
        }
    }

    fn copied_some(&mut self, depth: usize, source: Source, (first, count): (usize, usize), offset: &str) {
        // Loop trips are scarce where there are many blocks, places in the text where there is one.
        let together = if offset.is_empty() { 1 } else { COPIED_AT_ONCE };
        self.line(depth, &format!("for (var k = 0u; k < {count}u; k += {together}u) {{"));
        for one in 0..together {
            self.copied_one(depth + 1, source, &format!("{offset}{first}u + k + {one}u"), one);
        }
        self.line(depth, "}");
        for k in 0..count {
            for r in 0..self.columns() {
                self.line(depth, &format!("let i{}_{r} = block_{r}[{k}u];", first + k));
            }
        }
    }

    fn copied_one(&mut self, depth: usize, source: Source, at: &str, one: usize) {
        self.line(depth, &format!("let at{one} = {at};"));
        for r in 0..self.columns() {
            let (array, time) = if r < self.r() { ("argument", "t") } else { ("probe", "0.0") };
            let argument = format!("{array}[at{one} * {}u + {}u]", self.r(), r % self.r());
            let value = match source {
                Source::Hidden => format!("hidden_{r}[at{one}]"),
                Source::Argument if self.time_input => format!("select({argument}, {time}, at{one} == {}u)", self.dim),
                Source::Argument => argument,
            };
            self.line(depth, &format!("block_{r}[k + {one}u] = {value};"));
        }
    }
}
