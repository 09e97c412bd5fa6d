//! SRResNet (Ledig et al., "Photo-Realistic Single Image Super-Resolution Using a Generative Adversarial Network", CVPR 2017)
//! with batch norm, and MSRResNet, BasicSR's without.

use super::Fault;
use super::build::{Act, Build, Edge};

pub(super) fn srresnet(b: &mut Build<'_>) -> Result<Edge, Fault> {
    b.range = Some(1.0);
    let x = b.input("block1.0")?;
    let x = b.sequence(&x, "block1.", Act::Relu)?;
    let numbered = b.has("block2.conv1");
    // A residual block, its two convolutions, their norms and the PReLU between them.
    let block = |i: usize| if numbered { format!("block{}", i + 2) } else { format!("res.{i}") };
    let [conv1, norm1, prelu, conv2, norm2] = match numbered {
        true => ["conv1", "bn1", "prelu", "conv2", "bn2"],
        false => ["c1", "b1", "p", "c2", "b2"],
    };
    let mut y = x.clone();
    let blocks = b.count(|i| format!("{}.{conv1}", block(i)));
    for i in 0..blocks {
        let layer = |part: &str| format!("{}.{part}", block(i));
        let z = b.conv(&y, &layer(conv1))?;
        let z = b.batch_norm(&z, &layer(norm1))?;
        let z = b.prelu(&z, &layer(prelu))?;
        let z = b.conv(&z, &layer(conv2))?;
        let z = b.batch_norm(&z, &layer(norm2))?;
        y = b.add(&y, &z);
    }
    let y = match numbered {
        true => b.sequence(&y, &format!("{}.", block(blocks)), Act::Relu)?,
        false => {
            let y = b.conv(&y, "post_c")?;
            b.batch_norm(&y, "post_b")?
        }
    };
    let mut x = b.add(&y, &x);
    let tail = block(blocks + 1);
    let step = |i: usize| match numbered {
        true => [format!("{tail}.{i}.conv"), format!("{tail}.{i}.prelu")],
        false => [format!("up.{}", 3 * i), format!("up.{}", 3 * i + 2)],
    };
    let steps = b.count(|i| step(i)[0].clone());
    for [conv, prelu] in (0..steps).map(step) {
        x = larger(b, &x, &conv)?;
        x = b.prelu(&x, &prelu)?;
    }
    let last = if numbered { format!("{tail}.{steps}") } else { "last".into() };
    let x = b.conv(&x, &last)?;
    // Brought from −1..1 to 0..1.
    let x = b.act(&x, Act::Tanh);
    Ok(b.affine(&x, &vec![0.5; x.channels], &vec![0.5; x.channels]))
}

/// Slope of MSRResNet's leaky ReLUs.
const SLOPE: f32 = 0.1;

pub(super) fn msrresnet(b: &mut Build<'_>) -> Result<Edge, Fault> {
    b.range = Some(1.0);
    let act = Act::Leaky(b.options.slope.unwrap_or(SLOPE));
    let image = b.input("conv_first")?;
    let y = b.conv(&image, "conv_first")?;
    let mut x = b.act(&y, act);
    for i in 0..b.count(|i| format!("body.{i}.conv1")) {
        let y = b.conv(&x, &format!("body.{i}.conv1"))?;
        let y = b.act(&y, Act::Relu);
        let y = b.conv(&y, &format!("body.{i}.conv2"))?;
        let scale = b.options.res_scale.unwrap_or(1.0);
        let y = b.affine(&y, &vec![scale; y.channels], &vec![0.0; y.channels]);
        x = b.add(&x, &y);
    }
    let mut scale = 1;
    for layer in ["upconv1", "upconv2"] {
        if layer == "upconv1" || b.has(layer) {
            let before = x.channels;
            x = larger(b, &x, layer)?;
            scale *= if b.kernel_shape(layer)?[0] == 9 * before { 3 } else { 2 };
            x = b.act(&x, act);
        }
    }
    let y = b.conv(&x, "conv_hr")?;
    let y = b.act(&y, act);
    let y = b.conv(&y, "conv_last")?;
    let base = b.resize(&image, scale, "linear");
    Ok(b.add(&y, &base))
}

/// A convolution to four or nine times the channels, and the pixel shuffle back.
fn larger(b: &mut Build<'_>, x: &Edge, layer: &str) -> Result<Edge, Fault> {
    let [outputs, ..] = b.kernel_shape(layer)?;
    let y = b.conv(x, layer)?;
    match outputs / x.channels {
        4 => Ok(b.shuffle(&y, 2)),
        9 => Ok(b.shuffle(&y, 3)),
        times => Err(Fault::Cannot(format!(
            "{layer} has {times} times the channels that it reads; four or nine are done"
        ))),
    }
}
