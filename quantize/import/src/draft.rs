//! The network while it is being made: the engine's operators, and concatenation, which it has not. [`simplify`] takes
//! concatenations, selections of channels and changes of scale into the convolutions beside them.

mod emit;
mod simplify;

pub use simplify::simplify;

use mcir_runtime::model::{Activation, Filter};

/// An operator with its weights.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// For messages and the model file.
    pub name: String,
    /// What it computes.
    pub work: Work,
    /// Nodes that it reads, all before it.
    pub inputs: Vec<usize>,
    /// Channels that it writes.
    pub channels: usize,
    /// Resolution as a multiple of the input's.
    pub upscale: usize,
    /// Rows above and below, and columns left and right, by which what the network has of the image is smaller than `upscale`
    /// times the input; negative where it was extended. The engine's images all have the full size: within these borders
    /// they hold what the network has.
    pub margin: [i64; 2],
}

/// What a node computes.
#[derive(Debug, Clone, PartialEq)]
pub enum Work {
    /// The image.
    Input,
    /// A convolution that keeps the size, with zeros around the image.
    Conv(Conv),
    /// `inputs[0] + scale · inputs[1]`.
    Add {
        /// Factor.
        scale: f32,
    },
    /// `inputs[0] · inputs[1]`.
    Mul,
    /// `scale[c] · x + shift[c]`.
    Affine {
        /// Factor of each channel.
        scale: Vec<f32>,
        /// What is added to each channel.
        shift: Vec<f32>,
    },
    /// A non-linearity.
    Activation(Activation),
    /// A leaky ReLU with a slope for each channel.
    PRelu(Vec<f32>),
    /// `[C·r², H, W]` to `[C, H·r, W·r]`.
    Shuffle(usize),
    /// Interpolation.
    Resize(usize, Filter),
    /// All channels of all inputs behind each other.
    Concat,
}

/// A convolution.
#[derive(Debug, Clone, PartialEq)]
pub struct Conv {
    /// Side, odd.
    pub kernel: usize,
    /// `[out, in, kernel, kernel]`.
    pub weight: Vec<f32>,
    /// `[out]`.
    pub bias: Vec<f32>,
    /// Whether a ReLU follows.
    pub relu: bool,
}

impl Conv {
    /// A convolution of 1x1 that writes the channel `chosen[i]` as channel `i`.
    pub fn select(chosen: &[usize], inputs: usize) -> Self {
        let mut weight = vec![0.0; chosen.len() * inputs];
        chosen.iter().enumerate().for_each(|(o, &i)| weight[o * inputs + i] = 1.0);
        Self { kernel: 1, weight, bias: vec![0.0; chosen.len()], relu: false }
    }

    /// The channel behind each output, if it only chooses channels.
    pub fn chosen(&self) -> Option<Vec<usize>> {
        let inputs = self.inputs();
        let one = |row: &[f32]| {
            let at = row.iter().position(|w| *w != 0.0)?;
            (row[at] == 1.0 && row[at + 1..].iter().all(|w| *w == 0.0)).then_some(at)
        };
        let plain = self.kernel == 1 && !self.relu && self.bias.iter().all(|b| *b == 0.0);
        plain.then(|| self.weight.chunks_exact(inputs).map(one).collect()).flatten()
    }

    /// Channels that it reads.
    pub fn inputs(&self) -> usize {
        self.weight.len() / (self.bias.len() * self.kernel * self.kernel).max(1)
    }

    /// The same for other inputs: input `i` of this one is input `of[i]` of `count`.
    pub fn with_inputs(&self, of: &[usize], count: usize) -> Self {
        let area = self.kernel * self.kernel;
        let mut weight = vec![0.0; self.bias.len() * count * area];
        for (o, rows) in self.weight.chunks_exact(of.len() * area).enumerate() {
            for (taps, &i) in rows.chunks_exact(area).zip(of) {
                let to = &mut weight[(o * count + i) * area..][..area];
                to.iter_mut().zip(taps).for_each(|(to, tap)| *to += tap);
            }
        }
        Self { weight, ..self.clone() }
    }

    /// The inputs of a range, and no bias unless `first`.
    fn part(&self, inputs: std::ops::Range<usize>, first: bool) -> Self {
        let area = self.kernel * self.kernel;
        let rows = self.weight.chunks_exact(self.inputs() * area);
        let weight = rows.flat_map(|row| row[inputs.start * area..inputs.end * area].to_vec()).collect();
        let bias = if first { self.bias.clone() } else { vec![0.0; self.bias.len()] };
        Self { kernel: self.kernel, weight, bias, relu: false }
    }

    /// Only these outputs, each multiplied and shifted.
    fn with_outputs(&self, chosen: &[usize], scale: &[f32], shift: &[f32]) -> Self {
        let row = self.weight.len() / self.bias.len();
        let weight = chosen
            .iter()
            .zip(scale)
            .flat_map(|(&o, scale)| self.weight[o * row..(o + 1) * row].iter().map(move |w| w * scale));
        let bias =
            chosen.iter().zip(scale).zip(shift).map(|((&o, scale), shift)| self.bias[o] * scale + shift);
        Self { weight: weight.collect(), bias: bias.collect(), ..self.clone() }
    }
}

/// Nodes in topological order; the first is the input.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Draft {
    /// The nodes.
    pub nodes: Vec<Node>,
    /// The node that is the output.
    pub output: usize,
    /// Pixels of the input by which the image must be extended so that all of the output's size is there.
    pub margin: usize,
}

impl Draft {
    /// Appends a node; channels and resolution follow from its work and inputs.
    pub fn push(&mut self, name: impl Into<String>, work: Work, inputs: &[usize]) -> usize {
        let first = inputs.first().map_or((0, 1), |&i| (self.nodes[i].channels, self.nodes[i].upscale));
        let (channels, upscale) = match &work {
            Work::Conv(conv) => (conv.bias.len(), first.1),
            Work::Shuffle(r) => (first.0 / (r * r), first.1 * r),
            Work::Resize(r, _) => (first.0, first.1 * r),
            Work::Concat => (inputs.iter().map(|&i| self.nodes[i].channels).sum(), first.1),
            Work::Input
            | Work::Add { .. }
            | Work::Mul
            | Work::Affine { .. }
            | Work::Activation(_)
            | Work::PRelu(_) => first,
        };
        let margin = inputs.first().map_or([0; 2], |&i| {
            self.nodes[i].margin.map(|m| m * (upscale / self.nodes[i].upscale.max(1)) as i64)
        });
        self.nodes.push(Node { name: name.into(), work, inputs: inputs.to_vec(), channels, upscale, margin });
        self.nodes.len() - 1
    }

    /// Nodes that read a node, the output's reader not among them.
    fn readers(&self, node: usize) -> Vec<usize> {
        (0..self.nodes.len()).filter(|&i| self.nodes[i].inputs.contains(&node)).collect()
    }

    /// Whether nothing but one node reads it.
    fn is_read_once(&self, node: usize) -> bool {
        let reads = self.nodes.iter().flat_map(|n| &n.inputs).filter(|&&i| i == node).count();
        reads == 1 && self.output != node
    }
}
