//! Workgroup counts: one dimension of a dispatch holds 65 535 groups, more are folded into the second.

use super::Caps;
use crate::error::{Error, Result};

/// Groups in x and y so that `x * y * workgroup >= count`. Kernels fold the index back and guard `< count`.
pub(crate) fn fold(count: u64, workgroup: u64, caps: &Caps) -> Result<[u32; 2]> {
    let limit = u64::from(caps.max_workgroups);
    let groups = count.div_ceil(workgroup).max(1);
    let y = groups.div_ceil(limit);
    let x = groups.div_ceil(y);
    match (u32::try_from(x), u32::try_from(y)) {
        (Ok(x), Ok(y)) if u64::from(y) <= limit => Ok([x, y]),
        _ => Err(Error::LimitExceeded {
            what: format!("a dispatch over {count} elements"),
            needed: format!("{groups} workgroups"),
            limit: format!("{} workgroups", limit * limit),
            adapter: caps.adapter.clone(),
            remedy: "use a smaller batch".into(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folds_at_the_limit_and_wastes_less_than_a_row() {
        let caps = Caps::cpu("test");
        assert_eq!(fold(0, 64, &caps).expect("fits"), [1, 1]);
        assert_eq!(fold(65_535 * 64, 64, &caps).expect("fits"), [65_535, 1]);
        assert_eq!(fold(65_535 * 64 + 1, 64, &caps).expect("fits"), [32_768, 2]);
        for count in [1, 63, 64, 65, 4_194_239, 4_194_241, 1 << 31, 1 << 36] {
            let [x, y] = fold(count, 64, &caps).expect("fits").map(u64::from);
            assert!(x * y * 64 >= count, "{count} elements need more than {x} x {y} groups");
            assert!(x * y < count.div_ceil(64) + y, "{count} elements waste groups: {x} x {y}");
        }
        assert!(fold(u64::MAX / 128, 64, &caps).is_err(), "the fold has a limit");
    }
}
