//! What `compare` and the program on a board say to each other: a job in one JSON line with the bytes of its files after
//! it, and events, a JSON object a line, back.

use mcir_report::report::Report;
use serde::{Deserialize, Serialize};

/// Version of the protocol; a program that answers another number is not used.
pub const VERSION: u32 = 1;
/// Longest order in bytes.
pub const MAX_LINE: u64 = 1 << 26;
/// Most files and most bytes of one that a board takes.
pub const MAX_FILES: usize = 1 << 16;
/// See [`MAX_FILES`].
pub const MAX_FILE_BYTES: u64 = 1 << 30;

/// What is to be measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// Models, whose files follow first.
    pub models: Vec<ModelPart>,
    /// Images, whose files follow then; none for the drawn test cards.
    pub images: Vec<ImagePart>,
    /// What the images are called in the report.
    pub data: String,
    /// Names of the sets, of several: the images lie in folders `0`, `1`, …. (Not sent for one: programs before it refuse it.)
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sets: Vec<String>,
    /// Size of the image that latency is measured with.
    pub size: (usize, usize),
    /// Seconds to measure each latency for.
    pub seconds: f64,
    /// Threads.
    pub threads: Option<u16>,
    /// Whether each thread keeps to one processor. (Not sent where it is not asked for: programs before it refuse it.)
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pin: bool,
    /// Instruction set.
    pub isa: Option<String>,
}

/// A model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelPart {
    /// What to call it.
    pub name: String,
    /// Bytes that follow.
    pub bytes: u64,
    /// Size of the file that the model is from.
    pub file_bytes: usize,
}

/// An image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImagePart {
    /// Where it lies in the folder of the data, parts separated by slashes.
    pub path: String,
    /// Bytes that follow.
    pub bytes: u64,
}

/// What the board says.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The first line: the program is there.
    Ready {
        /// [`VERSION`].
        protocol: u32,
    },
    /// A step begins.
    Doing {
        /// What.
        what: String,
        /// Steps done.
        done: u64,
        /// All steps.
        total: u64,
    },
    /// The end: what was measured.
    Report(Box<Report>),
    /// The end: it did not work.
    Failed {
        /// What is wrong.
        message: String,
        /// What to try.
        help: String,
    },
}
