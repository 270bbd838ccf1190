//! Do walks of more than 100 000 kicks come back to their own bits?
//!
//! As tests/exact.rs, at lengths that take a minute. Every pass is hundreds of dispatches over many schedule windows.

mod common;

use common::{contracting, exact, mild, random2, random3, words_differing};
use costate::{AdjointOptions, Method, TimeGrid};

/// 100 000 kicks and more, batches around a group and a tile, mild and contracting.
#[test]
fn no_word_differs_after_a_hundred_thousand_kicks() {
    for (method, steps) in [(Method::Strang, 50_000), (Method::BlanesMoan4, 8_400)] {
        // Narrow fields: the walk is what is tested.
        for (name, theta, t1) in [("mild", mild(3, 1), 10.0), ("contracting", contracting(3, 1.0, 2), 20.0)] {
            let grid = TimeGrid::uniform(0.0, t1, steps).expect("a valid grid");
            for batch in [1, 65, 1000] {
                let (x0, targets) = (random2(batch, 2, 3), random3(1, batch, 2, 4));
                let options = AdjointOptions::default();
                let gradient = exact(method, options, &theta, &grid, &x0, &targets).expect("a gradient");
                let case = format!("{method}, {name} field, batch {batch}");
                assert!(gradient.report.field_evaluations.forward >= 100_000, "{case}: fewer kicks");
                assert_eq!(words_differing(&gradient), Some(0), "{case}: words that differ");
                // What is left is the rounding of x0 where its range was widened.
                let off = gradient.reconstruction.map_or(f32::NAN, |r| r.max_relative);
                assert!(off < 2.0_f32.powi(-18), "{case}: x0 is off by {off:e} of its component");
                assert_eq!(gradient.report.ok(), batch, "{case}: trajectories");
            }
        }
    }
}
