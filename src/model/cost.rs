//! The running cost: what a trajectory pays along its way, `∫ L(x, t, θ) dt`.

use super::reference::Reference;
use crate::error::{Error, Result};

/// A running cost `L` as a weighted sum of terms, each with a weight ≥ 0:
///
/// ```text
/// L(x, t, θ) = kinetic · ‖f(x, t, θ)‖² + reference · ‖x − x_ref(t)‖² + jacobian · ‖∂f/∂x · ε‖² + parameters · ‖θ‖²
/// ```
///
/// The kinetic and the Jacobian term are those of RNODE (Finlay, Jacobsen, Nurbekyan & Oberman 2020, arXiv:2002.02798);
/// `ε` is a vector of ±1, drawn once per trajectory from the seed and fixed over the solve, so that the expectation of
/// `‖∂f/∂x · ε‖²` is the squared Frobenius norm of the Jacobian (Hutchinson 1990). It depends on the seed and on the place
/// in the batch alone: a trainer has the same ε in every iteration, so give it a batch that is large enough for its mean.
///
/// A trajectory's cost is the integral from t0 to t1 by the solver's own weights. It is signed like any integral: backward
/// in time (`t1 < t0`) it is negative. The objective is the loss plus the *mean* of the cost over the trajectories that take
/// part; with cotangents of the caller's ([`NeuralOde::vjp`](crate::NeuralOde::vjp)) the costs are summed.
///
/// ```
/// use costate::RunningCost;
/// let cost = RunningCost::new().kinetic(0.01)?.jacobian(0.01, 7)?.parameters(1e-4)?;
/// assert!(RunningCost::new().kinetic(-1.0).is_err());
/// # let _ = cost;
/// # Ok::<(), costate::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunningCost {
    kinetic: f64,
    reference: Option<(f64, Reference)>,
    jacobian: f64,
    seed: u32,
    parameters: f64,
}

impl RunningCost {
    /// No cost yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the weight of `‖f‖²`.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a weight that is negative or not finite.
    pub fn kinetic(self, weight: f64) -> Result<Self> {
        Ok(Self { kinetic: check("kinetic", weight)?, ..self })
    }

    /// Sets the weight of `‖x − x_ref(t)‖²` and the reference.
    ///
    /// # Errors
    /// As [`Self::kinetic`].
    pub fn reference(self, weight: f64, reference: Reference) -> Result<Self> {
        Ok(Self { reference: Some((check("reference", weight)?, reference)), ..self })
    }

    /// Sets the weight of `‖∂f/∂x · ε‖²` and the seed of ε.
    ///
    /// # Errors
    /// As [`Self::kinetic`].
    pub fn jacobian(self, weight: f64, seed: u32) -> Result<Self> {
        Ok(Self { jacobian: check("jacobian", weight)?, seed, ..self })
    }

    /// Sets the weight of `‖θ‖²`.
    ///
    /// # Errors
    /// As [`Self::kinetic`].
    pub fn parameters(self, weight: f64) -> Result<Self> {
        Ok(Self { parameters: check("parameters", weight)?, ..self })
    }

    /// Weight of `‖f‖²`.
    #[must_use]
    pub fn kinetic_weight(&self) -> f64 {
        self.kinetic
    }

    /// Weight of `‖x − x_ref‖²` and the reference, if there is one.
    #[must_use]
    pub fn reference_term(&self) -> Option<(f64, &Reference)> {
        self.reference.as_ref().map(|(weight, reference)| (*weight, reference))
    }

    /// Weight of `‖∂f/∂x · ε‖²`.
    #[must_use]
    pub fn jacobian_weight(&self) -> f64 {
        self.jacobian
    }

    /// Seed of ε.
    #[must_use]
    pub fn seed(&self) -> u32 {
        self.seed
    }

    /// Weight of `‖θ‖²`.
    #[must_use]
    pub fn parameters_weight(&self) -> f64 {
        self.parameters
    }

    /// Component of ε: 1 or −1. Twin of `probe` in shaders/cost.wgsl.
    #[must_use]
    pub fn probe(&self, trajectory: u32, component: u32) -> f64 {
        let key = pcg(component ^ pcg(trajectory ^ pcg(self.seed)));
        if key >> 31 == 0 { 1.0 } else { -1.0 }
    }
}

fn check(term: &str, weight: f64) -> Result<f64> {
    if weight.is_finite() && weight >= 0.0 {
        return Ok(weight);
    }
    let remedy = "use a finite number ≥ 0";
    Err(Error::invalid(format!("weight of the {term} term of the running cost"), weight.to_string(), remedy))
}

/// PCG output permutation (Jarzynski & Olano 2020, "Hash functions for GPU rendering").
pub(crate) fn pcg(v: u32) -> u32 {
    let s = v.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
    let w = ((s >> ((s >> 28) + 4)) ^ s).wrapping_mul(277_803_737);
    (w >> 22) ^ w
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_are_fair_and_depend_on_all_three_numbers() {
        let cost = RunningCost::new().jacobian(1.0, 3).expect("a valid weight");
        let other = RunningCost::new().jacobian(1.0, 4).expect("a valid weight");
        let signs = |cost: &RunningCost| -> Vec<f64> { (0..4000).map(|i| cost.probe(i / 4, i % 4)).collect() };
        let (these, those) = (signs(&cost), signs(&other));
        for signs in [&these, &those] {
            // Five deviations of a fair coin.
            assert!(signs.iter().sum::<f64>().abs() < 5.0 * 4000_f64.sqrt(), "{}", signs.iter().sum::<f64>());
        }
        let agreement: f64 = these.iter().zip(&those).map(|(a, b)| a * b).sum();
        assert!(agreement.abs() < 5.0 * 4000_f64.sqrt(), "seeds share their signs: {agreement}");
    }

    #[test]
    fn bad_weights_name_their_term() {
        for weight in [-1.0, f64::NAN, f64::INFINITY] {
            let error = RunningCost::new().parameters(weight).expect_err("a bad weight").to_string();
            assert!(error.contains("parameters term") && error.contains("≥ 0"), "{error}");
        }
    }
}
