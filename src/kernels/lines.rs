//! Lines of the generated body for one output or unit, one for each trajectory.

use std::fmt::Write as _;

use crate::model::Activation;

/// Appends lines at a fixed depth, for output or unit `j` of all trajectories.
pub(super) struct Lines<'t> {
    pub(super) text: &'t mut String,
    pub(super) depth: usize,
    pub(super) r: usize,
    pub(super) tangents: bool,
    pub(super) shares: bool,
}

impl Lines<'_> {
    pub(super) fn columns(&self) -> usize {
        if self.tangents { 2 * self.r } else { self.r }
    }

    pub(super) fn line(&mut self, line: &str) {
        push_line(self.text, self.depth, line);
    }

    /// Component `j` of trajectory r in an array of components.
    pub(super) fn component(&self, array: &str, r: usize) -> String {
        format!("{array}[j * {}u + {r}u]", self.r)
    }

    /// The value as it goes to scratch.
    pub(super) fn keep(&self, value: &str, r: usize) -> String {
        format!("keep({value}, {r}u)")
    }

    pub(super) fn names(&self, name: &str, count: usize) -> Vec<String> {
        (0..count).map(|r| format!("{name}{r}")).collect()
    }

    /// Stores one value per trajectory in scratch unit `unit + j`, as one vector: a store costs by the access.
    pub(super) fn store(&mut self, unit: usize, j: &str, values: &[String]) {
        self.line(&format!("scratch[{}] = Lanes({});", scratch(unit, j), values.join(", ")));
    }

    /// The same in the rows of the tangents, if there are any.
    pub(super) fn store_tangent(&mut self, unit: usize, j: &str, values: &[String]) {
        if self.tangents {
            self.line(&format!("scratch[{} + call.tile] = Lanes({});", scratch(unit, j), values.join(", ")));
        }
    }

    /// Tangents of output `j`: `R φ''` waits where the deltas will be, `R φ'` is the input of the next layer.
    pub(super) fn record_tangents(&mut self, activation: Activation, delta_unit: usize, next: Option<usize>) {
        let columns = self.r..2 * self.r;
        let kept = |lines: &Self, function: &str| -> Vec<String> {
            let value = |c: usize| format!("{activation}_{function}(s{0}, a{0}) * s{c}", c - lines.r);
            columns.clone().map(|c| lines.keep(&value(c), c - lines.r)).collect()
        };
        self.store_tangent(delta_unit, "j", &kept(self, "curvature"));
        for (c, value) in columns.clone().zip(kept(self, "slope")) {
            self.line(&format!("let a{c} = {value};"));
        }
        let names: Vec<String> = columns.clone().map(|c| format!("a{c}")).collect();
        if let Some(unit) = next {
            self.store_tangent(unit, "j", &names);
        }
        for (c, name) in columns.zip(names) {
            let target = if next.is_some() { format!("hidden_{c}[j]") } else { self.component("tangent", c - self.r) };
            self.line(&format!("{target} = {name};"));
        }
    }

    /// `values * slopes`, the slopes waiting in unit `unit + j`, to that unit and to `hidden`. With tangents their cotangents
    /// times what waits in their rows is added, and those times the slopes take its place.
    pub(super) fn deltas(&mut self, unit: usize, values: &[String]) {
        let lane = |name: &str, r: usize, of: usize| if of == 1 { name.to_owned() } else { format!("{name}[{r}]") };
        self.line(&format!("let slopes = scratch[{}];", scratch(unit, "j")));
        if self.tangents {
            self.line(&format!("let curvatures = scratch[{} + call.tile];", scratch(unit, "j")));
        }
        for (column, value) in values.iter().enumerate() {
            let r = column % self.r;
            let slope = lane("slopes", r, self.r);
            let product = if self.tangents && column < self.r {
                let curvature = lane("curvatures", r, self.r);
                format!("{value} * {slope} + {} * {curvature}", values[self.r + r])
            } else {
                format!("{value} * {slope}")
            };
            let kept = self.keep(&product, r);
            self.line(&format!("let d{column} = {kept};"));
            self.line(&format!("hidden_{column}[j] = d{column};"));
        }
        let stored = |name: String| if self.shares { format!("share * {name}") } else { name };
        let names: Vec<String> = self.names("d", values.len()).into_iter().map(stored).collect();
        self.store(unit, "j", &names[..self.r]);
        self.store_tangent(unit, "j", &names[self.r..]);
    }
}

/// Index of unit `unit + j` in the current evaluation, in scratch as an array of `Lanes`.
fn scratch(unit: usize, j: &str) -> String {
    format!("({unit}u + {j}) * call.rows + scratch_row")
}

pub(super) fn push_line(text: &mut String, depth: usize, line: &str) {
    let _ = writeln!(text, "{:1$}{line}", "", 4 * depth);
}
