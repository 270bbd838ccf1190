//! The arguments of every subcommand and what `--help` says about them.

mod bench;

use std::path::{Path, PathBuf};

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use costate::{Error, Wrt};

use crate::help;
pub(crate) use bench::{Bench, Phase};

/// Train neural ODEs on any GPU.
#[derive(Debug, Parser)]
#[command(version, about, long_about = help::COSTATE, after_long_help = help::EXIT_CODES)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
    /// What all subcommands share.
    #[command(flatten)]
    pub(crate) global: Global,
}

/// Options of every subcommand.
#[derive(Args, Debug)]
#[command(next_help_heading = "Options of every subcommand")]
pub(crate) struct Global {
    /// Print one JSON object on standard output and nothing else there
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// The adapter to use: its index in `costate adapters`, or a part of its name
    #[arg(long, global = true, value_name = "NAME-OR-INDEX")]
    pub(crate) adapter: Option<String>,
    /// Log to standard error what is done; twice for details such as compile times
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Integrate a batch of initial states and write the states at the save times
    #[command(long_about = help::SOLVE)]
    Solve(Solve),
    /// Differentiate a loss, or pull cotangents back, to the weights and the initial states
    #[command(long_about = help::GRADIENT)]
    Gradient(Gradient),
    /// Learn the weights from time series
    #[command(long_about = help::TRAIN, after_long_help = help::KEYS)]
    Train(Train),
    /// Hold states and gradients of a run against f64 and finite differences
    #[command(long_about = help::CHECK)]
    Check(Check),
    /// Measure the throughput of solves and gradients
    #[command(long_about = help::BENCH)]
    Bench(Bench),
    /// List the GPUs and software adapters of this machine
    #[command(long_about = help::ADAPTERS)]
    Adapters,
}

impl Command {
    /// The run description, if there is one.
    pub(crate) fn description(&self) -> Option<&Path> {
        match self {
            Self::Solve(Solve { problem, .. }) | Self::Gradient(Gradient { problem, .. }) => Some(&problem.config),
            Self::Train(Train { config }) | Self::Check(Check { config, .. }) => Some(config),
            Self::Bench(_) | Self::Adapters => None,
        }
    }
}

/// `--units`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Units {
    /// As in the files that the weights were trained on
    Data,
    /// As the field has them: scaled
    Model,
}

/// What `solve` and `gradient` share: the problem and its input.
#[derive(Args, Debug)]
pub(crate) struct Problem {
    /// The run description: field, method, times, adjoint
    #[arg(long, value_name = "RUN.toml")]
    pub(crate) config: PathBuf,
    /// The weights, as PyTorch names them: net.0.weight, net.0.bias, net.2.weight, ...; any prefix will do
    #[arg(long, value_name = "W.safetensors", required_unless_present = "plan")]
    pub(crate) weights: Option<PathBuf>,
    /// The initial states, [batch, dim]
    #[arg(long, value_name = "X0.npy", required_unless_present = "batch")]
    pub(crate) x0: Option<PathBuf>,
    /// In which units states and targets are: those of the data, where the weights tell their scaling, or of the model
    #[arg(long, value_name = "UNITS")]
    pub(crate) units: Option<Units>,
    /// Show every byte that the run would keep on the device, and what it takes on the host, and stop without running
    #[arg(long)]
    pub(crate) plan: bool,
    /// The number of trajectories to plan for, instead of --x0
    #[arg(long, value_name = "N", requires = "plan", conflicts_with = "x0")]
    pub(crate) batch: Option<usize>,
}

/// `costate solve`
#[derive(Args, Debug)]
pub(crate) struct Solve {
    /// The problem.
    #[command(flatten)]
    pub(crate) problem: Problem,
    /// Where the states at the save times go, [time, batch, dim]
    #[arg(long, value_name = "X.npy", required_unless_present = "plan")]
    pub(crate) out: Option<PathBuf>,
    /// Where the running costs go, [batch]; needs a section [cost]
    #[arg(long, value_name = "COST.npy")]
    pub(crate) cost_out: Option<PathBuf>,
}

/// `costate gradient`
#[derive(Args, Debug)]
pub(crate) struct Gradient {
    /// The problem.
    #[command(flatten)]
    pub(crate) problem: Problem,
    /// What the states at the save times should be, [time, batch, dim]
    #[arg(
        long,
        value_name = "Y.npy",
        conflicts_with = "cotangents",
        required_unless_present_any = ["cotangents", "plan"]
    )]
    pub(crate) targets: Option<PathBuf>,
    /// dJ/dx at the save times for a loss J of your own, [time, batch, dim], instead of --targets
    #[arg(long, value_name = "C.npy")]
    pub(crate) cotangents: Option<PathBuf>,
    /// Weights >= 0 of the terms of the loss, [time, batch, dim]
    #[arg(long, value_name = "W.npy", requires = "targets", conflicts_with = "cotangents")]
    pub(crate) observation_weights: Option<PathBuf>,
    /// What was observed, [time, batch, dim]: true, or a number that is not 0; targets elsewhere may be NaN
    #[arg(long, value_name = "M.npy", requires = "targets", conflicts_with = "cotangents")]
    pub(crate) mask: Option<PathBuf>,
    /// What to differentiate by: theta x0 t0 t1 saves targets loss, instead of [gradient] wrt [default: theta,x0]
    #[arg(long, value_name = "NAME,...")]
    pub(crate) wrt: Option<Wrt>,
    /// Where the gradient goes: tensors named as the weights, x0, loss with --targets, and what --wrt names
    #[arg(long, value_name = "G.safetensors", required_unless_present = "plan")]
    pub(crate) out: Option<PathBuf>,
}

/// `costate train`
#[derive(Args, Debug)]
pub(crate) struct Train {
    /// The run description with its sections `[data]`, `[train]` and `[output]`
    #[arg(value_name = "CONFIG.toml")]
    pub(crate) config: PathBuf,
}

/// `costate check`
#[derive(Args, Debug)]
pub(crate) struct Check {
    /// The run description: field, method, times, adjoint
    #[arg(long, value_name = "RUN.toml")]
    pub(crate) config: PathBuf,
    /// The weights to check with; drawn from the seed if not given
    #[arg(long, value_name = "W.safetensors")]
    pub(crate) weights: Option<PathBuf>,
    /// The initial states to check with, [batch, dim]; drawn between -1 and 1 if not given
    #[arg(long, value_name = "X0.npy")]
    pub(crate) x0: Option<PathBuf>,
    /// In which units --x0 is: those of the data, where the weights tell their scaling, or of the model
    #[arg(long, value_name = "UNITS", requires = "x0")]
    pub(crate) units: Option<Units>,
    /// Number of random trajectories
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = checkable, conflicts_with = "x0")]
    pub(crate) batch: usize,
    /// Seed of initial states, targets, directions and drawn weights
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    pub(crate) seed: u64,
}

/// Most trajectories of a check, whose f64 computation takes one processor core.
const MOST_CHECKED: usize = 1 << 20;

fn checkable(text: &str) -> Result<usize, Error> {
    text.parse().ok().filter(|n| (1..=MOST_CHECKED).contains(n)).ok_or_else(|| Error::Invalid {
        what: "number".into(),
        problem: format!("'{text}'"),
        remedy: format!("use a whole number ≥ 1 and ≤ {MOST_CHECKED}"),
    })
}

fn at_least_one(text: &str) -> Result<usize, Error> {
    text.parse().ok().filter(|n| *n > 0).ok_or_else(|| Error::Invalid {
        what: "number".into(),
        problem: format!("'{text}'"),
        remedy: "use a whole number ≥ 1".into(),
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definitions_are_consistent() {
        Cli::command().debug_assert();
    }
}
