//! Which way to the gradient fits a budget of memory, and costs the least of those that do.
//!
//! Only ways whose gradient is exact are compared: stored states, checkpoints at the root of the entries, fewer checkpoints,
//! and exact walks back where the method has them. All of them give the gradient of the same computed loss.

use super::buffers::Slot;
use super::caps::Caps;
use super::keep::{FieldEvaluations, evaluations, root};
use super::solve::Sizes;
use super::spec::{Arithmetic, Spec};
use super::track::Track;
use crate::error::{Error, Result};
use crate::solver::Adjoint;

/// A way to the gradient, and what it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// How the states are found again.
    pub adjoint: Adjoint,
    /// States kept on the way, as in [`AdjointOptions::anchors`](crate::AdjointOptions): `None` for the adjoint's own number.
    pub anchors: Option<usize>,
    /// Bytes of all buffers on the device.
    pub bytes: u64,
    /// Evaluations of the field per trajectory.
    pub field_evaluations: FieldEvaluations,
    /// True if the device grants the buffers, and the budget, if there is one, has room for them.
    pub fits: bool,
}

/// What a choice starts from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish {
    /// The adjoint as it was asked for; that of the [`Spec`] is resolved.
    pub adjoint: Adjoint,
    /// Bytes of buffers that the run has beside those of its passes.
    pub beside: u64,
    /// True if exact walks back are taken to be those of the fused kernel, which evaluates every increment once.
    pub fused: bool,
}

impl Wish {
    /// True if the budget may choose the way: neither the adjoint nor its anchors are given.
    fn is_open(self, spec: &Spec) -> bool {
        matches!(self.adjoint, Adjoint::Auto | Adjoint::Checkpointed) && spec.options.anchors.is_none()
    }
}

/// The ways to the gradient of `spec`, the cheapest in evaluations first; one if the wish leaves no choice.
///
/// # Errors
/// [`Error::LimitExceeded`] if no device could have any of them, [`Error::Invalid`] for an empty batch.
pub(crate) fn candidates(spec: &Spec, wish: Wish, caps: &Caps) -> Result<Vec<Candidate>> {
    Ok(measured(spec, wish, caps)?.into_iter().map(|m| m.candidate).collect())
}

/// The problem with the way that its budget leaves: of those that fit the one with the fewest evaluations, of equal ones
/// that of the fewest bytes. Without a budget [`Adjoint::Auto`] stores states where they are few.
///
/// # Errors
/// [`Error::BudgetExceeded`] if nothing fits the budget, [`Error::LimitExceeded`] if nothing fits the device.
pub(crate) fn choose(spec: Spec, wish: Wish, caps: &Caps) -> Result<Spec> {
    let Some(budget) = spec.options.memory else { return unbudgeted(spec, wish, caps) };
    let mut found = measured(&spec, wish, caps)?;
    if let Some(best) = found.iter().find(|m| m.candidate.fits) {
        return Ok(best.spec.clone());
    }
    // The least that the device grants; if it grants nothing, its own word on the least of all.
    found.sort_by_key(|m| (m.refused.is_some(), m.candidate.bytes));
    let Some(least) = found.into_iter().next() else { return Ok(spec) };
    if let Some(refused) = least.refused {
        return Err(refused);
    }
    let Candidate { adjoint, anchors, bytes, .. } = least.candidate;
    Err(Error::BudgetExceeded {
        what: match (spec.adjoint, anchors) {
            (None, _) => format!("a solve of {} trajectories", spec.batch),
            (_, None) => format!("a gradient of {} trajectories by the {adjoint} adjoint", spec.batch),
            (_, Some(a)) => {
                format!("a gradient of {} trajectories by the {adjoint} adjoint with {a} anchors", spec.batch)
            }
        },
        needed: bytes,
        budget,
        remedy: format!(
            "allow {bytes} bytes, use a smaller batch or fewer save times{}",
            if wish.is_open(&spec) || spec.adjoint.is_none() {
                ""
            } else {
                ", or leave the adjoint to the budget (auto)"
            }
        ),
    })
}

/// Bytes of stored states that nobody need ask for.
const STORED_BYTES: u64 = 256 << 20;

/// Without a budget: states are stored if they are few or if that was asked for, else checkpointed.
fn unbudgeted(spec: Spec, wish: Wish, caps: &Caps) -> Result<Spec> {
    if wish.adjoint != Adjoint::Auto || spec.adjoint != Some(Adjoint::Stored) {
        return Ok(spec);
    }
    let track = Track::new(spec.method, &spec.grid, spec.contraction)?;
    let few = |sizes: Sizes| sizes.memory.bytes(Slot::Stored) <= STORED_BYTES;
    let adjoint = if Sizes::new(&spec, &track, caps).is_ok_and(few) { Adjoint::Stored } else { Adjoint::Checkpointed };
    Ok(Spec { adjoint: Some(adjoint), ..spec })
}

/// A candidate, the problem that it makes, and the device's word if it does not grant it.
struct Measured {
    candidate: Candidate,
    spec: Spec,
    refused: Option<Error>,
}

/// Every way that can be measured, the cheapest in evaluations first. Where nothing fits though every dispatch of the way
/// back has a single entry, it may have a smaller part of the batch too.
fn measured(spec: &Spec, wish: Wish, caps: &Caps) -> Result<Vec<Measured>> {
    let track = Track::new(spec.method, &spec.grid, spec.contraction)?;
    let mut survey = Survey { spec, wish, caps, track: &track, small_tiles: false };
    let found = survey.all()?;
    if found.iter().any(|m| m.candidate.fits) {
        return Ok(found);
    }
    survey.small_tiles = true;
    survey.all()
}

/// How a gradient finds its states: the adjoint and its anchors. `None` for a solve.
type Way = Option<(Adjoint, Option<usize>)>;

/// The problem and the limits that ways are measured with.
struct Survey<'a> {
    spec: &'a Spec,
    wish: Wish,
    caps: &'a Caps,
    track: &'a Track,
    /// True if dispatches may have a smaller part of the batch than usual, so that they need less scratch.
    small_tiles: bool,
}

impl Survey<'_> {
    fn all(&self) -> Result<Vec<Measured>> {
        let mut found: Vec<Measured> = Vec::new();
        let mut error = None;
        for way in self.ways() {
            match self.measure(way) {
                Ok(measured) => found.push(measured),
                Err(refused) => error = Some(refused),
            }
        }
        if let Some(largest) = self.largest_that_fits()
            && found.iter().all(|m| m.candidate != largest.candidate)
        {
            found.push(largest);
        }
        found.sort_by_key(|m| (m.candidate.field_evaluations.total(), m.candidate.bytes));
        match error {
            Some(error) if found.is_empty() => Err(error),
            _ => Ok(found),
        }
    }

    /// Numbers of checkpoints below the root of the entries: with those, states are kept and run from again.
    fn fewer(&self) -> std::ops::Range<usize> {
        // No option may name more anchors than steps.
        let least = usize::try_from(root(self.track.entries as u64)).unwrap_or(usize::MAX);
        2..least.min(self.spec.grid.steps() + 1)
    }

    /// The ways that are compared, the numbers of checkpoints by powers of two.
    fn ways(&self) -> Vec<Way> {
        let spec = self.spec;
        if !self.wish.is_open(spec) || spec.adjoint.is_none() {
            return vec![spec.adjoint.map(|adjoint| (adjoint, spec.options.anchors))];
        }
        let mut ways = vec![(Adjoint::Stored, None), (Adjoint::Checkpointed, None)];
        let powers = (1..usize::BITS).map(|bit| 1 << bit);
        ways.extend(powers.filter(|a| self.fewer().contains(a)).map(|a| (Adjoint::Checkpointed, Some(a))));
        ways.extend((spec.adjoint == Some(Adjoint::Exact)).then_some((Adjoint::Exact, None)));
        ways.into_iter().map(Some).collect()
    }

    /// With a budget the largest number of checkpoints that it has room for.
    fn largest_that_fits(&self) -> Option<Measured> {
        if self.spec.options.memory.is_none() || self.spec.adjoint.is_none() || !self.wish.is_open(self.spec) {
            return None;
        }
        let measure = |anchors| self.measure(Some((Adjoint::Checkpointed, Some(anchors)))).ok();
        let (mut low, mut high) = (self.fewer().start, self.fewer().end);
        let mut best = None;
        while low < high {
            let middle = low + (high - low) / 2;
            match measure(middle).filter(|m| m.candidate.fits) {
                Some(fitting) => (best, low) = (Some(fitting), middle + 1),
                None => high = middle,
            }
        }
        best
    }

    /// Bytes and evaluations of a way, with as much of the usual scratch as fits: less of it costs dispatches, and of
    /// evaluations at most one for each of those.
    fn measure(&self, way: Way) -> Result<Measured> {
        let mut spec = self.along(way);
        let (mut measured, single) = self.measure_exactly(way, &spec)?;
        let least = if self.small_tiles { 1 } else { single };
        let mut scratch = self.caps.scratch_bytes;
        while !measured.candidate.fits && spec.options.memory.is_some() && scratch > least {
            scratch = (scratch / 2).max(least);
            spec.scratch = scratch;
            let (smaller, _) = self.measure_exactly(way, &spec)?;
            // Whole tiles and steps of a smaller scratch may take more.
            if smaller.candidate.bytes < measured.candidate.bytes {
                measured = smaller;
            }
        }
        Ok(measured)
    }

    /// As the spec says, and the bytes of scratch that a single entry of the usual part of the batch takes. Bytes are told
    /// even if the device does not grant them.
    fn measure_exactly(&self, way: Way, spec: &Spec) -> Result<(Measured, u64)> {
        let (sizes, refused) = match Sizes::new(spec, self.track, self.caps) {
            Ok(sizes) => (sizes, None),
            Err(refused) => {
                let endless = Caps { max_buffer: u64::MAX, max_binding: u64::MAX, ..self.caps.clone() };
                (Sizes::new(spec, self.track, &endless)?, Some(refused))
            }
        };
        let bytes = sizes.memory.total_bytes() + self.wish.beside;
        let fused = spec.adjoint != Some(Adjoint::Exact) || self.wish.fused;
        let candidate = Candidate {
            adjoint: way.map_or(self.wish.adjoint, |(adjoint, _)| adjoint),
            anchors: way.and_then(|(_, anchors)| anchors),
            bytes,
            field_evaluations: evaluations(spec, &sizes.shape, self.track, fused),
            fits: refused.is_none() && spec.options.memory.is_none_or(|budget| bytes <= budget),
        };
        let single = match sizes.shape.inside {
            Some(_) => sizes.memory.bytes(Slot::Partials),
            None => sizes.memory.bytes(Slot::Scratch) / sizes.shape.reverse_steps,
        };
        Ok((Measured { candidate, spec: spec.clone(), refused }, single))
    }

    /// The problem with its gradient found another way. The numbers are floats unless the walk back is to be exact; the
    /// contraction stays, since it is a part of the solution.
    fn along(&self, way: Way) -> Spec {
        let mut spec = self.spec.clone();
        if let Some((adjoint, anchors)) = way {
            spec.adjoint = Some(adjoint);
            spec.options.anchors = anchors;
            if adjoint != Adjoint::Exact {
                spec.arithmetic = Arithmetic::Float;
            }
        }
        spec
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Activation, Mlp};
    use crate::plan::Plan;
    use crate::solver::{AdjointOptions, Method, TimeGrid};

    fn spec(method: Method, adjoint: Adjoint, steps: usize, memory: Option<u64>) -> Spec {
        let field = Mlp::builder(2).hidden(&[5], Activation::Tanh).build().expect("a valid field");
        let grid = TimeGrid::uniform(0.0, 1.0, steps).expect("a valid grid");
        let options = AdjointOptions { memory, ..AdjointOptions::default() };
        Spec::gradient(field, method, grid, adjoint.resolve(method).expect("a possible adjoint"), options, 100)
    }

    fn wish(adjoint: Adjoint) -> Wish {
        Wish { adjoint, beside: 0, fused: false }
    }

    /// Bytes and evaluations of the plan that a way makes.
    fn planned(spec: &Spec, caps: &Caps) -> Option<(u64, FieldEvaluations)> {
        Plan::new(spec.clone(), caps).ok().map(|plan| (plan.memory.total_bytes(), plan.evaluations()))
    }

    fn caps() -> Caps {
        Caps { scratch_bytes: 1 << 18, ..Caps::cpu("test") }
    }

    #[test]
    fn candidates_are_what_their_plans_are() {
        for (method, adjoint, ways) in [
            (Method::Rk4, Adjoint::Auto, 6),
            (Method::Rk4, Adjoint::Checkpointed, 6),
            (Method::BlanesMoan4, Adjoint::Auto, 9),
            (Method::BlanesMoan4, Adjoint::Checkpointed, 8),
            (Method::ReversibleHeun, Adjoint::Auto, 6),
            (Method::Rk4, Adjoint::Backsolve, 1),
            (Method::Rk4, Adjoint::Stored, 1),
            (Method::Strang, Adjoint::Exact, 1),
        ] {
            let spec = spec(method, adjoint, 1000, None);
            let found = measured(&spec, wish(adjoint), &caps()).expect("a small problem");
            assert_eq!(found.len(), ways, "{method}, {adjoint}: ways");
            for m in &found {
                let Candidate { bytes, field_evaluations, fits, anchors, adjoint: way } = m.candidate;
                let case = format!("{method}, {adjoint}: {way} {anchors:?}");
                assert_eq!(planned(&m.spec, &caps()), Some((bytes, field_evaluations)), "{case}");
                assert!(fits && m.refused.is_none(), "{case}: refused without a limit");
                assert_eq!(m.spec.contraction, spec.contraction, "{case}: another solution");
                assert_eq!(m.spec.arithmetic == Arithmetic::Float, way != Adjoint::Exact, "{case}: numbers");
            }
            let totals: Vec<u64> = found.iter().map(|m| m.candidate.field_evaluations.total()).collect();
            assert!(totals.is_sorted(), "{method}, {adjoint}: {totals:?} evaluations");
        }
    }

    /// Every number of checkpoints, and budgets around those at which the choice changes.
    #[test]
    fn the_choice_is_the_best_of_all() {
        for (method, adjoint, steps) in [
            (Method::Rk4, Adjoint::Auto, 200),
            (Method::Euler, Adjoint::Checkpointed, 150),
            (Method::Alf, Adjoint::Auto, 100),
            (Method::Strang, Adjoint::Auto, 120),
            (Method::Rk4, Adjoint::Auto, 2),
        ] {
            let open = spec(method, adjoint, steps, None);
            let track = Track::new(method, &open.grid, open.contraction).expect("a valid track");
            let survey = Survey { spec: &open, wish: wish(adjoint), caps: &caps(), track: &track, small_tiles: false };
            let mut ways: Vec<Way> = survey.fewer().map(|a| Some((Adjoint::Checkpointed, Some(a)))).collect();
            ways.extend(survey.ways());
            // With the usual scratch, that of single entries of the usual tile of 128 trajectories, and nearly none.
            let all = |scratch_bytes: u64| -> Vec<(u64, FieldEvaluations)> {
                let caps = Caps { scratch_bytes, ..caps() };
                ways.iter().filter_map(|w| planned(&survey.along(*w), &caps)).collect()
            };
            let plan = Plan::new(open.clone(), &caps()).expect("a small problem");
            assert_eq!(plan.shape.reverse_tile, 128, "{method}: a tile");
            let single = plan.shape.layout.units as u64 * 4 * u64::from(plan.shape.stages) * 128;
            let [whole, part, none] = [caps().scratch_bytes, single, 1].map(all);
            let least = none.iter().map(|(bytes, _)| *bytes).min().expect("several ways");
            let thresholds =
                whole.iter().chain(&part).chain(&none).flat_map(|(bytes, _)| [bytes - 1, *bytes, bytes + 1]);
            for budget in thresholds {
                let case = format!("{method}, {adjoint}, {steps} steps, {budget} bytes");
                let best = |all: &[(u64, FieldEvaluations)]| {
                    all.iter().filter(|(bytes, _)| *bytes <= budget).map(|(_, e)| e.total()).min()
                };
                match choose(spec(method, adjoint, steps, Some(budget)), wish(adjoint), &caps()) {
                    Ok(chosen) => {
                        let (bytes, evaluations) = planned(&chosen, &caps()).expect("a plan");
                        assert!(bytes <= budget, "{case}: {bytes} bytes");
                        let wanted = best(&part).or_else(|| best(&none));
                        assert_eq!(Some(evaluations.total()), wanted, "{case}: evaluations");
                        let room = best(&whole) == wanted;
                        assert!(!room || chosen.scratch >= caps().scratch_bytes, "{case}: less scratch without need");
                    }
                    Err(Error::BudgetExceeded { needed, budget: told, .. }) => {
                        assert_eq!((needed, told), (least, budget), "{case}: what the error tells");
                        assert!(budget < least, "{case}: refused, but {least} bytes would do");
                    }
                    Err(other) => panic!("{case}: {other}"),
                }
            }
        }
    }

    #[test]
    fn what_the_device_refuses_is_not_chosen() {
        let budget = Some(1 << 40);
        let stored = choose(spec(Method::Rk4, Adjoint::Auto, 1000, budget), wish(Adjoint::Auto), &caps());
        assert_eq!(stored.expect("everything fits").adjoint, Some(Adjoint::Stored), "with room for everything");
        // A buffer for 100 states of 2 components of 128 trajectories.
        let small = Caps { max_buffer: 100 * 1024, max_binding: 100 * 1024, scratch_bytes: 1 << 16, ..caps() };
        let open = spec(Method::Rk4, Adjoint::Auto, 1000, budget);
        let found = candidates(&open, wish(Adjoint::Auto), &small).expect("a small problem");
        let stored = found.iter().find(|c| c.adjoint == Adjoint::Stored).expect("stored is listed");
        assert!(!stored.fits && stored.bytes > 1000 * 1024, "stored states: {stored:?}");
        let chosen = choose(open, wish(Adjoint::Auto), &small).expect("checkpoints fit");
        assert_eq!((chosen.adjoint, chosen.options.anchors), (Some(Adjoint::Checkpointed), None), "the next best");

        let tiny = Caps { max_buffer: 40 * 1024, max_binding: 40 * 1024, ..small };
        let refused = choose(spec(Method::Rk4, Adjoint::Stored, 1000, budget), wish(Adjoint::Stored), &tiny);
        let refused = refused.expect_err("1000 states do not fit");
        assert!(matches!(refused, Error::LimitExceeded { .. }), "the device's own word: {refused}");
    }

    /// One evaluation per increment on the way back, as with stored states, in a fraction of their memory.
    #[test]
    fn fused_kicks_stay_exact() {
        let open = || spec(Method::BlanesMoan4, Adjoint::Auto, 200, Some(1 << 40));
        for (fused, expected) in [(true, Adjoint::Exact), (false, Adjoint::Stored)] {
            let wish = Wish { fused, ..wish(Adjoint::Auto) };
            let chosen = choose(open(), wish, &caps()).expect("everything fits").adjoint;
            assert_eq!(chosen, Some(expected), "fused: {fused}");
        }
    }

    #[test]
    fn other_adjoints_and_solves_are_only_held_against_the_budget() {
        let solve = |memory| Spec { adjoint: None, ..spec(Method::Strang, Adjoint::Exact, 50, memory) };
        let anchored = |memory| {
            let mut spec = spec(Method::Rk4, Adjoint::Checkpointed, 50, memory);
            spec.options.anchors = Some(3);
            spec
        };
        let backsolve = |memory| spec(Method::Rk4, Adjoint::Backsolve, 50, memory);
        type Make<'a> = &'a dyn Fn(Option<u64>) -> Spec;
        let cases: [(Make<'_>, Adjoint, &str); 3] = [
            (&solve, Adjoint::Exact, "a solve of 100"),
            (&anchored, Adjoint::Checkpointed, "with 3 anchors"),
            (&backsolve, Adjoint::Backsolve, "leave the adjoint"),
        ];
        for (make, asked, words) in cases {
            let (bytes, _) = planned(&make(None), &caps()).expect("a small problem");
            let fitting = choose(make(Some(bytes)), wish(asked), &caps()).expect("exactly enough");
            assert_eq!(fitting, make(Some(bytes)), "{words}: changed");
            // Without any scratch to spare.
            let caps = Caps { scratch_bytes: 1, ..caps() };
            let (bytes, _) = planned(&make(None), &caps).expect("a small problem");
            let error = choose(make(Some(bytes - 1)), wish(asked), &caps).expect_err("a byte too few").to_string();
            assert!(error.contains(words) && error.contains(&bytes.to_string()), "{words}: {error}");
            let beside = Wish { beside: 1, ..wish(asked) };
            assert!(choose(make(Some(bytes)), beside, &caps).is_err(), "{words}: other buffers count too");
        }
    }
}
