//! What is printed, and what is held against finite differences.

use crate::Result;
use crate::linear::Matrix;

/// A table with a title, filled row by row.
pub(crate) struct Table {
    title: String,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new<const COLUMNS: usize>(title: impl Into<String>, header: [&str; COLUMNS]) -> Self {
        Self { title: title.into(), rows: vec![header.map(String::from).to_vec()] }
    }

    pub(crate) fn row<const COLUMNS: usize>(&mut self, cells: [String; COLUMNS]) {
        self.rows.push(cells.to_vec());
    }

    /// Prints it, the first column to the left and the others to the right.
    pub(crate) fn print(&self) {
        println!("\n{}", self.title);
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widest = |c: usize| self.rows.iter().filter_map(|row| row.get(c)).map(|cell| width(cell)).max();
        let widths: Vec<usize> = (0..columns).map(|c| widest(c).unwrap_or(0)).collect();
        for row in &self.rows {
            let mut line = String::from("  ");
            for (c, (cell, widest)) in row.iter().zip(&widths).enumerate() {
                let gap = " ".repeat(widest - width(cell));
                line += &if c == 0 { format!("{cell}{gap}") } else { format!("   {gap}{cell}") };
            }
            println!("{}", line.trim_end());
        }
    }
}

/// Columns on a terminal: a hat stands over its letter.
fn width(cell: &str) -> usize {
    cell.chars().filter(|c| !('\u{300}'..='\u{36f}').contains(c)).count()
}

pub(crate) fn number(v: f64) -> String {
    format!("{v:+.6}")
}

/// An error or a difference.
pub(crate) fn small(v: f64) -> String {
    format!("{v:.1e}")
}

/// `(a, b)`.
pub(crate) fn vector(v: &[f64]) -> String {
    format!("({})", v.iter().map(|v| number(*v)).collect::<Vec<_>>().join(", "))
}

/// `(a, b; c, d)`, row by row.
pub(crate) fn matrix(m: &Matrix) -> String {
    let rows: Vec<String> = m.iter().map(|row| row.iter().map(|v| number(*v)).collect::<Vec<_>>().join(", ")).collect();
    format!("({})", rows.join("; "))
}

/// The claims of the demonstration, each of which may fail.
#[derive(Default)]
pub(crate) struct Checks {
    claims: Vec<(String, f64, Bound)>,
}

#[derive(Clone, Copy)]
enum Bound {
    Below(f64),
    Above(f64),
}

impl Checks {
    /// `error` must not exceed 1e-7, what finite differences can tell and some room.
    pub(crate) fn matches(&mut self, what: impl Into<String>, error: f64) {
        self.below(what, error, 1e-7);
    }

    pub(crate) fn below(&mut self, what: impl Into<String>, error: f64, limit: f64) {
        self.claims.push((what.into(), error, Bound::Below(limit)));
    }

    /// `error` must reach the limit: without that the demonstration would not show what it says.
    pub(crate) fn above(&mut self, what: impl Into<String>, error: f64, limit: f64) {
        self.claims.push((what.into(), error, Bound::Above(limit)));
    }

    /// Prints all of them.
    ///
    /// # Errors
    /// If one does not hold; a NaN holds nothing.
    pub(crate) fn verdict(&self) -> Result<()> {
        let mut table = Table::new("What was checked", ["", "found", "must be", ""]);
        let mut failed = 0;
        for (what, error, bound) in &self.claims {
            let (holds, limit) = match *bound {
                Bound::Below(limit) => (*error <= limit, format!("≤ {limit:.0e}")),
                Bound::Above(limit) => (*error >= limit, format!("≥ {limit:.0e}")),
            };
            table.row([what.clone(), small(*error), limit.clone(), if holds { "ok" } else { "FAILED" }.into()]);
            failed += usize::from(!holds);
        }
        table.print();
        if failed > 0 {
            return Err(format!("{failed} of {} checks failed: see the last table", self.claims.len()).into());
        }
        Ok(())
    }
}
