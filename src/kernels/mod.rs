//! WGSL composition: which files of `shaders/` make a kernel, the constants in front of them, and the binding contract.
//!
//! Variants are different lists of files; there is no conditional language. Only the field's body is generated
//! ([`mlp`]), and the register block of the outer product ([`outer`]).

mod mlp;
mod outer;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;

use crate::model::Mlp;
use crate::plan::{FieldLayout, Kernel, Lane, Packed, PairKernel, Sources, StepKernel, Words};
use crate::solver::Adjoint;
use mlp::MlpText;

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

macro_rules! shader {
    ($name:literal) => {
        include_str!(concat!("../../shaders/", $name, ".wgsl"))
    };
}

/// Composes the text of a kernel.
pub(crate) fn source(kernel: &Kernel) -> Source {
    use Access::{Read, ReadWrite, Uniform};
    let (files, bindings): (Vec<String>, Vec<Access>) = match kernel {
        Kernel::StepForward(step) => step_forward(step),
        Kernel::StepReverse(step) => step_reverse(step),
        Kernel::PairWalk(pair) => pair_walk(pair),
        Kernel::PairReverse(pair) => pair_reverse(pair),
        Kernel::FixedStart(words) => fixed(*words, shader!("fixed_start"), &[Read, ReadWrite]),
        Kernel::CertificateFixed(words) => {
            fixed(*words, shader!("certificate_fixed"), &[ReadWrite, Read, Read, ReadWrite])
        }
        Kernel::OuterProduct(workgroup) => {
            let header = format!("const WORKGROUP: u32 = {workgroup}u;\n");
            (vec![header, shader!("outer_product").into(), outer::outer_block()], vec![Read, Read, ReadWrite])
        }
        Kernel::Accumulate => folded(&[shader!("accumulate")], &[ReadWrite, ReadWrite]),
        Kernel::PackWeights => folded(&[shader!("pack_weights")], &[Read, Read, ReadWrite]),
        Kernel::Reduce => folded(&[shader!("reduce")], &[Read, ReadWrite]),
        Kernel::LossPartials => folded(&[shader!("loss_partials")], &[Read, Read, ReadWrite]),
        Kernel::LossFinish => (vec![shader!("loss_finish").into()], vec![ReadWrite]),
        Kernel::NormPartials => folded(&[shader!("norm_partials")], &[Read, ReadWrite]),
        Kernel::Certificate => folded(&[shader!("common"), shader!("certificate")], &[Read, Read, Read, ReadWrite]),
        Kernel::DriftPartials => folded(&[shader!("common"), shader!("drift_partials")], &[Read, Read, ReadWrite]),
        Kernel::Gather => folded(&[shader!("gather")], &[Read, ReadWrite, ReadWrite]),
        Kernel::Adam => folded(
            &[shader!("common"), shader!("optimizer"), shader!("adam")],
            &[ReadWrite, Read, Read, ReadWrite, ReadWrite],
        ),
        Kernel::Sgd => {
            folded(&[shader!("common"), shader!("optimizer"), shader!("sgd")], &[ReadWrite, Read, Read, ReadWrite])
        }
    };
    debug_assert!(
        bindings.iter().filter(|b| **b != Uniform).count() <= 8,
        "{} needs more storage buffers than every adapter has",
        kernel.name()
    );
    Source { name: kernel.name(), text: files.join("\n"), bindings }
}

/// A kernel over elements, whose groups may be folded.
fn folded(files: &[&str], bindings: &[Access]) -> (Vec<String>, Vec<Access>) {
    let files = [shader!("fold")].iter().chain(files).map(|f| (*f).to_owned()).collect();
    (files, bindings.to_vec())
}

/// A kernel over elements in fixed point.
fn fixed(words: Words, file: &str, bindings: &[Access]) -> (Vec<String>, Vec<Access>) {
    let mut files = vec![shader!("common"), shader!("status")];
    files.extend(conversions(words));
    files.push(file);
    folded(&files, bindings)
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
    use Access::{Read, ReadWrite, Uniform};
    let layout = FieldLayout::new(&step.field);
    let mut bindings = vec![Read, Uniform, ReadWrite, ReadWrite, ReadWrite];
    let store = match step.adjoint {
        Some(Adjoint::Stored) => {
            bindings.push(ReadWrite);
            shader!("store_state")
        }
        _ => shader!("store_nothing"),
    };
    let body = MlpText::new(&layout, step.field.dim(), step.field.time_input(), step.lane).forward();
    let mut files = step_files(&step.field, step.stages, step.lane, &layout, shader!("entry_step"));
    files.extend([body, shader!("observe").into(), store.into(), shader!("step_forward").into()]);
    (files, bindings)
}

fn step_reverse(step: &StepKernel) -> (Vec<String>, Vec<Access>) {
    use Access::{Read, ReadWrite, Uniform};
    let layout = FieldLayout::new(&step.field);
    let mut bindings = vec![Read, Uniform, ReadWrite, ReadWrite, Read, ReadWrite, ReadWrite, Read];
    let recover = match step.adjoint {
        Some(Adjoint::Stored) => {
            bindings.push(Read);
            shader!("recover_stored")
        }
        _ => shader!("recover_backsolve"),
    };
    let body = MlpText::new(&layout, step.field.dim(), step.field.time_input(), step.lane).reverse();
    let mut files = step_files(&step.field, step.stages, step.lane, &layout, shader!("entry_step"));
    files.extend([body, shader!("pull_back").into(), recover.into(), shader!("step_reverse").into()]);
    (files, bindings)
}

fn pair_walk(pair: &PairKernel) -> (Vec<String>, Vec<Access>) {
    use Access::{Read, ReadWrite, Uniform};
    let layout = FieldLayout::new(&pair.field);
    let mut bindings = vec![Read, Uniform, ReadWrite, ReadWrite, ReadWrite, ReadWrite, ReadWrite];
    let body = MlpText::new(&layout, pair.field.dim(), pair.field.time_input(), pair.lane).forward();
    let mut files = step_files(&pair.field, pair.stages, pair.lane, &layout, shader!("entry_update"));
    files.extend([body, shader!("observe").into(), shader!("pair_walk").into()]);
    pair_arithmetic(pair.words, &mut files, &mut bindings);
    (files, bindings)
}

/// The arithmetic of the pair, with the binding of its log as the last one.
fn pair_arithmetic(words: Words, files: &mut Vec<String>, bindings: &mut Vec<Access>) {
    files.extend(conversions(words).into_iter().map(String::from));
    if words == Words::Float {
        files.push(shader!("pair_float").into());
    } else {
        let number = bindings.len();
        files.push(format!("@group(0) @binding({number}) var<storage, read_write> bit_log: array<u32>;\n"));
        bindings.push(Access::ReadWrite);
        files.extend([shader!("pair_log"), shader!("pair_fixed")].map(String::from));
    }
}

fn pair_reverse(pair: &PairKernel) -> (Vec<String>, Vec<Access>) {
    use Access::{Read, ReadWrite, Uniform};
    let layout = FieldLayout::new(&pair.field);
    let body = MlpText::new(&layout, pair.field.dim(), pair.field.time_input(), pair.lane).reverse();
    let mut files = step_files(&pair.field, pair.stages, pair.lane, &layout, shader!("entry_update"));
    files.extend([body, shader!("pull_back").into(), shader!("pair_reverse").into()]);
    let mut bindings = vec![Read, Uniform, ReadWrite, Read, ReadWrite, ReadWrite, Read];
    match pair.sources {
        Sources::Stored => {
            bindings.push(Read);
            files.push(shader!("source_stored").into());
        }
        Sources::Walked => {
            bindings.push(ReadWrite);
            files.push(shader!("source_walked").into());
            pair_arithmetic(pair.words, &mut files, &mut bindings);
        }
    }
    (files, bindings)
}

/// What the kernels that walk a track share, in front: constants, schedule, activations, stages.
fn step_files(field: &Mlp, stages: u32, lane: Lane, layout: &FieldLayout, entry: &str) -> Vec<String> {
    let mut header = String::new();
    let constants = [
        ("DIM", field.dim()),
        ("PADDED_DIM", Packed::padded(layout.layers[0].forward.inputs)),
        ("STAGES", stages as usize),
        ("TRAJECTORIES", lane.trajectories as usize),
        ("WORKGROUP", lane.workgroup as usize),
    ];
    for (name, value) in constants {
        let _ = writeln!(header, "const {name}: u32 = {value}u;");
    }
    // What one invocation reads and writes at once in buffers over trajectories.
    let lanes = match lane.trajectories {
        1 => "f32".to_owned(),
        r => format!("vec{r}<f32>"),
    };
    let _ = writeln!(header, "alias Lanes = {lanes};");
    let shared = [
        shader!("common"),
        shader!("activation"),
        shader!("schedule"),
        entry,
        shader!("status"),
        shader!("stages"),
        shader!("step_call"),
    ];
    std::iter::once(header).chain(shared.map(String::from)).collect()
}
