//! A foreign network as a draft of the engine's operators.
//!
//! The network is followed with an image of given sizes: every edge is then a constant, or a [`View`] of an image that some
//! node of the draft makes. Arithmetic on sizes is plain arithmetic so, and a reshape is what it does. That nothing depends on
//! the sizes chosen is checked by doing it again with others ([`crate::import`]).

mod attention;
mod border;
mod conv;
mod fold;
mod gelu;
mod layout;
mod limits;
mod matrix;
mod ops;
mod pool;
mod rearrange;
mod resize;
mod statistics;

use crate::array::Array;
use crate::draft::{Conv, Draft, Ratio, Size, Work};
use crate::error::ImportError;
use crate::net::{Layer, Net};
use crate::view::{Factor, Picture, View};
use attention::Scores;
use gelu::Erf;
use mcir_runtime::model::{Filter, PadMode, Pool};
use rearrange::Cut;
use statistics::Part;
use std::collections::HashMap;

/// What an edge carries.
#[derive(Debug, Clone)]
enum Value {
    Constant(Array),
    /// An image, or something made of one.
    View(View),
    /// An image with something around it, for the convolution that reads it.
    Padded(Padded),
    /// A step on the way to a mean or a norm.
    Part(Part),
    /// A part of its rows or columns.
    Cut(Box<Cut>),
    /// A step on the way to an attention.
    Scores(Box<Scores>),
    /// A step on the way to a GELU.
    Erf(Erf),
}

/// An image with pixels around it, all of the same value.
#[derive(Debug, Clone)]
struct Padded {
    view: View,
    /// Rows above and below, columns left and right.
    around: usize,
    /// Their value in each channel; none are zeros.
    fill: Vec<f32>,
}

/// The lowering at work.
struct Lowering<'a> {
    net: &'a Net,
    draft: Draft,
    values: HashMap<&'a str, Value>,
    /// Pixels by which the network itself extends the image before anything else.
    extended: usize,
    /// Weights that may still be made: a small file can ask for many, by groups or by choosing channels again and again.
    budget: usize,
}

/// Most weights of a network.
const MAX_WEIGHTS: usize = 1 << 26;
/// Most channels of an image; the engine's limit.
const MAX_CHANNELS: usize = 4096;
/// Most that an image is enlarged; the engine's limit.
const MAX_UPSCALE: usize = 16;

/// Why an operator cannot be done.
type Why = String;

/// Follows the network with an image of this height and width, and values of this range from which this mean, in 0..1, is
/// taken. `exact` is the draft's ([`Draft::exact`]).
///
/// # Errors
/// [`ImportError::Input`], [`ImportError::Ends`], [`ImportError::Unsupported`], [`ImportError::Output`].
pub fn lower(
    net: &Net,
    size: [usize; 2],
    exact: bool,
    range: f32,
    mean: Option<[f32; 3]>,
) -> Result<Draft, ImportError> {
    follow(net, size, exact, range, mean, false)
}

/// What a network that takes images of any size extends them to a multiple of, and with what, if it does: found by an image that
/// is one pixel larger than a multiple of all that networks ask for.
pub fn multiple(net: &Net) -> Option<(usize, PadMode)> {
    /// Divided by all small numbers without larger prime factors than 7.
    const MULTIPLE: usize = 20160;
    let extended = |more: usize| {
        let draft = follow(net, [MULTIPLE + more; 2], false, 1.0, None, true).ok()?;
        Some((draft.padded.map(|_| draft.image)?, draft.padding?.1))
    };
    let ([height, width], mode) = extended(1)?;
    let multiple = height.checked_sub(MULTIPLE)?;
    let again = extended(3)?;
    let fits = height == width && again == ([(MULTIPLE + 3).next_multiple_of(multiple); 2], mode);
    fits.then_some((multiple, mode))
}

fn follow(
    net: &Net,
    size: [usize; 2],
    exact: bool,
    range: f32,
    mean: Option<[f32; 3]>,
    until_padded: bool,
) -> Result<Draft, ImportError> {
    let [input] = &net.inputs[..] else {
        return Err(ImportError::Ends { found: net.inputs.len(), what: "inputs" });
    };
    let [output] = &net.outputs[..] else {
        return Err(ImportError::Ends { found: net.outputs.len(), what: "outputs" });
    };
    let dims = &input.dims;
    let text = || dims.iter().map(|d| d.map_or("?".into(), |d| d.to_string())).collect::<Vec<_>>().join("x");
    let refused = || ImportError::Input { found: text() };
    // Behind the batch, or at the end where the axes are TensorFlow's.
    let image = |d: Option<usize>| matches!(d, Some(1 | 3));
    let (channels, last) = match dims[..] {
        [_, c, _, _] if image(c) => (c.unwrap_or(3), false),
        [_, _, _, c] if image(c) => (c.unwrap_or(3), true),
        _ => return Err(refused()),
    };
    /// Far above any image; all counting of rows and columns stays within what is exact.
    const LARGEST: usize = 1 << 20;
    if dims[0].is_some_and(|batch| batch != 1) || size.iter().any(|side| !(1..=LARGEST).contains(side)) {
        return Err(refused());
    }
    let draft = Draft { exact, ..Draft::new(channels, size) };
    let mut lowering = Lowering { net, draft, values: HashMap::new(), extended: 0, budget: MAX_WEIGHTS };
    // A grey image is what is in its place of all three.
    let shift = |factor: f32, channels: usize| -> Vec<f32> {
        (0..channels).map(|c| mean.map_or(0.0, |mean| mean[c % 3] * factor)).collect()
    };
    let plain = range == 1.0 && mean.is_none();
    let first = match plain {
        true => 0,
        false => {
            let work = Work::Affine { scale: vec![range; channels], shift: shift(-range, channels) };
            lowering.draft.push("to_range", work, &[0])
        }
    };
    let mut view = View::image(first, [channels, size[0], size[1]]);
    if last {
        view = view.transpose(&[0, 2, 3, 1]).expect("four axes");
    }
    lowering.values.insert(&input.name, Value::View(view));
    for (name, array) in &net.constants {
        lowering.values.insert(name, Value::Constant(array.clone()));
    }
    for layer in &net.layers {
        lowering.layer(layer)?;
        let begun = || (0..lowering.draft.nodes.len()).any(|node| !lowering.is_input(node));
        if until_padded && (lowering.draft.padded.is_some() || begun()) {
            return Ok(lowering.draft);
        }
    }
    let found = match lowering.values.get(output.as_str()) {
        Some(Value::View(view)) => view.clone(),
        _ => return Err(ImportError::Output { found: "a constant, or nothing".into() }),
    };
    let node = lowering.node_of(&found).map_err(|found| ImportError::Output { found })?;
    let margin = lowering.margin(node).map_err(|found| ImportError::Output { found })?;
    let mut draft = Draft { margin, ..lowering.draft };
    draft.settle_multiple().map_err(|found| ImportError::Output { found })?;
    draft.output = match plain {
        true => node,
        false => {
            let channels = draft.nodes[node].channels;
            let work = Work::Affine { scale: vec![1.0 / range; channels], shift: shift(1.0, channels) };
            draft.push("from_range", work, &[node])
        }
    };
    Ok(draft)
}

impl<'a> Lowering<'a> {
    fn layer(&mut self, layer: &'a Layer) -> Result<(), ImportError> {
        let unknown = |name: &String| ImportError::Unknown { node: layer.name.clone(), name: name.clone() };
        let mut inputs = Vec::new();
        for name in &layer.inputs {
            inputs.push(match name.as_str() {
                "" => None,
                name_ => Some(self.values.get(name_).cloned().ok_or_else(|| unknown(name))?),
            });
        }
        let constants: Vec<Option<&Array>> = inputs
            .iter()
            .map(|v| match v {
                Some(Value::Constant(array)) => Some(array),
                _ => None,
            })
            .collect();
        let all =
            inputs.iter().zip(&constants).all(|(value, constant)| value.is_some() == constant.is_some());
        let results = if all && layer.kind != "Shape" || layer.kind == "Constant" {
            fold::constant(layer, &constants, self.net.opset).map(|array| vec![Value::Constant(array)])
        } else {
            None
        };
        let results = match results {
            Some(results) => results,
            None => self.images(layer, &inputs).map_err(|why| ImportError::Unsupported {
                node: layer.name.clone(),
                kind: layer.kind.clone(),
                why,
            })?,
        };
        for (name, value) in layer.outputs.iter().zip(results) {
            self.values.insert(name, value);
        }
        Ok(())
    }

    /// Counts weights of so many outputs before they are made.
    fn spend(&mut self, outputs: usize, each: usize) -> Result<(), Why> {
        let weights = outputs.checked_mul(each).filter(|n| *n <= self.budget && outputs <= MAX_CHANNELS);
        let weights = weights.ok_or("the network has more channels or weights than the engine takes")?;
        self.budget -= weights;
        Ok(())
    }

    /// An enlargement, unless it goes beyond what the engine does.
    fn enlarge(&mut self, name: String, work: Work, node: usize, r: usize) -> Result<usize, Why> {
        match self.draft.nodes[node].size {
            Size::Times(Ratio { times, of }) if times * r <= MAX_UPSCALE * of => {}
            Size::Times(_) => return Err(format!("the image is enlarged more than {MAX_UPSCALE} times")),
            Size::Pooled(_) => {
                return Err("it enlarges what was pooled before by a factor, whose size depends on how that was rounded; \
                            strides that divide the image, and an interpolation to the size of another image, are done"
                    .into());
            }
        }
        Ok(self.draft.push(name, work, &[node]))
    }

    /// Rows and columns of a node's image.
    fn sizes(&self, node: usize) -> [usize; 3] {
        self.draft.sizes(node)
    }

    fn push(&mut self, layer: &Layer, work: Work, inputs: &[usize]) -> usize {
        self.draft.push(layer.name.clone(), work, inputs)
    }

    /// The image of a node as a value.
    fn value(&self, node: usize) -> Vec<Value> {
        vec![Value::View(View::image(node, self.sizes(node)))]
    }

    /// Rows and columns gathered into channels: each channel is a convolution that takes one pixel of a block, of which every
    /// so many are kept.
    fn gathered(&mut self, name: &str, picture: &Picture, node: usize) -> Result<usize, Why> {
        /// Largest side of a block: a kernel of 9 reaches from its first pixel to its last.
        const MOST: usize = 5;
        let (stride, inputs, count) =
            (picture.stride, self.draft.nodes[node].channels, picture.channels.len());
        if stride > MOST {
            return Err(format!(
                "it gathers blocks of {stride}x{stride} pixels into channels; blocks up to {MOST}x{MOST} are done"
            ));
        }
        let kernel = 2 * stride - 1;
        let area = kernel * kernel;
        self.spend(count, inputs * area)?;
        let mut weight = vec![0.0; count * inputs * area];
        for (o, (&i, [y, x])) in picture.channels.iter().zip(&picture.places).enumerate() {
            weight[(o * inputs + i) * area + (stride - 1 + y) * kernel + stride - 1 + x] = 1.0;
        }
        let conv = Conv { kernel, weight, bias: vec![0.0; count], relu: false };
        let node = self.draft.push(format!("{name}.gather"), Work::Conv(conv), &[node]);
        let pool = Pool { window: 1, stride: stride as u8, before: 0, after: 0 };
        self.pool(format!("{name}.gather.stride"), pool, node)
    }

    /// The node that makes what a view shows: choices of channels and pixel shuffles become operators here.
    fn node_of(&mut self, view: &View) -> Result<usize, Why> {
        let picture = view.picture().ok_or_else(|| {
            format!("a tensor of the sizes {:?} that is no rearrangement of an image's channels", view.dims())
        })?;
        let mut node = view.node;
        let name = self.draft.nodes[node].name.clone();
        if view.factor != Factor::ONE {
            let channels = self.draft.nodes[node].channels;
            let work =
                Work::Affine { scale: vec![view.factor.value(); channels], shift: vec![0.0; channels] };
            node = self.draft.push(format!("{name}.factor"), work, &[node]);
        }
        let inputs = self.draft.nodes[node].channels;
        if picture.stride > 1 {
            node = self.gathered(&name, &picture, node)?;
        } else if !picture.channels.iter().copied().eq(0..inputs) {
            self.spend(picture.channels.len(), inputs)?;
            let conv = Conv::select(&picture.channels, inputs);
            node = self.draft.push(format!("{name}.select"), Work::Conv(conv), &[node]);
        }
        if picture.repeats {
            node = self.draft.push(
                format!("{name}.repeat"),
                Work::Resize(picture.shuffle, Filter::Nearest),
                &[node],
            );
        } else if picture.shuffle > 1 {
            node = self.enlarge(
                format!("{name}.shuffle"),
                Work::Shuffle(picture.shuffle),
                node,
                picture.shuffle,
            )?;
        }
        Ok(node)
    }
}
