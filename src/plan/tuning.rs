//! Which arrangements of the kernels are worth measuring.

use super::arrangement::{Family, KernelOptions};
use super::caps::{Caps, DeviceKind};
use super::solve::Plan;
use super::spec::Spec;
use crate::error::Result;

/// Trajectories per invocation on software adapters, where they share loads of weights.
const SHARING: [u32; 4] = [1, 2, 4, 8];
/// The same on GPUs, where more of them are registers that no other invocation has.
const FEW: [u32; 3] = [1, 2, 4];
/// Workgroup sizes on GPUs, those of tiles first.
const WORKGROUPS: [u32; 4] = [32, 64, 128, 256];
/// How many of those tiles have.
const TILES: usize = 3;

/// What may be better than what the plan chooses, whatever the field.
fn proposals(caps: &Caps) -> Vec<KernelOptions> {
    let lane = KernelOptions { family: Some(Family::Lane), ..KernelOptions::default() };
    match caps.kind {
        DeviceKind::Cpu => SHARING.map(|r| KernelOptions { trajectories: Some(r), ..lane }).to_vec(),
        DeviceKind::Gpu => {
            let sized = |options, size| KernelOptions { workgroup: Some(size), ..options };
            let lanes = FEW.iter().flat_map(|r| {
                let lane = KernelOptions { trajectories: Some(*r), ..lane };
                WORKGROUPS.map(|size| sized(lane, size))
            });
            let tile = KernelOptions { family: Some(Family::Tile), ..KernelOptions::default() };
            lanes.chain(WORKGROUPS[..TILES].iter().map(|size| sized(tile, *size))).collect()
        }
    }
}

/// The arrangements that a pass can have, each once. What the plan would choose is the first: by name if it has one, since the
/// choice may be another for more steps, and with nothing given if not.
///
/// # Errors
/// Those of the plan, if nothing is given of the arrangement.
pub(crate) fn kernel_candidates(spec: &Spec, caps: &Caps) -> Result<Vec<KernelOptions>> {
    let arranged = |kernels| {
        let arrangement = Plan::new(Spec { kernels, ..spec.clone() }, caps)?.shape.arrangement;
        // A solve has no way back that could differ.
        let reverse = spec.adjoint.map(|_| arrangement.reverse);
        Ok((arrangement.forward, reverse, arrangement.other))
    };
    let mut known = vec![arranged(KernelOptions::default())?];
    let mut candidates = vec![KernelOptions::default()];
    for options in proposals(caps) {
        let arranged: Result<_> = arranged(options);
        let Ok(new) = arranged else { continue };
        match known.iter().position(|one| *one == new) {
            Some(0) if candidates[0] == KernelOptions::default() => candidates[0] = options,
            Some(_) => {}
            None => {
                known.push(new);
                candidates.push(options);
            }
        }
    }
    Ok(candidates)
}

/// The arrangement that a pass has: of the way back if there is one.
///
/// # Errors
/// Those of the plan.
pub(crate) fn kernels_of(spec: Spec, caps: &Caps) -> Result<KernelOptions> {
    let pulls = spec.adjoint.is_some();
    let arrangement = Plan::new(spec, caps)?.shape.arrangement;
    Ok(if pulls { arrangement.reverse } else { arrangement.forward }.into())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;
    use crate::model::{Activation, Mlp};
    use crate::solver::{Adjoint, AdjointOptions, Method, TimeGrid};

    fn candidates(width: usize, caps: &Caps) -> Vec<KernelOptions> {
        let field = Mlp::builder(2).hidden(&[width, width], Activation::Tanh).build().unwrap();
        let grid = TimeGrid::uniform(0.0, 1.0, 4).unwrap();
        let options = AdjointOptions::default();
        let spec = Spec::gradient(field, Method::Rk4, grid, Adjoint::Stored, options, 100);
        kernel_candidates(&spec, caps).unwrap()
    }

    fn lanes(candidates: &[KernelOptions]) -> Vec<(Option<u32>, Option<u32>)> {
        let lanes = candidates.iter().filter(|c| c.family != Some(Family::Tile));
        lanes.map(|c| (c.trajectories, c.workgroup)).collect()
    }

    #[test]
    fn the_default_comes_first_and_only_once() {
        let [one, two, four] = [1, 2, 4].map(|r| (Some(r), None));
        let cpu = candidates(16, &Caps::cpu("none"));
        assert_eq!(lanes(&cpu), [four, one, two], "4 is the plan's choice, 8 is not allowed");
        let able = Caps { int64: true, subgroup: Some(8), ..Caps::cpu("none") };
        let mut found = lanes(&candidates(16, &able));
        found.sort_unstable();
        assert_eq!(found, [one, two, four, (Some(8), None)], "all are allowed");
        for caps in [able, Caps::gpu("none")] {
            let found = candidates(16, &caps);
            let field = Mlp::builder(2).hidden(&[16, 16], Activation::Tanh).build().unwrap();
            let grid = TimeGrid::uniform(0.0, 1.0, 4).unwrap();
            let options = AdjointOptions::default();
            let spec = Spec::gradient(field, Method::Rk4, grid, Adjoint::Stored, options, 100);
            let named = kernels_of(Spec { kernels: found[0], ..spec.clone() }, &caps).unwrap();
            assert_eq!(named, kernels_of(spec, &caps).unwrap(), "the plan's choice by its name");
        }
    }

    #[test]
    fn candidates_keep_the_limits() {
        let gpu = Caps { max_workgroup: 128, ..Caps::gpu("none") };
        let found = candidates(16, &gpu);
        let sizes = found.iter().filter_map(|c| c.workgroup);
        assert!(sizes.clone().all(|size| size <= 128), "{found:?}");
        assert!(sizes.clone().any(|size| size == 128), "{found:?}");
        for trajectories in FEW {
            assert!(lanes(&found).contains(&(Some(trajectories), Some(32))), "{trajectories} of {found:?}");
        }
    }
}
