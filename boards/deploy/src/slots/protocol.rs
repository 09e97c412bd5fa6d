//! What the workstation and the program on the board say to each other: one JSON object a line, requests one
//! way, events the other; the content of a part follows its request as it is.

use super::Status;
use super::service::Service;
use crate::self_test::Outcome;
use serde::{Deserialize, Serialize};

/// Version of the protocol.
pub const VERSION: u32 = 1;
/// Longest line in bytes.
pub const MAX_LINE: u64 = 1 << 20;

/// What the workstation asks for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Begin to receive a slot.
    Begin {
        /// The manifest, as it is.
        manifest: String,
        /// Its signature.
        signature: Option<String>,
        /// It may be older than what runs.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        allow_downgrade: bool,
    },
    /// Take a part; its bytes follow.
    Put {
        /// Its name.
        part: String,
    },
    /// Check, test, switch, check the health.
    Commit(Commit),
    /// Go back to the previous slot.
    Rollback(Commit),
    /// Say what is there.
    Status {
        /// Read all files and run the self-test of what is current.
        verify: bool,
    },
    /// Clear away what is not needed.
    Prune,
}

/// How a switch is made sure of.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Commit {
    /// Command for the board's shell that must end well.
    pub health: Option<String>,
    /// Seconds that it may take.
    pub health_timeout_s: u64,
    /// Service to install and to restart.
    pub service: Option<Service>,
}

/// What the board answers. Each request is answered by any number of [`Event::Doing`] and one other.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The first line of all: the program is there.
    Ready {
        /// [`VERSION`].
        protocol: u32,
        /// Version of the program.
        version: String,
        /// Whether an interrupted switch was undone just now.
        recovered: bool,
    },
    /// Something takes time.
    Doing {
        /// What.
        what: String,
    },
    /// These parts are to be sent.
    Missing {
        /// Their names.
        parts: Vec<String>,
    },
    /// Done.
    Done,
    /// A switch was made.
    Switched {
        /// The slot that runs now.
        slot: String,
        /// Its self-test.
        self_test: Option<Outcome>,
    },
    /// What is there.
    Status(Box<Status>),
    /// Slots that were removed.
    Pruned {
        /// Their names.
        slots: Vec<String>,
        /// Bytes free now.
        free_bytes: u64,
    },
    /// It did not work.
    Failed {
        /// What is wrong.
        message: String,
        /// What to try.
        help: String,
    },
}
