//! Is the text of every kernel valid, and does it agree with what the host believes about it?
//!
//! A grid of specialisations is parsed and validated with the copy of naga that wgpu compiles with, without a device.
//! Bindings, layouts and names are read off naga's result, loop trips off the text. Blind to what a driver makes of the
//! text; tests/kernels.rs compares results.

mod grid;
mod tile;
mod trips;

use std::sync::Arc;

use wgpu::naga::front::wgsl::parse_str;
use wgpu::naga::valid::{Capabilities, ValidationFlags, Validator};
use wgpu::naga::{AddressSpace, Module, StorageAccess, TypeInner};

use grid::*;

use super::mlp::{Extras, MlpText};
use super::*;
use crate::model::{Activation, Mlp, RunningCost};
use crate::plan::{
    CALL_WORDS, CertificateCall, CostCall, CountCall, DriftCall, Elsewhere, Estimate, Family, FieldLayout, FinishCall,
    GatherCall, Lane, LossCall, MAX_STAGES, NO_SLOT, NormCall, OptimizerCall, OuterCall, PackCall, PairKernel,
    ReduceCall, ReferenceText, Rule, ShareCall, ShiftCall, Sources, Spec, StepCall, Terms, Track, Trips, WINDOW,
    WeightCall, WeightFetch, Words, spilled_values, write_window,
};
use crate::solver::{AdjointOptions, Method, TimeGrid};

/// Bytes of the numbers that the host sends with a dispatch of this kernel.
fn call_bytes(kernel: &Kernel) -> usize {
    match kernel {
        Kernel::StepForward(_) | Kernel::StepReverse(_) | Kernel::ContinuousReverse(_) => size_of::<StepCall>(),
        Kernel::PairWalk(_) | Kernel::PairReverse(_) | Kernel::Dense(_) | Kernel::DenseReverse(_) => {
            size_of::<StepCall>()
        }
        Kernel::PairStart(_) => size_of::<StepCall>(),
        Kernel::PairFinish(_) => size_of::<FinishCall>(),
        Kernel::SharePoints => size_of::<ShareCall>(),
        Kernel::DriftPartials => size_of::<DriftCall>(),
        Kernel::UnpackGradient | Kernel::Accumulate | Kernel::NormPartials => size_of::<CountCall>(),
        Kernel::PackWeights => size_of::<PackCall>(),
        Kernel::TimeColumn => size_of::<ShiftCall>(),
        Kernel::OuterProduct(_) => size_of::<OuterCall>(),
        Kernel::Reduce => size_of::<ReduceCall>(),
        Kernel::LossLimits(_) | Kernel::LossPartials(_) | Kernel::LossCotangents(_) | Kernel::LossParameters(_) => {
            size_of::<LossCall>()
        }
        Kernel::LossFinish => size_of::<Elsewhere>(),
        Kernel::CostAdjoint => size_of::<CostCall>(),
        Kernel::CostParameters => size_of::<WeightCall>(),
        Kernel::Certificate | Kernel::CertificateFixed(_) => size_of::<CertificateCall>(),
        Kernel::NormSums => size_of::<NormCall>(),
        Kernel::Foresee(_) | Kernel::Update(_) => size_of::<OptimizerCall>(),
        Kernel::Gather { .. } => size_of::<GatherCall>(),
    }
}

fn case(kernel: &Kernel) -> String {
    match kernel {
        Kernel::StepForward(s)
        | Kernel::StepReverse(s)
        | Kernel::ContinuousReverse(s)
        | Kernel::Dense(s)
        | Kernel::DenseReverse(s) => format!("{} {s:?} of {}", kernel.name(), s.field.summary()),
        Kernel::PairStart(p) | Kernel::PairWalk(p) | Kernel::PairReverse(p) => {
            format!("{} {p:?} of {}", kernel.name(), p.field.summary())
        }
        Kernel::PairFinish(words) | Kernel::CertificateFixed(words) => format!("{} of {words:?}", kernel.name()),
        _ => kernel.name().to_owned(),
    }
}

/// The lanes of a kernel that walks a track or evaluates the field.
fn lane(kernel: &Kernel) -> Option<Lane> {
    match kernel {
        Kernel::StepForward(s)
        | Kernel::StepReverse(s)
        | Kernel::ContinuousReverse(s)
        | Kernel::Dense(s)
        | Kernel::DenseReverse(s) => Some(s.lane),
        Kernel::PairStart(p) | Kernel::PairWalk(p) | Kernel::PairReverse(p) => Some(p.lane),
        _ => None,
    }
}

fn parsed(kernel: &Kernel) -> (Source, Module) {
    let source = source(kernel);
    let module =
        parse_str(&source.text).unwrap_or_else(|e| panic!("{}: {}", case(kernel), e.emit_to_string(&source.text)));
    (source, module)
}

#[test]
fn every_kernel_is_valid() {
    let kernels = kernels();
    assert!(kernels.len() > 100, "only {} kernels", kernels.len());
    for kernel in &kernels {
        let (source, module) = parsed(kernel);
        let mut validator = Validator::new(
            ValidationFlags::all(),
            Capabilities::IMMEDIATES | Capabilities::SUBGROUP | Capabilities::SHADER_INT64,
        );
        if let Err(error) = validator.validate(&module) {
            panic!("{}: {}", case(kernel), error.emit_to_string(&source.text));
        }
        let entries: Vec<&str> = module.entry_points.iter().map(|e| e.name.as_str()).collect();
        assert_eq!(entries, [kernel.name()], "{}: entry points", case(kernel));
        let groups = module.entry_points[0].workgroup_size;
        let workgroup = match kernel {
            Kernel::OuterProduct(outer) => outer.workgroup,
            kernel if lane(kernel).is_some() => lane(kernel).map_or(0, |l| l.workgroup),
            Kernel::LossFinish => 1,
            // src/plan/fold.rs counts groups of 64 for these.
            _ => 64,
        };
        assert_eq!(groups, [workgroup, 1, 1], "{}: workgroup", case(kernel));
    }
}

/// The kernels run without subgroup operations where weights are fetched uniformly; only tiles have workgroup memory.
#[test]
fn only_broadcasts_need_subgroups() {
    for kernel in kernels() {
        let broadcasts = match &kernel {
            Kernel::OuterProduct(outer) => outer.together,
            other => lane(other).is_some_and(|l| l.fetch != WeightFetch::Uniform),
        };
        let (_, module) = parsed(&kernel);
        let valid = Validator::new(ValidationFlags::all(), Capabilities::IMMEDIATES).validate(&module);
        assert_eq!(valid.is_err(), broadcasts, "{}: subgroup operations", case(&kernel));
        let workgroup = module.global_variables.iter().any(|(_, v)| v.space == AddressSpace::WorkGroup);
        let tile = lane(&kernel).is_some_and(|l| l.family == Family::Tile);
        let shares = kernel == Kernel::SharePoints;
        assert_eq!(workgroup, tile || shares, "{}: workgroup memory", case(&kernel));
    }
}

#[test]
fn bindings_are_those_of_the_contract() {
    for kernel in kernels() {
        let (source, module) = parsed(&kernel);
        let mut found: Vec<(u32, Access)> = Vec::new();
        for (_, variable) in module.global_variables.iter() {
            let Some(binding) = &variable.binding else { continue };
            assert_eq!(binding.group, 0, "{}: group of {:?}", case(&kernel), variable.name);
            let access = match variable.space {
                AddressSpace::Uniform => Access::Uniform,
                AddressSpace::Storage { access } if access == StorageAccess::LOAD => Access::Read,
                AddressSpace::Storage { access } if access == StorageAccess::LOAD | StorageAccess::STORE => {
                    Access::ReadWrite
                }
                space => panic!("{}: {:?} in {space:?}", case(&kernel), variable.name),
            };
            found.push((binding.binding, access));
        }
        found.sort_by_key(|(number, _)| *number);
        let expected: Vec<(u32, Access)> = (0..).zip(source.bindings.iter().copied()).collect();
        assert_eq!(found, expected, "{}: bindings", case(&kernel));
    }
}

fn span(module: &Module, inner: &TypeInner) -> u32 {
    inner.size(module.to_ctx())
}

#[test]
fn the_numbers_of_a_dispatch_have_the_hosts_size() {
    for kernel in kernels() {
        let (_, module) = parsed(&kernel);
        let calls: Vec<u32> = module
            .global_variables
            .iter()
            .filter(|(_, v)| v.space == AddressSpace::Immediate)
            .map(|(_, v)| span(&module, &module.types[v.ty].inner))
            .collect();
        let bytes = u32::try_from(call_bytes(&kernel)).expect("small");
        assert_eq!(calls, if bytes == 0 { vec![] } else { vec![bytes] }, "{}", case(&kernel));
        assert!(call_bytes(&kernel) <= 4 * CALL_WORDS, "{}: {} bytes", case(&kernel), call_bytes(&kernel));
    }
}

/// Writes a window with a different value in every place and reads it back at the offsets that naga computed.
#[test]
fn the_schedule_has_the_hosts_layout() {
    let mlp = field(2, &[3], Activation::Tanh, false);
    let terms = Terms { kinetic: true, clock: true, ..Terms::default() };
    let step = StepKernel { field: mlp.clone(), stages: 6, lane: SCALAR, adjoint: Some(Adjoint::Stored), terms };
    let (_, module) = parsed(&Kernel::StepReverse(step));
    let members = |name: &str| -> (Vec<(String, u32)>, u32) {
        let found = module.types.iter().find(|(_, t)| t.name.as_deref() == Some(name)).map(|(_, t)| &t.inner);
        let Some(TypeInner::Struct { members, span }) = found else { panic!("no struct {name}") };
        (members.iter().map(|m| (m.name.clone().unwrap_or_default(), m.offset)).collect(), *span)
    };
    let (schedule, bytes) = members("Schedule");
    let (record, record_bytes) = members("Entry");
    let (node, node_bytes) = members("Node");
    let (coefficient, coefficient_bytes) = members("Coefficient");
    let (clock, clock_bytes) = members("Clock");
    let (cost, _) = members("Cost");
    let offset = |list: &[(String, u32)], name: &str| {
        list.iter().find(|(n, _)| n == name).unwrap_or_else(|| panic!("no member {name}")).1 as usize
    };

    let tableau = Method::Tsit5.tableau();
    let grid = TimeGrid::with_steps(0.5, &[0.75, 2.0], 2.0, WINDOW).expect("a valid grid");
    let track = Track::new(Method::Tsit5, &grid, None).expect("a track");
    let mut spec = Spec::gradient(mlp, Method::Tsit5, grid.clone(), Adjoint::Stored, AdjointOptions::default(), 1);
    spec.cost =
        Some(Arc::new(RunningCost::new().kinetic(0.25).and_then(|c| c.jacobian(0.5, 77)).expect("valid weights")));
    spec.wrt.t1 = true;
    let written = write_window(&spec, &track, 0).expect("a window");
    assert_eq!(written.len(), bytes as usize, "bytes of the schedule");
    let word = |at: usize| u32::from_le_bytes(written[at..at + 4].try_into().expect("four bytes"));
    let number = |at: usize| f64::from(f32::from_bits(word(at)));
    #[expect(clippy::cast_possible_truncation, reason = "the device has f32")]
    let rounded = |value: f64| f64::from(value as f32);

    for i in 0..tableau.stages() {
        let at = offset(&schedule, "nodes") + i * node_bytes as usize;
        assert_eq!(number(at + offset(&node, "c")), rounded(tableau.c[i]), "c[{i}]");
        assert_eq!(number(at + offset(&node, "b")), rounded(tableau.b[i]), "b[{i}]");
        for j in 0..tableau.stages() {
            // shaders/stages.wgsl has eight coefficients per row.
            let place = (i * MAX_STAGES + j) * coefficient_bytes as usize;
            let at = offset(&schedule, "a") + place + offset(&coefficient, "value");
            assert_eq!(number(at), rounded(tableau.a(i, j)), "a[{i}][{j}]");
        }
    }
    let costs = offset(&schedule, "cost");
    assert_eq!(number(costs + offset(&cost, "kinetic")), 0.25, "weight of the kinetic term");
    assert_eq!(number(costs + offset(&cost, "jacobian")), 0.5, "weight of the Jacobian term");
    assert_eq!(word(costs + offset(&cost, "seed")), 77, "seed of the probe");
    for n in 0..WINDOW {
        let at = offset(&schedule, "entries") + n * record_bytes as usize;
        let (start, end) = (grid.times()[n], grid.times()[n + 1]);
        assert_eq!(number(at + offset(&record, "start")), rounded(start - 0.5), "start of step {n}");
        assert_eq!(number(at + offset(&record, "end")), rounded(end - 0.5), "end of step {n}");
        assert_eq!(number(at + offset(&record, "h")), rounded(end - start), "h of step {n}");
        let slot = if n + 1 == WINDOW { 0 } else { NO_SLOT };
        assert_eq!(word(at + offset(&record, "slot")), slot, "observation of step {n}");
        let pair = offset(&schedule, "clock") + n / 2 * clock_bytes as usize;
        let at = pair + offset(&clock, if n % 2 == 0 { "even" } else { "odd" });
        assert_eq!(number(at), rounded((start - 0.5) / 0.25), "place of step {n} in its segment");
        assert_eq!(number(at + 4), rounded((end - start) / 0.25), "part of step {n} of its segment");
    }
}

/// Lavapipe silently leaves all loops of an invocation after 65 535 trips, so the plan's count must not be too low.
#[test]
fn the_plan_counts_every_loop_trip() {
    for step in step_kernels() {
        let layout = FieldLayout::new(&step.field);
        let planned = Trips::single(&layout, &step);
        check_trips(&Kernel::StepForward(step.clone()), planned.forward_step, planned.fixed);
        match step.adjoint {
            Some(Adjoint::Continuous) => {
                check_trips(&Kernel::ContinuousReverse(step.clone()), planned.reverse_step, planned.fixed);
            }
            Some(_) => check_trips(&Kernel::StepReverse(step.clone()), planned.reverse_step, planned.fixed),
            None => (),
        }
        let planned = Trips::dense(&layout, &step.field, step.lane);
        let terms = Terms { clock: step.terms.clock, ..Terms::default() };
        let dense = StepKernel { stages: 1, terms, ..step };
        check_trips(&Kernel::DenseReverse(dense), planned.reverse_step, planned.fixed);
    }
    for pair in pair_kernels() {
        let layout = FieldLayout::new(&pair.field);
        let planned = Trips::pair(&layout, &pair);
        check_trips(&Kernel::PairWalk(pair.clone()), planned.forward_step, planned.fixed);
        check_trips(&Kernel::PairReverse(pair), planned.reverse_step, planned.fixed);
    }
}

fn check_trips(kernel: &Kernel, per_step: u64, planned_fixed: u64) {
    let text = trips::Trips::new(&source(kernel).text);
    let run = |steps| text.count(kernel.name(), &[("call.steps", steps), ("call.idle", 0), ("known", 0)]);
    let step = run(2) - run(1);
    let fixed = run(1) - step;
    assert!(step <= per_step, "{}: a step takes {step} trips, the plan says {per_step}", case(kernel));
    assert!(fixed <= planned_fixed, "{}: {fixed} trips, the plan says {planned_fixed}", case(kernel));
    // Not so careful that dispatches get short: within a factor of two.
    assert!(2 * step + 50 >= per_step, "{}: {step} trips, the plan says {per_step}", case(kernel));
}

/// The arrays of a workgroup have room in what the plan sets aside for its trajectories.
#[test]
fn the_plan_has_room_for_spilled_arrays() {
    let mut seen = 0;
    for kernel in kernels() {
        let (_, module) = parsed(&kernel);
        let spilled = module.types.iter().find(|(_, t)| t.name.as_deref() == Some("Spilled"));
        assert_eq!(spilled.is_some(), kernel.spills(), "{}: arrays in a buffer", case(&kernel));
        let Some((_, spilled)) = spilled else { continue };
        let (stages, terms, lane) = match &kernel {
            Kernel::PairWalk(p) | Kernel::PairReverse(p) => (p.stages, p.terms, p.lane),
            Kernel::StepForward(s)
            | Kernel::StepReverse(s)
            | Kernel::ContinuousReverse(s)
            | Kernel::Dense(s)
            | Kernel::DenseReverse(s) => (s.stages, s.terms, s.lane),
            _ => panic!("{} has no arrays", case(&kernel)),
        };
        let field = kernel.field().expect("a field");
        let planned = 4 * spilled_values(field, stages, [lane; 3], terms) * u64::from(lane.group_trajectories());
        let bytes = u64::from(span(&module, &spilled.inner));
        assert!(bytes <= planned, "{}: {bytes} bytes of a workgroup, {planned} planned", case(&kernel));
        seen += 1;
    }
    assert!(seen > 20, "only {seen} kernels keep arrays in a buffer");
}

/// How long a text takes to compile is told by its lines, and by its private arrays, whose uses are compared pair by pair.
#[test]
fn the_text_does_not_grow_with_the_width() {
    let size = |dim: usize, hidden: &[usize], trajectories: u32| {
        let lane = Lane { trajectories, ..VECTOR };
        let mlp = field(dim, hidden, Activation::Tanh, false);
        let (adjoint, terms) = (Some(Adjoint::Stored), Terms::default());
        let step = StepKernel { field: mlp.clone(), stages: 4, lane, adjoint, terms };
        let (words, sources, drifts) = (Words::Two, Sources::Walked, false);
        let pair = PairKernel { field: mlp, stages: 1, lane, words, sources, terms, drifts };
        let kernels = [
            Kernel::StepForward(step.clone()),
            Kernel::StepReverse(step),
            Kernel::PairWalk(pair.clone()),
            Kernel::PairReverse(pair),
        ];
        kernels.map(|kernel| {
            let (source, module) = parsed(&kernel);
            let private = module.global_variables.iter().filter(|(_, v)| v.space == AddressSpace::Private);
            let values = private.map(|(_, v)| u64::from(span(&module, &module.types[v.ty].inner)) / 4);
            (source.text.lines().count(), values.map(|n| n.pow(2)).sum::<u64>())
        })
    };
    // Of the width nothing but numbers is in the text.
    assert_eq!(size(1, &[1024], 1), size(1, &[3000], 1), "lines and squares of 1-1024-1 and 1-3000-1");
    // States and layers of up to 128 inputs are written out, once for each product.
    let [small, large] = [size(64, &[64], 1), size(128, &[128], 1)];
    for ((lines, squares), (more, most)) in small.into_iter().zip(large) {
        assert!(more < 2 * lines + 100, "{more} lines of 128-128-128, {lines} of 64-64-64");
        assert!(squares < 12_000 && most < 12_000, "squares of private arrays: {squares}, {most}");
    }
    for (lines, squares) in size(2, &[1024], 1).into_iter().chain(size(1, &[256], 2)).chain(size(64, &[64], 2)) {
        assert!(lines < 2500 && squares < 20_000, "{lines} lines, {squares} squares");
    }
}

/// The generated body of one tiny field, to be read: a change of the generator shows up as a difference here.
#[test]
fn the_generated_text_of_a_tiny_field() {
    let mlp = field(2, &[3], Activation::Tanh, true);
    let layout = FieldLayout::new(&mlp);
    let text = |reverse: bool, lane| {
        let extras =
            if lane == SCALAR { Extras::default() } else { Extras { tangents: true, time: true, shares: true } };
        let body = MlpText::new(&layout, &mlp, lane, extras);
        if reverse { body.reverse() } else { body.forward() }
    };
    let both = Lane { family: Family::Lane, trajectories: 2, workgroup: 8, fetch: WeightFetch::Uniform };
    insta::assert_snapshot!("reverse_with_tangents", text(true, both));
    insta::assert_snapshot!("forward", text(false, SCALAR));
    insta::assert_snapshot!("reverse", text(true, SCALAR));
}
