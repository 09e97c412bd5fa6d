//! `mcir-board completions`, and the hidden `package`: what an installed program has beside it.

use mcir_deploy::slots::service;
use mcir_files::package;
use mcir_upscale::error::Result;
use std::path::PathBuf;

/// Print a script that completes command lines of mcir-board
///
/// bash: mcir-board completions bash > ~/.local/share/bash-completion/completions/mcir-board
#[derive(Debug, Clone, clap::Args)]
pub struct Cmd {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: clap_complete::Shell,
}

/// Write what a package has beside the program below a folder: man pages, completions, the service and its user
#[derive(Debug, Clone, clap::Args)]
pub struct PackageCmd {
    /// Root of the package
    #[arg(value_name = "FOLDER")]
    root: PathBuf,
}

/// Does it, for the program's whole command line.
///
/// # Errors
/// [`Error::Files`](mcir_upscale::error::Error::Files) when the standard output cannot be written to.
pub fn run(cmd: &Cmd, program: clap::Command) -> Result<()> {
    Ok(package::print(&package::completions(cmd.shell, program))?)
}

/// Writes the files of a package and prints their paths.
///
/// # Errors
/// [`Error::Files`](mcir_upscale::error::Error::Files) when one cannot be written.
pub fn package(cmd: &PackageCmd, program: &clap::Command) -> Result<()> {
    let mut files = package::files(program);
    files.extend(service::packaged());
    Ok(package::write(&cmd.root, &files)?)
}
