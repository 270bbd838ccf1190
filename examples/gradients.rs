//! Four ways to the same gradient: storing every state, some of them, walking back with one state in memory, and walking
//! back bit for bit.
//!
//! `cargo run --release --example gradients`
//!
//! On a mild field both agree to f32 rounding. On a field that contracts, stepping backward amplifies every rounding:
//! the reconstruction of x(t0) drifts away, and the certificate says so before anyone trusts the gradient. Kicks in fixed
//! point come back to their own bits on any field, in the memory of a single state.

use costate::{Activation, AdapterRequest, Adjoint, Gpu, Init, Method, Mlp, NeuralOde, Parameters, TimeGrid};
use ndarray::{Array2, Array3};

fn main() -> Result<(), costate::Error> {
    let gpu = Gpu::new(&AdapterRequest::default())?;
    println!("adapter: {}", gpu.adapter());
    let field = Mlp::builder(2).hidden(&[16], Activation::Tanh).build()?;
    let mild = Parameters::init(&field, Init::Xavier, 1)?;
    let x0 = Array2::from_shape_fn((64, 2), |(b, c)| ((b * 5 + c) % 13) as f32 / 6.5 - 1.0);
    let targets = Array3::zeros((1, 64, 2));

    // f = 1 − 4 tanh(x / 2): every trajectory contracts towards the fixed point x = 0.51 at a rate of about 2.
    let mut contracting = Parameters::from_flat(&field, vec![0.0; field.parameter_count()])?;
    let (first, last) = (field.layers()[0], field.layers()[1]);
    for c in 0..2 {
        contracting.as_mut_slice()[first.weight + c * first.n_in + c] = 0.5;
        contracting.as_mut_slice()[last.weight + c * last.n_in + c] = -4.0;
        contracting.as_mut_slice()[last.bias + c] = 1.0;
    }

    let ways = [
        (Method::Rk4, Adjoint::Stored, 200),
        (Method::Rk4, Adjoint::Checkpointed, 200),
        (Method::Rk4, Adjoint::Backsolve, 200),
        // As many evaluations of the field.
        (Method::BlanesMoan4, Adjoint::Exact, 67),
    ];
    let head = ["field", "method", "adjoint", "loss", "|dJ/dx0|", "|x̂(t0) − x(t0)|"];
    println!("{:<12} {:<13} {:<13} {:>12} {:>16} {:>16}", head[0], head[1], head[2], head[3], head[4], head[5]);
    for (name, theta) in [("mild", &mild), ("contracting", &contracting)] {
        for (method, adjoint, steps) in ways {
            let grid = TimeGrid::uniform(0.0, 8.0, steps)?;
            let ode = NeuralOde::builder(field.clone(), grid).method(method).adjoint(adjoint).build(&gpu)?;
            let gradient = ode.loss_and_gradient(theta, x0.view(), targets.view())?;
            let norm = gradient.x0.iter().map(|g| g * g).sum::<f32>().sqrt();
            let loss = gradient.loss.unwrap_or(f32::NAN);
            let drift = gradient.reconstruction.map_or("stored".to_owned(), |r| format!("{:.1e}", r.max_abs));
            println!("{name:<12} {:<13} {:<13} {loss:>12.4e} {norm:>16.6e} {drift:>16}", method.name(), adjoint.name());
        }
    }
    Ok(())
}
