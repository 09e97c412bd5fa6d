//! One convolution row as tiles of MR pixels × NV vectors of output channels.
//!
//! A tile runs over the whole depth (kernel rows × kernel columns × input channels) with its sums in
//! registers, reading the input rows where they lie: pixels are next to each other and channels innermost,
//! so the values under one kernel row are contiguous and the next pixel is one stride further. Everything
//! here is generic over [`Tile`], the handful of vector operations that an instruction set provides.

use crate::cpu::conv::form::{MAX_KERNEL, Products, Store};
use crate::cpu::conv::pack::Panel;
use crate::cpu::conv::row::{PostOpsAt, RowArgs};

/// Vectors in a panel of which tiles of [`FOUR`] pixels still have sums enough to keep the multipliers busy.
const WIDEST: usize = 4;
/// Pixels of the tiles at the end of a row, where an instruction set has [`Tile::FOURS`].
const FOUR: usize = 4;

/// Vector operations of an instruction set for one element type.
///
/// # Safety
/// Implementations access exactly the memory that the method's description names. All methods may only be
/// called on a processor with the instruction set.
pub(crate) unsafe trait Tile {
    /// Output channels in a vector.
    const LANES: usize;
    /// Bytes of activations in a group.
    const GROUP_BYTES: usize;
    /// Groups that one load of activations serves (a load may read `A_GROUPS · GROUP_BYTES` bytes, or 16).
    const A_GROUPS: usize;
    /// Bytes of weights for one vector and group.
    const W_BYTES: usize;
    /// Whether tiles of four pixels and [`WIDEST`] vectors are as fast for their size as those of the usual number of
    /// pixels, so that the end of a row is better made of them than of a tile that computes pixels once more.
    const FOURS: bool = false;
    /// LANES sums.
    type V: Copy;
    /// Activations of one pixel, ready to multiply.
    type A: Copy;
    /// Weights of one vector and group.
    type W: Copy;

    /// LANES initial sums of 4 bytes each.
    unsafe fn bias(p: *const u8) -> Self::V;
    /// Activations of `A_GROUPS` groups.
    unsafe fn load_a(p: *const u8) -> Self::A;
    /// W_BYTES of weights.
    unsafe fn load_w(p: *const u8) -> Self::W;
    /// Adds the products of group `G` of the activations.
    unsafe fn dot<const G: usize>(sum: Self::V, a: Self::A, w: Self::W) -> Self::V;
    /// Adds the products of the whole depth: `rows` are the rows' first values for the tile's first pixel,
    /// `px` the bytes to the next pixel, `w` the weights of all groups of all rows.
    #[inline(always)]
    unsafe fn depth<const MR: usize, const NV: usize>(
        sums: &mut [[Self::V; NV]; MR],
        rows: &[*const u8],
        groups: usize,
        px: usize,
        w: *const u8,
    ) where
        Self: Sized,
    {
        // SAFETY: passed on.
        unsafe { depth::<Self, MR, NV>(sums, rows, groups, px, w) }
    }
    /// The sums of a tile: LANES · NV initial sums at `bias`, plus the products of the whole depth. `taps` are
    /// the rows, in which the tile's first pixel begins at byte `at`.
    #[inline(always)]
    unsafe fn sums<const MR: usize, const NV: usize>(
        bias: *const u8,
        taps: &[*const u8],
        at: usize,
        groups: usize,
        px: usize,
        w: *const u8,
    ) -> [[Self::V; NV]; MR]
    where
        Self: Sized,
    {
        // SAFETY: passed on; a tap for every row, of which there are at most MAX_KERNEL.
        unsafe {
            let first: [Self::V; NV] = core::array::from_fn(|n| Self::bias(bias.add(4 * n * Self::LANES)));
            let mut sums = [first; MR];
            let mut rows = [core::ptr::null(); MAX_KERNEL];
            for (row, tap) in rows.iter_mut().zip(taps) {
                *row = tap.add(at);
            }
            Self::depth(&mut sums, &rows[..taps.len()], groups, px, w);
            sums
        }
    }
    /// [`sums`](Self::sums) and [`store_tile`](Self::store_tile) in one for all tiles of `pixels` pixels, at least MR, of
    /// which `to` is the first, where an instruction set has such a way; whether it did.
    #[inline(always)]
    unsafe fn fused<const MR: usize, const NV: usize>(
        _bias: *const u8,
        _taps: &[*const u8],
        _groups: usize,
        _px: usize,
        _w: *const u8,
        _to: &Destination<'_>,
        _pixels: usize,
    ) -> bool {
        false
    }
    /// Whether [`store_post_ops`](Self::store_post_ops) is there.
    const POST_OPS: bool = false;
    /// [`store_tile`](Self::store_tile) with what a [`PostOps`](crate::cpu::conv::row::PostOps) adds to it.
    #[inline(always)]
    unsafe fn store_post_ops<const MR: usize, const NV: usize>(
        _sums: &[[Self::V; NV]; MR],
        _to: &Destination<'_>,
        _post_ops: &PostOpsAt,
    ) {
        unreachable!("there are no post-ops on this instruction set")
    }
    /// Stores the first `lanes` sums; `mult` points to LANES multipliers.
    unsafe fn store(sum: Self::V, mult: *const f32, store: &Store, out: *mut u8, lanes: usize);
    /// Stores the sums of a tile.
    #[inline(always)]
    unsafe fn store_tile<const MR: usize, const NV: usize>(sums: &[[Self::V; NV]; MR], to: &Destination<'_>)
    where
        Self: Sized,
    {
        for (m, sums) in sums.iter().enumerate() {
            for (n, &sum) in sums.iter().enumerate() {
                let lanes = (to.lanes - n * Self::LANES).min(Self::LANES);
                // SAFETY: multipliers for all vectors, and room for the lanes, by contract.
                unsafe {
                    let out = to.out.add(m * to.px_bytes + n * Self::LANES * to.store.size_bytes());
                    Self::store(sum, to.mult.add(n * Self::LANES), to.store, out, lanes);
                }
            }
        }
    }
}

/// Where the sums of a tile go, and how.
#[derive(Clone, Copy)]
pub(crate) struct Destination<'a> {
    /// Multipliers of the panel's channels.
    pub mult: *const f32,
    /// Their offsets; null unless the sums are floats in disguise.
    #[cfg_attr(not(target_arch = "aarch64"), expect(dead_code, reason = "only NEON takes such sums"))]
    pub offset: *const f32,
    /// How far products can be from zero.
    #[cfg_attr(
        not(any(target_arch = "aarch64", target_arch = "x86_64")),
        expect(dead_code, reason = "the scalar code clamps everything")
    )]
    pub products: Products,
    pub store: &'a Store,
    /// Place of the first pixel's first channel.
    pub out: *mut u8,
    /// Bytes to the next pixel.
    pub px_bytes: usize,
    /// Channels to store; the last vector may be in part padding.
    pub lanes: usize,
}

/// One panel over all pixels of the row.
///
/// # Safety
/// As [`ConvRow`](crate::cpu::conv::row::ConvRow); the panel belongs to `args.packed`.
#[inline(always)]
pub(crate) unsafe fn columns<T: Tile, const MR: usize, const NV: usize>(
    args: &mut RowArgs<'_>,
    panel: &Panel,
) {
    let packed = args.packed;
    let channels = packed.shape.out_channels;
    assert!(T::POST_OPS || args.post_ops.is_none(), "no post-ops on an instruction set without");
    let mut taps = [core::ptr::null(); MAX_KERNEL];
    for (to, tap) in taps.iter_mut().zip(args.taps) {
        *to = tap.as_ptr();
    }
    // Copies on the stack, whose values the compiler may keep in registers from tile to tile.
    let (store, pixels) = (args.store, args.pixels);
    // SAFETY: x + MR <= pixels, or x + 1 <= pixels, in the calls of `at`. `conv_row` checked that every tap
    // reaches over `groups` groups of the last pixel plus the slack (so that a load of A_GROUPS groups stays
    // inside), that the weights hold all panels, bias, multipliers and offsets all lanes, and the output row
    // `pixels` pixels of `out_channels` values.
    unsafe {
        let panel = PanelArgs {
            taps: &taps[..args.taps.len()],
            groups: packed.groups,
            px_in: args.px_bytes,
            weights: packed.weights.as_ptr().cast::<u8>().add(panel.offset),
            bias: args.bias.as_ptr().add(4 * panel.first),
            to: Destination {
                mult: args.mult.as_ptr().add(panel.first),
                offset: args.offset.map_or(core::ptr::null(), |o| o.as_ptr().add(panel.first)),
                products: args.products,
                store: &store,
                out: args.out.as_mut_ptr().add(panel.first * store.size_bytes()),
                px_bytes: channels * store.size_bytes(),
                lanes: (channels - panel.first).min(NV * T::LANES),
            },
            post_ops: args.post_ops.as_mut().map(|post_ops| PostOpsAt::new(post_ops).after(panel.first)),
        };
        let mut x = 0;
        let PanelArgs { taps, groups, px_in, weights, bias, ref to, .. } = panel;
        let full = pixels >= MR && panel.post_ops.is_none();
        if full && T::fused::<MR, NV>(bias, taps, groups, px_in, weights, to, pixels) {
            return;
        }
        if pixels >= MR {
            // The end may come out even with tiles of four, or nearly.
            let fours = T::FOURS && NV == WIDEST && MR > FOUR;
            while x + MR <= pixels && !(fours && (MR + 1..=2 * FOUR).contains(&(pixels - x))) {
                tile::<T, MR, NV>(&panel, x);
                x += MR;
            }
            while fours && x < pixels && pixels - x != MR - 1 {
                tile::<T, FOUR, NV>(&panel, x.min(pixels - FOUR));
                x += FOUR;
            }
            if x < pixels {
                // The last pixels once more as a full tile: the same values are written again.
                tile::<T, MR, NV>(&panel, pixels - MR);
            }
        } else {
            while x < pixels {
                tile::<T, 1, NV>(&panel, x);
                x += 1;
            }
        }
    }
}

/// What all tiles of a panel have in common.
struct PanelArgs<'a> {
    taps: &'a [*const u8],
    groups: usize,
    px_in: usize,
    weights: *const u8,
    bias: *const u8,
    /// Place of pixel 0.
    to: Destination<'a>,
    post_ops: Option<PostOpsAt>,
}

/// Pixels `x..x + MR`.
///
/// # Safety
/// As [`columns`]; there are so many pixels.
#[inline(always)]
unsafe fn tile<T: Tile, const MR: usize, const NV: usize>(panel: &PanelArgs<'_>, x: usize) {
    let PanelArgs { taps, groups, px_in, weights, bias, to, post_ops } = *panel;
    // SAFETY: passed on.
    unsafe {
        let (at, to) = (x * px_in, Destination { out: to.out.add(x * to.px_bytes), ..to });
        if T::POST_OPS
            && let Some(post_ops) = post_ops
        {
            let sums = T::sums::<MR, NV>(bias, taps, at, groups, px_in, weights);
            // As many values in each row as there are of two bytes in the output.
            T::store_post_ops(&sums, &to, &post_ops.after(x * to.px_bytes / 2));
            return;
        }
        let sums = T::sums::<MR, NV>(bias, taps, at, groups, px_in, weights);
        T::store_tile(&sums, &to);
    }
}

/// The whole depth of a tile, in plain code: for every row `groups` groups of weights, one after the other.
///
/// # Safety
/// As [`Tile::depth`].
#[inline(always)]
pub(crate) unsafe fn depth<T: Tile, const MR: usize, const NV: usize>(
    sums: &mut [[T::V; NV]; MR],
    rows: &[*const u8],
    groups: usize,
    px: usize,
    mut w: *const u8,
) {
    // SAFETY: as promised by the caller.
    unsafe {
        for &row in rows {
            let mut a = row;
            let mut left = groups;
            while left >= T::A_GROUPS {
                let acts: [T::A; MR] = core::array::from_fn(|m| T::load_a(a.add(m * px)));
                group::<T, MR, NV, 0>(sums, &acts, &mut w);
                if T::A_GROUPS > 1 {
                    group::<T, MR, NV, 1>(sums, &acts, &mut w);
                }
                if T::A_GROUPS > 2 {
                    group::<T, MR, NV, 2>(sums, &acts, &mut w);
                    group::<T, MR, NV, 3>(sums, &acts, &mut w);
                }
                a = a.add(T::A_GROUPS * T::GROUP_BYTES);
                left -= T::A_GROUPS;
            }
            if T::A_GROUPS > 1 && left > 0 {
                let acts: [T::A; MR] = core::array::from_fn(|m| T::load_a(a.add(m * px)));
                group::<T, MR, NV, 0>(sums, &acts, &mut w);
                if left > 1 {
                    group::<T, MR, NV, 1>(sums, &acts, &mut w);
                }
                if left > 2 {
                    group::<T, MR, NV, 2>(sums, &acts, &mut w);
                }
            }
        }
    }
}

/// Group `G` of the loaded activations times the next weights.
///
/// # Safety
/// `w` points to NV · W_BYTES bytes of weights.
#[inline(always)]
unsafe fn group<T: Tile, const MR: usize, const NV: usize, const G: usize>(
    sums: &mut [[T::V; NV]; MR],
    acts: &[T::A; MR],
    w: &mut *const u8,
) {
    // SAFETY: as promised by the caller.
    unsafe {
        let weights: [T::W; NV] = core::array::from_fn(|n| T::load_w(w.add(n * T::W_BYTES)));
        *w = w.add(NV * T::W_BYTES);
        for m in 0..MR {
            for n in 0..NV {
                sums[m][n] = T::dot::<G>(sums[m][n], acts[m], weights[n]);
            }
        }
    }
}

/// Defines a [`ConvRow`](crate::cpu::conv::row::ConvRow) entry: the tile type, the features to compile it with, and for every number of
/// vectors in a panel the pixels of a tile, so that sums, weights and an activation fill the registers.
macro_rules! conv_entry {
    ($(#[$feature:meta])* $name:ident, $tile:ty, $(($nv:literal, $mr:literal)),+) => {
        /// # Safety
        /// As [`ConvRow`](crate::cpu::conv::row::ConvRow).
        $(#[$feature])*
        pub(crate) unsafe fn $name(args: &mut crate::cpu::conv::row::RowArgs<'_>) {
            let packed = args.packed;
            for panel in &packed.panels {
                // SAFETY: passed on from the caller.
                unsafe {
                    match panel.nv {
                        $($nv => crate::cpu::conv::tile::columns::<$tile, $mr, $nv>(args, panel),)+
                        other => unreachable!("panels have known widths, not {other}"),
                    }
                }
            }
        }
    };
}
pub(crate) use conv_entry;
