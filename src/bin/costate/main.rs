//! The command line of costate: arguments in, files and a report out. All the work is the library's.

mod cli;
mod commands;
mod config;
mod help;
mod output;
mod plots;
mod signals;

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;
use tracing_subscriber::EnvFilter;

use cli::{Cli, Command};
use commands::{Outcome, adapters, bench, check, gradient, solve, train};

/// Failed run or failed check.
const FAILED: u8 = 1;
/// Bad usage or input.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    set_runtime_folder();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => return usage(&e),
    };
    log_to_stderr(cli.global.verbose);
    let done = match &cli.command {
        Command::Solve(args) => solve::run(args, &cli.global),
        Command::Gradient(args) => gradient::run(args, &cli.global),
        Command::Train(args) => train::run(args, &cli.global),
        Command::Check(args) => check::run(args, &cli.global),
        Command::Bench(args) => bench::run(args, &cli.global),
        Command::Adapters => adapters::run(&cli.global),
    };
    match done {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Failed(sentence)) => fail(&sentence, FAILED),
        Ok(Outcome::Interrupted(signal, sentence)) => fail(&sentence, signal.exit_code()),
        Err(e) => {
            let e = match cli.command.description() {
                Some(path) => config::named(path, e),
                None => e,
            };
            fail(&e.to_string(), if e.is_usage() { USAGE } else { FAILED })
        }
    }
}

/// Starts this program again, as the same process, with `XDG_RUNTIME_DIR` set, if it is not.
///
/// Mesa's Vulkan layer looks for a Wayland display whenever adapters are listed, and without that variable libwayland
/// prints two lines of errors each time. The variables of a program that runs can only be changed by `unsafe`. Nothing lies
/// below the value given here, so nobody else can put a display there.
#[cfg(all(unix, not(target_os = "macos")))]
fn set_runtime_folder() {
    use std::os::unix::process::CommandExt as _;
    const NAME: &str = "XDG_RUNTIME_DIR";
    // What libwayland takes.
    if std::env::var_os(NAME).is_some_and(|folder| std::path::Path::new(&folder).is_absolute()) {
        return;
    }
    let Ok(program) = std::env::current_exe() else { return };
    let mut arguments = std::env::args_os();
    let mut again = std::process::Command::new(program);
    if let Some(name) = arguments.next() {
        again.arg0(name);
    }
    // It returns only if that fails, and then the lines are all that is lost.
    let _ = again.args(arguments).env(NAME, "/dev/null").exec();
}

/// Only Unix systems with Wayland have it.
#[cfg(not(all(unix, not(target_os = "macos"))))]
fn set_runtime_folder() {}

/// One sentence on standard error, whatever a driver or parser put into the message.
fn fail(message: &str, code: u8) -> ExitCode {
    output::note(&format!("error: {}", one_line(message)));
    ExitCode::from(code)
}

/// Help goes to standard output; anything else that the parser has to say becomes one sentence.
fn usage(error: &clap::Error) -> ExitCode {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return fail("a subcommand is missing; `costate --help` lists them", USAGE);
    }
    let text = error.to_string();
    // After the sentence come a tip, the usage and a pointer to the help, each after an empty line.
    let (sentence, rest) = text.split_once("\n\n").unwrap_or((&text, ""));
    let tip = rest.lines().find_map(|line| line.trim().strip_prefix("tip: "));
    let tip = tip.map_or(String::new(), |tip| format!(" ({tip})"));
    let sentence = one_line(sentence.strip_prefix("error: ").unwrap_or(sentence));
    fail(&format!("{sentence}{tip}; `costate --help` and `costate SUBCOMMAND --help` tell more"), USAGE)
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Warnings and long compiling by default, RUST_LOG if it is set and no `-v` is given.
fn log_to_stderr(verbose: u8) {
    let level = match verbose {
        0 => "warn",
        1 => "info",
        _ => "debug",
    };
    // Kernels that take long to compile are told in any case.
    let compile = if verbose < 2 { "info" } else { "debug" };
    let filter = match EnvFilter::try_from_default_env() {
        Ok(filter) if verbose == 0 => filter,
        // Warnings about a run are in its report, and come with that.
        _ => EnvFilter::new(format!(
            "{level},costate::problem=error,costate::train=error,costate::gpu::compile={compile}"
        )),
    };
    let subscriber = tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(filter).without_time();
    // Only a second subscriber could be in the way, and there is none.
    let _ = subscriber.with_target(false).try_init();
}
