//! The network as an ONNX file, for other engines.
//!
//! Every node of the graph becomes the ONNX operators that compute the same; tensors are `[1, C, H, W]`, or
//! `[1, H, W, C]` between the linear layers of a transformer, with a `Transpose` where the two meet. An int8
//! model becomes a graph with pairs of `QuantizeLinear` and `DequantizeLinear` on its 8-bit edges, which
//! engines with int8 kernels fuse; 16-bit edges stay floats, which is more precise than the engine. 8-bit
//! edges are unsigned in the file (`zero point + 128`), as x86 kernels like them; the values are the same.
//!
//! For TensorRT 8-bit edges are signed and without zero points, biases are floats, and what reads the image computes in floats, as
//! its pixels do not fit 127 levels: see [`Options::tensorrt`].

mod activation;
mod attention;
mod build;
mod conv;
mod pool;
mod resize;
pub use mcir_import::onnx::proto;

use crate::error::QuantizeError;
use crate::types::all_symmetric;
use attention::Windows;
use build::{Attribute, Builder};
use mcir_runtime::model::{DType, Extent, Model, Node, NodeId, Op, PadMode, Role, Statistic};
use prost::Message as _;
use proto::{
    DimensionProto, ModelProto, OperatorSetIdProto, StringStringEntryProto, TensorShapeProto,
    TensorTypeProto, TypeProto, ValueInfoProto, data_type,
};

/// Version of the operator set: the first with `LayerNormalization`, understood by engines since 2022.
pub const OPSET: i64 = 17;
/// The first version that quantizes to 16 bits, for [`Sums::Int16`].
pub const OPSET_INT16: i64 = 21;
/// Version of the file's structure that belongs to it.
const IR_VERSION: i64 = 8;
/// The same for [`OPSET_INT16`].
const IR_VERSION_INT16: i64 = 10;
/// Name of the input tensor.
pub const INPUT: &str = "image";
/// Name of the output tensor.
pub const OUTPUT: &str = "upscaled";

/// Choices for [`model`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// Width and height of the input image; any if `None`.
    pub size: Option<(usize, usize)>,
    /// What becomes of 16-bit edges.
    pub sums: Sums,
    /// Whether the file is for TensorRT's explicit quantization, which takes pairs of `QuantizeLinear` and `DequantizeLinear` with
    /// signed bytes and zero points of 0, and no quantized biases.
    pub tensorrt: bool,
}

/// What becomes of the 16-bit edges, the residual sums, in an ONNX file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sums {
    /// They stay floats, which every engine has: more precise, and not the same to the last bit.
    #[default]
    Float,
    /// They are rounded to 8 bits: for the speed of engines that only fuse those; it costs accuracy.
    Int8,
    /// They are rounded to 16 bits, as the engine does; needs [`OPSET_INT16`].
    Int16,
}

/// The network as an ONNX model.
///
/// # Shapes
/// Input `image` `[1, C, H, W]`, output `upscaled` `[1, C, H·upscale, W·upscale]`: floats in 0..1, or pixels of
/// 8 bits for a quantized model.
///
/// # Errors
/// [`QuantizeError::SizeNeeded`] for window attention, or strides that divide the image, without a size, [`QuantizeError::Size`] for one that
/// cannot be extended to whole windows. [`QuantizeError::ZeroPoint`] and [`QuantizeError::SumsOfTensorRt`] for what TensorRT does not
/// take.
pub fn model(model: &Model, options: &Options) -> Result<ModelProto, QuantizeError> {
    let mut export = Export::new(model, options)?;
    for id in 0..model.graph().nodes.len() as NodeId {
        export.node(id);
    }
    let mut graph = export.builder.graph;
    graph.name = model.meta("name").filter(|name| !name.is_empty()).unwrap_or("mcir").to_string();
    let metadata = model.metadata().iter();
    let (ir_version, version) = match options.sums {
        Sums::Float | Sums::Int8 => (IR_VERSION, OPSET),
        Sums::Int16 => (IR_VERSION_INT16, OPSET_INT16),
    };
    Ok(ModelProto {
        ir_version,
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version }],
        producer_name: "mcir".into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        graph: Some(graph),
        metadata_props: metadata
            .map(|(key, value)| StringStringEntryProto { key: key.clone(), value: value.clone() })
            .collect(),
    })
}

/// The bytes of the file.
pub fn encode(model: &ModelProto) -> Vec<u8> {
    model.encode_to_vec()
}

/// Where the channels stand in a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// `[1, C, H, W]`.
    Planes,
    /// `[1, H, W, C]`.
    Pixels,
}

/// An edge as float tensors.
struct Edge {
    /// Its name in the layout that it was computed in, and that layout.
    name: String,
    layout: Layout,
    /// Its name in the other layout, once somebody asked for it.
    other: Option<String>,
    /// Whether it comes from 8-bit values.
    quantized: bool,
}

impl Edge {
    fn float(name: String, layout: Layout) -> Self {
        Self { name, layout, other: None, quantized: false }
    }
}

struct Export<'m> {
    model: &'m Model,
    builder: Builder,
    edges: Vec<Edge>,
    sums: Sums,
    tensorrt: bool,
    /// Width and height that the network sees: a multiple of its windows or strides. Only known when a size was given.
    windows: Option<Windows>,
    /// Width and height of the input image.
    size: Option<(usize, usize)>,
}

impl<'m> Export<'m> {
    fn new(model: &'m Model, options: &Options) -> Result<Self, QuantizeError> {
        let graph = model.graph();
        let windows = match (graph.pad_multiple() > 1, options.size) {
            (false, _) => None,
            (true, None) => {
                // Windows, or strides that divide the image.
                let asks = |(node, id): (&Node, NodeId)| {
                    let part = matches!(model.shape(id).extent, Extent::Part { .. });
                    (part || matches!(node.op, Op::WindowAttention { .. })).then(|| node.name.clone())
                };
                let node = graph.nodes.iter().zip(0..).find_map(asks);
                let node = node.unwrap_or_else(|| graph.node(graph.output()).name.clone());
                return Err(QuantizeError::SizeNeeded { node, multiple: graph.pad_multiple() });
            }
            (true, Some((width, height))) => {
                let extended = |side: usize| side + 2 * usize::from(graph.margin);
                // Reflection needs as many pixels as it adds, and one that is not repeated.
                let fits =
                    |side: usize| graph.pad_mode != PadMode::Reflect || graph.seen(side) < 2 * extended(side);
                if !fits(width) || !fits(height) {
                    let what = "extended to a multiple by reflection";
                    return Err(QuantizeError::Size { width, height, what, least: graph.pad_multiple() });
                }
                Some(Windows { width: graph.seen(width), height: graph.seen(height) })
            }
        };
        if options.tensorrt {
            if options.sums == Sums::Int16 {
                return Err(QuantizeError::SumsOfTensorRt);
            }
            all_symmetric(model, model.graph().nodes.iter().map(|node| node.dtype))?;
        }
        let (builder, edges) = (Builder::default(), Vec::new());
        let Options { size, sums, tensorrt } = *options;
        Ok(Self { model, builder, edges, sums, tensorrt, windows, size })
    }

    fn node(&mut self, id: NodeId) {
        let node = self.model.graph().node(id);
        let (name, inputs) = (node.name.clone(), node.inputs.clone());
        let first = inputs.first().copied().unwrap_or(0);
        let (value, layout) = match node.op {
            Op::Input { channels } => {
                let image = self.input(usize::from(channels));
                if node.dtype == DType::F32 || self.tensorrt {
                    self.edges.push(Edge::float(image, Layout::Planes));
                } else {
                    self.dequantized(&name, &image, Layout::Planes, node.dtype);
                }
                return;
            }
            Op::Conv2d(conv) => self.conv(id, &name, first, conv),
            Op::Add { res_scale } => {
                let layout = self.edges[usize::from(first)].layout;
                let a = self.edge(first, layout);
                let mut b = self.edge(inputs[1], layout);
                if res_scale != 1.0 {
                    let factor = self.builder.f32s(&format!("{name}.res_scale"), &[], &[res_scale]);
                    b = self.builder.node(&format!("{name}.scaled"), "Mul", &[&b, &factor], &[]);
                }
                (self.builder.node(&format!("{name}.out"), "Add", &[&a, &b], &[]), layout)
            }
            Op::Mul => {
                let layout = self.edges[usize::from(first)].layout;
                let (a, b) = (self.edge(first, layout), self.edge(inputs[1], layout));
                (self.builder.node(&format!("{name}.out"), "Mul", &[&a, &b], &[]), layout)
            }
            Op::Affine => {
                let x = self.edge(first, Layout::Planes);
                let channels = usize::from(self.model.shape(id).channels);
                let mut part = |role, part: &str| {
                    let values = self.model.f32s(id, role);
                    self.builder.f32s(&format!("{name}.{part}"), &[1, channels, 1, 1], &values)
                };
                let (weight, bias) = (part(Role::Weight, "weight"), part(Role::Bias, "bias"));
                let x = self.builder.node(&format!("{name}.scaled"), "Mul", &[&x, &weight], &[]);
                (self.builder.node(&format!("{name}.out"), "Add", &[&x, &bias], &[]), Layout::Planes)
            }
            Op::Activation(activation) => {
                let layout = self.edges[usize::from(first)].layout;
                let x = self.edge(first, layout);
                (activation::export(&mut self.builder, &name, &x, activation), layout)
            }
            Op::PRelu => {
                let layout = self.edges[usize::from(first)].layout;
                let x = self.edge(first, layout);
                let channels = usize::from(self.model.shape(id).channels);
                let shape: &[usize] = match layout {
                    Layout::Planes => &[channels, 1, 1],
                    Layout::Pixels => &[channels],
                };
                let slopes = self.model.f32s(id, Role::Weight);
                let slopes = self.builder.f32s(&format!("{name}.slope"), shape, &slopes);
                (self.builder.node(&format!("{name}.out"), "PRelu", &[&x, &slopes], &[]), layout)
            }
            Op::LayerNorm { eps } => {
                let x = self.edge(first, Layout::Pixels);
                let channels = usize::from(self.model.shape(id).channels);
                let weight = self.model.f32s(id, Role::Weight);
                let weight = self.builder.f32s(&format!("{name}.weight"), &[channels], &weight);
                let bias = self.model.f32s(id, Role::Bias);
                let bias = self.builder.f32s(&format!("{name}.bias"), &[channels], &bias);
                let attributes = [("axis", Attribute::Int(-1)), ("epsilon", Attribute::Float(eps))];
                let inputs = [x.as_str(), &weight, &bias];
                let out = format!("{name}.out");
                (self.builder.node(&out, "LayerNormalization", &inputs, &attributes), Layout::Pixels)
            }
            Op::WindowAttention { num_heads, window_size, shift } => {
                let x = self.edge(first, Layout::Pixels);
                let windows = self.windows.expect("checked when the export began");
                let layer = attention::Layer {
                    channels: usize::from(self.model.shape(id).channels),
                    heads: usize::from(num_heads),
                    window: usize::from(window_size),
                    shift: usize::from(shift),
                    bias: &self.model.f32s(id, Role::PositionBias),
                };
                (attention::export(&mut self.builder, &name, &x, windows, &layer), Layout::Pixels)
            }
            Op::PixelShuffle { upscale } => {
                let x = self.edge(first, Layout::Planes);
                let attributes =
                    [("blocksize", Attribute::Int(i64::from(upscale))), ("mode", Attribute::Text("CRD"))];
                let out = format!("{name}.out");
                (self.builder.node(&out, "DepthToSpace", &[&x], &attributes), Layout::Planes)
            }
            Op::Resize { upscale, filter } => {
                (self.resize(&name, first, f32::from(upscale), filter), Layout::Planes)
            }
            Op::Reduce { factor, filter } => {
                (self.resize(&name, first, 1.0 / f32::from(factor), filter), Layout::Planes)
            }
            Op::MaxPool(pool) => (self.max_pool(&name, first, pool), Layout::Planes),
            Op::GlobalPool { statistic } => {
                let x = self.edge(first, Layout::Planes);
                let builder = &mut self.builder;
                let value = match statistic {
                    Statistic::Mean => builder.node(&format!("{name}.out"), "GlobalAveragePool", &[&x], &[]),
                    Statistic::Deviation => {
                        let mean = builder.node(&format!("{name}.mean"), "GlobalAveragePool", &[&x], &[]);
                        let less = builder.node(&format!("{name}.less"), "Sub", &[&x, &mean], &[]);
                        let square = builder.node(&format!("{name}.square"), "Mul", &[&less, &less], &[]);
                        let out = format!("{name}.variance");
                        let variance = builder.node(&out, "GlobalAveragePool", &[&square], &[]);
                        builder.node(&format!("{name}.out"), "Sqrt", &[&variance], &[])
                    }
                };
                (value, Layout::Planes)
            }
            Op::Interpolate { filter } => (self.interpolate(&name, &inputs, filter), Layout::Planes),
            Op::Convert => {
                let layout = self.edges[usize::from(first)].layout;
                (self.edge(first, layout), layout)
            }
        };
        self.finish(id, value, layout);
    }

    /// Puts the type of edge `id` on the float tensor `value`; the output image gets its name here.
    fn finish(&mut self, id: NodeId, value: String, layout: Layout) {
        let node = self.model.graph().node(id);
        let dtype = match node.dtype {
            DType::I16 { scale } if self.sums == Sums::Int8 => {
                // 257 steps of 16 bits are one of 8: both ranges end at the same value.
                DType::I8 { scale: scale * 257.0, zero_point: 0 }
            }
            other => other,
        };
        self.edges.push(Edge::float(value, layout));
        if id == self.model.graph().output() {
            let value = self.edge(id, Layout::Planes);
            self.output(&node.name.clone(), value, dtype);
        } else if self.is_in_file(dtype) {
            let edge = self.edges.pop().expect("just pushed");
            let quantized = self.quantize(&node.name, &edge.name, dtype);
            self.dequantized(&node.name, &quantized, layout, dtype);
        }
    }

    /// Whether the file has quantized values of an edge of this type.
    fn is_in_file(&self, dtype: DType) -> bool {
        match dtype {
            DType::F32 => false,
            // Other zero points are those of pixels.
            DType::I8 { zero_point, .. } => !self.tensorrt || zero_point == 0,
            DType::I16 { .. } => self.sums == Sums::Int16,
        }
    }

    /// The tensor of edge `id` in a layout.
    fn edge(&mut self, id: NodeId, layout: Layout) -> String {
        let edge = &mut self.edges[usize::from(id)];
        if edge.layout == layout {
            return edge.name.clone();
        }
        if let Some(other) = &edge.other {
            return other.clone();
        }
        let (suffix, perm) = match layout {
            Layout::Planes => ("planes", [0, 3, 1, 2]),
            Layout::Pixels => ("pixels", [0, 2, 3, 1]),
        };
        let name = format!("{}.{suffix}", edge.name);
        let attributes = [("perm", Attribute::Ints(&perm))];
        self.builder.node(&name, "Transpose", &[&edge.name], &attributes);
        edge.other = Some(name.clone());
        name
    }

    /// Declares the input and extends it to what the network sees.
    fn input(&mut self, channels: usize) -> String {
        let element = self.pixel_type(0);
        let sides = self.size.map(|(width, height)| [height, width]);
        self.builder.graph.input.push(tensor_info(INPUT, element, channels, sides, ["height", "width"]));
        let margin = i64::from(self.model.graph().margin);
        let mut image = INPUT.to_string();
        if margin > 0 {
            let pads = self.builder.i64s(&[0, 0, margin, margin, 0, 0, margin, margin]);
            let attributes = [("mode", Attribute::Text("edge"))];
            image = self.builder.node("image.margin", "Pad", &[&image, &pads], &attributes);
        }
        if let (Some(Windows { width, height }), Some((w, h))) = (self.windows, self.size) {
            let (below, right) =
                (height as i64 - h as i64 - 2 * margin, width as i64 - w as i64 - 2 * margin);
            if (below, right) != (0, 0) {
                let pads = self.builder.i64s(&[0, 0, 0, 0, 0, 0, below, right]);
                let mode = match self.model.graph().pad_mode {
                    PadMode::Reflect => "reflect",
                    PadMode::Edge => "edge",
                    PadMode::Zero => "constant",
                };
                let attributes = [("mode", Attribute::Text(mode))];
                image = self.builder.node("image.extended", "Pad", &[&image, &pads], &attributes);
            }
        }
        image
    }

    /// Crops, quantizes and declares the output.
    fn output(&mut self, name: &str, mut value: String, dtype: DType) {
        let r = usize::from(self.model.upscale());
        let sides = self.size.map(|(width, height)| [height * r, width * r]);
        let whole = self.windows.map(|w| [w.height * r, w.width * r]);
        let before = r as i64 * i64::from(self.model.graph().margin);
        // Counted from the end where the size is open.
        let ends = match (sides, whole) {
            (Some([h, w]), Some(whole)) if whole != [h, w] => Some([h as i64 + before, w as i64 + before]),
            _ if before > 0 => Some([-before; 2]),
            _ => None,
        };
        if let Some(ends) = ends {
            let (starts, ends) = (self.builder.i64s(&[before; 2]), self.builder.i64s(&ends));
            let axes = self.builder.i64s(&[2, 3]);
            let inputs = [value.as_str(), &starts, &ends, &axes];
            value = self.builder.node(&format!("{name}.cropped"), "Slice", &inputs, &[]);
        }
        if let DType::I8 { .. } = dtype
            && !self.tensorrt
        {
            value = self.quantize(name, &value, dtype);
        }
        // The last operator writes the output itself.
        let last = self.builder.graph.node.last_mut().filter(|node| node.output[0] == value);
        match last {
            Some(node) => node.output[0] = OUTPUT.into(),
            None => {
                self.builder.node(OUTPUT, "Identity", &[&value], &[]);
            }
        }
        let element = self.pixel_type(self.model.graph().output());
        let channels = self.model.out_channels();
        let names = ["upscaled_height", "upscaled_width"];
        self.builder.graph.output.push(tensor_info(OUTPUT, element, channels, sides, names));
    }

    fn pixel_type(&self, id: NodeId) -> i32 {
        match self.model.graph().node(id).dtype {
            DType::I8 { .. } if !self.tensorrt => data_type::UINT8,
            DType::F32 | DType::I8 { .. } | DType::I16 { .. } => data_type::FLOAT,
        }
    }

    /// Scale and zero point of a quantized edge.
    fn edge_params(&mut self, name: &str, dtype: DType) -> [String; 2] {
        let (scale_name, zero_name) = (format!("{name}.scale"), format!("{name}.zero_point"));
        let (scale, zero) = match dtype {
            DType::I8 { scale, .. } if self.tensorrt => (scale, self.builder.i8s(&zero_name, &[], &[0])),
            DType::I8 { scale, zero_point } => {
                (scale, self.builder.u8(&zero_name, zero_point.cast_unsigned() ^ 0x80))
            }
            DType::I16 { scale } => (scale, self.builder.i16(&zero_name, 0)),
            DType::F32 => unreachable!("only quantized edges have a scale"),
        };
        [self.builder.f32s(&scale_name, &[], &[scale]), zero]
    }

    fn quantize(&mut self, name: &str, value: &str, dtype: DType) -> String {
        let [scale, zero_point] = self.edge_params(name, dtype);
        self.builder.node(&format!("{name}.q"), "QuantizeLinear", &[value, &scale, &zero_point], &[])
    }

    /// Adds the edge that a quantized tensor stands for.
    fn dequantized(&mut self, name: &str, quantized: &str, layout: Layout, dtype: DType) {
        let [scale, zero_point] = self.edge_params(name, dtype);
        let inputs = [quantized, scale.as_str(), &zero_point];
        let name = self.builder.node(&format!("{name}.dq"), "DequantizeLinear", &inputs, &[]);
        self.edges.push(Edge { quantized: true, ..Edge::float(name, layout) });
    }
}

fn tensor_info(
    name: &str,
    elem_type: i32,
    channels: usize,
    sides: Option<[usize; 2]>,
    names: [&str; 2],
) -> ValueInfoProto {
    let number = |n: usize| DimensionProto { dim_value: Some(n as i64), dim_param: None };
    let named = |name: &str| DimensionProto { dim_value: None, dim_param: Some(name.into()) };
    let [height, width] = match sides {
        Some(sides) => sides.map(number),
        None => names.map(named),
    };
    let shape = TensorShapeProto { dim: vec![number(1), number(channels), height, width] };
    let tensor_type = Some(TensorTypeProto { elem_type, shape: Some(shape) });
    ValueInfoProto { name: name.into(), r#type: Some(TypeProto { tensor_type }) }
}
