//! The command line of costate.

#![allow(dead_code, unused_imports, reason = "the subcommands that use these modules are not here yet")]

mod config;
mod plots;

fn main() {}
