//! Why something is not a model.

use crate::model::graph::NodeId;
use crate::model::params::Role;
use core::fmt;

/// Why bytes are not a model, or a graph and its weights do not fit together.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum LoadError {
    /// Shorter than the header, or than the header says.
    Truncated {
        /// Bytes needed.
        expected: u64,
        /// Bytes there.
        found: u64,
    },
    /// Bytes follow the end that the header announces.
    TrailingBytes {
        /// Bytes that the header announces.
        expected: u64,
        /// Bytes there.
        found: u64,
    },
    /// The first four bytes are not `MCIR`.
    NotAModel {
        /// The bytes found.
        found: [u8; 4],
    },
    /// Written by another version of the format.
    Version {
        /// Version in the file.
        found: u16,
        /// Newest version that this build reads; it reads all from 1.
        supported: u16,
    },
    /// A header field has an impossible value.
    Header {
        /// The field.
        field: &'static str,
    },
    /// The bytes were changed after they were written.
    Checksum {
        /// CRC-32 in the header.
        expected: u32,
        /// CRC-32 of the bytes.
        found: u32,
    },
    /// The graph section is not what postcard expects.
    Graph,
    /// No node, or the first one is not an input.
    NoInput,
    /// More nodes than can be numbered or are reasonable.
    TooManyNodes {
        /// Nodes found.
        found: usize,
    },
    /// Wrong number of inputs.
    Arity {
        /// Node.
        node: NodeId,
        /// Inputs that the operator takes.
        expected: usize,
        /// Inputs listed.
        found: usize,
    },
    /// A node reads itself or a later node.
    ForwardReference {
        /// Node.
        node: NodeId,
        /// Edge that it reads.
        input: NodeId,
    },
    /// An edge that nothing reads and that is not the output.
    Unused {
        /// Node.
        node: NodeId,
    },
    /// An `Input` operator that is not node 0.
    SecondInput {
        /// Node.
        node: NodeId,
    },
    /// Two nodes have the same name, or a name is empty or too long.
    Name {
        /// Node.
        node: NodeId,
    },
    /// Number of channels out of range.
    Channels {
        /// Node.
        node: NodeId,
        /// Channels found.
        found: u16,
    },
    /// An edge has another number of channels than its reader expects.
    ChannelMismatch {
        /// Node that reads.
        node: NodeId,
        /// Channels it expects.
        expected: u16,
        /// Channels of the edge.
        found: u16,
    },
    /// An edge has another size than the operator that reads it takes: two edges that are added differ, or something is
    /// enlarged that is no multiple of the image.
    ResolutionMismatch {
        /// Node.
        node: NodeId,
    },
    /// A parameter of an operator is out of range.
    BadParameter {
        /// Node.
        node: NodeId,
        /// Name of the parameter.
        what: &'static str,
    },
    /// A scale that is not a positive finite number, or another impossible quantization parameter.
    BadScale {
        /// Node.
        node: NodeId,
        /// Scale found.
        found: f32,
    },
    /// The operator cannot read or write edges of this dtype.
    UnsupportedDType {
        /// Node.
        node: NodeId,
    },
    /// A parameter tensor is missing, has the wrong size, or lies outside the weight section.
    Tensor {
        /// Node.
        node: NodeId,
        /// Which tensor, by position.
        index: u16,
        /// Elements expected.
        expected: u64,
        /// Elements found.
        found: u64,
    },
    /// A parameter tensor holds a value that is not allowed (NaN, infinity, −128, a scale of 0).
    Value {
        /// Node.
        node: NodeId,
        /// Tensor.
        role: Role,
        /// Element.
        index: u32,
    },
    /// The 32-bit accumulator of a convolution could overflow.
    Accumulator {
        /// Node.
        node: NodeId,
        /// Output channel.
        channel: u16,
    },
    /// The whole is larger than a supported model: channels, weights or work a pixel.
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Value found.
        found: u64,
        /// Largest value allowed.
        limit: u64,
    },
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Truncated { expected, found } => {
                write!(f, "model is truncated: {expected} bytes expected, {found} found")
            }
            Self::TrailingBytes { expected, found } => {
                write!(f, "model has trailing bytes: {expected} bytes expected, {found} found")
            }
            Self::NotAModel { found } => {
                write!(f, "not a model file: it starts with {found:02x?}, not with \"MCIR\"")
            }
            Self::Version { found, supported } => {
                write!(f, "model format version {found} is not supported (versions 1 to {supported} are)")
            }
            Self::Header { field } => write!(f, "model header is damaged: field `{field}`"),
            Self::Checksum { expected, found } => {
                write!(f, "model is damaged: CRC-32 is {found:08x}, its header says {expected:08x}")
            }
            Self::Graph => write!(f, "the graph section of the model cannot be decoded"),
            Self::NoInput => write!(f, "the graph does not start with an input"),
            Self::TooManyNodes { found } => write!(f, "the graph has {found} nodes, too many"),
            Self::Arity { node, expected, found } => {
                write!(f, "node {node} has {found} inputs, its operator takes {expected}")
            }
            Self::ForwardReference { node, input } => {
                write!(f, "node {node} reads edge {input}, which is not computed before it")
            }
            Self::Unused { node } => write!(f, "nothing reads the edge of node {node}"),
            Self::SecondInput { node } => write!(f, "node {node} is an input, but only node 0 can be"),
            Self::Name { node } => write!(f, "the name of node {node} is empty, too long or not unique"),
            Self::Channels { node, found } => write!(f, "node {node} has {found} channels"),
            Self::ChannelMismatch { node, expected, found } => {
                write!(f, "node {node} expects {expected} channels, the edge it reads has {found}")
            }
            Self::ResolutionMismatch { node } => {
                write!(f, "node {node} reads an edge of another size than its operator takes")
            }
            Self::BadParameter { node, what } => {
                write!(f, "parameter `{what}` of node {node} is out of range")
            }
            Self::BadScale { node, found } => {
                write!(f, "the edge of node {node} has the quantization scale {found}, or a wrong zero point")
            }
            Self::UnsupportedDType { node } => {
                write!(f, "the operator of node {node} does not support the dtypes of its edges")
            }
            Self::Tensor { node, index, expected, found } => {
                write!(f, "tensor {index} of node {node} has {found} elements, {expected} expected")
            }
            Self::Value { node, role, index } => {
                write!(f, "element {index} of the {role:?} of node {node} is not an allowed value")
            }
            Self::Accumulator { node, channel } => {
                write!(f, "output channel {channel} of node {node} could overflow its 32-bit accumulator")
            }
            Self::TooLarge { what, found, limit } => {
                write!(f, "the model is too large: {what} is {found}, the limit {limit}")
            }
        }
    }
}

impl core::error::Error for LoadError {}
