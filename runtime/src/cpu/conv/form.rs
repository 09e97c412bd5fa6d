//! The forms that weights, sums and stored values have in an instruction set's kernels.

/// Largest kernel side.
pub(crate) const MAX_KERNEL: usize = 9;

/// Order of the weights inside a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// `[lane][kt]`.
    Dot,
    /// `[kt / 2][lane][2]`: pairs of neighbouring values, for widening multiplies without a dot product.
    #[cfg_attr(
        not(any(test, target_arch = "aarch64")),
        expect(dead_code, reason = "only plain NEON needs it")
    )]
    Pairs,
}

/// What packing has to know of a tile.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Geometry {
    /// Name of the kernel: MR×NR of the widest panel, values a group, instruction set.
    pub name: &'static str,
    /// Output channels in a vector.
    pub lanes: usize,
    /// Values of the depth that one group consumes.
    pub kt: usize,
    /// Most vectors in a panel.
    pub max_nv: usize,
    /// Order inside a group.
    pub layout: Layout,
}

/// How sums become stored values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Store {
    /// `round(sum · mult)` clamped to `lo..=hi` (both relative to the zero point), plus the zero point.
    I8 { lo: f32, hi: f32, zero_point: i32, xor: u8 },
    /// The same to 16 bits, without a zero point.
    I16 { lo: f32, hi: f32 },
    /// `sum · mult` from integers, or the plain sum of floats; negative values become 0 if `relu`.
    F32 { relu: bool },
}

impl Store {
    /// Bytes of a stored value.
    pub const fn size_bytes(&self) -> usize {
        match self {
            Self::I8 { .. } => 1,
            Self::I16 { .. } => 2,
            Self::F32 { .. } => 4,
        }
    }
}

/// How far from zero the products of sums and multipliers can be, which follows from the weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Products {
    /// With a zero point they fit 16 bits.
    Short,
    /// Rounded, they fit the low bits of a float.
    Mantissa,
    /// Rounded, they fit 32 bits.
    Integer,
    /// Anything.
    Any,
}

/// The 8-bit edge that a row is converted to.
#[derive(Clone, Copy)]
pub(crate) struct Narrowing {
    pub zero_point: i32,
    pub xor: u8,
}

/// How the sums of an instruction set's 8-bit convolutions come about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sums8 {
    /// How activations are kept in memory: `stored = value ^ xor`; 0x80 makes them unsigned.
    pub xor: u8,
    /// Whether sums may be floats in disguise (see [`requant`](crate::cpu::conv::requant)).
    pub takes_floats: bool,
}
