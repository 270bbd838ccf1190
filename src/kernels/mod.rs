//! WGSL composition: which files of `shaders/` make a kernel, the constants in front of them, and the binding contract.
//!
//! Variants are different lists of files; there is no conditional language. Only the field's body is generated
//! ([`mlp`]), and the register block of the outer product ([`outer`]).

mod mlp;
mod outer;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;

use crate::plan::{FieldLayout, Kernel, Packed, StepKernel};
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
        Kernel::OuterProduct(workgroup) => {
            let header = format!("const WORKGROUP: u32 = {workgroup}u;\n");
            (vec![header, shader!("outer_product").into(), outer::outer_block()], vec![Read, Read, ReadWrite])
        }
        Kernel::PackWeights => folded(&[shader!("pack_weights")], &[Read, Read, ReadWrite]),
        Kernel::Reduce => folded(&[shader!("reduce")], &[Read, ReadWrite]),
        Kernel::LossPartials => folded(&[shader!("loss_partials")], &[Read, Read, ReadWrite]),
        Kernel::LossFinish => (vec![shader!("loss_finish").into()], vec![ReadWrite]),
        Kernel::NormPartials => folded(&[shader!("norm_partials")], &[Read, ReadWrite]),
        Kernel::Certificate => folded(&[shader!("certificate")], &[Read, Read, Read, ReadWrite]),
        Kernel::DriftPartials => folded(&[shader!("common"), shader!("drift_partials")], &[Read, ReadWrite]),
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
    let mut files = step_files(step, &layout);
    files.extend([body, store.into(), shader!("step_forward").into()]);
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
    let mut files = step_files(step, &layout);
    files.extend([body, recover.into(), shader!("step_reverse").into()]);
    (files, bindings)
}

/// What forward and reverse share, in front: constants, schedule, activations, stages.
fn step_files(step: &StepKernel, layout: &FieldLayout) -> Vec<String> {
    let mut header = String::new();
    let constants = [
        ("DIM", step.field.dim()),
        ("PADDED_DIM", Packed::padded(layout.layers[0].forward.inputs)),
        ("STAGES", step.stages as usize),
        ("TRAJECTORIES", step.lane.trajectories as usize),
        ("WORKGROUP", step.lane.workgroup as usize),
    ];
    for (name, value) in constants {
        let _ = writeln!(header, "const {name}: u32 = {value}u;");
    }
    // What one invocation reads and writes at once in buffers over trajectories.
    let lanes = match step.lane.trajectories {
        1 => "f32".to_owned(),
        r => format!("vec{r}<f32>"),
    };
    let _ = writeln!(header, "alias Lanes = {lanes};");
    let shared =
        [shader!("common"), shader!("activation"), shader!("schedule"), shader!("stages"), shader!("step_call")];
    std::iter::once(header).chain(shared.map(String::from)).collect()
}
