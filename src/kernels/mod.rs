//! WGSL composition: which files of `shaders/` make a kernel, the constants in front of them, and the binding contract.
//!
//! Variants are different lists of files; there is no conditional language. Only the field's body is generated
//! ([`mlp`], [`paired`], [`tile`]), and the register block of the outer product ([`outer`]).

macro_rules! shader {
    ($name:literal) => {
        include_str!(concat!("../../shaders/", $name, ".wgsl"))
    };
}

mod lines;
mod mlp;
mod outer;
mod paired;
mod privates;
mod spill;
mod step;
#[cfg(test)]
mod tests;
mod tile;
mod tile_sums;

use crate::plan::{Kernel, LossKernel, LossKind, PairKernel, Rule, Sources, StepKernel, Words};
use crate::solver::Adjoint;
use step::{Part, StepText};

/// How a kernel accesses a binding; the position in the list is the binding number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Uniform,
    Read,
    ReadWrite,
}

/// A kernel ready to be compiled.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// Name of the kernel and of its entry point.
    pub name: &'static str,
    pub text: String,
    pub bindings: Vec<Access>,
}

/// Composes the text of a kernel.
pub(crate) fn source(kernel: &Kernel) -> Source {
    use Access::{Read, ReadWrite, Uniform};
    let (files, bindings): (Vec<String>, Vec<Access>) = match kernel {
        Kernel::StepForward(step) => step_forward(step),
        Kernel::StepReverse(step) => step_reverse(step),
        Kernel::ContinuousReverse(step) => continuous_reverse(step),
        Kernel::PairWalk(pair) => pair_walk(pair),
        Kernel::PairReverse(pair) => pair_reverse(pair),
        Kernel::Dense(step) => dense(step),
        Kernel::DenseReverse(step) => dense_reverse(step),
        Kernel::PairStart(pair) => pair_start(pair),
        Kernel::PairFinish(words) => pair_finish(*words),
        Kernel::SharePoints => (vec![shader!("share_points").into()], vec![ReadWrite]),
        Kernel::CertificateFixed(words) => certificate_fixed(*words),
        Kernel::OuterProduct(outer) => {
            let header = format!("const WORKGROUP: u32 = {}u;\n", outer.workgroup);
            let lanes = if outer.together { shader!("outer_together") } else { shader!("outer_alone") };
            let files = vec![header, shader!("outer_product").into(), lanes.into(), outer::outer_sums(*outer)];
            (files, vec![Read, Read, ReadWrite])
        }
        Kernel::UnpackGradient => folded(&[shader!("unpack_gradient")], &[Read, Read, ReadWrite]),
        Kernel::Accumulate => folded(&[shader!("accumulate")], &[ReadWrite, ReadWrite]),
        Kernel::TimeColumn => folded(&[shader!("time_column")], &[ReadWrite]),
        Kernel::PackWeights => folded(&[shader!("two_sum"), shader!("pack_weights")], &[Read, Read, ReadWrite]),
        Kernel::Reduce => folded(&[shader!("reduce")], &[Read, ReadWrite]),
        Kernel::LossLimits(l) => loss(*l, shader!("loss_limits"), &[Read, Read, ReadWrite]),
        Kernel::LossPartials(l) => loss(*l, shader!("loss_partials"), &[Read, Read, Read, Read, ReadWrite]),
        Kernel::LossCotangents(l) => loss(*l, shader!("loss_cotangents"), &[ReadWrite, Read, Read, Read]),
        Kernel::LossParameters(l) => loss(*l, shader!("loss_parameters"), &[Read, Read, Read, Read, ReadWrite]),
        Kernel::LossFinish => (vec![shader!("summary").into(), shader!("loss_finish").into()], vec![ReadWrite]),
        Kernel::CostAdjoint => folded(&[shader!("summary"), shader!("cost_adjoint")], &[Read, ReadWrite]),
        Kernel::CostParameters => folded(&[shader!("summary"), shader!("cost_parameters")], &[Read, Read, ReadWrite]),
        Kernel::NormPartials => {
            folded(&[shader!("common"), shader!("norm"), shader!("norm_partials")], &[Read, ReadWrite])
        }
        Kernel::NormSums => folded(&[shader!("common"), shader!("norm"), shader!("norm_sums")], &[Read, ReadWrite]),
        Kernel::Certificate => {
            let files = [shader!("common"), shader!("certificate_call"), shader!("certificate")];
            folded(&files, &[Read, Read, Read, Read, ReadWrite])
        }
        Kernel::DriftPartials => folded(&[shader!("common"), shader!("drift_partials")], &[Read, Read, ReadWrite]),
        Kernel::Gather { missing: false } => {
            folded(&[shader!("missing_none"), shader!("gather")], &[Read, ReadWrite, ReadWrite])
        }
        Kernel::Gather { missing: true } => {
            let files = [shader!("common"), shader!("missing_noted"), shader!("gather")];
            folded(&files, &[Read, ReadWrite, ReadWrite, ReadWrite])
        }
        Kernel::Foresee(rule) => optimizer(*rule, shader!("foresee"), ReadWrite),
        Kernel::Update(rule) => optimizer(*rule, shader!("update"), Read),
    };
    let (mut text, mut bindings) = (files.join("\n"), bindings);
    debug_assert!(
        bindings.iter().filter(|b| **b != Uniform).count() <= 8,
        "{} needs more storage buffers than every adapter has",
        kernel.name()
    );
    // Of software adapters whose buffers are more than that.
    if kernel.spills() {
        text = spill::spill(&text, bindings.len());
        bindings.push(ReadWrite);
    }
    Source { name: kernel.name(), text, bindings }
}

/// A kernel over elements, whose groups may be folded.
fn folded(files: &[&str], bindings: &[Access]) -> (Vec<String>, Vec<Access>) {
    let files = [shader!("fold")].iter().chain(files).map(|f| (*f).to_owned()).collect();
    (files, bindings.to_vec())
}

/// A kernel over parameters, with what it does to the summary.
fn optimizer(rule: Rule, file: &str, summary: Access) -> (Vec<String>, Vec<Access>) {
    use Access::{Read, ReadWrite};
    let (text, moments) = match rule {
        Rule::Adam => (shader!("adam"), 2),
        Rule::Sgd => (shader!("sgd"), 1),
    };
    let mut bindings = vec![ReadWrite, Read, summary];
    bindings.extend([ReadWrite; 2].iter().take(moments));
    let shared = [shader!("common"), shader!("summary"), shader!("norm"), shader!("optimizer")];
    folded(&[&shared[..], &[text, file]].concat(), &bindings)
}

fn certificate_fixed(words: Words) -> (Vec<String>, Vec<Access>) {
    use Access::{Read, ReadWrite};
    let mut files = vec![shader!("common"), shader!("status")];
    files.extend(conversions(words));
    files.extend([shader!("certificate_call"), shader!("certificate_fixed")]);
    folded(&files, &[ReadWrite, Read, Read, Read, ReadWrite])
}

fn pair_finish(words: Words) -> (Vec<String>, Vec<Access>) {
    let mut files = vec![shader!("common"), shader!("status"), shader!("pair_finish")];
    if words == Words::Float {
        files.push(shader!("points_none"));
        return folded(&files, &[Access::ReadWrite; 2]);
    }
    files.extend(conversions(words));
    files.extend([shader!("points"), shader!("points_fit")]);
    let mut bindings = [Access::ReadWrite; 5];
    bindings[4] = Access::Read;
    folded(&files, &bindings)
}

/// A kernel over observations: its loss and weights, with the bindings of those as the last ones.
fn loss(kernel: LossKernel, file: &str, bindings: &[Access]) -> (Vec<String>, Vec<Access>) {
    let kind = match kernel.kind {
        LossKind::Mse => shader!("loss_mse"),
        LossKind::Mae => shader!("loss_mae"),
        LossKind::Huber => shader!("loss_huber"),
        LossKind::Gaussian => shader!("loss_gaussian"),
    };
    let weight = if kernel.weighted { shader!("weight_each") } else { shader!("weight_one") };
    let files = [shader!("common"), shader!("status"), shader!("summary"), shader!("activation")];
    let (mut files, mut bindings) =
        folded(&[&files[..], &[shader!("observation"), kind, weight, file]].concat(), bindings);
    let named = [(kernel.weighted, "weighting"), (kernel.kind == LossKind::Gaussian, "theta")];
    for (_, name) in named.iter().filter(|(used, _)| *used) {
        files.push(binding(bindings.len(), Access::Read, name, "f32"));
        bindings.push(Access::Read);
    }
    (files, bindings)
}

/// The declaration of a binding whose number depends on the others.
fn binding(number: usize, access: Access, name: &str, of: &str) -> String {
    let access = if access == Access::Read { "read" } else { "read_write" };
    format!("@group(0) @binding({number}) var<storage, {access}> {name}: array<{of}>;\n")
}

/// What fixed point of these words is made of.
fn conversions(words: Words) -> Vec<&'static str> {
    match words {
        Words::Float => vec![],
        Words::One => vec![shader!("fixed"), shader!("fixed_one")],
        Words::Two => vec![shader!("fixed"), shader!("fixed_two")],
    }
}

fn step_forward(step: &StepKernel) -> (Vec<String>, Vec<Access>) {
    let mut text = StepText::new(&step.field, step.stages, step.lane, step.terms, shader!("entry_step"));
    text.bindings.extend([Access::ReadWrite; 4]);
    text.body(Part::Forward);
    text.push(&[shader!("largest"), shader!("observe")]);
    if step.adjoint == Some(Adjoint::Stored) {
        text.bindings.push(Access::ReadWrite);
        text.push(&[shader!("store_state")]);
    } else {
        text.push(&[shader!("store_nothing")]);
    }
    text.push(&[shader!("step_forward")]);
    text.estimate();
    text.pay();
    text.done()
}

fn step_reverse(step: &StepKernel) -> (Vec<String>, Vec<Access>) {
    use Access::{Read, ReadWrite};
    let mut text = StepText::new(&step.field, step.stages, step.lane, step.terms, shader!("entry_step"));
    text.bindings.extend([ReadWrite, ReadWrite, Read, ReadWrite, ReadWrite]);
    text.values = step.adjoint == Some(Adjoint::Backsolve) && step.lane.hands_out_values();
    text.body(Part::Reverse);
    text.push(&[shader!("single_back"), shader!("pull_back")]);
    text.sums(6);
    text.push(&[if text.values { shader!("reuse_step") } else { shader!("reuse_nothing") }]);
    if step.adjoint == Some(Adjoint::Stored) {
        text.bindings.push(Read);
        text.push(&[shader!("recover_stored")]);
    } else {
        text.push(&[shader!("recover_backsolve")]);
    }
    text.push(&[shader!("step_reverse"), text.clock()]);
    text.charge();
    text.done()
}

fn continuous_reverse(step: &StepKernel) -> (Vec<String>, Vec<Access>) {
    use Access::{Read, ReadWrite};
    let mut text = StepText::new(&step.field, step.stages, step.lane, step.terms, shader!("entry_step"));
    text.bindings.extend([ReadWrite, ReadWrite, Read, ReadWrite, ReadWrite]);
    text.extras.shares = true;
    text.body(Part::Whole);
    let knots = if step.terms.clock { shader!("knots") } else { shader!("knots_none") };
    // The clock that `pull_back` asks for stands still: the Hamiltonian says it all.
    text.push(&[
        shader!("single_back"),
        shader!("pull_back"),
        shader!("continuous_reverse"),
        knots,
        shader!("clock_none"),
    ]);
    text.sums(6);
    text.charge();
    text.done()
}

fn dense(step: &StepKernel) -> (Vec<String>, Vec<Access>) {
    use Access::{Read, ReadWrite};
    let mut text = StepText::new(&step.field, step.stages, step.lane, step.terms, shader!("entry_step"));
    text.bindings.extend([Read, ReadWrite, Read, ReadWrite]);
    text.body(Part::Forward);
    text.push(&[shader!("dense_table"), shader!("dense")]);
    text.done()
}

fn dense_reverse(step: &StepKernel) -> (Vec<String>, Vec<Access>) {
    use Access::{Read, ReadWrite};
    let mut text = StepText::new(&step.field, step.stages, step.lane, step.terms, shader!("entry_step"));
    text.bindings.extend([Read, Read, ReadWrite, ReadWrite, ReadWrite, ReadWrite, Read]);
    text.body(Part::Reverse);
    text.push(&[&format!("const TIMES: bool = {};", step.terms.clock), shader!("pull_back")]);
    text.sums(6);
    text.push(&[shader!("charge_nothing"), shader!("clock_none"), shader!("dense_table"), shader!("dense_reverse")]);
    text.done()
}

fn pair_start(pair: &PairKernel) -> (Vec<String>, Vec<Access>) {
    let mut text = StepText::pair(pair);
    text.bindings.extend([Access::ReadWrite, Access::Read, Access::Read]);
    text.body(Part::Forward);
    text.push(&conversions(pair.words));
    text.push(&[shader!("points"), shader!("pair_start")]);
    text.done()
}

fn pair_walk(pair: &PairKernel) -> (Vec<String>, Vec<Access>) {
    let mut text = StepText::pair(pair);
    text.bindings.extend([Access::ReadWrite; 5]);
    text.body(Part::Forward);
    text.push(&[shader!("largest"), shader!("observe"), shader!("lost"), shader!("pair_walk")]);
    text.arithmetic(pair.words);
    text.pay();
    text.done()
}

fn pair_reverse(pair: &PairKernel) -> (Vec<String>, Vec<Access>) {
    use Access::{Read, ReadWrite};
    let mut text = StepText::pair(pair);
    text.bindings.extend([ReadWrite, Read, ReadWrite, ReadWrite]);
    text.values = pair.sources == Sources::Walked && pair.lane.hands_out_values();
    text.body(Part::Reverse);
    text.push(&[shader!("pull_back"), shader!("pair_reverse"), text.clock()]);
    debug_assert!(!(text.values && pair.terms.clock), "drifts are accounted for before pulling back");
    text.push(&[if text.values { shader!("pair_late") } else { shader!("pair_early") }]);
    text.sums(5);
    text.push(&[if pair.drifts && pair.terms.clock { shader!("drift") } else { shader!("drift_none") }]);
    match pair.sources {
        Sources::Stored => {
            text.bindings.push(Read);
            text.push(&[shader!("source_stored")]);
        }
        Sources::Walked => {
            text.bindings.push(ReadWrite);
            text.push(&[shader!("source_walked")]);
            text.arithmetic(pair.words);
        }
    }
    text.charge();
    text.done()
}
