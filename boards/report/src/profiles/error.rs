//! What can go wrong with a board's profile.

use mcir_upscale::error::{Advice, Error};
use std::path::PathBuf;

/// Why a profile does not help.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// No profile of this name.
    #[error("there is no board `{name}`")]
    NoBoard {
        /// As given.
        name: String,
        /// Names that there are.
        known: String,
    },
    /// A profile file that cannot be used.
    #[error("{} is not a board profile: {reason}", path.display())]
    Profile {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// No measured speed for this kind of core.
    #[error("the speed of {isa} {precision} on {core} has not been measured yet")]
    NoEfficiency {
        /// Kind of core.
        core: String,
        /// Instruction set.
        isa: String,
        /// Kind of numbers.
        precision: String,
    },
    /// Times of frames that fit no model of the processor.
    #[error("the measured times make no sense: {times}")]
    Times {
        /// The times.
        times: String,
    },
}

impl Advice for ProfileError {
    fn help(&self) -> String {
        match self {
            Self::NoBoard { known, .. } => format!("give a TOML file, or one of: {known}"),
            Self::Profile { .. } => "`mcir-board list --toml raspberry-pi-5` prints one to start from".into(),
            Self::NoEfficiency { .. } => {
                "measure it there: mcir-board profile -o MINE.toml, then --board MINE.toml".into()
            }
            Self::Times { .. } => "measure again when the machine is idle".into(),
        }
    }

    fn exit_code(&self) -> u8 {
        match self {
            Self::NoBoard { .. } => 2,
            _ => 1,
        }
    }
}

impl From<ProfileError> for Error {
    fn from(error: ProfileError) -> Self {
        Self::Room(Box::new(error))
    }
}
