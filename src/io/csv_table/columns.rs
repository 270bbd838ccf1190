//! Which column of a table is what.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use csv::StringRecord;

use super::TableOptions;
use super::cells::used;
use crate::error::{Error, Result, line};
use crate::io::format_error;

/// Names of the column that tells several series apart, in any case.
const SERIES: [&str; 3] = ["series", "id", "subject"];
/// Names of the column of times. A capital T alone is a temperature.
const TIMES: [&str; 6] = ["t", "time", "times", "date", "datetime", "timestamp"];

/// Which column is what, by its place.
pub(super) struct Columns {
    pub(super) time: usize,
    pub(super) series: Option<usize>,
    pub(super) components: Vec<usize>,
    /// Columns, without those at the end that have no name: the line ended with a delimiter.
    pub(super) width: usize,
    /// What may not be as the reader of the file expects.
    pub(super) notes: Vec<String>,
}

/// The line of names.
struct Names<'a> {
    path: &'a Path,
    names: Vec<&'a str>,
    /// The first place of each name: a table may have tens of thousands of columns.
    places: HashMap<&'a str, usize>,
}

impl Columns {
    pub(super) fn of(path: &Path, header: &StringRecord, options: &TableOptions) -> Result<Self> {
        let width = used(header);
        let names = Names::of(path, header.iter().take(width).collect());
        names.check()?;
        let index = names.names.first().is_some_and(|name| is_index(name));
        let series = names.series(options.series.as_deref())?;
        let free: Vec<usize> = (usize::from(index)..width).filter(|&c| Some(c) != series).collect();
        let time = names.time(options.time.as_deref(), &free, index)?;
        let components = match &options.columns {
            Some(wanted) => wanted.iter().map(|name| names.named("columns", name)).collect::<Result<Vec<usize>>>()?,
            None => free.iter().copied().filter(|&c| c != time).collect(),
        };
        names.check_components(&components, time, series)?;
        let mut notes = Vec::new();
        if index {
            notes.push("the first column has no name: it is an index and left out".to_owned());
        }
        if options.time.is_none() && free.first() != Some(&time) {
            notes.push(format!("column {} is taken as the time, although it is not the first", names.names[time]));
        }
        let used: HashSet<usize> = components.iter().copied().collect();
        let unused = free.iter().filter(|&&c| c != time && !used.contains(&c));
        let unused: Vec<&str> = unused.map(|&c| names.names[c]).collect();
        if !unused.is_empty() {
            notes.push(format!("not among data.columns and left out: {}", unused.join(", ")));
        }
        let notes = notes.iter().map(|note| line(note).into_owned()).collect();
        Ok(Self { time, series, components, width, notes })
    }
}

impl<'a> Names<'a> {
    fn of(path: &'a Path, names: Vec<&'a str>) -> Self {
        let mut places = HashMap::with_capacity(names.len());
        for (c, name) in names.iter().enumerate() {
            places.entry(*name).or_insert(c);
        }
        Self { path, names, places }
    }

    fn error(&self, problem: impl Into<String>, remedy: &str) -> Error {
        format_error(self.path, "csv", problem, remedy)
    }

    fn check(&self) -> Result<()> {
        // A first line of numbers would silently be lost as names.
        if self.names.iter().any(|name| name.parse::<f64>().is_ok()) {
            let problem = format!("the first line holds numbers: {}", self.names.join(","));
            return Err(self.error(problem, "begin with a line of names, such as t,x,y"));
        }
        if let Some(c) = (1..self.names.len()).find(|&c| self.names[c].is_empty()) {
            return Err(self.error(format!("column {} has no name", c + 1), "name every column in the first line"));
        }
        for (c, name) in self.names.iter().enumerate() {
            if let Some(before) = self.places.get(name).filter(|&&before| before < c) {
                let problem = format!("columns {} and {} are both named {name}", before + 1, c + 1);
                return Err(self.error(problem, "give every column a name of its own"));
            }
        }
        Ok(())
    }

    /// The column that a key of the run description names.
    fn named(&self, key: &str, name: &str) -> Result<usize> {
        self.places.get(name).copied().ok_or_else(|| {
            let problem = format!("it has no column {name}, which data.{key} names; found: {}", self.names.join(", "));
            self.error(problem, "name a column of the first line")
        })
    }

    fn series(&self, wanted: Option<&str>) -> Result<Option<usize>> {
        if let Some(name) = wanted {
            return self.named("id", name).map(Some);
        }
        let is_series = |c: &usize| SERIES.iter().any(|name| self.names[*c].eq_ignore_ascii_case(name));
        let found: Vec<usize> = (0..self.names.len()).filter(is_series).collect();
        match found[..] {
            [] => Ok(None),
            [one] => Ok(Some(one)),
            [first, second, ..] => {
                let problem = format!("{} and {} may both tell series apart", self.names[first], self.names[second]);
                Err(self.error(problem, "say which it is: id = \"series\" in [data]"))
            }
        }
    }

    fn time(&self, wanted: Option<&str>, free: &[usize], index: bool) -> Result<usize> {
        if let Some(name) = wanted {
            return self.named("time", name);
        }
        let whole = |c: &usize| self.names[*c] != "T" && TIMES.iter().any(|t| self.names[*c].eq_ignore_ascii_case(t));
        // `time (s)`, `t_ms`
        let begun = |c: &usize| {
            let word = self.names[*c].split(|c: char| !c.is_alphabetic()).next().unwrap_or_default();
            word != "T" && TIMES.iter().any(|t| word.eq_ignore_ascii_case(t))
        };
        let mut found: Vec<usize> = free.iter().copied().filter(whole).collect();
        if found.is_empty() {
            found = free.iter().copied().filter(begun).collect();
        }
        match (&found[..], free) {
            (&[one], _) => Ok(one),
            ([], &[first, ..]) if !index => Ok(first),
            ([], [_, ..]) => Err(self.error(
                "the first column has no name, which makes it an index, and none of the others is named time",
                "say which column is the time: time = \"year\" in [data]",
            )),
            ([], []) => self.too_few(),
            _ => {
                let shown: Vec<&str> = found.iter().map(|&c| self.names[c]).collect();
                let problem = format!("{} may each be the time", shown.join(" and "));
                Err(self.error(problem, "say which column it is: time = \"t\" in [data]"))
            }
        }
    }

    fn too_few<T>(&self) -> Result<T> {
        let problem = format!("{} column(s) and no component", self.names.len());
        Err(self.error(
            problem,
            "give the time in the first column and a component in the next, with ',' ';' or tab between them",
        ))
    }

    fn check_components(&self, components: &[usize], time: usize, series: Option<usize>) -> Result<()> {
        if components.is_empty() {
            return self.too_few();
        }
        if series == Some(time) {
            let problem = format!("column {} is both the time and what tells series apart", self.names[time]);
            return Err(self.error(problem, "name two columns"));
        }
        let mut seen = HashSet::new();
        for &c in components {
            if c == time || Some(c) == series || !seen.insert(c) {
                let problem = format!("column {} is asked for twice", self.names[c]);
                return Err(self.error(problem, "name every column once, the time and the id not among data.columns"));
            }
        }
        Ok(())
    }
}

/// True for the name that pandas gives to the index of a table, or gave it when that was saved and read again.
fn is_index(name: &str) -> bool {
    name.is_empty() || name == "Unnamed: 0"
}
