//! What one step of a kernel costs in loop trips.

use super::arrangement::{Arrangement, Family};
use super::kernel::{Lane, Sums, Terms, WeightFetch};
#[cfg(test)]
use super::kernel::{PairKernel, Sources, StepKernel};
use super::layout::{BLOCK, FieldLayout, Packed};
use super::spec::Spec;
use super::spill::{COPIED, COPIED_AT_ONCE, spills, start_trips};
use super::tile::TileShape;
use crate::model::Mlp;
use crate::solver::Adjoint;

/// Buffers hold whole multiples of this many trajectories: windows then start at offsets that every device allows.
pub(crate) const STRIDE: u32 = 64;

/// Loop trips of one invocation, by part of a kernel. `shaders/` and the generated text are held against these by a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trips {
    /// Trips of one forward step.
    pub forward_step: u64,
    /// Trips of one reverse step.
    pub reverse_step: u64,
    /// Trips outside the loop over steps, at most.
    pub fixed: u64,
}

/// Trips of a loop that runs `count` times around `body` trips: the test that ends it counts too.
fn looped(count: u64, body: u64) -> u64 {
    count * (body + 1) + 1
}

impl Trips {
    /// Trips of the kernels of a Runge–Kutta method.
    #[cfg(test)]
    pub(crate) fn single(layout: &FieldLayout, kernel: &StepKernel) -> Self {
        Counts::new(layout, &kernel.field, kernel.terms, kernel.stages.into(), kernel.lane).single(kernel.adjoint)
    }

    /// Trips of the kernels of a pair; a step is an update.
    #[cfg(test)]
    pub(crate) fn pair(layout: &FieldLayout, kernel: &PairKernel) -> Self {
        Counts::new(layout, &kernel.field, kernel.terms, kernel.stages.into(), kernel.lane)
            .pair(kernel.sources == Sources::Walked)
    }

    /// Trips of the kernels of a problem.
    pub(crate) fn of(layout: &FieldLayout, spec: &Spec, stages: u32, arrangement: Arrangement) -> Self {
        let [there, back] = [arrangement.forward, arrangement.reverse].map(|lane| {
            let counts = Counts::new(layout, &spec.field, spec.terms(), u64::from(stages), lane);
            match spec.method.pair() {
                Some(_) => counts.pair(true),
                None => counts.single(spec.adjoint),
            }
        });
        Self { fixed: there.fixed.max(back.fixed), forward_step: there.forward_step, ..back }
    }

    /// Trips of the kernels of save times between steps; a step is one of them.
    pub(crate) fn dense(layout: &FieldLayout, field: &Mlp, lane: Lane) -> Self {
        let counts = Counts::new(layout, field, Terms::default(), 1, lane);
        let Counts { evaluate, record, back, whole, start, .. } = counts;
        Self {
            forward_step: 2 * whole + looped(2, 2 * whole + evaluate),
            // With the time's share and the copies of the cotangents.
            reverse_step: 3 * whole + looped(2, 6 * whole + record + back),
            fixed: 4 * whole + start,
        }
    }
}

/// Trips of the parts that kernels are made of.
struct Counts {
    evaluate: u64,
    record: u64,
    back: u64,
    /// A loop over the components of an invocation's trajectories, and one with a loop over the stages inside.
    whole: u64,
    combine: u64,
    stages: u64,
    /// Evaluation and product in one, if the sums are made inside.
    pull: Option<u64>,
    /// What the running cost adds to a stage there and back, and the gradient with respect to times to one back.
    pay: u64,
    charge: u64,
    clock: u64,
    /// What is done once, where arrays are kept in a buffer.
    start: u64,
    /// The error estimate of a step.
    estimate: u64,
}

impl Counts {
    fn new(layout: &FieldLayout, field: &Mlp, terms: Terms, stages: u64, lane: Lane) -> Self {
        let spilled = spills(field, u32::try_from(stages).unwrap_or(u32::MAX), lane, terms);
        // Inputs that come by way of short arrays, a loop for each part.
        let copied = |inputs: usize, at_once: usize| {
            if spilled { (inputs / at_once + inputs.div_ceil(COPIED)) as u64 } else { 0 }
        };
        let product = |packed: &Packed| match packed.blocks() as u64 {
            1 => copied(packed.inputs, 1) + looped(packed.rows as u64, 0),
            blocks => {
                let block = copied(BLOCK, COPIED_AT_ONCE) + looped(packed.rows as u64, 0);
                looped(packed.rows as u64, 0) * 2 + looped(blocks, block)
            }
        };
        let hidden = layout.layers.len() - 1;
        // Where weights come in pairs the last layer goes along with the one before.
        let own = if lane.fetch == WeightFetch::Pairs8 { hidden } else { hidden + 1 };
        let evaluate: u64 = layout.layers[..own].iter().map(|l| product(&l.forward)).sum();
        let inner = || layout.layers[1..hidden.max(1)].iter().map(|l| product(&l.transposed));
        let (evaluate, pull) = match (lane.family, lane.sums()) {
            (Family::Tile, _) => {
                let (evaluate, pull) = TileShape::of(field, lane, true).trips(field);
                // With the quarantine of a trajectory, once a step.
                (evaluate, Some(pull + looped(1, 0)))
            }
            (Family::Lane, Sums::Inside) => (evaluate, Some(evaluate + inner().sum::<u64>())),
            (Family::Lane, Sums::Scratch) => (evaluate, None),
        };
        let copy = looped(field.dim() as u64, 0);
        let components = field.dim() as u64 * u64::from(lane.own_trajectories());
        let whole = looped(components, 0);
        let combine = looped(components, looped(stages, 0));
        let search = terms.reference.map_or(0, |r| looped(r.search().into(), 0));
        let pays = |trips: u64| if terms.pay() { trips } else { 0 };
        // For each trajectory over its components; the sum over the stages before one, on average.
        let trajectories = u64::from(lane.own_trajectories());
        let each = looped(trajectories, copy);
        let summed = looped(stages.div_ceil(2), 0);
        Self {
            evaluate,
            record: copy + evaluate,
            back: copy + layout.layers.iter().map(|l| product(&l.transposed)).sum::<u64>(),
            whole,
            combine,
            stages,
            pull,
            pay: pays(whole + search),
            charge: pays(looped(components, summed) + 3 * whole + search),
            estimate: if terms.estimate.is_some() { combine + 2 * whole } else { 0 },
            clock: if terms.clock {
                looped(trajectories, looped(field.dim() as u64, summed) + pays(2 * each))
            } else {
                0
            },
            start: start_trips(field, u32::try_from(stages).unwrap_or(u32::MAX), lane, terms),
        }
    }

    /// A Runge–Kutta method.
    fn single(&self, adjoint: Option<Adjoint>) -> Trips {
        let &Self { evaluate, record, back, whole, combine, stages, pay, charge, clock, start, .. } = self;
        // Keeping derivatives along the probe; the end of an entry and of a segment.
        let (keep, turn) = (if charge > 0 { whole } else { 0 }, if clock > 0 { 3 * whole } else { 0 });
        // Argument, evaluation, keeping k_i.
        let stage = |mlp: u64| looped(stages, combine + mlp + whole);
        // Update of the state, test for non-finite values, largest magnitudes, observation.
        let forward_step = stage(evaluate + pay) + combine + 4 * whole + self.estimate;
        if adjoint == Some(Adjoint::Continuous) {
            let walked = looped(stages, 2 * combine + record + back + 4 * whole + charge + clock);
            return Trips {
                forward_step,
                reverse_step: walked + 2 * combine + 5 * whole,
                fixed: stage(evaluate) + 12 * whole + clock + charge + start,
            };
        }
        let phases = if adjoint == Some(Adjoint::Backsolve) { 2 } else { 1 };
        if let Some(pull) = self.pull {
            // The last stage is evaluated where it is pulled back through, which may hand its value to a reconstruction.
            let recorded =
                (phases - 1) * (whole + combine) + looped(phases * stages - 1, combine + evaluate + whole + combine);
            let adjoint = looped(stages, 2 * combine + pull + whole);
            return Trips {
                forward_step,
                reverse_step: recorded + adjoint + combine + 3 * whole,
                fixed: 12 * whole + start,
            };
        }
        let recorded = (phases - 1) * combine + looped(phases * stages, combine + record + whole + combine + keep);
        let adjoint = looped(stages, combine + back + whole + charge + clock);
        Trips { forward_step, reverse_step: recorded + adjoint + combine + 3 * whole + turn, fixed: 12 * whole + start }
    }

    /// A method on a pair, whose adjoint may walk back itself; a step is an update.
    fn pair(&self, walked: bool) -> Trips {
        let single = self.single(None);
        let (whole, kick) = (self.whole, self.combine);
        // Taken back with the value of the stage that is pulled back through.
        let late = if walked && self.pull.is_some() { self.stages * (whole + kick) } else { 0 };
        // Drifts, source, keeping it, sum of the increments, distance, contraction and expansion, output and observation,
        // trouble.
        let forward_step = single.forward_step + 2 * kick + 9 * whole;
        // The adjoint, which may walk back itself; or else the kernel of the way forward does.
        let reverse_step =
            (single.reverse_step + late + kick + 7 * whole + if self.clock > 0 { kick + 2 * whole } else { 0 })
                .max(forward_step);
        Trips { forward_step, reverse_step, fixed: single.fixed + 15 * whole + 16 }
    }
}
