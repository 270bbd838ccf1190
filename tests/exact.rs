//! scratch
mod common;
use common::{field, gpu, parameters, random2, random3};
use costate::{Activation, Adjoint, Method, NeuralOde, TimeGrid};

#[test]
fn scratch() {
    let mlp = field(2, &[16], Activation::Tanh, true);
    let theta = parameters(&mlp, 3);
    let grid = TimeGrid::with_steps(0.0, &[0.0, 0.5, 1.0], 2.0, 20).expect("g");
    let x0 = random2(65, 2, 1);
    let y = random3(3, 65, 2, 2);
    let run = |method: Method, adjoint| {
        let ode =
            NeuralOde::builder(mlp.clone(), grid.clone()).method(method).adjoint(adjoint).build(gpu()).expect("b");
        let s = ode.solve(&theta, x0.view()).expect("s");
        let g = ode.loss_and_gradient(&theta, x0.view(), y.view()).expect("g");
        println!(
            "{method} {adjoint}: loss {:?} theta {:?} x0 {:?} rec {:?} spread {:?} x {:?} ev {:?}",
            g.loss,
            &g.theta[..3],
            g.x0.row(64),
            g.reconstruction.map(|r| (r.max_abs, r.words_differing)),
            g.report.copy_difference,
            s.states[[2, 64, 0]],
            g.report.field_evaluations
        );
    };
    run(Method::Rk4, Adjoint::Stored);
    for m in Method::PAIR.into_iter().chain([
        Method::mccallum_foster(Method::Rk4, 0.999).expect("m"),
        Method::mccallum_foster(Method::Midpoint, 1.0).expect("m"),
    ]) {
        for a in m.adjoints() {
            run(m, *a);
        }
    }
}
