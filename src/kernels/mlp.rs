//! The one place where WGSL is generated: the body of the field, specialised to its shape.
//!
//! Three functions, all for the `TRAJECTORIES` trajectories of an invocation:
//! `mlp_eval(t)` takes `argument` to `value`; `mlp_record(t)` does the same and leaves inputs, activations and slopes in
//! scratch; `mlp_backprop()` takes `cotangent` to `value` (the cotangent of the argument) and leaves the deltas in scratch.
//!
//! The inputs of a layer are copied to named values, so that the inner product runs over registers or constant offsets;
//! one load of a weight serves all trajectories. A loop goes over the outputs: unrolling it too costs compile time and
//! gains nothing. Wide layers take their inputs block by block.

use std::fmt::Write as _;

use crate::plan::{BLOCK, FieldLayout, Lane, LayerLayout, Packed, WeightFetch};

/// Where a product reads its inputs.
#[derive(Clone, Copy)]
enum Source<'a> {
    /// A private array, element `(k, r)` at `k * TRAJECTORIES + r`.
    Private(&'a str),
    /// Scratch units from this one on.
    Scratch(usize),
}

/// Generates the field's functions.
pub(super) struct MlpText<'a> {
    layout: &'a FieldLayout,
    dim: usize,
    time_input: bool,
    lane: Lane,
    text: String,
}

impl<'a> MlpText<'a> {
    pub(super) fn new(layout: &'a FieldLayout, dim: usize, time_input: bool, lane: Lane) -> Self {
        Self { layout, dim, time_input, lane, text: String::new() }
    }

    /// `mlp_eval`, for the forward pass.
    pub(super) fn forward(mut self) -> String {
        let layers = &self.layout.layers;
        let width = layers.iter().map(|l| Packed::padded(l.forward.rows)).max().unwrap_or(1);
        self.privates(layers.iter().map(|l| l.forward));
        for name in ["hidden_0", "hidden_1"].iter().take(layers.len() - 1) {
            self.line(0, &format!("var<private> {name}: array<f32, {}>;", width * self.r()));
        }
        self.line(0, "\nfn mlp_eval(t: f32) {");
        for (l, layer) in layers.iter().enumerate() {
            let last = l + 1 == layers.len();
            let from = if l == 0 { "argument".to_owned() } else { format!("hidden_{}", (l + 1) % 2) };
            let to = if last { "value".to_owned() } else { format!("hidden_{}", l % 2) };
            self.comment(l, layer);
            self.product(layer.forward, Source::Private(&from), l == 0, |text, r| {
                text.line(&format!("{to}[j * {}u + {r}u] = {}_value(s{r});", text.r, layer.activation));
            });
        }
        self.line(0, "}");
        self.text
    }

    /// `mlp_record` and `mlp_backprop`, for the reverse pass.
    pub(super) fn reverse(mut self) -> String {
        let layers = &self.layout.layers;
        self.privates(layers.iter().flat_map(|l| [l.forward, l.transposed]));
        self.record();
        self.backprop();
        self.text
    }

    fn record(&mut self) {
        let layers = &self.layout.layers;
        self.line(0, "\nfn mlp_record(t: f32) {");
        self.line(1, &format!("for (var j = 0u; j < {}u; j++) {{", self.dim));
        for r in 0..self.r() {
            let at = self.scratch(layers[0].input_unit, "j", r);
            let value = format!("argument[j * {}u + {r}u]", self.r());
            self.line(2, &format!("{at} = keep({value}, {r}u);"));
        }
        self.line(1, "}");
        for r in 0..self.r() {
            if self.time_input {
                let at = self.scratch(layers[0].input_unit + self.dim, "0u", r);
                self.line(1, &format!("{at} = t;"));
            }
            for layer in layers {
                let at = self.scratch(layer.input_unit + layer.forward.inputs, "0u", r);
                self.line(1, &format!("{at} = 1.0;"));
            }
        }
        for (l, layer) in layers.iter().enumerate() {
            let next = layers.get(l + 1).map(|n| n.input_unit);
            let from = if l == 0 { Source::Private("argument") } else { Source::Scratch(layer.input_unit) };
            self.comment(l, layer);
            let (delta_unit, activation) = (layer.delta_unit, layer.activation);
            self.product(layer.forward, from, l == 0, |text, r| {
                text.line(&format!("let a{r} = {activation}_value(s{r});"));
                let slope = text.scratch(delta_unit, "j", r);
                text.line(&format!("{slope} = keep({activation}_slope(s{r}, a{r}), {r}u);"));
                let target = match next {
                    Some(unit) => format!("{} = keep(a{r}, {r}u)", text.scratch(unit, "j", r)),
                    None => format!("value[j * {}u + {r}u] = a{r}", text.r),
                };
                text.line(&format!("{target};"));
            });
        }
        self.line(0, "}");
    }

    fn backprop(&mut self) {
        let layers = &self.layout.layers;
        self.line(0, "\nfn mlp_backprop() {");
        let last = layers[layers.len() - 1].delta_unit;
        self.line(1, &format!("for (var j = 0u; j < {}u; j++) {{", self.dim));
        for r in 0..self.r() {
            let at = self.scratch(last, "j", r);
            self.line(2, &format!("{at} = keep(cotangent[j * {}u + {r}u] * {at}, {r}u);", self.r()));
        }
        self.line(1, "}");
        for (l, layer) in layers.iter().enumerate().rev() {
            self.line(1, &format!("// deltas of layer {l} to the cotangents of its inputs"));
            let below = l.checked_sub(1).map(|b| layers[b].delta_unit);
            self.product(layer.transposed, Source::Scratch(layer.delta_unit), false, |text, r| match below {
                Some(unit) => {
                    let at = text.scratch(unit, "j", r);
                    text.line(&format!("{at} = keep(s{r} * {at}, {r}u);"));
                }
                None => text.line(&format!("value[j * {}u + {r}u] = s{r};", text.r)),
            });
        }
        self.line(0, "}");
    }

    /// `s_r = bias + sum_k w[j, k] input[k, r]` for every row j, handed to `finish` for each trajectory r.
    fn product(
        &mut self,
        packed: Packed,
        source: Source<'_>,
        first_layer: bool,
        finish: impl Fn(&mut Lines<'_>, usize),
    ) {
        let row = format!("let row = {}u + j * {}u;", packed.offset, packed.stride);
        let rows = format!("for (var j = 0u; j < {}u; j++) {{", packed.rows);
        self.line(1, "{");
        if packed.blocks() == 1 {
            self.inputs(2, source, packed.inputs, "", first_layer);
            self.line(2, &rows);
            self.line(3, &row);
            self.weights(3, packed.inputs, packed.bias);
            self.start(3, packed.bias.map(|b| self.weight(b)));
            self.accumulate(3, packed.inputs);
            self.finish(3, &finish);
            self.line(2, "}");
        } else {
            self.line(2, &rows);
            self.line(3, &row);
            for r in 0..self.r() {
                let bias = packed.bias.map_or("0.0".to_owned(), |b| format!("weights[row + {b}u]"));
                self.line(3, &format!("wide[j * {}u + {r}u] = {bias};", self.r()));
            }
            self.line(2, "}");
            self.line(2, &format!("for (var block = 0u; block < {}u; block++) {{", packed.blocks()));
            self.inputs(3, source, BLOCK, &format!("block * {BLOCK}u + "), first_layer);
            self.line(3, &rows);
            self.line(4, &format!("let row = {}u + j * {}u + block * {BLOCK}u;", packed.offset, packed.stride));
            self.weights(4, BLOCK, None);
            for r in 0..self.r() {
                self.line(4, &format!("var s{r} = wide[j * {}u + {r}u];", self.r()));
            }
            self.accumulate(4, BLOCK);
            for r in 0..self.r() {
                self.line(4, &format!("wide[j * {}u + {r}u] = s{r};", self.r()));
            }
            self.line(3, "}");
            self.line(2, "}");
            self.line(2, &rows);
            for r in 0..self.r() {
                self.line(3, &format!("let s{r} = wide[j * {}u + {r}u];", self.r()));
            }
            self.finish(3, &finish);
            self.line(2, "}");
        }
        self.line(1, "}");
    }

    /// Names the inputs: `i{k}_{r}`. The time is the last input of layer 0.
    fn inputs(&mut self, depth: usize, source: Source<'_>, count: usize, offset: &str, first_layer: bool) {
        for k in 0..count {
            let time = self.time_input && first_layer;
            for r in 0..self.r() {
                let value = match source {
                    _ if time && offset.is_empty() && k == self.dim => "t".to_owned(),
                    Source::Private(array) if time && !offset.is_empty() => {
                        let at = format!("{offset}{k}u");
                        format!("select({array}[({at}) * {}u + {r}u], t, {at} == {}u)", self.r(), self.dim)
                    }
                    Source::Private(array) => format!("{array}[({offset}{k}u) * {}u + {r}u]", self.r()),
                    Source::Scratch(unit) => self.scratch(unit, &format!("{offset}{k}u"), r),
                };
                self.line(depth, &format!("let i{k}_{r} = {value};"));
            }
        }
    }

    /// Loads what the lanes share of a row.
    fn weights(&mut self, depth: usize, inputs: usize, bias: Option<usize>) {
        if self.lane.fetch == WeightFetch::Broadcast8 {
            for c in 0..bias.map_or(inputs, |b| b + 1).div_ceil(8) {
                self.line(depth, &format!("let w{c} = weights[row + {}u + lane];", c * 8));
            }
        }
    }

    /// Value `k` of the current row.
    fn weight(&self, k: usize) -> String {
        match self.lane.fetch {
            WeightFetch::Uniform => format!("weights[row + {k}u]"),
            WeightFetch::Broadcast8 => format!("subgroupBroadcast(w{}, {}u)", k / 8, k % 8),
        }
    }

    fn start(&mut self, depth: usize, bias: Option<String>) {
        self.line(depth, &format!("let b = {};", bias.unwrap_or_else(|| "0.0".to_owned())));
        for r in 0..self.r() {
            self.line(depth, &format!("var s{r} = b;"));
        }
    }

    fn accumulate(&mut self, depth: usize, inputs: usize) {
        for k in 0..inputs {
            let mut line = format!("let u{k} = {};", self.weight(k));
            for r in 0..self.r() {
                let _ = write!(line, " s{r} += u{k} * i{k}_{r};");
            }
            self.line(depth, &line);
        }
    }

    fn finish(&mut self, depth: usize, finish: &impl Fn(&mut Lines<'_>, usize)) {
        let r_count = self.r();
        let mut lines = Lines { text: &mut self.text, depth, r: r_count };
        for r in 0..r_count {
            finish(&mut lines, r);
        }
    }

    /// Private variables that the body needs: the lane, and sums of wide layers.
    fn privates(&mut self, products: impl Iterator<Item = Packed>) {
        self.line(0, "// Number of this invocation in its subgroup.\nvar<private> lane: u32;");
        if let Some(rows) = products.filter(|p| p.blocks() > 1).map(|p| p.rows).max() {
            self.line(0, &format!("var<private> wide: array<f32, {}>;", rows * self.r()));
        }
    }

    fn comment(&mut self, l: usize, layer: &LayerLayout) {
        let line = format!("// layer {l}: {} -> {}, {}", layer.forward.inputs, layer.forward.rows, layer.activation);
        self.line(1, &line);
    }

    fn r(&self) -> usize {
        self.lane.trajectories as usize
    }

    fn scratch(&self, unit: usize, j: &str, r: usize) -> String {
        scratch(unit, j, r)
    }

    fn line(&mut self, depth: usize, line: &str) {
        push_line(&mut self.text, depth, line);
    }
}

/// Appends lines at a fixed depth.
struct Lines<'t> {
    text: &'t mut String,
    depth: usize,
    r: usize,
}

impl Lines<'_> {
    fn line(&mut self, line: &str) {
        push_line(self.text, self.depth, line);
    }

    fn scratch(&self, unit: usize, j: &str, r: usize) -> String {
        scratch(unit, j, r)
    }
}

/// Unit `unit + j` of trajectory r in the current evaluation.
fn scratch(unit: usize, j: &str, r: usize) -> String {
    format!("scratch[({unit}u + {j}) * call.rows + scratch_row + {r}u * WORKGROUP]")
}

fn push_line(text: &mut String, depth: usize, line: &str) {
    let _ = writeln!(text, "{:1$}{line}", "", 4 * depth);
}
