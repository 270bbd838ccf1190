//! Is the memory that a call takes on the host what its plan says?
//!
//! Looks at the largest resident size of this process, as Linux counts it, around one call after the other; so there is one
//! test only. Blind to what is reserved but never touched, and to systems without `/proc`.

#![cfg(target_os = "linux")]

mod common;

use common::{field, gpu, parameters, random2};
use costate::{Activation, Adjoint, Caps, DeviceKind, HostPlan, Method, NeuralOde, TimeGrid};
use ndarray::Array3;

const BATCH: usize = 1 << 16;
const SAVES: usize = 200;
/// The plan may be off by so much: it counts from above what is there one after the other.
const FACTOR: f64 = 1.7;
/// The driver keeps memory of its own between calls, which is in one plan and not in another.
const SLACK: f64 = 48.0 * 1024.0 * 1024.0;

/// A number of bytes in `/proc/self/status`.
fn status(name: &str) -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").expect("a file of Linux");
    let line = text.lines().find(|l| l.starts_with(name)).expect("a line of Linux");
    1024.0 * line.split_whitespace().nth(1).and_then(|n| n.parse::<f64>().ok()).expect("a number")
}

/// Bytes that the process takes at most while it does the work, beside those that it has before.
fn peak(work: impl FnOnce()) -> f64 {
    // Forgets the largest size so far.
    std::fs::write("/proc/self/clear_refs", "5").expect("a process may reset its own counters");
    let before = status("VmRSS");
    work();
    status("VmHWM") - before
}

fn hold(what: &str, plan: &HostPlan, measured: f64) {
    let planned = plan.added_bytes() as f64;
    println!("{what}: planned {planned:.3e}, measured {measured:.3e}");
    assert!(measured < planned + SLACK, "{what}: {measured:.3e} bytes where at most {planned:.3e} are planned");
    assert!(planned < FACTOR * measured + SLACK, "{what}: {planned:.3e} bytes are planned for {measured:.3e}");
}

#[test]
fn a_call_takes_what_its_plan_says() {
    let mlp = field(2, &[4], Activation::Tanh, false);
    let theta = parameters(&mlp, 1);
    let saves: Vec<f64> = (1..=SAVES).map(|i| i as f64 * 0.01).collect();
    let grid = TimeGrid::with_steps(0.0, &saves, 2.0, 1).expect("a valid grid");
    let problem = || {
        let builder = NeuralOde::builder(mlp.clone(), grid.clone()).method(Method::Euler).adjoint(Adjoint::Stored);
        builder.build(gpu()).expect("a problem that fits")
    };
    let x0 = random2(BATCH, 2, 1);
    let states = (SAVES * BATCH * 2 * 4) as f64;
    let ode = problem();
    let plan = ode.solve_host_plan(BATCH).expect("a plan");
    let device = if gpu().caps().kind == DeviceKind::Cpu { 2.0 } else { 1.0 };
    assert!(plan.added_bytes() as f64 > device * states, "states on the host, and on a device that is the host");
    let took = peak(|| drop(ode.solve(&theta, x0.view()).expect("a solve")));
    hold("solve", &plan, took);
    drop(ode);

    let ode = problem();
    let plan = ode.host_plan(BATCH).expect("a plan");
    let targets = Array3::<f32>::zeros((SAVES, BATCH, 2));
    let took = peak(|| drop(ode.loss_and_gradient(&theta, x0.view(), targets.view()).expect("a gradient")));
    hold("gradient", &plan, took);
    let on_gpu = gpu().restricted(&Caps::gpu("a GPU"));
    let elsewhere = NeuralOde::builder(mlp, grid).method(Method::Euler).adjoint(Adjoint::Stored).build(&on_gpu);
    let elsewhere = elsewhere.expect("a problem that fits").host_plan(BATCH).expect("a plan");
    assert!(elsewhere.entries().iter().all(|(name, _)| *name != "device"), "buffers are elsewhere: {elsewhere}");
}
