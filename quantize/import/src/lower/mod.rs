//! A foreign network as a draft of the engine's operators.
//!
//! The network is followed with an image of given sizes: every edge is then a constant, or a [`View`] of an image that some
//! node of the draft makes. Arithmetic on sizes is plain arithmetic so, and a reshape is what it does. That nothing depends on
//! the sizes chosen is checked by doing it again with others ([`crate::import`]).

mod border;
mod conv;
mod fold;
mod limits;
mod ops;
mod resize;
mod statistics;

use crate::array::Array;
use crate::draft::{Conv, Draft, Size, Work};
use crate::error::ImportError;
use crate::net::{Layer, Net};
use crate::view::View;
use mcir_runtime::model::Filter;
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
/// taken.
///
/// # Errors
/// [`ImportError::Input`], [`ImportError::Ends`], [`ImportError::Unsupported`], [`ImportError::Output`].
pub fn lower(net: &Net, size: [usize; 2], range: f32, mean: Option<[f32; 3]>) -> Result<Draft, ImportError> {
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
    if dims[0].is_some_and(|batch| batch != 1) {
        return Err(refused());
    }
    let draft = Draft::new(channels, size);
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
    }
    let found = match lowering.values.get(output.as_str()) {
        Some(Value::View(view)) => view.clone(),
        _ => return Err(ImportError::Output { found: "a constant, or nothing".into() }),
    };
    let node = lowering.node_of(&found).map_err(|found| ImportError::Output { found })?;
    let margin = lowering.margin(node).map_err(|found| ImportError::Output { found })?;
    let mut draft = Draft { margin, ..lowering.draft };
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
            Size::Times(n) if n * r <= MAX_UPSCALE => {}
            Size::Times(_) => return Err(format!("the image is enlarged more than {MAX_UPSCALE} times")),
            Size::Pooled(_) => {
                return Err("it enlarges what was pooled before by a factor, whose size depends on how that was rounded; \
                            an interpolation to the size of another image is done"
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

    /// The node that makes what a view shows: choices of channels and pixel shuffles become operators here.
    fn node_of(&mut self, view: &View) -> Result<usize, Why> {
        let picture = view.picture().ok_or_else(|| {
            format!("a tensor of the sizes {:?} that is no rearrangement of an image's channels", view.dims())
        })?;
        let mut node = view.node;
        let name = self.draft.nodes[node].name.clone();
        let inputs = self.draft.nodes[node].channels;
        if !picture.channels.iter().copied().eq(0..inputs) {
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
