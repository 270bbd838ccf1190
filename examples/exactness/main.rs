//! The evidence behind `docs/exact-gradients.md`: every number and plot of that page, made again by one command.
//!
//! `cargo run --release --example exactness -- drift --machine lavapipe-2-cores` (and `limits`, `memory`, `time`,
//! `training`), or `make exactness` for all. Each prints its table and writes it as CSV and JSON to `benches/results/<machine>`, and
//! its plots to `docs/plots`.

mod drift;
mod figure;
mod limits;
mod memory;
mod output;
mod problems;
mod time;
mod training;

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use costate::{AdapterRequest, Gpu};

use output::Output;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Measures what the page on exact gradients says.
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    what: What,
    /// Name of the machine: the folder of the results.
    #[arg(long, global = true, default_value = "local", value_parser = machine_name)]
    machine: String,
    /// Folder for plots.
    #[arg(long, global = true, default_value = "docs/plots")]
    plots: PathBuf,
    /// Folder for numbers.
    #[arg(long, global = true, default_value = "benches/results")]
    results: PathBuf,
    /// Adapter, by its index or a part of its name.
    #[arg(long, global = true)]
    adapter: Option<String>,
}

/// The name of a folder, and no path.
fn machine_name(text: &str) -> std::result::Result<String, String> {
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    if plain && text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return Ok(text.to_owned());
    }
    Err("use letters, digits, '.', '-' and '_', a letter or digit first".to_owned())
}

#[derive(Subcommand)]
enum What {
    /// Drift of the reconstruction and error of the gradient, for every scheme, over steps and over time.
    Drift(drift::Options),
    /// Few steps, oscillations, very many steps.
    Limits(limits::Options),
    /// Bytes on the device over the number of steps; nothing is allocated.
    Memory(memory::Options),
    /// Wall time of loss and gradient, relative to stored states.
    Time(time::Options),
    /// Loss curves with stored, exact and backsolve gradients.
    Training(training::Options),
}

fn main() -> Result<()> {
    let args = Args::parse();
    let gpu = Gpu::new(&AdapterRequest { adapter: args.adapter, ..AdapterRequest::default() })?;
    let output = Output::new(&gpu, &args.results.join(&args.machine), &args.plots)?;
    println!("{}, {}", gpu.adapter(), gpu.driver());
    match args.what {
        What::Drift(options) => drift::run(&gpu, &output, &options),
        What::Limits(options) => limits::run(&gpu, &output, &options),
        What::Memory(options) => memory::run(&gpu, &output, &options),
        What::Time(options) => time::run(&gpu, &output, &options),
        What::Training(options) => training::run(&gpu, &output, &options),
    }
}
