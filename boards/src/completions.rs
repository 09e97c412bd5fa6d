//! `mcir-board completions`: scripts that complete its command line in a shell.

use mcir_upscale::error::{Error, Result};
use std::io::Write;

/// Print a script that completes command lines of mcir-board
///
/// bash: mcir-board completions bash > ~/.local/share/bash-completion/completions/mcir-board
#[derive(Debug, Clone, clap::Args)]
pub struct Cmd {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: clap_complete::Shell,
}

/// Does it, for the program's whole command line.
///
/// # Errors
/// [`Error::Files`] when the standard output cannot be written to.
pub fn run(cmd: &Cmd, mut program: clap::Command) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(cmd.shell, &mut program, "mcir-board", &mut script);
    match std::io::stdout().lock().write_all(&script) {
        Err(source) if source.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::io("write", "the standard output")(source))
        }
        _ => Ok(()),
    }
}
