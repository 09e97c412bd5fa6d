//! `mcir-quantize`: f32 model files to int8 model files, and what that costs.
//!
//! Exit codes: 0 done, 1 failed, 2 wrong usage, 3 the PSNR gate is not met.

mod commands;

use clap::{CommandFactory as _, Parser, Subcommand};
use std::process::ExitCode;

/// Quantize super-resolution models to int8 and measure what it costs.
#[derive(Parser)]
#[command(name = "mcir-quantize", version, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Run(commands::run::Args),
    Check(commands::check::Args),
    Inspect(commands::inspect::Args),
    Prepare(commands::prepare::Args),
    ExportOnnx(commands::export_onnx::Args),
    Import(commands::import::Args),
    Completions(commands::package::CompletionsArgs),
    #[command(hide = true)]
    Package(commands::package::Args),
}

fn main() -> ExitCode {
    let cli = Cli::try_parse().unwrap_or_else(|error| {
        if error.use_stderr() {
            mcir_files::terminal::fail_json(error.to_string().trim_end(), None, 2);
        }
        error.exit()
    });
    let result = match cli.command {
        Command::Run(args) => commands::run::run(&args),
        Command::Check(args) => commands::check::run(&args),
        Command::Inspect(args) => commands::inspect::run(&args),
        Command::Prepare(args) => commands::prepare::run(&args),
        Command::ExportOnnx(args) => commands::export_onnx::run(&args),
        Command::Import(args) => commands::import::run(&args),
        Command::Completions(args) => commands::package::completions(&args, Cli::command()),
        Command::Package(args) => commands::package::run(&args, &Cli::command()),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            mcir_files::terminal::fail(&one_line(&error), None, 1);
            ExitCode::FAILURE
        }
    }
}

/// The error and its causes, less those that a message before them quotes.
fn one_line(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |line, cause| {
        match (line.is_empty(), line.contains(&cause)) {
            (true, _) => cause,
            (false, true) => line,
            (false, false) => line + ": " + &cause,
        }
    })
}
