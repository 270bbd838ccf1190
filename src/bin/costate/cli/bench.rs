//! The arguments of `costate bench`.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, ValueEnum};
use costate::{Activation, Adjoint, Error, Family, KernelOptions, Method, tune};
use serde::{Deserialize, Serialize};

use super::at_least_one;

/// More hidden layers than this are no network.
const DEEPEST: usize = 1024;

/// `costate bench`
#[derive(Args, Debug)]
pub(crate) struct Bench {
    /// Batch sizes: a list, or FIRST..LAST for FIRST, twice that, and so on
    #[arg(long, value_name = "N,N,...", default_value = "64,1024,16384")]
    pub(crate) batch: Sizes,
    /// Widths of the hidden layers; `none` for a linear field
    #[arg(long, value_name = "N,N,...", default_value = "64,64")]
    pub(crate) hidden: Widths,
    /// Components of the state; of several the first is the base, the others are swept
    #[arg(long, value_name = "N,N,...", default_value = "2")]
    pub(crate) state: Sizes,
    /// Activation of the hidden layers
    #[arg(long, value_name = "NAME", default_value_t = Activation::Tanh)]
    pub(crate) activation: Activation,
    /// Solvers; `costate train --help` lists them
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', default_values_t = [Method::default()])]
    pub(crate) method: Vec<Method>,
    /// Adjoints of the gradient; with several, a method is measured with those that it has
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', default_values_t = [Adjoint::Auto])]
    pub(crate) adjoint: Vec<Adjoint>,
    /// Steps from t = 0 to t = 1; of several the first is the base, the others are swept
    #[arg(long, value_name = "N,N,...", default_value = "40")]
    pub(crate) steps: Sizes,
    /// Sweep: all hidden layers of --hidden get this width
    #[arg(long, value_name = "N,N,...")]
    pub(crate) width: Option<Sizes>,
    /// Sweep: so many hidden layers as wide as the first of --hidden
    #[arg(long, value_name = "N,N,...")]
    pub(crate) depth: Option<Depths>,
    /// Timed runs, of which the median counts
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = at_least_one)]
    pub(crate) repeats: usize,
    /// Runs before those, of which the first compiles the kernels
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = at_least_one)]
    pub(crate) warmup: usize,
    /// What to time
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', default_value = "forward,gradient")]
    pub(crate) phase: Vec<Phase>,
    /// What the device could do in theory, in GFLOP/s: shows which fraction was reached
    #[arg(long, value_name = "GFLOP/s", allow_negative_numbers = true, value_parser = above_zero)]
    pub(crate) peak: Option<f64>,
    /// The same for its memory, in GB/s
    #[arg(long, value_name = "GB/s", allow_negative_numbers = true, value_parser = above_zero)]
    pub(crate) peak_bandwidth: Option<f64>,
    /// Time every kernel on the device in one more run
    #[arg(long)]
    pub(crate) profile: bool,
    /// Kernels of this family only: lane or tile
    #[arg(long, value_name = "NAME")]
    pub(crate) family: Option<Family>,
    /// Trajectories of one invocation (lane) or of a workgroup's tile (tile)
    #[arg(long, value_name = "N")]
    pub(crate) trajectories: Option<u32>,
    /// Invocations of one workgroup
    #[arg(long, value_name = "N")]
    pub(crate) workgroup: Option<u32>,
    /// Measure the arrangements that kernels can have, keep the fastest in the user's cache, and use it
    #[arg(long, conflicts_with_all = ["family", "trajectories", "workgroup", "no_tune"])]
    pub(crate) tune: bool,
    /// Use no arrangement from the cache
    #[arg(long)]
    pub(crate) no_tune: bool,
    /// An earlier bench.json to compare with
    #[arg(long, value_name = "BENCH.json")]
    pub(crate) compare: Option<PathBuf>,
    /// Folder for bench.json and throughput.svg; no files if not given
    #[arg(long, value_name = "FOLDER")]
    pub(crate) out: Option<PathBuf>,
}

impl Bench {
    /// What is given of the kernels' arrangement.
    pub(crate) fn kernels(&self) -> KernelOptions {
        KernelOptions { family: self.family, trajectories: self.trajectories, workgroup: self.workgroup }
    }
}

/// What a row of a benchmark times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Phase {
    /// A solve.
    Forward,
    /// Loss and gradient, the solve included.
    Gradient,
}

impl From<Phase> for tune::Phase {
    fn from(phase: Phase) -> Self {
        match phase {
            Phase::Forward => Self::Forward,
            Phase::Gradient => Self::Gradient,
        }
    }
}

/// Numbers of at least one, none of them twice; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sizes(pub(crate) Vec<usize>);

impl Sizes {
    /// The base of a sweep.
    pub(crate) fn first(&self) -> usize {
        self.0.first().copied().unwrap_or(1)
    }
}

impl FromStr for Sizes {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let mut sizes = Vec::new();
        for part in text.split(',').map(str::trim) {
            match part.split_once("..") {
                Some((first, last)) => sizes.extend(doublings(part, first, last)?),
                None => sizes.push(at_least_one(part)?),
            }
        }
        let mut seen = std::collections::HashSet::new();
        sizes.retain(|size| seen.insert(*size));
        Ok(Self(sizes))
    }
}

/// The first number of a range, twice that, and so on.
fn doublings(range: &str, first: &str, last: &str) -> Result<impl Iterator<Item = usize>, Error> {
    let ends = at_least_one(first.trim()).ok().zip(at_least_one(last.trim()).ok());
    let Some((first, last)) = ends.filter(|(first, last)| first <= last) else {
        return Err(Error::Invalid {
            what: "range".into(),
            problem: format!("'{range}'"),
            remedy: "use FIRST..LAST with whole numbers 1 ≤ FIRST ≤ LAST; it doubles from FIRST on".into(),
        });
    };
    Ok(std::iter::successors(Some(first), |size| size.checked_mul(2)).take_while(move |size| *size <= last))
}

/// Numbers of hidden layers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Depths(pub(crate) Sizes);

impl FromStr for Depths {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let sizes: Sizes = text.parse()?;
        match sizes.0.iter().find(|depth| **depth > DEEPEST) {
            None => Ok(Self(sizes)),
            Some(depth) => Err(Error::Invalid {
                what: "number of hidden layers".into(),
                problem: depth.to_string(),
                remedy: format!("use at most {DEEPEST}"),
            }),
        }
    }
}

/// Widths of hidden layers as one argument, possibly none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Widths(pub(crate) Vec<usize>);

impl FromStr for Widths {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if text.is_empty() || text == "none" {
            return Ok(Self(Vec::new()));
        }
        let widths = text.split(',').map(|w| at_least_one(w.trim()));
        widths.collect::<Result<_, _>>().map(Self)
    }
}

fn above_zero(text: &str) -> Result<f64, Error> {
    text.parse().ok().filter(|value: &f64| value.is_finite() && *value > 0.0).ok_or_else(|| Error::Invalid {
        what: "peak".into(),
        problem: format!("'{text}'"),
        remedy: "use a finite number > 0".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_may_be_none() {
        for (text, widths) in [("64,64", Some(vec![64, 64])), ("none", Some(vec![])), ("", Some(vec![])), ("6,x", None)]
        {
            assert_eq!(text.parse::<Widths>().ok().map(|w| w.0), widths, "'{text}'");
        }
    }

    #[test]
    fn ranges_double() {
        let most = format!("{}..{}", usize::MAX, usize::MAX);
        for (text, sizes) in [
            ("64..512", Some(vec![64, 128, 256, 512])),
            ("3..20", Some(vec![3, 6, 12])),
            ("5..5", Some(vec![5])),
            ("7, 1..4,2,9", Some(vec![7, 1, 2, 4, 9])),
            (&most, Some(vec![usize::MAX])),
            ("8..4", None),
            ("0..4", None),
            ("1..", None),
            ("..4", None),
            ("1..2..3", None),
            ("1..1e6", None),
            ("-1", None),
            ("", None),
            ("4,,5", None),
        ] {
            assert_eq!(text.parse::<Sizes>().ok().map(|s| s.0), sizes, "'{text}'");
        }
        assert!("2000".parse::<Depths>().is_err(), "too deep");
    }

    #[test]
    fn peaks_are_positive() {
        for (text, peak) in [("1.5e3", Some(1500.0)), ("0", None), ("-1", None), ("inf", None), ("NaN", None)] {
            assert_eq!(above_zero(text).ok(), peak, "'{text}'");
        }
    }
}
