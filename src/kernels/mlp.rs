//! The one place where WGSL is generated: the body of the field, specialised to its shape.
//!
//! Three functions, all for the `TRAJECTORIES` trajectories of an invocation:
//! `mlp_eval(t)` takes `argument` to `value`; `mlp_record(t)` does the same and leaves inputs, activations and slopes in
//! scratch; `mlp_backprop()` takes `cotangent` to `value` (the cotangent of the argument) and leaves the deltas in scratch.
//!
//! With [`Extras::tangents`] the derivative along `probe` goes through the layers beside the values, as `TRAJECTORIES` more
//! columns of every product, to `tangent`; its cotangent `tangent_cotangent` comes back with the others (math.md §8). It
//! has scratch rows of its own, `call.tile` rows after those of the values: to `outer_product` they are rows like any
//! other. Bias and time have no tangent.
//!
//! The inputs of a layer are copied to named values, so that the inner product runs over registers or constant offsets;
//! one load of a weight serves all trajectories. A loop goes over the outputs: unrolling it too costs compile time and
//! gains nothing. Wide layers take their inputs block by block. Since the inputs are named before any output is
//! written, one array per trajectory holds the activations of all layers in turn. One array for all trajectories would
//! do as well, but llvmpipe's compile time grows with the square of an array's length (each element is zeroed by an
//! instruction of its own, and the coroutine pass compares them pair by pair).

use std::fmt::Write as _;

use super::lines::{Lines, push_line};
use crate::model::{Activation, Mlp};
use crate::plan::{BLOCK, FieldLayout, Lane, LayerLayout, Packed, WeightFetch};

/// Where a product reads its inputs.
#[derive(Clone, Copy)]
pub(super) enum Source {
    /// `argument`, whose element `(k, r)` is at `k * TRAJECTORIES + r`; followed by the time if the field takes it.
    Argument,
    /// `hidden_r`, one private array per trajectory.
    Hidden,
}

/// What the functions do beside evaluating the field and pulling cotangents of x and θ back.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Extras {
    /// The derivative along `probe` goes along.
    pub(super) tangents: bool,
    /// `mlp_backprop` leaves the cotangent of the time behind that of the argument.
    pub(super) time: bool,
    /// Deltas go to scratch times `share`.
    pub(super) shares: bool,
}

/// Generates the field's functions.
pub(super) struct MlpText<'a> {
    pub(super) layout: &'a FieldLayout,
    pub(super) dim: usize,
    pub(super) time_input: bool,
    lane: Lane,
    extras: Extras,
    /// True if inputs come by way of short arrays: every place at which the text reads a buffer costs compile time.
    pub(super) spilled: bool,
    text: String,
}

impl<'a> MlpText<'a> {
    pub(super) fn new(layout: &'a FieldLayout, field: &Mlp, lane: Lane, extras: Extras) -> Self {
        let (dim, time_input) = (field.dim(), field.time_input());
        Self { layout, dim, time_input, lane, extras, spilled: false, text: String::new() }
    }

    /// The same for a kernel whose long arrays are in a buffer.
    pub(super) fn spilled(self, spilled: bool) -> Self {
        Self { spilled, ..self }
    }

    /// `mlp_eval`, for the forward pass.
    pub(super) fn forward(mut self) -> String {
        let layers = &self.layout.layers;
        self.privates(layers.iter().map(|l| l.forward));
        self.eval();
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

    /// All three.
    pub(super) fn whole(mut self) -> String {
        let layers = &self.layout.layers;
        self.privates(layers.iter().flat_map(|l| [l.forward, l.transposed]));
        self.eval();
        self.record();
        self.backprop();
        self.text
    }

    fn eval(&mut self) {
        let layers = &self.layout.layers;
        self.line(0, "\nfn mlp_eval(t: f32) {");
        for (l, layer) in layers.iter().enumerate() {
            let last = l + 1 == layers.len();
            let activation = layer.activation;
            self.comment(l, layer);
            self.product(layer.forward, layer.forward.rows, source(l), |lines| {
                for r in 0..lines.r {
                    let target = if last { lines.component("value", r) } else { format!("hidden_{r}[j]") };
                    let value = value_of(activation, &format!("s{r}"));
                    if !lines.tangents {
                        lines.line(&format!("{target} = {value};"));
                        continue;
                    }
                    let along = lines.r + r;
                    lines.line(&format!("let a{r} = {value};"));
                    lines.line(&format!("{target} = a{r};"));
                    let target = if last { lines.component("tangent", r) } else { format!("hidden_{along}[j]") };
                    lines.line(&format!("{target} = {activation}_slope(s{r}, a{r}) * s{along};"));
                }
            });
        }
        self.line(0, "}");
    }

    fn record(&mut self) {
        let layers = &self.layout.layers;
        self.line(0, "\nfn mlp_record(t: f32) {");
        let (dim, time_input) = (self.dim, self.time_input);
        let mut lines = self.lines(2);
        push_line(lines.text, 1, &format!("for (var j = 0u; j < {dim}u; j++) {{"));
        let inputs: Vec<String> = (0..lines.r).map(|r| lines.keep(&lines.component("argument", r), r)).collect();
        lines.store(layers[0].input_unit, "j", &inputs);
        if lines.tangents {
            let probes: Vec<String> = (0..lines.r).map(|r| lines.keep(&lines.component("probe", r), r)).collect();
            lines.store_tangent(layers[0].input_unit, "j", &probes);
        }
        push_line(lines.text, 1, "}");
        lines.depth = 1;
        let zeros = vec!["0.0".to_owned(); lines.r];
        if time_input {
            lines.store(layers[0].input_unit + dim, "0u", &vec!["t".to_owned(); lines.r]);
            lines.store_tangent(layers[0].input_unit + dim, "0u", &zeros);
        }
        for layer in layers {
            let unit = layer.input_unit + layer.forward.inputs;
            lines.store(unit, "0u", &vec!["1.0".to_owned(); lines.r]);
            lines.store_tangent(unit, "0u", &zeros);
        }
        for (l, layer) in layers.iter().enumerate() {
            let next = layers.get(l + 1).map(|n| n.input_unit);
            let (delta_unit, activation) = (layer.delta_unit, layer.activation);
            self.comment(l, layer);
            self.product(layer.forward, layer.forward.rows, source(l), |lines| {
                for r in 0..lines.r {
                    let value = value_of(activation, &format!("s{r}"));
                    let kept = if next.is_some() { lines.keep(&value, r) } else { value };
                    lines.line(&format!("let a{r} = {kept};"));
                }
                let slope = |r: usize| match next {
                    // The values of hidden layers have shown arguments that are not finite.
                    None if activation != Activation::Identity => {
                        format!("passed_on({activation}_slope(s{r}, a{r}), s{r})")
                    }
                    _ => format!("{activation}_slope(s{r}, a{r})"),
                };
                let slopes: Vec<String> = (0..lines.r).map(|r| lines.keep(&slope(r), r)).collect();
                lines.store(delta_unit, "j", &slopes);
                if let Some(unit) = next {
                    lines.store(unit, "j", &lines.names("a", lines.r));
                }
                for r in 0..lines.r {
                    let target = if next.is_some() { format!("hidden_{r}[j]") } else { lines.component("value", r) };
                    lines.line(&format!("{target} = a{r};"));
                }
                if lines.tangents {
                    lines.record_tangents(activation, delta_unit, next);
                }
            });
        }
        self.line(0, "}");
    }

    fn backprop(&mut self) {
        let layers = &self.layout.layers;
        self.line(0, "\nfn mlp_backprop() {");
        let dim = self.dim;
        let mut lines = self.lines(2);
        push_line(lines.text, 1, &format!("for (var j = 0u; j < {dim}u; j++) {{"));
        let names = ["cotangent", "tangent_cotangent"];
        let cotangents: Vec<String> =
            (0..lines.columns()).map(|r| lines.component(names[r / lines.r], r % lines.r)).collect();
        lines.deltas(layers[layers.len() - 1].delta_unit, &cotangents);
        push_line(lines.text, 1, "}");
        for (l, layer) in layers.iter().enumerate().rev() {
            self.line(1, &format!("// deltas of layer {l} to the cotangents of its inputs"));
            let below = l.checked_sub(1).map(|b| layers[b].delta_unit);
            // The last row of layer 0 is that of the time, if the field takes it.
            let rows = if l == 0 && !self.extras.time { dim } else { layer.transposed.rows };
            self.product(layer.transposed, rows, Source::Hidden, |lines| match below {
                Some(unit) => lines.deltas(unit, &lines.names("s", lines.columns())),
                None => {
                    for r in 0..lines.r {
                        lines.line(&format!("{} = s{r};", lines.component("value", r)));
                    }
                }
            });
        }
        self.line(0, "}");
    }

    /// `s_r = bias + sum_k w[j, k] input[k, r]` for every row j, handed to `finish` for each trajectory r.
    fn product(&mut self, packed: Packed, rows: usize, source: Source, finish: impl Fn(&mut Lines<'_>)) {
        let row = format!("let row = {}u + j * {}u;", packed.offset, packed.stride);
        // Unrolling is for the compilers of GPUs.
        let idle = if self.lane.fetch == WeightFetch::Broadcast8 { " + call.idle" } else { "" };
        let rows = format!("for (var j = 0u; j < {rows}u{idle}; j++) {{");
        self.line(1, "{");
        if packed.blocks() == 1 {
            self.inputs(2, source, packed.inputs, "");
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
            let bias = packed.bias.map_or("0.0".to_owned(), |b| match self.lane.fetch {
                WeightFetch::Broadcast8 => format!("weights[row + {b}u]"),
                _ => format!("weights[(row + {b}u) / 4u][{}]", b % 4),
            });
            for r in 0..self.columns() {
                self.line(
                    3,
                    &format!("wide[j * {}u + {r}u] = {};", self.columns(), if r < self.r() { &bias } else { "0.0" }),
                );
            }
            self.line(2, "}");
            self.line(2, &format!("for (var block = 0u; block < {}u; block++) {{", packed.blocks()));
            self.inputs(3, source, BLOCK, &format!("block * {BLOCK}u + "));
            self.line(3, &rows);
            self.line(4, &format!("let row = {}u + j * {}u + block * {BLOCK}u;", packed.offset, packed.stride));
            self.weights(4, BLOCK, None);
            for r in 0..self.columns() {
                self.line(4, &format!("var s{r} = wide[j * {}u + {r}u];", self.columns()));
            }
            self.accumulate(4, BLOCK);
            for r in 0..self.columns() {
                self.line(4, &format!("wide[j * {}u + {r}u] = s{r};", self.columns()));
            }
            self.line(3, "}");
            self.line(2, "}");
            self.line(2, &rows);
            for r in 0..self.columns() {
                self.line(3, &format!("let s{r} = wide[j * {}u + {r}u];", self.columns()));
            }
            self.finish(3, &finish);
            self.line(2, "}");
        }
        self.line(1, "}");
    }

    /// Names the inputs: `i{k}_{r}`. The time is the last input of layer 0.
    fn inputs(&mut self, depth: usize, source: Source, count: usize, offset: &str) {
        if self.spilled {
            return self.copied_inputs(depth, source, count, offset);
        }
        for k in 0..count {
            for r in 0..self.columns() {
                let at = format!("{offset}{k}u");
                // Beyond the trajectories: their tangents, which the time has none of.
                let (array, time) = if r < self.r() { ("argument", "t") } else { ("probe", "0.0") };
                let argument = format!("{array}[({at}) * {}u + {}u]", self.r(), r % self.r());
                let value = match source {
                    Source::Hidden => format!("hidden_{r}[{at}]"),
                    Source::Argument if !self.time_input => argument,
                    Source::Argument if !offset.is_empty() => {
                        format!("select({argument}, {time}, {at} == {}u)", self.dim)
                    }
                    Source::Argument if k == self.dim => time.to_owned(),
                    Source::Argument => argument,
                };
                self.line(depth, &format!("let i{k}_{r} = {value};"));
            }
        }
    }

    /// Loads a row: each lane a part of it, or four values at a time.
    fn weights(&mut self, depth: usize, inputs: usize, bias: Option<usize>) {
        let together = self.lane.fetch == WeightFetch::Broadcast8;
        for c in 0..bias.map_or(inputs, |b| b + 1).div_ceil(if together { 8 } else { 4 }) {
            let place = if together { format!("row + {}u + lane", c * 8) } else { format!("row / 4u + {c}u") };
            self.line(depth, &format!("let w{c} = weights[{place}];"));
        }
    }

    /// Value `k` of the current row.
    fn weight(&self, k: usize) -> String {
        if self.lane.fetch == WeightFetch::Broadcast8 {
            return format!("subgroupBroadcast(w{}, {}u)", k / 8, k % 8);
        }
        format!("w{}[{}]", k / 4, k % 4)
    }

    fn start(&mut self, depth: usize, bias: Option<String>) {
        self.line(depth, &format!("let b = {};", bias.unwrap_or_else(|| "0.0".to_owned())));
        for r in 0..self.columns() {
            self.line(depth, &format!("var s{r} = {};", if r < self.r() { "b" } else { "0.0" }));
        }
    }

    fn accumulate(&mut self, depth: usize, inputs: usize) {
        for k in 0..inputs {
            let mut line = format!("let u{k} = {};", self.weight(k));
            for r in 0..self.columns() {
                let _ = write!(line, " s{r} += u{k} * i{k}_{r};");
            }
            self.line(depth, &line);
        }
    }

    fn finish(&mut self, depth: usize, finish: &impl Fn(&mut Lines<'_>)) {
        finish(&mut self.lines(depth));
    }

    fn lines(&mut self, depth: usize) -> Lines<'_> {
        let Extras { tangents, shares, .. } = self.extras;
        Lines { depth, r: self.r(), tangents, shares, text: &mut self.text }
    }

    fn comment(&mut self, l: usize, layer: &LayerLayout) {
        let line = format!("// layer {l}: {} -> {}, {}", layer.forward.inputs, layer.forward.rows, layer.activation);
        self.line(1, &line);
    }

    /// Trajectories of an invocation.
    pub(super) fn r(&self) -> usize {
        self.lane.trajectories as usize
    }

    /// Columns of a product: values, and tangents if they go along.
    pub(super) fn columns(&self) -> usize {
        if self.extras.tangents { 2 * self.r() } else { self.r() }
    }

    pub(super) fn line(&mut self, depth: usize, line: &str) {
        push_line(&mut self.text, depth, line);
    }
}

/// An activation's value at `argument`, not finite where that is not.
pub(super) fn value_of(activation: Activation, argument: &str) -> String {
    match activation {
        Activation::Identity => argument.to_owned(),
        _ => format!("passed_on({activation}_value({argument}), {argument})"),
    }
}

/// Inputs of layer l.
fn source(l: usize) -> Source {
    if l == 0 { Source::Argument } else { Source::Hidden }
}
