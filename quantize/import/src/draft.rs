//! The network while it is being made: the engine's operators, and concatenation, which it has not. [`simplify`] takes
//! concatenations, selections of channels and changes of scale into the convolutions beside them.

mod emit;
mod linear;
mod simplify;

pub use simplify::simplify;

use mcir_runtime::model::{Activation, Filter, PadMode, Pool, Statistic};

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
    pub margin: Margin,
}

/// Of rows and of columns: how many before and behind.
pub type Margin = [[i64; 2]; 2];

/// Nothing on any side.
pub const NO_MARGIN: Margin = [[0; 2]; 2];

/// Rows and columns of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// So many times the input's.
    Times(Ratio),
    /// What a pooling leaves of the image that the network is followed with.
    Pooled([usize; 2]),
}

/// A fraction without a common divisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ratio {
    /// Numerator.
    pub times: usize,
    /// Denominator.
    pub of: usize,
}

impl Ratio {
    /// The input's size.
    pub const ONE: Self = Self { times: 1, of: 1 };

    /// So many times as much, and one in so many of that.
    pub fn scaled(self, times: usize, of: usize) -> Self {
        let (times, of) = (self.times * times, self.of * of);
        let divisor = common_divisor(times, of).max(1);
        Self { times: times / divisor, of: of / divisor }
    }

    /// Of a side of the input.
    pub fn of_side(self, side: usize) -> usize {
        side * self.times / self.of
    }
}

/// The greatest number that divides both.
pub fn common_divisor(mut a: usize, mut b: usize) -> usize {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// The least number that both divide.
pub fn common_multiple(a: usize, b: usize) -> usize {
    (a / common_divisor(a, b).max(1)).saturating_mul(b)
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
    /// Attention in the windows between the lines `shift + k · window`, of queries, keys and values behind each other.
    Attention {
        /// Heads.
        heads: usize,
        /// Side of a window.
        window: usize,
        /// Lines between windows.
        shift: usize,
        /// `[(2·window − 1)², heads]`, as in the model file.
        table: Vec<f32>,
    },
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
    /// Whether strides leave an exact fraction of the image where they divide it; the image is then always extended to a multiple.
    pub exact: bool,
    /// What the network itself extends the image to a multiple of, and with what.
    pub padding: Option<(usize, PadMode)>,
    /// Height and width of the image before that, where it did.
    pub padded: Option<[usize; 2]>,
}

impl Draft {
    /// Only its input, of so many channels; the network is followed with an image of this height and width.
    pub fn new(channels: usize, image: [usize; 2]) -> Self {
        let name = "input".into();
        let (size, margin) = (Size::Times(Ratio::ONE), NO_MARGIN);
        let input = Node { name, work: Work::Input, inputs: Vec::new(), channels, size, margin };
        Self { nodes: vec![input], output: 0, margin: 0, image, exact: false, padding: None, padded: None }
    }

    /// Rows and columns of a node's image as the engine has it.
    pub fn whole(&self, node: usize) -> [usize; 2] {
        match self.nodes[node].size {
            Size::Times(ratio) => self.image.map(|side| ratio.of_side(side)),
            Size::Pooled(size) => size,
        }
    }

    /// What the image must be a multiple of.
    pub fn multiple(&self) -> usize {
        let of = |node: &Node| match node.size {
            Size::Times(ratio) => ratio.of,
            Size::Pooled(_) => 1,
        };
        let own = self.padding.map_or(1, |(multiple, _)| multiple);
        self.nodes.iter().map(of).fold(own, common_multiple)
    }

    /// What the image must be a multiple of, windows among it.
    pub fn whole_multiple(&self) -> usize {
        let window = |node: &Node| match node.work {
            Work::Attention { window, .. } => window,
            _ => 1,
        };
        common_multiple(self.multiple(), self.nodes.iter().map(window).max().unwrap_or(1))
    }

    /// Finds the multiple that a network extends its image to, where the file only says by how much it extends one.
    ///
    /// # Errors
    /// None does it.
    pub fn settle_multiple(&mut self) -> Result<(), String> {
        let (Some(from), Some((1, mode))) = (self.padded, self.padding) else { return Ok(()) };
        let image = self.image;
        let fits = |multiple: usize| from.map(|side| side.next_multiple_of(multiple)) == image;
        for multiple in 1..=64 {
            self.padding = Some((multiple, mode));
            if fits(self.whole_multiple()) {
                return Ok(());
            }
        }
        Err(format!(
            "the image is extended from {from:?} to {image:?} pixels, which are no multiples up to 64"
        ))
    }

    /// The fraction that a pooling leaves, if it is an exact one.
    pub fn thinned(&self, node: usize, pool: Pool) -> Option<Ratio> {
        let stride = usize::from(pool.stride);
        let Size::Times(ratio) = self.nodes[node].size else { return None };
        let fits =
            self.exact && pool.is_exact() && self.whole(node).iter().all(|side| side.is_multiple_of(stride));
        fits.then(|| ratio.scaled(1, stride))
    }

    /// Channels, rows and columns that the network has of a node's image.
    pub fn sizes(&self, node: usize) -> [usize; 3] {
        let Node { channels, margin, .. } = self.nodes[node];
        let whole = self.whole(node);
        let side = |k: usize| usize::try_from(whole[k] as i64 - margin[k][0] - margin[k][1]).unwrap_or(0);
        [channels, side(0), side(1)]
    }

    /// Appends a node; channels and size follow from its work and inputs.
    ///
    /// # Panics
    /// If a pooling has less to read than its window.
    pub fn push(&mut self, name: impl Into<String>, work: Work, inputs: &[usize]) -> usize {
        let of = |k: usize| {
            let none = (0, Size::Times(Ratio::ONE));
            inputs.get(k).map_or(none, |&i| (self.nodes[i].channels, self.nodes[i].size))
        };
        let (channels, size) = of(0);
        let larger = |r: usize| match size {
            Size::Times(ratio) => Size::Times(ratio.scaled(r, 1)),
            Size::Pooled(size) => Size::Pooled(size.map(|side| side * r)),
        };
        let (channels, size) = match &work {
            Work::Conv(conv) => (conv.bias.len(), size),
            Work::Shuffle(r) => (channels / (r * r), larger(*r)),
            Work::Resize(r, _) => (channels, larger(*r)),
            Work::Concat => (inputs.iter().map(|&i| self.nodes[i].channels).sum(), size),
            Work::Pool(pool) => {
                let less = |side| pool.size(side).expect("the image is larger than a window");
                let pooled = || Size::Pooled(self.whole(inputs[0]).map(less));
                (channels, self.thinned(inputs[0], *pool).map_or_else(pooled, Size::Times))
            }
            Work::Global(_) => (channels, Size::Pooled([1, 1])),
            Work::Attention { .. } => (channels / 3, size),
            Work::Interpolate(_) => (channels, of(1).1),
            Work::Reduce(factor, _) => match size {
                Size::Times(ratio) => (channels, Size::Times(ratio.scaled(1, *factor))),
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
        // What is interpolated is where the image of that size is; what is left out is for the caller to say.
        let like = match &work {
            Work::Interpolate(_) => inputs.get(1),
            Work::Pool(_) => None,
            _ => inputs.first(),
        };
        let margin = match (size, like) {
            (Size::Times(_), Some(&like)) => self.nodes[like].margin.map(|side| side.map(|m| m * larger)),
            _ => NO_MARGIN,
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
