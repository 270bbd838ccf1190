//! Throughput of forward solves and gradients, in trajectory-steps per second, uploads and readback included.
//!
//! `cargo bench` measures, `cargo bench -- --test` runs each case once. Numbers from different machines, drivers or days
//! are not comparable; criterion's baselines (`--save-baseline`) compare two builds on one machine.

use costate::{Activation, AdapterRequest, Adjoint, Gpu, Init, Method, Mlp, NeuralOde, Parameters, TimeGrid};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ndarray::{Array2, Array3};

const STEPS: usize = 20;

fn problem(gpu: &Gpu, method: Method, adjoint: Adjoint) -> (NeuralOde, Parameters) {
    let field = Mlp::builder(2).hidden(&[64, 64], Activation::Tanh).build().expect("a valid field");
    let theta = Parameters::init(&field, Init::Xavier, 0).expect("a valid initialiser");
    let grid = TimeGrid::uniform(0.0, 1.0, STEPS).expect("a valid grid");
    let ode = NeuralOde::builder(field, grid).method(method).adjoint(adjoint).build(gpu).expect("a small problem");
    (ode, theta)
}

fn throughput(c: &mut Criterion) {
    let gpu = Gpu::new(&AdapterRequest::default()).expect("benches need an adapter: run `make setup`");
    let ways =
        [(Method::Euler, Adjoint::Backsolve), (Method::Rk4, Adjoint::Stored), (Method::BlanesMoan4, Adjoint::Exact)];
    for (method, adjoint) in ways {
        let (ode, theta) = problem(&gpu, method, adjoint);
        for batch in [256, 4096] {
            let x0 = Array2::from_shape_fn((batch, 2), |(b, c)| ((b * 7 + c * 3) % 11) as f32 / 11.0);
            let targets = Array3::zeros((1, batch, 2));
            let mut group = c.benchmark_group(format!("2-64-64-2 tanh, {method}"));
            group.throughput(Throughput::Elements((batch * STEPS) as u64)).sample_size(10);
            group.bench_with_input(BenchmarkId::new("forward", batch), &batch, |b, _| {
                b.iter(|| ode.solve(&theta, x0.view()).expect("a solve"));
            });
            group.bench_with_input(BenchmarkId::new(format!("gradient, {adjoint}"), batch), &batch, |b, _| {
                b.iter(|| ode.loss_and_gradient(&theta, x0.view(), targets.view()).expect("a gradient"));
            });
            group.finish();
        }
    }
}

criterion_group!(benches, throughput);
criterion_main!(benches);
