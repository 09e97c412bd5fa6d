//! Nodes joined where that changes no value, in the order of the graph.

mod bilinear_skip;
mod residual;
mod shuffle;

use crate::model::{Model, NodeId};
use crate::program::lower;
use crate::program::work::{Node, Work};
use alloc::{vec, vec::Vec};
use bilinear_skip::Skip;
use residual::ResidualSum;

pub(crate) use shuffle::order as shuffle_order;

/// The nodes of a program, and for each edge of the graph the one that stands for it.
struct Fused {
    nodes: Vec<Node>,
    edges: Vec<usize>,
}

impl Fused {
    /// The edge that stands for one of the graph's.
    fn edge(&self, id: NodeId) -> usize {
        self.edges[usize::from(id)]
    }

    /// Appends the node whose edge stands for `id`.
    fn push(&mut self, id: NodeId, node: Node) {
        self.edges[usize::from(id)] = self.nodes.len();
        self.nodes.push(node);
    }
}

/// The nodes of the model's program.
pub(crate) fn fused(model: &Model) -> Vec<Node> {
    let ids = 0..model.graph().nodes.len() as NodeId;
    let mut all = Fused { nodes: vec![], edges: vec![usize::MAX; ids.len()] };
    let skips: Vec<Skip> = ids.clone().filter_map(|id| Skip::at(model, id)).collect();
    let sums: Vec<ResidualSum> = ids.clone().filter_map(|id| ResidualSum::at(model, id)).collect();
    let part_of_skip = |id: NodeId| skips.iter().any(|s| s.resize == id || s.shuffle == id);
    for id in ids {
        if let Some(sum) = sums.iter().find(|c| c.contains(id)) {
            if sum.end() == id {
                sum.lower(model, &mut all);
            }
        } else if part_of_skip(id) {
            // Done with the sum.
        } else if let Some(shuffle) = shuffle::behind(model, id).filter(|s| !part_of_skip(*s)) {
            let node = shuffle::lower(model, id, shuffle, all.edge(model.graph().node(id).inputs[0]));
            all.push(shuffle, node);
        } else if all.edge(id) != usize::MAX {
            // A pixel shuffle that was done with its convolution.
        } else if let Some(skip) = skips.iter().find(|s| s.add == id) {
            skip.lower(model, &mut all);
        } else {
            let mut node = lower::node(model, id, shuffle_order(model, id));
            node.inputs.iter_mut().for_each(|i| *i = all.edges[*i]);
            all.push(id, node);
        }
    }
    debug_assert!(matches!(all.nodes.first().map(|n| &n.work), Some(Work::Input)), "node 0 is the input");
    all.nodes
}
