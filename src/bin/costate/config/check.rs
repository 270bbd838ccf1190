//! What a run description must fulfil beyond its types, found before anything is read or computed.

use costate::{Error, Result};

use super::{Config, Cost, Data, OptimiserName, ScheduleName, Solve, Train};

impl Config {
    /// # Errors
    /// [`Error::Invalid`] naming the key, its value and what would be accepted.
    pub(super) fn check(&self) -> Result<()> {
        self.field()?;
        self.solve.check()?;
        if self.solve.t1.is_some() {
            self.solve.check_details(self.grid()?.steps())?;
        } else if self.solve.save_at.is_some() {
            return Err(invalid("solve.save_at", "it is given without t1", "give t1 too"));
        } else {
            // The number of steps is not known before the data are.
            self.solve.check_details(usize::MAX)?;
        }
        if let Some([a, b]) = self.output.plot_components {
            let state = self.field.state;
            if a >= state || b >= state {
                let problem = format!("[{a}, {b}] for a state of {state} components");
                return Err(invalid("output.plot_components", problem, format!("use two of 0 to {}", state - 1)));
            }
        }
        self.loss.check(self.field.state, self.train.is_some())?;
        self.cost.as_ref().map_or(Ok(()), Cost::check)?;
        self.wrt(None)?;
        self.data.as_ref().map_or(Ok(()), Data::check)?;
        self.train.as_ref().map_or(Ok(()), Train::check)
    }
}

impl Solve {
    fn check(&self) -> Result<()> {
        if let Some(words) = self.state_words.filter(|w| !(1..=2).contains(w)) {
            return Err(invalid("solve.state_words", words.to_string(), "use 1 or 2 words of 32 bits"));
        }
        self.adjoint.resolve(self.method).map_err(|e| self.keyed(e))?;
        positive("solve.reconstruction_tolerance", self.reconstruction_tolerance.into())?;
        match (self.step, self.steps) {
            (Some(step), None) => positive("solve.step", step),
            (None, Some(steps)) => at_least("solve.steps", steps, 1),
            // The message is that of the grid.
            _ => self.grid(0.0, &[], 1.0).map(|_| ()),
        }
    }

    /// Refuses details that the adjoint does not have.
    fn check_details(&self, steps: usize) -> Result<()> {
        let adjoint = self.adjoint.resolve(self.method)?;
        self.adjoint_options().check(self.method, adjoint, steps).map_err(|e| self.keyed(e))
    }

    /// The library's refusal of something that a key of this section gave, with the name of the key.
    pub(crate) fn keyed(&self, error: Error) -> Error {
        let Error::Invalid { what, problem, remedy } = error else { return error };
        let shown = |value: Option<u32>| value.map(|v| v.to_string());
        let (key, value) = match what.as_str() {
            "adjoint" => ("adjoint", Some(self.adjoint.to_string())),
            "anchors" => ("anchors", self.anchors.map(|a| a.to_string())),
            "log words" => ("log_words", shown(self.log_words)),
            "words of the state" => ("state_words", shown(self.state_words)),
            "fraction bits" => ("fraction_bits", shown(self.fraction_bits)),
            "fixed-point range" if self.fraction_bits.is_some() => ("fraction_bits", None),
            _ => return Error::Invalid { what, problem, remedy },
        };
        let problem = match value.filter(|v| !problem.starts_with(v)) {
            Some(value) => format!("{value} {problem}"),
            None => problem,
        };
        Error::Invalid { what: format!("solve.{key}"), problem, remedy }
    }
}

impl Data {
    fn check(&self) -> Result<()> {
        at_least("data.stride", self.stride, 1)?;
        self.window.map_or(Ok(()), |window| at_least("data.window", window, 2))
    }
}

impl Train {
    fn check(&self) -> Result<()> {
        at_least("train.iterations", self.iterations, 1)?;
        at_least("train.report_every", self.report_every, 1)?;
        self.checkpoint_every.map_or(Ok(()), |every| at_least("train.checkpoint_every", every, 1))?;
        self.batch.map_or(Ok(()), |batch| at_least("train.batch", batch, 1))?;
        single("train.learning_rate", self.learning_rate)?;
        if !(self.weight_decay.is_finite() && self.weight_decay >= 0.0) {
            return Err(invalid("train.weight_decay", self.weight_decay.to_string(), "use a finite number ≥ 0"));
        }
        self.clip_norm.map_or(Ok(()), |norm| single("train.clip_norm", norm))?;
        self.check_optimiser()?;
        self.check_schedule()
    }

    fn check_optimiser(&self) -> Result<()> {
        let adam = self.optimiser == OptimiserName::Adam;
        let keys = [("momentum", self.momentum), ("beta1", self.beta1), ("beta2", self.beta2)];
        for (key, value) in keys.into_iter().chain([("epsilon", self.epsilon)]) {
            let Some(value) = value else { continue };
            if adam == (key == "momentum") {
                let problem = format!("it means nothing to {}", if adam { "adam" } else { "sgd" });
                return Err(invalid(format!("train.{key}"), problem, "remove it or change train.optimiser"));
            }
            if key == "epsilon" {
                single("train.epsilon", value)?;
            } else if !(0.0..1.0).contains(&value) {
                return Err(invalid(format!("train.{key}"), value.to_string(), "use a number from 0 to below 1"));
            }
        }
        Ok(())
    }

    fn check_schedule(&self) -> Result<()> {
        const KEY: &str = "train.final_learning_rate";
        match (self.schedule, self.final_learning_rate) {
            (ScheduleName::Constant, None) | (ScheduleName::Cosine, None) => Ok(()),
            (ScheduleName::Constant, Some(_)) => {
                Err(invalid(KEY, "it means nothing to a constant schedule", "remove it or change train.schedule"))
            }
            (ScheduleName::Cosine, Some(0.0)) => Ok(()),
            (_, Some(rate)) => single(KEY, rate),
            (ScheduleName::Exponential, None) => {
                Err(invalid(KEY, "it is missing", "an exponential schedule needs the learning rate to end with"))
            }
        }
    }
}

pub(super) fn positive(key: &str, value: f64) -> Result<()> {
    if value.is_finite() && value > 0.0 {
        return Ok(());
    }
    Err(invalid(key, value.to_string(), "use a finite number > 0"))
}

/// A number > 0 that the device has: one that is too large or too small for f32 would become infinite or zero there.
fn single(key: &str, value: f64) -> Result<()> {
    if (f64::from(f32::MIN_POSITIVE)..=f64::from(f32::MAX)).contains(&value) {
        return Ok(());
    }
    Err(invalid(key, format!("{value:e}"), "use a number from 1.2e-38 to 3.4e38"))
}

fn at_least(key: &str, value: usize, least: usize) -> Result<()> {
    if value >= least {
        return Ok(());
    }
    Err(invalid(key, value.to_string(), format!("use at least {least}")))
}

pub(super) fn invalid(what: impl Into<String>, problem: impl Into<String>, remedy: impl Into<String>) -> Error {
    Error::Invalid { what: what.into(), problem: problem.into(), remedy: remedy.into() }
}
