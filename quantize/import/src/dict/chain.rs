//! Plain chains of convolutions with the enlarged image added at the end: what suits phones best.

use super::Fault;
use super::build::{Act, Build, Edge};
use super::kernel::Kernel;

/// SRVGGNetCompact (Wang et al., "Real-ESRGAN: Training Real-World Blind Super-Resolution with Pure Synthetic Data", ICCVW
/// 2021), in BasicSR's layout.
pub(super) fn compact(b: &mut Build<'_>) -> Result<Edge, Fault> {
    b.range = Some(1.0);
    let x = b.input("body.0")?;
    let gap = b.options.slope.map_or(Act::Relu, Act::Leaky);
    let y = b.sequence(&x, "body.", gap)?;
    with_image(b, &y, &x)
}

/// ECBSR (Zhang et al., "Edge-oriented Convolution Block for Real-time Super Resolution on Mobile Devices", ACM MM 2021), as it
/// is trained and folded.
pub(super) fn ecbsr(b: &mut Build<'_>) -> Result<Edge, Fault> {
    if !b.has("backbone.0.conv3x3") {
        let x = b.input("backbone.0")?;
        let y = b.sequence(&x, "backbone.", Act::Relu)?;
        return with_image(b, &y, &x);
    }
    let x = b.input("backbone.0.conv3x3")?;
    let blocks = b.count(|i| format!("backbone.{i}.conv3x3"));
    let mut y = x.clone();
    for i in 0..blocks {
        let layer = format!("backbone.{i}");
        let kernel = edge_oriented(b, &layer)?;
        y = b.conv_of(&y, &layer, &kernel)?;
        if b.has(&format!("{layer}.act")) {
            y = b.prelu(&y, &format!("{layer}.act"))?;
        } else if i + 1 < blocks {
            y = b.act(&y, Act::Relu);
        }
    }
    with_image(b, &y, &x)
}

/// The branches of a block: a convolution, a wider one, and the derivatives of Sobel and Laplace. Its published form has no
/// identity.
fn edge_oriented(b: &mut Build<'_>, layer: &str) -> Result<Kernel, Fault> {
    let mut sum = Kernel::of(b, &format!("{layer}.conv3x3"))?;
    let wide = format!("{layer}.conv1x1_3x3");
    if b.shape(&format!("{wide}.k0")).is_some() {
        let narrow = Kernel::named(b, &format!("{wide}.k0"), Some(&format!("{wide}.b0")))?;
        let next = Kernel::named(b, &format!("{wide}.k1"), Some(&format!("{wide}.b1")))?;
        sum = sum.plus(&narrow.then(&next)?)?;
    }
    for branch in ["sbx", "sby", "lpl"] {
        let part = format!("{layer}.conv1x1_{branch}");
        if b.shape(&format!("{part}.k0")).is_none() {
            continue;
        }
        let narrow = Kernel::named(b, &format!("{part}.k0"), Some(&format!("{part}.b0")))?;
        let mut filter = Kernel::named(b, &format!("{part}.mask"), Some(&format!("{part}.bias")))?;
        let (_, scale) = b.tensor(&format!("{part}.scale"))?;
        if scale.len() != filter.outputs {
            return Err(Fault::Cannot(format!("{part}.scale has {} values", scale.len())));
        }
        let area = filter.weight.len() / filter.outputs;
        for (taps, scale) in filter.weight.chunks_exact_mut(area).zip(scale) {
            taps.iter_mut().for_each(|tap| *tap *= f64::from(*scale));
        }
        sum = sum.plus(&narrow.then(&filter.dense()?)?)?;
    }
    Ok(sum)
}

/// SESR (Bhardwaj et al., "Collapsible Linear Blocks for Super-Efficient Super Resolution", MLSys 2022), in the layout of
/// AIMET's collection, expanded or collapsed, and in a plain one.
pub(super) fn sesr(b: &mut Build<'_>) -> Result<Edge, Fault> {
    if b.has("head") && b.has("mid.0") {
        let x = b.input("head")?;
        let y = b.conv(&x, "head")?;
        let first = b.prelu(&y, "hp")?;
        let mut y = first.clone();
        for i in 0..b.count(|i| format!("mid.{i}")) {
            y = b.conv(&y, &format!("mid.{i}"))?;
            y = b.prelu(&y, &format!("mp.{i}"))?;
        }
        let y = b.add(&y, &first);
        let y = b.conv(&y, "tail")?;
        return with_image(b, &y, &x);
    }
    let x = b.input("conv_first.conv_expand")?;
    let first = linear_block(b, &x, "conv_first", Some(Act::Relu))?;
    let mut y = first.clone();
    for i in 0..b.count(|i| format!("residual_block.{i}.conv_expand")) {
        y = linear_block(b, &y, &format!("residual_block.{i}"), Some(Act::Relu))?;
    }
    let y = b.add(&y, &first);
    let y = linear_block(b, &y, "conv_last", None)?;
    with_anchor(b, &y, &x)
}

fn linear_block(b: &mut Build<'_>, x: &Edge, layer: &str, act: Option<Act>) -> Result<Edge, Fault> {
    let mut kernel = Kernel::of(b, &format!("{layer}.conv_expand"))?;
    if b.has(&format!("{layer}.conv_squeeze")) {
        kernel = kernel.then(&Kernel::of(b, &format!("{layer}.conv_squeeze"))?)?;
        if layer.starts_with("residual_block.") {
            kernel = kernel.plus_identity()?;
        }
    }
    let y = b.conv_of(x, layer, &kernel)?;
    match act {
        Some(_) if b.has(&format!("{layer}.activation")) => b.prelu(&y, &format!("{layer}.activation")),
        Some(act) => Ok(b.act(&y, act)),
        None => Ok(y),
    }
}

/// QuickSRNet (Berger et al., "QuickSRNet: Plain Single-Image Super-Resolution Architecture for Faster Inference on Mobile
/// Platforms", CVPRW 2023) and ABPN (Du et al., "Anchor-based Plain Net for Mobile Image Super-Resolution", CVPRW 2021), in the
/// layout of AIMET's collection.
pub(super) fn quicksrnet(b: &mut Build<'_>) -> Result<Edge, Fault> {
    let x = b.input("cnn.0")?;
    if !b.has("conv_last") {
        let y = b.sequence(&x, "cnn.", Act::Relu)?;
        return with_anchor(b, &y, &x);
    }
    b.range = Some(1.0);
    let unit = Act::Clip(0.0, 1.0);
    let y = b.sequence(&x, "cnn.", unit)?;
    let y = b.act(&y, unit);
    let y = b.conv(&y, "conv_last")?;
    let y = match anchor(b) {
        Some(layer) => {
            let image = b.conv(&x, layer)?;
            b.add(&image, &y)
        }
        None => y,
    };
    let y = b.shuffled("conv_last", &y)?;
    Ok(b.act(&y, unit))
}

/// XLSR (Ayazoglu, "Extremely Lightweight Quantization Robust Real-Time Single-Image Super Resolution for Mobile Devices", CVPRW
/// 2021), in the layout of AIMET's collection.
pub(super) fn xlsr(b: &mut Build<'_>) -> Result<Edge, Fault> {
    b.range = Some(1.0);
    let x = b.input("residual")?;
    let image = b.conv(&x, "residual")?;
    let y = b.conv(&x, "cnn.0")?;
    let y = b.act(&y, Act::Relu);
    let mut y = b.conv(&y, "cnn.2")?;
    for i in 3..3 + b.count(|i| format!("cnn.{}.net.0", i + 3)) {
        y = b.sequence(&y, &format!("cnn.{i}.net."), Act::Relu)?;
    }
    let y = b.concat(&[&y, &image]);
    let y = b.sequence(&y, "tail.", Act::Relu)?;
    let y = b.shuffled("tail.2", &y)?;
    Ok(b.act(&y, Act::Clip(0.0, 1.0)))
}

/// The image repeated, or what was learnt from that: its layer.
fn anchor(b: &Build<'_>) -> Option<&'static str> {
    ["anchor.net", "anchor"].into_iter().find(|layer| b.has(layer))
}

fn with_anchor(b: &mut Build<'_>, y: &Edge, image: &Edge) -> Result<Edge, Fault> {
    let layer = anchor(b).ok_or_else(|| Fault::Missing("anchor.net.weight".into()))?;
    let image = b.conv(image, layer)?;
    let sum = b.add(&image, y);
    b.shuffled(layer, &sum)
}

/// The image of so many channels shuffled, and the input enlarged by repeating its pixels.
fn with_image(b: &mut Build<'_>, y: &Edge, image: &Edge) -> Result<Edge, Fault> {
    let r = b.enlargement("the last convolution", y)?;
    if r == 1 {
        return Ok(b.add(y, image));
    }
    let y = b.shuffle(y, r);
    let image = b.resize(image, r, "nearest");
    Ok(b.add(&y, &image))
}
