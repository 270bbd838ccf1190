//! The same problem in f64, its loss along random directions, and measures of error.

use costate::reference::{self, Field, Scheme, Seed};
use costate::solver::Contraction;
use costate::{Activation, Adjoint, NeuralOde, Parameters, Result};
use ndarray::{Array2, Array3};
use rand::SeedableRng;
use rand_distr::{Distribution, StandardNormal};
use rand_pcg::Pcg64;

/// Random directions per argument of the loss.
const DIRECTIONS: usize = 6;

/// The problem with its values in f64.
pub(super) struct Twin<'a> {
    ode: &'a NeuralOde,
    scheme: Scheme,
    theta: Vec<f64>,
    x0: Array2<f64>,
    targets: Array3<f64>,
}

/// Slopes of the loss with respect to the weights and to the initial states.
pub(super) struct Slopes {
    pub(super) theta: Directions,
    pub(super) x0: Directions,
}

/// Random unit directions and the slope of the loss along each, by finite differences.
pub(super) struct Directions(Vec<(Vec<f64>, f64)>);

impl<'a> Twin<'a> {
    pub(super) fn new(
        ode: &'a NeuralOde,
        contraction: Option<Contraction>,
        theta: &Parameters,
        x0: &Array2<f32>,
        targets: &Array3<f32>,
    ) -> Self {
        let theta = theta.as_slice().iter().map(|v| f64::from(*v)).collect();
        // The numbers of the forward pass are those of the run, whichever way the gradient is found.
        let scheme = Scheme { method: ode.method(), contraction };
        Self { ode, scheme, theta, x0: x0.mapv(f64::from), targets: targets.mapv(f64::from) }
    }

    /// The gradient with an adjoint of choice.
    pub(super) fn gradient(&self, adjoint: Adjoint) -> Result<reference::Gradient> {
        let field = Field::new(self.ode.field(), &self.theta)?;
        let seed = Seed::Targets(self.targets.view());
        reference::gradient(self.scheme, adjoint, &field, self.ode.grid(), self.x0.view(), seed)
    }

    /// Slopes of the loss along random directions.
    pub(super) fn slopes(&self, seed: u64) -> Result<Slopes> {
        // The stream of the initial states starts at the seed itself.
        let mut rng = Pcg64::seed_from_u64(seed ^ 0x5851_f42d_4c95_7f2d);
        let theta = Directions::new(&mut rng, &self.theta, self.differences(), |theta| self.loss(theta, &self.x0))?;
        let x0: Vec<f64> = self.x0.iter().copied().collect();
        let x0 = Directions::new(&mut rng, &x0, self.differences(), |x0| {
            let mut moved = self.x0.clone();
            moved.iter_mut().zip(x0).for_each(|(to, from)| *to = *from);
            self.loss(&self.theta, &moved)
        })?;
        Ok(Slopes { theta, x0 })
    }

    fn loss(&self, theta: &[f64], x0: &Array2<f64>) -> Result<f64> {
        let field = Field::new(self.ode.field(), theta)?;
        let states = reference::solve(self.scheme, &field, self.ode.grid(), x0.view())?;
        let residual = states - &self.targets;
        Ok(residual.iter().map(|r| r * r).sum::<f64>() / residual.len() as f64)
    }

    /// How differences are taken.
    fn differences(&self) -> Differences {
        let kinks = self.ode.field().layers().iter().any(|l| l.activation == Activation::Relu);
        // Rounding over the step and the step's fourth power balance, except where kinks must not be stepped over.
        if kinks {
            Differences { step: 1e-6, tries: 4 * DIRECTIONS }
        } else {
            Differences { step: 1e-4, tries: DIRECTIONS }
        }
    }
}

/// Length of a difference step, and how many directions are tried.
#[derive(Clone, Copy)]
struct Differences {
    step: f64,
    tries: usize,
}

impl Directions {
    /// Four-point central differences of `loss` at `point`.
    ///
    /// Where more directions are tried than needed, those are kept along which the inner and the outer two points agree
    /// best: the others have stepped over a kink and say nothing.
    fn new(
        rng: &mut Pcg64,
        point: &[f64],
        Differences { step, tries }: Differences,
        loss: impl Fn(&[f64]) -> Result<f64>,
    ) -> Result<Self> {
        let mut found = Vec::with_capacity(tries);
        for _ in 0..tries {
            let mut direction: Vec<f64> = point.iter().map(|_| StandardNormal.sample(rng)).collect();
            let norm = direction.iter().map(|v: &f64| v * v).sum::<f64>().sqrt();
            direction.iter_mut().for_each(|v| *v /= norm);
            let along = |h: f64| {
                let moved: Vec<f64> = point.iter().zip(&direction).map(|(p, v)| p + h * v).collect();
                loss(&moved)
            };
            let near = (along(step)? - along(-step)?) / (2.0 * step);
            let far = (along(2.0 * step)? - along(-2.0 * step)?) / (4.0 * step);
            found.push(((near - far).abs(), direction, (4.0 * near - far) / 3.0));
        }
        found.sort_by(|a, b| a.0.total_cmp(&b.0));
        Ok(Self(found.into_iter().take(DIRECTIONS).map(|(_, direction, slope)| (direction, slope)).collect()))
    }

    /// Largest difference between the slopes and those that `gradient` predicts, over the largest slope.
    pub(super) fn mismatch<'a, T: Copy + Into<f64> + 'a>(
        &self,
        gradient: impl IntoIterator<Item = &'a T> + Clone,
    ) -> f64 {
        let pairs = self.0.iter().map(|(direction, slope)| {
            let predicted = gradient.clone().into_iter().zip(direction).map(|(&g, v)| g.into() * v).sum::<f64>();
            ((predicted - slope).abs(), slope.abs())
        });
        let (difference, scale) = pairs.fold((0.0, 0.0), |(d, s), (a, b)| (largest(d, a), largest(s, b)));
        difference / scale
    }
}

/// Relative L2 distance `‖a − b‖ / ‖b‖`.
pub(super) fn relative<'a>(a: impl IntoIterator<Item = &'a f32>, b: impl IntoIterator<Item = &'a f64>) -> f64 {
    let squares = a.into_iter().zip(b).map(|(a, b)| ((f64::from(*a) - b).powi(2), b * b));
    let (difference, norm) = squares.fold((0.0, 0.0), |(d, n), (a, b)| (d + a, n + b));
    (difference / norm).sqrt()
}

/// Largest absolute distance over the largest value of b and of the initial states: states that decay are not asked for
/// digits that a trajectory of that size does not have.
pub(super) fn relative_max(a: &Array3<f32>, b: &Array3<f64>, x0: &Array2<f32>) -> f64 {
    let difference = a.iter().zip(b).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, largest);
    let sizes = b.iter().map(|b| b.abs()).chain(x0.iter().map(|x| f64::from(x.abs())));
    difference / sizes.fold(0.0, largest)
}

/// The larger of two, NaN if either is.
fn largest(a: f64, b: f64) -> f64 {
    if a.is_nan() || a >= b { a } else { b }
}
