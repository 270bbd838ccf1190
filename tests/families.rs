//! Do the kernel families compute the same, and does a tile keep its trajectories apart?
//!
//! Tiles share work between the trajectories of a workgroup, so the cases stand at the edges of what is cut: units of a
//! block, rows of units, trajectories of a tile, inputs of a vector. Every case is held against the f64 twin, a few against
//! the lane family and the build with checks. Blind to races that this device does not show (lavapipe runs the
//! invocations of a workgroup in turn between two barriers) and to speed.

mod common;

use common::{checked_gpu, field, gpu, parameters, random2, random3, relative, relative_max, twin_gradient};
use costate::{
    Activation, Adjoint, Caps, DeviceKind, Error, Family, Gpu, Gradient, KernelOptions, Method, Mlp, NeuralOde,
    Parameters, TimeGrid, TrajectoryStatus,
};
use ndarray::{Array2, Array3, s};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// Unit roundoff of f32.
const U: f64 = 6e-8;
/// As in tests/kernels.rs: three times √n u for the widest sum, here n = 256, and twice that for gradients.
const STATE: f64 = 50.0 * U;
const GRADIENT: f64 = 2.0 * STATE;

const LANE: KernelOptions = KernelOptions { family: Some(Family::Lane), trajectories: None, workgroup: None };
const TILE: KernelOptions = KernelOptions { family: Some(Family::Tile), trajectories: None, workgroup: None };

fn tile_of(trajectories: u32, workgroup: u32) -> KernelOptions {
    KernelOptions { trajectories: Some(trajectories), workgroup: Some(workgroup), ..TILE }
}

fn grid() -> TimeGrid {
    TimeGrid::from_boundaries(vec![0.0, 0.1, 0.3], vec![1, 2]).expect("a valid grid")
}

fn problem(gpu: &Gpu, mlp: &Mlp, (method, adjoint): (Method, Adjoint), kernels: KernelOptions) -> NeuralOde {
    let builder = NeuralOde::builder(mlp.clone(), grid()).method(method).adjoint(adjoint).kernels(kernels);
    builder.build(gpu).expect("a field that fits the device")
}

/// Initial states and targets of a batch.
fn data(mlp: &Mlp, batch: usize) -> (Array2<f32>, Array3<f32>) {
    (random2(batch, mlp.dim(), 11), random3(2, batch, mlp.dim(), 12))
}

/// Distances of states, dJ/dθ and dJ/dx0.
fn distances(states: &Array3<f32>, gradient: &Gradient, want: [&[f64]; 3]) -> [f64; 3] {
    [relative_max(states, want[0]), relative(&gradient.theta, want[1]), relative_max(&gradient.x0, want[2])]
}

fn values<'a>(values: impl IntoIterator<Item = &'a f32>) -> Vec<f64> {
    values.into_iter().map(|v| f64::from(*v)).collect()
}

/// Solves and differentiates with tiles, and compares with the twin.
fn compare(gpu: &Gpu, mlp: &Mlp, way: (Method, Adjoint), batch: usize, tile: KernelOptions) {
    compare_with(gpu, mlp, way, batch, tile, false);
}

/// The same, and with the lane family, whose kernels take lavapipe long to compile.
fn compare_with(gpu: &Gpu, mlp: &Mlp, way: (Method, Adjoint), batch: usize, tile: KernelOptions, lanes: bool) {
    let case = format!("{}, batch {batch}, {} {}, {tile:?}", mlp.summary(), way.0, way.1);
    let theta = parameters(mlp, 5);
    let (x0, targets) = data(mlp, batch);
    let run = |kernels| {
        let ode = problem(gpu, mlp, way, kernels);
        let gradient = ode.loss_and_gradient(&theta, x0.view(), targets.view()).expect(&case);
        (ode.solve(&theta, x0.view()).expect(&case).states, gradient)
    };
    let (states, gradient) = run(tile);
    let twin = twin_gradient(way.0, way.1, &theta, &grid(), &x0, Some(&targets), None);
    let want: [Vec<f64>; 3] =
        [twin.states.iter().copied().collect(), twin.theta.to_vec(), twin.x0.iter().copied().collect()];
    let lane = lanes.then(|| run(LANE)).map(|(states, lane)| [values(&states), values(&lane.theta), values(&lane.x0)]);
    for (name, want) in [("twin", Some(&want)), ("lane", lane.as_ref())] {
        let Some(want) = want else { continue };
        let errors = distances(&states, &gradient, [&want[0], &want[1], &want[2]]);
        println!("{case}: from the {name} {errors:?}");
        let fine = errors[0] < STATE && errors[1..].iter().all(|e| *e < GRADIENT);
        assert!(fine, "{case}: states, dJ/dθ, dJ/dx0 differ from the {name} by {errors:?}");
    }
}

/// Widths around rows of four and blocks of eight, odd state dimensions with and without time, every depth, both adjoints
/// that kernels know, batches around the tile.
#[test]
fn tiles_match_the_twin_and_the_lanes() {
    use Activation::{Relu, Silu, Tanh};
    let ways = [
        (Method::Euler, Adjoint::Stored),
        (Method::Rk4, Adjoint::Backsolve),
        (Method::Euler, Adjoint::Checkpointed),
        (Method::Euler, Adjoint::Backsolve),
    ];
    for (i, (mlp, batch, tile, lanes)) in [
        (field(1, &[], Tanh, true), 9, tile_of(8, 32), true),
        (field(1, &[1], Tanh, false), 1, tile_of(4, 32), true),
        (field(4, &[3], Tanh, false), 65, TILE, false),
        (field(5, &[33], Silu, true), 33, tile_of(32, 32), true),
        (field(2, &[64], Tanh, false), 31, tile_of(32, 64), false),
        (field(3, &[6, 9, 5], Relu, true), 17, tile_of(16, 16), false),
        (field(10, &[20], Tanh, true), 15, tile_of(16, 16), false),
        (field(3, &[100], Tanh, false), 15, tile_of(16, 32), false),
    ]
    .into_iter()
    .enumerate()
    {
        compare_with(gpu(), &mlp, ways[i % 4], batch, tile, lanes);
    }
}

/// More units than a workgroup has blocks for, and sums that stay in memory.
#[test]
fn wide_tiles_match() {
    for (mlp, way, batch, tile, lanes) in [
        (field(2, &[130], Activation::Tanh, false), (Method::Euler, Adjoint::Backsolve), 17, TILE, false),
        (field(2, &[256], Activation::Tanh, false), (Method::Euler, Adjoint::Stored), 5, tile_of(8, 32), false),
        (field(34, &[1], Activation::Tanh, true), (Method::Euler, Adjoint::Stored), 5, tile_of(4, 32), false),
        // The first has its sums in registers, the second in memory.
        (without_biases(&[6]), (Method::Euler, Adjoint::Backsolve), 9, tile_of(8, 32), false),
        (without_biases(&[130]), (Method::Euler, Adjoint::Stored), 5, TILE, false),
    ] {
        compare_with(gpu(), &mlp, way, batch, tile, lanes);
    }
}

fn without_biases(hidden: &[usize]) -> Mlp {
    Mlp::builder(2).hidden(hidden, Activation::Tanh).bias(false).build().expect("a valid field")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, failure_persistence: None, rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

    #[test]
    fn any_small_field_matches(
        dim in 1_usize..6, widths in proptest::collection::vec(1_usize..20, 1..3),
        activation in prop::sample::select(Activation::ALL.to_vec()), time: bool, end: bool, euler: bool,
        backsolve: bool, size in 0_usize..4, off in 0_usize..3,
    ) {
        let output = if end { activation } else { Activation::Identity };
        let mlp = Mlp::builder(dim).hidden(&widths, activation).output_activation(output).time_input(time).build();
        let mlp = mlp.expect("a valid field");
        let method = if euler { Method::Euler } else { Method::Heun };
        let adjoint = if backsolve { Adjoint::Backsolve } else { Adjoint::Stored };
        let trajectories = [4, 8, 16, 32][size];
        // One less than a tile, a tile, one more.
        compare(gpu(), &mlp, (method, adjoint), trajectories as usize + off - 1, tile_of(trajectories, 32));
    }
}

fn bits<'a>(values: impl IntoIterator<Item = &'a f32>) -> Vec<u32> {
    values.into_iter().map(|v| v.to_bits()).collect()
}

/// The field of the remaining tests: sums in registers, two layers with slopes of their own.
fn small_field() -> Mlp {
    field(3, &[9, 6], Activation::Silu, true)
}

const WAY: (Method, Adjoint) = (Method::Heun, Adjoint::Backsolve);

#[test]
fn checked_and_trusted_tiles_agree() {
    let fields = [(small_field(), tile_of(8, 32)), (field(2, &[130], Activation::Tanh, false), TILE)];
    for ((mlp, tile), way) in fields.into_iter().zip([WAY, (Method::Euler, Adjoint::Backsolve)]) {
        let theta = parameters(&mlp, 4);
        let (x0, targets) = data(&mlp, 17);
        let run = |gpu| {
            let ode = problem(gpu, &mlp, way, tile);
            let gradient = ode.loss_and_gradient(&theta, x0.view(), targets.view()).expect("a gradient");
            (ode.solve(&theta, x0.view()).expect("a solve").states, gradient)
        };
        let ((states, trusted), (checked_states, checked)) = (run(gpu()), run(checked_gpu()));
        let want = [values(&checked_states), values(&checked.theta), values(&checked.x0)];
        let errors = distances(&states, &trusted, [&want[0], &want[1], &want[2]]);
        assert!(errors.iter().all(|e| *e < STATE), "{}: trusted and checked differ by {errors:?}", mlp.summary());
    }
}

#[test]
fn a_second_run_gives_the_same_bits() {
    let mlp = small_field();
    let theta = parameters(&mlp, 4);
    let (x0, targets) = data(&mlp, 100);
    for tile in [tile_of(8, 32), tile_of(32, 64)] {
        let ode = problem(gpu(), &mlp, WAY, tile);
        let run = |ode: &NeuralOde| {
            let gradient = ode.loss_and_gradient(&theta, x0.view(), targets.view()).expect("a gradient");
            (bits(&gradient.theta), bits(&gradient.x0), bits(&ode.solve(&theta, x0.view()).expect("a solve").states))
        };
        let first = run(&ode);
        assert!(first == run(&ode), "{tile:?}: a second run differs");
        assert!(first == run(&problem(gpu(), &mlp, WAY, tile)), "{tile:?}: a run in new buffers differs");
    }
}

#[test]
fn a_trajectory_has_the_same_bits_anywhere() {
    let mlp = small_field();
    let theta = parameters(&mlp, 4);
    let (x0, cotangents) = data(&mlp, 70);
    let ode = problem(gpu(), &mlp, WAY, tile_of(8, 32));
    let states = ode.solve(&theta, x0.view()).expect("a solve").states;
    let gradient = ode.vjp(&theta, x0.view(), cotangents.view()).expect("a vjp").x0;
    for b in [0, 1, 3, 4, 7, 8, 9, 63, 64, 69] {
        let one = x0.slice(s![b..=b, ..]);
        let own = ode.solve(&theta, one).expect("a solve of one").states;
        assert_eq!(bits(&own), bits(states.slice(s![.., b, ..])), "states of trajectory {b}");
        let own = ode.vjp(&theta, one, cotangents.slice(s![.., b..=b, ..])).expect("a vjp of one").x0;
        assert_eq!(bits(&own), bits(gradient.row(b)), "dJ/dx0 of trajectory {b}");
    }
}

/// A field that grows without bound beyond a threshold: trajectories that begin there leave the finite numbers.
fn unstable() -> Parameters {
    let mlp = field(2, &[6, 5], Activation::Relu, false);
    let theta = parameters(&mlp, 8);
    let grown = theta.as_slice().iter().map(|v| 20.0 * v).collect();
    Parameters::from_flat(&mlp, grown).expect("finite parameters")
}

/// The middle of a tile fails, once on the way there and once, with a huge cotangent, on the way back. Its neighbours and
/// dJ/dθ have the bits of a batch in which a trajectory without cotangent stands in its place.
#[test]
fn a_trajectory_that_fails_changes_nothing_else() {
    let theta = unstable();
    let mlp = theta.field().clone();
    for adjoint in [Adjoint::Stored, Adjoint::Backsolve] {
        let ode = problem(gpu(), &mlp, (Method::Euler, adjoint), tile_of(8, 32));
        let (x0, cotangents) = (random2(20, 2, 1).mapv(|v| 1e-3 * v), random3(2, 20, 2, 2));
        let mut quiet = cotangents.clone();
        quiet.slice_mut(s![.., 11, ..]).fill(0.0);
        let mut wild = x0.clone();
        wild.row_mut(11).fill(3e38);
        let want = ode.vjp(&theta, x0.view(), quiet.view()).expect("a vjp");
        let there = ode.vjp(&theta, wild.view(), cotangents.view()).expect("a vjp with a failure on the way there");
        let mut huge = cotangents.clone();
        huge.slice_mut(s![1, 11, ..]).fill(f32::MAX);
        let back = ode.vjp(&theta, x0.view(), huge.view()).expect("a vjp with a failure on the way back");
        for (case, got) in [("there", &there), ("back", &back)] {
            let failed: Vec<usize> = (0..20).filter(|b| got.report.status[*b] != TrajectoryStatus::Ok).collect();
            assert_eq!(failed, [11], "{adjoint}, on the way {case}: failed trajectories");
            for b in (0..20).filter(|b| *b != 11) {
                assert_eq!(bits(want.x0.row(b)), bits(got.x0.row(b)), "{adjoint}, on the way {case}: trajectory {b}");
            }
            assert_eq!(bits(&want.theta), bits(&got.theta), "{adjoint}, on the way {case}: dJ/dθ");
        }
    }
}

/// Less workgroup memory makes smaller tiles; none at all is an error that names the limit, unless the plan may choose.
#[test]
fn workgroup_memory_bounds_the_tile() {
    let mlp = field(2, &[33], Activation::Tanh, false);
    let with = |bytes: u32| Caps { workgroup_memory: bytes, ..gpu().caps().clone() };
    compare(&gpu().restricted(&with(2 << 10)), &mlp, (Method::Euler, Adjoint::Stored), 9, TILE);
    let none = gpu().restricted(&Caps { kind: DeviceKind::Gpu, ..with(512) });
    let build = |kernels| NeuralOde::builder(mlp.clone(), grid()).method(Method::Euler).kernels(kernels).build(&none);
    let error = build(TILE).expect_err("512 bytes are too little for a tile");
    assert!(matches!(error, Error::LimitExceeded { .. }), "not a limit: {error}");
    let text = error.to_string();
    assert!(text.contains("workgroup memory") && text.contains("lane"), "no limit or remedy in: {text}");
    build(KernelOptions::default()).expect("the lane family needs no workgroup memory");
}
