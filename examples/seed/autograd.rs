//! The first view: three Euler steps, and the chain rule from the last to the first.

use costate::reference::{self, Seed};
use costate::{Adjoint, Method, TimeGrid};
use ndarray::Axis;
use ndarray::aview1;

use crate::Result;
use crate::euler::{Euler, LENGTH, Problem, STEPS, T0, X0, Y, squared_distance};
use crate::linear::{
    Matrix, cosine, difference_jacobian, differences, distance, identity_plus, norm, plus, relative, row_times, scaled,
    sum, times_column,
};
use crate::table::{Checks, Table, matrix, number, small, vector};

/// The chain from `∂L/∂x_N` to `∂L/∂x_0`, and what every step adds to `dL/dθ`.
struct Chain {
    /// `g_n = ∂L/∂x_n: [N + 1][dim]`, row vectors.
    g: Vec<Vec<f64>>,
    /// `g_n · Δt ∂f/∂θ (x_{n−1}, t_{n−1}): [N][parameters]`, for n = 1 … N.
    terms: Vec<Vec<f64>>,
}

impl Chain {
    /// Walks from `g_N` over the steps that start at `states: [N or more][dim]`; `jacobian` makes `∂x_n/∂x_{n−1}` of
    /// `Δt f_x`.
    fn new(euler: &Euler<'_>, states: &[Vec<f64>], g_last: Vec<f64>, jacobian: impl Fn(&Matrix) -> Matrix) -> Self {
        let mut g = vec![g_last; euler.steps + 1];
        let mut terms = vec![Vec::new(); euler.steps];
        for n in (0..euler.steps).rev() {
            terms[n] = euler.pull_back(n, &states[n], &scaled(euler.h, &g[n + 1])).1;
            g[n] = row_times(&g[n + 1], &jacobian(&euler.field_jacobian(n, &states[n])));
        }
        Self { g, terms }
    }

    fn total(&self) -> Vec<f64> {
        sum(self.terms[0].len(), &self.terms)
    }
}

/// `∂L/∂x` of `‖x − y‖²`.
fn end_gradient(x: &[f64]) -> Vec<f64> {
    scaled(2.0, &plus(x, -1.0, &Y))
}

pub(crate) fn run(problem: &Problem, checks: &mut Checks) -> Result<()> {
    println!("\n1  Forward, three steps of Euler from t0 = {T0} with Δt = {}", LENGTH / STEPS[0] as f64);
    forward(problem, checks)?;
    println!("\n2  The autograd view, L = ‖x3 − y‖²");
    let euler = problem.euler(STEPS[0])?;
    let states = euler.states(&X0);
    jacobians(&euler, &states, checks)?;
    chain(&euler, &states, checks)?;
    parameters(problem, checks)?;
    reconstruction(&euler, &states, checks)?;
    refinement(problem, checks)
}

/// The states, with the right times and with the blog's, and what becomes of both when steps get shorter.
fn forward(problem: &Problem, checks: &mut Checks) -> Result<()> {
    let euler = problem.euler(STEPS[0])?;
    let (right, blog) = (euler.states(&X0), euler.states_by_index(&X0));
    let mut table = Table::new("States", ["n", "t_n = t0 + nΔt", "x_n", "the blog's time", "x_n so"]);
    for (n, (right, blog)) in right.iter().zip(&blog).enumerate() {
        let time = format!("{:.2}", euler.time(n));
        table.row([n.to_string(), time, vector(right), n.to_string(), vector(blog)]);
    }
    table.print();
    let last = &right[euler.steps];
    let loss = squared_distance(last, &Y);
    println!("  ‖x3 − y‖² = {loss:.6}; the mean squared error, as the blog calls it, is {:.6}", loss / Y.len() as f64);

    let fine = TimeGrid::uniform(T0, T0 + LENGTH, 1000)?;
    let x0 = aview1(&X0);
    let exact = reference::solve(Method::Dopri5, &euler.field, &fine, x0.insert_axis(Axis(0)))?;
    let exact: Vec<f64> = exact.iter().copied().collect();
    let title = format!("Error of x_N against x({}) = {} of the ODE", T0 + LENGTH, vector(&exact));
    let mut table = Table::new(title, ["N", "with t_n", "with n"]);
    let mut errors = [0.0; 2];
    for steps in STEPS {
        let euler = problem.euler(steps)?;
        errors = [euler.states(&X0), euler.states_by_index(&X0)].map(|x| distance(&x[steps], &exact));
        table.row([steps.to_string(), small(errors[0]), small(errors[1])]);
    }
    table.print();
    checks.below("x_96 with the right times, error", errors[0], 0.02);
    checks.above("x_96 with the index as time, error", errors[1], 0.1);
    Ok(())
}

fn jacobians(euler: &Euler<'_>, states: &[Vec<f64>], checks: &mut Checks) -> Result<()> {
    let mut table = Table::new("∂x_n/∂x_{n−1}: [2, 2], row by row", ["", "", "error"]);
    for n in 1..=euler.steps {
        let x = &states[n - 1];
        let blog = euler.field_jacobian(n - 1, x);
        let right = identity_plus(&blog);
        let exact = difference_jacobian(x, |x| euler.step(n - 1, x))?;
        let error = |m: &Matrix| relative(&m.concat(), &exact.concat());
        table.row([format!("∂x{n}/∂x{}   blog: Δt f_x", n - 1), matrix(&blog), small(error(&blog))]);
        table.row(["          I + Δt f_x".into(), matrix(&right), small(error(&right))]);
        table.row(["          differences".into(), matrix(&exact), String::new()]);
        checks.matches(format!("∂x{n}/∂x{} = I + Δt f_x", n - 1), error(&right));
        checks.above(format!("∂x{n}/∂x{} without I", n - 1), error(&blog), 0.1);
    }
    table.print();
    Ok(())
}

/// The vectors g, and what the blog's second transpose would make of them.
fn chain(euler: &Euler<'_>, states: &[Vec<f64>], checks: &mut Checks) -> Result<()> {
    let g_last = end_gradient(&states[euler.steps]);
    let right = Chain::new(euler, states, g_last.clone(), identity_plus);
    let blog = Chain::new(euler, states, g_last, Matrix::clone);
    // The first product is right, g3 being a column; from then on g is a row, and is transposed all the same.
    let mut turned = right.g.clone();
    for n in (0..euler.steps - 1).rev() {
        turned[n] = times_column(&identity_plus(&euler.field_jacobian(n, &states[n])), &turned[n + 1]);
    }
    let header = ["", "blog: g Δt f_x", "transposed twice: J gᵀ", "g (I + Δt f_x)", "differences", "error"];
    let mut table = Table::new("g_n = ∂L/∂x_n: [2], a row vector throughout", header);
    for n in (0..=euler.steps).rev() {
        let exact = differences(&states[n], |x| {
            let tail = euler.states_from(n, x);
            Ok(squared_distance(&tail[euler.steps - n], &Y))
        })?;
        let error = relative(&right.g[n], &exact);
        let vectors = [&blog.g[n], &turned[n], &right.g[n], &exact].map(|v| vector(v));
        let [blog, turned_n, right, exact_n] = vectors;
        table.row([format!("g{n}"), blog, turned_n, right, exact_n, small(error)]);
        checks.matches(format!("g{n} = ∂L/∂x{n}"), error);
        if n + 1 < euler.steps {
            checks.above(format!("g{n} transposed twice"), relative(&turned[n], &exact), 1e-2);
        }
    }
    table.print();
    println!("  The blog's \"g2 = g3ᵀJ, g1 = g2ᵀJ\": g3 is a column there, so g2 is a row, and g2ᵀJ does not fit.");
    println!("  In the one order that fits, J acts from the wrong side: \"transposed twice\", with J = I + Δt f_x.");
    Ok(())
}

/// The three terms of dL/dθ, and five ways to put a gradient together from them.
fn parameters(problem: &Problem, checks: &mut Checks) -> Result<()> {
    let euler = problem.euler(STEPS[0])?;
    let states = euler.states(&X0);
    let g_last = end_gradient(&states[euler.steps]);
    let right = Chain::new(&euler, &states, g_last.clone(), identity_plus);
    let blog = Chain::new(&euler, &states, g_last, Matrix::clone);
    let exact = loss_differences(problem, euler.steps)?;
    let (total, blog_total) = (right.total(), blog.total());

    let header =
        ["θ", "g1 Δt f_θ(x0)", "g2 Δt f_θ(x1)", "g3 Δt f_θ(x2)", "sum", "differences", "blog's sum", "blog's g1 term"];
    let mut table = Table::new("dL/dθ = Σ g_n ∂x_n/∂θ with the direct ∂x_n/∂θ = Δt f_θ(x_{n−1}, t_{n−1})", header);
    for (i, name) in problem.names().into_iter().enumerate() {
        let [one, two, three] = [0, 1, 2].map(|n| number(right.terms[n][i]));
        let rest = [total[i], exact[i], blog_total[i], blog.terms[0][i]].map(number);
        let [sum, exact, blog_sum, blog_one] = rest;
        table.row([name, one, two, three, sum, exact, blog_sum, blog_one]);
    }
    table.print();

    let doubled = double_counting(&euler, &states, &right.g);
    let ways = [
        ("blog: Δt f_x, all three terms", &blog_total),
        ("blog: Δt f_x, the one chain that is carried out", &blog.terms[0]),
        ("I + Δt f_x, that one chain", &right.terms[0]),
        ("I + Δt f_x, ∂x_n/∂θ taken as the total derivative", &doubled),
        ("I + Δt f_x, three terms with direct partials", &total),
    ];
    let mut table = Table::new("dL/dθ against differences", ["", "‖dL/dθ‖", "relative error", "cosine"]);
    for (name, found) in ways {
        let error = relative(found, &exact);
        table.row([name.into(), number(norm(found)), small(error), format!("{:+.4}", cosine(found, &exact))]);
        if std::ptr::eq(found, &total) {
            checks.matches("dL/dθ, corrected", error);
        } else {
            checks.above(format!("dL/dθ, {name}"), error, 0.1);
        }
    }
    table.row(["differences".into(), number(norm(&exact)), String::new(), String::new()]);
    table.print();
    library(&euler, &right, &states, checks)
}

/// `Σ g_n dx_n/dθ` with total derivatives, by forward sensitivities: `S_n = (I + Δt f_x) S_{n−1} + Δt f_θ`.
fn double_counting(euler: &Euler<'_>, states: &[Vec<f64>], g: &[Vec<f64>]) -> Vec<f64> {
    let dim = X0.len();
    let mut s: Matrix = vec![vec![0.0; euler.field.parameter_count()]; dim];
    let mut total = vec![0.0; euler.field.parameter_count()];
    for n in 0..euler.steps {
        let jacobian = identity_plus(&euler.field_jacobian(n, &states[n]));
        let row = |i: usize| {
            let mut unit = vec![0.0; dim];
            unit[i] = euler.h;
            plus(&row_times(&jacobian[i], &s), 1.0, &euler.pull_back(n, &states[n], &unit).1)
        };
        s = (0..dim).map(row).collect();
        total = plus(&total, 1.0, &row_times(&g[n + 1], &s));
    }
    total
}

/// The library's f64 twin of Euler: the corrected chain with stored states, the blog's reconstruction with backsolve.
fn library(euler: &Euler<'_>, right: &Chain, states: &[Vec<f64>], checks: &mut Checks) -> Result<()> {
    let grid = TimeGrid::uniform(T0, T0 + LENGTH, euler.steps)?;
    let x0 = aview1(&X0).insert_axis(Axis(0));
    let g_last = right.g[euler.steps].clone();
    let cotangents = aview1(&g_last).insert_axis(Axis(0)).insert_axis(Axis(0));
    let take =
        |adjoint| reference::gradient(Method::Euler, adjoint, &euler.field, &grid, x0, Seed::Cotangents(cotangents));
    let (stored, backsolve) = (take(Adjoint::Stored)?, take(Adjoint::Backsolve)?);
    checks.below("costate's twin, stored, is the corrected chain", relative(&stored.theta, &right.total()), 1e-13);
    let walked = euler.walk_back(&states[euler.steps]);
    let chain = Chain::new(euler, &walked, g_last.clone(), identity_plus);
    let error = relative(&backsolve.theta, &chain.total());
    checks.below("costate's twin, backsolve, is that chain along the blog's x̂", error, 1e-13);
    Ok(())
}

/// `dL/dθ` by central differences.
fn loss_differences(problem: &Problem, steps: usize) -> Result<Vec<f64>> {
    differences(&problem.theta, |theta| {
        let states = problem.euler_with(theta, steps)?.states(&X0);
        Ok(squared_distance(&states[steps], &Y))
    })
}

/// The way back from `x_3`, by the blog's formula and by the inverse of the step.
fn reconstruction(euler: &Euler<'_>, states: &[Vec<f64>], checks: &mut Checks) -> Result<()> {
    let (mut blog, mut exact) = (states[euler.steps].clone(), states[euler.steps].clone());
    let header =
        ["", "as computed", "blog: x_n − Δt f(x_n, t_n)", "error", "inverse", "error", "iterations", "‖Δt f_x‖"];
    let mut table = Table::new("Walking back from x3", header);
    for n in (1..=euler.steps).rev() {
        blog = euler.back(n, &blog);
        let (found, iterations) = euler.inverse(n, &exact)?;
        exact = found;
        let truth = &states[n - 1];
        let slope = norm(&euler.field_jacobian(n - 1, truth).concat());
        let errors = [&blog, &exact].map(|x| distance(x, truth));
        table.row([
            format!("x{}", n - 1),
            vector(truth),
            vector(&blog),
            small(errors[0]),
            vector(&exact),
            small(errors[1]),
            iterations.to_string(),
            format!("{slope:.2}"),
        ]);
        checks.below(format!("x{} by the inverse", n - 1), errors[1], 1e-13);
        checks.above(format!("x{} by the blog's formula", n - 1), errors[0], 1e-3);
    }
    table.print();
    Ok(())
}

/// What happens to the mistakes when steps get shorter: a missing identity gets worse, a wrong inverse gets better.
fn refinement(problem: &Problem, checks: &mut Checks) -> Result<()> {
    let header = ["N", "without I", "cosine", "x̂0 − x0", "with I along x̂", "along the inverse", "with I"];
    let mut table = Table::new("Relative error of dL/dθ, and of the x̂0 it used, for more steps", header);
    for steps in STEPS {
        let euler = problem.euler(steps)?;
        let states = euler.states(&X0);
        let last = &states[steps];
        let exact = loss_differences(problem, steps)?;
        let along = |states: &[Vec<f64>]| Chain::new(&euler, states, end_gradient(last), identity_plus).total();
        let blog = Chain::new(&euler, &states, end_gradient(last), Matrix::clone).total();
        let walked = euler.walk_back(last);
        let drift = distance(&walked[0], &X0);
        let errors = [blog.clone(), along(&walked), along(&euler.walk_inverse(last)?), along(&states)]
            .map(|found| relative(&found, &exact));
        let [without, along_blog, along_inverse, with] = errors.map(small);
        let angle = format!("{:+.4}", cosine(&blog, &exact));
        table.row([steps.to_string(), without, angle, small(drift), along_blog, along_inverse, with]);
        checks.matches(format!("dL/dθ with I, N = {steps}"), errors[3]);
        checks.matches(format!("dL/dθ along the inverse, N = {steps}"), errors[2]);
    }
    table.print();
    Ok(())
}
