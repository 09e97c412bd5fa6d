//! Published checkpoints, brought to the nodes of the graph.

use super::{Config, constants};
use alloc::{format, string::String, vec, vec::Vec};

/// Name, shape as PyTorch has it, and values.
pub type Tensor = (String, Vec<usize>, Vec<f32>);

/// A tensor that no such network has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// Its name.
    pub name: String,
    /// Its shape; `None` if it is not there.
    pub found: Option<Vec<usize>>,
    /// What would fit.
    pub expected: &'static str,
}

/// The configuration of a published checkpoint and its tensors under the names of the [graph](super::graph)'s nodes; what has
/// no place among them keeps its name. Whether the image is normalised, it does not say.
///
/// # Errors
/// The first tensor whose shape does not fit.
pub fn published(tensors: Vec<Tensor>, normalize: bool) -> Result<(Config, Vec<Tensor>), Misfit> {
    let shape = |name: &str| tensors.iter().find(|t| t.0 == name).map(|t| t.1.as_slice());
    let misfit = |name: &str, expected| Misfit {
        name: name.into(),
        found: shape(name).map(<[usize]>::to_vec),
        expected,
    };
    let first = "[channels, 3, 3, 3]";
    let num_feat = match shape("pre.0.weight") {
        Some(&[n @ 1..=4096, 3, 3, 3]) => n,
        _ => return Err(misfit("pre.0.weight", first)),
    };
    // As many nodes as the format takes hold no more.
    let count = |name: &dyn Fn(usize) -> String| (0..4096).take_while(|&i| shape(&name(i)).is_some()).count();
    let num_block = count(&|i| format!("g1.gp.{i}.conv1.weight"));
    let num_group = count(&|g| format!("g{}.gp.{num_block}.weight", g + 1));
    if num_group == 0 {
        let name = format!("g1.gp.{num_block}.weight");
        return Err(misfit(&name, "the convolution behind the blocks of a group"));
    }
    let wide = num_group * num_feat;
    let few = match (shape("ca.1.weight"), shape("ca.3.weight")) {
        (Some(&[few, a, 1, 1]), Some(&[b, c, 1, 1])) if (a, b, c) == (wide, wide, few) => few,
        (Some(&[_, a, 1, 1]), _) if a == wide => {
            return Err(misfit("ca.3.weight", "[groups·channels, channels/16, 1, 1]"));
        }
        _ => return Err(misfit("ca.1.weight", "[channels/16, groups·channels, 1, 1]")),
    };
    for (name, n) in [("ca.1.bias", few), ("ca.3.bias", wide)] {
        if shape(name) != Some(&[n]) {
            return Err(misfit(name, "a value for each channel"));
        }
    }
    // Of sizes that were counted above.
    let small = |n: usize| u16::try_from(n).unwrap_or(u16::MAX);
    let config = Config {
        num_group: small(num_group),
        num_block: small(num_block),
        num_feat: small(num_feat),
        normalize,
    };
    let mut named = constants(&config);
    for (name, shape, values) in tensors {
        let of = |g: usize, part: &str| match name.starts_with("ca.1") {
            true => format!("ca.1.{g}.{part}"),
            false => format!("ca.3.{g}.{part}"),
        };
        match name.as_str() {
            "ca.1.weight" => named.extend((0..num_group).map(|g| {
                let columns = values.chunks_exact(wide).flat_map(|row| &row[g * num_feat..][..num_feat]);
                (of(g, "weight"), vec![few, num_feat, 1, 1], columns.copied().collect())
            })),
            // The sum of the groups' parts has it once.
            "ca.1.bias" => {
                named.extend((0..num_group).map(|g| {
                    (of(g, "bias"), vec![few], if g == 0 { values.clone() } else { vec![0.0; few] })
                }))
            }
            "ca.3.weight" => {
                let rows = values.chunks_exact(num_feat * few).enumerate();
                named.extend(
                    rows.map(|(g, part)| (of(g, "weight"), vec![num_feat, few, 1, 1], part.to_vec())),
                );
            }
            "ca.3.bias" => {
                let parts = values.chunks_exact(num_feat).enumerate();
                named.extend(parts.map(|(g, part)| (of(g, "bias"), vec![num_feat], part.to_vec())));
            }
            _ => named.push((name, shape, values)),
        }
    }
    Ok((config, named))
}
