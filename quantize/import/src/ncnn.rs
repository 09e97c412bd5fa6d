//! ncnn files: layers as text (`.param`), their weights behind each other (`.bin`).
//!
//! # Source
//! <https://github.com/Tencent/ncnn/wiki/param-and-model-file-structure>,
//! <https://github.com/Tencent/ncnn/blob/master/docs/developer-guide/operators.md>.

#[cfg(test)]
mod tests;

use crate::array::{Array, product};
use crate::error::ImportError;
use crate::net::{Attribute, Input, Layer, Net};
use std::collections::{BTreeMap, BTreeSet};

/// First line of a file.
const MAGIC: &str = "7767517";
/// Marks of how weights are stored.
const FLOAT16: u32 = 0x0130_6b47;
const INT8: u32 = 0x000d_4b38;
/// Most layers; the engine runs some thousand nodes.
const MAX_LAYERS: usize = 8192;

/// Whether a text is that of ncnn's layers.
pub fn is_param(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC.as_bytes())
}

/// Reads the layers and their weights.
///
/// # Errors
/// [`ImportError::Damaged`], [`ImportError::TooLarge`], [`ImportError::Unsupported`].
pub fn read(param: &str, bin: &[u8]) -> Result<Net, ImportError> {
    let damaged = |why: &str| ImportError::Damaged(why.into());
    let mut lines = param.lines().map(str::trim).filter(|line| !line.is_empty());
    if lines.next() != Some(MAGIC) {
        return Err(damaged("its first line is not that of an ncnn file"));
    }
    lines.next().ok_or_else(|| damaged("it ends before its layers"))?;
    let mut reader = Reader { net: Net { opset: 18, ..Net::default() }, bin, at: 0, made: 0 };
    for line in lines {
        if reader.made >= MAX_LAYERS {
            return Err(ImportError::TooLarge {
                what: "layers",
                found: reader.made as u64 + 1,
                limit: MAX_LAYERS as u64,
            });
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        let parsed = Parsed::of(&words)
            .ok_or_else(|| damaged(&format!("the line {:?} is none of a layer", short(line))))?;
        reader.layer(&parsed)?;
        reader.made += 1;
    }
    let mut net = reader.net;
    let read: BTreeSet<&String> = net.layers.iter().flat_map(|l| &l.inputs).collect();
    let written = net.layers.iter().flat_map(|l| &l.outputs);
    net.outputs = written.filter(|name| !read.contains(name)).cloned().collect();
    Ok(net)
}

fn short(line: &str) -> String {
    line.chars().take(60).collect()
}

/// A line.
struct Parsed<'a> {
    kind: &'a str,
    name: &'a str,
    inputs: Vec<String>,
    outputs: Vec<String>,
    numbers: BTreeMap<i64, f64>,
    lists: BTreeMap<i64, Vec<f64>>,
}

impl<'a> Parsed<'a> {
    fn of(words: &[&'a str]) -> Option<Self> {
        let (&kind, &name) = (words.first()?, words.get(1)?);
        let (reads, writes): (usize, usize) = (words.get(2)?.parse().ok()?, words.get(3)?.parse().ok()?);
        let end = reads.checked_add(writes)?.checked_add(4)?;
        let (inputs, outputs) = words.get(4..end)?.split_at(reads);
        let own = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect();
        let mut parsed = Self {
            kind,
            name,
            inputs: own(inputs),
            outputs: own(outputs),
            numbers: BTreeMap::new(),
            lists: BTreeMap::new(),
        };
        for word in &words[end..] {
            let (key, value) = word.split_once('=')?;
            let key: i64 = key.parse().ok()?;
            if key <= -23300 {
                let values = value.split(',').skip(1).map(|v| v.parse().ok()).collect::<Option<_>>()?;
                parsed.lists.insert(-23300 - key, values);
            } else {
                match value.parse() {
                    Ok(value) => parsed.numbers.insert(key, value),
                    // A size as an expression, which says what the inputs say as well.
                    Err(_) if value.starts_with('"') => None,
                    Err(_) => return None,
                };
            }
        }
        Some(parsed)
    }

    fn number(&self, key: i64, default: f64) -> f64 {
        self.numbers.get(&key).copied().unwrap_or(default)
    }

    fn int(&self, key: i64, default: i64) -> i64 {
        self.number(key, default as f64) as i64
    }

    /// Something that no network has less than none of.
    fn count(&self, key: i64) -> usize {
        self.int(key, 0).max(0) as usize
    }
}

struct Reader<'a> {
    net: Net,
    bin: &'a [u8],
    at: usize,
    /// Layers read.
    made: usize,
}

impl Reader<'_> {
    fn layer(&mut self, p: &Parsed<'_>) -> Result<(), ImportError> {
        let unsupported =
            |why: String| ImportError::Unsupported { node: p.name.into(), kind: p.kind.into(), why };
        match p.kind {
            "Input" => {
                let name = p.outputs.first().cloned().unwrap_or_default();
                self.net.inputs.push(Input { name, dims: vec![Some(1), None, None, None], bytes: false });
            }
            "Split" => {
                for output in &p.outputs {
                    self.push("Identity", p, p.inputs.clone(), vec![output.clone()], []);
                }
            }
            "Noop" | "Dropout" => self.same("Identity", p, []),
            "Convolution" | "ConvolutionDepthWise" | "Deconvolution" | "DeconvolutionDepthWise" => {
                self.conv(p)?
            }
            "PReLU" => {
                let slopes = self.floats(p.count(0), p)?;
                let name = self.constant(p, "slope", vec![slopes.len(), 1, 1], slopes);
                self.push("PRelu", p, [&p.inputs[..], &[name]].concat(), p.outputs.clone(), []);
            }
            "ReLU" => match p.number(0, 0.0) {
                0.0 => self.same("Relu", p, []),
                slope => self.same("LeakyRelu", p, [("alpha", Attribute::Float(slope as f32))]),
            },
            "Sigmoid" => self.same("Sigmoid", p, []),
            "TanH" => self.same("Tanh", p, []),
            "Swish" => self.same("Silu", p, []),
            "HardSigmoid" | "HardSwish" => self.same(
                p.kind,
                p,
                [("alpha", p.number(0, 0.2)), ("beta", p.number(1, 0.5))]
                    .map(|(name, v)| (name, Attribute::Float(v as f32))),
            ),
            "GELU" => {
                let form = if p.int(0, 0) == 0 { "none" } else { "tanh" };
                self.same("Gelu", p, [("approximate", Attribute::Text(form.into()))]);
            }
            "AbsVal" => self.same("Abs", p, []),
            "Clip" => {
                let limits =
                    [("min", p.number(0, -f64::from(f32::MAX))), ("max", p.number(1, f64::from(f32::MAX)))];
                self.same("Clip", p, limits.map(|(name, v)| (name, Attribute::Float(v as f32))));
            }
            "Concat" if p.int(0, 0) == 0 => self.same("Concat", p, [("axis", Attribute::Int(1))]),
            "PixelShuffle" => {
                let mode = if p.int(1, 0) == 0 { "CRD" } else { "DCR" };
                let attributes =
                    [("blocksize", Attribute::Int(p.int(0, 1))), ("mode", Attribute::Text(mode.into()))];
                self.same("DepthToSpace", p, attributes);
            }
            "Interp" | "Upsample" => {
                let (down, across) = (p.number(1, 0.0) as f32, p.number(2, 0.0) as f32);
                let like = (p.inputs.len() == 2).then(|| self.sizes_of(p));
                if like.is_none() && (down == 0.0 || across == 0.0) {
                    return Err(unsupported("it resizes to a given size, not by a factor".into()));
                }
                let (mode, places) = match (p.int(0, 0), p.int(6, 0)) {
                    (1, _) => ("nearest", "asymmetric"),
                    (2, 0) => ("linear", "half_pixel"),
                    (3, 0) => ("cubic", "half_pixel"),
                    (2, _) => ("linear", "align_corners"),
                    (3, _) => ("cubic", "align_corners"),
                    (other, _) => return Err(unsupported(format!("its kind of interpolation is {other}"))),
                };
                let text = |text: &str| Attribute::Text(text.into());
                let mut attributes = vec![
                    ("mode", text(mode)),
                    ("coordinate_transformation_mode", text(places)),
                    ("nearest_mode", text("floor")),
                ];
                let mut inputs = p.inputs[..p.inputs.len().min(1)].to_vec();
                match like {
                    Some(sizes) => inputs.extend([String::new(), String::new(), sizes]),
                    None => attributes.push(("scales", Attribute::Floats(vec![1.0, 1.0, down, across]))),
                }
                self.push("Resize", p, inputs, p.outputs.clone(), attributes);
            }
            "BinaryOp" => {
                let operations = ["Add", "Sub", "Mul", "Div", "Max", "Min", "Pow", "RSub", "RDiv"];
                let kind = usize::try_from(p.int(0, 0)).ok().and_then(|i| operations.get(i)).copied();
                let kind = kind.ok_or_else(|| unsupported(format!("its operation is {}", p.int(0, 0))))?;
                let mut inputs = p.inputs.clone();
                if p.int(1, 0) != 0 {
                    inputs.push(self.constant(p, "b", Vec::new(), vec![p.number(2, 0.0)]));
                }
                if let Some(usual) = kind.strip_prefix('R') {
                    inputs.reverse();
                    self.push(usual, p, inputs, p.outputs.clone(), []);
                } else {
                    self.push(kind, p, inputs, p.outputs.clone(), []);
                }
            }
            "Eltwise" => {
                let plain = p.lists.get(&1).is_none_or(|c| c.iter().all(|c| *c == 1.0));
                match (p.int(0, 0), plain, p.inputs.len()) {
                    (1, true, 2) => self.same("Add", p, []),
                    (0, _, 2) => self.same("Mul", p, []),
                    _ => return Err(unsupported("sums and products of two inputs are done".into())),
                }
            }
            "Pooling" => match (p.int(0, 0), p.int(4, 0)) {
                (1, 1) => self.same("GlobalAveragePool", p, []),
                (0, 0) if p.int(5, 0) == 1 || p.int(3, 0) == 0 && p.int(2, 1) == 1 => {
                    let (window, stride, pad) = (p.int(1, 0), p.int(2, 1), p.int(3, 0));
                    let attributes = [
                        ("kernel_shape", Attribute::Ints(vec![p.int(11, window), window])),
                        ("strides", Attribute::Ints(vec![p.int(12, stride), stride])),
                        ("pads", Attribute::Ints(vec![p.int(13, pad), pad, p.int(15, pad), p.int(14, pad)])),
                    ];
                    self.same("MaxPool", p, attributes);
                }
                _ => {
                    return Err(unsupported(
                        "the largest of windows, rounded down, and the mean of the whole image are done"
                            .into(),
                    ));
                }
            },
            "Reduction" if matches!(p.int(0, 0), 0 | 3) && p.number(2, 1.0) == 1.0 => {
                let axes = match (p.int(1, 1), p.lists.get(&3)) {
                    (0, Some(axes)) => axes.iter().map(|a| *a as i64).collect(),
                    _ => vec![0, 1, 2],
                };
                let axes = axes.into_iter().map(|axis| if axis < 0 { axis } else { axis + 1 }).collect();
                let attributes = [("axes", Attribute::Ints(axes)), ("keepdims", Attribute::Int(p.int(4, 0)))];
                self.same(if p.int(0, 0) == 0 { "ReduceSum" } else { "ReduceMean" }, p, attributes);
            }
            "UnaryOp" => {
                let power = match p.int(0, 0) {
                    4 => 2.0,
                    5 => 0.5,
                    6 => -0.5,
                    other => {
                        return Err(unsupported(format!(
                            "its operation is {other}; squares and roots are done"
                        )));
                    }
                };
                let power = self.constant(p, "power", Vec::new(), vec![power]);
                self.push("Pow", p, [&p.inputs[..], &[power]].concat(), p.outputs.clone(), []);
            }
            "MemoryData" => {
                let dims: Vec<usize> = [2, 1, 0].map(|key| p.count(key)).into_iter().collect();
                // Fewer axes are those of rows, or of rows and columns.
                let dims: Vec<usize> = dims.into_iter().filter(|d| *d > 0).collect();
                let values = self.floats(product(&dims).unwrap_or(usize::MAX), p)?;
                let name = p.outputs.first().cloned().unwrap_or_default();
                self.net.constants.insert(name, Array::new(dims, values, false));
            }
            "InnerProduct" if p.int(9, 0) == 0 && p.int(8, 0) == 0 => {
                let (outputs, size) = (p.count(0), p.count(2));
                if outputs == 0 || !size.is_multiple_of(outputs) {
                    return Err(unsupported("its number of weights does not fit its outputs".into()));
                }
                let weights = self.weights(size, p)?;
                let mut edges = vec![p.inputs.first().cloned().unwrap_or_default()];
                // Of one pixel it is a convolution.
                edges.push(self.constant(p, "weight", vec![outputs, size / outputs, 1, 1], weights));
                if p.int(1, 0) != 0 {
                    let bias = self.floats(outputs, p)?;
                    edges.push(self.constant(p, "bias", vec![outputs], bias));
                }
                self.push("Conv", p, edges, p.outputs.clone(), [("point", Attribute::Int(1))]);
            }
            "Slice" if p.int(1, 0) == 0 => {
                let sizes = p.lists.get(&0).cloned().unwrap_or_default();
                let mut attributes = vec![("axis", Attribute::Int(1))];
                // The mark of what is left, shared equally.
                if sizes.iter().any(|size| *size != -233.0) {
                    if sizes.iter().any(|size| *size <= 0.0) {
                        return Err(unsupported("its sizes are partly left open".into()));
                    }
                    attributes.push(("split", Attribute::Ints(sizes.iter().map(|s| *s as i64).collect())));
                }
                self.push("Split", p, p.inputs.clone(), p.outputs.clone(), attributes);
            }
            _ => return Err(unsupported("this layer is not read".into())),
        }
        Ok(())
    }

    /// Sizes of the first input with rows and columns of the second.
    fn sizes_of(&mut self, p: &Parsed<'_>) -> String {
        let name = |what: &str| format!("{} {} {what}", self.made, p.name);
        let names = [name("channels"), name("like"), name("sizes")];
        for (k, range) in [[0, 2], [2, 4]].into_iter().enumerate() {
            let range = [("start", Attribute::Int(range[0])), ("end", Attribute::Int(range[1]))];
            self.push("Shape", p, vec![p.inputs[k].clone()], vec![names[k].clone()], range);
        }
        let axis = [("axis", Attribute::Int(0))];
        self.push("Concat", p, names[..2].to_vec(), vec![names[2].clone()], axis);
        names[2].clone()
    }

    fn conv(&mut self, p: &Parsed<'_>) -> Result<(), ImportError> {
        let unsupported = |why: &str| ImportError::Unsupported {
            node: p.name.into(),
            kind: p.kind.into(),
            why: why.into(),
        };
        let (outputs, wide, size) = (p.count(0), p.count(1), p.count(6));
        let tall = p.int(11, wide as i64).max(0) as usize;
        let group = if p.kind.ends_with("DepthWise") { p.int(7, 1).max(1) } else { 1 };
        let row = product(&[outputs, wide, tall]).filter(|row| *row > 0 && size % row == 0);
        let inputs = size / row.ok_or_else(|| unsupported("its number of weights does not fit its sizes"))?;
        let raw = self.weights(size, p)?;
        if p.int(8, 0) != 0 && p.kind.starts_with("Convolution") {
            return Err(unsupported(
                "its weights are in int8; take the file in fp16 or fp32, and quantize it here",
            ));
        }
        let transposed = p.kind.starts_with("Deconvolution");
        let (dims, values) = if transposed {
            // ncnn has outputs first within a group, ONNX inputs.
            let (groups, area) = (group as usize, wide * tall);
            let each = outputs / groups;
            let mut turned = vec![0.0; size];
            for (at, v) in raw.iter().enumerate() {
                let (o, i, tap) = (at / (inputs * area), at / area % inputs, at % area);
                let to = ((o / each * inputs + i) * each + o % each) * area + tap;
                if let Some(to) = turned.get_mut(to) {
                    *to = *v;
                }
            }
            (vec![inputs * groups, each, tall, wide], turned)
        } else {
            (vec![outputs, inputs, tall, wide], raw)
        };
        if dims.iter().product::<usize>() != values.len() {
            return Err(unsupported("its number of weights does not fit its groups"));
        }
        if let [input] = &mut self.net.inputs[..]
            && input.dims[1].is_none()
        {
            // The file does not say it; the first layer with weights does.
            input.dims[1] = Some(inputs * group as usize);
        }
        let mut edges = vec![p.inputs.first().cloned().unwrap_or_default()];
        edges.push(self.constant(p, "weight", dims, values));
        if p.int(5, 0) != 0 {
            let bias = self.floats(outputs, p)?;
            edges.push(self.constant(p, "bias", vec![outputs], bias));
        }
        let pad = p.int(4, 0);
        let mut attributes = vec![
            ("group", Attribute::Int(group)),
            ("dilations", Attribute::Ints(vec![p.int(12, p.int(2, 1)), p.int(2, 1)])),
            ("strides", Attribute::Ints(vec![p.int(13, p.int(3, 1)), p.int(3, 1)])),
        ];
        if pad == -233 || pad == -234 {
            attributes.push(("auto_pad", Attribute::Text("SAME_UPPER".into())));
        } else {
            let (top, right) = (p.int(14, pad), p.int(15, pad));
            attributes.push(("pads", Attribute::Ints(vec![top, pad, p.int(16, top), right])));
        }
        if transposed {
            attributes.push(("output_padding", Attribute::Ints(vec![p.int(19, p.int(18, 0)), p.int(18, 0)])));
        } else if p.number(18, 0.0) != 0.0 {
            return Err(unsupported("it pads with other values than zero"));
        }
        let list = p.lists.get(&10).cloned().unwrap_or_default();
        let given = |k: usize, default: f64| list.get(k).copied().unwrap_or(default) as f32;
        let activation: Option<(&str, Vec<(&str, Attribute)>)> = match p.int(9, 0) {
            0 => None,
            1 => Some(("Relu", Vec::new())),
            2 => Some(("LeakyRelu", vec![("alpha", Attribute::Float(given(0, 0.0)))])),
            3 => {
                let limits = [("min", given(0, -1e30)), ("max", given(1, 1e30))];
                Some(("Clip", limits.map(|(name, v)| (name, Attribute::Float(v))).to_vec()))
            }
            4 => Some(("Sigmoid", Vec::new())),
            6 => {
                let numbers = [("alpha", given(0, 1.0 / 6.0)), ("beta", given(1, 0.5))];
                Some(("HardSwish", numbers.map(|(name, v)| (name, Attribute::Float(v))).to_vec()))
            }
            _ => {
                return Err(unsupported(
                    "its activation is not done; ReLU, leaky ReLU, limits, sigmoid and hard swish are",
                ));
            }
        };
        let kind = if transposed { "ConvTranspose" } else { "Conv" };
        match activation {
            None => self.push(kind, p, edges, p.outputs.clone(), attributes),
            Some((activation, more)) => {
                let between = format!("{} before its activation", p.name);
                self.push(kind, p, edges, vec![between.clone()], attributes);
                self.push(activation, p, vec![between], p.outputs.clone(), more);
            }
        }
        Ok(())
    }

    /// A layer that reads and writes the edges of the line.
    fn same<const N: usize>(&mut self, kind: &str, p: &Parsed<'_>, attributes: [(&str, Attribute); N]) {
        self.push(kind, p, p.inputs.clone(), p.outputs.clone(), attributes);
    }

    fn push<'n>(
        &mut self,
        kind: &str,
        p: &Parsed<'_>,
        inputs: Vec<String>,
        outputs: Vec<String>,
        attributes: impl IntoIterator<Item = (&'n str, Attribute)>,
    ) {
        let attributes = attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        self.net.layers.push(Layer { name: p.name.into(), kind: kind.into(), inputs, outputs, attributes });
    }

    /// Keeps a constant; returns its name.
    fn constant(&mut self, p: &Parsed<'_>, role: &str, dims: Vec<usize>, values: Vec<f64>) -> String {
        let name = format!("{} {} {role}", self.made, p.name);
        self.net.constants.insert(name.clone(), Array::new(dims, values, false));
        name
    }

    fn take(&mut self, bytes: Option<usize>, p: &Parsed<'_>) -> Result<&[u8], ImportError> {
        let end = bytes.and_then(|n| self.at.checked_add(n)).filter(|end| *end <= self.bin.len());
        let end = end.ok_or_else(|| {
            ImportError::Damaged(format!("the .bin file ends within the weights of {}", p.name))
        })?;
        let part = &self.bin[self.at..end];
        self.at = end;
        Ok(part)
    }

    /// Plain floats.
    fn floats(&mut self, count: usize, p: &Parsed<'_>) -> Result<Vec<f64>, ImportError> {
        let bytes = self.take(count.checked_mul(4), p)?;
        Ok(bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b).into()).collect())
    }

    /// Weights, which begin with a mark of how they are stored.
    fn weights(&mut self, count: usize, p: &Parsed<'_>) -> Result<Vec<f64>, ImportError> {
        let mark = self.take(Some(4), p)?;
        match u32::from_le_bytes([mark[0], mark[1], mark[2], mark[3]]) {
            0 => self.floats(count, p),
            FLOAT16 => {
                let bytes = self.take(count.next_multiple_of(2).checked_mul(2), p)?;
                let halves = bytes.as_chunks::<2>().0;
                Ok(halves[..count].iter().map(|b| crate::array::half(u16::from_le_bytes(*b))).collect())
            }
            INT8 => Err(ImportError::Unsupported {
                node: p.name.into(),
                kind: p.kind.into(),
                why: "its weights are in int8; take the file in fp16 or fp32, and quantize it here".into(),
            }),
            // A table of 256 values, and a byte for each weight.
            _ => {
                let table = self.floats(256, p)?;
                let bytes = self.take(Some(count.next_multiple_of(4)), p)?;
                Ok(bytes[..count].iter().map(|b| table[usize::from(*b)]).collect())
            }
        }
    }
}
