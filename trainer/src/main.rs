//! `mcir-train`: trains, evaluates, imports and exports super-resolution networks.

mod cli;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args = cli::Args::try_parse().unwrap_or_else(|error| {
        if error.use_stderr() {
            mcir_files::terminal::fail_json(error.to_string().trim_end(), None, 2);
        }
        error.exit()
    });
    match cli::run(&args) {
        Ok(()) if cli::is_written() => ExitCode::SUCCESS,
        Ok(()) => ExitCode::FAILURE,
        Err(error) => {
            mcir_files::terminal::fail(&describe(&error), None, 1);
            ExitCode::FAILURE
        }
    }
}

/// The chain of causes, without those that an outer message already tells.
fn describe(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        cli::Args::command().debug_assert();
    }

    #[test]
    fn causes_are_told_once() {
        let io = std::io::Error::other("disk full");
        let error = anyhow::Error::new(io).context("cannot write log.csv: disk full; free some space");
        assert_eq!(describe(&error), "cannot write log.csv: disk full; free some space");
        assert_eq!(describe(&anyhow::anyhow!("a").context("b")), "b: a");
    }
}
