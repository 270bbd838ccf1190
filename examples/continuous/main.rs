//! The multiplier λ of the Lagrangian view and the adjoint a, and how the gradients that they lead to approach each other.
//!
//! `cargo run --release --example continuous`
//!
//! "Optimise, then discretise" solves the equations of λ backward; "discretise, then optimise" differentiates the computed
//! objective. In the limit λ = −a; at any step size the two gradients differ by the order of the method. Draws λ and a
//! along one trajectory, and the distance of the gradients over the step size, in f64 and on the device. Ends with an error
//! if λ ≠ −a or if an observed order is not that of the method. `docs/continuous-adjoint.md` tells the story.

#[expect(dead_code, reason = "another example draws bars with it, and failures")]
#[path = "../exactness/figure.rs"]
mod figure;
mod multiplier;
#[expect(dead_code, reason = "another example writes its numbers to files with it")]
#[path = "../exactness/output.rs"]
mod output;
mod problem;
mod refinement;
mod trajectory;

use std::path::PathBuf;

use clap::Parser;
use costate::io::write_atomically;
use costate::{AdapterRequest, Gpu};

use problem::Problem;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Draws λ and −a, and the distance of the gradients that they lead to over the step size.
#[derive(Parser)]
struct Args {
    /// Folder for plots.
    #[arg(long, default_value = "docs/plots")]
    plots: PathBuf,
    /// Adapter, by its index or a part of its name.
    #[arg(long)]
    adapter: Option<String>,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let gpu = Gpu::new(&AdapterRequest { adapter: args.adapter, ..AdapterRequest::default() })?;
    let problem = Problem::new()?;
    println!("{}; device: {}, {}", problem.summary(), gpu.adapter(), gpu.driver());
    let path = trajectory::run(&problem)?;
    let refinement = refinement::run(&problem, &gpu)?;
    std::fs::create_dir_all(&args.plots)?;
    for (name, figure) in [("continuous-path", path), ("continuous-order", refinement.figure())] {
        let file = args.plots.join(format!("{name}.svg"));
        write_atomically(&file, |out| out.write_all(figure.svg().as_bytes()))?;
    }
    refinement.check()
}
