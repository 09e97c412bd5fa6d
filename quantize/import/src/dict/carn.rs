//! CARN and CARN-M (Ahn et al., "Fast, Accurate, and Lightweight Super-Resolution with Cascading Residual Network", ECCV
//! 2018), in the layout of its authors.

use super::Fault;
use super::build::{Act, Build, Edge};

pub(super) fn carn(b: &mut Build<'_>) -> Result<Edge, Fault> {
    b.range = Some(1.0);
    let x = b.input("entry")?;
    let x = shift(b, &x, "sub_mean")?;
    let entry = b.conv(&x, "entry")?;
    let x = cascade(b, &entry, "", &mut |b, x, k| {
        let block = format!("b{k}.");
        // CARN-M has one residual block for all three places.
        let own = b.has(&format!("{block}b2.body.0"));
        cascade(b, x, &block, &mut |b, x, j| {
            residual(b, x, &format!("{block}b{}.body.", if own { j } else { 1 }))
        })
    })?;
    let x = upsample(b, &x)?;
    let x = b.conv(&x, "exit")?;
    shift(b, &x, "add_mean")
}

type Part<'p> = dyn FnMut(&mut Build<'_>, &Edge, usize) -> Result<Edge, Fault> + 'p;

/// Three parts, after each of which all that came before is brought to the first width again.
fn cascade(b: &mut Build<'_>, x: &Edge, prefix: &str, part: &mut Part<'_>) -> Result<Edge, Fault> {
    let (mut all, mut x) = (vec![x.clone()], x.clone());
    for k in 1..=3 {
        all.push(part(b, &x, k)?);
        let joined = b.concat(&all.iter().collect::<Vec<_>>());
        let narrow = b.conv(&joined, &format!("{prefix}c{k}.body.0"))?;
        x = b.act(&narrow, Act::Relu);
    }
    Ok(x)
}

/// Two convolutions of 3x3, or two grouped ones and one of 1x1, with a ReLU behind the sum.
fn residual(b: &mut Build<'_>, x: &Edge, prefix: &str) -> Result<Edge, Fault> {
    let y = b.sequence(x, prefix, Act::Relu)?;
    let sum = b.add(&y, x);
    Ok(b.act(&sum, Act::Relu))
}

fn upsample(b: &mut Build<'_>, x: &Edge) -> Result<Edge, Fault> {
    let first = |part: &str| format!("upsample.{part}.body.0");
    let scales: Vec<usize> = (2..=4).filter(|s| b.has(&first(&format!("up{s}")))).collect();
    let part = match (&scales[..], b.options.scale) {
        ([], _) => "up".to_owned(),
        (&[one], None) => format!("up{one}"),
        (_, Some(scale)) if scales.contains(&scale) => format!("up{scale}"),
        (_, given) => return Err(Fault::Scale { of: scales, given }),
    };
    let mut x = x.clone();
    for i in 0..b.count(|i| format!("upsample.{part}.body.{}", 3 * i)).max(1) {
        let layer = format!("upsample.{part}.body.{}", 3 * i);
        let [outputs, ..] = b.kernel_shape(&layer)?;
        let y = b.conv(&x, &layer)?;
        let y = b.act(&y, Act::Relu);
        x = b.shuffle(&y, if outputs == 9 * x.channels { 3 } else { 2 });
    }
    b.ignore("upsample.");
    Ok(x)
}

/// Adds a mean, or takes it away: a convolution of 1x1 that only has a bias.
fn shift(b: &mut Build<'_>, x: &Edge, name: &str) -> Result<Edge, Fault> {
    let layer = format!("{name}.shifter");
    let [outputs, inputs, ..] = b.kernel_shape(&layer)?;
    let (_, matrix) = b.tensor(&format!("{layer}.weight"))?;
    let (_, bias) = b.tensor(&format!("{layer}.bias"))?;
    let diagonal = |at: usize| at / inputs == at % inputs;
    let plain = outputs == inputs && bias.len() == outputs && matrix.len() == outputs * inputs;
    if !plain || outputs != x.channels || (0..matrix.len()).any(|at| !diagonal(at) && matrix[at] != 0.0) {
        return b.conv(x, &layer);
    }
    let scale: Vec<f32> = (0..outputs).map(|c| matrix[c * inputs + c]).collect();
    Ok(b.affine(x, &scale, bias))
}
