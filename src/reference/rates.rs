//! What one trajectory gains per unit of time: its state the field `f(x, t, θ)`, its cost the Lagrangian `L(x, t, θ)`.

use super::Field;
use super::step::add_scaled;
use crate::model::RunningCost;

/// The field, and the running cost of one trajectory if there is one.
///
/// The term `‖θ‖²` of the cost is not in here: it does not depend on the state, so its integral is known exactly
/// ([`gradient_with_cost`](super::gradient_with_cost) adds it).
#[derive(Clone)]
pub(super) struct Rates<'a> {
    field: Field<'a>,
    terms: Option<Terms<'a>>,
}

/// The terms of the cost that depend on the state, for one trajectory.
#[derive(Clone)]
struct Terms<'a> {
    cost: &'a RunningCost,
    trajectory: usize,
    /// What a unit of cost is worth in the objective: `∂J/∂c`.
    worth: f64,
    /// The direction ε of the Jacobian term; none if it has no weight.
    probe: Option<Vec<f64>>,
}

/// The vector–Jacobian product of both rates at one point.
pub(super) struct Pull {
    /// Cotangent of x, `[dim]`.
    pub(super) x: Vec<f64>,
    /// Cotangent of t.
    pub(super) t: f64,
    /// `f(x, t): [dim]`.
    pub(super) f: Vec<f64>,
    /// `L(x, t)` times its worth in the objective.
    pub(super) cost: f64,
}

impl<'a> Rates<'a> {
    /// The field alone.
    pub(super) fn of(field: &Field<'a>) -> Self {
        Self { field: *field, terms: None }
    }

    /// The field and the cost of the trajectory with this number, a unit of which is `worth` so much in the objective.
    pub(super) fn with_cost(field: &Field<'a>, cost: Option<&'a RunningCost>, trajectory: u32, worth: f64) -> Self {
        let terms = cost.map(|cost| Terms {
            cost,
            trajectory: trajectory as usize,
            worth,
            probe: (cost.jacobian_weight() > 0.0)
                .then(|| (0..).take(field.dim()).map(|c| cost.probe(trajectory, c)).collect()),
        });
        Self { field: *field, terms }
    }

    pub(super) fn field(&self) -> &Field<'a> {
        &self.field
    }

    /// `f(x, t): [dim]` and `L(x, t)`, zero without a cost.
    pub(super) fn eval(&self, x: &[f64], t: f64) -> (Vec<f64>, f64) {
        let Some(terms) = &self.terms else { return (self.field.eval(x, t), 0.0) };
        let tape = self.field.forward(x, t, terms.probe.as_deref());
        let cost = terms.value(x, t, &tape.value, tape.tangent());
        (tape.value, cost)
    }

    /// `f(x, t): [dim]` and what `L(x, t)` is worth in the objective.
    pub(super) fn worth(&self, x: &[f64], t: f64) -> (Vec<f64>, f64) {
        let (f, cost) = self.eval(x, t);
        (f, self.terms.as_ref().map_or(0.0, |terms| terms.worth * cost))
    }

    /// The VJP at `(x, t)` for the cotangent `k: [dim]` of f and the weight `share` of L, a cotangent of
    /// `share · worth`; adds to `theta_bar`.
    pub(super) fn pull(&self, x: &[f64], t: f64, k: &[f64], share: f64, theta_bar: &mut [f64]) -> Pull {
        let Some(terms) = &self.terms else {
            let tape = self.field.forward(x, t, None);
            let (x, t) = self.field.pull(&tape, k, None, theta_bar);
            return Pull { x, t, f: tape.value, cost: 0.0 };
        };
        let tape = self.field.forward(x, t, terms.probe.as_deref());
        let cost = terms.worth * terms.value(x, t, &tape.value, tape.tangent());
        let weight = share * terms.worth;
        // ‖f‖² and ‖∂f/∂x · ε‖² reach x, t and θ through the field, ‖x − x_ref‖² directly.
        let mut k = k.to_vec();
        add_scaled(&mut k, 2.0 * weight * terms.cost.kinetic_weight(), &tape.value);
        let d: Option<Vec<f64>> =
            tape.tangent().map(|d| d.iter().map(|d| 2.0 * weight * terms.cost.jacobian_weight() * d).collect());
        let (mut x_bar, mut t_bar) = self.field.pull(&tape, &k, d.as_deref(), theta_bar);
        for (c, (off, slope)) in terms.off_reference(x, t).enumerate() {
            let bar = 2.0 * weight * terms.reference_weight() * off;
            x_bar[c] += bar;
            t_bar -= bar * slope;
        }
        Pull { x: x_bar, t: t_bar, f: tape.value, cost }
    }
}

impl Terms<'_> {
    /// `L` from the field's value and derivative.
    fn value(&self, x: &[f64], t: f64, f: &[f64], tangent: Option<&[f64]>) -> f64 {
        let square = |v: &[f64]| v.iter().map(|v| v * v).sum::<f64>();
        let off: f64 = self.off_reference(x, t).map(|(off, _)| off * off).sum();
        self.cost.kinetic_weight() * square(f)
            + self.reference_weight() * off
            + self.cost.jacobian_weight() * tangent.map_or(0.0, square)
    }

    fn reference_weight(&self) -> f64 {
        self.cost.reference_term().map_or(0.0, |(weight, _)| weight)
    }

    /// `x − x_ref(t)` and `dx_ref/dt` of each component; nothing without a reference.
    fn off_reference(&self, x: &[f64], t: f64) -> impl Iterator<Item = (f64, f64)> {
        let reference = self.cost.reference_term().filter(|(weight, _)| *weight > 0.0).map(|(_, reference)| reference);
        reference.into_iter().flat_map(move |reference| {
            x.iter().enumerate().map(move |(c, x)| {
                let (value, slope) = reference.at(self.trajectory, c, t);
                (x - value, slope)
            })
        })
    }
}
