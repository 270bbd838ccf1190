//! The field's body for software adapters: weights and activations come in pairs, as words of 64 bits.
//!
//! Two functions, for the `TRAJECTORIES` trajectories of an invocation: `mlp_eval(t)` takes `argument` to `value`;
//! `mlp_pull(t)` takes `argument` and `cotangent` to `value`, the cotangent of the argument, and adds dJ/dθ to the sums of
//! the subgroup. No activation leaves the invocation.
//!
//! What makes it fast on llvmpipe (which turns a load at a varying address, or under the mask of a loop, into one scalar
//! load for each lane): one load of a subgroup brings sixteen weights; inputs are copied to named values, so that products
//! run over constant places; activations of two trajectories are one word; the layer of the outputs, and in `mlp_pull` its
//! way back and the gradient of the layer before, ride along in the loop over the last hidden layer, so that its activations
//! are never kept. Sums go over the trajectories of an invocation before any exchange between lanes. The order of the sums
//! of an evaluation is that of the plain kernels.

use std::fmt::Write as _;

use super::mlp::value_of;
use crate::model::{Activation, Mlp};
use crate::plan::{FieldLayout, InsideLayout, LOAD, Lane, LayerLayout, Packed, SumRows};

/// Generates the field's functions.
pub(super) struct PairedText<'a> {
    layout: &'a FieldLayout,
    sums: InsideLayout,
    dim: usize,
    time_input: bool,
    r: usize,
    text: String,
}

impl<'a> PairedText<'a> {
    pub(super) fn new(layout: &'a FieldLayout, field: &Mlp, lane: Lane) -> Self {
        let sums = InsideLayout::new(field);
        let (dim, time_input) = (field.dim(), field.time_input());
        Self { layout, sums, dim, time_input, r: lane.trajectories as usize, text: String::new() }
    }

    /// `mlp_eval`.
    pub(super) fn forward(mut self) -> String {
        self.privates(false);
        self.eval();
        self.text
    }

    /// `mlp_eval` and `mlp_pull`, with the sums; `mlp_pull` leaves the field's value in `found`, if there is such a variable.
    pub(super) fn reverse(mut self, found: bool) -> String {
        self.privates(true);
        let words = self.sums.words;
        self.line(0, &format!("const SUM_WORDS: u32 = {words}u;"));
        self.text.push_str(shader!("sums_inside"));
        self.eval();
        self.pull(found);
        self.text
    }

    /// Activations of the layers in pairs; with `all` their slopes where they do not follow from the activations, and the
    /// deltas of one layer.
    fn privates(&mut self, all: bool) {
        self.line(0, "// Number of this invocation in its subgroup.\nvar<private> lane: u32;");
        let kept = self.hidden() - 1;
        for l in 0..kept {
            let LayerLayout { forward, activation, .. } = self.layout.layers[l];
            self.arrays(&format!("hidden{l}"), forward.rows);
            if all && !activation.slope_follows() {
                self.arrays(&format!("slope{l}"), forward.rows);
            }
        }
        if all && kept > 0 {
            let next = self.layout.layers[1..=kept].iter().map(|l| l.forward.rows).max().unwrap_or(0);
            self.arrays("delta", next);
        }
    }

    fn arrays(&mut self, name: &str, length: usize) {
        for p in 0..self.r / 2 {
            self.line(0, &format!("var<private> {name}_{p}: array<u64, {length}>;"));
        }
    }

    fn eval(&mut self) {
        let (hidden, layout) = (self.hidden(), self.layout);
        self.line(0, "\nfn mlp_eval(t: f32) {");
        let last = &layout.layers[hidden];
        self.outputs();
        for l in 0..hidden {
            let keeps = l + 1 < hidden;
            self.line(1, "{");
            self.inputs(2, l);
            self.begin(2, layout.layers[l].forward);
            self.activations(l, true);
            if keeps {
                self.keep_pairs(3, &format!("hidden{l}"), "a");
            } else {
                self.load_row(3, last.transposed, "j", "v");
                for o in 0..self.dim {
                    let weight = weight("v", o);
                    self.line(3, &format!("let v{o} = {weight};"));
                    self.add_output(o);
                }
            }
            self.line(2, "}");
            self.line(1, "}");
        }
        for o in 0..self.dim {
            for r in 0..self.r {
                let at = o * self.r + r;
                let value = value_of(last.activation, &format!("d{o}_{r}"));
                self.line(1, &format!("value[{at}u] = {value};"));
            }
        }
        self.line(0, "}");
    }

    /// Sums of the outputs, `d{o}_{r}`: the biases first.
    fn outputs(&mut self) {
        let forward = self.layout.layers[self.hidden()].forward;
        for o in 0..self.dim {
            let place = forward.offset + o * forward.stride + forward.bias.unwrap_or(0);
            self.line(1, &format!("let bias{o} = {};", uniform(place)));
            for r in 0..self.r {
                self.line(1, &format!("var d{o}_{r} = bias{o};"));
            }
        }
    }

    /// Adds what the unit at hand leads on to output o.
    fn add_output(&mut self, o: usize) {
        let lines: Vec<String> = (0..self.r).map(|r| format!("d{o}_{r} += v{o} * a{r};")).collect();
        self.line(3, &lines.join(" "));
    }

    fn pull(&mut self, found: bool) {
        let (hidden, layout) = (self.hidden(), self.layout);
        self.line(0, "\nfn mlp_pull(t: f32) {");
        for r in 0..self.r {
            for o in 0..self.dim {
                let at = o * self.r + r;
                self.line(1, &format!("let p{o}_{r} = keep(cotangent[{at}u], {r}u);"));
                self.line(1, &format!("let x{o}_{r} = keep(argument[{at}u], {r}u);"));
                self.line(1, &format!("var y{o}_{r} = 0.0;"));
            }
            self.line(1, &format!("var worst{r} = 0u;"));
        }
        if found {
            self.outputs();
        }
        for l in 0..hidden - 1 {
            let LayerLayout { forward, activation, .. } = layout.layers[l];
            self.line(1, "{");
            self.inputs_again(2, l);
            self.begin(2, forward);
            self.activations(l, false);
            self.finite(3, "s", "a");
            self.keep_pairs(3, &format!("hidden{l}"), "a");
            if !activation.slope_follows() {
                self.slopes(activation, "s", "a");
                self.keep_pairs(3, &format!("slope{l}"), "m");
            }
            self.line(2, "}");
            self.line(1, "}");
        }
        let biases = self.sums.rows[hidden];
        let values: Vec<String> = (0..self.dim).map(|o| self.over_trajectories(|r| format!("p{o}_{r}"))).collect();
        self.sum(1, "0u", biases, &values);
        self.pull_last(hidden - 1, found);
        for l in (0..hidden - 1).rev() {
            self.pull_layer(l);
        }
        for r in 0..self.r {
            for i in 0..self.dim {
                self.line(1, &format!("value[{}u] = y{i}_{r};", i * self.r + r));
                if found {
                    self.line(1, &format!("found[{}u] = d{i}_{r};", i * self.r + r));
                }
            }
            self.line(1, &format!("bad[{r}] = bad[{r}] || worst{r} == EXPONENT;"));
        }
        self.line(0, "}");
    }

    /// The last hidden layer: evaluated, and pulled back through the layer of the outputs at once.
    fn pull_last(&mut self, l: usize, found: bool) {
        let layout = self.layout;
        let (layer, output) = (&layout.layers[l], &layout.layers[l + 1]);
        self.line(1, "{");
        self.inputs_again(2, l);
        self.begin(2, layer.forward);
        self.activations(l, false);
        self.finite(3, "s", "a");
        self.slopes(layer.activation, "s", "a");
        self.load_row(3, output.transposed, "j", "v");
        for o in 0..self.dim {
            let weight = weight("v", o);
            self.line(3, &format!("let v{o} = {weight};"));
            if found {
                self.add_output(o);
            }
        }
        for r in 0..self.r {
            let terms: Vec<String> = (0..self.dim).map(|o| format!("v{o} * p{o}_{r}")).collect();
            self.line(3, &format!("var d{r} = ({}) * m{r};", terms.join(" + ")));
        }
        self.finite(3, "d", "d");
        let ends = (0..self.dim).map(|o| self.over_trajectories(|r| format!("p{o}_{r} * a{r}"))).collect();
        self.unit_done(l, ends, "c");
        self.line(1, "}");
    }

    /// A layer whose activations are at hand, from the deltas of the one above.
    fn pull_layer(&mut self, l: usize) {
        let layout = self.layout;
        let (layer, above) = (&layout.layers[l], layout.layers[l + 1].transposed);
        self.line(1, "{");
        self.inputs_again(2, l);
        self.named(2, "delta", "f", above.inputs);
        self.line(2, &format!("for (var j = 0u; j < {}u + call.idle; j++) {{", layer.forward.rows));
        self.load_row(3, above, "j", "w");
        for r in 0..self.r {
            self.line(3, &format!("var s{r} = 0.0;"));
        }
        self.accumulate(3, above.inputs, "f");
        self.named_at(3, &format!("hidden{l}"), "a", "j");
        if layer.activation.slope_follows() {
            self.slopes(layer.activation, "a", "a");
        } else {
            self.named_at(3, &format!("slope{l}"), "m", "j");
        }
        for r in 0..self.r {
            self.line(3, &format!("var d{r} = s{r} * m{r};"));
        }
        self.finite(3, "d", "d");
        if l == 0 {
            self.load_row(3, layer.forward, "j", "v");
            for i in 0..self.dim {
                let weight = weight("v", i);
                self.line(3, &format!("let v{i} = {weight};"));
            }
        }
        self.unit_done(l, Vec::new(), "v");
        self.line(1, "}");
    }

    /// The end of the loop over units: sums of the unit's weights and of what leads on from it, and its delta.
    fn unit_done(&mut self, l: usize, ends: Vec<String>, weights: &str) {
        let inputs = self.layout.layers[l].forward.inputs;
        let mut values: Vec<String> =
            (0..inputs).map(|k| self.over_trajectories(|r| format!("d{r} * i{k}_{r}"))).collect();
        values.push(self.over_trajectories(|r| format!("d{r}")));
        values.extend(ends);
        self.sum(3, "j", self.sums.rows[l], &values);
        if l == 0 {
            for i in 0..self.dim {
                let lines: Vec<String> = (0..self.r).map(|r| format!("y{i}_{r} += {weights}{i} * d{r};")).collect();
                self.line(3, &lines.join(" "));
            }
        } else {
            self.keep_pairs(3, "delta", "d");
        }
        self.line(2, "}");
    }

    /// Names the inputs of layer l: `i{k}_{r}`. The time is the last input of layer 0.
    fn inputs(&mut self, depth: usize, l: usize) {
        let count = self.layout.layers[l].forward.inputs;
        if l > 0 {
            return self.named(depth, &format!("hidden{}", l - 1), "i", count);
        }
        for k in 0..count {
            for r in 0..self.r {
                let is_time = self.time_input && k == self.dim;
                let value = if is_time { "t".to_owned() } else { format!("argument[{}u]", k * self.r + r) };
                self.line(depth, &format!("let i{k}_{r} = {value};"));
            }
        }
    }

    /// The same going back, where the argument has names already.
    fn inputs_again(&mut self, depth: usize, l: usize) {
        if l > 0 {
            return self.inputs(depth, l);
        }
        for k in 0..self.layout.layers[0].forward.inputs {
            for r in 0..self.r {
                let value = if self.time_input && k == self.dim { "t".to_owned() } else { format!("x{k}_{r}") };
                self.line(depth, &format!("let i{k}_{r} = {value};"));
            }
        }
    }

    /// Names the first values of an array of pairs: `{name}{k}_{r}`.
    ///
    /// The lower halves are shifted by an opaque zero: LLVM would turn the conversion of a loaded word to 32 bits into a
    /// scalar load for each lane, and straight text of this size is as slow as the cache that its instructions come from.
    fn named(&mut self, depth: usize, array: &str, name: &str, count: usize) {
        for k in 0..count {
            for p in 0..self.r / 2 {
                let (a, b) = (2 * p, 2 * p + 1);
                let pair = format!("{name}{k}p{p}");
                self.line(depth, &format!("let {pair} = {array}_{p}[{k}u];"));
                let lower = format!("let {name}{k}_{a} = low({pair} >> call.idle);");
                self.line(depth, &format!("{lower} let {name}{k}_{b} = high({pair});"));
            }
        }
    }

    /// Names one value of each trajectory: `{name}{r}`.
    fn named_at(&mut self, depth: usize, array: &str, name: &str, at: &str) {
        for p in 0..self.r / 2 {
            let (a, b) = (2 * p, 2 * p + 1);
            let pair = format!("let {name}p{p} = {array}_{p}[{at}];");
            self.line(depth, &format!("{pair} let {name}{a} = low({name}p{p}); let {name}{b} = high({name}p{p});"));
        }
    }

    fn keep_pairs(&mut self, depth: usize, array: &str, name: &str) {
        for p in 0..self.r / 2 {
            self.line(depth, &format!("{array}_{p}[j] = both({name}{}, {name}{});", 2 * p, 2 * p + 1));
        }
    }

    /// Opens the loop over the units of a layer, up to their arguments `s{r}`.
    fn begin(&mut self, depth: usize, packed: Packed) {
        self.line(depth, &format!("for (var j = 0u; j < {}u + call.idle; j++) {{", packed.rows));
        self.load_row(depth + 1, packed, "j", "w");
        let bias = packed.bias.map_or("0.0".to_owned(), |b| weight("w", b));
        self.line(depth + 1, &format!("let b = {bias};"));
        for r in 0..self.r {
            self.line(depth + 1, &format!("var s{r} = b;"));
        }
        self.accumulate(depth + 1, packed.inputs, "i");
    }

    fn accumulate(&mut self, depth: usize, inputs: usize, name: &str) {
        for k in 0..inputs {
            let mut line = format!("let c{k} = {};", weight("w", k));
            for r in 0..self.r {
                let _ = write!(line, " s{r} += c{k} * {name}{k}_{r};");
            }
            self.line(depth, &line);
        }
    }

    /// Activations `a{r}` of the unit of layer l at hand, with `passes` not finite where their arguments are not.
    fn activations(&mut self, l: usize, passes: bool) {
        let activation = self.layout.layers[l].activation;
        for r in 0..self.r {
            let argument = format!("s{r}");
            let value =
                if passes { value_of(activation, &argument) } else { format!("{activation}_value({argument})") };
            self.line(3, &format!("var a{r} = {value};"));
        }
    }

    fn slopes(&mut self, activation: Activation, argument: &str, value: &str) {
        for r in 0..self.r {
            self.line(3, &format!("let m{r} = {activation}_slope({argument}{r}, {value}{r});"));
        }
    }

    /// Makes zeros of values where `of` is not finite, and notes whose they were. A finite argument has a finite activation.
    fn finite(&mut self, depth: usize, of: &str, name: &str) {
        for r in 0..self.r {
            let exponent = format!("let e{name}{r} = bitcast<u32>({of}{r}) & EXPONENT;");
            let noted = format!("worst{r} = max(worst{r}, e{name}{r});");
            let zero = format!("{name}{r} = select({name}{r}, 0.0, e{name}{r} == EXPONENT);");
            self.line(depth, &format!("{exponent} {noted} {zero}"));
        }
    }

    /// A sum over the trajectories of an invocation, neighbours first.
    fn over_trajectories(&self, term: impl Fn(usize) -> String) -> String {
        let mut terms: Vec<String> = (0..self.r).map(term).collect();
        while terms.len() > 1 {
            terms = terms.chunks(2).map(|pair| format!("({})", pair.join(" + "))).collect();
        }
        terms.swap_remove(0)
    }

    /// Adds the sums over the lanes of these values to the row of a unit.
    fn sum(&mut self, depth: usize, unit: &str, rows: SumRows, values: &[String]) {
        for (c, group) in values.chunks(LOAD).enumerate() {
            let halves: Vec<String> = [0, LOAD / 2]
                .map(|start| match group.get(start..) {
                    None | Some([]) => "0.0".to_owned(),
                    Some(rest) => {
                        let mut names: Vec<&str> = rest.iter().take(LOAD / 2).map(String::as_str).collect();
                        names.resize(LOAD / 2, "0.0");
                        format!("over_lanes({})", names.join(", "))
                    }
                })
                .into();
            let word = format!("{}u + {unit} * {}u", rows.offset + c * LOAD / 2, rows.stride);
            self.line(depth, &format!("add_sums({word}, {});", halves.join(", ")));
        }
    }

    /// Loads what the lanes share of a row.
    fn load_row(&mut self, depth: usize, packed: Packed, unit: &str, name: &str) {
        let start = format!("let {name}_at = {}u + {unit} * {}u + lane;", packed.offset / 2, packed.stride / 2);
        self.line(depth, &start);
        for c in 0..packed.bias.map_or(packed.inputs, |b| b + 1).div_ceil(LOAD) {
            let at = format!("({name}_at + {}u)", c * LOAD / 2);
            let word = format!("let {name}{c}_ = weights[{at} >> 1u][{at} & 1u];");
            self.line(depth, &format!("{word} let {name}{c}_0 = low({name}{c}_); let {name}{c}_1 = high({name}{c}_);"));
        }
    }

    fn hidden(&self) -> usize {
        self.layout.layers.len() - 1
    }

    fn line(&mut self, depth: usize, line: &str) {
        let _ = writeln!(self.text, "{:1$}{line}", "", 4 * depth);
    }
}

/// Value `k` of a row that the lanes have loaded.
fn weight(name: &str, k: usize) -> String {
    format!("subgroupBroadcast({name}{}_{}, {}u)", k / LOAD, k % 2, k % LOAD / 2)
}

/// A packed value at a constant place.
fn uniform(place: usize) -> String {
    let half = if place.is_multiple_of(2) { "low" } else { "high" };
    format!("{half}(weights[{}u][{}u])", place / 4, place % 4 / 2)
}
