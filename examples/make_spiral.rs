//! Writes the spiral that torchdiffeq's demo made known: dy/dt = y³ A, y(0) = [2, 0], 1000 points on [0, 25].
//!
//! `cargo run --example make_spiral -- examples/data/spiral.npz`

use std::path::Path;

use costate::io::Series;
use ndarray::Array3;

/// `y³ A` with the cube taken per component and `A = [[-0.1, 2], [-2, -0.1]]`.
fn field([x, y]: [f64; 2]) -> [f64; 2] {
    let (x, y) = (x.powi(3), y.powi(3));
    [-0.1 * x - 2.0 * y, 2.0 * x - 0.1 * y]
}

/// One step of classic RK4 in f64.
fn step(y: [f64; 2], h: f64) -> [f64; 2] {
    let shifted = |k: [f64; 2], s: f64| [y[0] + s * k[0], y[1] + s * k[1]];
    let k1 = field(y);
    let k2 = field(shifted(k1, 0.5 * h));
    let k3 = field(shifted(k2, 0.5 * h));
    let k4 = field(shifted(k3, h));
    std::array::from_fn(|i| y[i] + h / 6.0 * (k1[i] + 2.0 * k2[i] + 2.0 * k3[i] + k4[i]))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("name the file to write, for instance spiral.npz")?;
    const POINTS: usize = 1000;
    // 200 steps between points: the error of RK4 is then far below f32.
    const SUBSTEPS: usize = 200;
    let spacing = 25.0 / (POINTS - 1) as f64;
    let mut y = [2.0, 0.0];
    let mut values = Vec::with_capacity(2 * POINTS);
    for _ in 0..POINTS {
        values.extend(y);
        for _ in 0..SUBSTEPS {
            y = step(y, spacing / SUBSTEPS as f64);
        }
    }
    let times = (0..POINTS).map(|i| spacing * i as f64).collect();
    let values = Array3::from_shape_vec((1, POINTS, 2), values)?;
    Series::new(times, values, vec!["x".into(), "y".into()]).write_npz(Path::new(&path))?;
    println!("{POINTS} points written to {path}");
    Ok(())
}
