//! RRDB networks: ESRGAN (Wang et al., "ESRGAN: Enhanced Super-Resolution Generative Adversarial Networks", ECCVW 2018) and
//! Real-ESRGAN's large ones, in BasicSR's layout, in that of ESRGAN's own repository and in the numbered one before it.

use super::Fault;
use super::build::{Act, Build, Edge};

/// Slope of all leaky ReLUs.
const SLOPE: f32 = 0.2;
/// Factor on the residuals, inner and outer.
const SCALE: f32 = 0.2;

/// What a layout calls its layers.
struct Names {
    first: String,
    /// A convolution of a dense block, by block, part and number; parts and numbers count from one.
    dense: fn(usize, usize, usize) -> String,
    body: String,
    up: Vec<String>,
    hr: String,
    last: String,
}

pub(super) fn rrdb(b: &mut Build<'_>) -> Result<Edge, Fault> {
    b.range = Some(1.0);
    let names = names(b)?;
    let act = Act::Leaky(b.options.slope.unwrap_or(SLOPE));
    let [_, channels, ..] = b.kernel_shape(&names.first)?;
    // Blocks of two or four pixels as channels: those for x2 and x1.
    let block = match channels {
        4 | 12 => 2,
        16 | 48 => 4,
        _ => 1,
    };
    let image = b.input_of(channels / (block * block))?;
    let x = if block == 1 { image } else { b.unshuffle(&image, block) };
    let first = b.conv(&x, &names.first)?;
    let mut x = first.clone();
    for block in 0..b.count(|i| (names.dense)(i, 1, 1)) {
        let before = x.clone();
        for part in 1..=3 {
            let mut all = vec![x.clone()];
            for k in 1..=5 {
                let joined = if k == 1 { x.clone() } else { b.concat(&all.iter().collect::<Vec<_>>()) };
                let y = b.conv(&joined, &(names.dense)(block, part, k))?;
                all.push(if k < 5 { b.act(&y, act) } else { y });
            }
            x = residual(b, &x, &all[5])?;
        }
        x = residual(b, &before, &x)?;
    }
    let y = b.conv(&x, &names.body)?;
    let mut x = b.add(&first, &y);
    for layer in &names.up {
        let large = b.resize(&x, 2, "nearest");
        let y = b.conv(&large, layer)?;
        x = b.act(&y, act);
    }
    let y = b.conv(&x, &names.hr)?;
    let y = b.act(&y, act);
    b.conv(&y, &names.last)
}

/// `x + s·y`
fn residual(b: &mut Build<'_>, x: &Edge, y: &Edge) -> Result<Edge, Fault> {
    if x.channels != y.channels {
        return Err(Fault::Cannot(format!("a block makes {} of {} channels", y.channels, x.channels)));
    }
    let scale = b.options.res_scale.unwrap_or(SCALE);
    let y = b.affine(y, &vec![scale; x.channels], &vec![0.0; x.channels]);
    Ok(b.add(x, &y))
}

fn names(b: &Build<'_>) -> Result<Names, Fault> {
    let list = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    if b.has("body.0.rdb1.conv1") {
        return Ok(Names {
            first: "conv_first".into(),
            dense: |block, part, k| format!("body.{block}.rdb{part}.conv{k}"),
            body: "conv_body".into(),
            up: list(&["conv_up1", "conv_up2"]),
            hr: "conv_hr".into(),
            last: "conv_last".into(),
        });
    }
    if b.has("RRDB_trunk.0.RDB1.conv1") {
        return Ok(Names {
            first: "conv_first".into(),
            dense: |block, part, k| format!("RRDB_trunk.{block}.RDB{part}.conv{k}"),
            body: "trunk_conv".into(),
            up: list(&["upconv1", "upconv2"]),
            hr: "HRconv".into(),
            last: "conv_last".into(),
        });
    }
    let dense = |block, part, k| format!("1.sub.{block}.RDB{part}.conv{k}.0");
    let blocks = b.count(|i| dense(i, 1, 1));
    if blocks == 0 {
        return Err(Fault::Missing("body.0.rdb1.conv1.weight".into()));
    }
    // Three numbers for each doubling: the enlarging, the convolution, the leaky ReLU.
    let doublings = b.count(|i| format!("{}", 3 * i + 3)).min(3);
    let end = 3 * doublings + 2;
    Ok(Names {
        first: "0".into(),
        dense,
        body: format!("1.sub.{blocks}"),
        up: (0..doublings).map(|i| format!("{}", 3 * i + 3)).collect(),
        hr: format!("{end}"),
        last: format!("{}", end + 2),
    })
}
