//! A draft as a model of the engine.

use super::{Draft, Work};
use crate::error::ImportError;
use mcir_runtime::model::{Activation, Conv2d, DType, Graph, Model, NodeId, Op, PadMode, TensorData};
use std::collections::HashSet;

/// Longest name that a model file takes, in bytes.
const LONGEST_NAME: usize = 120;

impl Draft {
    /// The model.
    ///
    /// # Errors
    /// [`ImportError::Model`]; [`ImportError::TooLarge`].
    pub fn model(&self, metadata: Vec<(String, String)>) -> Result<Model, ImportError> {
        let number = |n: usize, what: &'static str, limit: u64| {
            u16::try_from(n).map_err(|_| ImportError::TooLarge { what, found: n as u64, limit })
        };
        let channels = |n: usize| number(n, "channels", 4096);
        let small = |n: usize| {
            u8::try_from(n).map_err(|_| ImportError::TooLarge { what: "fold", found: n as u64, limit: 16 })
        };
        let mut names = HashSet::new();
        let margin = number(self.margin, "pixels of margin", 128)?;
        let most = u64::from(u8::MAX);
        let multiple = self.multiple();
        let multiple = u8::try_from(multiple).map_err(|_| ImportError::TooLarge {
            what: "pixels that the image's sides must be a multiple of",
            found: multiple as u64,
            limit: most,
        })?;
        // As its margin, unless the network says something else.
        let usual = if margin > 0 && multiple > 1 { PadMode::Edge } else { PadMode::Reflect };
        let given = self.padding.filter(|_| self.whole_multiple() > 1);
        let pad_mode = given.map_or(usual, |(_, mode)| mode);
        let (mut graph, mut params) = (Graph { margin, multiple, pad_mode, ..Graph::default() }, Vec::new());
        for (i, node) in self.nodes.iter().enumerate() {
            let inputs: Vec<NodeId> =
                node.inputs.iter().map(|&i| number(i, "nodes", 4096)).collect::<Result<_, _>>()?;
            let floats = |v: &[f32]| TensorData::F32(v.to_vec());
            let (op, tensors) = match &node.work {
                Work::Input => (Op::Input { channels: channels(node.channels)? }, Vec::new()),
                Work::Conv(conv) => {
                    let (from, area) = (conv.inputs(), conv.kernel * conv.kernel);
                    // The engine has a tap's inputs side by side.
                    let mut weight = vec![0.0; conv.weight.len()];
                    for (at, &w) in conv.weight.iter().enumerate() {
                        let (o, i, tap) = (at / (from * area), at / area % from, at % area);
                        weight[(o * area + tap) * from + i] = w;
                    }
                    let op = Conv2d {
                        in_channels: channels(from)?,
                        out_channels: channels(conv.bias.len())?,
                        kernel: small(conv.kernel)?,
                        activation: conv.relu.then_some(Activation::Relu),
                    };
                    (Op::Conv2d(op), vec![TensorData::F32(weight), floats(&conv.bias)])
                }
                Work::Add { scale } => (Op::Add { res_scale: *scale }, Vec::new()),
                Work::Mul => (Op::Mul, Vec::new()),
                Work::Affine { scale, shift } => (Op::Affine, vec![floats(scale), floats(shift)]),
                Work::Activation(activation) => (Op::Activation(*activation), Vec::new()),
                Work::PRelu(slopes) => (Op::PRelu, vec![floats(slopes)]),
                Work::Shuffle(r) => (Op::PixelShuffle { upscale: small(*r)? }, Vec::new()),
                Work::Resize(r, filter) => (Op::Resize { upscale: small(*r)?, filter: *filter }, Vec::new()),
                Work::Pool(pool) => (Op::MaxPool(*pool), Vec::new()),
                Work::Global(statistic) => (Op::GlobalPool { statistic: *statistic }, Vec::new()),
                Work::Interpolate(filter) => (Op::Interpolate { filter: *filter }, Vec::new()),
                Work::Reduce(factor, filter) => {
                    (Op::Reduce { factor: small(*factor)?, filter: *filter }, Vec::new())
                }
                Work::Attention { heads, window, shift, table } => {
                    let op = Op::WindowAttention {
                        num_heads: number(*heads, "heads", 4096)?,
                        window_size: small(*window)?,
                        shift: small(*shift)?,
                    };
                    (op, vec![floats(table)])
                }
                Work::LayerNorm { eps, weight, bias } => {
                    (Op::LayerNorm { eps: *eps }, vec![floats(weight), floats(bias)])
                }
                Work::Concat => unreachable!("concatenations were taken away"),
            };
            graph.push(name(&node.name, i, &mut names), op, &inputs, DType::F32);
            params.push(tensors);
        }
        Ok(Model::new(graph, &params, metadata)?)
    }
}

/// A name that no other node has, of printable characters.
fn name(wanted: &str, number: usize, taken: &mut HashSet<String>) -> String {
    let clean: String =
        wanted.chars().map(|c| if c.is_ascii_graphic() { c } else { '_' }).take(LONGEST_NAME).collect();
    let clean = if number == 0 { "input".into() } else { clean };
    let name =
        if clean.is_empty() || taken.contains(&clean) { format!("{:.100}.n{number}", clean) } else { clean };
    taken.insert(name.clone());
    name
}
