//! Kernels: which module with which constants, and what it is told for a dispatch. `shaders/` has their sources.

use bytemuck::{Pod, Zeroable};
use mcir_runtime::model::DType;

/// A compiled shader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Module {
    Input,
    Output,
    Pointwise,
    Resize,
    Shuffle,
    Skip,
    Conv,
    ConvDot,
    ConvI16,
    Probe,
    ProbeDot,
}

impl Module {
    /// Its SPIR-V.
    pub fn words(self) -> Vec<u32> {
        let bytes: &[u8] = match self {
            Self::Input => include_bytes!("../shaders/input.spv"),
            Self::Output => include_bytes!("../shaders/output.spv"),
            Self::Pointwise => include_bytes!("../shaders/pointwise.spv"),
            Self::Resize => include_bytes!("../shaders/resize.spv"),
            Self::Shuffle => include_bytes!("../shaders/shuffle.spv"),
            Self::Skip => include_bytes!("../shaders/skip.spv"),
            Self::Conv => include_bytes!("../shaders/conv.spv"),
            Self::ConvDot => include_bytes!("../shaders/conv_dot.spv"),
            Self::ConvI16 => include_bytes!("../shaders/conv_i16.spv"),
            Self::Probe => include_bytes!("../shaders/probe.spv"),
            Self::ProbeDot => include_bytes!("../shaders/probe_dot.spv"),
        };
        bytes.chunks_exact(4).map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]])).collect()
    }
}

/// A module with its specialization constants, by number.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Kernel {
    pub module: Module,
    pub constants: Vec<i32>,
}

/// What a dispatch is told; `shaders/common.glsl` says what the fields are and has them in the same order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Push {
    pub in0: i32,
    pub in1: i32,
    pub out0: i32,
    pub out1: i32,
    pub weights: i32,
    pub numbers: i32,
    pub in_width: i32,
    pub in_height: i32,
    pub width: i32,
    pub height: i32,
    pub zero0: i32,
    pub zero1: i32,
    pub zero_out: i32,
    pub zero_out1: i32,
    pub low: f32,
    pub high: f32,
    pub low1: f32,
    pub high1: f32,
    pub factor0: f32,
    pub factor1: f32,
    pub factor2: f32,
    pub extra0: i32,
    pub extra1: i32,
    pub extra2: i32,
}

/// A kernel at work.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Dispatch {
    pub kernel: Kernel,
    pub push: Push,
    /// Workgroups, at most [`MAX_GROUPS`] in each direction.
    pub groups: [u32; 3],
}

/// Workgroups in a direction that every device takes.
pub(crate) const MAX_GROUPS: u32 = 65535;
/// Invocations of a workgroup, in the kernels that do not say another number.
pub(crate) const LOCAL: usize = 64;

/// Workgroups for so many invocations in a row.
pub(crate) fn linear(invocations: usize) -> [u32; 3] {
    let groups = invocations.div_ceil(LOCAL).max(1);
    let x = groups.min(MAX_GROUPS as usize);
    [x as u32, groups.div_ceil(x) as u32, 1]
}

/// An element type as shaders number it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Type {
    I8 = 1,
    I16 = 2,
}

impl Type {
    /// Of an edge of integers.
    pub fn of(dtype: DType) -> Option<Self> {
        match dtype {
            DType::F32 => None,
            DType::I8 { .. } => Some(Self::I8),
            DType::I16 { .. } => Some(Self::I16),
        }
    }

    /// Planes of words for four channels.
    pub fn planes(self) -> usize {
        self as usize
    }
}

/// Stored value that stands for zero.
pub(crate) fn zero_point(dtype: DType) -> i32 {
    match dtype {
        DType::I8 { zero_point, .. } => zero_point.into(),
        DType::F32 | DType::I16 { .. } => 0,
    }
}

/// Operators of the pointwise kernel, as it numbers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pointwise {
    Convert = 0,
    Add = 1,
    Mul = 2,
    Affine = 3,
    PRelu = 4,
    Table = 5,
}
