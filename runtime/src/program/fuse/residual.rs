//! A convolution to 16 bits, the residual sum that alone reads it, and the conversion to 8 bits of the result: one pass over
//! a row that is still in the first-level cache, or in registers, instead of three over three edges.

use super::Fused;
use crate::model::{DType, Model, NodeId, Op};
use crate::program::edges::dtypes;
use crate::program::order::Order;
use crate::program::work::{Convolution, Epilogue, Node, Work};
use crate::program::{lower, numerics};
use alloc::{sync::Arc, vec};

pub(super) struct ResidualSum {
    conv: NodeId,
    sum: Option<NodeId>,
    convert: Option<NodeId>,
}

impl ResidualSum {
    /// The one that begins with node `conv`.
    pub fn at(model: &Model, conv: NodeId) -> Option<Self> {
        let graph = model.graph();
        let dtype = |id: NodeId| graph.node(id).dtype;
        let is_i16 = |id: NodeId| matches!(dtype(id), DType::I16 { .. });
        let quantized = |id: NodeId| dtype(graph.node(id).inputs[0]).is_quantized();
        if !matches!(graph.node(conv).op, Op::Conv2d(_)) || !is_i16(conv) || !quantized(conv) {
            return None;
        }
        let mut readers = graph.readers(conv);
        let sum = match (readers.next(), readers.next()) {
            (Some(reader), None) => Some(reader).filter(|&add| {
                let &[a, b] = graph.node(add).inputs.as_slice() else { return false };
                let residual = if a == conv { b } else { a };
                matches!(graph.node(add).op, Op::Add { .. })
                    && is_i16(add)
                    && is_i16(residual)
                    && residual < conv
            }),
            _ => None,
        };
        let end = sum.unwrap_or(conv);
        let narrows =
            |&id: &NodeId| matches!(graph.node(id).op, Op::Convert) && matches!(dtype(id), DType::I8 { .. });
        let convert = graph.readers(end).find(narrows);
        (sum.is_some() || convert.is_some()).then_some(Self { conv, sum, convert })
    }

    pub fn contains(&self, id: NodeId) -> bool {
        self.conv == id || self.sum == Some(id) || self.convert == Some(id)
    }

    /// The node in whose place all of it is run: the sum, whose residual is there by then.
    pub fn end(&self) -> NodeId {
        self.sum.unwrap_or(self.conv)
    }

    pub fn lower(&self, model: &Model, all: &mut Fused) {
        let graph = model.graph();
        let Self { conv, sum, convert } = *self;
        let node = lower::node(model, conv, Order::Torch);
        let Work::Convolution(convolution) = &node.work else { unreachable!("it begins with a convolution") };
        let mut inputs = vec![all.edge(graph.node(conv).inputs[0])];
        let residual = sum.map(|id| {
            let add = graph.node(id);
            let Op::Add { res_scale } = add.op else { unreachable!("the node is an addition") };
            let ([a, b], out) = dtypes(model, id);
            let factors = numerics::add((a, b), res_scale, out).factors;
            inputs.extend(add.inputs.iter().find(|&&i| i != conv).map(|&i| all.edge(i)));
            // A sum of two floats is the same in either order.
            if add.inputs[0] == conv { factors } else { [factors[1], factors[0]] }
        });
        let end = graph.node(self.end()).dtype;
        let narrow = convert.map(|id| numerics::narrow(end, graph.node(id).dtype));
        let convolution = Convolution {
            epilogue: Epilogue { residual, narrow, ..convolution.epilogue },
            ..Convolution::clone(convolution)
        };
        let mut node = Node { inputs, work: Work::Convolution(Arc::new(convolution)), ..node };
        node.edge.dtype = end;
        all.push(self.end(), node);
        if let Some(convert) = convert {
            let inputs = vec![all.edge(self.end())];
            let op = graph.node(convert).op;
            all.push(convert, Node { inputs, work: Work::Narrowed, ..lower::bare(model, convert, &op) });
        }
    }
}
