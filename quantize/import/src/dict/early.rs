//! The first small networks: FSRCNN (Dong et al., "Accelerating the Super-Resolution Convolutional Neural Network", ECCV 2016),
//! ESPCN (Shi et al., "Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel Convolutional Neural
//! Network", CVPR 2016) and waifu2x's upconv_7.

use super::Fault;
use super::build::{Act, Build, Edge};

/// Names of FSRCNN's parts, as the two usual implementations have them: the first convolution and its PReLU, sequences, the
/// transposed convolution.
const FSRCNN: [(&str, &[&str], &str); 2] = [
    ("first_part.0", &["first_part.", "mid_part."], "last_part"),
    ("feature_extraction.0", &["feature_extraction.", "shrink.", "map.", "expand."], "deconv"),
];

pub(super) fn fsrcnn(b: &mut Build<'_>) -> Result<Edge, Fault> {
    let layout = FSRCNN.iter().find(|(_, _, last)| b.has(last));
    let (first, sequences, last) = layout.ok_or_else(|| Fault::Missing("last_part.weight".into()))?;
    let mut x = b.input(first)?;
    b.range = Some(1.0);
    for sequence in *sequences {
        x = b.sequence(&x, sequence, Act::Relu)?;
    }
    let [_, _, side, wide] = b.kernel_shape(last)?;
    if side != wide {
        return Err(Fault::Cannot(format!("{last} has a kernel of {side}x{wide}")));
    }
    // The stride cannot be seen; the padding is half a kernel with any.
    match b.options.scale {
        Some(scale @ 2..=4) => b.deconv(&x, last, scale, [side / 2, scale - 1]),
        given => Err(Fault::Scale { of: vec![2, 3, 4], given }),
    }
}

pub(super) fn espcn(b: &mut Build<'_>) -> Result<Edge, Fault> {
    b.range = Some(1.0);
    // PyTorch's example has ReLUs, the others the paper's tanh.
    if b.has("conv1") && b.has("conv4") {
        let mut x = b.input("conv1")?;
        for i in 1..=3 {
            let y = b.conv(&x, &format!("conv{i}"))?;
            x = b.act(&y, Act::Relu);
        }
        let y = b.conv(&x, "conv4")?;
        return b.shuffled("conv4", &y);
    }
    let (first, last) = match b.has("sub_pixel.0") {
        true => ("feature_maps.", "sub_pixel.0"),
        false => ("first_part.", "last_part.0"),
    };
    let x = b.input(&format!("{first}0"))?;
    let y = b.sequence(&x, first, Act::Tanh)?;
    let y = b.act(&y, Act::Tanh);
    let y = b.conv(&y, last)?;
    b.shuffled(last, &y)
}

/// Slope of upconv_7's leaky ReLUs.
const UPCONV_SLOPE: f32 = 0.1;
/// Convolutions before its last.
const UPCONV_LAYERS: usize = 6;

pub(super) fn upconv_7(b: &mut Build<'_>) -> Result<Edge, Fault> {
    b.range = Some(1.0);
    let last = format!("{}", 2 * UPCONV_LAYERS);
    let [_, outputs, side, _] = b.kernel_shape(&last)?;
    let mut x = b.input("0")?;
    if side != 4 || outputs != x.channels || b.kernel_shape("0")?[2] != 3 {
        return Err(Fault::Missing("a transposed convolution of 4x4 at the end".into()));
    }
    for i in 0..UPCONV_LAYERS {
        let y = b.conv_with(&x, &format!("{}", 2 * i), 1, [0, 0])?;
        x = b.act(&y, Act::Leaky(b.options.slope.unwrap_or(UPCONV_SLOPE)));
    }
    b.deconv(&x, &last, 2, [3, 0])
}
