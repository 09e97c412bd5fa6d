//! What can go wrong between a bundle and a board.

use super::advice;
use mcir_files::name::escaped;
use mcir_upscale::error::{Advice, Error};
use std::io;
use std::path::PathBuf;

/// An error of deployment. [`DeployError::help`] says what to do next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeployError {
    /// A target that is neither form.
    #[error("`{text}` is not a target: {reason}")]
    Target {
        /// As given.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The program that leads to the board cannot be started or ends early.
    #[error("cannot reach {target}: {reason}")]
    Connect {
        /// The target.
        target: String,
        /// What ssh or the shell says.
        reason: String,
    },
    /// The connection ended in the middle.
    #[error("the connection to {target} ended while it was to {doing}: {reason}")]
    Lost {
        /// The target.
        target: String,
        /// A verb and its object.
        doing: String,
        /// What ssh, the shell or the program there says.
        reason: String,
    },
    /// What the program on the board answers is not understood.
    #[error("the program on {target} answers in a way that this one does not know: {reason}")]
    Protocol {
        /// The target.
        target: String,
        /// What is wrong.
        reason: String,
    },
    /// An error that the program on the board reports, in its words.
    #[error("{target}: {message}")]
    Board {
        /// The target.
        target: String,
        /// Its message.
        message: String,
        /// Its help.
        help: String,
    },
    /// Nothing was flashed there yet.
    #[error("nothing has been flashed to {target} yet")]
    Fresh {
        /// The target.
        target: String,
    },
    /// The file is not a bundle.
    #[error("{} is not a usable bundle: {reason}", path.display())]
    Bundle {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The manifest of a bundle or slot breaks a rule.
    #[error("the manifest is not usable: {reason}")]
    Manifest {
        /// Which rule, with the value found and the limit.
        reason: String,
    },
    /// A part does not have the content that the manifest promises.
    #[error("{part} has the SHA-256 {found}, but the manifest says {expected}")]
    Hash {
        /// The part, or its file.
        part: String,
        /// As the manifest says.
        expected: String,
        /// As it is.
        found: String,
    },
    /// A key that cannot be used.
    #[error("the key {key} cannot be used: {reason}")]
    Key {
        /// The file, or the text of the key.
        key: String,
        /// Why.
        reason: String,
    },
    /// Neither a bundle nor a model was named.
    #[error("there is nothing to flash: name a bundle, or a model with -m")]
    NothingToFlash,
    /// A signature was asked for and there is none.
    #[error("{} is not signed", path.display())]
    Unsigned {
        /// The bundle.
        path: PathBuf,
    },
    /// The signature is not of this key and manifest.
    #[error("the signature of {} is not good: {reason}", path.display())]
    Signature {
        /// The bundle.
        path: PathBuf,
        /// What the check says.
        reason: String,
    },
    /// A program that is no ELF executable or not for Linux.
    #[error("{} is not a program for boards: {reason}", path.display())]
    Program {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A program for another processor than the board's.
    #[error("the program is for {program}, but {board} is {found}")]
    Architecture {
        /// Architecture of the program.
        program: String,
        /// The board or target.
        board: String,
        /// Its architecture.
        found: String,
    },
    /// The bundle was made for another board.
    #[error("the bundle is for {bundle}, but {target} is {found}")]
    OtherBoard {
        /// Board that the manifest names.
        bundle: String,
        /// The target.
        target: String,
        /// What the target is.
        found: String,
    },
    /// The bundle is older than what runs.
    #[error(
        "the bundle is older than what runs on {place}: its counter is {found}, and there it is {current}"
    )]
    Downgrade {
        /// Of the bundle.
        found: u64,
        /// The board.
        place: String,
        /// Of what runs.
        current: u64,
    },
    /// The model computes something else there.
    #[error("the self-test on {isa} gave the CRC {found}, but the manifest says {expected}")]
    SelfTest {
        /// Instruction set that was used.
        isa: String,
        /// As the manifest says.
        expected: String,
        /// As computed.
        found: String,
    },
    /// The program of a slot does not run.
    #[error("the program {} does not run: {reason}", path.display())]
    ProgramFails {
        /// The program.
        path: PathBuf,
        /// Exit status and its last words.
        reason: String,
    },
    /// Not enough space for the bundle.
    #[error("{} has {free} bytes free, but {needed} are needed", path.display())]
    NoSpace {
        /// Where the slots are.
        path: PathBuf,
        /// Bytes free.
        free: u64,
        /// Bytes needed.
        needed: u64,
    },
    /// Another program changes the slots.
    #[error("{} is in use: another flash, rollback or prune is at work", path.display())]
    Locked {
        /// Where the slots are.
        path: PathBuf,
    },
    /// No earlier slot to go back to.
    #[error("there is no previous slot in {}", path.display())]
    NoPrevious {
        /// Where the slots are.
        path: PathBuf,
    },
    /// The health check failed, and the board is back to what it ran before.
    #[error("the health check failed: {reason}; {state}")]
    Unhealthy {
        /// What the check says.
        reason: String,
        /// What runs now.
        state: String,
    },
    /// A service could not be installed.
    #[error("the service cannot be installed: {reason}")]
    Service {
        /// What systemctl says, or what is missing.
        reason: String,
    },
    /// Some boards could not be measured; each was reported when it failed.
    #[error("{failed} of {total} targets could not be measured")]
    SomeTargets {
        /// Boards that failed.
        failed: usize,
        /// Boards that were asked for.
        total: usize,
    },
    /// A tool that is needed ended with an error.
    #[error("{tool} failed: {reason}")]
    Tool {
        /// The program.
        tool: String,
        /// Its last words.
        reason: String,
    },
    /// A partition that cannot hold what it should.
    #[error("{}: {reason}", path.display())]
    Raw {
        /// The partition or file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Options that do not go together or make no sense.
    #[error("{what}")]
    Usage {
        /// What is wrong.
        what: String,
        /// What to give instead.
        help: &'static str,
    },
    /// Reading or writing failed.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// A verb: read, write, create, list.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl DeployError {
    /// What the program on a board reports, with commands that lead there in its help.
    pub fn board(target: &str, message: String, help: &str) -> Self {
        let message = escaped(&message);
        Self::Board { target: target.into(), message, help: advice::at(target, &escaped(help)) }
    }

    /// For `map_err` on file operations.
    pub fn io(action: &'static str, path: &std::path::Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.into(), source }
    }

    /// The next thing to try, as one sentence without a full stop.
    pub fn help(&self) -> String {
        match self {
            Self::Target { .. } => "say ssh://user@host, ssh://user@host:port/folder or local:FOLDER".into(),
            Self::Connect { target, reason } | Self::Lost { target, reason, .. } => {
                advice::connection(target, reason)
            }
            Self::Protocol { target, .. } | Self::Fresh { target } => advice::at(
                target,
                "flash a bundle that was made with this version: mcir-board flash X.bundle --target …",
            ),
            Self::Board { help, .. } => help.clone(),
            Self::Bundle { .. } | Self::Manifest { .. } | Self::Hash { .. } => {
                "copy the bundle again, or make it again with mcir-board bundle".into()
            }
            Self::Key { .. } => "make a pair with mcir-board keygen -o NAME, or use minisign's".into(),
            Self::NothingToFlash => "mcir-board flash -m edsr-edge-x4 --target ssh://USER@HOST; mcir-board models lists others".into(),
            Self::Unsigned { .. } => "sign it with --sign NAME.key, where it is made: mcir-board bundle, or flash -m".into(),
            Self::Signature { .. } => {
                "do not flash it; ask its maker for the bundle and the key over another way".into()
            }
            Self::Program { .. } => "build it: cargo build --release -p mcir-boards --target \
                 aarch64-unknown-linux-musl, and give target/…/release/mcir-board to --program (--binary of bundle and compare)"
                .into(),
            Self::Architecture { found, .. } => advice::program_for(found),
            Self::OtherBoard { .. } => {
                "check --target, make a bundle for this board with --board, leave --board out, or flash it all the \
                 same with --any-board"
                    .into()
            }
            Self::Downgrade { .. } => {
                "flash a newer bundle, or this one all the same with --allow-downgrade; mcir-board rollback goes back to \
                 what ran before"
                    .into()
            }
            Self::SelfTest { .. } => "the board still runs what it ran before; please report this with the \
                 output of mcir-board info --target …"
                .into(),
            Self::ProgramFails { .. } => {
                "try the static program: build with --target aarch64-unknown-linux-musl".into()
            }
            // The board does not know how it is reached; the workstation fills that in.
            Self::NoSpace { path, .. } => advice::at(
                &path.to_string_lossy(),
                "free some: mcir-board prune --target …; on the board, `df -h` shows what is full",
            ),
            Self::Locked { .. } => "wait until it has ended, then try again".into(),
            Self::NoPrevious { .. } => "flash the bundle that you want to run".into(),
            Self::Unhealthy { .. } => "run the check by hand on the board, or give it more time with \
                 --health-timeout; of a service, `journalctl -u mcir` (or its --service-name) shows more there"
                .into(),
            Self::Service { .. } => "flash without --service and start the program in your own way".into(),
            Self::SomeTargets { .. } => "see the message for each of them above".into(),
            // RAUC runs it, and packages of RAUC only recommend it.
            Self::Tool { reason, .. } if reason.contains("mksquashfs") => {
                "install it: sudo apt install squashfs-tools".into()
            }
            Self::Tool { tool, .. } => format!("see what it says; `{tool} --help` tells what it takes"),
            Self::Raw { .. } => "give the right partition, or a larger one".into(),
            Self::Usage { help, .. } => (*help).into(),
            Self::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                "free some space: mcir-board prune --target …".into()
            }
            Self::Io { action: "read", .. } => "check that the file exists and can be read".into(),
            Self::Io { .. } => "check that the folder exists, can be written to and has space".into(),
        }
    }

    /// 2 when the command itself asks for something impossible, 1 for everything else.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Target { .. } | Self::Usage { .. } | Self::NothingToFlash => 2,
            _ => 1,
        }
    }
}

impl Advice for DeployError {
    fn help(&self) -> String {
        Self::help(self)
    }

    fn exit_code(&self) -> u8 {
        Self::exit_code(self)
    }
}

impl From<DeployError> for Error {
    fn from(error: DeployError) -> Self {
        Self::Room(Box::new(error))
    }
}
