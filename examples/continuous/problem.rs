//! The objective: a running cost along one trajectory of a small field, and three observations of it.
//!
//! `J = ∫ L dt + Σ_k ℓ(x(t_k))` with `L = c_f ‖f‖² + c_x ‖x − x_ref(t)‖²` and ℓ the mean squared error; the last observation
//! is that at t1, the `F(x(T))` of the derivations.

use costate::reference::{self, AdjointPath, Field, Seed, adjoint_path, gradient_with_cost};
use costate::{
    Activation, Adjoint, Gpu, Gradient, Init, Method, Mlp, NeuralOde, Parameters, Reference, RunningCost, TimeGrid, Wrt,
};
use ndarray::{Array2, Array3, ArrayView3, Axis, array};

use crate::Result;

/// The trajectory is observed here, the last time being t1; t0 is 0.
pub(crate) const LOOKS: [f64; 3] = [1.0, 2.0, 3.0];
/// `c_f` and `c_x`; numbers that f32 holds exactly, so that twin and device solve one problem. So do all others here.
const KINETIC: f64 = 0.0625;
const TRACKING: f64 = 0.25;

pub(crate) struct Problem {
    mlp: Mlp,
    theta: Parameters,
    /// θ in f64.
    values: Vec<f64>,
    cost: RunningCost,
    x_ref: Reference,
    x0: Array2<f32>,
    /// `[time, batch, dim]`.
    targets: Array3<f32>,
}

impl Problem {
    pub(crate) fn new() -> Result<Self> {
        let mlp = Mlp::builder(2).hidden(&[16], Activation::Tanh).time_input(true).build()?;
        let mut theta = Parameters::init(&mlp, Init::Torch, 5)?;
        // Slopes of about one.
        theta.as_mut_slice()[mlp.layers()[1].weight..].iter_mut().for_each(|v| *v *= 4.0);
        let values = theta.as_slice().iter().map(|v| f64::from(*v)).collect();
        // One cubic: a knot within a step would be less smooth than order 4 wants.
        let ends = array![[[0.5, 0.0]], [[-0.5, 0.5]]];
        let slopes = array![[[0.25, 1.0]], [[-0.5, -0.75]]];
        let x_ref = Reference::with_slopes(&[0.0, LOOKS[2]], ends.view(), slopes.view())?;
        let cost = RunningCost::new().kinetic(KINETIC)?.reference(TRACKING, x_ref.clone())?;
        let x0 = array![[0.875, -0.5]];
        let targets = array![[[-0.75, 0.75]], [[0.5, -1.0]], [[-0.5, 0.25]]];
        Ok(Self { mlp, theta, values, cost, x_ref, x0, targets })
    }

    pub(crate) fn summary(&self) -> String {
        let parameters = self.values.len();
        format!("{}, {parameters} parameters, L = {KINETIC} ‖f‖² + {TRACKING} ‖x − x_ref‖²", self.mlp.summary())
    }

    pub(crate) fn field(&self) -> Result<Field<'_>> {
        Ok(Field::new(&self.mlp, &self.values)?)
    }

    pub(crate) fn x0(&self) -> Vec<f64> {
        self.x0.iter().map(|v| f64::from(*v)).collect()
    }

    /// Steps of `1 / per_unit`, observations at step boundaries.
    pub(crate) fn grid(per_unit: usize) -> Result<TimeGrid> {
        Ok(TimeGrid::with_steps(0.0, &LOOKS, LOOKS[2], per_unit)?)
    }

    /// `∂ℓ/∂x` at look k.
    pub(crate) fn look_gradient(&self, k: usize, x: &[f64]) -> Vec<f64> {
        let targets = self.targets.index_axis(Axis(0), k);
        x.iter().zip(&targets).map(|(x, y)| 2.0 * (x - f64::from(*y)) / self.targets.len() as f64).collect()
    }

    /// `L(x, t)`.
    pub(crate) fn running(&self, x: &[f64], t: f64) -> Result<f64> {
        let square = |v: &[f64]| v.iter().map(|v| v * v).sum::<f64>();
        Ok(KINETIC * square(&self.field()?.eval(x, t)) + TRACKING * square(&self.off_reference(x, t)))
    }

    /// `(∂L/∂x: [dim], ∂L/∂θ: [parameters])` at `(x, t)`.
    pub(crate) fn running_gradient(&self, x: &[f64], t: f64) -> Result<(Vec<f64>, Vec<f64>)> {
        let field = self.field()?;
        let by_f: Vec<f64> = field.eval(x, t).iter().map(|f| 2.0 * KINETIC * f).collect();
        let mut by_theta = vec![0.0; field.parameter_count()];
        let (mut by_x, _) = field.vjp(x, t, &by_f, &mut by_theta);
        by_x.iter_mut().zip(self.off_reference(x, t)).for_each(|(g, off)| *g += 2.0 * TRACKING * off);
        Ok((by_x, by_theta))
    }

    fn off_reference(&self, x: &[f64], t: f64) -> Vec<f64> {
        x.iter().enumerate().map(|(c, x)| x - self.x_ref.at(0, c, t).0).collect()
    }

    /// The gradient in f64.
    pub(crate) fn twin(&self, method: Method, adjoint: Adjoint, grid: &TimeGrid) -> Result<reference::Gradient> {
        self.with_seed(|x0, seed| {
            Ok(gradient_with_cost(method, adjoint, &self.field()?, grid, x0.view(), seed, Some(&self.cost))?)
        })
    }

    /// `a(t)` in f64.
    pub(crate) fn twin_path(&self, method: Method, adjoint: Adjoint, grid: &TimeGrid) -> Result<AdjointPath> {
        self.with_seed(|x0, seed| {
            Ok(adjoint_path(method, adjoint, &self.field()?, grid, x0.view(), seed, Some(&self.cost))?)
        })
    }

    fn with_seed<T>(&self, run: impl FnOnce(Array2<f64>, Seed<'_>) -> Result<T>) -> Result<T> {
        let targets = self.targets.mapv(f64::from);
        let targets: ArrayView3<'_, f64> = targets.view();
        run(self.x0.mapv(f64::from), Seed::Targets(targets))
    }

    /// The gradient on the device.
    pub(crate) fn device(&self, gpu: &Gpu, method: Method, adjoint: Adjoint, grid: &TimeGrid) -> Result<Gradient> {
        let ode = NeuralOde::builder(self.mlp.clone(), grid.clone())
            .method(method)
            .adjoint(adjoint)
            .running_cost(self.cost.clone())
            .gradients(Wrt { t0: true, t1: true, ..Wrt::default() })
            // Euler in coarse steps drifts, which is the point.
            .reconstruction_tolerance(f32::INFINITY)
            .build(gpu)?;
        Ok(ode.loss_and_gradient(&self.theta, self.x0.view(), self.targets.view())?)
    }
}
