//! Which tensors a node needs: their roles, shapes and element types.

/// What a parameter tensor is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Convolution weights `[out, kernel, kernel, in]`, the scale of a norm or affine layer `[C]`, or the slopes of a PReLU
    /// `[C]`.
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

    pub(crate) const fn new(role: Role, element: Element, dims: [usize; 4]) -> Self {
        Self { role, element, dims }
    }
}

/// At most this many tensors belong to a node.
pub const MAX_PARAMS: usize = 3;
