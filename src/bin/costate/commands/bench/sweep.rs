//! What is varied: the batch, and one at a time everything else around a base.

use costate::{Error, Result};

use super::measure::{Row, Shape};
use crate::cli::Bench;

/// What is varied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Axis {
    Batch,
    Width,
    Depth,
    State,
    Steps,
}

impl Axis {
    pub(super) const ALL: [Self; 5] = [Self::Batch, Self::Width, Self::Depth, Self::State, Self::Steps];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Batch => "batch",
            Self::Width => "width",
            Self::Depth => "depth",
            Self::State => "state",
            Self::Steps => "steps",
        }
    }

    /// Where a row is on the axis.
    pub(super) fn value(self, row: &Row) -> usize {
        match self {
            Self::Batch => row.batch,
            Self::Width => row.hidden.first().copied().unwrap_or(0),
            Self::Depth => row.hidden.len(),
            Self::State => row.state,
            Self::Steps => row.steps,
        }
    }
}

/// The rows of one case along one axis, by their places in the results.
#[derive(Clone, Debug)]
pub(super) struct Series {
    pub(super) axis: Axis,
    pub(super) rows: Vec<usize>,
}

/// What every sweep starts from.
pub(super) fn base(args: &Bench) -> Shape {
    Shape { state: args.state.first(), hidden: args.hidden.0.clone(), steps: args.steps.first() }
}

/// The shapes along every axis but the batch.
pub(super) fn sweeps(args: &Bench) -> Result<Vec<(Axis, Vec<Shape>)>> {
    let base = base(args);
    let mut sweeps = Vec::new();
    let mut add = |axis, values: &[usize], shape: &dyn Fn(usize) -> Shape| {
        sweeps.push((axis, values.iter().map(|v| shape(*v)).collect()));
    };
    for (flag, given) in [("--width", args.width.is_some()), ("--depth", args.depth.is_some())] {
        if given && base.hidden.is_empty() {
            return Err(Error::Invalid {
                what: flag.into(),
                problem: "the field of --hidden none has no hidden layer to vary".into(),
                remedy: "give --hidden one width at least, such as 64,64".into(),
            });
        }
    }
    if let Some(widths) = &args.width {
        add(Axis::Width, &widths.0, &|w| Shape { hidden: vec![w; base.hidden.len()], ..base.clone() });
    }
    if let Some(depths) = &args.depth {
        let width = base.hidden.first().copied().unwrap_or(1);
        add(Axis::Depth, &depths.0.0, &|d| Shape { hidden: vec![width; d], ..base.clone() });
    }
    if args.state.0.len() > 1 {
        add(Axis::State, &args.state.0, &|state| Shape { state, ..base.clone() });
    }
    if args.steps.0.len() > 1 {
        add(Axis::Steps, &args.steps.0, &|steps| Shape { steps, ..base.clone() });
    }
    Ok(sweeps)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]

    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn args(text: &str) -> Bench {
        match Cli::try_parse_from(text.split_whitespace()).unwrap().command {
            Command::Bench(args) => args,
            other => panic!("{other:?} instead of a bench"),
        }
    }

    #[test]
    fn one_axis_varies_at_a_time() {
        assert!(sweeps(&args("costate bench --batch 1..64")).unwrap().is_empty(), "the batch is no sweep of shapes");
        let found = sweeps(&args("costate bench --hidden 8,8 --width 4,16 --depth 1..4 --state 2,3 --steps 5,10"));
        let mut shapes = Vec::new();
        for (axis, along) in found.unwrap() {
            shapes.extend(along.into_iter().map(|s| (axis.name(), s.state, s.hidden, s.steps)));
        }
        let expected = [
            ("width", 2, vec![4, 4], 5),
            ("width", 2, vec![16, 16], 5),
            ("depth", 2, vec![8], 5),
            ("depth", 2, vec![8, 8], 5),
            ("depth", 2, vec![8; 4], 5),
            ("state", 2, vec![8, 8], 5),
            ("state", 3, vec![8, 8], 5),
            ("steps", 2, vec![8, 8], 5),
            ("steps", 2, vec![8, 8], 10),
        ];
        assert_eq!(shapes, expected);
        let linear = sweeps(&args("costate bench --hidden none --depth 2")).unwrap_err().to_string();
        assert!(linear.contains("--depth") && linear.contains("--hidden"), "{linear}");
    }
}
