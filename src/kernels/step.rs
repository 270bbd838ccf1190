//! The texts of the kernels that walk a track, put together piece by piece.

use std::fmt::Write as _;

use super::mlp::{Extras, MlpText};
use super::paired::PairedText;
use super::tile::TileText;
use super::{Access, binding, conversions};
use crate::model::Mlp;
use crate::plan::{
    COMPONENT_ROWS, ERROR_ROW, Estimate, Family, FieldLayout, LENGTH_ROW, Lane, Packed, PairKernel, Sums, Terms,
    WeightFetch, Words, spills,
};

/// A kernel in the making. Weights and schedule are its first bindings.
pub(super) struct StepText<'a> {
    field: &'a Mlp,
    lane: Lane,
    layout: FieldLayout,
    terms: Terms,
    files: Vec<String>,
    /// What the field's body does beside its work.
    pub(super) extras: Extras,
    pub(super) bindings: Vec<Access>,
    /// Whether pulling back through a stage hands out its value.
    pub(super) values: bool,
    /// Whether long arrays are in a buffer.
    spilled: bool,
}

/// The functions of the field that a kernel has.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part {
    Forward,
    Reverse,
    Whole,
}

impl<'a> StepText<'a> {
    /// What all share, in front: constants, schedule, activations, stages.
    pub(super) fn new(field: &'a Mlp, stages: u32, lane: Lane, terms: Terms, entry: &str) -> Self {
        let layout = FieldLayout::new(field);
        let extras = Extras { tangents: terms.jacobian, time: terms.clock && field.time_input(), shares: false };
        let constants = [
            ("DIM", field.dim()),
            ("PADDED_DIM", Packed::padded(layout.layers[0].forward.inputs)),
            ("STAGES", stages as usize),
            ("TRAJECTORIES", lane.own_trajectories() as usize),
            ("WORKGROUP", lane.workgroup as usize),
            ("TIME_ROWS", usize::from(extras.time)),
            ("EVALUATION_ROWS", terms.evaluation_rows() as usize),
        ];
        let mut header = String::new();
        for (name, value) in constants {
            let _ = writeln!(header, "const {name}: u32 = {value}u;");
        }
        let _ = writeln!(header, "const TIME_INPUT: bool = {};", extras.time);
        // What one invocation reads and writes at once in buffers over trajectories.
        if lane.sums() == Sums::Scratch {
            let lanes = match lane.trajectories {
                1 => "f32".to_owned(),
                r => format!("vec{r}<f32>"),
            };
            let _ = writeln!(header, "alias Lanes = {lanes};");
        }
        let mut text = Self {
            field,
            lane,
            layout,
            terms,
            files: vec![header],
            extras,
            bindings: vec![Access::Read, Access::Uniform],
            values: false,
            spilled: spills(field, stages, lane, terms),
        };
        text.weights();
        text.push(&[shader!("common"), shader!("activation"), shader!("schedule"), entry, shader!("status")]);
        text.push(&[shader!("two_sum"), shader!("stages"), shader!("step_call")]);
        if lane.family == Family::Lane {
            text.push(&[shader!("own_trajectories")]);
        }
        text
    }

    /// The same for a method on a pair.
    pub(super) fn pair(pair: &'a PairKernel) -> Self {
        let mut text = Self::new(&pair.field, pair.stages, pair.lane, pair.terms, shader!("entry_update"));
        text.files.push(format!("const KEPT: u32 = {}u;\n", pair.kept()));
        text
    }

    pub(super) fn push(&mut self, files: &[&str]) {
        self.files.extend(files.iter().map(|f| (*f).to_owned()));
    }

    /// The binding of the weights.
    fn weights(&mut self) {
        if self.lane.family == Family::Tile || self.lane.fetch == WeightFetch::Uniform {
            self.files.push(binding(0, Access::Read, "weights", "vec4<f32>"));
        } else if self.lane.fetch == WeightFetch::Pairs8 {
            self.bindings[0] = Access::Uniform;
            let words = self.layout.packed.div_ceil(4);
            self.files.push(format!("@group(0) @binding(0) var<uniform> weights: array<vec2<u64>, {words}>;\n"));
            self.push(&[shader!("words")]);
        } else {
            self.push(&[shader!("weights_storage")]);
        }
    }

    /// How cotangents are pulled back, with binding `number` for what dJ/dθ is made of or for its sums.
    pub(super) fn sums(&mut self, number: usize) {
        match self.lane.sums() {
            Sums::Scratch => {
                self.files.push(binding(number, Access::ReadWrite, "scratch", "Lanes"));
                self.push(&[shader!("pull_scratch")]);
            }
            Sums::Inside => {
                let of = if self.lane.family == Family::Tile { "f32" } else { "u64" };
                self.files.push(binding(number, Access::ReadWrite, "sums", of));
                self.push(&[shader!("pull_inside")]);
            }
        }
    }

    /// The field's body.
    pub(super) fn body(&mut self, part: Part) {
        if self.lane.family == Family::Tile {
            self.files.push(match part {
                Part::Forward => TileText::new(&self.layout, self.field, self.lane, false).forward(),
                Part::Reverse | Part::Whole => TileText::new(&self.layout, self.field, self.lane, true).reverse(),
            });
            return;
        }
        if self.lane.fetch == WeightFetch::Pairs8 {
            let Extras { tangents, time, shares } = self.extras;
            // Cotangents of the time are made on the way back only.
            let alone = matches!(part, Part::Forward) || (!time && !shares);
            debug_assert!(!tangents && alone, "paired kernels have the field and its products alone");
            let text = PairedText::new(&self.layout, self.field, self.lane);
            self.files.push(match part {
                Part::Forward => text.forward(),
                Part::Reverse | Part::Whole => text.reverse(self.values),
            });
            return;
        }
        let text = MlpText::new(&self.layout, self.field, self.lane, self.extras).spilled(self.spilled);
        self.files.push(match part {
            Part::Forward => text.forward(),
            Part::Reverse => text.reverse(),
            Part::Whole => text.whole(),
        });
    }

    /// The gradient with respect to times.
    pub(super) fn clock(&self) -> &'static str {
        if self.terms.clock { shader!("clock") } else { shader!("clock_none") }
    }

    /// The arithmetic of a pair, with the binding of its log.
    pub(super) fn arithmetic(&mut self, words: Words) {
        self.push(&conversions(words));
        if words == Words::Float {
            self.push(&[shader!("pair_float")]);
        } else {
            self.files.push(binding(self.bindings.len(), Access::ReadWrite, "bit_log", "u32"));
            self.bindings.push(Access::ReadWrite);
            self.push(&[shader!("pair_log"), shader!("pair_fixed")]);
        }
    }

    /// The running cost on the way there.
    pub(super) fn pay(&mut self) {
        if self.terms.pay() {
            self.cost();
            self.push(&[shader!("pay")]);
        } else {
            self.push(&[shader!("pay_nothing")]);
        }
    }

    /// The error estimates of steps.
    pub(super) fn estimate(&mut self) {
        let Some(weighed) = self.terms.estimate else { return self.push(&[shader!("estimate_none")]) };
        for (name, row) in [("ERROR_ROW", ERROR_ROW), ("LENGTH_ROW", LENGTH_ROW), ("COMPONENT_ROWS", COMPONENT_ROWS)] {
            self.files.push(format!("const {name}: u32 = {row}u;"));
        }
        self.files.push(format!("const WEIGHED_BY_STEP: bool = {};", weighed == Estimate::Step));
        self.files.push(binding(self.bindings.len(), Access::ReadWrite, "estimates", "f32"));
        self.bindings.push(Access::ReadWrite);
        self.push(&[shader!("estimate")]);
    }

    /// What it adds to the adjoint on the way back. Mirror of [`Self::pay`].
    pub(super) fn charge(&mut self) {
        if self.terms.pay() {
            self.cost();
            self.push(&[shader!("charge")]);
        } else {
            self.push(&[shader!("charge_nothing")]);
        }
    }

    /// The running cost of an evaluation, with the binding of its reference as the last one of the kernel.
    fn cost(&mut self) {
        let Terms { kinetic, reference, jacobian, .. } = self.terms;
        for (name, value) in [("KINETIC", kinetic), ("REFERENCE", reference.is_some()), ("JACOBIAN", jacobian)] {
            self.files.push(format!("const {name}: bool = {value};"));
        }
        self.push(&[shader!("cost")]);
        let Some(reference) = reference else { return self.push(&[shader!("reference_none")]) };
        for (name, value) in [("REFERENCE_TIMES", reference.times), ("REFERENCE_SEARCH", reference.search())] {
            self.files.push(format!("const {name}: u32 = {value}u;"));
        }
        self.files.push(format!("const REFERENCE_SHARED: bool = {};", reference.shared));
        self.files.push(binding(self.bindings.len(), Access::Read, "reference", "f32"));
        self.bindings.push(Access::Read);
        self.push(&[shader!("reference_given")]);
    }

    pub(super) fn done(self) -> (Vec<String>, Vec<Access>) {
        (self.files, self.bindings)
    }
}
