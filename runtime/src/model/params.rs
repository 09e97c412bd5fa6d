//! Which tensors a node needs: their roles, shapes and element types.

use crate::model::graph::{DType, Node, Op};
use crate::model::shape::EdgeShape;

/// What a parameter tensor is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Convolution weights `[out, kernel, kernel, in]`, or the scale of a norm or affine layer `[C]`.
    Weight,
    /// Bias `[out]`; for a quantized convolution in units of `input scale · weight scale[out]`.
    Bias,
    /// Scale of quantized weights `[out]`.
    WeightScale,
    /// Relative position bias `[(2·window − 1)², num_heads]`.
    PositionBias,
}

/// Element type of a parameter tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Element {
    /// 32-bit float.
    F32,
    /// 8-bit integer, symmetric, in −127..=127.
    I8,
    /// 32-bit integer.
    I32,
}

impl Element {
    /// Bytes of one element.
    pub const fn size_bytes(self) -> usize {
        match self {
            Self::I8 => 1,
            Self::F32 | Self::I32 => 4,
        }
    }
}

/// One tensor that a node needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParamSpec {
    /// Role.
    pub role: Role,
    /// Element type.
    pub element: Element,
    /// Sizes, outermost first; unused trailing dimensions are 1.
    pub dims: [usize; 4],
}

impl ParamSpec {
    /// Number of elements.
    pub const fn len(&self) -> usize {
        self.dims[0] * self.dims[1] * self.dims[2] * self.dims[3]
    }

    /// Whether there are no elements; never true for a validated model.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    const fn new(role: Role, element: Element, dims: [usize; 4]) -> Self {
        Self { role, element, dims }
    }
}

/// At most this many tensors belong to a node.
pub const MAX_PARAMS: usize = 3;

/// The tensors of a node, in file order.
///
/// A convolution is quantized exactly when the edge it reads is.
pub fn specs(node: &Node, input: Option<(DType, EdgeShape)>) -> ([ParamSpec; MAX_PARAMS], usize) {
    let none = ParamSpec::new(Role::Weight, Element::F32, [0; 4]);
    let channels = input.map_or(0, |(_, s)| usize::from(s.channels));
    let vector = |role, n| ParamSpec::new(role, Element::F32, [n, 1, 1, 1]);
    match node.op {
        Op::Conv2d(conv) => {
            let out = usize::from(conv.out_channels);
            let kernel = usize::from(conv.kernel);
            let dims = [out, kernel, kernel, usize::from(conv.in_channels)];
            if input.is_some_and(|(dtype, _)| dtype.is_quantized()) {
                let weight = ParamSpec::new(Role::Weight, Element::I8, dims);
                let bias = ParamSpec::new(Role::Bias, Element::I32, [out, 1, 1, 1]);
                ([weight, bias, vector(Role::WeightScale, out)], 3)
            } else {
                let weight = ParamSpec::new(Role::Weight, Element::F32, dims);
                ([weight, vector(Role::Bias, out), none], 2)
            }
        }
        Op::Affine | Op::LayerNorm { .. } => {
            ([vector(Role::Weight, channels), vector(Role::Bias, channels), none], 2)
        }
        Op::WindowAttention { num_heads, window_size, .. } => {
            let side = 2 * usize::from(window_size) - 1;
            let dims = [side * side, usize::from(num_heads), 1, 1];
            ([ParamSpec::new(Role::PositionBias, Element::F32, dims), none, none], 1)
        }
        Op::Input { .. }
        | Op::Add { .. }
        | Op::Activation(_)
        | Op::PixelShuffle { .. }
        | Op::Resize { .. }
        | Op::Convert => ([none; MAX_PARAMS], 0),
    }
}
