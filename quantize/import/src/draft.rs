//! The network while it is being made: the engine's operators, and concatenation, which it has not. [`simplify`] takes
//! concatenations, selections of channels and changes of scale into the convolutions beside them.

mod emit;
mod linear;
mod simplify;

pub use simplify::simplify;

use mcir_runtime::model::{Activation, Filter, Pool, Statistic};

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
    /// Rows and columns, of which the network has a part.
    pub size: Size,
    /// Rows above and below, and columns left and right, by which what the network has of the image is smaller than its size;
    /// negative where it was extended. The engine's images all have the full size: within these borders
    /// they hold what the network has. None for what was pooled.
    pub margin: [i64; 2],
}

/// Rows and columns of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// So many times the input's.
    Times(usize),
    /// What a pooling leaves of the image that the network is followed with.
    Pooled([usize; 2]),
}

impl Node {
    /// Whether two nodes are the same, whatever the size of the image that the network was followed with.
    pub fn is_like(&self, other: &Self) -> bool {
        let size = match (self.size, other.size) {
            (Size::Pooled(_), Size::Pooled(_)) => self.size,
            _ => other.size,
        };
        *self == Self { size, ..other.clone() }
    }
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
    /// A pooling with a stride, or pixels left out.
    Pool(Pool),
    /// One value for each channel of the whole image.
    Global(Statistic),
    /// Interpolation of the first input to the size of the second.
    Interpolate(Filter),
    /// Interpolation to one in so many rows and columns.
    Reduce(usize, Filter),
    /// A norm over the channels of each pixel.
    LayerNorm {
        /// Added to the variance.
        eps: f32,
        /// Factor of each channel.
        weight: Vec<f32>,
        /// What is added to each channel.
        bias: Vec<f32>,
    },
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
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// The nodes.
    pub nodes: Vec<Node>,
    /// The node that is the output.
    pub output: usize,
    /// Pixels of the input by which the image must be extended so that all of the output's size is there.
    pub margin: usize,
    /// Height and width of the image that the network is followed with.
    pub image: [usize; 2],
}

impl Draft {
    /// Only its input, of so many channels; the network is followed with an image of this height and width.
    pub fn new(channels: usize, image: [usize; 2]) -> Self {
        let name = "input".into();
        let (size, margin) = (Size::Times(1), [0; 2]);
        let input = Node { name, work: Work::Input, inputs: Vec::new(), channels, size, margin };
        Self { nodes: vec![input], output: 0, margin: 0, image }
    }

    /// Channels, rows and columns that the network has of a node's image.
    pub fn sizes(&self, node: usize) -> [usize; 3] {
        let Node { channels, size, margin, .. } = self.nodes[node];
        let whole = match size {
            Size::Times(n) => self.image.map(|side| side * n),
            Size::Pooled(size) => size,
        };
        let side = |k: usize| usize::try_from(whole[k] as i64 - 2 * margin[k]).unwrap_or(0);
        [channels, side(0), side(1)]
    }

    /// Appends a node; channels and size follow from its work and inputs.
    ///
    /// # Panics
    /// If a pooling has less to read than its window.
    pub fn push(&mut self, name: impl Into<String>, work: Work, inputs: &[usize]) -> usize {
        let of = |k: usize| {
            inputs.get(k).map_or((0, Size::Times(1)), |&i| (self.nodes[i].channels, self.nodes[i].size))
        };
        let (channels, size) = of(0);
        let larger = |r: usize| match size {
            Size::Times(n) => Size::Times(n * r),
            Size::Pooled(size) => Size::Pooled(size.map(|side| side * r)),
        };
        let (channels, size) = match &work {
            Work::Conv(conv) => (conv.bias.len(), size),
            Work::Shuffle(r) => (channels / (r * r), larger(*r)),
            Work::Resize(r, _) => (channels, larger(*r)),
            Work::Concat => (inputs.iter().map(|&i| self.nodes[i].channels).sum(), size),
            Work::Pool(pool) => {
                let [_, height, width] = self.sizes(inputs[0]);
                let less = |side| pool.size(side).expect("the image is larger than a window");
                (channels, Size::Pooled([less(height), less(width)]))
            }
            Work::Global(_) => (channels, Size::Pooled([1, 1])),
            Work::Interpolate(_) => (channels, of(1).1),
            Work::Reduce(factor, _) => match size {
                Size::Times(n) => (channels, Size::Times(n / factor)),
                Size::Pooled(size) => (channels, Size::Pooled(size.map(|side| side / factor))),
            },
            Work::Input
            | Work::Add { .. }
            | Work::Mul
            | Work::Affine { .. }
            | Work::Activation(_)
            | Work::LayerNorm { .. }
            | Work::PRelu(_) => (channels, size),
        };
        let larger = match &work {
            Work::Shuffle(r) | Work::Resize(r, _) => *r as i64,
            _ => 1,
        };
        let margin = match size {
            Size::Times(_) => inputs.first().map_or([0; 2], |&i| self.nodes[i].margin.map(|m| m * larger)),
            Size::Pooled(_) => [0; 2],
        };
        self.nodes.push(Node { name: name.into(), work, inputs: inputs.to_vec(), channels, size, margin });
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
