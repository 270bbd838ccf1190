//! The two derivations of the adjoint method from which this project began, with numbers.
//!
//! `cargo run --example seed`
//!
//! A blog post of 2024 derives the adjoint method twice, by autograd on three Euler steps and with a Lagrange multiplier.
//! The idea is right and the formulas have gaps. Here every quantity of both derivations is computed as it is written
//! there, as it should be, and by finite differences of the computed loss; a last part is about fields that forget where
//! they started. Ends with an error if a corrected quantity is off. `docs/seed.md` tells the story.

mod autograd;
mod euler;
mod lagrange;
mod linear;
mod merging;
mod table;

use euler::Problem;
use table::Checks;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let problem = Problem::new()?;
    println!("dx/dt = f(x, t, θ), f a tanh network: {}; all in f64 until the last part", problem.summary());
    let mut checks = Checks::default();
    autograd::run(&problem, &mut checks)?;
    lagrange::run(&problem, &mut checks)?;
    merging::run(&mut checks)?;
    checks.verdict()
}
