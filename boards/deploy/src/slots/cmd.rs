//! `mcir-board slot`: the board's end of `flash`, `rollback`, `status` and `prune`. Not for users.

use super::{Store, serve};
use crate::self_test;
use mcir_files::terminal;
use mcir_upscale::device::DeviceArgs;
use mcir_upscale::error::Result;
use std::path::PathBuf;

/// The board's end of flash, rollback, status and prune
#[derive(Debug, Clone, clap::Args)]
pub struct Cmd {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Clone, clap::Subcommand)]
enum Verb {
    /// Answer requests from the standard input.
    Serve {
        /// Folder with the slots.
        #[arg(long)]
        root: PathBuf,
        /// Words before the command line of a slot's program.
        #[arg(long, default_value = "")]
        run_with: String,
    },
    /// Run the self-test of the slot in a folder.
    SelfTest {
        /// The folder.
        #[arg(long)]
        dir: PathBuf,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        device: DeviceArgs,
    },
    /// Undo a switch that was interrupted.
    Recover {
        /// Folder with the slots.
        #[arg(long)]
        root: PathBuf,
    },
}

/// Does it.
///
/// # Errors
/// What keeps it from being done.
pub fn run(cmd: &Cmd) -> Result<()> {
    // Whoever logs in to flash may have any; what is on the board is for all to read and only for its owner to change.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    match &cmd.verb {
        Verb::Serve { root, run_with } => {
            serve::serve(&Store::new(root, run_with), std::io::stdin(), std::io::stdout())
        }
        Verb::SelfTest { dir, json, device } => {
            let outcome = self_test::run_slot(dir, device.open()?.as_ref())?;
            Ok(match json {
                true => terminal::print(serde_json::to_string(&outcome).expect("an outcome is plain data")),
                false => terminal::print(format_args!(
                    "{} on {} in {:.1} ms",
                    outcome.crc32, outcome.isa, outcome.ms
                )),
            }?)
        }
        Verb::Recover { root } => {
            let store = Store::new(root, "");
            if store.lock()?.recover()? {
                terminal::tell("an interrupted switch was undone");
            }
            Ok(())
        }
    }
}
