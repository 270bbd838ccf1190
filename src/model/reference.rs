//! A reference trajectory on a grid of times, cubic Hermite in between.

use ndarray::{Array3, ArrayView3, Axis};

use crate::error::{Error, Result};

/// A reference `x_ref(t)` for [`RunningCost`](crate::RunningCost): values on a grid of times and a cubic Hermite
/// interpolant between them.
///
/// `values: [time, batch, dim]`; a batch of 1 is shared by all trajectories. Slopes at the grid times are those of the
/// parabola through each point and its neighbours, at the ends of the parabola through the last three (of the line for two
/// points), so that a quadratic reference is met exactly; or they are given.
#[derive(Clone, Debug, PartialEq)]
pub struct Reference {
    times: Vec<f64>,
    values: Array3<f32>,
    slopes: Array3<f32>,
}

impl Reference {
    /// A reference with slopes from its values.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the times are fewer than two, not finite or not strictly monotone, [`Error::Shape`] if the
    /// values do not fit them, [`Error::NonFiniteData`] for a value that is NaN or infinite, [`Error::Invalid`] if the times
    /// are so close that a slope is beyond f32.
    pub fn new(times: &[f64], values: ArrayView3<'_, f32>) -> Result<Self> {
        check(times, "reference", &values)?;
        let slopes = parabolic(times, &values);
        if let Some(((i, b, c), slope)) = slopes.indexed_iter().find(|(_, slope)| !slope.is_finite()) {
            return Err(Error::invalid(
                "slopes of the reference",
                format!("{slope} at index [{i}, {b}, {c}], with times as close as {:.3e}", closest(times)),
                "use times further apart or smaller values, or give the slopes",
            ));
        }
        Ok(Self { times: times.to_vec(), values: values.to_owned(), slopes })
    }

    /// A reference with given slopes `dx_ref/dt: [time, batch, dim]`.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_slopes(times: &[f64], values: ArrayView3<'_, f32>, slopes: ArrayView3<'_, f32>) -> Result<Self> {
        check(times, "reference", &values)?;
        check(times, "slopes of the reference", &slopes)?;
        if slopes.shape() != values.shape() {
            let remedy = "give one slope per value";
            return Err(Error::shape(
                "slopes of the reference",
                slopes.shape(),
                format!("{:?}", values.shape()),
                remedy,
            ));
        }
        Ok(Self { times: times.to_vec(), values: values.to_owned(), slopes: slopes.to_owned() })
    }

    /// The grid times.
    #[must_use]
    pub fn times(&self) -> &[f64] {
        &self.times
    }

    /// Values at the grid times, `[time, batch, dim]`.
    #[must_use]
    pub fn values(&self) -> ArrayView3<'_, f32> {
        self.values.view()
    }

    /// Slopes at the grid times, `[time, batch, dim]`.
    #[must_use]
    pub fn slopes(&self) -> ArrayView3<'_, f32> {
        self.slopes.view()
    }

    /// True if all trajectories have the same reference.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.values.len_of(Axis(1)) == 1
    }

    /// Value and slope of component `c` for trajectory `b` at time `t`. Outside of the grid the outermost piece goes on.
    /// Twin of `reference_at` in shaders/cost_reference.wgsl.
    ///
    /// # Panics
    /// If there is no such component, or no such trajectory in a reference that is not shared.
    #[must_use]
    pub fn at(&self, b: usize, c: usize, t: f64) -> (f64, f64) {
        let b = if self.is_shared() { 0 } else { b };
        let sign = (self.times[1] - self.times[0]).signum();
        let after = self.times.partition_point(|&u| sign * u <= sign * t);
        let j = after.clamp(1, self.times.len() - 1) - 1;
        let h = self.times[j + 1] - self.times[j];
        let u = (t - self.times[j]) / h;
        let [x0, x1] = [self.values[[j, b, c]], self.values[[j + 1, b, c]]].map(f64::from);
        let [m0, m1] = [self.slopes[[j, b, c]], self.slopes[[j + 1, b, c]]].map(f64::from);
        let [value, slope] = hermite(u);
        let at = |w: [f64; 4]| w[0] * x0 + w[1] * h * m0 + w[2] * x1 + w[3] * h * m1;
        (at(value), at(slope) / h)
    }
}

/// The cubic Hermite basis at `u`: weights of `x_0, h x'_0, x_1, h x'_1`, and their derivatives with respect to u.
#[must_use]
pub(crate) fn hermite(u: f64) -> [[f64; 4]; 2] {
    let (v, w) = (u * u, 1.0 - u);
    [
        [w * w * (1.0 + 2.0 * u), u * w * w, v * (3.0 - 2.0 * u), -v * w],
        [-6.0 * u * w, w * (1.0 - 3.0 * u), 6.0 * u * w, u * (3.0 * u - 2.0)],
    ]
}

/// The shortest interval.
fn closest(times: &[f64]) -> f64 {
    times.windows(2).map(|w| (w[1] - w[0]).abs()).fold(f64::INFINITY, f64::min)
}

/// Slopes of the parabola through each point and its neighbours, of three at the ends; of the line for two points.
fn parabolic(times: &[f64], values: &ArrayView3<'_, f32>) -> Array3<f32> {
    let last = times.len() - 1;
    Array3::from_shape_fn(values.raw_dim(), |(i, b, c)| {
        let x = |j: usize| f64::from(values[[j, b, c]]);
        let secant = |j: usize| (x(j + 1) - x(j)) / (times[j + 1] - times[j]);
        if last == 1 {
            return round(secant(0));
        }
        // The parabola through j, j + 1, j + 2 at point i.
        let j = i.clamp(1, last - 1) - 1;
        let second = (secant(j + 1) - secant(j)) / (times[j + 2] - times[j]);
        round(secant(j) + second * (2.0 * times[i] - times[j] - times[j + 1]))
    })
}

#[expect(clippy::cast_possible_truncation, reason = "rounded once for the device")]
fn round(value: f64) -> f32 {
    value as f32
}

fn check(times: &[f64], what: &str, values: &ArrayView3<'_, f32>) -> Result<()> {
    let invalid = |problem: String, remedy: &str| Err(Error::invalid("times of the reference", problem, remedy));
    if times.len() < 2 {
        return invalid(format!("{} of them", times.len()), "give at least two, which cover the solve from t0 to t1");
    }
    let sign = (times[1] - times[0]).signum();
    for (i, pair) in times.windows(2).enumerate() {
        // Written so that NaN is refused.
        if !(sign * (pair[1] - pair[0]) > 0.0 && pair[1].is_finite() && pair[0].is_finite()) {
            return invalid(
                format!("{} after {} at place {}", pair[1], pair[0], i + 1),
                "give finite times, strictly rising or falling",
            );
        }
    }
    let [rows, batch, dim] = values.dim().into();
    if rows != times.len() || batch == 0 || dim == 0 {
        let expected = format!("[{}, batch or 1, dim]", times.len());
        return Err(Error::shape(what, values.shape(), expected, "give one row per time"));
    }
    if let Some((index, value)) = values.indexed_iter().find(|(_, v)| !v.is_finite()) {
        return Err(Error::NonFiniteData { what: what.into(), value: f64::from(*value), index: format!("{index:?}") });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array3;

    #[test]
    fn a_quadratic_is_met_exactly_forward_and_backward() {
        for sign in [1.0, -1.0] {
            let times: Vec<f64> = [0.0, 0.5, 0.75, 2.0].iter().map(|t| sign * t).collect();
            let f = |t: f64| 1.0 - 2.0 * t + 0.5 * t * t;
            let values = Array3::from_shape_fn((4, 1, 1), |(i, _, _)| round(f(times[i])));
            let reference = Reference::new(&times, values.view()).expect("a valid reference");
            for t in [0.0, 0.3, 0.5, 0.6, 1.9, 2.0].map(|t| sign * t) {
                let (value, slope) = reference.at(5, 0, t);
                assert!((value - f(t)).abs() < 1e-6, "value at {t}: {value}");
                assert!((slope - (t - 2.0)).abs() < 1e-6, "slope at {t}: {slope}");
            }
        }
    }

    #[test]
    fn slopes_beyond_f32_are_refused() {
        let values = Array3::from_shape_vec((3, 1, 1), vec![1.0, 1.0, 3.0]).expect("three values");
        let error =
            Reference::new(&[0.0, 1.0, 1.0 + f64::EPSILON], (&values * 1e30).view()).expect_err("a slope of 1e46");
        let message = error.to_string();
        assert!(message.contains("[0, 0, 0], with times as close as 2.220e-16"), "{message}");
        assert!(Reference::new(&[-1.0, 0.0, 1e-320], values.view()).is_err(), "a number that is none");
        Reference::with_slopes(&[-1.0, 0.0, 1e-320], values.view(), values.view()).expect("given slopes are taken");
    }

    #[test]
    fn two_points_make_a_line_and_given_slopes_are_kept() {
        let values = Array3::from_shape_vec((2, 1, 1), vec![1.0, 3.0]).expect("two values");
        let line = Reference::new(&[0.0, 4.0], values.view()).expect("a valid reference");
        assert_eq!(line.at(0, 0, 1.0), (1.5, 0.5), "a line");
        let flat = Array3::zeros((2, 1, 1));
        let step = Reference::with_slopes(&[0.0, 4.0], values.view(), flat.view()).expect("a valid reference");
        assert_eq!(step.at(0, 0, 2.0).0, 2.0, "halfway");
        assert_eq!(step.at(0, 0, 0.0).1, 0.0, "the given slope");
    }

    #[test]
    fn bad_references_are_refused() {
        let values = Array3::<f32>::zeros((3, 2, 1));
        for times in [&[0.0][..], &[0.0, 1.0], &[0.0, 1.0, 1.0], &[0.0, 2.0, 1.0], &[0.0, f64::NAN, 1.0]] {
            assert!(Reference::new(times, values.view()).is_err(), "{times:?} should be refused");
        }
        let mut bad = values.clone();
        bad[[1, 1, 0]] = f32::NAN;
        let error = Reference::new(&[0.0, 1.0, 2.0], bad.view()).expect_err("NaN").to_string();
        assert!(error.contains("(1, 1, 0)"), "{error}");
    }
}
