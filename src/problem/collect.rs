//! What a pass leaves on the device, as the caller gets it.

use ndarray::{Array2, Array3, s};

use super::arrays::{from_device, put_rows};
use super::outcome::{Cost, Gradient, Reconstruction, Report};
use super::session::{Seed, Session};
use super::status::TrajectoryStatus;
use crate::error::{Error, Result};
use crate::gpu::{read, read_each};
use crate::plan::{Arithmetic, Slot, TIME_PARTS, summary};
use crate::solver::TimeGradient;

impl Session {
    /// Reads what is wanted of a gradient.
    pub(super) fn collect(&self, seed: &Seed<'_>, theta_squares: f64, report: Report) -> Result<Gradient> {
        let shape = &self.plan.shape;
        let wrt = self.plan.spec.wrt;
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
        let targets = if wrt.targets { Some(self.at_saves(self.plan.seen())?.mapv_into(|c| 0.0 - c)) } else { None };
        let reconstruction = self.reconstruction(&report)?;
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
        Ok(Some(Cost::new(per_trajectory, summed)))
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
            let (here, elsewhere) = (report.ok() as f64, f64::from(self.elsewhere.trajectories));
            let count = if summed { here } else { here / (here + elsewhere).max(1.0) };
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
        let mut rows = vec![0.0; shape.observations as usize * batch * dim];
        let mut place = 0;
        read_each(&self.arena, slot, u64::from(shape.observations) * shape.state_values(), |values| {
            put_rows(values, place, shape.stride, [batch, dim], &mut rows);
            place += values.len();
        })?;
        Array3::from_shape_vec([shape.observations as usize, batch, dim], rows).map_err(|e| internal(&e))
    }

    /// The certificate, if the adjoint reconstructs and was asked to go back.
    fn reconstruction(&self, report: &Report) -> Result<Option<Reconstruction>> {
        let spec = &self.plan.spec;
        if !spec.wrt.reverses() || spec.adjoint.is_none_or(|a| a.keeps_states()) {
            return Ok(None);
        }
        let stride = self.plan.shape.stride as usize;
        let drifts: Vec<f32> = read(&self.arena, Slot::Drift, 2 * u64::from(self.plan.shape.stride))?;
        let [absolute, relative] = [0, stride].map(|at| drifts[at..at + self.batch()].to_vec());
        // Others were an error before.
        let words = (spec.arithmetic != Arithmetic::Float).then_some(0);
        Ok(Some(Reconstruction::new(absolute, relative, &report.status, words)))
    }

    /// States at the save times, NaN after a failure.
    pub(super) fn states(&self, report: &Report) -> Result<Array3<f32>> {
        let mut states = self.at_saves(self.plan.seen())?;
        let grid = &self.plan.spec.grid;
        let sign = (grid.t1() - grid.t0()).signum();
        for (b, status) in report.status.iter().enumerate().filter(|(_, s)| !s.is_ok()) {
            // Where it is not known when it failed, no state is one of a solution but the first.
            let failed = status.time().unwrap_or(grid.t0());
            let known = |t: f64| sign * t < sign * failed || t == grid.t0();
            for (k, _) in grid.save_times().into_iter().enumerate().filter(|(_, t)| !known(*t)) {
                states.slice_mut(s![k, b, ..]).fill(f32::NAN);
            }
        }
        Ok(states)
    }
}

/// A shape that the plan promised did not come back: a bug, but not one to panic over.
fn internal(error: &ndarray::ShapeError) -> Error {
    Error::Device { what: "the shape of a readback".into(), message: error.to_string() }
}
