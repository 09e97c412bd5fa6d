//! Weights, which belong to a model and an instruction set, whatever width they are used for.

use crate::cpu::codec::Codec;
use crate::cpu::conv::WinogradKernel;
use crate::cpu::isa::Isa;
use crate::cpu::steps;
use crate::cpu::steps::step::Step;
use crate::cpu::table::Cpu;
use crate::memory::line::Line;
use crate::model::{Model, NodeId};
use crate::program::{Program, Work};
use crate::stream::error::PlanError;
use crate::stream::options::PlanOptions;
use crate::stream::schedule::{Flow, last_level};
use alloc::{boxed::Box, sync::Arc, vec::Vec};

/// Most memory of a plan, working memory and packed weights; a hostile model must not make a board swap itself to death.
pub(crate) const MAX_MEMORY_BYTES: u64 = 1 << 30;

/// A [`Model`] packed for one instruction set: the steps of its program with weights in the order of the kernels. Plans for
/// several widths share it ([`Plan::of`](crate::plan::Plan::of)); clones are the same packed weights.
#[derive(Clone)]
pub struct PackedModel(Arc<Shared>);

struct Shared {
    model: Model,
    isa: Isa,
    cpu: Cpu,
    nodes: Vec<PackedNode>,
    flows: Vec<Flow>,
    weight_bytes: usize,
}

/// A node with its step.
pub(crate) struct PackedNode {
    /// The graph's node that it belongs to.
    pub origin: NodeId,
    /// `None` for the input, and for an edge that the step before writes along with its own.
    pub step: Option<Box<dyn Step>>,
    /// Whether the step also writes the next node's edge.
    pub writes_next: bool,
    /// Edges read; the first one twice if there is only one.
    pub inputs: [usize; 2],
    pub codec: Codec,
}

/// What a model is packed from.
pub(crate) struct Recipe {
    isa: Isa,
    cpu: Cpu,
    program: Program,
    pub flows: Vec<Flow>,
}

impl Recipe {
    /// Rows that its kernels do best together.
    pub fn rows_at_once(&self) -> usize {
        rows_at_once(self.cpu)
    }
}

fn rows_at_once(cpu: Cpu) -> usize {
    cpu.winograd.map_or(1, WinogradKernel::rows)
}

impl PackedModel {
    /// Packs `model` for the instruction set of the options.
    ///
    /// # Errors
    /// [`PlanError`] when the instruction set is impossible here, the engine does not have an operator, or packed weights would
    /// take more than 1 GiB.
    pub fn new(model: &Model, options: &PlanOptions) -> Result<Self, PlanError> {
        Self::pack(model, Self::recipe(model, options)?, 0)
    }

    pub(crate) fn recipe(model: &Model, options: &PlanOptions) -> Result<Recipe, PlanError> {
        let isa = options.isa.unwrap_or_else(Isa::best);
        let cpu = isa.cpu().ok_or(PlanError::Isa { name: isa.name() })?;
        let program = if options.observable {
            Program::one_to_one(model)
        } else {
            Program::new(model).split(|program, id| steps::takes(program, id, cpu))
        };
        let flows = Flow::of(program.nodes());
        Ok(Recipe { isa, cpu, program, flows })
    }

    /// Packs what takes, with the bytes that are already spoken for, at most 1 GiB.
    pub(crate) fn pack(model: &Model, recipe: Recipe, spoken_for: u64) -> Result<Self, PlanError> {
        let Recipe { isa, cpu, program, flows } = recipe;
        let mut weight_bytes = 0;
        let mut nodes = Vec::with_capacity(flows.len());
        for (id, node) in program.nodes().iter().enumerate() {
            let step = steps::prepare(&program, id, cpu)
                .map_err(|steps::Unsupported| PlanError::Unsupported { node: node.origin })?;
            // A kernel may want a layer of one channel as wide as its registers.
            weight_bytes += step.as_ref().map_or(0, |step| step.weight_bytes());
            let bytes = spoken_for + weight_bytes as u64;
            if bytes > MAX_MEMORY_BYTES {
                return Err(PlanError::Memory { bytes });
            }
            let first = node.inputs.first().copied().unwrap_or(0);
            nodes.push(PackedNode {
                origin: node.origin,
                step,
                writes_next: program.nodes().get(id + 1).is_some_and(|n| matches!(n.work, Work::Narrowed)),
                inputs: [first, node.inputs.get(1).copied().unwrap_or(first)],
                codec: Codec::new(node.edge.dtype, cpu.xor),
            });
        }
        Ok(Self(Arc::new(Shared { model: model.clone(), isa, cpu, nodes, flows, weight_bytes })))
    }

    /// The model that was packed.
    pub fn model(&self) -> &Model {
        &self.0.model
    }

    /// The instruction set.
    pub fn isa(&self) -> Isa {
        self.0.isa
    }

    /// Bytes of packed weights.
    pub fn weight_bytes(&self) -> usize {
        self.0.weight_bytes
    }

    /// Bytes of working memory that each thread needs.
    pub(crate) fn scratch_bytes(&self) -> usize {
        let steps = self.0.nodes.iter().filter_map(|node| node.step.as_ref());
        steps.map(|step| step.scratch_bytes()).max().unwrap_or(0).next_multiple_of(size_of::<Line>())
    }

    /// Whether both are the same packed weights.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    pub(crate) fn cpu(&self) -> Cpu {
        self.0.cpu
    }

    pub(crate) fn nodes(&self) -> &[PackedNode] {
        &self.0.nodes
    }

    pub(crate) fn flows(&self) -> &[Flow] {
        &self.0.flows
    }

    pub(crate) fn rows_at_once(&self) -> usize {
        rows_at_once(self.0.cpu)
    }

    /// The level of the output.
    pub(crate) fn last_level(&self) -> usize {
        last_level(&self.0.flows)
    }

    /// Number of steps.
    pub(crate) fn steps(&self) -> usize {
        self.0.nodes.iter().filter(|node| node.step.is_some()).count()
    }
}
