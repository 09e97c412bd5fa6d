//! A network in the making: operators that read each other's images and the tensors of a state dict.

use super::{Fault, Options};
use crate::array::Array;
use crate::net::{Attribute, Input, Layer, Net};
use mcir_checkpoint::Tensors;
use std::collections::{BTreeMap, BTreeSet};

/// Most operators; the engine takes no graph of that many nodes.
const MAX_LAYERS: usize = 4096;

/// The image between two operators.
#[derive(Debug, Clone)]
pub(super) struct Edge {
    name: String,
    pub channels: usize,
}

/// A non-linearity without weights.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Act {
    Relu,
    Leaky(f32),
    Tanh,
    Sigmoid,
    /// `x · sigmoid(x)`.
    Silu,
    /// Between these.
    Clip(f32, f32),
}

/// Operators appended to a [`Net`], and which tensors they took.
pub(super) struct Build<'a> {
    tensors: &'a Tensors,
    pub options: &'a Options,
    used: BTreeSet<String>,
    /// Constants that were computed here; those of the file are copied when all went well.
    made: BTreeMap<String, Array>,
    layers: Vec<Layer>,
    image: usize,
    /// The largest pixel value that the network works with, if its kind says so.
    pub range: Option<f32>,
    /// Whether it brings the image to a range and a mean itself.
    pub own_ends: bool,
}

impl<'a> Build<'a> {
    pub fn new(tensors: &'a Tensors, options: &'a Options) -> Self {
        let (used, made) = (BTreeSet::new(), BTreeMap::new());
        Self { tensors, options, used, made, layers: Vec::new(), image: 0, range: None, own_ends: false }
    }

    /// How many tensors have found their place.
    pub fn used(&self) -> usize {
        self.used.len()
    }

    /// Tensors without a place, in the order of their names.
    pub fn unused(&self) -> impl Iterator<Item = &str> {
        self.tensors.iter().map(|(name, ..)| name).filter(|name| !self.used.contains(*name))
    }

    /// The network that ends in an edge.
    pub fn finish(self, output: &Edge) -> Result<Net, Fault> {
        if self.layers.len() > MAX_LAYERS {
            return Err(Fault::Cannot(format!(
                "it has {} operators; at most {MAX_LAYERS} are taken",
                self.layers.len()
            )));
        }
        let mut constants = self.made;
        for name in self.layers.iter().flat_map(|layer| &layer.inputs) {
            if let (false, Some((shape, values))) = (constants.contains_key(name), self.tensors.get(name)) {
                let values = values.iter().map(|v| f64::from(*v)).collect();
                constants.insert(name.clone(), Array::new(shape.to_vec(), values, false));
            }
        }
        let input =
            Input { name: "input".into(), dims: vec![Some(1), Some(self.image), None, None], bytes: false };
        Ok(Net {
            inputs: vec![input],
            outputs: vec![output.name.clone()],
            layers: self.layers,
            constants,
            opset: 17,
            range: self.range,
        })
    }

    /// Shape of a tensor, if it is there.
    pub fn shape(&self, name: &str) -> Option<&'a [usize]> {
        self.tensors.get(name).map(|(shape, _)| shape)
    }

    /// Whether a layer has weights.
    pub fn has(&self, layer: &str) -> bool {
        self.shape(&format!("{layer}.weight")).is_some()
    }

    /// How many of the layers that `name` makes of 0, 1, … have weights.
    pub fn count(&self, name: impl Fn(usize) -> String) -> usize {
        (0..).take_while(|&i| self.has(&name(i))).count()
    }

    /// A tensor that has to be there.
    pub fn tensor(&mut self, name: &str) -> Result<(&'a [usize], &'a [f32]), Fault> {
        let found = self.tensors.get(name).ok_or_else(|| Fault::Missing(name.into()))?;
        self.used.insert(name.into());
        Ok(found)
    }

    /// Leaves tensors aside whose names begin so.
    pub fn ignore(&mut self, prefix: &str) {
        let names = self.tensors.iter().map(|(name, ..)| name).filter(|name| name.starts_with(prefix));
        self.used.extend(names.map(String::from));
    }

    /// Output and input channels, height and width of a kernel.
    pub fn kernel_shape(&mut self, layer: &str) -> Result<[usize; 4], Fault> {
        let name = format!("{layer}.weight");
        let (shape, _) = self.tensor(&name)?;
        <[usize; 4]>::try_from(shape).ok().filter(|shape| !shape.contains(&0)).ok_or_else(|| Fault::Shape {
            name,
            found: shape.to_vec(),
            expected: "a convolution's, four sizes".into(),
        })
    }

    /// The image that goes in: as many channels as a convolution reads.
    pub fn input(&mut self, first: &str) -> Result<Edge, Fault> {
        let [_, channels, ..] = self.kernel_shape(first)?;
        self.input_of(channels)
    }

    /// The image that goes in.
    pub fn input_of(&mut self, channels: usize) -> Result<Edge, Fault> {
        if !matches!(channels, 1 | 3) {
            return Err(Fault::Cannot(format!(
                "it reads images of {channels} channels; one or three are done"
            )));
        }
        self.image = channels;
        Ok(Edge { name: "input".into(), channels })
    }

    fn push(
        &mut self,
        name: &str,
        kind: &str,
        inputs: Vec<String>,
        attributes: Vec<(&str, Attribute)>,
        channels: usize,
    ) -> Edge {
        let output = format!("{}:{name}", self.layers.len());
        self.layers.push(Layer {
            name: name.into(),
            kind: kind.into(),
            inputs,
            outputs: vec![output.clone()],
            attributes: attributes.into_iter().map(|(name, value)| (name.into(), value)).collect(),
        });
        Edge { name: output, channels }
    }

    /// A constant made here.
    fn constant(&mut self, array: Array) -> String {
        let name = format!("made:{}", self.made.len());
        self.made.insert(name.clone(), array);
        name
    }

    fn list(&mut self, values: &[usize]) -> String {
        self.constant(Array::list(values.iter().map(|&v| v as i64)))
    }

    /// A convolution that keeps the size, with the groups that its shape tells.
    pub fn conv(&mut self, x: &Edge, layer: &str) -> Result<Edge, Fault> {
        let [_, _, height, width] = self.kernel_shape(layer)?;
        self.conv_with(x, layer, 1, [height / 2, width / 2])
    }

    /// A convolution.
    pub fn conv_with(
        &mut self,
        x: &Edge,
        layer: &str,
        stride: usize,
        pads: [usize; 2],
    ) -> Result<Edge, Fault> {
        let [outputs, inputs, ..] = self.kernel_shape(layer)?;
        let groups = x.channels / inputs;
        if groups == 0 || groups * inputs != x.channels || !outputs.is_multiple_of(groups) {
            return Err(self.misfit(layer, x));
        }
        let names = self.inputs_of(x, layer, outputs)?;
        let [y, x_pad] = pads.map(|p| p as i64);
        let attributes = vec![
            ("group", Attribute::Int(groups as i64)),
            ("pads", Attribute::Ints(vec![y, x_pad, y, x_pad])),
            ("strides", Attribute::Ints(vec![stride as i64; 2])),
        ];
        Ok(self.push(layer, "Conv", names, attributes, outputs))
    }

    /// A convolution that keeps the size, of weights made here.
    pub fn conv_of(&mut self, x: &Edge, layer: &str, kernel: &super::kernel::Kernel) -> Result<Edge, Fault> {
        if kernel.inputs != x.channels {
            return Err(self.misfit(layer, x));
        }
        let (o, i, side) = (kernel.outputs, kernel.inputs, kernel.side);
        let weight = self.constant(Array::new(vec![o, i, side, side], kernel.weight.clone(), false));
        let bias = self.constant(Array::new(vec![o], kernel.bias.clone(), false));
        let pads = Attribute::Ints(vec![(side / 2) as i64; 4]);
        Ok(self.push(layer, "Conv", vec![x.name.clone(), weight, bias], vec![("pads", pads)], o))
    }

    /// The edges that a layer with weights reads: the image, its weights, and its bias if there is one.
    fn inputs_of(&mut self, x: &Edge, layer: &str, outputs: usize) -> Result<Vec<String>, Fault> {
        let mut names = vec![x.name.clone(), format!("{layer}.weight")];
        let bias = format!("{layer}.bias");
        if self.shape(&bias).is_some() {
            self.vector(&bias, outputs)?;
            names.push(bias);
        }
        Ok(names)
    }

    fn misfit(&self, layer: &str, x: &Edge) -> Fault {
        let name = format!("{layer}.weight");
        let found = self.shape(&name).unwrap_or_default().to_vec();
        Fault::Shape { name, found, expected: format!("weights for {} channels", x.channels) }
    }

    /// A transposed convolution that enlarges `scale` times, with this padding, before and behind the output.
    pub fn deconv(&mut self, x: &Edge, layer: &str, scale: usize, pads: [usize; 2]) -> Result<Edge, Fault> {
        let [inputs, outputs, ..] = self.kernel_shape(layer)?;
        if inputs != x.channels {
            return Err(self.misfit(layer, x));
        }
        let names = self.inputs_of(x, layer, outputs)?;
        let [pad, more] = pads.map(|pad| pad as i64);
        let attributes = vec![
            ("strides", Attribute::Ints(vec![scale as i64; 2])),
            ("pads", Attribute::Ints(vec![pad; 4])),
            ("output_padding", Attribute::Ints(vec![more; 2])),
        ];
        Ok(self.push(layer, "ConvTranspose", names, attributes, outputs))
    }

    /// A tensor with a value for each channel.
    fn vector(&mut self, name: &str, channels: usize) -> Result<&'a [f32], Fault> {
        let (shape, values) = self.tensor(name)?;
        match values.len() == channels {
            true => Ok(values),
            false => Err(Fault::Shape {
                name: name.into(),
                found: shape.to_vec(),
                expected: format!("{channels} values"),
            }),
        }
    }

    /// A PReLU with a slope for each channel, or one for all.
    pub fn prelu(&mut self, x: &Edge, layer: &str) -> Result<Edge, Fault> {
        let name = format!("{layer}.weight");
        let (shape, values) = self.tensor(&name)?;
        if values.len() != 1 && values.len() != x.channels {
            let expected = format!("one slope, or {}", x.channels);
            return Err(Fault::Shape { name, found: shape.to_vec(), expected });
        }
        Ok(self.push(layer, "PRelu", vec![x.name.clone(), name], Vec::new(), x.channels))
    }

    /// A batch norm as it is after training.
    pub fn batch_norm(&mut self, x: &Edge, layer: &str) -> Result<Edge, Fault> {
        let mut names = vec![x.name.clone()];
        for part in ["weight", "bias", "running_mean", "running_var"] {
            let name = format!("{layer}.{part}");
            self.vector(&name, x.channels)?;
            names.push(name);
        }
        Ok(self.push(layer, "BatchNormalization", names, Vec::new(), x.channels))
    }

    /// A non-linearity.
    pub fn act(&mut self, x: &Edge, act: Act) -> Edge {
        let (kind, attributes) = match act {
            Act::Relu => ("Relu", Vec::new()),
            Act::Leaky(slope) => ("LeakyRelu", vec![("alpha", Attribute::Float(slope))]),
            Act::Tanh => ("Tanh", Vec::new()),
            Act::Sigmoid => ("Sigmoid", Vec::new()),
            Act::Silu => {
                let gate = self.act(x, Act::Sigmoid);
                return self.mul(x, &gate);
            }
            Act::Clip(low, high) => {
                let limits = [low, high].map(|v| self.constant(Array::new(vec![], vec![v.into()], false)));
                let [low, high] = limits;
                return self.push("clip", "Clip", vec![x.name.clone(), low, high], Vec::new(), x.channels);
            }
        };
        let name = format!("{}.{}", x.name.split_once(':').map_or("x", |n| n.1), kind.to_lowercase());
        self.push(&name, kind, vec![x.name.clone()], attributes, x.channels)
    }

    pub fn add(&mut self, a: &Edge, b: &Edge) -> Edge {
        self.push("add", "Add", vec![a.name.clone(), b.name.clone()], Vec::new(), a.channels)
    }

    pub fn mul(&mut self, a: &Edge, b: &Edge) -> Edge {
        self.push("mul", "Mul", vec![a.name.clone(), b.name.clone()], Vec::new(), a.channels)
    }

    /// `scale · x + shift`, by channel.
    pub fn affine(&mut self, x: &Edge, scale: &[f32], shift: &[f32]) -> Edge {
        let mut of = |values: &[f32]| {
            let values = values.iter().map(|v| f64::from(*v)).collect::<Vec<_>>();
            self.constant(Array::new(vec![1, values.len(), 1, 1], values, false))
        };
        let [scale, shift] = [of(scale), of(shift)];
        let scaled = self.push("scale", "Mul", vec![x.name.clone(), scale], Vec::new(), x.channels);
        self.push("shift", "Add", vec![scaled.name, shift], Vec::new(), x.channels)
    }

    pub fn concat(&mut self, parts: &[&Edge]) -> Edge {
        let names = parts.iter().map(|part| part.name.clone()).collect();
        let channels = parts.iter().map(|part| part.channels).sum();
        self.push("concat", "Concat", names, vec![("axis", Attribute::Int(1))], channels)
    }

    /// The channels from one on, up to another.
    pub fn channels(&mut self, x: &Edge, from: usize, to: usize) -> Edge {
        let mut names = vec![x.name.clone()];
        names.extend([from, to, 1].map(|v| self.list(&[v])));
        self.push("channels", "Slice", names, Vec::new(), to - from)
    }

    /// `[C·r², H, W]` to `[C, H·r, W·r]`.
    pub fn shuffle(&mut self, x: &Edge, r: usize) -> Edge {
        let attributes =
            vec![("blocksize", Attribute::Int(r as i64)), ("mode", Attribute::Text("CRD".into()))];
        self.push("shuffle", "DepthToSpace", vec![x.name.clone()], attributes, x.channels / (r * r))
    }

    /// `[C, H, W]` to `[C·r², H/r, W/r]`.
    pub fn unshuffle(&mut self, x: &Edge, r: usize) -> Edge {
        let attributes =
            vec![("blocksize", Attribute::Int(r as i64)), ("mode", Attribute::Text("CRD".into()))];
        self.push("unshuffle", "SpaceToDepth", vec![x.name.clone()], attributes, x.channels * r * r)
    }

    /// Enlarged `r` times, by nearest pixels or bilinearly.
    pub fn resize(&mut self, x: &Edge, r: usize, mode: &str) -> Edge {
        let r = r as f64;
        let factors = self.constant(Array::new(vec![4], vec![1.0, 1.0, r, r], false));
        let attributes = vec![
            ("mode", Attribute::Text(mode.into())),
            ("coordinate_transformation_mode", Attribute::Text("half_pixel".into())),
        ];
        self.push("resize", "Resize", vec![x.name.clone(), String::new(), factors], attributes, x.channels)
    }

    /// Resized bilinearly to the size of another image.
    pub fn resize_like(&mut self, x: &Edge, other: &Edge) -> Edge {
        let [zero, two, four] = [0, 2, 4].map(|v| self.list(&[v]));
        let mut part = |of: &Edge, from: &str, to: &str| {
            let shape = self.push("size", "Shape", vec![of.name.clone()], Vec::new(), 0);
            let names = vec![shape.name, from.into(), to.into(), zero.clone()];
            self.push("size", "Slice", names, Vec::new(), 0).name
        };
        let parts = vec![part(x, &zero, &two), part(other, &two, &four)];
        let size = self.push("size", "Concat", parts, vec![("axis", Attribute::Int(0))], 0);
        let attributes = vec![
            ("mode", Attribute::Text("linear".into())),
            ("coordinate_transformation_mode", Attribute::Text("half_pixel".into())),
        ];
        let names = vec![x.name.clone(), String::new(), String::new(), size.name];
        self.push("resize", "Resize", names, attributes, x.channels)
    }

    /// The largest value in each window of `side`, one for every `stride` pixels.
    pub fn max_pool(&mut self, x: &Edge, side: usize, stride: usize) -> Edge {
        let attributes = vec![
            ("kernel_shape", Attribute::Ints(vec![side as i64; 2])),
            ("strides", Attribute::Ints(vec![stride as i64; 2])),
            ("pads", Attribute::Ints(vec![0; 4])),
        ];
        self.push("pool", "MaxPool", vec![x.name.clone()], attributes, x.channels)
    }

    /// By how much a pixel shuffle to the image's channels enlarges.
    pub fn enlargement(&self, layer: &str, x: &Edge) -> Result<usize, Fault> {
        let r = (x.channels / self.image.max(1)).isqrt();
        if r > 0 && self.image * r * r == x.channels {
            return Ok(r);
        }
        let name = format!("{layer}.weight");
        let found = self.shape(&name).unwrap_or_default().to_vec();
        Err(Fault::Shape { name, found, expected: format!("{} times a square of outputs", self.image) })
    }

    /// The last pixel shuffle, to the image's channels.
    pub fn shuffled(&mut self, layer: &str, x: &Edge) -> Result<Edge, Fault> {
        let r = self.enlargement(layer, x)?;
        Ok(if r == 1 { x.clone() } else { self.shuffle(x, r) })
    }

    /// The layers `{prefix}0`, `{prefix}1`, … of a sequence: convolutions, PReLUs and batch norms by the shape of their
    /// weights, and `gap` where one between them has none.
    pub fn sequence(&mut self, x: &Edge, prefix: &str, gap: Act) -> Result<Edge, Fault> {
        let number = |name: &str| name.strip_prefix(prefix)?.strip_suffix(".weight")?.parse::<usize>().ok();
        let last = self.tensors.iter().filter_map(|(name, ..)| number(name)).max();
        let last = last.ok_or_else(|| Fault::Missing(format!("{prefix}0.weight")))?;
        let mut x = x.clone();
        let mut i = 0;
        while i <= last {
            let layer = format!("{prefix}{i}");
            x = match self.shape(&format!("{layer}.weight")).map(<[usize]>::len) {
                Some(4) => self.conv(&x, &layer)?,
                Some(_) if self.shape(&format!("{layer}.running_mean")).is_some() => {
                    self.batch_norm(&x, &layer)?
                }
                Some(_) => self.prelu(&x, &layer)?,
                // Non-linearities have no weights, but never two of them in a row.
                None if i > 0 && self.has(&format!("{prefix}{}", i - 1)) => self.act(&x, gap),
                None => return Err(Fault::Missing(format!("{layer}.weight"))),
            };
            i += 1;
        }
        Ok(x)
    }
}
