//! In which units the states of a run are: those of the data that the weights were trained on, or the model's.

use std::path::{Path, PathBuf};

use costate::io::{Scale, Standardiser, Weights, read_npy2, read_npy3, read_npy3_masked, write_npy, write_npy_wide};
use costate::{Error, Result};
use ndarray::{Array, Array2, Array3, ArrayView, ArrayView3, Dimension};

use super::narrow;
use crate::cli;
use crate::output;

/// The units of arrays of states outside, where the device has the model's.
pub(super) struct Units {
    /// That of the data, if they are in the units of the data.
    scaling: Option<Standardiser>,
    /// Where the scaling is, and which, if there is one.
    known: Option<(PathBuf, Scale)>,
}

impl Units {
    /// Those of the data if the weights tell the scaling, unless told otherwise.
    ///
    /// # Errors
    /// [`Error::Invalid`] if units of data are asked for that nobody knows.
    pub(super) fn choose(flag: Option<cli::Units>, weights: Option<(&Weights, &Path)>) -> Result<Self> {
        let scaling = weights.and_then(|(weights, path)| Some((weights.scaling.clone()?, path.to_owned())));
        let known = scaling.as_ref().map(|(scaling, path)| (path.clone(), scaling.scale()));
        if flag == Some(cli::Units::Data) && known.is_none() {
            let file = weights.map_or("the weights, which are drawn,".into(), |(_, path)| path.display().to_string());
            return Err(Error::Invalid {
                what: "--units data".into(),
                problem: format!("{file} does not tell the scaling of the data (metadata costate.scaling)"),
                remedy: "leave it out, and give states in the units of the model".into(),
            });
        }
        let scaling = scaling.map(|(scaling, _)| scaling).filter(|_| flag != Some(cli::Units::Model));
        Ok(Self { scaling, known })
    }

    /// As in the report.
    pub(super) fn name(&self) -> &'static str {
        if self.scaling.is_some() { "data" } else { "model" }
    }

    /// What `arrays` are in, for people, where there is a choice: `x0 and states`.
    pub(super) fn sentence(&self, arrays: &str, model: &str) -> Option<String> {
        let (path, scale) = self.known.as_ref()?;
        let file = path.display();
        Some(match &self.scaling {
            Some(_) => {
                format!(
                    "{arrays} are in the units of the data (scaling {scale}, from {file}){model}; --units model for the model's"
                )
            }
            None => format!("{arrays} are in the units of the model; {file} has the scaling of the data, {scale}"),
        })
    }

    /// Says it.
    pub(super) fn tell(&self, arrays: &str, model: &str) {
        if let Some(sentence) = self.sentence(arrays, model) {
            output::note(&format!("note: {sentence}"));
        }
    }

    /// Reads `[batch, dim]`.
    pub(super) fn read2(&self, path: &Path) -> Result<Array2<f32>> {
        match &self.scaling {
            Some(scaling) => scaling.read_npy(path, None),
            None => read_npy2(path),
        }
    }

    /// Reads `[time, batch, dim]`, with gaps where the mask says so.
    pub(super) fn read3(&self, path: &Path, mask: Option<ArrayView3<'_, bool>>) -> Result<Array3<f32>> {
        match (&self.scaling, mask) {
            (Some(scaling), mask) => scaling.read_npy(path, mask),
            (None, Some(mask)) => read_npy3_masked(path, mask),
            (None, None) => read_npy3(path),
        }
    }

    /// Writes states; in f64 where they have an offset that f32 would round away.
    pub(super) fn write<D: Dimension>(&self, path: &Path, states: ArrayView<'_, f32, D>) -> Result<()> {
        match self.scaled() {
            Some(scaling) => write_npy_wide(path, scaling.data_units(states).view()),
            None => write_npy(path, states),
        }
    }

    /// Derivatives by states in the units of the model, made into those in the units outside. `states` are the model's.
    /// Returns what there is to warn about.
    pub(super) fn gradient<D: Dimension>(
        &self,
        name: &str,
        gradient: &mut Array<f32, D>,
        states: ArrayView<'_, f32, D>,
    ) -> Option<String> {
        self.multiply(name, gradient, states, f64::recip)
    }

    /// The other way.
    pub(super) fn cotangents<D: Dimension>(
        &self,
        cotangents: &mut Array<f32, D>,
        states: ArrayView<'_, f32, D>,
    ) -> Option<String> {
        self.multiply("the cotangents", cotangents, states, |slope| slope)
    }

    /// True if what cotangents mean depends on the states.
    pub(super) fn bends(&self) -> bool {
        self.scaled().is_some_and(|scaling| scaling.scale() == Scale::LogStandardise)
    }

    /// The scaling, if it does something.
    fn scaled(&self) -> Option<&Standardiser> {
        self.scaling.as_ref().filter(|scaling| scaling.scale() != Scale::None)
    }

    fn multiply<D: Dimension>(
        &self,
        name: &str,
        values: &mut Array<f32, D>,
        states: ArrayView<'_, f32, D>,
        factor: impl Fn(f64) -> f64,
    ) -> Option<String> {
        let scaling = self.scaled()?;
        let mut lost = 0_usize;
        for (value, slope) in values.iter_mut().zip(&scaling.data_slopes(states)) {
            let before = *value;
            // Nothing stays nothing, and a trajectory that failed takes no part.
            if before != 0.0 && !slope.is_nan() {
                *value = narrow(f64::from(before) * factor(*slope));
                lost += usize::from(before.is_finite() && !value.is_normal());
            }
        }
        (lost > 0).then(|| {
            format!(
                "{lost} of {} numbers of {name} are beyond what f32 can hold once the units are changed; with --units model \
                 nothing is changed",
                values.len()
            )
        })
    }
}
