//! Published PyTorch weights: what network a state dict is, under the names that [`Net`](crate::net::Net) has.
//!
//! Networks that the engine runs are found by [`mcir_import::dict`], which `mcir-quantize import` uses too. Three more are
//! known here, to train them further and to evaluate them:
//!
//! | network | recognised by |
//! |---|---|
//! | NAFNet | `intro.weight`, `middle_blks.0.beta` |
//! | DehazeFormer | `patch_embed.proj.weight`, `layer1.blocks.0.attn.V.weight` |
//! | IDT | `input_proj.proj.0.weight`, `dowsample_0.conv.0.weight` |

use crate::export;
use crate::net::{dehazeformer, idt, nafnet};
use crate::trained::Trained;
use crate::weights::{Tensors, WeightsError};
use mcir_import::dict::{self, Fault};
use std::path::{Path, PathBuf};

/// Why weights cannot be imported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The file is not there, or cannot be understood.
    #[error(transparent)]
    File(#[from] mcir_checkpoint::Error),
    /// The tensors are of no known network, or not all of one.
    #[error("{path} cannot be imported: {source}")]
    Network {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        source: mcir_import::ImportError,
    },
    /// A tensor has a shape that no network of its kind has.
    #[error("tensor {name} has shape {found:?}, which fits no such network; expected {expected}")]
    Shape {
        /// Name in the file.
        name: String,
        /// Its shape.
        found: Vec<usize>,
        /// What would fit.
        expected: &'static str,
    },
    /// The tensors do not make the network that was recognised.
    #[error(transparent)]
    Weights(#[from] WeightsError),
}

/// Settings that a state dict does not hold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// The network subtracts a mean, as published ones do: that of DIV2K in EDSR, which works on 0..255, and SwinIR, that of
    /// RESIDE in FFA-Net, which also divides by a deviation.
    pub mean_shift: bool,
    /// Factor on each residual; `None` takes that of the publication.
    pub res_scale: Option<f32>,
    /// By how much it enlarges, where a file holds several networks or cannot tell; `None` takes an x2, x3 or x4 in the name of
    /// the file.
    pub scale: Option<usize>,
}

impl Default for Options {
    fn default() -> Self {
        Self { mean_shift: true, res_scale: None, scale: None }
    }
}

/// Reads a file and finds out which network its weights are.
///
/// # Errors
/// Any [`ImportError`].
pub fn load(path: &Path, options: &Options) -> Result<Trained, ImportError> {
    // A DehazeFormer keeps what follows from its window's size, too.
    let all = mcir_checkpoint::read(path, &|name| !name.ends_with(".attn.relative_positions"))?;
    if all.get("intro.weight").is_some() && all.get("middle_blks.0.beta").is_some() {
        let tensors = named(all);
        return Ok(Trained { architecture: detect_nafnet(&tensors)?.into(), tensors });
    }
    if all.get("patch_embed.proj.weight").is_some() && all.get("skip1.weight").is_some() {
        let tensors = named(all);
        return Ok(Trained { architecture: detect_dehazeformer(&tensors)?.into(), tensors });
    }
    if all.get("input_proj.proj.0.weight").is_some() && all.get("dowsample_0.conv.0.weight").is_some() {
        let tensors = named(all);
        return Ok(Trained { architecture: detect_idt(&tensors)?.into(), tensors });
    }
    let plain = !options.mean_shift;
    let mut known = dict::Options {
        scale: options.scale,
        range: plain.then_some(1.0),
        mean: plain.then_some([0.0; 3]),
        res_scale: options.res_scale,
        slope: None,
    };
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let mut found = dict::import(&all, &known, &stem);
    if let Err(mcir_import::ImportError::Weights { why: Fault::Scale { of, given: None }, .. }) = &found
        && let Some(scale) = dict::scale_in(&stem, of)
    {
        known.scale = Some(scale);
        found = dict::import(&all, &known, &stem);
    }
    let found = found.map_err(|source| ImportError::Network { path: path.into(), source })?;
    Ok(Trained { architecture: found.model.graph().clone().into(), tensors: export::tensors(&found.model) })
}

/// Reads all float tensors of a `.safetensors`, `.pth` or `.pt` file.
///
/// The state dict may lie below keys and its names behind prefixes that trainers use; averaged weights are preferred. See
/// [`mcir_checkpoint`].
///
/// # Errors
/// The file is not there or is neither format.
pub fn read(path: &Path) -> Result<Tensors, ImportError> {
    read_where(path, &|_| true)
}

/// [`read`], but only tensors whose names are wanted: nine tenths of a VGG are layers that nobody asks for.
///
/// # Errors
/// As [`read`].
pub fn read_where(path: &Path, wanted: &dyn Fn(&str) -> bool) -> Result<Tensors, ImportError> {
    Ok(named(mcir_checkpoint::read(path, wanted)?))
}

fn named(all: mcir_checkpoint::Tensors) -> Tensors {
    let mut tensors = Tensors::default();
    all.into_iter().for_each(|(name, (shape, values))| tensors.insert(name, shape, values));
    tensors
}

fn shape4(tensors: &Tensors, name: &str, expected: &'static str) -> Result<[usize; 4], ImportError> {
    let found = tensors.shape(name).unwrap_or_default();
    let wrong = || ImportError::Shape { name: name.into(), found: found.to_vec(), expected };
    <[usize; 4]>::try_from(found).map_err(|_| wrong())
}

/// How many of the names that `name` makes of 0, 1, … are there.
fn count(tensors: &Tensors, name: impl Fn(usize) -> String) -> usize {
    (0..).take_while(|&i| tensors.shape(&name(i)).is_some()).count()
}

/// Saturates: no network is that large, and the graph's own validation has the last word.
fn small(n: usize) -> u16 {
    u16::try_from(n).unwrap_or(u16::MAX)
}

/// The NAFNet that has tensors of these shapes.
fn detect_nafnet(tensors: &Tensors) -> Result<nafnet::Config, ImportError> {
    let [width, ..] = shape4(tensors, "intro.weight", "[width, 3, 3, 3]")?;
    let blocks = |part: &str| small(count(tensors, |i| format!("{part}.{i}.beta")));
    let levels = count(tensors, |i| format!("downs.{i}.weight"));
    Ok(nafnet::Config {
        width: small(width),
        enc_blk_nums: (0..levels).map(|i| blocks(&format!("encoders.{i}"))).collect(),
        middle_blk_num: blocks("middle_blks"),
        dec_blk_nums: (0..levels).map(|i| blocks(&format!("decoders.{i}"))).collect(),
    })
}

/// The IDT that has tensors of these shapes.
fn detect_idt(tensors: &Tensors) -> Result<idt::Config, ImportError> {
    let [embed_dim, ..] = shape4(tensors, "input_proj.proj.0.weight", "[embed_dim, 3, 3, 3]")?;
    let mut config = idt::Config { embed_dim: small(embed_dim), ..idt::Config::paper() };
    let block = |level: usize, i: usize| format!("{}.blocks.{i}", idt::name(level));
    let two = |name: String, expected| {
        let found = tensors.shape(&name).unwrap_or_default().to_vec();
        <[usize; 2]>::try_from(found.as_slice()).map_err(|_| ImportError::Shape { name, found, expected })
    };
    for level in 0..idt::LEVELS {
        config.depths[level] = small(count(tensors, |i| format!("{}.norm1.weight", block(level, i))));
        let table = format!("{}.attn.relative_position_bias_table", block(level, 0));
        let [_, heads] = two(table, "[places, num_heads]")?;
        config.num_heads[level] = small(heads);
    }
    let between = block(0, config.depths[0].into());
    let [pixels, _] = two(format!("{between}.attn.qkv.to_q.weight"), "[win_size², win_size²]")?;
    config.win_size = pixels.isqrt().min(255) as u8;
    let [hidden, _] = two(format!("{between}.mlp.linear1.0.weight"), "[hidden, channels]")?;
    config.mlp_ratio = small(hidden / pixels.max(1));
    if config.fault().is_none() {
        return Ok(config);
    }
    let name = format!("{}.attn.relative_position_bias_table", block(0, 0));
    let found = tensors.shape(&name).unwrap_or_default().to_vec();
    let expected = "heads that divide the channels and the pixels of a window of up to 8x8";
    Err(ImportError::Shape { name, found, expected })
}

/// The DehazeFormer that has tensors of these shapes; the window has the published 8 pixels, which no shape tells.
pub(crate) fn detect_dehazeformer(tensors: &Tensors) -> Result<dehazeformer::Config, ImportError> {
    let block = |level: usize, i: usize| format!("layer{}.blocks.{i}", level + 1);
    let mut config = dehazeformer::Config::tiny();
    for level in 0..dehazeformer::LEVELS {
        let mlp = format!("{}.mlp.mlp.0.weight", block(level, 0));
        let [hidden, dim, ..] = shape4(tensors, &mlp, "[hidden, channels, 1, 1]")?;
        let depth = count(tensors, |i| format!("{}.mlp.mlp.0.weight", block(level, i)));
        let heads = |i: usize| tensors.shape(&format!("{}.attn.attn.meta.2.bias", block(level, i)));
        let attending: Vec<usize> = (0..depth).filter(|&i| heads(i).is_some()).collect();
        config.embed_dims[level] = small(dim);
        config.mlp_ratios[level] = small(hidden / dim.max(1));
        config.depths[level] = small(depth);
        config.attn_ratio[level] = attending.len() as f32 / depth.max(1) as f32;
        let heads = attending.first().and_then(|&i| heads(i));
        // Where nothing attends they make no difference.
        let published = Some(config.num_heads[level]).filter(|&n| config.embed_dims[level].is_multiple_of(n));
        let found = heads.and_then(|shape| shape.first()).map(|&n| small(n));
        config.num_heads[level] = found.or(published).unwrap_or(1);
        if !config.embed_dims[level].is_multiple_of(config.num_heads[level].max(1)) || dim == 0 {
            let name = format!("{}.attn.attn.meta.2.bias", block(level, attending.first().map_or(0, |&i| i)));
            let found = tensors.shape(&name).unwrap_or_default().to_vec();
            return Err(ImportError::Shape { name, found, expected: "a divisor of the channels" });
        }
    }
    Ok(config)
}

#[cfg(test)]
mod tests;
