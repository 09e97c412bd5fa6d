//! Why a network cannot be imported.

use crate::dict::Fault;

/// Why a network cannot be imported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The file is of no kind that is read here.
    #[error("it is neither an ONNX nor an ncnn file (.param with its .bin)")]
    Kind,
    /// The file is damaged or cut off.
    #[error("it is damaged: {0}")]
    Damaged(String),
    /// A file beside it cannot be read.
    #[error("{name}, which it refers to, cannot be read: {why}")]
    Beside {
        /// Name of the file.
        name: String,
        /// Why.
        why: String,
    },
    /// More than any network that the engine runs has.
    #[error("it has {found} {what}; at most {limit} are read")]
    TooLarge {
        /// Of what.
        what: &'static str,
        /// How many.
        found: u64,
        /// Limit.
        limit: u64,
    },
    /// Values that do not fit the sizes of a constant, or a type that is not read.
    #[error("the constant {name:?} is damaged, or of a type that is not read")]
    Constant {
        /// Its name.
        name: String,
    },
    /// A node reads what nothing wrote.
    #[error("{node} reads {name:?}, which no node before it writes")]
    Unknown {
        /// The node.
        node: String,
        /// The edge.
        name: String,
    },
    /// The input is no image of one or three channels.
    #[error(
        "the input has the sizes {found}; an image of one or three channels is needed, [1, 3, H, W] or [1, H, W, 3]"
    )]
    Input {
        /// Its sizes.
        found: String,
    },
    /// Several images go in or come out.
    #[error("the network has {found} {what}; networks with one image in and one out are imported")]
    Ends {
        /// How many.
        found: usize,
        /// Inputs or outputs.
        what: &'static str,
    },
    /// An operator that the engine has not, or not in this form.
    #[error("{node} ({kind}) cannot be done: {why}")]
    Unsupported {
        /// Name of the node.
        node: String,
        /// Its operator.
        kind: String,
        /// What is in the way, and the nearest thing that works.
        why: String,
    },
    /// The output is no enlarged image.
    #[error("the output is not an image of whole multiples of the input's sizes: {found}")]
    Output {
        /// What it is.
        found: String,
    },
    /// At another size of the image it is another network.
    #[error("the network computes something else at another size of the image: {0}")]
    Size(String),
    /// The engine refuses it.
    #[error("the engine does not take it: {0}")]
    Model(#[from] mcir_runtime::error::LoadError),
    /// Weights of a network that is not quite one of those that are known, or cannot be done.
    #[error("its weights are nearest to those of {family}: {why}")]
    Weights {
        /// The nearest family of networks.
        family: &'static str,
        /// What does not fit.
        why: Fault,
    },
    /// Weights of something else.
    #[error(
        "its weights are of no network that is known by their names ({names}); export it to ONNX with torch.onnx.export, which \
         describes any network"
    )]
    NoFamily {
        /// Names of the first tensors.
        names: String,
    },
}
