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
            // The number of steps is not known before the data are; there is no anchor to count without any.
            self.solve.anchors.map_or(Ok(()), |anchors| at_least("solve.anchors", anchors, 1))?;
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
        if self.save_at.as_ref().is_some_and(Vec::is_empty) {
            return Err(invalid("solve.save_at", "no times", "leave it out to save at t1, or give at least one"));
        }
        self.adjoint.resolve(self.method)?;
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
        self.adjoint_options().check(self.method, adjoint, steps)
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
        self.check_rate("train.learning_rate", self.learning_rate)?;
        if !(self.weight_decay.is_finite() && self.weight_decay >= 0.0) {
            return Err(invalid("train.weight_decay", self.weight_decay.to_string(), "use a finite number ≥ 0"));
        }
        if self.weight_decay * self.learning_rate >= 1.0 {
            let problem = format!("{} at a learning rate of {}", self.weight_decay, self.learning_rate);
            let remedy = "keep the product below 1: one update would turn the sign of the parameters";
            return Err(invalid("train.weight_decay", problem, remedy));
        }
        self.clip_norm.map_or(Ok(()), |norm| normal("train.clip_norm", norm))?;
        self.check_optimiser()?;
        self.check_schedule()
    }

    /// A rate that the device can hold, after Adam's correction of its first update too.
    fn check_rate(&self, key: &str, rate: f64) -> Result<()> {
        normal(key, rate)?;
        let beta1 = if self.optimiser == OptimiserName::Adam { self.beta1.unwrap_or(0.9) } else { 0.0 };
        let most = f64::from(f32::MAX) * (1.0 - beta1);
        // Whether beta1 makes sense is asked later.
        if most > 0.0 && rate > most {
            return Err(invalid(
                key,
                format!("{rate:e}"),
                format!("use at most {most:.1e}: the device computes in f32"),
            ));
        }
        Ok(())
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
                normal("train.epsilon", value)?;
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
            (_, Some(rate)) => self.check_rate(KEY, rate),
            (ScheduleName::Exponential, None) => {
                Err(invalid(KEY, "it is missing", "an exponential schedule needs the learning rate to end with"))
            }
        }
    }
}

/// Refuses numbers of a description that the device cannot hold, whatever they mean, by their key.
///
/// # Errors
/// [`Error::Invalid`] for a number that is not finite or beyond f32.
pub(super) fn numbers(text: &str) -> Result<()> {
    // What is not TOML has been refused before.
    toml::from_str::<toml::Table>(text).map_or(Ok(()), |table| numbers_of("", table.iter()))
}

fn numbers_of<'a>(path: &str, entries: impl Iterator<Item = (&'a String, &'a toml::Value)>) -> Result<()> {
    entries.into_iter().try_for_each(|(key, value)| {
        number(&if path.is_empty() { key.clone() } else { format!("{path}.{key}") }, value)
    })
}

fn number(key: &str, value: &toml::Value) -> Result<()> {
    match value {
        toml::Value::Float(v) if !v.is_finite() => Err(invalid(key, v.to_string(), "use finite numbers")),
        toml::Value::Float(v) if v.abs() > f32::MAX.into() => {
            let remedy = format!("use numbers up to {:.1e}: the device computes in f32", f32::MAX);
            Err(invalid(key, format!("{v:e}"), remedy))
        }
        toml::Value::Array(list) => list.iter().enumerate().try_for_each(|(i, v)| number(&format!("{key}[{i}]"), v)),
        toml::Value::Table(table) => numbers_of(key, table.iter()),
        _ => Ok(()),
    }
}

/// Refuses what is not a normal f32 > 0: a smaller number would be none on the device.
fn normal(key: &str, value: f64) -> Result<()> {
    positive(key, value)?;
    if value >= f32::MIN_POSITIVE.into() {
        return Ok(());
    }
    let remedy = format!("use at least {:.1e}: the device computes in f32", f32::MIN_POSITIVE);
    Err(invalid(key, format!("{value:e}"), remedy))
}

pub(super) fn positive(key: &str, value: f64) -> Result<()> {
    if value.is_finite() && value > 0.0 {
        return Ok(());
    }
    Err(invalid(key, value.to_string(), "use a finite number > 0"))
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
