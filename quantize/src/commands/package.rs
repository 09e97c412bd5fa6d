//! `mcir-quantize completions` and the hidden `package`: what an installed program has beside it.

use anyhow::Result;
use mcir_files::package;
use std::path::PathBuf;
use std::process::ExitCode;

/// Print a script that completes command lines of mcir-quantize
#[derive(clap::Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: clap_complete::Shell,
}

/// Write man pages and completions below a folder
#[derive(clap::Args)]
pub struct Args {
    /// Root of the package
    #[arg(value_name = "FOLDER")]
    root: PathBuf,
}

pub fn completions(args: &CompletionsArgs, program: clap::Command) -> Result<ExitCode> {
    package::print(&package::completions(args.shell, program))?;
    Ok(ExitCode::SUCCESS)
}

pub fn run(args: &Args, program: &clap::Command) -> Result<ExitCode> {
    package::write(&args.root, &package::files(program))?;
    Ok(ExitCode::SUCCESS)
}
