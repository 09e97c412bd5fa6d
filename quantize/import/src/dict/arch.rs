//! EDSR, SwinIR and FFA-Net: published weights under the names of the graphs that [`mcir_runtime::arch`] makes.
//!
//! | layout | recognised by | networks |
//! |---|---|---|
//! | BasicSR | `conv_first.weight`, `body.0.conv1.weight`, `conv_after_body.weight` | EDSR; the graph's names |
//! | EDSR-PyTorch | `head.0.weight`, `tail.0.0.weight` | EDSR; works on 0..255, means in `sub_mean`, `add_mean` |
//! | FFA-Net | `pre.0.weight`, `g1.gp.0.conv1.weight` | FFA-Net; normalises its input |
//! | SwinIR | `conv_first.weight`, `layers.0.residual_group.…` | SwinIR with a 1-convolution residual |

use super::{Fault, Options};
use crate::error::ImportError;
use mcir_checkpoint::Tensors;
use mcir_runtime::arch::{edsr, ffanet, swinir};
use mcir_runtime::model::{Graph, Model, NodeId, Op, Role, TensorData, infer, param_specs_of};

/// The position biases of an attention, as SwinIR's layout calls them.
const TABLE: &str = "relative_position_bias_table";

/// The name of an architecture, its graph, and its tensors under the graph's names.
pub(super) type Named = (&'static str, Graph, Tensors);

/// The graph of one of these architectures and its weights under the graph's names; `None` for other tensors.
pub(super) fn find(tensors: &Tensors, options: &Options) -> Option<Result<Named, ImportError>> {
    let has = |name: &str| tensors.get(name).is_some();
    let with = |family, result: Result<(Graph, Tensors), Fault>| {
        let result = result.map(|(graph, tensors)| (family, graph, tensors));
        Some(result.map_err(|why| ImportError::Weights { family, why }))
    };
    if has("layers.0.residual_group.blocks.0.attn.qkv.weight") && has("conv_first.weight") {
        return with("SwinIR", swinir(tensors.clone(), options).map(|(c, t)| (swinir::graph(&c), t)));
    }
    if has("pre.0.weight") && has("g1.gp.0.conv1.weight") {
        return with("FFA-Net", ffanet(tensors, options).map(|(c, t)| (ffanet::graph(&c), t)));
    }
    let basic = has("conv_first.weight") && has("body.0.conv1.weight") && has("conv_after_body.weight");
    let original = has("head.0.weight") && has("body.0.body.0.weight") && has("tail.0.0.weight");
    // RCAN has the same head and tail.
    if basic || original && !has("body.0.body.0.body.0.weight") {
        return with("EDSR", edsr(tensors.clone(), options).map(|(c, t)| (edsr::graph(&c), t)));
    }
    None
}

/// An EDSR's shape, and its tensors under the graph's names. Means in the file hold unless others are asked for; without
/// either they are those of the publication, as is the range of 0..255.
///
/// # Errors
/// Any [`Fault`].
pub fn edsr(mut tensors: Tensors, options: &Options) -> Result<(edsr::Config, Tensors), Fault> {
    if tensors.get("head.0.weight").is_some() {
        tensors = from_edsr_pytorch(tensors)?;
    }
    let [num_feat, channels, ..] = shape4(&tensors, "conv_first.weight", "[num_feat, 3, 3, 3]")?;
    let num_block = some(count(&tensors, |i| format!("body.{i}.conv1.weight")), "blocks")?;
    let mean_shift = with_means(&mut tensors, options, channels, edsr::IMG_RANGE);
    let config = edsr::Config {
        upscale: staged_upscale(&tensors, num_feat)?,
        num_feat: small(num_feat),
        num_block,
        res_scale: options.res_scale.unwrap_or(if num_feat >= 256 { 0.1 } else { 1.0 }),
        tail: edsr::Tail::Paper,
        image_residual: None,
        channels: small(channels),
        mean_shift,
    };
    Ok((config, tensors))
}

/// Gives the tensors `sub_mean` and `add_mean`, or takes them away; returns whether there are any.
fn with_means(tensors: &mut Tensors, options: &Options, channels: usize, range: f32) -> bool {
    let asked = options.mean.is_some() || options.range.is_some();
    let names = ["sub_mean", "add_mean"];
    if !asked && names.iter().all(|name| tensors.get(&format!("{name}.weight")).is_some()) {
        return true;
    }
    let mean = options.mean.unwrap_or(if channels == 3 { edsr::RGB_MEAN } else { [0.0; 3] });
    let range = options.range.unwrap_or(if channels == 3 { range } else { 1.0 });
    let shifted = mean != [0.0; 3] || range != 1.0;
    for (name, scale) in names.into_iter().zip([range, 1.0 / range]) {
        let (weight, bias) = (format!("{name}.weight"), format!("{name}.bias"));
        tensors.remove(&weight);
        tensors.remove(&bias);
        if shifted {
            let shift = |m: &f32| if name == "sub_mean" { -m * range } else { *m };
            let shift: Vec<f32> = mean.iter().take(channels).map(shift).collect();
            tensors.insert(weight, vec![shift.len()], vec![scale; shift.len()]);
            tensors.insert(bias, vec![shift.len()], shift);
        }
    }
    shifted
}

/// An FFA-Net's shape, and its tensors under the graph's names. The image is normalised as in the publication, or not at all
/// where a range of 1 is asked for.
///
/// # Errors
/// Any [`Fault`].
pub fn ffanet(tensors: &Tensors, options: &Options) -> Result<(ffanet::Config, Tensors), Fault> {
    let all = tensors.iter().map(|(name, shape, values)| (name.into(), shape.to_vec(), values.to_vec()));
    let plain = options.range == Some(1.0) && options.mean.is_none_or(|mean| mean == [0.0; 3]);
    if !plain && (options.range.is_some() || options.mean.is_some()) {
        return Err(Fault::Cannot(
            "it normalises its input as published, or with --range 1 not at all; nothing else is done".into(),
        ));
    }
    let (config, all) = ffanet::published(all.collect(), !plain).map_err(|misfit| match misfit.found {
        Some(found) => Fault::Shape { name: misfit.name, found, expected: misfit.expected.into() },
        None => Fault::Missing(misfit.name),
    })?;
    some(config.num_group.into(), "groups")?;
    some(config.num_block.into(), "blocks")?;
    let mut named = Tensors::default();
    for (name, shape, values) in all {
        named.insert(name, shape, values);
    }
    Ok((config, named))
}

/// EDSR-PyTorch's names and units to BasicSR's.
fn from_edsr_pytorch(mut tensors: Tensors) -> Result<Tensors, Fault> {
    let blocks = count(&tensors, |i| format!("body.{i}.body.0.weight"));
    let mut renamed = Tensors::default();
    for name in ["sub_mean", "add_mean"] {
        let Some((shape, matrix)) = tensors.remove(&format!("{name}.weight")) else { continue };
        let diagonal = matrix.iter().enumerate().all(|(i, &v)| i % 4 == 0 || v == 0.0);
        if shape != [3, 3, 1, 1] || !diagonal {
            let expected = "a diagonal [3, 3, 1, 1]".into();
            return Err(Fault::Shape { name: format!("{name}.weight"), found: shape, expected });
        }
        let (shape, bias) =
            tensors.remove(&format!("{name}.bias")).unwrap_or_else(|| (vec![3], vec![0.0; 3]));
        if bias.len() != 3 {
            let expected = "three values".into();
            return Err(Fault::Shape { name: format!("{name}.bias"), found: shape, expected });
        }
        // In the file both ends are in 0..255; in the graph the images are in 0..1.
        let range = edsr::IMG_RANGE;
        let unit = |v: &f32| if name == "sub_mean" { v * range } else { v / range };
        let scale = [0, 4, 8].iter().map(|&i| unit(&matrix[i])).collect();
        let shift = if name == "sub_mean" { bias } else { bias.iter().map(|v| v / range).collect() };
        renamed.insert(format!("{name}.weight"), vec![3], scale);
        renamed.insert(format!("{name}.bias"), vec![3], shift);
    }
    for (name, (shape, values)) in tensors {
        let (node, part) = name.rsplit_once('.').unwrap_or((&name, ""));
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
        renamed.insert(format!("{node}.{part}"), shape, values);
    }
    Ok(renamed)
}

/// A SwinIR's shape, and its tensors under the graph's names; means as for [`edsr()`], with a range of 0..1.
///
/// # Errors
/// Any [`Fault`].
pub fn swinir(tensors: Tensors, options: &Options) -> Result<(swinir::Config, Tensors), Fault> {
    if tensors.get("conv_after_body.0.weight").is_some() || tensors.get("layers.0.conv.0.weight").is_some() {
        return Err(Fault::Cannot(
            "its groups end in three convolutions (3conv), which is not run; 1conv is".into(),
        ));
    }
    if tensors.get("conv_up1.weight").is_some() {
        return Err(Fault::Cannot(
            "it enlarges by nearest pixels and convolutions (nearest+conv), which is not run; pixelshuffle and \
             pixelshuffledirect are"
                .into(),
        ));
    }
    let mut tensors = linear_as_convolution(tensors);
    let [embed_dim, channels, ..] = shape4(&tensors, "conv_first.weight", "[embed_dim, 3, 3, 3]")?;
    let block = |i: usize, j: usize| format!("layers.{i}.residual_group.blocks.{j}");
    let groups = count(&tensors, |i| format!("{}.norm1.weight", block(i, 0)));
    some(groups, "groups")?;
    let table = |i: usize| {
        let name = format!("{}.attn.{TABLE}", block(i, 0));
        let found = shape(&tensors, &name).unwrap_or_default().to_vec();
        <[usize; 2]>::try_from(found.as_slice()).map_err(|_| Fault::Shape {
            name,
            found,
            expected: "[(2·window_size − 1)², num_heads]".into(),
        })
    };
    let tables = (0..groups).map(table).collect::<Result<Vec<_>, _>>()?;
    let side = tables.first().map_or(0, |t| t[0].isqrt());
    let [hidden, ..] = shape4(&tensors, &format!("{}.mlp.fc1.weight", block(0, 0)), "[hidden, embed_dim]")?;
    let before = shape(&tensors, "conv_before_upsample.0.weight").and_then(|shape| shape.first().copied());
    let (tail, upscale) = match before {
        Some(features) => (swinir::Tail::Classical(small(features)), staged_upscale(&tensors, features)?),
        None if tensors.get("conv_last.weight").is_some() && tensors.get("upsample.0.weight").is_none() => {
            (swinir::Tail::Restoration, 1)
        }
        None => {
            let [outputs, ..] = shape4(&tensors, "upsample.0.weight", "[3·upscale², embed_dim, 3, 3]")?;
            (swinir::Tail::Direct, (outputs / channels.max(1)).isqrt().min(255) as u8)
        }
    };
    let depth = |i: usize| some(count(&tensors, |j| format!("{}.norm1.weight", block(i, j))), "layers");
    let depths = (0..groups).map(depth).collect::<Result<_, _>>()?;
    let mean_shift = with_means(&mut tensors, options, channels, 1.0);
    let config = swinir::Config {
        upscale,
        embed_dim: small(embed_dim),
        depths,
        num_heads: tables.iter().map(|t| small(t[1])).collect(),
        window_size: side.div_ceil(2).min(255) as u8,
        mlp_ratio: small(hidden / embed_dim.max(1)),
        tail,
        channels: small(channels),
        mean_shift,
    };
    Ok((config, tensors))
}

/// Gives linear layers the shape of 1x1 convolutions and leaves out what follows from the image size.
fn linear_as_convolution(tensors: Tensors) -> Tensors {
    let mut renamed = Tensors::default();
    for (name, (shape, values)) in tensors {
        if name.ends_with("attn_mask") || name.ends_with("relative_position_index") {
            continue;
        }
        let shape = match shape[..] {
            [o, i] if name.ends_with(".weight") => vec![o, i, 1, 1],
            _ => shape,
        };
        renamed.insert(name, shape, values);
    }
    renamed
}

/// Factor of a tail of convolutions to four (or, once, nine) times `features` with pixel shuffles.
fn staged_upscale(tensors: &Tensors, features: usize) -> Result<u8, Fault> {
    let expected = "[4·num_feat, num_feat, 3, 3] or, for x3, [9·num_feat, num_feat, 3, 3]";
    let [first, ..] = shape4(tensors, "upsample.0.weight", expected)?;
    let steps = count(tensors, |i| format!("upsample.{}.weight", 2 * i));
    match (first / features.max(1), steps) {
        (9, 1) => Ok(3),
        (4, 1..=3) => Ok(1 << steps),
        _ => {
            let found = shape(tensors, "upsample.0.weight").unwrap_or_default().to_vec();
            Err(Fault::Shape { name: "upsample.0.weight".into(), found, expected: expected.into() })
        }
    }
}

fn shape<'t>(tensors: &'t Tensors, name: &str) -> Option<&'t [usize]> {
    tensors.get(name).map(|(shape, _)| shape)
}

fn shape4(tensors: &Tensors, name: &str, expected: &'static str) -> Result<[usize; 4], Fault> {
    let found = shape(tensors, name).ok_or_else(|| Fault::Missing(name.into()))?;
    let wrong = || Fault::Shape { name: name.into(), found: found.to_vec(), expected: expected.into() };
    <[usize; 4]>::try_from(found).map_err(|_| wrong())
}

/// How many of the names that `name` makes of 0, 1, … are there.
fn count(tensors: &Tensors, name: impl Fn(usize) -> String) -> usize {
    (0..).take_while(|&i| tensors.get(&name(i)).is_some()).count()
}

/// Saturates: no network is that wide, and the graph's own validation has the last word.
fn small(n: usize) -> u16 {
    u16::try_from(n).unwrap_or(u16::MAX)
}

/// A number of blocks, which make nodes before the graph is looked at.
fn some(n: usize, what: &str) -> Result<u16, Fault> {
    match n {
        0..=1000 => Ok(n as u16),
        _ => Err(Fault::Cannot(format!("it has {n} {what}; at most 1000 are taken"))),
    }
}

/// The model of a graph with the tensors that have the names of its nodes.
pub(super) fn model(
    graph: Graph,
    tensors: &Tensors,
    family: &'static str,
    name: &str,
) -> Result<Model, ImportError> {
    let shapes = infer(&graph)?;
    let (mut params, mut taken) = (Vec::new(), 0);
    for node in &graph.nodes {
        let of = |id: &NodeId| (graph.node(*id).dtype, shapes[usize::from(*id)]);
        let specs = param_specs_of(node, node.inputs.first().map(of));
        let mut values = Vec::new();
        for spec in specs {
            // A convolution's sizes are [out, rows, columns, in] in the engine, and [out, in, rows, columns] in PyTorch.
            let [o, kh, kw, i] = spec.dims;
            let is_conv = matches!(node.op, Op::Conv2d(_)) && spec.role == Role::Weight;
            let (part, shape) = match spec.role {
                Role::Weight if is_conv => ("weight", vec![o, i, kh, kw]),
                Role::Weight => ("weight", vec![o]),
                Role::PositionBias => (TABLE, vec![o, kh]),
                _ => ("bias", vec![o]),
            };
            let name = format!("{}.{part}", node.name);
            let wrong = |why| ImportError::Weights { family, why };
            let found = tensors.get(&name).ok_or_else(|| wrong(Fault::Missing(name.clone())))?;
            if found.0 != shape {
                let (found, expected) = (found.0.to_vec(), format!("{shape:?}"));
                return Err(wrong(Fault::Shape { name, found, expected }));
            }
            taken += 1;
            values.push(TensorData::F32(match is_conv {
                true => inputs_last(found.1, o, i, kh * kw),
                false => found.1.to_vec(),
            }));
        }
        params.push(values);
    }
    if taken < tensors.len() {
        let known = |name: &str| {
            let node = name.rsplit_once('.').map_or(name, |(node, _)| node);
            graph.nodes.iter().any(|n| n.name == node)
        };
        let left = super::names(tensors.iter().map(|(name, ..)| name).filter(|name| !known(name)));
        return Err(ImportError::Weights { family, why: Fault::Unplaced(left) });
    }
    Ok(Model::new(graph, &params, vec![("name".into(), name.into())])?)
}

/// `[out, in, taps]` to `[out, taps, in]`.
fn inputs_last(w: &[f32], out: usize, input: usize, taps: usize) -> Vec<f32> {
    let at = |o, t, i| w[(o * input + i) * taps + t];
    (0..out).flat_map(|o| (0..taps).flat_map(move |t| (0..input).map(move |i| at(o, t, i)))).collect()
}
