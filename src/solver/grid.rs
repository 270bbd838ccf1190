//! The times of the steps.

use super::rounding::{parts, rounding};
use crate::error::{Error, Result};

#[cfg(test)]
mod tests;

/// The step boundaries `t_0, t_1, …, t_N` and which of them are save times.
///
/// Unlike torchdiffeq's `odeint`, which returns the state at the first of its times too, t0 is saved only if it is listed.
///
/// Times are f64 on the host; the device counts them from t0 and gets each rounded once, so that they may be far from zero.
/// The grid may run backward (`t1 < t0`), the steps need not be equal, and every save time is a step boundary exactly.
///
/// ```
/// use costate::TimeGrid;
/// let grid = TimeGrid::with_step(0.0, &[0.25, 1.0], 1.0, 0.1)?; // 3 steps to 0.25, then 8 to 1
/// assert_eq!(grid.steps(), 11);
/// assert_eq!(grid.save_times(), [0.25, 1.0]);
/// # Ok::<(), costate::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct TimeGrid {
    times: Vec<f64>,
    saves: Vec<usize>,
    outputs: Vec<Output>,
}

/// A save time between step boundaries, where the state is interpolated: see [`TimeGrid::dense`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Output {
    /// The save time.
    pub time: f64,
    /// The step that it lies in, from boundary n to n + 1.
    pub step: usize,
    /// Its place in the step, `0 ≤ u ≤ 1`.
    pub u: f64,
}

/// Gradient with respect to the times of a grid.
///
/// Step boundaries keep their places relative to the times around them: to t0, t1 and the save times. A save time at t0 or t1
/// moves with it: both hold the same gradient then. With [`TimeGrid::dense`] boundaries move with t0 and t1 alone, and save
/// times stay where they are, those at t0 and t1 too.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TimeGradient {
    /// dJ/dt0.
    pub t0: f64,
    /// dJ/dt1.
    pub t1: f64,
    /// dJ/dt of every save time.
    pub saves: Vec<f64>,
}

/// More steps than this do not fit the kernels' counters.
const MAX_STEPS: f64 = (1_u64 << 28) as f64;

impl TimeGrid {
    /// `steps` equal steps from `t0` to `t1`, saved at `t1`.
    ///
    /// # Errors
    /// [`Error::Invalid`] for no steps, `t1 = t0` or times that are not finite.
    pub fn uniform(t0: f64, t1: f64, steps: usize) -> Result<Self> {
        Self::with_steps(t0, &[t1], t1, steps)
    }

    /// `steps` equal steps in each interval between neighbouring save times.
    ///
    /// # Errors
    /// As [`Self::with_step`].
    pub fn with_steps(t0: f64, save_at: &[f64], t1: f64, steps: usize) -> Result<Self> {
        Self::split(t0, save_at, t1, |_, _| steps as f64)
    }

    /// `ceil(|length| / step)` equal steps in each interval between neighbouring save times.
    ///
    /// An interval that is a whole number of steps but for the rounding of its two times gets no step more. How much that is
    /// the times tell themselves: those that are an f32 with a long decimal went through f32 and may be off by a unit in its last
    /// place, others by one of f64.
    ///
    /// ```
    /// use costate::TimeGrid;
    /// let tenths: Vec<f64> = (1..=10).map(|i| f64::from(i as f32 / 10.0)).collect();
    /// assert_eq!(TimeGrid::with_step(0.0, &tenths, tenths[9], 0.1)?.steps(), 10);
    /// # Ok::<(), costate::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Invalid`] if a time or the step is not finite, the step is not positive, `t1 = t0`, a save time is out
    /// of order or outside, or there are no or too many steps.
    pub fn with_step(t0: f64, save_at: &[f64], t1: f64, step: f64) -> Result<Self> {
        Self::with_step_within(t0, save_at, t1, step, 0.0)
    }

    /// The same where each time may be off by as much as `resolution`, if that is more than the numbers tell: half a unit of
    /// the last printed digit of times from a file.
    ///
    /// ```
    /// use costate::TimeGrid;
    /// // Thirty frames a second, printed with three decimals.
    /// let frames = [0.033, 0.067, 0.1, 0.133];
    /// assert_eq!(TimeGrid::with_step_within(0.0, &frames, 0.133, 1.0 / 30.0, 0.0005)?.steps(), 4);
    /// # Ok::<(), costate::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Self::with_step`], and for a resolution that is negative or not finite.
    pub fn with_step_within(t0: f64, save_at: &[f64], t1: f64, step: f64, resolution: f64) -> Result<Self> {
        if !(step.is_finite() && step > 0.0) {
            return Err(Error::invalid(
                "step",
                step.to_string(),
                "use a finite step > 0 (the direction follows from t0 and t1)",
            ));
        }
        if !(resolution.is_finite() && resolution >= 0.0) {
            return Err(Error::invalid(
                "resolution of the times",
                resolution.to_string(),
                "give how far each time may be off, 0 if that is not known",
            ));
        }
        let slack = |t: f64| rounding(t).max(resolution);
        Self::split(t0, save_at, t1, |start, end| parts((end - start).abs(), step, slack(start) + slack(end)))
    }

    /// Equal steps of at most `step` from `t0` to `t1`, whatever the save times: a state between two step boundaries is
    /// interpolated by the cubic Hermite polynomial of both states and the field there, an error of order 4. Each such
    /// time costs two evaluations of the field; the steps are no shorter for it.
    ///
    /// ```
    /// use costate::TimeGrid;
    /// let grid = TimeGrid::dense(0.0, &[0.123, 0.5, 0.877], 1.0, 0.25)?;
    /// assert_eq!((grid.steps(), grid.save_times().len()), (4, 3));
    /// # Ok::<(), costate::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Self::with_step`].
    pub fn dense(t0: f64, save_at: &[f64], t1: f64, step: f64) -> Result<Self> {
        Self::dense_within(t0, save_at, t1, step, 0.0)
    }

    /// The same where t0 and t1 may be off by as much as `resolution`, as in [`Self::with_step_within`].
    ///
    /// # Errors
    /// As [`Self::with_step_within`].
    pub fn dense_within(t0: f64, save_at: &[f64], t1: f64, step: f64, resolution: f64) -> Result<Self> {
        Self::with_step_within(t0, &[t1], t1, step, resolution)?.with_outputs(save_at)
    }

    /// `steps` equal steps from `t0` to `t1`, otherwise as [`Self::dense`].
    ///
    /// # Errors
    /// As [`Self::with_step`].
    pub fn dense_with_steps(t0: f64, save_at: &[f64], t1: f64, steps: usize) -> Result<Self> {
        Self::uniform(t0, t1, steps)?.with_outputs(save_at)
    }

    /// The same steps with other save times, anywhere.
    fn with_outputs(mut self, save_at: &[f64]) -> Result<Self> {
        let (t0, t1) = (self.t0(), self.t1());
        let save_at = if save_at.is_empty() { &[t1] } else { save_at };
        check_monotone("save time", save_at, t0, t1)?;
        let sign = (t1 - t0).signum();
        let last = self.steps() - 1;
        let output = |&time: &f64| {
            let after = self.times.partition_point(|&t| sign * t <= sign * time);
            let step = after.clamp(1, last + 1) - 1;
            let (start, end) = (self.times[step], self.times[step + 1]);
            Output { time, step, u: ((time - start) / (end - start)).clamp(0.0, 1.0) }
        };
        let outputs: Vec<Output> = save_at.iter().map(output).collect();
        self.saves = outputs.iter().flat_map(|o| [o.step, o.step + 1]).collect();
        self.saves.sort_unstable();
        self.saves.dedup();
        self.outputs = outputs;
        Ok(self)
    }

    /// Any strictly monotone boundaries; `saves` are indices into them, rising.
    ///
    /// # Errors
    /// [`Error::Invalid`] as for [`Self::with_step`].
    pub fn from_boundaries(times: Vec<f64>, saves: Vec<usize>) -> Result<Self> {
        if times.len() < 2 {
            return Err(Error::invalid("time grid", format!("{} boundaries", times.len()), "give at least t0 and t1"));
        }
        let t1 = times[times.len() - 1];
        check_monotone("step boundary", &times, times[0], t1)?;
        if saves.is_empty() || saves.windows(2).any(|w| w[0] >= w[1]) || saves[saves.len() - 1] >= times.len() {
            return Err(Error::invalid(
                "save indices",
                format!("{saves:?}"),
                format!("give at least one, rising, each below {}", times.len()),
            ));
        }
        Ok(Self { times, saves, outputs: Vec::new() })
    }

    fn split(t0: f64, save_at: &[f64], t1: f64, count: impl Fn(f64, f64) -> f64) -> Result<Self> {
        let save_at = if save_at.is_empty() { &[t1] } else { save_at };
        if t0 == t1 {
            return Err(Error::invalid("time span", format!("t0 = t1 = {t0}"), "use two different times"));
        }
        check_monotone("save time", save_at, t0, t1)?;
        let mut times = vec![t0];
        let mut saves = Vec::with_capacity(save_at.len());
        for &end in save_at.iter().chain((save_at.last() != Some(&t1)).then_some(&t1)) {
            let start = times[times.len() - 1];
            if end != start {
                let steps = count(start, end);
                if !(steps >= 1.0 && steps + (times.len() as f64) < MAX_STEPS) {
                    return Err(Error::invalid(
                        format!("number of steps between t = {start} and t = {end}"),
                        steps.to_string(),
                        format!("use at least 1 and at most {MAX_STEPS} steps in total"),
                    ));
                }
                times.extend((1..).map_while(|i| {
                    let i = f64::from(i);
                    (i < steps).then(|| start + (end - start) * (i / steps))
                }));
                times.push(end);
            }
            saves.push(times.len() - 1);
        }
        saves.truncate(save_at.len());
        // Steps below the resolution of f64 would repeat a boundary.
        check_monotone("step boundary", &times, t0, t1)?;
        Ok(Self { times, saves, outputs: Vec::new() })
    }

    /// Number of steps, N.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.times.len() - 1
    }

    /// The boundaries `t_0 … t_N`.
    #[must_use]
    pub fn times(&self) -> &[f64] {
        &self.times
    }

    /// Indices of the boundaries whose states are kept, rising: those of the save times, or with [`Self::dense`] the ends of
    /// the steps that save times lie in.
    #[must_use]
    pub fn saves(&self) -> &[usize] {
        &self.saves
    }

    /// The save times.
    #[must_use]
    pub fn save_times(&self) -> Vec<f64> {
        if self.is_dense() {
            return self.outputs.iter().map(|o| o.time).collect();
        }
        self.saves.iter().map(|&i| self.times[i]).collect()
    }

    /// Number of save times.
    #[must_use]
    pub fn observations(&self) -> usize {
        if self.is_dense() { self.outputs.len() } else { self.saves.len() }
    }

    /// True if the states at the save times are interpolated.
    #[must_use]
    pub fn is_dense(&self) -> bool {
        !self.outputs.is_empty()
    }

    /// The save times of a dense grid; none otherwise.
    #[must_use]
    pub fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    /// The gradient with respect to t0, t1 and the save times from those with respect to every boundary, `[N + 1]`, and for a
    /// dense grid every save time, the others being fixed.
    ///
    /// # Panics
    /// If the lengths are others.
    #[must_use]
    pub fn time_gradient(&self, boundaries: &[f64], outputs: &[f64]) -> TimeGradient {
        assert_eq!(boundaries.len(), self.times.len(), "one gradient for every boundary");
        assert_eq!(outputs.len(), self.outputs.len(), "one gradient for every save time of a dense grid");
        let last = self.steps();
        let mut knots: Vec<usize> = if self.is_dense() { Vec::new() } else { self.saves.clone() };
        knots.extend([0, last]);
        knots.sort_unstable();
        knots.dedup();
        let mut gradient = vec![0.0; knots.len()];
        for (n, g) in boundaries.iter().enumerate() {
            let after = knots.partition_point(|&k| k < n).max(1);
            let [from, to] = [knots[after - 1], knots[after]].map(|k| self.times[k]);
            let place = (self.times[n] - from) / (to - from);
            gradient[after - 1] += (1.0 - place) * g;
            gradient[after] += place * g;
        }
        let saves = if self.is_dense() {
            outputs.to_vec()
        } else {
            let place = |s: &usize| knots.binary_search(s).map_or(f64::NAN, |k| gradient[k]);
            self.saves.iter().map(place).collect()
        };
        TimeGradient { t0: gradient[0], t1: gradient[knots.len() - 1], saves }
    }

    /// Start of the integration.
    #[must_use]
    pub fn t0(&self) -> f64 {
        self.times[0]
    }

    /// End of the integration.
    #[must_use]
    pub fn t1(&self) -> f64 {
        self.times[self.times.len() - 1]
    }
}

/// `times` must be finite, run strictly from t0 to t1 and stay within (t0 itself may be the first).
fn check_monotone(what: &str, times: &[f64], t0: f64, t1: f64) -> Result<()> {
    for (name, t) in [("t0", t0), ("t1", t1)] {
        if !t.is_finite() {
            return Err(Error::invalid(name, t.to_string(), "use finite times"));
        }
    }
    let sign = (t1 - t0).signum();
    for (i, &t) in times.iter().enumerate() {
        if !t.is_finite() {
            return Err(Error::invalid(format!("{what} {i}"), t.to_string(), "use finite times"));
        }
        let after_previous = i == 0 || sign * (t - times[i - 1]) > 0.0;
        if !after_previous || sign * (t - t0) < 0.0 || sign * (t1 - t) < 0.0 {
            return Err(Error::invalid(
                format!("{what} {i}"),
                format!("t = {t} is out of order or outside"),
                format!("give strictly monotone times from t0 = {t0} to t1 = {t1}"),
            ));
        }
    }
    Ok(())
}
