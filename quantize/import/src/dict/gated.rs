//! Networks with gates, products of images with each other: SPAN, RLFN and PlainUSR.

use super::Fault;
use super::build::{Act, Build, Edge};
use super::kernel::Kernel;
use mcir_runtime::arch::edsr::RGB_MEAN;

/// Range that published SPAN networks bring their input to.
const SPAN_RANGE: f32 = 255.0;

/// SPAN (Wan et al., "Swift Parameter-free Attention Network for Efficient Super-Resolution", CVPRW 2024), as it is trained and
/// folded.
pub(super) fn span(b: &mut Build<'_>) -> Result<Edge, Fault> {
    let x = match b.has("conv_1.sk") {
        true => b.input("conv_1.sk")?,
        false => b.input("conv_1.eval_conv")?,
    };
    // What comes out is in 0..1: the range is not undone.
    b.range = Some(1.0);
    b.own_ends = true;
    let plain = b.shape("no_norm").is_some();
    b.ignore("no_norm");
    let x = match (plain, x.channels, b.options.mean) {
        (true, _, None) | (_, 1, _) => x,
        (_, _, mean) => {
            let range = b.options.range.unwrap_or(SPAN_RANGE);
            let mean = mean.unwrap_or(RGB_MEAN);
            b.affine(&x, &[range; 3], &mean.map(|m| -m * range))
        }
    };
    let first = reparameterised(b, &x, "conv_1")?;
    let blocks =
        b.count(|i| format!("block_{}.c1_r.{}", i + 1, if b.has("conv_1.sk") { "sk" } else { "eval_conv" }));
    if blocks < 2 {
        return Err(Fault::Missing("block_2.c1_r.eval_conv.weight".into()));
    }
    let (mut x, mut after_first, mut inside_last) = (first.clone(), first.clone(), first.clone());
    for i in 1..=blocks {
        let layer = format!("block_{i}");
        let y = reparameterised(b, &x, &format!("{layer}.c1_r"))?;
        inside_last = b.act(&y, Act::Silu);
        let y = reparameterised(b, &inside_last, &format!("{layer}.c2_r"))?;
        let y = b.act(&y, Act::Silu);
        let y = reparameterised(b, &y, &format!("{layer}.c3_r"))?;
        let gate = b.act(&y, Act::Sigmoid);
        let gate = b.affine(&gate, &vec![1.0; y.channels], &vec![-0.5; y.channels]);
        let sum = b.add(&y, &x);
        x = b.mul(&sum, &gate);
        if i == 1 {
            after_first = x.clone();
        }
    }
    let x = reparameterised(b, &x, "conv_2")?;
    let all = b.concat(&[&first, &x, &after_first, &inside_last]);
    let x = b.conv(&all, "conv_cat")?;
    let x = b.conv(&x, "upsampler.0")?;
    b.shuffled("upsampler.0", &x)
}

/// A convolution, or the three and a shortcut that it was trained as. Both are in the file then, and the folded one may be old.
fn reparameterised(b: &mut Build<'_>, x: &Edge, layer: &str) -> Result<Edge, Fault> {
    if !b.has(&format!("{layer}.sk")) {
        return b.conv(x, &format!("{layer}.eval_conv"));
    }
    let mut kernel = Kernel::of(b, &format!("{layer}.conv.0"))?;
    for i in 1..3 {
        kernel = kernel.then(&Kernel::of(b, &format!("{layer}.conv.{i}"))?)?;
    }
    let kernel = kernel.plus(&Kernel::of(b, &format!("{layer}.sk"))?)?;
    b.ignore(&format!("{layer}.eval_conv."));
    b.conv_of(x, layer, &kernel)
}

/// Slope of the leaky ReLUs of RLFN and PlainUSR.
const SLOPE: f32 = 0.05;

/// RLFN (Kong et al., "Residual Local Feature Network for Efficient Super-Resolution", CVPRW 2022). Its range is found out: the
/// published weights want 0..255.
pub(super) fn rlfn(b: &mut Build<'_>) -> Result<Edge, Fault> {
    let act = Act::Leaky(b.options.slope.unwrap_or(SLOPE));
    let x = b.input("conv_1")?;
    let first = b.conv(&x, "conv_1")?;
    let mut x = first.clone();
    for i in 1..=b.count(|i| format!("block_{}.c1_r", i + 1)) {
        let block = format!("block_{i}");
        let mut y = x.clone();
        for k in 1..=3 {
            y = b.conv(&y, &format!("{block}.c{k}_r"))?;
            y = b.act(&y, act);
        }
        let sum = b.add(&y, &x);
        let y = b.conv(&sum, &format!("{block}.c5"))?;
        x = enhanced_spatial_attention(b, &y, &format!("{block}.esa"))?;
    }
    let x = b.conv(&x, "conv_2")?;
    let x = b.add(&x, &first);
    let x = b.conv(&x, "upsampler.0")?;
    b.shuffled("upsampler.0", &x)
}

/// A gate made at a sixth of the resolution.
fn enhanced_spatial_attention(b: &mut Build<'_>, x: &Edge, layer: &str) -> Result<Edge, Fault> {
    let narrow = b.conv(x, &format!("{layer}.conv1"))?;
    let y = b.conv_with(&narrow, &format!("{layer}.conv2"), 2, [0, 0])?;
    let y = b.max_pool(&y, 7, 3);
    let y = b.conv(&y, &format!("{layer}.conv3"))?;
    let large = b.resize_like(&y, x);
    let beside = b.conv(&narrow, &format!("{layer}.conv_f"))?;
    let sum = b.add(&large, &beside);
    let y = b.conv(&sum, &format!("{layer}.conv4"))?;
    let gate = b.act(&y, Act::Sigmoid);
    Ok(b.mul(x, &gate))
}

/// The orders in which PlainUSR's blocks follow each other, small and large.
const PLAIN_USR: [&[&str]; 2] =
    [&["block1", "blockm", "block2"], &["block1", "block2", "blockm", "block3", "block4"]];

/// PlainUSR (Wang et al., "PlainUSR: Chasing Faster ConvNet for Efficient Super-Resolution", ACCV 2024), folded: each block
/// changes the first channels and leaves the others.
pub(super) fn plain_usr(b: &mut Build<'_>) -> Result<Edge, Fault> {
    b.range = Some(1.0);
    let x = b.input("head")?;
    let x = b.conv(&x, "head")?;
    let blocks = PLAIN_USR[usize::from(b.has("block3.body.0"))];
    // Pieces that lie behind each other: an image, and its channels from one on, up to another.
    let mut pieces = vec![(x.clone(), 0, x.channels)];
    for block in blocks {
        let [_, width, ..] = b.kernel_shape(&format!("{block}.body.0"))?;
        let (first, rest) = split(pieces, width);
        let part = gather(b, &first, width, block)?;
        let made = plain_block(b, &part, block)?;
        pieces = vec![(made.clone(), 0, made.channels)];
        pieces.extend(rest);
    }
    let total = pieces.iter().map(|(_, from, to)| to - from).sum();
    let x = gather(b, &pieces, total, "tail")?;
    let x = b.conv(&x, "tail.0")?;
    b.shuffled("tail.0", &x)
}

type Pieces = Vec<(Edge, usize, usize)>;

/// The pieces of the first channels, and those of the others.
fn split(pieces: Pieces, width: usize) -> (Pieces, Pieces) {
    let (mut first, mut rest, mut at) = (Vec::new(), Vec::new(), 0);
    for (edge, from, to) in pieces {
        let cut = (from + width.saturating_sub(at)).min(to);
        if cut > from {
            first.push((edge.clone(), from, cut));
        }
        if to > cut {
            rest.push((edge, cut, to));
        }
        at += to - from;
    }
    (first, rest)
}

fn gather(b: &mut Build<'_>, pieces: &Pieces, width: usize, block: &str) -> Result<Edge, Fault> {
    if pieces.iter().map(|(_, from, to)| to - from).sum::<usize>() != width {
        return Err(Fault::Cannot(format!("{block} reads {width} channels, and there are fewer")));
    }
    let whole = |b: &mut Build<'_>, (edge, from, to): &(Edge, usize, usize)| match (*from, *to) {
        (0, to) if to == edge.channels => edge.clone(),
        (from, to) => b.channels(edge, from, to),
    };
    let parts: Vec<Edge> = pieces.iter().map(|piece| whole(b, piece)).collect();
    Ok(if let [one] = &parts[..] { one.clone() } else { b.concat(&parts.iter().collect::<Vec<_>>()) })
}

fn plain_block(b: &mut Build<'_>, x: &Edge, block: &str) -> Result<Edge, Fault> {
    let act = Act::Leaky(b.options.slope.unwrap_or(SLOPE));
    let mut y = b.conv(x, &format!("{block}.body.0"))?;
    let mut i = 2;
    while b.has(&format!("{block}.body.{i}")) {
        let bent = b.act(&y, act);
        y = b.conv(&bent, &format!("{block}.body.{i}"))?;
        i += 2;
    }
    // The attention is the layer behind the last convolution.
    let attention = format!("{block}.body.{}.body", i - 1);
    if b.has(&format!("{attention}.2")) {
        return Err(Fault::Cannot(format!(
            "{attention} pools exponentials of the features, which the engine does not do; PlainUSR-U and -T have no such layer"
        )));
    }
    if !b.has(&format!("{attention}.0")) {
        return Ok(y);
    }
    let map = b.conv(&y, &format!("{attention}.0"))?;
    let map = b.act(&map, Act::Sigmoid);
    let first = b.channels(&y, 0, 1);
    let gate = b.act(&first, Act::Sigmoid);
    let y = b.mul(&y, &map);
    Ok(b.mul(&y, &gate))
}
