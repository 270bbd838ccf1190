//! The specialisations that the tests look at.

use super::*;

pub(super) const SCALAR: Lane =
    Lane { family: Family::Lane, trajectories: 1, workgroup: 64, fetch: WeightFetch::Uniform };
pub(super) const PAIR: Lane = Lane { family: Family::Lane, trajectories: 2, workgroup: 8, fetch: WeightFetch::Uniform };
pub(super) const PAIRS: Lane = Lane { family: Family::Lane, trajectories: 8, workgroup: 8, fetch: WeightFetch::Pairs8 };
pub(super) const VECTOR: Lane =
    Lane { family: Family::Lane, trajectories: 4, workgroup: 8, fetch: WeightFetch::Broadcast8 };

pub(super) fn field(dim: usize, hidden: &[usize], activation: Activation, time_input: bool) -> Mlp {
    Mlp::builder(dim).hidden(hidden, activation).time_input(time_input).build().expect("a valid field")
}

/// Step kernels over depths, widths (wide ones too), stages, activations, lanes and adjoints.
pub(super) fn step_kernels() -> Vec<StepKernel> {
    let mut kernels = Vec::new();
    let mut push = |field: &Mlp, stages: u32, lane: Lane| {
        let adjoints = [Some(Adjoint::Stored), Some(Adjoint::Backsolve), Some(Adjoint::Continuous), None];
        let terms = Terms::default();
        kernels.extend(adjoints.map(|adjoint| StepKernel { field: field.clone(), stages, lane, adjoint, terms }));
    };
    let small = field(2, &[3], Activation::Tanh, false);
    for stages in 1..=6 {
        push(&small, stages, VECTOR);
        push(&small, stages, SCALAR);
    }
    for lane in [SCALAR, PAIR, VECTOR] {
        for mlp in [
            field(1, &[], Activation::Tanh, false),
            field(1, &[1], Activation::Sin, true),
            field(3, &[7, 5], Activation::Tanh, true),
            field(2, &[5, 7, 3], Activation::Gelu, false),
            field(130, &[9], Activation::Tanh, true),
            field(2, &[150], Activation::Tanh, false),
            field(129, &[300, 128], Activation::Silu, true),
        ] {
            push(&mlp, 2, lane);
        }
    }
    for activation in Activation::ALL {
        let mlp = Mlp::builder(2).hidden(&[3], activation).output_activation(activation).build();
        push(&mlp.expect("a valid field"), 1, SCALAR);
    }
    let some: Vec<StepKernel> = kernels.iter().step_by(7).cloned().collect();
    kernels.extend(some.iter().flat_map(|step| all_terms().map(|terms| StepKernel { terms, ..step.clone() })));
    kernels
}

/// Step kernels that load weights in pairs and make the sums of the gradient.
pub(super) fn paired_kernels() -> Vec<StepKernel> {
    let mut fields: Vec<Mlp> = Activation::ALL.map(|activation| field(2, &[5, 3], activation, true)).into();
    fields.push(field(1, &[1], Activation::Tanh, false));
    fields.push(field(8, &[33], Activation::Sin, true));
    fields.push(field(3, &[64, 17, 20], Activation::Gelu, false));
    fields.push(field(2, &[128, 128], Activation::Tanh, false));
    let adjoints = [Some(Adjoint::Stored), Some(Adjoint::Backsolve), None];
    let terms = Terms::default();
    fields
        .iter()
        .flat_map(|f| [1, 4].map(|stages| (f, stages)))
        .flat_map(|(f, stages)| {
            adjoints.map(|adjoint| StepKernel { field: f.clone(), stages, lane: PAIRS, adjoint, terms })
        })
        .collect()
}

/// Terms of the objective beside the observations, one by one and together.
pub(super) fn all_terms() -> [Terms; 8] {
    let none = Terms::default();
    let reference = Some(ReferenceText { times: 11, shared: true });
    [
        Terms { kinetic: true, ..none },
        Terms { reference, ..none },
        Terms { jacobian: true, ..none },
        Terms { clock: true, ..none },
        Terms { kinetic: true, reference: Some(ReferenceText { times: 2, shared: false }), jacobian: true, ..none },
        Terms { kinetic: true, reference, jacobian: true, clock: true, estimate: Some(Estimate::Step) },
        Terms { estimate: Some(Estimate::Step), ..none },
        Terms { estimate: Some(Estimate::Whole), ..none },
    ]
}

/// Kernels of pairs over widths, increments, lanes and words.
pub(super) fn pair_kernels() -> Vec<PairKernel> {
    let mut kernels = Vec::new();
    for lane in [SCALAR, PAIR, VECTOR] {
        for words in [Words::Float, Words::One, Words::Two] {
            for (mlp, stages) in [
                (field(1, &[], Activation::Tanh, false), 1),
                (field(2, &[3], Activation::Tanh, true), 4),
                (field(3, &[7, 5], Activation::Gelu, false), 6),
                (field(130, &[9], Activation::Tanh, true), 1),
                (field(129, &[300, 128], Activation::Silu, true), 2),
            ] {
                for sources in [Sources::Stored, Sources::Walked] {
                    let (terms, drifts) = (Terms::default(), words == Words::Float && stages == 1);
                    kernels.push(PairKernel { field: mlp.clone(), stages, lane, words, sources, terms, drifts });
                }
            }
        }
    }
    let some: Vec<PairKernel> = kernels.iter().step_by(5).cloned().collect();
    kernels.extend(some.iter().flat_map(|pair| all_terms().map(|terms| PairKernel { terms, ..pair.clone() })));
    for (words, stages, sources) in [Words::Float, Words::One, Words::Two]
        .into_iter()
        .flat_map(|w| [1, 4].into_iter().flat_map(move |s| [Sources::Stored, Sources::Walked].map(|from| (w, s, from))))
    {
        let (terms, field) = (Terms::default(), field(2, &[5, 3], Activation::Tanh, true));
        kernels.push(PairKernel { field, stages, lane: PAIRS, words, sources, terms, drifts: false });
    }
    kernels
}

pub(super) fn kernels() -> Vec<Kernel> {
    let mut all = vec![
        Kernel::PairFinish(Words::Float),
        Kernel::PairFinish(Words::One),
        Kernel::PairFinish(Words::Two),
        Kernel::SharePoints,
        Kernel::CertificateFixed(Words::One),
        Kernel::CertificateFixed(Words::Two),
        Kernel::PackWeights,
        Kernel::UnpackGradient,
        Kernel::TimeColumn,
        Kernel::OuterProduct(VECTOR.into()),
        Kernel::OuterProduct(SCALAR.into()),
        Kernel::Accumulate,
        Kernel::Reduce,
        Kernel::LossFinish,
        Kernel::CostAdjoint,
        Kernel::CostParameters,
        Kernel::NormPartials,
        Kernel::Certificate,
        Kernel::DriftPartials,
        Kernel::NormSums,
        Kernel::Foresee(Rule::Adam),
        Kernel::Foresee(Rule::Sgd),
        Kernel::Update(Rule::Adam),
        Kernel::Update(Rule::Sgd),
        Kernel::Gather { missing: false },
        Kernel::Gather { missing: true },
    ];
    for kind in [LossKind::Mse, LossKind::Mae, LossKind::Huber, LossKind::Gaussian] {
        for weighted in [false, true] {
            let loss = LossKernel { kind, weighted };
            all.extend([Kernel::LossLimits(loss), Kernel::LossPartials(loss), Kernel::LossCotangents(loss)]);
            if kind == LossKind::Gaussian {
                all.push(Kernel::LossParameters(loss));
            }
        }
    }
    for step in step_kernels() {
        match step.adjoint {
            Some(Adjoint::Continuous) => all.push(Kernel::ContinuousReverse(step.clone())),
            Some(_) => all.push(Kernel::StepReverse(step.clone())),
            None => all.push(Kernel::Dense(StepKernel { stages: 1, terms: Terms::default(), ..step.clone() })),
        }
        let terms = Terms { clock: step.terms.clock, ..Terms::default() };
        all.push(Kernel::DenseReverse(StepKernel { stages: 1, terms, ..step.clone() }));
        if matches!(step.adjoint, None | Some(Adjoint::Stored)) {
            all.push(Kernel::StepForward(step));
        }
    }
    for step in paired_kernels() {
        all.push(if step.adjoint.is_some() { Kernel::StepReverse(step) } else { Kernel::StepForward(step) });
    }
    for step in tile::kernels() {
        all.extend([Kernel::StepForward(step.clone()), Kernel::StepReverse(step)]);
    }
    for pair in pair_kernels() {
        if pair.words == Words::Float || pair.sources == Sources::Walked {
            all.push(Kernel::PairReverse(pair.clone()));
        }
        if pair.sources == Sources::Stored && pair.words != Words::Float && pair.stages == 1 {
            let (terms, drifts) = (Terms::default(), false);
            all.push(Kernel::PairStart(PairKernel { terms, drifts, ..pair.clone() }));
        }
        if pair.sources == Sources::Stored {
            all.push(Kernel::PairWalk(pair));
        }
    }
    all
}
