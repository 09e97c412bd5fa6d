//! Convolution weights in the order that the tile reads them.
//!
//! Output channels are split into panels of `nv` vectors. Inside a panel the order is
//! `[ky][group][vector][lane][kt]`: for every kernel row the `kernel · in_channels` values that lie next to
//! each other in an image row, in groups of `kt`, zero-padded at the end of the row. Because channels are
//! innermost in the image too, three channels are not padded to four, and there is no im2col.

use crate::cpu::conv::form::{Geometry, Layout};
use crate::memory::line::{Line, aligned};
use alloc::vec::Vec;
use bytemuck::{Pod, Zeroable};

/// Shape of a convolution, as packing sees it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConvShape {
    pub in_channels: usize,
    pub out_channels: usize,
    /// Rows under the kernel.
    pub kernel: usize,
    /// Columns under it.
    pub columns: usize,
}

impl ConvShape {
    /// Values of one kernel row.
    pub fn row_len(&self) -> usize {
        self.columns * self.in_channels
    }
}

/// Output channels `first..first + nv · lanes` (fewer at the end).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Panel {
    /// First output channel.
    pub first: usize,
    /// Vectors.
    pub nv: usize,
    /// Byte offset of the weights.
    pub offset: usize,
}

/// Packed weights and the panels that they are split into.
pub(crate) struct Packed {
    pub shape: ConvShape,
    pub panels: Vec<Panel>,
    pub weights: Vec<Line>,
    /// Groups of `kt` values in a kernel row.
    pub groups: usize,
    /// Output channels rounded up to whole vectors: length of the bias and multiplier arrays.
    pub padded_out: usize,
}

/// Packs `weights`, `[out, kernel, kernel, in]`; `order[n]` is the channel of `weights` that is computed as
/// output channel `n`.
pub(crate) fn pack<T: Pod + Zeroable>(
    shape: ConvShape,
    geometry: &Geometry,
    weights: &[T],
    order: &[usize],
) -> Packed {
    let (k, lanes, kt) = (shape.row_len(), geometry.lanes, geometry.kt);
    assert_eq!(weights.len(), shape.out_channels * shape.kernel * k, "weights have the shape's size");
    assert_eq!(order.len(), shape.out_channels, "every output channel has a source");
    let groups = k.div_ceil(kt);
    let vectors = shape.out_channels.div_ceil(lanes);
    let panel_count = vectors.div_ceil(geometry.max_nv);
    let mut panels = Vec::with_capacity(panel_count);
    let mut packed: Vec<T> = Vec::new();
    let mut done = 0;
    for p in 0..panel_count {
        // Panels of nearly equal size: 5 vectors are 3 + 2, not 4 + 1.
        let nv = (vectors - done).div_ceil(panel_count - p);
        let first = done * lanes;
        let start = packed.len();
        panels.push(Panel { first, nv, offset: start * size_of::<T>() });
        packed.resize(start + shape.kernel * groups * nv * lanes * kt, T::zeroed());
        let panel = &mut packed[start..];
        for n in first..(first + nv * lanes).min(shape.out_channels) {
            let row = &weights[order[n] * shape.kernel * k..][..shape.kernel * k];
            let (v, lane) = ((n - first) / lanes, (n - first) % lanes);
            for (i, &value) in row.iter().enumerate() {
                let (ky, x) = (i / k, i % k);
                let group = ((ky * groups + x / kt) * nv + v) * lanes * kt;
                let inner = match geometry.layout {
                    Layout::Dot => lane * kt + x % kt,
                    Layout::Pairs => (x % kt) / 2 * (2 * lanes) + lane * 2 + x % 2,
                };
                panel[group + inner] = value;
            }
        }
        done += nv;
    }
    let bytes: &[u8] = bytemuck::cast_slice(&packed);
    let mut lines = aligned(bytes.len());
    bytemuck::cast_slice_mut::<Line, u8>(&mut lines)[..bytes.len()].copy_from_slice(bytes);
    Packed { shape, panels, weights: lines, groups, padded_out: vectors * lanes }
}

impl Packed {
    /// `values[order[n]]` for every output channel, followed by zeros up to whole vectors.
    pub fn pad<T: Copy + Default>(&self, values: &[T], order: &[usize]) -> Vec<T> {
        let mut padded: Vec<T> = order.iter().map(|&n| values[n]).collect();
        padded.resize(self.padded_out, T::default());
        padded
    }
}
