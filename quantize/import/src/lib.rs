//! Networks that people have, as models of the engine.
//!
//! A file is read into a [`net::Net`], operators of ONNX between named edges, whatever its format ([`onnx`], [`ncnn`], and
//! [`dict`] for files that hold only weights); followed with an image to
//! find out what it does to channels, rows and columns; brought to the engine's operators; and made smaller. What cannot be
//! done is refused with the node's name, what it is, and the nearest thing that works.
//!
//! Files are not trusted: sizes are checked before anything is built, and nothing in them is run.

mod array;
pub mod dict;
mod draft;
pub mod error;
mod lower;
pub mod ncnn;
pub mod net;
pub mod onnx;
mod range;
mod view;

pub use error::ImportError;
pub use range::{Range, import_by_range};

use draft::Draft;
use mcir_runtime::model::Model;
use net::Net;

/// What is not in the file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Options {
    /// Name of the model.
    pub name: String,
    /// The largest pixel value that the network works with, 1 or 255. Without, it is what the network says, and 1 if it says
    /// nothing.
    pub range: Option<f32>,
    /// What is taken from the image before the network and added behind it, in 0..1.
    pub mean: Option<[f32; 3]>,
}

/// Sizes that a network is followed with where its file leaves them open, height and width: no two alike, none a number of
/// channels, in units of what networks with windows and strides ask for.
const SIZES: [[usize; 2]; 2] = [[3, 5], [7, 4]];
/// That unit.
const UNIT: usize = 16;
/// The same for networks that halve the image again and again, and for those that divide it by other numbers.
const UNITS_OF_STRIDES: [usize; 2] = [64, 960];

/// Makes a model of a network.
///
/// # Errors
/// Any [`ImportError`].
pub fn import(net: &Net, options: &Options) -> Result<Model, ImportError> {
    let range = options.range.or(net.range).unwrap_or(1.0);
    // Without strides that divide the image first: such a network takes images of any size.
    let mut draft = follow(net, None, range, options);
    for unit in UNITS_OF_STRIDES {
        if let Err(ImportError::Unsupported { .. } | ImportError::Output { .. }) = draft {
            draft = follow(net, Some(unit), range, options);
        }
    }
    let draft = draft?;
    let metadata = vec![("name".into(), options.name.clone())];
    draft.model(metadata)
}

/// Follows the network, with two sizes of the image where any goes in, of units that strides divide if they are to leave an exact
/// fraction.
fn follow(net: &Net, unit: Option<usize>, range: f32, options: &Options) -> Result<Draft, ImportError> {
    let open = fixed(net).is_none();
    let padding =
        if open && net.layers.iter().any(|layer| layer.kind == "Pad") { lower::multiple(net) } else { None };
    let follow = |size: [usize; 2]| {
        let mut draft = lower::lower(net, size, unit.is_some(), range, options.mean)?;
        if let Some((multiple, mode)) = padding {
            draft.padding = Some((multiple, mode));
        }
        draft::simplify(&mut draft);
        Ok::<_, ImportError>(draft)
    };
    match fixed(net) {
        Some(size) => follow(size),
        None => {
            let unit =
                draft::common_multiple(unit.unwrap_or(UNIT), padding.map_or(1, |(multiple, _)| multiple));
            let [first, second] = SIZES.map(|size| follow(size.map(|side| side * unit)));
            let [first, second] = [first?, second?];
            if let Some((a, b)) = first.nodes.iter().zip(&second.nodes).find(|(a, b)| !a.is_like(b)) {
                return Err(ImportError::Size(format!("{} becomes {}", a.name, b.name)));
            }
            if first.margin != second.margin {
                return Err(ImportError::Size("it takes other parts of the image".into()));
            }
            Ok(first)
        }
    }
}

/// Height and width, if the file says both.
fn fixed(net: &Net) -> Option<[usize; 2]> {
    let dims = &net.inputs.first()?.dims;
    match dims[..] {
        [_, Some(1 | 3), Some(h), Some(w)] | [_, Some(h), Some(w), Some(1 | 3)] => Some([h, w]),
        _ => None,
    }
}
