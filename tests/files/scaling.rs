//! Scaling of data sets.

use costate::io::{Scale, Standardiser};
use ndarray::{Array3, Axis, array};

use crate::assert_error;

#[test]
fn scaling_and_back_is_the_identity() {
    let values = Array3::from_shape_fn((2, 5, 2), |(i, j, k)| 1.0 + (i + j) as f64 * (10.0 + 300.0 * k as f64));
    for scale in Scale::ALL {
        let standardiser = Standardiser::fit(scale, &values).unwrap();
        let scaled = standardiser.to_model(&values).unwrap();
        if scale != Scale::None {
            let mean = scaled.mean_axis(Axis(0)).unwrap().mean_axis(Axis(0)).unwrap();
            let square = (&scaled * &scaled).mean().unwrap();
            assert!(mean.iter().all(|m| m.abs() < 1e-6) && (square - 1.0).abs() < 1e-6, "{scale}: {mean} {square}");
        }
        let back = standardiser.to_data(&scaled).unwrap();
        // The scaled values were rounded to f32: an error of some ulp of the largest value of the component.
        for (a, b) in back.axis_iter(Axis(2)).zip(values.axis_iter(Axis(2))) {
            let largest = b.fold(0.0_f64, |m, v| m.max(v.abs()));
            let error = (&a - &b).fold(0.0_f64, |m, v| m.max(v.abs()));
            assert!(
                error <= 4.0 * f64::from(f32::EPSILON) * largest,
                "{scale}: error {error} where the largest is {largest}"
            );
        }
        let text = serde_json::to_string(&standardiser).unwrap();
        assert_eq!(serde_json::from_str::<Standardiser>(&text).unwrap(), standardiser, "{text}");
    }
}

#[test]
fn what_cannot_be_scaled_is_refused() {
    let constant = Array3::from_elem((1, 3, 1), 2.5_f32);
    let noise = array![[[1e7], [1e7 + 2e-9], [1e7]]];
    assert_error(Standardiser::fit(Scale::Standardise, &noise), &["component 0", "same value"]);
    let never = array![[[1.0, f64::NAN], [2.0, f64::NAN]]];
    assert_error(Standardiser::fit(Scale::None, &never), &["component 1", "never observed"]);
    let huge = array![[[1e307], [-1e307]]];
    assert_error(
        Standardiser::fit(Scale::None, &huge).unwrap().to_model(&huge),
        &["index [0, 0, 0]", "1e307", "largest f32"],
    );
    let scaled = Standardiser::fit(Scale::Standardise, &huge).unwrap().to_model(&huge).unwrap();
    assert_eq!(scaled, array![[[1.0], [-1.0]]], "scaled it is a number like any other");
    assert_error(Standardiser::fit(Scale::Standardise, &constant), &["component 0", "same value"]);
    assert_error(
        Standardiser::fit(Scale::LogStandardise, &array![[[1.0], [0.0]]]),
        &["index [0, 1, 0]", "value 0", "logarithm"],
    );
    assert_error(Standardiser::fit(Scale::None, &Array3::<f64>::zeros((0, 3, 1))), &["[0, 3, 1]"]);
    let standardiser = Standardiser::fit(Scale::None, &constant).unwrap();
    assert_error(standardiser.to_model(&array![1.0, 2.0]), &["[2]", "[.., 1]"]);
    assert_error("log".parse::<Scale>(), &["scale 'log'", "none, standardise, log_standardise"]);
    for text in [
        r#"{"scale": "none", "mean": [0, 0], "deviation": [1]}"#,
        r#"{"scale": "none", "mean": [0], "deviation": [0]}"#,
        r#"{"scale": "log", "mean": [0], "deviation": [1]}"#,
    ] {
        assert!(serde_json::from_str::<Standardiser>(text).is_err(), "{text} should be refused");
    }
}

/// An offset that f32 cannot hold beside the amplitude.
#[test]
fn scaling_is_computed_in_f64() {
    let sine = Array3::from_shape_fn((2, 100, 1), |(i, j, _)| (0.1 * j as f64 + i as f64).sin());
    let expected = Standardiser::fit(Scale::Standardise, &sine).unwrap().to_model(&sine).unwrap();
    for offset in [1e5, 1e6, 1e7] {
        let moved = sine.mapv(|x| x + offset);
        let scaling = Standardiser::fit(Scale::Standardise, &moved).unwrap();
        let scaled = scaling.to_model(&moved).unwrap();
        let worst = scaled.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        // The sum is rounded to f64: 1e-9 at 1e7.
        assert!(worst <= f32::EPSILON, "offset {offset:e}: {worst:e}");
        let back = scaling.to_data(&scaled).unwrap();
        let worst = back.iter().zip(&moved).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(worst < 1e-6, "back to {offset:e}: {worst:e}");
        assert!(scaling.lost_digits(&moved, &["x".into()]).is_empty(), "nothing is lost");
    }
}

#[test]
fn what_is_missing_takes_no_part() {
    let gaps = array![[[1.0, 8.0], [f64::NAN, 10.0], [3.0, f64::NAN]]];
    let scaling = Standardiser::fit(Scale::Standardise, &gaps).unwrap();
    assert_eq!((scaling.mean(), scaling.deviation()), (&[2.0, 9.0][..], &[1.0, 1.0][..]), "of what was observed");
    let scaled = scaling.to_model(&gaps).unwrap();
    assert_eq!(scaled[[0, 0, 0]], -1.0);
    assert!(scaled[[0, 1, 0]].is_nan() && scaled[[0, 2, 1]].is_nan(), "missing it stays: {scaled}");
    let scaling = Standardiser::fit(Scale::LogStandardise, &gaps).unwrap();
    assert!(scaling.to_model(&gaps).unwrap()[[0, 1, 0]].is_nan(), "and has no logarithm");
}

#[test]
fn digits_that_are_lost_are_named() {
    let names = ["x".to_owned(), "y".to_owned()];
    let data = Array3::from_shape_fn((1, 50, 2), |(_, i, c)| [1e7, 1.0][c] + (0.3 * i as f64).sin());
    let warnings = Standardiser::fit(Scale::None, &data).unwrap().lost_digits(&data, &names);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    for word in ["component x", "1.000e7", "2 values apart", "standardise"] {
        assert!(warnings[0].contains(word), "'{}' should contain '{word}'", warnings[0]);
    }
    #[expect(clippy::cast_possible_truncation, reason = "rounding is what is tried")]
    let before = data.mapv(|x| f64::from(x as f32));
    let warnings = Standardiser::fit(Scale::Standardise, &before).unwrap().lost_digits(&before, &names);
    assert!(warnings.len() == 1 && warnings[0].contains("before it was saved"), "{warnings:?}");
    let constant = Array3::from_elem((1, 5, 2), 1e7);
    let warnings = Standardiser::fit(Scale::None, &constant).unwrap().lost_digits(&constant, &names);
    assert!(warnings.is_empty(), "nothing is lost of a constant: {warnings:?}");
    let tiny = array![[[1e-60, 1.0], [2e-60, 2.0]]];
    let warnings = Standardiser::fit(Scale::None, &tiny).unwrap().lost_digits(&tiny, &names);
    assert!(warnings.len() == 1 && warnings[0].contains("component x"), "below all f32: {warnings:?}");
}
