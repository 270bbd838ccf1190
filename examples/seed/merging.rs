//! Where uniqueness does not help: a field that forgets where a trajectory came from. On the device.
//!
//! `f = −tanh(s (x − ½))`, nearly `−sign(x − ½)`: from either side a trajectory comes at unit speed to ½ and stays. With
//! the sign itself all of them merge. With a finite slope none do: the field is Lipschitz with constant s, solutions are
//! unique, and those that have been near ½ for a time τ are still e^{−sτ} apart. In floats that is soon nothing.

use costate::reference::{self, Field, Scheme};
use costate::{
    Activation, AdapterRequest, Adjoint, AdjointOptions, Gpu, Gradient, Method, Mlp, NeuralOde, Parameters,
    RECONSTRUCTION_TOLERANCE, TimeGrid,
};
use ndarray::{Array2, Array3};

use crate::Result;
use crate::linear::relative;
use crate::table::{Checks, Table, small};

/// Where the field switches its direction. Not 0: close to 0 floats keep any distance, however small.
const SWITCH: f32 = 0.5;
const T: f64 = 4.0;
const STEPS: usize = 200;
/// s of the table of trajectories: a step times the Lipschitz constant is 0.2.
const SLOPE: f32 = 10.0;
/// s of the last table.
const SLOPES: [f32; 7] = [1.0, 2.0, 4.0, 8.0, 10.0, 16.0, 32.0];
const X0: [f32; 8] = [-1.5, -1.0, -0.5, 0.0, 1.0, 1.5, 2.0, 2.5];

/// A way to the gradient.
type Way = (Method, Adjoint);
const BACKSOLVE: Way = (Method::Rk4, Adjoint::Backsolve);
const CHECKPOINTED: Way = (Method::Rk4, Adjoint::Checkpointed);
const EXACT: Way = (Method::BlanesMoan4, Adjoint::Exact);

/// `f = −tanh(slope (x − ½))`, a network with one hidden unit.
fn switching(slope: f32) -> Result<Parameters> {
    let field = Mlp::builder(1).hidden(&[1], Activation::Tanh).build()?;
    // W1, b1, W2, b2.
    Ok(Parameters::from_flat(&field, vec![slope, -slope * SWITCH, -1.0, 0.0])?)
}

/// `[batch, dim]`
fn initial() -> Array2<f32> {
    Array2::from_shape_fn((X0.len(), 1), |(b, _)| X0[b])
}

/// The loss is the mean of x² at T/10, where the trajectories are still apart, and at T.
fn grid() -> Result<TimeGrid> {
    let boundaries = (0..=STEPS).map(|n| T * n as f64 / STEPS as f64).collect();
    Ok(TimeGrid::from_boundaries(boundaries, vec![STEPS / 10, STEPS])?)
}

fn gradient(gpu: &Gpu, theta: &Parameters, (method, adjoint): Way) -> Result<Gradient> {
    let ode = NeuralOde::builder(theta.field().clone(), grid()?).method(method).adjoint(adjoint).build(gpu)?;
    let targets = Array3::zeros((2, X0.len(), 1));
    Ok(ode.loss_and_gradient(theta, initial().view(), targets.view())?)
}

/// The same scheme in f64; backsolve walks back there too if asked.
fn twin(theta: &Parameters, (method, taken): Way, adjoint: Adjoint) -> Result<reference::Gradient> {
    let values = wide(theta.as_slice());
    let field = Field::new(theta.field(), &values)?;
    let contraction = AdjointOptions::default().contraction(method, taken, STEPS);
    let targets = Array3::zeros((2, X0.len(), 1));
    let seed = reference::Seed::Targets(targets.view());
    let x0 = initial().mapv(f64::from);
    Ok(reference::gradient(Scheme { method, contraction }, adjoint, &field, &grid()?, x0.view(), seed)?)
}

/// Relative errors of dJ/dθ and dJ/dx0 against the twin with stored states.
fn errors(found: &Gradient, theta: &Parameters, way: Way) -> Result<[f64; 2]> {
    let exact = twin(theta, way, Adjoint::Stored)?;
    let of_x0: Vec<f64> = exact.x0.iter().copied().collect();
    Ok([relative(&wide(&found.theta), &exact.theta), relative(&wide(&found.x0), &of_x0)])
}

fn wide<'a>(values: impl IntoIterator<Item = &'a f32>) -> Vec<f64> {
    values.into_iter().map(|v| f64::from(*v)).collect()
}

/// Largest |x̂(t0) − x(t0)|; none if the states were kept.
fn drift(gradient: &Gradient) -> Option<f64> {
    gradient.reconstruction.as_ref().map(|r| f64::from(r.max_abs))
}

fn words_differing(gradient: &Gradient) -> Option<u64> {
    gradient.reconstruction.as_ref().and_then(|r| r.words_differing)
}

pub(crate) fn run(checks: &mut Checks) -> Result<()> {
    let gpu = Gpu::new(&AdapterRequest::default())?;
    println!("\n4  A field that forgets, dx/dt = −tanh(s (x − {SWITCH})), T = {T}, {STEPS} steps");
    println!("   On the device: {}. rk4 in f32, blanes_moan4 in fixed point.", gpu.adapter());
    let theta = switching(SLOPE)?;
    let taken = [BACKSOLVE, CHECKPOINTED, EXACT].map(|way| gradient(&gpu, &theta, way).map(|g| (way, g)));
    let taken = taken.into_iter().collect::<Result<Vec<_>>>()?;
    trajectories(&gpu, &theta, &taken, checks)?;
    ways(&theta, &taken, checks)?;
    slopes(&gpu, checks)?;
    folding(checks)
}

/// Where trajectories end, and where walking back from there leads.
fn trajectories(gpu: &Gpu, theta: &Parameters, taken: &[(Way, Gradient)], checks: &mut Checks) -> Result<()> {
    let forward = |method| -> Result<Vec<f32>> {
        let ode = NeuralOde::builder(theta.field().clone(), TimeGrid::uniform(0.0, T, STEPS)?).method(method);
        Ok(ode.build(gpu)?.solve(theta, initial().view())?.states.into_raw_vec_and_offset().0)
    };
    let (rk4, kicks) = (forward(Method::Rk4)?, forward(Method::BlanesMoan4)?);
    // What the backsolve adjoint does on its way: the same steps from x(T), with −Δt.
    let back = NeuralOde::builder(theta.field().clone(), TimeGrid::uniform(T, 0.0, STEPS)?).method(Method::Rk4);
    let ends = Array2::from_shape_fn((X0.len(), 1), |(b, _)| rk4[b]);
    let found = back.build(gpu)?.solve(theta, ends.view())?.states;
    let certified = taken.first().and_then(|(_, g)| g.reconstruction.as_ref()).map(|r| r.per_trajectory.clone());
    let certified = certified.ok_or("backsolve gave no certificate")?;

    let header = ["x(0)", "x(T), rk4", "x̂(0) from it", "|x̂(0) − x(0)|", "certificate", "x(T), blanes_moan4"];
    let mut table =
        Table::new(format!("s = {SLOPE}: eight beginnings, and what backsolve makes of their ends"), header);
    let mut disagreement = 0.0_f64;
    for (b, (x0, x_hat)) in X0.iter().zip(&found).enumerate() {
        let distance = (x_hat - x0).abs();
        disagreement = disagreement.max(f64::from((distance - certified[b]).abs()));
        let numbers = [distance, certified[b]].map(|v| format!("{v:.6}"));
        let [distance, certificate] = numbers;
        let ends = [rk4[b], kicks[b]].map(|x| format!("{x:.9}"));
        let [rk4_end, kicks_end] = ends;
        table.row([format!("{x0:+.1}"), rk4_end, format!("{x_hat:.9}"), distance, certificate, kicks_end]);
    }
    table.print();
    checks.below("certificate of backsolve against a solve from x(T) to 0", disagreement, 1e-5);
    Ok(())
}

fn ways(theta: &Parameters, taken: &[(Way, Gradient)], checks: &mut Checks) -> Result<()> {
    let header = ["", "drift", "words differing", "error of dJ/dθ", "error of dJ/dx0"];
    let mut table = Table::new(format!("s = {SLOPE}: gradients against the f64 twin with stored states"), header);
    for (way, gradient) in taken {
        let found = errors(gradient, theta, *way)?;
        let name = format!("{} {}", way.0, way.1);
        let drift = drift(gradient);
        table.row([
            name.clone(),
            drift.map_or("stored".into(), small),
            words_differing(gradient).map_or("–".into(), |words| words.to_string()),
            small(found[0]),
            small(found[1]),
        ]);
        if *way == BACKSOLVE {
            let tolerance = f64::from(RECONSTRUCTION_TOLERANCE);
            checks.above("drift of backsolve, s = 10", drift.unwrap_or(f64::NAN), tolerance);
            checks.above("warnings of backsolve, s = 10", gradient.report.warnings.len() as f64, 1.0);
            checks.above("dJ/dx0 of backsolve, s = 10", found[1], 0.1);
        } else {
            checks.below(format!("dJ/dθ of {name}, s = 10"), found[0], 2e-5);
            checks.below(format!("dJ/dx0 of {name}, s = 10"), found[1], 2e-5);
        }
    }
    table.print();
    for ((method, adjoint), gradient) in taken {
        for warning in &gradient.report.warnings {
            println!("  {method} {adjoint} warns: {warning}");
        }
    }
    Ok(())
}

/// The steeper, the less is left of x(0).
fn slopes(gpu: &Gpu, checks: &mut Checks) -> Result<()> {
    let header = ["s", "sΔt", "e^{sT}", "drift", "in f64", "dJ/dx0", "words", "apart", "dJ/dx0"];
    let title =
        "Backsolve: its drift in f32 and f64, and its error of dJ/dx0. Exact: words differing, copies apart, the error";
    let mut table = Table::new(title, header);
    let mut warnings = Vec::new();
    for slope in SLOPES {
        let theta = switching(slope)?;
        let (walked, exact) = (gradient(gpu, &theta, BACKSOLVE)?, gradient(gpu, &theta, EXACT)?);
        let wide = twin(&theta, BACKSOLVE, Adjoint::Backsolve)?.reconstruction.into_iter().fold(0.0, f64::max);
        let words = words_differing(&exact).ok_or("the exact adjoint gave no certificate")?;
        let [walked_error, exact_error] = [errors(&walked, &theta, BACKSOLVE)?[1], errors(&exact, &theta, EXACT)?[1]];
        let steepness = f64::from(slope);
        table.row([
            slope.to_string(),
            format!("{:.2}", steepness * T / STEPS as f64),
            small((steepness * T).exp()),
            drift(&walked).map_or("–".into(), small),
            small(wide),
            small(walked_error),
            words.to_string(),
            exact.report.copy_difference.map_or("–".into(), |d| small(d.into())),
            small(exact_error),
        ]);
        checks.below(format!("words that differ after the exact walk, s = {slope}"), words as f64, 0.0);
        warnings.extend(exact.report.warnings.iter().map(|w| format!("s = {slope}, exact, warns: {w}")));
    }
    table.print();
    warnings.iter().for_each(|warning| println!("  {warning}"));
    Ok(())
}

/// A unique solution of the ODE is no inverse of Euler's map: with Δt times the Lipschitz constant above 1 it folds.
fn folding(checks: &mut Checks) -> Result<()> {
    const H: f64 = 0.2;
    let theta = switching(SLOPE)?;
    let values = wide(theta.as_slice());
    let field = Field::new(theta.field(), &values)?;
    let switch = f64::from(SWITCH);
    // The distance u > 0 from ½ that one step undoes: u = Δt tanh(s u), by fixed-point iteration from above.
    let u = (0..200).fold(H, |u, _| -H * field.eval(&[switch + u], 0.0)[0]);
    let title = format!("One step of Euler with Δt = {H}, s = {SLOPE}, sΔt = {}, in f64", H * f64::from(SLOPE));
    let mut table = Table::new(title, ["x_n", "x_{n+1}", "∂x_{n+1}/∂x_n"]);
    for x in [switch - u, switch, switch + u] {
        let next = x + H * field.eval(&[x], 0.0)[0];
        let (x_bar, _) = field.vjp(&[x], 0.0, &[H], &mut vec![0.0; values.len()]);
        table.row([format!("{x:.9}"), format!("{next:.9}"), format!("{:+.3}", 1.0 + x_bar[0])]);
        checks.below(format!("Euler's map takes {x:.3} to {switch}"), (next - switch).abs(), 1e-13);
    }
    table.print();
    checks.above("distance of states that Euler's map joins", u, 0.1);
    Ok(())
}
