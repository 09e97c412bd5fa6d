//! Networks whose files hold weights and no graph: PyTorch's state dicts. What a network is, is found by the names and shapes
//! of its tensors, as [spandrel](https://github.com/chaiNNer-org/spandrel) does it.
//!
//! Every family is a function that takes tensors by name and appends operators to a [`Net`]. All are tried; the one that finds
//! all its tensors and leaves none is it. So numbers of channels, blocks and groups come from the tensors, and what these
//! cannot say from the network's publication, or from [`Options`]. What follows is the same as for any other file. EDSR, SwinIR
//! and FFA-Net, which are trained here too, are the graphs of [`mcir_runtime::arch`] with the tensors by name ([`arch`]).

pub mod arch;
mod build;
mod carn;
mod chain;
mod early;
mod gated;
mod kernel;
mod rrdb;
mod srresnet;

use crate::error::ImportError;
use crate::net::Net;
use crate::range::{Range, import_by_range};
use build::{Build, Edge};
use mcir_checkpoint::Tensors;
use mcir_runtime::model::Model;

/// What weights do not say.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Options {
    /// By how much it enlarges, where the file holds several or the shapes do not tell.
    pub scale: Option<usize>,
    /// Largest pixel value that the network works with, in families that bring their input there themselves.
    pub range: Option<f32>,
    /// Mean that the network subtracts, in 0..1.
    pub mean: Option<[f32; 3]>,
    /// Factor on residuals.
    pub res_scale: Option<f32>,
    /// Slope of leaky ReLUs.
    pub slope: Option<f32>,
}

/// Why tensors are not the network of a family.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// A tensor is not there.
    Missing(String),
    /// Tensors have no place.
    Unplaced(String),
    /// A tensor is not there, and others have no place.
    Other {
        /// Its name.
        missing: String,
        /// Theirs.
        unplaced: String,
    },
    /// A tensor has another shape.
    Shape {
        /// Its name.
        name: String,
        /// Its shape.
        found: Vec<usize>,
        /// What would fit.
        expected: String,
    },
    /// The scale has to be chosen.
    Scale {
        /// Of which.
        of: Vec<usize>,
        /// What was asked for.
        given: Option<usize>,
    },
    /// It is this network, but cannot be done.
    Cannot(String),
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing(name) => write!(f, "{name} is missing"),
            Self::Unplaced(names) => write!(f, "it has no place for {names}"),
            Self::Other { missing, unplaced } => {
                write!(f, "{missing} is missing, and there is no place for {unplaced}")
            }
            Self::Shape { name, found, expected } => {
                write!(f, "{name} has the shape {found:?}; {expected} would fit")
            }
            Self::Scale { of, given: None } => {
                write!(f, "by how much it enlarges has to be said: --scale {}", alternatives(of))
            }
            Self::Scale { of, given: Some(scale) } => {
                write!(f, "there are no weights for x{scale} in it, but for --scale {}", alternatives(of))
            }
            Self::Cannot(why) => f.write_str(why),
        }
    }
}

fn alternatives(of: &[usize]) -> String {
    of.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// A network found in a state dict.
#[derive(Debug)]
pub struct Found {
    /// Its family.
    pub family: &'static str,
    /// The model.
    pub model: Model,
    /// What pixel values it works with, and how that is known.
    pub range: Range,
}

type Make = fn(&mut Build<'_>) -> Result<Edge, Fault>;

/// The families that are made of operators. Where two take the same tensors, the first is it.
const FAMILIES: [(&str, Make); 15] = [
    ("Compact (SRVGGNetCompact)", chain::compact),
    ("ESRGAN (RRDB)", rrdb::rrdb),
    ("SPAN", gated::span),
    ("RLFN", gated::rlfn),
    ("CARN", carn::carn),
    ("PlainUSR", gated::plain_usr),
    ("ECBSR", chain::ecbsr),
    ("SESR", chain::sesr),
    ("QuickSRNet or ABPN", chain::quicksrnet),
    ("XLSR", chain::xlsr),
    ("FSRCNN", early::fsrcnn),
    ("ESPCN", early::espcn),
    ("waifu2x upconv_7", early::upconv_7),
    ("SRResNet", srresnet::srresnet),
    ("MSRResNet", srresnet::msrresnet),
];

/// Networks that are known and not made of weights: tensors that they have, their name, what to do.
const KNOWN: [(&[&str], &str, &str); 9] = [
    (&["residual_layer.0.residual_layer.0.layer.0.fn.0.weight", "input.weight"], "OmniSR", ATTENTION),
    (&["layers.0.residual_group.blocks.0.conv_block.cab.0.weight"], "HAT", ATTENTION),
    (&["layers.0.blocks.0.attn.attns.0.rpe_biases"], "DAT", ATTENTION),
    (&["intro.weight", "body.0.sca.1.weight"], "NAFNet", EXPORT),
    (&["intro.weight", "middle_blks.0.beta"], "NAFNet", EXPORT),
    (&["fea_conv.0.weight", "B1.c1_d.weight"], "RFDN", EXPORT),
    (&["fea_conv.weight", "IMDB1.c1.weight"], "IMDN", EXPORT),
    (&["head.0.weight", "body.0.body.0.body.3.conv_du.0.weight"], "RCAN", EXPORT),
    (&["to_feat.weight", "feats.0.safm.aggr.weight"], "SAFMN", EXPORT),
];
/// Of what the engine has not.
const ATTENTION: &str = "its attention is of a kind that the engine does not run; SwinIR's is";
/// Of what only a graph tells.
const EXPORT: &str = "it is not read from weights; export it to ONNX with torch.onnx.export, from which networks of its kind are imported";

/// Share of the tensors that a family has to take before it is called the nearest.
const NEAR: usize = 10;
/// Names of tensors in a message.
const SHOWN: usize = 3;

/// Finds out which network the tensors of a state dict are, and makes a model of this name of it.
///
/// # Errors
/// [`ImportError::Weights`], with the nearest family and what does not fit; [`ImportError::NoFamily`]; what [`crate::import`]
/// refuses.
pub fn import(tensors: &Tensors, options: &Options, name: &str) -> Result<Found, ImportError> {
    if let Some(found) = arch::find(tensors, options) {
        let (family, graph, tensors) = found?;
        let model = arch::model(graph, &tensors, family, name)?;
        return Ok(Found { family, model, range: Range::Known(1.0) });
    }
    let (family, net, own_ends) = find(tensors, options)?;
    let (range, mean) = if own_ends { (None, None) } else { (options.range, options.mean) };
    let (model, range) = import_by_range(&net, &crate::Options { name: name.into(), range, mean })?;
    Ok(Found { family, model, range })
}

/// The family that takes all tensors, the network, and whether it brings the image to its range and mean itself.
fn find(tensors: &Tensors, options: &Options) -> Result<(&'static str, Net, bool), ImportError> {
    let mut nearest: Option<(usize, ImportError)> = None;
    for (family, make) in FAMILIES {
        let mut build = Build::new(tensors, options);
        let made = make(&mut build);
        let used = build.used();
        let left = names(build.unused());
        let fault = match made {
            Ok(_) if !left.is_empty() => Fault::Unplaced(left),
            Ok(output) => {
                let own_ends = build.own_ends;
                match build.finish(&output) {
                    Ok(net) => return Ok((family, net, own_ends)),
                    Err(fault) => fault,
                }
            }
            Err(Fault::Missing(name)) if !left.is_empty() => Fault::Other { missing: name, unplaced: left },
            Err(fault) => fault,
        };
        if nearest.as_ref().is_none_or(|(most, _)| *most < used) {
            nearest = Some((used, ImportError::Weights { family, why: fault }));
        }
    }
    let has = |names: &[&str]| names.iter().all(|name| tensors.get(name).is_some());
    if let Some((_, family, why)) = KNOWN.iter().find(|(names, ..)| has(names)) {
        return Err(ImportError::Weights { family, why: Fault::Cannot((*why).into()) });
    }
    match nearest {
        Some((used, error)) if used > 0 && used * NEAR >= tensors.len() => Err(error),
        _ => Err(ImportError::NoFamily { names: names(tensors.iter().map(|(name, ..)| name)) }),
    }
}

/// The scale that stands in the name of a file as x2 or 2x, if it is one of these and no other does.
pub fn scale_in(stem: &str, of: &[usize]) -> Option<usize> {
    let name = stem.to_lowercase();
    let words: Vec<&str> = name.split(|c: char| !c.is_ascii_alphanumeric()).collect();
    let mut there =
        of.iter().filter(|s| words.contains(&&*format!("x{s}")) || words.contains(&&*format!("{s}x")));
    there.next().copied().filter(|_| there.next().is_none())
}

/// The first of some names, and how many more there are; empty for none.
fn names<'n>(mut all: impl Iterator<Item = &'n str>) -> String {
    let first = all.by_ref().take(SHOWN).collect::<Vec<_>>().join(", ");
    match all.count() {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_stands_in_a_name_as_a_word() {
        let of = |name: &str| scale_in(name, &[2, 3, 4]);
        assert_eq!(of("fsrcnn_x3"), Some(3));
        assert_eq!(of("4x-Sharp"), Some(4));
        assert_eq!(of("fsrcnn_x2_x4"), None);
        assert_eq!(of("fsrcnn.x8"), None);
        assert_eq!(of("max2"), None);
    }
}
