//! `mcir-board`: upscale images and compare models, on a workstation or on a board.
//!
//! Results go to the standard output, progress and messages to the standard error. Exit codes: 0 done,
//! 1 failed, 2 wrong usage.

use clap::{Parser, Subcommand};
use mcir_boards::{camera, compare, results, upscale};
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
    Results(results::Cmd),
    Camera(camera::Cmd),
}

fn main() -> ExitCode {
    let result = match Cli::parse().verb {
        Verb::Upscale(cmd) => upscale::run(&cmd),
        Verb::Compare(cmd) => compare::run(&cmd),
        Verb::Results(cmd) => results::run(&cmd),
        Verb::Camera(cmd) => camera::run(&cmd),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}\n  help: {}", error.help());
            ExitCode::from(error.exit_code())
        }
    }
}
