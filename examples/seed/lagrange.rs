//! The second view: a running cost, an observation on the way, and the multiplier λ.
//!
//! `J = ∫ L(x, t, θ) dt + ℓ(x(t_m)) + F(x(T))` with `L = c_x ‖x − x_ref‖² + c_f ‖f‖²`, and in steps of Euler
//! `J = Σ_{n<N} Δt L(x_n, t_n) + ℓ(x_m) + F(x_N)`, m = N/3.

use crate::Result;
use crate::euler::{Euler, Problem, STEPS, X0, Y, squared_distance};
use crate::linear::{cosine, differences, plus, relative, scaled};
use crate::table::{Checks, Table, number, small, vector};

/// What is paid along the way and at its end.
#[derive(Clone, Copy)]
struct Cost {
    /// Weight `c_x` of `‖x − x_ref‖²`.
    state: f64,
    /// Weight `c_f` of `‖f‖²`, by which L depends on θ.
    field: f64,
}

/// The running cost of state and field, so that every piece of the gradient counts.
const FULL: Cost = Cost { state: 0.8, field: 0.5 };
const X_REF: [f64; 2] = [0.2, 0.1];
/// Observed at the boundary m: `ℓ(x_m) = ‖x_m − Y_M‖²`.
const Y_M: [f64; 2] = [0.4, 0.3];

impl Cost {
    /// `L(x_n, t_n, θ)`.
    fn running(self, euler: &Euler<'_>, n: usize, x: &[f64]) -> f64 {
        let f = euler.field.eval(x, euler.time(n));
        self.state * squared_distance(x, &X_REF) + self.field * f.iter().map(|f| f * f).sum::<f64>()
    }

    /// `(∂L/∂x: [dim], ∂L/∂θ: [parameters])` at `(x, t_n)`.
    fn running_gradient(self, euler: &Euler<'_>, n: usize, x: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let f = euler.field.eval(x, euler.time(n));
        let (through_f, theta) = euler.pull_back(n, x, &scaled(2.0 * self.field, &f));
        (plus(&through_f, 2.0 * self.state, &plus(x, -1.0, &X_REF)), theta)
    }

    /// What is still to pay from `x_n` on: J for n = 0.
    fn to_go(self, euler: &Euler<'_>, n: usize, x: &[f64]) -> f64 {
        let tail = euler.states_from(n, x);
        let observed = euler.steps / 3;
        let running: f64 = (n..euler.steps).map(|k| euler.h * self.running(euler, k, &tail[k - n])).sum();
        let looked = if n <= observed { squared_distance(&tail[observed - n], &Y_M) } else { 0.0 };
        running + looked + squared_distance(&tail[euler.steps - n], &Y)
    }

    /// `dJ/dθ` by central differences.
    fn differences(self, problem: &Problem, steps: usize) -> Result<Vec<f64>> {
        differences(&problem.theta, |theta| Ok(self.to_go(&problem.euler_with(theta, steps)?, 0, &X0)))
    }
}

/// Where a step of λ evaluates the field and the running cost.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    /// At `(x_n, t_n)`, where the step forward did: the discrete adjoint.
    Start,
    /// At `(x_{n+1}, t_{n+1})`, where λ comes from: the continuous adjoint equation in steps of Euler backward.
    End,
}

/// Which pieces a sweep has.
#[derive(Clone, Copy)]
struct Pieces {
    at: At,
    /// `L_x` in the equation of λ.
    source: bool,
    /// The jump of λ at the observation.
    jump: bool,
}

const ALL: Pieces = Pieces { at: At::Start, source: true, jump: true };

/// A sweep of λ from T to t0. The sums are taken on the way: λ needs not be kept, and is only for the table.
struct Sweep {
    /// `λ_n: [N + 1][dim]`; at the observation the one before it in time.
    lambda: Vec<Vec<f64>>,
    /// `Σ Δt L_θ: [parameters]`.
    direct: Vec<f64>,
    /// `Σ Δt λᵀ f_θ: [parameters]`, the blog's last formula and sum.
    through: Vec<f64>,
}

impl Sweep {
    /// `λ_N = −F_x`, `λ_n = λ_{n+1} − Δt (L_x − λ_{n+1}ᵀ f_x)`, and `λ_m ← λ_m − ℓ_x` at the observation.
    fn new(cost: Cost, euler: &Euler<'_>, states: &[Vec<f64>], pieces: Pieces) -> Self {
        let parameters = euler.field.parameter_count();
        let (mut direct, mut through) = (vec![0.0; parameters], vec![0.0; parameters]);
        let mut lambda = vec![scaled(-2.0, &plus(&states[euler.steps], -1.0, &Y)); euler.steps + 1];
        for n in (0..euler.steps).rev() {
            let place = if pieces.at == At::Start { n } else { n + 1 };
            let x = &states[place];
            let (cost_x, cost_theta) = cost.running_gradient(euler, place, x);
            let (field_x, field_theta) = euler.pull_back(place, x, &lambda[n + 1]);
            direct = plus(&direct, euler.h, &cost_theta);
            through = plus(&through, euler.h, &field_theta);
            lambda[n] = plus(&lambda[n + 1], euler.h, &field_x);
            if pieces.source {
                lambda[n] = plus(&lambda[n], -euler.h, &cost_x);
            }
            if pieces.jump && n == euler.steps / 3 {
                lambda[n] = plus(&lambda[n], -2.0, &plus(&states[n], -1.0, &Y_M));
            }
        }
        Self { lambda, direct, through }
    }

    /// `dJ/dθ = Σ Δt (L_θ − λᵀ f_θ)`.
    fn theta(&self) -> Vec<f64> {
        plus(&self.direct, -1.0, &self.through)
    }

    /// `dJ/dx0 = a_0 = −λ_0`.
    fn x0(&self) -> Vec<f64> {
        scaled(-1.0, &self.lambda[0])
    }
}

pub(crate) fn run(problem: &Problem, checks: &mut Checks) -> Result<()> {
    println!("\n3  The Lagrangian view, J = ∫ L dt + ‖x(t1) − y1‖² + ‖x(T) − y‖²");
    println!("   with L = {} ‖x − x_ref‖² + {} ‖f‖²", FULL.state, FULL.field);
    multiplier(problem, checks)?;
    parameters(problem, checks)?;
    dropped(problem, checks)?;
    refinement(problem, checks)
}

/// λ and the adjoint, and with it dJ/dx0.
fn multiplier(problem: &Problem, checks: &mut Checks) -> Result<()> {
    let euler = problem.euler(STEPS[0])?;
    let states = euler.states(&X0);
    let sweep = Sweep::new(FULL, &euler, &states, ALL);
    let header = ["n", "t_n", "λ_n", "a_n = −λ_n", "dJ/dx_n, differences", "error"];
    let mut table =
        Table::new("λ_3 = −∂F/∂x, λ_n = λ_{n+1} − Δt (L_x − λ_{n+1}ᵀ f_x), jump of −∂ℓ/∂x at n = 1", header);
    for n in (0..=euler.steps).rev() {
        let exact = differences(&states[n], |x| Ok(FULL.to_go(&euler, n, x)))?;
        let a = scaled(-1.0, &sweep.lambda[n]);
        let error = relative(&a, &exact);
        let time = format!("{:.2}", euler.time(n));
        table.row([n.to_string(), time, vector(&sweep.lambda[n]), vector(&a), vector(&exact), small(error)]);
        checks.matches(format!("−λ_{n} = dJ/dx_{n}"), error);
    }
    table.print();
    println!("  dJ/dx0 = a_0 = −λ_0 = {}: the blog drops it with δx0 = 0.", vector(&sweep.x0()));
    Ok(())
}

/// dJ/dθ per parameter, and the sign of the blog's.
fn parameters(problem: &Problem, checks: &mut Checks) -> Result<()> {
    let euler = problem.euler(STEPS[0])?;
    let states = euler.states(&X0);
    let sweep = Sweep::new(FULL, &euler, &states, ALL);
    let exact = FULL.differences(problem, euler.steps)?;
    let found = sweep.theta();
    let header = ["θ", "blog: Σ Δt λᵀf_θ", "Σ Δt L_θ", "Σ Δt (L_θ − λᵀf_θ)", "differences"];
    let mut table = Table::new("dJ/dθ", header);
    for (i, name) in problem.names().into_iter().enumerate() {
        let [blog, direct, sum, exact] = [sweep.through[i], sweep.direct[i], found[i], exact[i]].map(number);
        table.row([name, blog, direct, sum, exact]);
    }
    table.print();

    let plain = Cost { field: 0.0, ..FULL };
    let plain_sweep = Sweep::new(plain, &euler, &states, ALL);
    let plain_exact = plain.differences(problem, euler.steps)?;
    let mut table = Table::new("dJ/dθ against differences", ["", "relative error", "cosine"]);
    let mut row = |name: &str, found: &[f64], exact: &[f64]| {
        let (error, angle) = (relative(found, exact), cosine(found, exact));
        table.row([name.into(), small(error), format!("{angle:+.6}")]);
        (error, angle)
    };
    let (_, angle) = row("c_f = 0 (L_θ = 0), blog: Σ Δt λᵀf_θ", &plain_sweep.through, &plain_exact);
    checks.below("cosine + 1 of the blog's formula where L_θ = 0", (angle + 1.0).abs(), 1e-12);
    let (error, _) = row("c_f = 0, Σ Δt (L_θ − λᵀf_θ)", &plain_sweep.theta(), &plain_exact);
    checks.matches("dJ/dθ, corrected, c_f = 0", error);
    let (error, _) = row("blog: Σ Δt λᵀf_θ", &sweep.through, &exact);
    checks.above("dJ/dθ, blog's formula", error, 1.0);
    let (error, _) = row("Σ Δt (L_θ − λᵀf_θ)", &found, &exact);
    checks.matches("dJ/dθ, corrected", error);
    table.print();
    Ok(())
}

/// What each piece is worth.
fn dropped(problem: &Problem, checks: &mut Checks) -> Result<()> {
    let euler = problem.euler(STEPS[0])?;
    let states = euler.states(&X0);
    let exact = FULL.differences(problem, euler.steps)?;
    let exact_x0 = differences(&X0, |x| Ok(FULL.to_go(&euler, 0, x)))?;
    let sweep = |pieces| Sweep::new(FULL, &euler, &states, pieces);
    let whole = sweep(ALL);
    let without_l_theta = scaled(-1.0, &whole.through);
    let ways = [
        ("nothing", whole.theta(), whole.x0()),
        ("L_θ", without_l_theta, whole.x0()),
        ("L_x in λ", sweep(Pieces { source: false, ..ALL }).theta(), sweep(Pieces { source: false, ..ALL }).x0()),
        (
            "the jump at the observation",
            sweep(Pieces { jump: false, ..ALL }).theta(),
            sweep(Pieces { jump: false, ..ALL }).x0(),
        ),
    ];
    let mut table = Table::new("What is lost by leaving out …", ["", "error of dJ/dθ", "error of dJ/dx0"]);
    for (n, (name, theta, x0)) in ways.into_iter().enumerate() {
        let errors = [relative(&theta, &exact), relative(&x0, &exact_x0)];
        table.row([name.into(), small(errors[0]), small(errors[1])]);
        if n > 0 {
            checks.above(format!("dJ/dθ without {name}"), errors[0], 1e-2);
        }
    }
    table.print();
    Ok(())
}

/// The discrete adjoint is that of the computed cost for any number of steps; the continuous one in Euler steps tends to it.
fn refinement(problem: &Problem, checks: &mut Checks) -> Result<()> {
    let header = ["N", "continuous, x as computed", "ratio", "continuous, x̂ as the blog", "ratio", "discrete"];
    let mut table = Table::new("Relative error of dJ/dθ against differences of the computed J", header);
    let mut before: Option<[f64; 2]> = None;
    for steps in STEPS {
        let euler = problem.euler(steps)?;
        let states = euler.states(&X0);
        let walked = euler.walk_back(&states[steps]);
        let exact = FULL.differences(problem, steps)?;
        let continuous = Pieces { at: At::End, ..ALL };
        let error = |states: &[Vec<f64>], pieces| relative(&Sweep::new(FULL, &euler, states, pieces).theta(), &exact);
        let errors = [error(&states, continuous), error(&walked, continuous)];
        let discrete = error(&states, ALL);
        let ratio = |i: usize| before.map_or(String::new(), |before| format!("{:.2}", before[i] / errors[i]));
        let [kept, blog] = errors.map(small);
        table.row([steps.to_string(), kept, ratio(0), blog, ratio(1), small(discrete)]);
        checks.matches(format!("dJ/dθ, discrete, N = {steps}"), discrete);
        before = Some(errors);
    }
    table.print();
    if let Some(errors) = before {
        checks.above("dJ/dθ, continuous adjoint in 96 steps", errors[0], 1e-4);
    }
    Ok(())
}
