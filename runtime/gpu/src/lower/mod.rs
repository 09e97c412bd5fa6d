//! A model as steps for the GPU: weights packed, numbers in one block of constants, nothing of a picture's size.

mod conv;

use crate::error::{Error, Result};
use crate::kernel::{Kernel, Module, Pointwise, Push, Type, zero_point};
pub(crate) use conv::ConvShape;
use mcir_runtime::model::{Extent, Filter, Model, NodeId, PadMode};
use mcir_runtime::program::{
    BilinearSkip, MAX_TAPS, Node, Order, Phase, Phases, Program, Reduce, Resize, Work, activation_table,
    limits, phases, reduction, short,
};

/// A model that the GPU has kernels for.
pub(crate) struct Lowered {
    pub steps: Vec<Step>,
    /// Weights and numbers of all steps, in words.
    pub constants: Vec<i32>,
    /// One for every node of the program.
    pub edges: Vec<Edge>,
    /// The graph's node that each of them belongs to.
    pub origins: Vec<NodeId>,
    pub in_channels: usize,
    pub out_channels: usize,
    pub upscale: usize,
    pub margin: usize,
    pub pad_multiple: usize,
}

/// An edge of integers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Edge {
    pub kind: Type,
    pub channels: usize,
    /// Its resolution as a multiple of the input's.
    pub times: usize,
}

impl Edge {
    pub fn quads(self) -> usize {
        self.channels.div_ceil(4)
    }
}

/// What becomes one dispatch. Places and sizes are filled in when a picture's size is known.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    /// The program's node.
    pub node: usize,
    pub work: Task,
    /// Edges read, at most two.
    pub reads: Vec<usize>,
    /// Edges written, at most two; the first is not where only the copy of it is read.
    pub writes: [Option<usize>; 2],
    pub push: Push,
}

/// What a step does.
#[derive(Debug, Clone)]
pub(crate) enum Task {
    /// The picture becomes an edge.
    Input,
    /// An edge becomes the picture.
    Output,
    /// A convolution.
    Convolution(ConvShape),
    /// One invocation for each quad of the output.
    Quads(Kernel),
    /// The end of a real-time network; with no more than four channels.
    Skip { kind: Type, upscale: usize },
}

impl Lowered {
    /// Lowers a model.
    ///
    /// # Errors
    /// [`Error::Unsupported`] with the first node that there is no kernel for.
    pub fn new(model: &Model) -> Result<Self> {
        let program = Program::new(model).split(takes);
        let mut lowering = Lowering {
            model,
            program: &program,
            constants: Vec::new(),
            edges: Vec::new(),
            steps: Vec::new(),
        };
        for id in 0..program.nodes().len() {
            lowering.node(id)?;
        }
        if program.pad_multiple() > 1 && program.pad_mode() != PadMode::Reflect {
            let why = "pictures that are extended otherwise than by reflection are computed on the CPU only";
            return Err(lowering.unsupported(&program.nodes()[0], why));
        }
        let Lowering { constants, edges, mut steps, .. } = lowering;
        let last = edges.len() - 1;
        steps.push(Step {
            node: last,
            work: Task::Output,
            reads: vec![last],
            writes: [None; 2],
            push: Push::default(),
        });
        // An edge that is only read as its narrow copy is not stored.
        for at in 0..steps.len() {
            if let [Some(edge), Some(_)] = steps[at].writes
                && !steps.iter().any(|step| step.reads.contains(&edge))
            {
                steps[at].writes[0] = None;
            }
        }
        Ok(Self {
            steps,
            constants,
            in_channels: model.in_channels(),
            out_channels: model.out_channels(),
            upscale: model.upscale().into(),
            margin: program.margin(),
            pad_multiple: program.pad_multiple(),
            origins: program.nodes().iter().map(|node| node.origin).collect(),
            edges,
        })
    }
}

/// Which joined nodes there are kernels for.
fn takes(program: &Program, id: usize) -> bool {
    let node = &program.nodes()[id];
    match &node.work {
        Work::BilinearSkip(_) => node.edge.channels <= 4,
        // Values of a quad go to the same pixel.
        Work::Convolution(_) => node.edge.channels.is_multiple_of(4),
        _ => true,
    }
}

/// A model that is being lowered.
struct Lowering<'a> {
    model: &'a Model,
    program: &'a Program,
    constants: Vec<i32>,
    edges: Vec<Edge>,
    steps: Vec<Step>,
}

impl Lowering<'_> {
    fn node(&mut self, id: usize) -> Result<()> {
        let program = self.program;
        let node = &program.nodes()[id];
        let Some(kind) = Type::of(node.edge.dtype) else {
            return Err(self.unsupported(node, "its result is floats"));
        };
        let Extent::Times(times) = node.edge.extent else {
            return Err(self.unsupported(node, "its size is no whole multiple of the picture's"));
        };
        let [from, second] = program.reads(id);
        if !(from.is_quantized() && second.is_quantized()) {
            return Err(self.unsupported(node, "it reads floats"));
        }
        self.edges.push(Edge { kind, channels: node.edge.channels, times: times.into() });
        let (low, high) = limits(node.edge.dtype, false);
        let push = Push {
            zero0: zero_point(from),
            zero1: zero_point(second),
            zero_out: zero_point(node.edge.dtype),
            low,
            high,
            ..Push::default()
        };
        match &node.work {
            Work::Input if node.edge.channels <= 4 => self.step(id, Task::Input, push),
            Work::Input => return Err(self.unsupported(node, "pictures have at most four channels")),
            Work::Convolution(conv) => self.convolution(id, conv, push),
            // Stored by the convolution before it.
            Work::Narrowed => {}
            Work::Add(add) => {
                let [factor0, factor1] = add.factors;
                self.pointwise(id, Pointwise::Add, Push { factor0, factor1, ..push });
            }
            Work::Mul(mul) => self.pointwise(id, Pointwise::Mul, Push { factor0: mul.factor, ..push }),
            Work::Convert { factor } => {
                self.pointwise(id, Pointwise::Convert, Push { factor0: *factor, ..push });
            }
            Work::Affine(affine) => {
                let numbers = self.by_quad(&[&affine.factors, &affine.offsets]);
                self.pointwise(id, Pointwise::Affine, Push { numbers, ..push });
            }
            Work::PRelu(prelu) => {
                let numbers = self.by_quad(&[&prelu.negative]);
                self.pointwise(id, Pointwise::PRelu, Push { numbers, factor0: prelu.positive, ..push });
            }
            Work::Activation(activation) => {
                let table = activation_table(*activation, from, node.edge.dtype);
                let numbers = self.words(&table.expect("both edges carry integers"));
                self.pointwise(id, Pointwise::Table, Push { numbers, ..push });
            }
            Work::PixelShuffle { upscale, order } => {
                let rows = i32::from(*order == Order::Rows);
                let constants = vec![kind as i32, *upscale as i32, node.edge.channels as i32, rows];
                self.step(id, Task::Quads(Kernel { module: Module::Shuffle, constants }), push);
            }
            Work::Resize(Resize { filter: Filter::AlignedBilinear, .. }) => {
                return Err(self.unsupported(node, "interpolation with aligned corners runs on the CPU only"));
            }
            Work::Resize(resize) => self.resize(id, *resize, push),
            Work::Reduce(reduce) => self.reduce(id, *reduce, push),
            Work::BilinearSkip(skip) => self.skip(id, skip, push),
            Work::LowResize(_) => return Err(self.unsupported(node, "it has more than four channels")),
            Work::LayerNorm(_)
            | Work::Attention(_)
            | Work::IntAttention(_)
            | Work::MaxPool(_)
            | Work::GlobalPool(_)
            | Work::Interpolate(_) => {
                return Err(self.unsupported(node, "this operator runs on the CPU only"));
            }
        }
        Ok(())
    }

    fn unsupported(&self, node: &Node, why: &'static str) -> Error {
        let node = self.model.graph().node(node.origin);
        Error::Unsupported { node: node.name.clone(), operator: node.op.name(), why }
    }

    /// The step of node `id`, which writes its edge.
    fn step(&mut self, id: usize, work: Task, push: Push) {
        let reads = self.program.nodes()[id].inputs.clone();
        self.steps.push(Step { node: id, work, reads, writes: [Some(id), None], push });
    }

    fn pointwise(&mut self, id: usize, operator: Pointwise, push: Push) {
        let [a, b] = self.program.reads(id).map(|dtype| Type::of(dtype).expect("floats were refused") as i32);
        let constants = vec![operator as i32, a, b, self.edges[id].kind as i32];
        self.step(id, Task::Quads(Kernel { module: Module::Pointwise, constants }), push);
    }

    fn resize(&mut self, id: usize, resize: Resize, push: Push) {
        let Phases { all, taps, .. } = phases(resize.filter, resize.upscale);
        let push = Push { factor0: resize.factor, ..push };
        self.interpolation(id, &all[..resize.upscale], taps, 1, push);
    }

    fn reduce(&mut self, id: usize, reduce: Reduce, push: Push) {
        let (phase, taps) = reduction(reduce.filter, reduce.by);
        self.interpolation(id, &[phase], taps, reduce.by, Push { factor0: reduce.factor, ..push });
    }

    /// With as many phases as the factor of an enlargement, or with one where `by` rows become one.
    fn interpolation(&mut self, id: usize, phases: &[Phase], taps: usize, by: u8, push: Push) {
        let mut words = Vec::with_capacity(phases.len() * (1 + MAX_TAPS));
        for phase in phases {
            words.push(phase.first as i32);
            words.extend(phase.weights.map(bits));
        }
        let from = Type::of(self.program.reads(id)[0]).expect("floats were refused");
        let (upscale, taps) = (phases.len() as i32, taps as i32);
        let constants = vec![from as i32, self.edges[id].kind as i32, upscale, taps, by.into()];
        let push = Push { extra1: self.words(&words), ..push };
        self.step(id, Task::Quads(Kernel { module: Module::Resize, constants }), push);
    }

    fn skip(&mut self, id: usize, skip: &BilinearSkip, push: Push) {
        let upscale = skip.resize.upscale;
        let mut words = Vec::with_capacity(3 * upscale);
        for phase in &phases(Filter::Bilinear, upscale).all[..upscale] {
            // Whole numbers.
            words.extend([phase.first as i32, phase.weights[0] as i32, phase.weights[1] as i32]);
        }
        let (low1, high1) = limits(skip.interpolated, false);
        let push = Push {
            extra0: self.words(&words),
            low1,
            high1,
            factor0: skip.factors[0],
            factor1: skip.factors[1],
            factor2: short(skip.resize.factor),
            ..push
        };
        let kind = Type::of(self.program.reads(id)[0]).expect("floats were refused");
        self.step(id, Task::Skip { kind, upscale }, push);
    }

    /// Appends words to the constants, at a multiple of four; where they begin.
    fn words(&mut self, words: &[i32]) -> i32 {
        let at = self.constants.len();
        self.constants.extend_from_slice(words);
        self.constants.resize(self.constants.len().next_multiple_of(4), 0);
        at as i32
    }

    /// Appends numbers of channels, of all kinds for one quad and then for the next; where they begin, in units of four words.
    fn by_quad(&mut self, kinds: &[&[f32]]) -> i32 {
        let quads = kinds[0].len().div_ceil(4);
        let mut words = Vec::with_capacity(4 * quads * kinds.len());
        for quad in 0..quads {
            for numbers in kinds {
                words.extend((4 * quad..4 * quad + 4).map(|c| numbers.get(c).map_or(0, |&x| bits(x))));
            }
        }
        self.words(&words) / 4
    }
}

/// A float as a word.
fn bits(x: f32) -> i32 {
    x.to_bits().cast_signed()
}
