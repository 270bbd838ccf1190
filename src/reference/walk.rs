//! What a solve does at the steps of its grid, for methods on one state and on a pair alike.

use ndarray::ArrayView1;

use super::continuous::costate_step;
use super::pair::{Pair, PairStep, pair_advance, pair_contract, pair_output, pair_start, pair_step_reverse};
use super::pair_adjoint::{StepBar, pair_pull, start_pull};
use super::rates::Rates;
use super::step::{Span, add_scaled, increment, increment_vjp};
use super::step_reverse;
use crate::error::{Error, Result};
use crate::solver::{Adjoint, Contraction, Method, PairScheme, Tableau, TimeGrid};

/// What decides the numbers of a forward pass: a method, and for kicks how often the copies are brought together.
///
/// A [`Method`] by itself is one without contraction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scheme {
    /// The method.
    pub method: Method,
    /// The contraction at the end of steps, as [`AdjointOptions::contraction`](crate::AdjointOptions::contraction)
    /// gives it. Only for methods made of kicks.
    pub contraction: Option<Contraction>,
}

impl From<Method> for Scheme {
    fn from(method: Method) -> Self {
        Self { method, contraction: None }
    }
}

impl Scheme {
    pub(super) fn check(&self) -> Result<()> {
        let additive = self.method.pair().is_some_and(|p| p.is_additive());
        if self.contraction.is_some() && !additive {
            return Err(Error::invalid(
                "contraction",
                format!("with the method {}", self.method),
                "use a method made of kicks, or leave it out",
            ));
        }
        Ok(())
    }

    /// The adjoint that `adjoint` stands for.
    pub(super) fn resolve(&self, adjoint: Adjoint) -> Result<Adjoint> {
        self.check()?;
        let adjoint = adjoint.resolve(self.method)?;
        if self.contraction.is_some() && adjoint == Adjoint::Reversible {
            return Err(Error::invalid(
                "contraction",
                format!("with the {adjoint} adjoint"),
                "use the exact adjoint: floats cannot take a contraction back",
            ));
        }
        Ok(adjoint)
    }
}

/// A walk of one trajectory over the grid. Steps are numbered from 0; boundary n is the start of step n.
pub(super) trait Walk {
    /// What is carried from step to step, and its cotangent.
    type State: Clone;

    fn start(&self, x0: &[f64]) -> Self::State;

    /// Step n, and the contraction that may follow it; returns the running cost of the step.
    fn advance(&self, n: usize, state: &mut Self::State) -> f64;

    /// Undoes step n as far as the method can.
    fn retreat(&self, n: usize, state: &mut Self::State);

    fn output(&self, state: &Self::State) -> Vec<f64>;

    fn zero(&self) -> Self::State;

    /// Adds the cotangent of the output to that of the state.
    fn observe(&self, bar: &mut Self::State, jump: ArrayView1<'_, f64>);

    /// The adjoint of [`Self::advance`] at the state `start` of boundary n.
    fn pull_back(&self, n: usize, start: &Self::State, bar: &mut Self::State, theta_bar: &mut [f64]) -> StepBar;

    /// Goes back over step n with a state that was not kept: finds the state at its start again, and turns `bar` into the
    /// cotangent of that.
    fn go_back(&self, n: usize, state: &mut Self::State, bar: &mut Self::State, theta_bar: &mut [f64]) -> StepBar {
        self.retreat(n, state);
        self.pull_back(n, state, bar, theta_bar)
    }

    /// The adjoint of [`Self::start`], had the solve started at boundary n from x: the cotangents of x and of the time.
    fn gather(&self, n: usize, x: &[f64], bar: &Self::State, theta_bar: &mut [f64]) -> (Vec<f64>, f64);

    /// `max_i |state_i − start_i|` with the state that a solve from x0 starts with.
    fn drift(&self, x0: &[f64], state: &Self::State) -> f64;
}

/// A Runge–Kutta method: the state is x.
pub(super) struct Single<'a> {
    tableau: &'a Tableau,
    rates: Rates<'a>,
    times: &'a [f64],
    /// True if states that were not kept come with the continuous adjoint.
    continuous: bool,
}

impl<'a> Single<'a> {
    pub(super) fn new(method: Method, rates: Rates<'a>, grid: &'a TimeGrid, continuous: bool) -> Self {
        Self { tableau: method.tableau(), rates, times: grid.times(), continuous }
    }

    /// Start and length of step n.
    fn step(&self, n: usize) -> (f64, f64) {
        (self.times[n], self.times[n + 1] - self.times[n])
    }
}

impl Walk for Single<'_> {
    type State = Vec<f64>;

    fn start(&self, x0: &[f64]) -> Vec<f64> {
        x0.to_vec()
    }

    fn advance(&self, n: usize, x: &mut Vec<f64>) -> f64 {
        let (t, h) = self.step(n);
        let (up, cost) = increment(self.tableau, &self.rates, t, h, x);
        add_scaled(x, 1.0, &up);
        cost
    }

    fn retreat(&self, n: usize, x: &mut Vec<f64>) {
        *x = step_reverse(self.tableau, self.rates.field(), self.times[n + 1], self.step(n).1, x);
    }

    fn output(&self, x: &Vec<f64>) -> Vec<f64> {
        x.clone()
    }

    fn zero(&self) -> Vec<f64> {
        vec![0.0; self.rates.field().dim()]
    }

    fn observe(&self, a: &mut Vec<f64>, jump: ArrayView1<'_, f64>) {
        a.iter_mut().zip(jump).for_each(|(a, jump)| *a += jump);
    }

    fn pull_back(&self, n: usize, start: &Vec<f64>, a: &mut Vec<f64>, theta_bar: &mut [f64]) -> StepBar {
        let (t, h) = self.step(n);
        let bar = increment_vjp(self.tableau, &self.rates, Span { t, h, share: 1.0 }, start, a, theta_bar);
        add_scaled(a, 1.0, &bar.x);
        StepBar { t: bar.t, h: bar.h }
    }

    fn go_back(&self, n: usize, x: &mut Vec<f64>, a: &mut Vec<f64>, theta_bar: &mut [f64]) -> StepBar {
        if self.continuous {
            costate_step(self.tableau, &self.rates, (self.times[n + 1], self.step(n).1), x, a, theta_bar);
            return StepBar::default();
        }
        self.retreat(n, x);
        self.pull_back(n, x, a, theta_bar)
    }

    fn gather(&self, _: usize, _: &[f64], a: &Vec<f64>, _: &mut [f64]) -> (Vec<f64>, f64) {
        (a.clone(), 0.0)
    }

    fn drift(&self, x0: &[f64], x: &Vec<f64>) -> f64 {
        distance(x, x0)
    }
}

/// A method on a pair of states.
pub(super) struct Double<'a> {
    scheme: PairScheme,
    contraction: Option<Contraction>,
    rates: Rates<'a>,
    times: &'a [f64],
}

impl<'a> Double<'a> {
    pub(super) fn new(
        scheme: PairScheme,
        contraction: Option<Contraction>,
        rates: Rates<'a>,
        grid: &'a TimeGrid,
    ) -> Self {
        Self { scheme, contraction, rates, times: grid.times() }
    }

    fn step(&self, n: usize) -> PairStep {
        PairStep { number: n, t: self.times[n], h: self.times[n + 1] - self.times[n] }
    }

    /// The contraction at the end of step n.
    fn contraction(&self, n: usize) -> Option<Contraction> {
        self.contraction.filter(|c| c.after_step(n))
    }
}

impl Walk for Double<'_> {
    type State = Pair;

    fn start(&self, x0: &[f64]) -> Pair {
        pair_start(&self.scheme, self.rates.field(), self.times[0], x0)
    }

    fn advance(&self, n: usize, pair: &mut Pair) -> f64 {
        let cost = pair_advance(&self.scheme, &self.rates, self.step(n), pair);
        if let Some(contraction) = self.contraction(n) {
            pair_contract(contraction, pair);
        }
        cost
    }

    /// A contraction is not undone: [`Scheme::resolve`] sees to it that there is none.
    fn retreat(&self, n: usize, pair: &mut Pair) {
        pair_step_reverse(&self.scheme, self.rates.field(), self.step(n), pair);
    }

    fn output(&self, pair: &Pair) -> Vec<f64> {
        pair_output(&self.scheme, pair)
    }

    fn zero(&self) -> Pair {
        Pair::doubled(&vec![0.0; self.rates.field().dim()])
    }

    fn observe(&self, bar: &mut Pair, jump: ArrayView1<'_, f64>) {
        let jump = jump.to_vec();
        let [in_y, in_z] = self.scheme.output();
        add_scaled(&mut bar.y, in_y, &jump);
        add_scaled(&mut bar.z, in_z, &jump);
    }

    fn pull_back(&self, n: usize, start: &Pair, bar: &mut Pair, theta_bar: &mut [f64]) -> StepBar {
        if let Some(contraction) = self.contraction(n) {
            pair_contract(contraction, bar);
        }
        pair_pull(&self.scheme, &self.rates, self.step(n), start, bar, theta_bar)
    }

    fn gather(&self, n: usize, x: &[f64], bar: &Pair, theta_bar: &mut [f64]) -> (Vec<f64>, f64) {
        start_pull(&self.scheme, self.rates.field(), self.times[n], x, bar, theta_bar)
    }

    fn drift(&self, x0: &[f64], pair: &Pair) -> f64 {
        let start = self.start(x0);
        largest(distance(&pair.y, &start.y), distance(&pair.z, &start.z))
    }
}

/// `max_i |x_i − y_i|`, NaN if any difference is.
fn distance(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(x, y)| (x - y).abs()).fold(0.0, largest)
}

/// The larger of two, NaN if either is.
fn largest(a: f64, b: f64) -> f64 {
    if a.is_nan() || b <= a { a } else { b }
}
