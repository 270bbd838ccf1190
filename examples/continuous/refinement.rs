//! The distance of the continuous from the discrete gradient over the step size.

use costate::{Adjoint, Gpu, Method, TimeGradient};

use crate::Result;
use crate::figure::{Axis, Curve, Figure, Panel, Value};
use crate::output::print;
use crate::problem::Problem;

const METHODS: [Method; 4] = [Method::Euler, Method::Midpoint, Method::Heun, Method::Rk4];
const QUANTITIES: [&str; 3] = ["dJ/dθ", "dJ/dt0", "dJ/dt1"];
/// Steps per unit of time, each twice the one before.
const STEPS: [usize; 6] = [2, 4, 8, 16, 32, 64];
/// How far an observed order may fall short of the method's.
const SHORT: f64 = 0.3;
/// Distances below this are rounding of f64.
const ROUNDING: f64 = 1e-11;
/// What f32 may add to a distance.
const DEVICE_ROUNDING: f64 = 2e-5;

/// What the two gradients differ in, relative to the discrete one.
struct Distances {
    /// One for each of [`QUANTITIES`].
    of: [f64; 3],
    /// `|x̂(t0) − x(t0)|` of the continuous one, the largest component.
    drift: f64,
}

struct Row {
    method: Method,
    per_unit: usize,
    twin: Distances,
    device: Distances,
}

/// The table, row by row.
pub(crate) struct Refinement {
    rows: Vec<Row>,
}

/// Measures and prints.
pub(crate) fn run(problem: &Problem, gpu: &Gpu) -> Result<Refinement> {
    let mut rows = Vec::new();
    for method in METHODS {
        for per_unit in STEPS {
            let grid = Problem::grid(per_unit)?;
            let twin = Distances::new(|adjoint| {
                let gradient = problem.twin(method, adjoint, &grid)?;
                let times = gradient.times(&grid);
                Ok(Found { theta: gradient.theta, times, drift: gradient.reconstruction[0] })
            })?;
            let device = Distances::new(|adjoint| {
                let gradient = problem.device(gpu, method, adjoint, &grid)?;
                let theta = gradient.theta.iter().map(|v| f64::from(*v)).collect();
                let times = gradient.times.ok_or("the device gave no gradient in time")?;
                let drift = gradient.reconstruction.map_or(0.0, |r| f64::from(r.max_abs));
                Ok(Found { theta, times, drift })
            })?;
            rows.push(Row { method, per_unit, twin, device });
        }
    }
    let refinement = Refinement { rows };
    refinement.show();
    Ok(refinement)
}

/// A gradient, by whom it may be.
struct Found {
    theta: Vec<f64>,
    times: TimeGradient,
    drift: f64,
}

impl Distances {
    fn new(gradient: impl Fn(Adjoint) -> Result<Found>) -> Result<Self> {
        let (discrete, continuous) = (gradient(Adjoint::Stored)?, gradient(Adjoint::Continuous)?);
        let of = [
            relative(&continuous.theta, &discrete.theta),
            relative(&[continuous.times.t0], &[discrete.times.t0]),
            relative(&[continuous.times.t1], &[discrete.times.t1]),
        ];
        Ok(Self { of, drift: continuous.drift })
    }
}

/// `‖a − b‖ / ‖b‖`.
fn relative(a: &[f64], b: &[f64]) -> f64 {
    let norm = |v: &mut dyn Iterator<Item = f64>| v.map(|v| v * v).sum::<f64>().sqrt();
    norm(&mut a.iter().zip(b).map(|(a, b)| a - b)) / norm(&mut b.iter().copied())
}

impl Refinement {
    fn of(&self, method: Method) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(move |row| row.method == method)
    }

    /// `log₂` of how much smaller the twin's distance has become since the steps were twice as long; none for the first, and
    /// none among roundings.
    fn order(&self, row: &Row, quantity: usize) -> Option<f64> {
        let before = self.of(row.method).find(|r| 2 * r.per_unit == row.per_unit)?;
        let order = (before.twin.of[quantity] / row.twin.of[quantity]).log2();
        (row.twin.of[quantity] > ROUNDING).then_some(order)
    }

    fn show(&self) {
        let mut header = vec!["method".to_owned(), "h".to_owned()];
        for quantity in QUANTITIES {
            header.extend([format!("{quantity}: f64"), "order".into(), "device".into()]);
        }
        header.push("|x̂(t0) − x(t0)|".into());
        let mut cells = Vec::new();
        for row in &self.rows {
            let mut line = vec![row.method.to_string(), format!("1/{}", row.per_unit)];
            for quantity in 0..QUANTITIES.len() {
                let order = self.order(row, quantity).map_or("–".into(), |order| format!("{order:.2}"));
                line.extend([
                    format!("{:.2e}", row.twin.of[quantity]),
                    order,
                    format!("{:.2e}", row.device.of[quantity]),
                ]);
            }
            line.push(format!("{:.1e}", row.twin.drift));
            cells.push(line);
        }
        print("‖continuous − discrete‖ / ‖discrete‖", &header, &cells);
    }

    /// The last order of dJ/dθ, dJ/dt0 and dJ/dt1 must be that of the method, and the device must follow.
    ///
    /// # Errors
    /// If an order falls short of the method's, or the device is off by more than rounding.
    pub(crate) fn check(&self) -> Result<()> {
        for method in METHODS {
            for (quantity, name) in QUANTITIES.into_iter().enumerate() {
                let found = self.of(method).filter_map(|row| self.order(row, quantity)).last();
                let wanted = f64::from(method.order());
                // Written so that NaN is refused.
                if !found.is_some_and(|found| found >= wanted - SHORT) {
                    return Err(format!("{method}: {name} has order {found:.2?}, not {wanted}").into());
                }
            }
        }
        for row in &self.rows {
            for (quantity, name) in QUANTITIES.into_iter().enumerate() {
                // The device takes dJ/dt0 at the x̂(t0) that it arrives at, the twin at x0.
                let drift = if name == "dJ/dt0" { row.device.drift } else { 0.0 };
                let [device, twin] = [row.device.of[quantity], row.twin.of[quantity]];
                let follows = (device - twin).abs() <= DEVICE_ROUNDING + drift;
                if !follows {
                    let place = format!("{}, h = 1/{}: {name}", row.method, row.per_unit);
                    return Err(format!("{place} is off by {device:.2e} on the device, {twin:.2e} in f64").into());
                }
            }
        }
        println!("\nλ = −a, orders and device: all as they should be");
        Ok(())
    }

    /// dJ/dθ: the twin's lines, the device's marks.
    pub(crate) fn figure(&self) -> Figure {
        // Those that the figure moves aside least, on the steepest line none.
        const MARKS: [usize; METHODS.len()] = [5, 2, 4, 3];
        let point = |row: &Row, distances: &Distances| (1.0 / row.per_unit as f64, Value::At(distances.of[0]));
        let mut curves = Vec::new();
        for (i, method) in METHODS.into_iter().enumerate() {
            let line = self.of(method).map(|row| point(row, &row.twin)).collect();
            curves.push(Curve { mark: None, ..Curve::new(i, "", line) });
            let slope = self.of(method).filter_map(|row| self.order(row, 0)).last().unwrap_or(f64::NAN);
            for (n, row) in self.of(method).enumerate() {
                // One by one, so that no line joins them; the first has the legend of both.
                let label =
                    if n == 0 { format!("{method}: line f64, slope {slope:.2}; marks device, f32") } else { "".into() };
                let mark = Some(MARKS[i]);
                curves.push(Curve { mark, ..Curve::new(i, label, vec![point(row, &row.device)]) });
            }
        }
        Figure {
            title: "dJ/dθ: distance of the continuous adjoint from the discrete one".into(),
            width: 760.0,
            x: Axis::log("step h"),
            y: Axis::log("‖continuous − discrete‖ / ‖discrete‖"),
            panels: vec![Panel { title: String::new(), curves }],
        }
    }
}
