//! The draw of a minibatch on the host: what shaders/gather.wgsl does on the device.

use crate::model::pcg;

/// The series and the first point of the window that trajectory `trajectory` of a minibatch gets in an iteration.
///
/// A hash of the three numbers, so any minibatch can be named again later: draws are uniform over all windows of
/// `window` points in `series` series of `times` points, with replacement.
///
/// # Panics
/// If there is no window to draw (`series` is 0, or `window` is 0 or above `times`), or 2³² windows or more.
#[must_use]
pub fn draw(seed: u32, iteration: u32, trajectory: u32, series: u32, times: u32, window: u32) -> (u32, u32) {
    assert!(series > 0 && window > 0 && window <= times, "no window of {window} points in {series} series of {times}");
    let key = pcg(trajectory ^ pcg(iteration ^ pcg(seed)));
    let starts = times - window + 1;
    let windows = series.checked_mul(starts).expect("fewer than 2^32 windows");
    let drawn = key % windows;
    (drawn / starts, drawn % starts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_spread_over_all_windows() {
        let mut counts = vec![0_u32; 3 * 8];
        for iteration in 0..200 {
            for trajectory in 0..120 {
                let (series, start) = draw(7, iteration, trajectory, 3, 10, 3);
                counts[(series * 8 + start) as usize] += 1;
            }
        }
        // 24 000 draws over 24 windows: 1000 ± 31 each; five deviations.
        assert!(counts.iter().all(|c| (845..1155).contains(c)), "uneven draws: {counts:?}");
    }
}
