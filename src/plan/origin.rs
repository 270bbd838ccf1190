//! The time that kernels count from.
//!
//! Times far from zero have few digits left in f32 for the steps: at 1.7e9 seconds two neighbours are two minutes apart. So
//! the kernels see `t − t0` only. What a field with a time input makes of t0 itself is the same for every evaluation: it goes
//! into the biases of layer 0 where the weights are packed, `b + w t0`, summed without a rounding in between
//! (shaders/pack_weights.wgsl). In dJ/dθ the column of the time then lacks t0 times that of the bias, which is added at the end.

use super::buffers::Slot;
use super::call::{PackCall, ShiftCall};
use super::fold::fold;
use super::kernel::Kernel;
use super::program::Program;
use super::solve::Plan;
use super::word;
use crate::error::Result;
use crate::model::Activation;
use crate::solver::TimeGrid;

/// A time as the sum of two f32: t0, to 2⁻⁴⁹ of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Origin {
    pub high: f32,
    pub low: f32,
}

impl Origin {
    #[expect(clippy::cast_possible_truncation, reason = "what is cut off is the other part")]
    pub(crate) fn of(grid: &TimeGrid) -> Self {
        let high = grid.t0() as f32;
        Self { high, low: (grid.t0() - f64::from(high)) as f32 }
    }

    /// A time as the kernels have it, rounded once.
    #[expect(clippy::cast_possible_truncation, reason = "host f64 becomes device f32")]
    pub(crate) fn since(self, t: f64) -> f32 {
        (t - (f64::from(self.high) + f64::from(self.low))) as f32
    }
}

impl Plan {
    /// Parameters into the kernels' layout.
    pub(crate) fn pack(&self) -> Result<Program> {
        let mut program = Program::default();
        let count = self.shape.layout.packed as u64;
        let mut call = PackCall { count: word(count, "packed weights")?, ..PackCall::default() };
        if let Some(ShiftCall { units, inputs, first_bias, high, low }) = self.shift()? {
            let periodic = u32::from(self.spec.field.layers()[0].activation == Activation::Sin);
            call = PackCall { units, inputs, first_bias, high, low, periodic, ..call };
        }
        let bindings = vec![Slot::Theta.into(), Slot::PackTable.into(), Slot::Weights.into()];
        program.dispatch(Kernel::PackWeights, bindings, fold(count, 64, &self.caps)?, &call, count);
        Ok(program)
    }

    /// What t0 adds to the gradient of the weights of the time.
    pub(super) fn shift_gradient(&self, program: &mut Program) -> Result<()> {
        if let Some(call) = self.shift()? {
            let groups = fold(call.units.into(), 64, &self.caps)?;
            program.dispatch(Kernel::TimeColumn, vec![Slot::Gradient.into()], groups, &call, call.units.into());
        }
        Ok(())
    }

    /// Where the time enters layer 0, if it does and is not counted from zero.
    fn shift(&self) -> Result<Option<ShiftCall>> {
        let Origin { high, low } = Origin::of(&self.spec.grid);
        let layer = self.spec.field.layers()[0];
        if !self.spec.field.time_input() || high == 0.0 {
            return Ok(None);
        }
        Ok(Some(ShiftCall {
            units: word(layer.n_out as u64, "units")?,
            inputs: word(layer.n_in as u64, "inputs")?,
            first_bias: word(layer.bias as u64, "parameters")?,
            high,
            low,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_keep_their_digits_wherever_they_start() {
        for t0 in [0.0, 0.1, -7.3, 1e4 + 0.1, 1e7, 1.7e9 + 0.123, -1.7e9] {
            let grid = TimeGrid::uniform(t0, t0 + 100.0, 1000).expect("a valid grid");
            let origin = Origin::of(&grid);
            for (n, t) in grid.times().iter().enumerate() {
                let found = f64::from(origin.since(*t)) + (f64::from(origin.high) + f64::from(origin.low));
                // What f64 has left of the time, and f32 of what has passed since t0.
                let slack = 2.0 * f64::EPSILON * t.abs() + 6e-8 * 0.1 * n as f64;
                assert!((found - t).abs() <= slack, "{found} and {t}");
            }
        }
    }
}
