//! What a pass leaves on the device, as the caller gets it.

use ndarray::{Array2, Array3};

use super::arrays::from_device;
use super::outcome::{Cost, Gradient, Reconstruction, Report, TrajectoryStatus};
use super::session::{Seed, Session};
use crate::error::{Error, Result};
use crate::gpu::read;
use crate::plan::{Arithmetic, Slot, TIME_PARTS, summary};
use crate::solver::TimeGradient;

impl Session {
    /// Reads what is wanted of a gradient.
    pub(super) fn collect(&self, seed: &Seed<'_>, theta_squares: f64, report: Report) -> Result<Gradient> {
        let shape = &self.plan.shape;
        let wrt = self.plan.spec.wrt;
        if report.ok() == 0 {
            let first = report.status[0];
            return Err(Error::NonFinite {
                what: "every trajectory".into(),
                detail: format!("trajectory 0 ended as {first:?}"),
            });
        }
        let summary: Vec<f32> = read(&self.arena, Slot::Summary, summary::LEN as u64)?;
        let loss = matches!(seed, Seed::Targets(_)).then_some(summary[summary::LOSS]);
        let parameters = shape.parameters as usize;
        // Those of the loss lie behind those of the field.
        let wanted = if wrt.loss {
            shape.parameters + shape.loss_parameters
        } else if wrt.theta {
            shape.parameters
        } else {
            0
        };
        let mut theta: Vec<f32> =
            if wanted > 0 { read(&self.arena, Slot::Gradient, wanted.into())? } else { Vec::new() };
        let log_scale = theta.split_off(parameters.min(theta.len()));
        if !wrt.theta {
            theta.clear();
        }
        let bad = theta.iter().position(|g| !g.is_finite()).map(|i| format!("dJ/dθ[{i}] = {}", theta[i]));
        if let Some(detail) = bad.or_else(|| loss.filter(|l| !l.is_finite()).map(|l| format!("loss = {l}"))) {
            return Err(Error::NonFinite { what: "the gradient".into(), detail });
        }
        let summed = matches!(seed, Seed::Cotangents(_));
        let cost = self.cost(&report, theta_squares, summed)?;
        let x0 = if wrt.x0 { self.initial_adjoint()? } else { Array2::zeros((0, self.plan.spec.field.dim())) };
        let times = if wrt.times() { Some(self.time_gradient(&report, theta_squares, summed)?) } else { None };
        let targets = if wrt.targets { Some(self.at_saves(self.plan.seen())?.mapv(|c| 0.0 - c)) } else { None };
        let reconstruction = self.reconstruction(&summary, &report)?;
        Ok(Gradient {
            loss,
            cost,
            theta,
            x0,
            times,
            targets,
            log_scale: wrt.loss.then_some(log_scale),
            reconstruction,
            report,
        })
    }

    /// Running costs, if there are any: their mean over the trajectories that went well, or their sum.
    pub(super) fn cost(&self, report: &Report, theta_squares: f64, summed: bool) -> Result<Option<Cost>> {
        let Some(cost) = &self.plan.spec.cost else { return Ok(None) };
        let grid = &self.plan.spec.grid;
        let same = cost.parameters_weight() * theta_squares * (grid.t1() - grid.t0());
        let stride = self.plan.shape.stride as usize;
        let measures: Vec<f32> = read(&self.arena, Slot::Measures, 2 * u64::from(self.plan.shape.stride))?;
        let paid = measures[stride..].iter().zip(&report.status);
        let per_trajectory: Vec<f64> = paid
            .map(|(paid, status)| if *status == TrajectoryStatus::Ok { f64::from(*paid) + same } else { f64::NAN })
            .collect();
        // A cost that is not finite is that of a failed trajectory.
        let sum: f64 = per_trajectory.iter().filter(|c| !c.is_nan()).sum();
        let total = if summed { sum } else { sum / report.ok().max(1) as f64 };
        Ok(Some(Cost { total, per_trajectory }))
    }

    /// dJ/dx0.
    fn initial_adjoint(&self) -> Result<Array2<f32>> {
        let shape = &self.plan.shape;
        let mut adjoint: Vec<f32> = read(&self.arena, Slot::Adjoint, shape.adjoint_values())?;
        // Both copies of a pair start from x0; a single state is followed by what its sum has rounded away.
        #[expect(clippy::cast_possible_truncation, reason = "a length of memory")]
        let (of_y, of_z) = adjoint.split_at_mut(shape.state_values() as usize);
        of_y.iter_mut().zip(of_z).for_each(|(y, z)| *y += *z);
        let (batch, dim) = (self.batch(), self.plan.spec.field.dim());
        let rows = from_device(&adjoint, shape.stride, batch, dim);
        Array2::from_shape_vec((batch, dim), rows).map_err(|e| internal(&e))
    }

    /// Gradient with respect to the times of the grid, over the trajectories that went well.
    fn time_gradient(&self, report: &Report, theta_squares: f64, summed: bool) -> Result<TimeGradient> {
        let (shape, spec) = (&self.plan.shape, &self.plan.spec);
        let grid = &spec.grid;
        let stride = shape.stride as usize;
        let sum = |row: &[f32]| -> f64 {
            let well = row.iter().zip(&report.status).filter(|(_, s)| **s == TrajectoryStatus::Ok);
            well.map(|(v, _)| f64::from(*v)).sum()
        };
        let values: Vec<f32> = read(&self.arena, Slot::Adjoint, shape.adjoint_values() + shape.adjoint_extra())?;
        #[expect(clippy::cast_possible_truncation, reason = "a length of memory")]
        let rows = &values[shape.adjoint_values() as usize + stride..];
        let mut boundaries = vec![0.0; grid.steps() + 1];
        for (segment, sums) in rows.chunks(2 * stride).enumerate() {
            let from = segment.checked_sub(1).map_or(0, |s| grid.saves()[s]);
            let to = grid.saves().get(segment).copied().unwrap_or(grid.steps());
            let [ends, all] = [sum(&sums[..stride]), sum(&sums[stride..])];
            boundaries[to] += ends;
            boundaries[from] += all - ends;
        }
        let mut outputs = vec![0.0; grid.outputs().len()];
        if grid.is_dense() {
            let parts = TIME_PARTS as u64 * u64::from(shape.observations * shape.stride);
            let values: Vec<f32> = read(&self.arena, Slot::DenseTimes, parts)?;
            for (m, (output, rows)) in grid.outputs().iter().zip(values.chunks(TIME_PARTS * stride)).enumerate() {
                let mut parts = rows.chunks(stride).map(sum);
                let mut next = || parts.next().unwrap_or(0.0);
                let [by_place, by_length, by_start, by_end] = [next(), next(), next(), next()];
                let h = grid.times()[output.step + 1] - grid.times()[output.step];
                outputs[m] = by_place / h;
                boundaries[output.step] += by_place * (output.u - 1.0) / h - by_length + by_start;
                boundaries[output.step + 1] += by_length - by_place * output.u / h + by_end;
            }
        }
        if let Some(cost) = &spec.cost {
            let count = if summed { report.ok() as f64 } else { 1.0 };
            let rate = count * cost.parameters_weight() * theta_squares;
            boundaries[0] -= rate;
            boundaries[grid.steps()] += rate;
        }
        Ok(grid.time_gradient(&boundaries, &outputs))
    }

    /// What a buffer over save times holds, `[time, batch, dim]`.
    pub(super) fn at_saves(&self, slot: Slot) -> Result<Array3<f32>> {
        let shape = &self.plan.shape;
        let (batch, dim) = (self.batch(), self.plan.spec.field.dim());
        let values: Vec<f32> = read(&self.arena, slot, u64::from(shape.observations) * shape.state_values())?;
        let states = values.chunks(dim * shape.stride as usize);
        let rows: Vec<f32> = states.flat_map(|state| from_device(state, shape.stride, batch, dim)).collect();
        Array3::from_shape_vec([shape.observations as usize, batch, dim], rows).map_err(|e| internal(&e))
    }

    /// The certificate, if the adjoint reconstructs and was asked to go back.
    fn reconstruction(&self, summary: &[f32], report: &Report) -> Result<Option<Reconstruction>> {
        let spec = &self.plan.spec;
        if !spec.wrt.reverses() || spec.adjoint.is_none_or(|a| a.keeps_states()) {
            return Ok(None);
        }
        let per_trajectory: Vec<f32> = read(&self.arena, Slot::Drift, self.batch() as u64)?;
        #[expect(clippy::cast_precision_loss, reason = "a count in a mean that is reported")]
        let mean_abs = summary[summary::DRIFT as usize + 1] / report.ok() as f32;
        let well = per_trajectory.iter().zip(&report.status).filter(|(_, s)| **s == TrajectoryStatus::Ok);
        Ok(Some(Reconstruction {
            // Infinite if one of them is, which the sums on the device leave out.
            max_abs: well.fold(0.0, |m: f32, (d, _)| m.max(*d)),
            mean_abs,
            per_trajectory,
            // Others were an error before.
            words_differing: (spec.arithmetic != Arithmetic::Float).then_some(0),
        }))
    }
}

/// A shape that the plan promised did not come back: a bug, but not one to panic over.
fn internal(error: &ndarray::ShapeError) -> Error {
    Error::Device { what: "the shape of a readback".into(), message: error.to_string() }
}
