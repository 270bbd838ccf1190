//! What kernels cost, estimated from shapes alone: the time that compiling takes against the time of the passes.
//!
//! Measured on lavapipe (Mesa 22.3.6, LLVM 15, 2 cores); a device like it is faster or slower at both. `costate bench
//! --tune` measures instead.

use super::spec::Spec;

/// Entries, steps or updates, that compiling must pay for: a short training. Not those of the problem at hand: kernels, and
/// with them memory and the last bits, do not change with the number of steps.
const ENTRIES: f64 = 20_000.0;
/// Operations per second of kernels that load weights one by one.
const PLAIN: f64 = 18e9;
/// The same of those that load them in pairs.
const PAIRS: f64 = 45e9;
/// Seconds that compiling takes longer with pairs: the text of an activation is there for twice as many trajectories. With one
/// stage it takes no longer: nothing is evaluated that is not pulled back through as well.
const LONGER: f64 = 1.5;
/// From this width on it takes no longer: most of the text is that of the products, which have fewer loads.
const WIDE: usize = 48;
/// Evaluations that a gradient's way there and back amounts to, for one going forward alone. A solve counts as one too: it
/// takes the kernels of the gradient.
const GRADIENT: f64 = 4.0;

/// Floating-point operations of a gradient through one entry.
fn operations(spec: &Spec) -> f64 {
    let evaluations = spec.method.tableau().stages() as f64 * spec.batch as f64;
    GRADIENT * spec.field.flops() as f64 * evaluations
}

/// True if kernels that load weights in pairs earn what they cost to compile.
pub(super) fn pairs_pay(spec: &Spec) -> bool {
    let saved = operations(spec) * (1.0 / PLAIN - 1.0 / PAIRS) * ENTRIES;
    spec.method.tableau().stages() == 1 || spec.field.max_width() >= WIDE || saved > LONGER
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Activation, Mlp};
    use crate::solver::{Adjoint, AdjointOptions, Method, TimeGrid};

    #[test]
    fn small_work_is_not_worth_a_long_compile() {
        let pays = |method: Method, width: usize, batch: usize| {
            let field = Mlp::builder(2).hidden(&[width, width], Activation::Tanh).build().expect("a valid field");
            let grid = TimeGrid::uniform(0.0, 1.0, 10).expect("a valid grid");
            pairs_pay(&Spec::gradient(field, method, grid, Adjoint::Stored, AdjointOptions::default(), batch))
        };
        assert!(!pays(Method::Rk4, 8, 64), "a small test");
        assert!(pays(Method::Rk4, 8, 65_536), "a narrow field, but much work");
        assert!(pays(Method::Rk4, 64, 1), "a wide field compiles as fast");
        assert!(pays(Method::BlanesMoan4, 8, 1), "so does a kick");
    }
}
