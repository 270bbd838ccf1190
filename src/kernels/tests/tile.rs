//! Is the text of tiles valid and counted, and does it take the workgroup memory that the plan says?

use super::*;
use crate::plan::TileShape;

/// Step kernels of the tile family over widths, depths, activations, stages, adjoints and sizes of tiles.
pub(super) fn kernels() -> Vec<StepKernel> {
    let mixed = Mlp::builder(2)
        .hidden(&[5], Activation::Silu)
        .hidden(&[100], Activation::Elu)
        .hidden(&[31], Activation::Gelu)
        .output_activation(Activation::Sin)
        .build()
        .expect("a valid field");
    let mut kernels = Vec::new();
    for (mlp, stages, trajectories, workgroup) in [
        (field(1, &[], Activation::Tanh, false), 1, 64, 64),
        (field(1, &[1], Activation::Sin, true), 2, 32, 64),
        (field(5, &[3], Activation::Tanh, true), 6, 4, 32),
        (field(4, &[64, 64], Activation::Tanh, false), 1, 32, 64),
        (mixed, 4, 16, 32),
        (field(9, &[33, 130], Activation::Softplus, true), 2, 8, 8),
        (field(3, &[128, 128], Activation::Tanh, true), 4, 16, 64),
        (field(2, &[256, 256], Activation::Relu, false), 1, 8, 128),
        (field(130, &[9], Activation::Tanh, true), 1, 4, 32),
    ] {
        let lane = Lane { family: Family::Tile, trajectories, workgroup, fetch: WeightFetch::Uniform };
        for adjoint in [Some(Adjoint::Stored), Some(Adjoint::Backsolve)] {
            let terms = Terms::default();
            kernels.push(StepKernel { field: mlp.clone(), stages, lane, adjoint, terms });
        }
    }
    kernels
}

#[test]
fn the_plan_counts_the_trips_of_tiles() {
    for step in kernels() {
        let planned = Trips::single(&FieldLayout::new(&step.field), &step);
        check_trips(&Kernel::StepForward(step.clone()), planned.forward_step, planned.fixed);
        check_trips(&Kernel::StepReverse(step), planned.reverse_step, planned.fixed);
    }
}

#[test]
fn tiles_take_the_workgroup_memory_of_the_plan() {
    for step in kernels() {
        for (pulls, kernel) in [(false, Kernel::StepForward(step.clone())), (true, Kernel::StepReverse(step.clone()))] {
            let (_, module) = parsed(&kernel);
            let variables = module.global_variables.iter().filter(|(_, v)| v.space == AddressSpace::WorkGroup);
            let bytes: u32 = variables.map(|(_, v)| span(&module, &module.types[v.ty].inner)).sum();
            let planned = TileShape::of(&step.field, step.lane, pulls).bytes();
            assert_eq!(u64::from(bytes), planned, "{}: bytes", case(&kernel));
        }
    }
}
