//! Is the norm that kernels leave right for every finite gradient, and does a power of two change nothing but its exponent?
//!
//! Values are uploaded as they are, so that no field is compiled. Blind to what the optimisers make of it
//! (tests/training_limits.rs).

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

use super::{AdapterRequest, Arena, Gpu, execute, read};
use crate::model::{Activation, Mlp};
use crate::plan::{Plan, Slot, Spec, norm, summary};
use crate::solver::{Adjoint, AdjointOptions, Method, TimeGrid};

/// A plan whose gradient is summed in two levels, with its buffers.
struct Device {
    plan: Plan,
    arena: Arena,
    count: usize,
}

impl Device {
    fn new() -> Self {
        let gpu = Gpu::new(&AdapterRequest::default()).expect("these tests need a Vulkan adapter: run `make setup`");
        let field = Mlp::builder(2).hidden(&[200, 100], Activation::Tanh).build().expect("a valid field");
        let count = field.parameter_count();
        assert!(count > 64 * 256, "more than a run of runs: {count}");
        let grid = TimeGrid::with_steps(0.0, &[1.0], 1.0, 1).expect("a grid");
        let options = AdjointOptions::default();
        let spec = Spec::gradient(field, Method::Euler, grid, Adjoint::Stored, options, 1);
        let plan = Plan::new(spec, gpu.caps()).expect("a small plan");
        let arena = Arena::for_plan(&gpu, &plan).expect("small buffers");
        Self { plan, arena, count }
    }

    /// Exponent and sum.
    fn pair(&mut self, values: &[f32]) -> [f32; 2] {
        self.arena.upload(Slot::Gradient, values).expect("as many values");
        let count = u32::try_from(self.count).expect("a small field");
        let program = self.plan.norm(Slot::Gradient, count, summary::NORM).expect("a small plan");
        execute(&mut self.arena, &self.plan, &[&program]).expect("a device");
        let found: Vec<f32> = read(&self.arena, Slot::Summary, summary::LEN as u64).expect("a device");
        [found[summary::NORM as usize], found[summary::NORM as usize + 1]]
    }
}

#[test]
fn a_norm_neither_overflows_nor_underflows() {
    let mut device = Device::new();
    let mut rng = Pcg64::seed_from_u64(1);
    let uniform: Vec<f32> = (0..device.count).map(|_| rng.random_range(-1.0..1.0)).collect();
    // From 2^-60 to 2^60 in one gradient, the large ones in some runs only.
    let size = |i: usize| match i {
        _ if i % 3000 < 20 => 2.0_f32.powi(60),
        _ if i % 2 == 1 => 2.0_f32.powi(-60),
        _ => 1.0,
    };
    let wide: Vec<f32> = uniform.iter().enumerate().map(|(i, v)| v * size(i)).collect();
    // Every run counts, each with another exponent.
    let near = |i: usize| [1.0, 2.0, 4.0, 8.0, 16.0][i / 256 % 5];
    let steps: Vec<f32> = uniform.iter().enumerate().map(|(i, v)| v * near(i)).collect();
    let mut single = vec![0.0; device.count];
    single[device.count - 1] = -3.0;
    for (case, values) in [("uniform", &uniform), ("steps", &steps), ("wide", &wide), ("single", &single)] {
        let pair = device.pair(values);
        let want = values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
        let error = (norm(pair) / want - 1.0).abs();
        // 64 + 6 + 256 additions of squares, one after the other at most.
        assert!(error < 326.0 * f64::from(f32::EPSILON), "{case}: {:e} instead of {want:e}", norm(pair));
        for power in [-60, 60, 66] {
            let scaled: Vec<f32> = values.iter().map(|v| v * 2.0_f32.powi(power)).collect();
            // What would leave the normal numbers is no scaled gradient.
            if scaled.iter().zip(values).all(|(s, v)| *v == 0.0 || s.is_normal()) {
                let expected = [pair[0] + power as f32, pair[1]];
                assert_eq!(device.pair(&scaled), expected, "{case}, scaled by 2^{power}");
            }
        }
    }
    let largest = vec![f32::MAX; device.count];
    let want = f64::from(f32::MAX) * (device.count as f64).sqrt();
    assert!((norm(device.pair(&largest)) / want - 1.0).abs() < 1e-4, "the norm of the largest gradient is beyond f32");
    let least = vec![f32::MIN_POSITIVE; device.count];
    let want = f64::from(f32::MIN_POSITIVE) * (device.count as f64).sqrt();
    assert!((norm(device.pair(&least)) / want - 1.0).abs() < 1e-4, "the least");
    assert_eq!(norm(device.pair(&vec![0.0; device.count])), 0.0, "of zeros");
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for at in [0, 700, device.count - 1] {
            let mut values = uniform.clone();
            values[at] = bad;
            assert!(norm(device.pair(&values)).is_nan(), "{bad} at {at}");
        }
    }
}
