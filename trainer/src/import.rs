//! Published PyTorch weights: reads a state dict, recognises its layout and architecture, renames it to the
//! graph's own names.
//!
//! | layout | recognised by | networks |
//! |---|---|---|
//! | BasicSR | `conv_first.weight`, `body.0.conv1.weight` | EDSR; the graph's names |
//! | SwinIR | `conv_first.weight`, `layers.0.residual_group.…` | SwinIR with a 1-convolution residual |
//! | NAFNet | `intro.weight`, `middle_blks.0.beta` | NAFNet; to start a training from, the engine cannot run it |
//! | DehazeFormer | `patch_embed.proj.weight`, `layer1.blocks.0.attn.V.weight` | DehazeFormer; to start a training from, or to evaluate |
//! | FFA-Net | `pre.0.weight`, `g1.gp.0.conv1.weight` | FFA-Net; normalises its input unless told not to |
//! | EDSR-PyTorch | `head.0.weight`, `tail.0.0.weight` | EDSR; works on 0..255, means in `sub_mean`, `add_mean` |

use crate::config::Model;
use crate::net::{TABLE, dehazeformer, nafnet};
use crate::weights::{Tensors, WeightsError, mean_shift};
use mcir_runtime::arch::edsr::{self, Tail};
use mcir_runtime::arch::{ffanet, swinir};
use std::path::{Path, PathBuf};

/// Why weights cannot be imported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The file is not there, or cannot be understood.
    #[error(transparent)]
    File(#[from] mcir_checkpoint::Error),
    /// The tensors are of no known network.
    #[error(
        "{path} holds no network that can be imported (first of {found} tensors: {first}); EDSR in the BasicSR or EDSR-PyTorch layout, SwinIR, NAFNet, DehazeFormer and FFA-Net can be"
    )]
    Layout {
        /// The file.
        path: PathBuf,
        /// Number of tensors.
        found: usize,
        /// Name of the first.
        first: String,
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
    /// Factor on each residual; `None` takes 0.1 for 256 channels or more and 1 otherwise, as published.
    pub res_scale: Option<f32>,
}

impl Default for Options {
    fn default() -> Self {
        Self { mean_shift: true, res_scale: None }
    }
}

/// Reads a file and returns the architecture with its weights under the graph's names.
///
/// # Errors
/// Any [`ImportError`].
pub fn load(path: &Path, options: &Options) -> Result<(Model, Tensors), ImportError> {
    let mut tensors = read(path)?;
    if tensors.shape("head.0.weight").is_some() {
        tensors = from_edsr_pytorch(tensors)?;
    }
    if tensors.shape("intro.weight").is_some() {
        return Ok((Model::Nafnet(detect_nafnet(&tensors)?), tensors));
    }
    if tensors.shape("patch_embed.proj.weight").is_some() && tensors.shape("skip1.weight").is_some() {
        let config = detect_dehazeformer(&tensors)?;
        let mut named = Tensors::default();
        // What follows from the window's size.
        let parameters = tensors.iter().filter(|(name, ..)| !name.ends_with(".relative_positions"));
        parameters
            .for_each(|(name, shape, values)| named.insert(name.into(), shape.to_vec(), values.to_vec()));
        return Ok((Model::Dehazeformer(config), named));
    }
    if tensors.shape("pre.0.weight").is_some() && tensors.shape("g1.gp.0.conv1.weight").is_some() {
        let (config, tensors) = from_ffanet(&tensors, options)?;
        return Ok((Model::Ffanet(config), tensors));
    }
    let is_swinir = tensors.shape("layers.0.residual_group.blocks.0.attn.qkv.weight").is_some();
    let is_edsr = tensors.shape("body.0.conv1.weight").is_some();
    if tensors.shape("conv_first.weight").is_none() || !(is_edsr || is_swinir) {
        let first = tensors.iter().next().map_or("none", |t| t.0).to_string();
        return Err(ImportError::Layout { path: path.into(), found: tensors.len(), first });
    }
    let model = if is_swinir {
        tensors = linear_as_convolution(tensors);
        Model::Swinir(detect_swinir(&tensors, options)?)
    } else {
        Model::Edsr(detect(&tensors, options)?)
    };
    for name in ["sub_mean", "add_mean"] {
        // BasicSR and SwinIR keep the mean in their code.
        if options.mean_shift && tensors.shape(&format!("{name}.weight")).is_none() {
            let (scale, shift) = mean_shift(name, if is_swinir { 1.0 } else { edsr::IMG_RANGE });
            tensors.insert(format!("{name}.weight"), vec![3], scale.to_vec());
            tensors.insert(format!("{name}.bias"), vec![3], shift.to_vec());
        }
    }
    Ok((model, tensors))
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
    let mut tensors = Tensors::default();
    for (name, (shape, values)) in mcir_checkpoint::read(path, wanted)? {
        tensors.insert(name, shape, values);
    }
    Ok(tensors)
}

/// FFA-Net's layers as the graph has them.
fn from_ffanet(tensors: &Tensors, options: &Options) -> Result<(ffanet::Config, Tensors), ImportError> {
    let all = tensors.iter().map(|(name, shape, values)| (name.into(), shape.to_vec(), values.to_vec()));
    let (config, all) = ffanet::published(all.collect(), options.mean_shift).map_err(|misfit| {
        let found = misfit.found.unwrap_or_default();
        ImportError::Shape { name: misfit.name, found, expected: misfit.expected }
    })?;
    let mut named = Tensors::default();
    all.into_iter().for_each(|(name, shape, values)| named.insert(name, shape, values));
    Ok((config, named))
}

/// EDSR-PyTorch's names and units to BasicSR's.
fn from_edsr_pytorch(mut tensors: Tensors) -> Result<Tensors, ImportError> {
    let blocks = (0..).take_while(|i| tensors.shape(&format!("body.{i}.body.0.weight")).is_some()).count();
    let mut renamed = Tensors::default();
    for name in ["sub_mean", "add_mean"] {
        let (scale, shift) = match tensors.remove(&format!("{name}.weight")) {
            Some((shape, matrix)) => {
                let wrong = |found| ImportError::Shape {
                    name: format!("{name}.weight"),
                    found,
                    expected: "a diagonal [3, 3, 1, 1]",
                };
                let diagonal = matrix.iter().enumerate().all(|(i, &v)| i % 4 == 0 || v == 0.0);
                if shape != [3, 3, 1, 1] || !diagonal {
                    return Err(wrong(shape));
                }
                let (_, bias) = tensors.remove(&format!("{name}.bias")).unwrap_or((vec![3], vec![0.0; 3]));
                // In the file both ends are in 0..255; in the graph the images are in 0..1.
                let range = edsr::IMG_RANGE;
                let unit = |v: &f32| if name == "sub_mean" { v * range } else { v / range };
                let scale = [0, 4, 8].iter().map(|&i| unit(&matrix[i])).collect();
                let shift = if name == "sub_mean" { bias } else { bias.iter().map(|v| v / range).collect() };
                (scale, shift)
            }
            None => {
                let (scale, shift) = mean_shift(name, edsr::IMG_RANGE);
                (scale.to_vec(), shift.to_vec())
            }
        };
        renamed.insert(format!("{name}.weight"), vec![3], scale);
        renamed.insert(format!("{name}.bias"), vec![3], shift);
    }
    for (name, shape, values) in tensors.iter() {
        let (node, part) = name.rsplit_once('.').unwrap_or((name, ""));
        let node = match node.split('.').collect::<Vec<_>>()[..] {
            ["head", "0"] => "conv_first".into(),
            ["body", i, "body", "0"] => format!("body.{i}.conv1"),
            ["body", i, "body", "2"] => format!("body.{i}.conv2"),
            ["body", i] if i == blocks.to_string() => "conv_after_body".into(),
            ["tail", "0", i] => format!("upsample.{i}"),
            ["tail", "1"] => "conv_last".into(),
            // Left under its own name, it is reported as one too many.
            _ => node.to_string(),
        };
        renamed.insert(format!("{node}.{part}"), shape.to_vec(), values.to_vec());
    }
    Ok(renamed)
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

/// Factor of a tail of convolutions to four (or, once, nine) times `features` with pixel shuffles.
fn staged_upscale(tensors: &Tensors, features: usize) -> Result<u8, ImportError> {
    let expected = "[4·num_feat, num_feat, 3, 3] or, for x3, [9·num_feat, num_feat, 3, 3]";
    let [first, ..] = shape4(tensors, "upsample.0.weight", expected)?;
    let steps = count(tensors, |i| format!("upsample.{}.weight", 2 * i));
    match (first / features.max(1), steps) {
        (9, 1) => Ok(3),
        (4, 1..=3) => Ok(1 << steps),
        _ => {
            let found = tensors.shape("upsample.0.weight").unwrap_or_default().to_vec();
            Err(ImportError::Shape { name: "upsample.0.weight".into(), found, expected })
        }
    }
}

/// The EDSR that has tensors of these shapes.
fn detect(tensors: &Tensors, options: &Options) -> Result<edsr::Config, ImportError> {
    let [num_feat, channels, ..] = shape4(tensors, "conv_first.weight", "[num_feat, 3, 3, 3]")?;
    Ok(edsr::Config {
        upscale: staged_upscale(tensors, num_feat)?,
        num_feat: small(num_feat),
        num_block: small(count(tensors, |i| format!("body.{i}.conv1.weight"))),
        res_scale: options.res_scale.unwrap_or(if num_feat >= 256 { 0.1 } else { 1.0 }),
        tail: Tail::Paper,
        image_residual: None,
        channels: small(channels),
        mean_shift: options.mean_shift,
    })
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

/// Gives linear layers the shape of 1x1 convolutions and leaves out what follows from the image size.
fn linear_as_convolution(tensors: Tensors) -> Tensors {
    let mut renamed = Tensors::default();
    for (name, shape, values) in tensors.iter() {
        if name.ends_with("attn_mask") || name.ends_with("relative_position_index") {
            continue;
        }
        let shape = match *shape {
            [o, i] if name.ends_with(".weight") => vec![o, i, 1, 1],
            _ => shape.to_vec(),
        };
        renamed.insert(name.into(), shape, values.to_vec());
    }
    renamed
}

/// The SwinIR that has tensors of these shapes.
fn detect_swinir(tensors: &Tensors, options: &Options) -> Result<swinir::Config, ImportError> {
    let [embed_dim, channels, ..] = shape4(tensors, "conv_first.weight", "[embed_dim, 3, 3, 3]")?;
    let block = |i: usize, j: usize| format!("layers.{i}.residual_group.blocks.{j}");
    let groups = count(tensors, |i| format!("{}.norm1.weight", block(i, 0)));
    let table = |i: usize| {
        let name = format!("{}.attn.{TABLE}", block(i, 0));
        let found = tensors.shape(&name).unwrap_or_default().to_vec();
        <[usize; 2]>::try_from(found.as_slice()).map_err(|_| ImportError::Shape {
            name,
            found,
            expected: "[(2·window_size − 1)², num_heads]",
        })
    };
    let tables = (0..groups).map(table).collect::<Result<Vec<_>, _>>()?;
    let side = tables.first().map_or(0, |t| t[0].isqrt());
    let [hidden, ..] = shape4(tensors, &format!("{}.mlp.fc1.weight", block(0, 0)), "[hidden, embed_dim]")?;
    let before = tensors.shape("conv_before_upsample.0.weight").map(|shape| shape[0]);
    let (tail, upscale) = match before {
        Some(features) => (swinir::Tail::Classical(small(features)), staged_upscale(tensors, features)?),
        None => {
            let [outputs, ..] = shape4(tensors, "upsample.0.weight", "[3·upscale², embed_dim, 3, 3]")?;
            (swinir::Tail::Direct, (outputs / channels.max(1)).isqrt().min(255) as u8)
        }
    };
    Ok(swinir::Config {
        upscale,
        embed_dim: small(embed_dim),
        depths: (0..groups)
            .map(|i| small(count(tensors, |j| format!("{}.norm1.weight", block(i, j)))))
            .collect(),
        num_heads: tables.iter().map(|t| small(t[1])).collect(),
        window_size: side.div_ceil(2).min(255) as u8,
        mlp_ratio: small(hidden / embed_dim.max(1)),
        tail,
        channels: small(channels),
        mean_shift: options.mean_shift,
    })
}

#[cfg(test)]
mod tests;
