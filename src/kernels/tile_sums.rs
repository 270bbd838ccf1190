//! The sums of dJ/dθ of a tile: blocks of registers over its trajectories, kept until the end of a dispatch where they are
//! few, else added to memory with every evaluation.

use super::tile::{PARTS, TileText};
use crate::model::Layer;
use crate::plan::{SumBlocks, UNITS};

impl TileText<'_> {
    /// What deltas and inputs of layer l add to dJ/dθ.
    pub(super) fn sums(&mut self, l: usize) {
        let blocks = self.shape.sums[l];
        let (deltas, inputs) = (self.shape.places[l + 1], self.shape.places[l]);
        self.each(l, blocks.rounds, |text, round| text.weight_sums(l, round, deltas, inputs));
        self.each(l, blocks.bias_rounds, |text, round| text.bias_sums(l, round, deltas));
    }

    /// Repeats for every block of an invocation: as text if each has registers of its own.
    fn each(&mut self, l: usize, rounds: usize, part: impl Fn(&mut Self, usize)) {
        if self.shape.sums[l].registers || rounds <= 1 {
            for round in 0..rounds {
                self.line(1, "{");
                self.line(2, &format!("let round = {round}u;"));
                part(self, round);
                self.line(1, "}");
            }
        } else {
            self.line(1, &format!("for (var round = 0u; round < {rounds}u; round++) {{"));
            part(self, 0);
            self.line(1, "}");
        }
    }

    fn weight_sums(&mut self, l: usize, round: usize, deltas: usize, inputs: usize) {
        let blocks = self.shape.sums[l];
        self.open_weights(&blocks);
        for (c, v) in places(&blocks) {
            self.line(3, &format!("var g{c}_{v} = vec4<f32>();"));
        }
        self.line(3, "for (var r = 0u; r < TILE; r++) {");
        for v in 0..blocks.deltas {
            let row = format!("{}u + j", deltas + v * blocks.delta_blocks);
            self.line(4, &format!("let d{v} = tile[({row}) * TILE_STRIDE + r];"));
        }
        for v in 0..blocks.inputs {
            let row = format!("{}u + k", inputs + v * blocks.input_blocks);
            self.line(4, &format!("let a{v} = tile[({row}) * TILE_STRIDE + r];"));
        }
        for (c, v) in places(&blocks) {
            self.line(4, &format!("g{c}_{v} += d{}.{} * a{v};", c / UNITS, PARTS[c % UNITS]));
        }
        self.line(3, "}");
        for (c, v) in places(&blocks) {
            if blocks.registers {
                self.line(3, &format!("{} += g{c}_{v};", weight_total(l, round, c, v)));
            } else {
                self.add_weights(l, c, v, &format!("g{c}_{v}"));
            }
        }
        self.line(2, "}");
    }

    fn bias_sums(&mut self, l: usize, round: usize, deltas: usize) {
        let blocks = self.shape.sums[l];
        self.open_biases(&blocks);
        self.line(3, "var g = vec4<f32>();");
        self.line(3, "for (var r = 0u; r < TILE; r++) {");
        self.line(4, &format!("g += tile[({deltas}u + j) * TILE_STRIDE + r];"));
        self.line(3, "}");
        if blocks.registers {
            self.line(3, &format!("{} += g;", bias_total(l, round)));
        } else {
            self.add_biases(l, "g");
        }
        self.line(2, "}");
    }

    /// Opens the block of weights of an invocation: rows of deltas from `j`, of inputs from `k`.
    fn open_weights(&mut self, blocks: &SumBlocks) {
        let SumBlocks { delta_blocks, input_blocks, .. } = blocks;
        self.line(2, "let b = round * WORKGROUP + lane;");
        self.line(2, &format!("if (b < {}u) {{", delta_blocks * input_blocks));
        self.line(3, &format!("let j = b / {input_blocks}u;\n            let k = b % {input_blocks}u;"));
    }

    /// The same for the biases, from the other end of the workgroup: its invocations have fewer weights.
    fn open_biases(&mut self, blocks: &SumBlocks) {
        self.line(2, "let j = round * WORKGROUP + (WORKGROUP - 1u - lane);");
        self.line(2, &format!("if (j < {}u) {{", blocks.delta_blocks * blocks.deltas));
    }

    /// Adds to the weights of unit `c` of the block at `j`, from the inputs of row `v` of those at `k`.
    fn add_weights(&mut self, l: usize, c: usize, v: usize, value: &str) {
        let (Layer { n_in, n_out, weight, .. }, blocks) = (self.field.layers()[l], self.shape.sums[l]);
        let unit = format!("4u * j + {}u", UNITS * (c / UNITS) * blocks.delta_blocks + c % UNITS);
        let input = format!("4u * k + {}u", UNITS * v * blocks.input_blocks);
        self.line(3, &format!("add_weights({weight}u, {unit}, {n_out}u, {input}, {n_in}u, {value});"));
    }

    fn add_biases(&mut self, l: usize, value: &str) {
        let Layer { n_out, bias, .. } = self.field.layers()[l];
        self.line(3, &format!("add_values({bias}u + 4u * j, {n_out}u - min(4u * j, {n_out}u), {value});"));
    }

    /// The sums that stay in registers, and the function that starts them.
    pub(super) fn begin_sums(&mut self) {
        let totals = self.totals();
        for total in &totals {
            self.line(0, &format!("var<private> {total}: vec4<f32>;"));
        }
        self.line(0, "\nfn begin_sums(group: u32) {");
        self.line(1, &format!("sum_base = group * {}u;", self.field.parameter_count()));
        for total in &totals {
            self.line(1, &format!("{total} = vec4<f32>();"));
        }
        self.line(0, "}");
    }

    /// Adds what has stayed in registers to the row of partials.
    pub(super) fn end_sums(&mut self) {
        self.line(0, "\nfn end_sums() {");
        for l in 0..self.shape.sums.len() {
            let blocks = self.shape.sums[l];
            if !blocks.registers {
                continue;
            }
            self.each(l, blocks.rounds, |text, round| {
                text.open_weights(&blocks);
                for (c, v) in places(&blocks) {
                    text.add_weights(l, c, v, &weight_total(l, round, c, v));
                }
                text.line(2, "}");
            });
            self.each(l, blocks.bias_rounds, |text, round| {
                text.open_biases(&blocks);
                text.add_biases(l, &bias_total(l, round));
                text.line(2, "}");
            });
        }
        self.line(0, "}");
    }

    fn totals(&self) -> Vec<String> {
        let mut names = Vec::new();
        for (l, blocks) in self.shape.sums.iter().enumerate().filter(|(_, s)| s.registers) {
            let weights = (0..blocks.rounds).flat_map(|n| places(blocks).map(move |(c, v)| weight_total(l, n, c, v)));
            names.extend(weights);
            names.extend((0..blocks.bias_rounds).map(|n| bias_total(l, n)));
        }
        names
    }
}

/// Units of a block and rows of its inputs.
fn places(blocks: &SumBlocks) -> impl Iterator<Item = (usize, usize)> + use<> {
    let (units, rows) = (UNITS * blocks.deltas, blocks.inputs);
    (0..units).flat_map(move |c| (0..rows).map(move |v| (c, v)))
}

fn weight_total(l: usize, round: usize, c: usize, v: usize) -> String {
    format!("total{l}_{round}_{c}_{v}")
}

fn bias_total(l: usize, round: usize) -> String {
    format!("total{l}_{round}_bias")
}
