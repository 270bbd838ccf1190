//! The field's body for tiles: the invocations of a workgroup compute its layers together, in blocks of registers.
//!
//! `mlp_eval(t)` takes `argument` to `value`; `mlp_pull(t)` takes `argument` and `cotangent` to `value`, the cotangent of the
//! argument, and adds dJ/dθ to the sums of the workgroup. Both have barriers, so that all invocations call them together.
//! An owner of a trajectory writes its column of the inputs to workgroup memory and reads its column of the last product,
//! which it makes alone: few values, one vector of activations after the other. The products between are cut into blocks
//! of 4 or 8 units by 4 trajectories; weights come from storage as vectors along the units. On the way back the deltas of
//! a layer take the place of the activations before it, once dJ/dθ has used them.
//!
//! Sums run in ascending order, as in the other kernels. Layout and cut: src/plan/tile.rs.

use std::fmt::Write as _;

use super::mlp::value_of;
use crate::model::{Activation, Layer, Mlp};
use crate::plan::{BLOCK_TRAJECTORIES, FieldLayout, Lane, LayerLayout, OWN_VALUES, Packed, TileShape, UNITS, rows};

/// Names of the parts of a vector.
pub(super) const PARTS: [char; UNITS] = ['x', 'y', 'z', 'w'];

/// Generates the field's functions.
pub(super) struct TileText<'a> {
    layout: &'a FieldLayout,
    pub(super) field: &'a Mlp,
    pub(super) shape: TileShape,
    text: String,
}

impl<'a> TileText<'a> {
    pub(super) fn new(layout: &'a FieldLayout, field: &'a Mlp, lane: Lane, pulls: bool) -> Self {
        Self { layout, field, shape: TileShape::of(field, lane, pulls), text: String::new() }
    }

    /// `mlp_eval`.
    pub(super) fn forward(mut self) -> String {
        self.head();
        self.eval();
        self.text
    }

    /// `mlp_eval` and `mlp_pull`, with the sums.
    pub(super) fn reverse(mut self) -> String {
        self.head();
        self.text.push_str(shader!("tile_back"));
        self.eval();
        self.pull();
        self.begin_sums();
        self.end_sums();
        self.text
    }

    fn head(&mut self) {
        let (trajectories, rows) = (self.shape.trajectories, self.shape.rows);
        self.line(0, &format!("const TILE: u32 = {trajectories}u;\nconst TILE_ROWS: u32 = {rows}u;"));
        self.text.push_str(shader!("tile"));
        let mut used: Vec<Activation> = Vec::new();
        for layer in self.field.layers() {
            if !used.contains(&layer.activation) {
                used.push(layer.activation);
                self.vectors(layer.activation);
            }
        }
    }

    /// An activation and its slope for four values.
    fn vectors(&mut self, activation: Activation) {
        let four = |of: &dyn Fn(char) -> String| PARTS.map(of).join(", ");
        let value = four(&|c| value_of(activation, &format!("s.{c}")));
        let slope = four(&|c| format!("{activation}_slope(s.{c}, a.{c})"));
        self.line(0, &format!("fn {activation}_values(s: vec4<f32>) -> vec4<f32> {{ return vec4<f32>({value}); }}"));
        let slopes = format!("fn {activation}_slopes(s: vec4<f32>, a: vec4<f32>) -> vec4<f32>");
        self.line(0, &format!("{slopes} {{ return vec4<f32>({slope}); }}"));
    }

    fn eval(&mut self) {
        self.line(0, "\nfn mlp_eval(t: f32) {");
        let (dim, time) = (self.field.dim(), self.field.time_input());
        self.column(self.shape.places[0], dim, time, &|k| format!("argument[{k}]"));
        self.line(1, "workgroupBarrier();");
        let (layers, layout) = (self.field.layers(), self.layout);
        let hidden = layers.len() - 1;
        for l in 0..hidden {
            self.line(1, &format!("// layer {l}"));
            self.evaluate(l, false);
        }
        let (last, place) = (&layers[hidden], self.shape.places[hidden]);
        let finish = |o: &str, s: &str| format!("value[{o}] = {};", value_of(last.activation, s));
        self.own(place, layout.layers[hidden].forward, last.n_out, &finish);
        self.line(0, "}");
    }

    fn pull(&mut self) {
        let (layers, layout) = (self.field.layers(), self.layout);
        let hidden = layers.len() - 1;
        let (last, dim) = (&layers[hidden], self.field.dim());
        self.line(0, "\nfn mlp_pull(t: f32) {");
        self.column(self.shape.places[0], dim, self.field.time_input(), &|k| format!("keep(argument[{k}], 0u)"));
        self.line(1, "if (owns()) {\n        atomicStore(&faults[lane], 0u);\n    }\n    workgroupBarrier();");
        for l in 0..hidden {
            self.line(1, &format!("// layer {l}"));
            self.evaluate(l, true);
        }
        let deltas = self.shape.places[hidden + 1];
        if last.activation == Activation::Identity {
            self.columns_of(deltas, dim, false, &|k| format!("keep(cotangent[{k}], 0u)"));
        } else {
            let (place, activation) = (self.shape.places[hidden], last.activation);
            let finish = |o: &str, s: &str| {
                format!("value[{o}] = passed_on({activation}_slope({s}, {activation}_value({s})), {s});")
            };
            self.own(place, layout.layers[hidden].forward, last.n_out, &finish);
            self.columns_of(deltas, dim, false, &|k| format!("keep(keep(cotangent[{k}], 0u) * value[{k}], 0u)"));
        }
        self.line(1, "workgroupBarrier();");
        for l in (0..=hidden).rev() {
            self.line(1, &format!("// back through layer {l}"));
            self.sums(l);
            if l > 0 {
                self.line(1, "workgroupBarrier();");
                self.deltas(l);
                self.line(1, "workgroupBarrier();");
            }
        }
        let finish = |i: &str, s: &str| format!("value[{i}] = {s};");
        self.own(self.shape.places[1], layout.layers[0].transposed, dim, &finish);
        self.line(1, "if (owns()) {\n        bad[0] = bad[0] || atomicLoad(&faults[lane]) != 0u;\n    }");
        self.line(0, "}");
    }

    /// The owners write their columns once nobody reads what was there.
    fn column(&mut self, place: usize, count: usize, time: bool, value: &dyn Fn(&str) -> String) {
        self.line(1, "workgroupBarrier();");
        self.columns_of(place, count, time, value);
    }

    /// Writes `count` values of each trajectory, the time behind them and zeros up to the end of the last row.
    fn columns_of(&mut self, place: usize, count: usize, time: bool, value: &dyn Fn(&str) -> String) {
        self.line(1, "if (owns()) {");
        let whole = count / UNITS;
        if whole > 0 {
            self.line(2, &format!("for (var k = 0u; k < {whole}u; k++) {{"));
            let four = [0, 1, 2, 3].map(|c| value(&format!("4u * k + {c}u"))).join(", ");
            self.line(3, &format!("tile[({place}u + k) * TILE_STRIDE + lane] = vec4<f32>({four});"));
            self.line(2, "}");
        }
        for row in whole..rows(count + usize::from(time)) {
            let part = |k: usize| match k {
                k if k < count => value(&format!("{k}u")),
                k if k == count && time => "t".to_owned(),
                _ => "0.0".to_owned(),
            };
            let four = [0, 1, 2, 3].map(|c| part(UNITS * row + c)).join(", ");
            self.line(2, &format!("tile[{}u * TILE_STRIDE + lane] = vec4<f32>({four});", place + row));
        }
        self.line(1, "}");
    }

    /// A hidden layer from its inputs to those of the next. With `kept` for the way back: slopes too, and nothing that is
    /// not finite.
    fn evaluate(&mut self, l: usize, kept: bool) {
        let (Layer { n_in, n_out, activation, .. }, places) = (self.field.layers()[l], self.shape.places.clone());
        let LayerLayout { forward, transposed, .. } = self.layout.layers[l];
        let (block, blocks) = (self.shape.block(n_out), self.row_blocks(n_out));
        self.begin_product(n_out);
        for v in 0..block {
            let parts = [0, 1, 2, 3].map(|c| {
                // Beyond the last unit any bias will do: what comes of it is not used.
                let unit = format!("min(4u * u{v} + {c}u, {}u)", n_out - 1);
                let at = forward.offset + forward.bias.unwrap_or(0);
                format!("weights[{}u + {unit} * {}u].{}", at / UNITS, forward.stride / UNITS, PARTS[at % UNITS])
            });
            self.line(2, &format!("let b{v} = vec4<f32>({});", parts.join(", ")));
            for i in 0..BLOCK_TRAJECTORIES {
                self.line(2, &format!("var s{i}_{v} = b{v};"));
            }
        }
        self.accumulate(places[l], transposed, n_in, block);
        self.line(2, &format!("let out = {}u * TILE_STRIDE + r;", places[l + 1]));
        for v in 0..block {
            for i in 0..BLOCK_TRAJECTORIES {
                self.line(2, &format!("tile[out + u{v} * TILE_STRIDE + {i}u * QUARTER] = s{i}_{v};"));
            }
        }
        // In a loop: the text of an activation is long.
        self.line(2, &format!("for (var e = 0u; e < {}u; e++) {{", block * BLOCK_TRAJECTORIES));
        self.line(3, &format!("let row = u0 + e / 4u * {blocks}u;\n            let column = e % 4u * QUARTER;"));
        self.line(3, "let at = out + row * TILE_STRIDE + column;\n            let s = tile[at];");
        if kept {
            self.line(3, &format!("let a = settle({activation}_values(s), r + column);"));
            if let Some(slopes) = self.shape.slopes[l] {
                let value = format!("settle({activation}_slopes(s, a), r + column)");
                self.line(3, &format!("tile[({slopes}u + row) * TILE_STRIDE + r + column] = {value};"));
            }
            self.line(3, "tile[at] = a;");
        } else {
            self.line(3, &format!("tile[at] = {activation}_values(s);"));
        }
        self.line(2, "}");
        self.end_product();
        self.line(1, "workgroupBarrier();");
    }

    /// The deltas of the layer before l, in the place of its activations.
    fn deltas(&mut self, l: usize) {
        let Layer { n_in, n_out, .. } = self.field.layers()[l];
        let (activation, block) = (self.field.layers()[l - 1].activation, self.shape.block(n_in));
        let (place, above) = (self.shape.places[l], self.shape.places[l + 1]);
        self.begin_product(n_in);
        for v in 0..block {
            for i in 0..BLOCK_TRAJECTORIES {
                self.line(2, &format!("var s{i}_{v} = vec4<f32>();"));
            }
        }
        self.accumulate(above, self.layout.layers[l].forward, n_out, block);
        for v in 0..block {
            for i in 0..BLOCK_TRAJECTORIES {
                let column = format!("u{v}) * TILE_STRIDE + r + {i}u * QUARTER");
                let at = format!("at{i}_{v}");
                self.line(2, &format!("let {at} = ({place}u + {column};"));
                let slope = match self.shape.slopes[l - 1] {
                    Some(slopes) => format!("tile[({slopes}u + {column}]"),
                    None => format!("{activation}_slopes(tile[{at}], tile[{at}])"),
                };
                // Rows of weights have their bias behind the last input.
                let sum = if rows(n_in) * UNITS == n_in {
                    format!("s{i}_{v}")
                } else {
                    format!("within(s{i}_{v}, u{v}, {n_in}u)")
                };
                self.line(2, &format!("tile[{at}] = settle({sum} * {slope}, r + {i}u * QUARTER);"));
            }
        }
        self.end_product();
    }

    /// Opens the block of an invocation: trajectories from `r`, rows of units `u0` and `u1`.
    fn begin_product(&mut self, units: usize) {
        let (blocks, rounds) = (self.shape.blocks(units), self.shape.rounds(units));
        if rounds > 1 {
            self.line(1, &format!("for (var round = 0u; round < {rounds}u; round++) {{"));
            self.line(1, "let b = round * WORKGROUP + lane;");
        } else {
            self.line(1, "{\n    let b = lane;");
        }
        self.line(1, &format!("if (b < {blocks}u) {{"));
        self.line(2, "let r = b % QUARTER;\n        let u0 = b / QUARTER;");
        if self.shape.block(units) > 1 {
            self.line(2, &format!("let u1 = u0 + {}u;", self.row_blocks(units)));
        }
    }

    fn end_product(&mut self) {
        self.line(1, "}\n    }");
    }

    /// Blocks along the units of a product.
    fn row_blocks(&self, units: usize) -> usize {
        rows(units) / self.shape.block(units)
    }

    /// Adds to `s{i}_{v}` the sum over `count` rows of weights, each times its unit of the tile.
    fn accumulate(&mut self, from: usize, weights: Packed, count: usize, block: usize) {
        let (offset, stride) = (weights.offset / UNITS, weights.stride / UNITS);
        let step = |text: &mut Self, depth: usize, row: &str, parts: usize| {
            for i in 0..BLOCK_TRAJECTORIES {
                let at = format!("({from}u + {row}) * TILE_STRIDE + r + {i}u * QUARTER");
                text.line(depth, &format!("let a{i} = tile[{at}];"));
            }
            text.line(depth, &format!("let w = {offset}u + {row} * {}u;", UNITS * stride));
            for (c, part) in PARTS.iter().enumerate().take(parts) {
                for v in 0..block {
                    text.line(depth, &format!("let w{c}_{v} = weights[w + {}u + u{v}];", c * stride));
                    let sums: Vec<String> =
                        (0..BLOCK_TRAJECTORIES).map(|i| format!("s{i}_{v} += a{i}.{part} * w{c}_{v};")).collect();
                    text.line(depth, &sums.join(" "));
                }
            }
        };
        if count >= UNITS {
            self.line(2, &format!("for (var k = 0u; k < {}u; k++) {{", count / UNITS));
            step(self, 3, "k", UNITS);
            self.line(2, "}");
        }
        if !count.is_multiple_of(UNITS) {
            self.line(2, "{");
            step(self, 3, &format!("{}u", count / UNITS), count % UNITS);
            self.line(2, "}");
        }
    }

    /// The products of an owner's column with so many rows of weights, each handed to `finish` with its number.
    fn own(&mut self, place: usize, weights: Packed, values: usize, finish: &dyn Fn(&str, &str) -> String) {
        self.line(1, "if (owns()) {");
        if values <= OWN_VALUES {
            let numbers: Vec<String> = (0..values).map(|o| format!("{o}u")).collect();
            self.own_values(2, place, weights, &numbers);
            for o in 0..values {
                self.line(2, &finish(&format!("{o}u"), &format!("d{o}")));
            }
        } else {
            self.line(2, &format!("for (var o = 0u; o < {}u; o++) {{", values.div_ceil(UNITS)));
            let numbers = [0, 1, 2, 3].map(|c| format!("o{c}"));
            for (c, number) in numbers.iter().enumerate() {
                // The last one again, rather than one beyond it.
                self.line(3, &format!("let {number} = min(4u * o + {c}u, {}u);", values - 1));
            }
            self.own_values(3, place, weights, &numbers);
            for (c, number) in numbers.iter().enumerate() {
                self.line(3, &finish(number, &format!("d{c}")));
            }
            self.line(2, "}");
        }
        self.line(1, "}");
    }

    fn own_values(&mut self, depth: usize, place: usize, weights: Packed, numbers: &[String]) {
        let (offset, stride) = (weights.offset / UNITS, weights.stride / UNITS);
        for (o, number) in numbers.iter().enumerate() {
            self.line(depth, &format!("let w{o} = {offset}u + {number} * {stride}u;"));
            let start = weights
                .bias
                .map_or("0.0".to_owned(), |b| format!("weights[w{o} + {}u].{}", b / UNITS, PARTS[b % UNITS]));
            self.line(depth, &format!("var d{o} = {start};"));
        }
        let step = |text: &mut Self, depth: usize, row: &str, parts: usize| {
            text.line(depth, &format!("let a = tile[({place}u + {row}) * TILE_STRIDE + lane];"));
            for o in 0..numbers.len() {
                text.line(depth, &format!("let v{o} = weights[w{o} + {row}];"));
                let sums: Vec<String> =
                    PARTS.iter().take(parts).map(|c| format!("d{o} += a.{c} * v{o}.{c};")).collect();
                text.line(depth, &sums.join(" "));
            }
        };
        let count = weights.inputs;
        if count >= UNITS {
            self.line(depth, &format!("for (var k = 0u; k < {}u; k++) {{", count / UNITS));
            step(self, depth + 1, "k", UNITS);
            self.line(depth, "}");
        }
        if !count.is_multiple_of(UNITS) {
            self.line(depth, "{");
            step(self, depth + 1, &format!("{}u", count / UNITS), count % UNITS);
            self.line(depth, "}");
        }
    }

    pub(super) fn line(&mut self, depth: usize, line: &str) {
        let _ = writeln!(self.text, "{:1$}{line}", "", 4 * depth);
    }
}
