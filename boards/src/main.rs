//! `mcir-board`: upscale images and compare models, on a workstation or on a board.
//!
//! Results go to the standard output, progress and messages to the standard error. Exit codes: 0 done,
//! 1 failed, 2 wrong usage, 3 a floor is not reached.

use clap::{Parser, Subcommand};
use mcir_boards::{bench, compare, results, upscale};
use std::process::ExitCode;

/// Super-resolution on small devices
#[derive(Debug, Parser)]
#[command(name = "mcir-board", version)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Upscale(upscale::Cmd),
    Compare(compare::Cmd),
    Bench(bench::Cmd),
    Results(results::Cmd),
}

fn main() -> ExitCode {
    let result = match Cli::parse().verb {
        Verb::Upscale(cmd) => upscale::run(&cmd),
        Verb::Compare(cmd) => compare::run(&cmd),
        Verb::Bench(cmd) => bench::run(&cmd),
        Verb::Results(cmd) => results::run(&cmd),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}\n  help: {}", error.help());
            ExitCode::from(error.exit_code())
        }
    }
}
