//! Scaling of data sets.

use costate::io::{Scale, Standardiser};
use ndarray::{Array3, Axis, array};

use crate::assert_error;

#[test]
fn scaling_and_back_is_the_identity() {
    let values = Array3::from_shape_fn((2, 5, 2), |(i, j, k)| 1.0 + (i + j) as f32 * (10.0 + 300.0 * k as f32));
    for scale in Scale::ALL {
        let standardiser = Standardiser::fit(scale, &values).unwrap();
        let mut scaled = values.clone();
        standardiser.forward(&mut scaled).unwrap();
        if scale != Scale::None {
            let mean = scaled.mean_axis(Axis(0)).unwrap().mean_axis(Axis(0)).unwrap();
            let square = (&scaled * &scaled).mean().unwrap();
            assert!(mean.iter().all(|m| m.abs() < 1e-6) && (square - 1.0).abs() < 1e-6, "{scale}: {mean} {square}");
        }
        standardiser.inverse(&mut scaled).unwrap();
        // The scaled values were rounded to f32: an error of some ulp of the largest value of the component.
        for (a, b) in scaled.axis_iter(Axis(2)).zip(values.axis_iter(Axis(2))) {
            let largest = b.fold(0.0_f32, |m, v| m.max(v.abs()));
            let error = (&a - &b).fold(0.0_f32, |m, v| m.max(v.abs()));
            assert!(error <= 4.0 * f32::EPSILON * largest, "{scale}: error {error} where the largest is {largest}");
        }
        let text = serde_json::to_string(&standardiser).unwrap();
        assert_eq!(serde_json::from_str::<Standardiser>(&text).unwrap(), standardiser, "{text}");
    }
}

#[test]
fn what_cannot_be_scaled_is_refused() {
    let constant = Array3::from_elem((1, 3, 1), 2.5_f32);
    assert_error(Standardiser::fit(Scale::Standardise, &constant), &["component 0", "same value"]);
    assert_error(Standardiser::fit(Scale::LogStandardise, &array![[[1.0], [0.0]]]), &["value 0", "logarithm"]);
    assert_error(Standardiser::fit(Scale::None, &Array3::zeros((0, 3, 1))), &["[0, 3, 1]"]);
    let standardiser = Standardiser::fit(Scale::None, &constant).unwrap();
    assert_error(standardiser.forward(&mut array![1.0, 2.0]), &["[2]", "[.., 1]"]);
    assert_error("log".parse::<Scale>(), &["scale 'log'", "none, standardise, log_standardise"]);
    for text in [
        r#"{"scale": "none", "mean": [0, 0], "deviation": [1]}"#,
        r#"{"scale": "none", "mean": [0], "deviation": [0]}"#,
        r#"{"scale": "log", "mean": [0], "deviation": [1]}"#,
    ] {
        assert!(serde_json::from_str::<Standardiser>(text).is_err(), "{text} should be refused");
    }
}
