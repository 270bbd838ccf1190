//! Where uniqueness does not help: a field that forgets where a trajectory came from. On the device.
//!
//! `f = −tanh(s (x − ½))`, nearly `−sign(x − ½)`: from either side a trajectory comes at unit speed to ½ and stays. With
//! the sign itself all of them merge, and no field of finite slope does that: it is Lipschitz with constant s, solutions
//! are unique, and after the time T they are e^{−sT} apart. That is zero in floats.

use costate::reference::{self, Field, Seed};
use costate::{
    Activation, AdapterRequest, Adjoint, Gpu, Gradient, Method, Mlp, NeuralOde, Parameters, RECONSTRUCTION_TOLERANCE,
    TimeGrid,
};
use ndarray::{Array2, Array3, aview1};

use crate::Result;
use crate::linear::relative;
use crate::table::{Checks, Table, number, small};

/// Where the field switches its direction. Not 0: near 0 floats keep any distance, however small.
const SWITCH: f32 = 0.5;
const T: f64 = 4.0;
const STEPS: usize = 200;
/// s of the table of trajectories: a step times the slope is 0.2.
const SLOPE: f32 = 10.0;
const SLOPES: [f32; 5] = [1.0, 2.0, 4.0, 8.0, 16.0];
const X0: [f32; 8] = [-1.5, -1.0, -0.5, 0.0, 1.0, 1.5, 2.0, 2.5];
/// The loss looks at T/10 too, where the trajectories are still apart.
const EARLY: usize = STEPS / 10;

/// `f = −tanh(slope (x − ½))`, a network with one hidden unit.
fn switching(slope: f32) -> Result<Parameters> {
    let field = Mlp::builder(1).hidden(&[1], Activation::Tanh).build()?;
    // W1, b1, W2, b2.
    Ok(Parameters::from_flat(&field, vec![slope, -slope * SWITCH, -1.0, 0.0])?)
}

fn initial() -> Array2<f32> {
    aview1(&X0).into_shape_with_order((X0.len(), 1)).map_or_else(|_| Array2::zeros((0, 1)), |x0| x0.to_owned())
}

pub(crate) fn run(checks: &mut Checks) -> Result<()> {
    let gpu = Gpu::new(&AdapterRequest::default())?;
    println!("\n4  A field that forgets, dx/dt = −tanh(s (x − {SWITCH})), T = {T}, {STEPS} steps");
    println!("   on the device, in f32 or fixed point: {}", gpu.adapter());
    let theta = switching(SLOPE)?;
    let [backsolve, checkpointed, exact] = [
        (Method::Rk4, Adjoint::Backsolve),
        (Method::Rk4, Adjoint::Checkpointed),
        (Method::BlanesMoan4, Adjoint::Exact),
    ]
    .map(|(method, adjoint)| Way { method, adjoint });
    println!("{theta:?} {backsolve:?} {checkpointed:?} {exact:?}");
    Ok(())
}
