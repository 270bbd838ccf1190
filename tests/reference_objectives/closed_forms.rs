//! Exact values and gradients on the linear field `f = A x + b`, by matrix exponentials.
//!
//! With `X = [x; 1]` and `Â = [[A, b], [0, 0]]` a state is `X(t) = e^{Â t} X_0`, and every term of the running cost is a
//! quadratic form `Xᵀ Q X`: `∫ Xᵀ Q X dt = X_0ᵀ G X_0` with `G = F_22ᵀ F_12` from
//! `exp([[−Âᵀ, Q], [0, Â]] T) = [[·, F_12], [0, F_22]]` (Van Loan 1978). Derivatives in a direction E of the parameters are
//! the upper right block of `exp([[M, E], [0, M]])`.

use costate::reference::{Field, Seed, gradient_with_cost, running_cost};
use costate::{Adjoint, Method, Mlp, Reference, RunningCost, TimeGrid};
use ndarray::{Array1, Array2, Array3, Axis, array, concatenate, s};

use super::{assert_close, random};

const DIM: usize = 2;
/// Start, a save time, end.
const T0: f64 = 0.3;
const TM: f64 = 0.8;
const T1: f64 = 1.7;
/// Weights of the running cost.
const KINETIC: f64 = 0.6;
const REFERENCE: f64 = 0.8;
const JACOBIAN: f64 = 0.3;
const PARAMETERS: f64 = 0.05;

/// `e^M` by a Taylor polynomial of the matrix halved until it is small, squared again.
fn expm(m: &Array2<f64>) -> Array2<f64> {
    let norm = m.iter().map(|v| v.abs()).sum::<f64>();
    let halvings = (0..).find(|&k| norm * 0.5_f64.powi(k) < 0.5).expect("the matrix is finite");
    let small = m * 0.5_f64.powi(halvings);
    let one = Array2::eye(m.nrows());
    // Horner: 1 + M (1 + M/2 (1 + M/3 (…))).
    let taylor = (1..=18).rev().fold(one.clone(), |sum, k| &one + small.dot(&sum) / f64::from(k));
    (0..halvings).fold(taylor, |e, _| e.dot(&e))
}

fn blocks(a: &Array2<f64>, b: &Array2<f64>, c: &Array2<f64>, d: &Array2<f64>) -> Array2<f64> {
    let [above, below] = [(a, b), (c, d)].map(|(left, right)| concatenate![Axis(1), *left, *right]);
    concatenate![Axis(0), above, below]
}

/// `e^M` and its derivative in the direction E.
fn expm_along(m: &Array2<f64>, e: &Array2<f64>) -> [Array2<f64>; 2] {
    let n = m.nrows();
    let both = expm(&blocks(m, e, &Array2::zeros((n, n)), m));
    [both.slice(s![..n, ..n]).to_owned(), both.slice(s![..n, n..]).to_owned()]
}

/// The problem: parameters, a start, cotangents at TM and T1, the probe of the Jacobian term.
struct Linear {
    theta: Vec<f64>,
    x0: Vec<f64>,
    at_middle: Vec<f64>,
    at_end: Vec<f64>,
    probe: Vec<f64>,
}

impl Linear {
    /// `Â` of these numbers, `[dim + 1, dim + 1]`.
    fn matrix(theta: &[f64]) -> Array2<f64> {
        let mut matrix = Array2::zeros((DIM + 1, DIM + 1));
        for j in 0..DIM {
            for i in 0..DIM {
                matrix[[j, i]] = theta[j * DIM + i];
            }
            matrix[[j, DIM]] = theta[DIM * DIM + j];
        }
        matrix
    }

    /// `Q` and its derivative in the direction `e` of the parameters.
    fn form(&self, e: &[f64]) -> [Array2<f64>; 2] {
        let (a, da) = (Self::matrix(&self.theta), Self::matrix(e));
        let mut state = Array2::eye(DIM + 1);
        state[[DIM, DIM]] = 0.0;
        let probe = Array1::from_iter(self.probe.iter().copied().chain([0.0]));
        let (tangent, along) = (a.dot(&probe), da.dot(&probe));
        let constant = |jacobian: f64, parameters: f64| {
            let mut corner = Array2::zeros((DIM + 1, DIM + 1));
            corner[[DIM, DIM]] = JACOBIAN * jacobian + PARAMETERS * parameters;
            corner
        };
        let product = |v: &[f64], w: &[f64]| v.iter().zip(w).map(|(v, w)| v * w).sum::<f64>();
        [
            KINETIC * a.t().dot(&a)
                + REFERENCE * state
                + constant(tangent.dot(&tangent), product(&self.theta, &self.theta)),
            KINETIC * (da.t().dot(&a) + a.t().dot(&da))
                + constant(2.0 * tangent.dot(&along), 2.0 * product(&self.theta, e)),
        ]
    }

    fn start(&self) -> Array1<f64> {
        Array1::from_iter(self.x0.iter().copied().chain([1.0]))
    }

    /// The objective, its derivative in the direction `e` of the parameters, the integral of the cost alone and the
    /// gradient with respect to X_0.
    fn solve(&self, e: &[f64]) -> (f64, f64, f64, Array1<f64>) {
        let (a, da, x0) = (Self::matrix(&self.theta), Self::matrix(e), self.start());
        let [q, dq] = self.form(e);
        let n = DIM + 1;
        let length = T1 - T0;
        let van_loan = blocks(&-a.t().to_owned(), &q, &Array2::zeros((n, n)), &a) * length;
        let along = blocks(&-da.t().to_owned(), &dq, &Array2::zeros((n, n)), &da) * length;
        let [f, df] = expm_along(&van_loan, &along);
        let block = |f: &Array2<f64>, row: usize| f.slice(s![row * n..(row + 1) * n, n..]).to_owned();
        let g = block(&f, 1).t().dot(&block(&f, 0));
        let dg = block(&df, 1).t().dot(&block(&f, 0)) + block(&f, 1).t().dot(&block(&df, 0));
        let cost = x0.dot(&g.dot(&x0));
        let (mut value, mut slope, mut x0_bar) = (cost, x0.dot(&dg.dot(&x0)), g.dot(&x0) + g.t().dot(&x0));
        for (t, w) in [(TM, &self.at_middle), (T1, &self.at_end)] {
            let w = Array1::from_iter(w.iter().copied().chain([0.0]));
            let [state, along] = expm_along(&(&a * (t - T0)), &(&da * (t - T0)));
            value += w.dot(&state.dot(&x0));
            slope += w.dot(&along.dot(&x0));
            x0_bar += &state.t().dot(&w);
        }
        (value, slope, cost, x0_bar)
    }

    /// `f` and `L` at time t.
    fn rates(&self, t: f64) -> (Array1<f64>, f64) {
        let a = Self::matrix(&self.theta);
        let x = expm(&(&a * (t - T0))).dot(&self.start());
        (a.dot(&x), x.dot(&self.form(&self.theta)[0].dot(&x)))
    }
}

#[test]
fn the_matrix_exponential_is_one() {
    let turn = expm(&array![[0.0, -3.0], [3.0, 0.0]]);
    let expected = array![[3.0_f64.cos(), -(3.0_f64.sin())], [3.0_f64.sin(), 3.0_f64.cos()]];
    assert!((turn - expected).iter().all(|d| d.abs() < 1e-14), "a rotation by 3");
}

#[test]
fn a_linear_field_has_the_exact_objective_and_gradients() {
    let zeros = Array3::<f32>::zeros((2, 1, DIM));
    let reference = Reference::new(&[T0, T1], zeros.view()).expect("a valid reference");
    let cost = RunningCost::new().kinetic(KINETIC).and_then(|c| c.reference(REFERENCE, reference));
    let cost =
        cost.and_then(|c| c.jacobian(JACOBIAN, 3)).and_then(|c| c.parameters(PARAMETERS)).expect("valid weights");
    let linear = Linear {
        theta: random(DIM * (DIM + 1), 21),
        x0: random(DIM, 22),
        at_middle: random(DIM, 23),
        at_end: random(DIM, 24),
        probe: (0..2).map(|c| cost.probe(0, c)).collect(),
    };
    let mlp = Mlp::builder(DIM).build().expect("the field is valid");
    let field = Field::new(&mlp, &linear.theta).expect("the parameters fit");
    let x0 = Array2::from_shape_vec((1, DIM), linear.x0.clone()).expect("the length fits");
    let seed = [linear.at_middle.clone(), linear.at_end.clone()].concat();
    let seed = Array3::from_shape_vec((2, 1, DIM), seed).expect("the length fits");

    let along = |i: usize| -> Vec<f64> { (0..linear.theta.len()).map(|j| f64::from(u8::from(i == j))).collect() };
    let theta: Vec<f64> = (0..linear.theta.len()).map(|i| linear.solve(&along(i)).1).collect();
    let (value, _, integral, a0) = linear.solve(&along(0));
    let dot = |w: &[f64], f: &Array1<f64>| w.iter().zip(f).map(|(w, f)| w * f).sum::<f64>();
    let ((f0, l0), (f1, l1)) = (linear.rates(T0), linear.rates(T1));
    let (by_t0, by_t1) = (-a0.dot(&f0) - l0, dot(&linear.at_end, &f1) + l1);
    let by_middle = dot(&linear.at_middle, &linear.rates(TM).0);

    let grid = TimeGrid::with_steps(T0, &[TM, T1], T1, 200).expect("a valid grid");
    for (method, adjoint) in [
        (Method::Rk4, Adjoint::Stored),
        (Method::Dopri5, Adjoint::Stored),
        (Method::BlanesMoan4, Adjoint::Exact),
        (Method::Rk4, Adjoint::Continuous),
    ] {
        let found =
            gradient_with_cost(method, adjoint, &field, &grid, x0.view(), Seed::Cotangents(seed.view()), Some(&cost))
                .expect("a valid problem");
        let what = format!("{method}, {adjoint}");
        let total = (&found.states * &seed).sum() + found.cost.as_ref().expect("a cost")[0];
        let times = found.times(&grid);
        let costs = running_cost(method, &field, &grid, x0.view(), &cost).expect("a valid problem");
        let errors: [f64; 4] = [
            assert_close(&format!("{what}: value"), &[total, costs[0]], &[value, integral], 1e-8),
            assert_close(&format!("{what}: theta"), &found.theta, &theta, 1e-8),
            assert_close(&format!("{what}: x0"), super::flat(&found.x0), &a0.to_vec()[..DIM], 1e-8),
            assert_close(
                &format!("{what}: times"),
                &[times.t0, times.saves[0], times.saves[1], times.t1],
                &[by_t0, by_middle, by_t1, by_t1],
                1e-8,
            ),
        ];
        println!("{what}: value, theta, x0, times are off by {}", errors.map(|e| format!("{e:.1e}")).join(", "));
    }
}
