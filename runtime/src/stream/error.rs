//! Why a model cannot be prepared, and why rows cannot be run.

use crate::model::NodeId;
use core::fmt;

/// Why a model cannot be prepared for a width and an instruction set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlanError {
    /// Width of 0, or wider than [`MAX_WIDTH`](crate::plan::MAX_WIDTH).
    Width {
        /// Width asked for.
        found: usize,
        /// Largest width.
        limit: usize,
    },
    /// Band height of 0, or more than [`MAX_BAND`](crate::plan::MAX_BAND).
    Band {
        /// Height asked for.
        found: usize,
        /// Largest height.
        limit: usize,
    },
    /// This processor does not have the instruction set.
    Isa {
        /// Its name.
        name: &'static str,
    },
    /// The operator has no implementation here yet.
    Unsupported {
        /// Node.
        node: NodeId,
    },
    /// Working memory and packed weights would take more than 1 GiB.
    Memory {
        /// Bytes needed, or more.
        bytes: u64,
    },
    /// The network pools the image, and of this one too little is left for its windows.
    Small {
        /// Width of the image.
        width: usize,
        /// Its height.
        height: usize,
    },
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Width { found, limit } => write!(f, "width {found} is not in 1..={limit}"),
            Self::Band { found, limit } => write!(f, "band height {found} is not in 1..={limit}"),
            Self::Isa { name } => write!(f, "this processor does not have the instruction set `{name}`"),
            Self::Unsupported { node } => write!(f, "the engine cannot run the operator of node {node}"),
            Self::Memory { bytes } => {
                write!(f, "{bytes} bytes of memory or more would be needed; the limit is 1 GiB")
            }
            Self::Small { width, height } => {
                write!(f, "an image of {width}x{height} pixels is too small for the network, which pools it")
            }
        }
    }
}

impl core::error::Error for PlanError {}

/// Why rows or an image could not be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RunError {
    /// A buffer has the wrong length.
    Length {
        /// What the buffer is.
        what: &'static str,
        /// Elements expected.
        expected: usize,
        /// Elements found.
        found: usize,
    },
    /// More rows than the image has were pushed, or an image of no rows was begun.
    Rows {
        /// Rows of the image.
        expected: usize,
        /// Rows pushed.
        found: usize,
    },
    /// The workspace is another plan's: its padding may stand for another zero point.
    Workspace,
    /// Float rows were asked from a model whose input or output is quantized.
    NotFloat,
    /// A network that [keeps the image](crate::plan::Plan::keeps_image) cannot take one of this height.
    Plan(PlanError),
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Length { what, expected, found } => {
                write!(f, "{what} has {found} elements, {expected} expected")
            }
            Self::Rows { expected, found } => write!(f, "row {found} of an image of {expected} rows"),
            Self::Workspace => write!(f, "the workspace was made by another plan"),
            Self::NotFloat => write!(f, "float rows need a model with float input and output"),
            Self::Plan(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for RunError {}
