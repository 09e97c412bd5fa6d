//! Uncompressed frames as cameras deliver them, and how they become what the engine takes.
//!
//! Everything here is a function of bytes and their [`Layout`]; nothing touches a device. Lengths are checked
//! once, in [`Layout::check`] and [`to_image`], before a row is read.

mod colour;
mod pack;
#[cfg(test)]
mod tests;

pub use colour::Matrix;
pub use mcir_upscale::colour::{Space, from_rgb, ycbcr_to_rgb};
pub use pack::Packer;

use colour::Tables;
use mcir_runtime::image::Image;

/// Longest side of a frame, in pixels.
pub const MAX_SIDE: usize = 16_384;
/// Most pixels of a frame.
pub const MAX_PIXELS: usize = 1 << 25;

/// Why bytes are not a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RawError {
    /// A side of 0, or more pixels than this program takes.
    #[error(
        "a frame of {width}x{height} pixels; sides are 1 to {MAX_SIDE} and all pixels at most {MAX_PIXELS}"
    )]
    Size {
        /// Width in pixels.
        width: usize,
        /// Height in pixels.
        height: usize,
    },
    /// Rows that overlap.
    #[error("rows of {found} bytes, but {expected} are needed for the width")]
    Stride {
        /// Bytes that a row needs.
        expected: usize,
        /// Bytes from one row to the next.
        found: usize,
    },
    /// Fewer bytes than the layout needs.
    #[error("a frame of {found} bytes, but {expected} are needed")]
    Length {
        /// Bytes needed.
        expected: usize,
        /// Bytes there.
        found: usize,
    },
}

/// How many pixels share a colour sample, horizontally and vertically.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subsampling {
    /// 4:4:4: none.
    None,
    /// 4:2:2: two in a row.
    Half,
    /// 4:2:0: two in a row and two rows.
    Quarter,
    /// 4:1:1: four in a row.
    FourInARow,
}

impl Subsampling {
    pub(crate) const fn factors(self) -> (usize, usize) {
        match self {
            Self::None => (1, 1),
            Self::Half => (2, 1),
            Self::Quarter => (2, 2),
            Self::FourInARow => (4, 1),
        }
    }
}

/// Where a colour sample lies among the pixels that share it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Siting {
    /// In the middle of them: JPEG, MPEG-1.
    Centre,
    /// On the left pixel, vertically in the middle: MPEG-2, H.264, most cameras.
    Left,
    /// On the upper left pixel: PAL DV.
    TopLeft,
}

/// Order of samples in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// Planes Y, Cb, Cr one after the other.
    Planar {
        /// Resolution of Cb and Cr.
        subsampling: Subsampling,
        /// Position of their samples.
        siting: Siting,
    },
    /// Only Y.
    Grey,
    /// A plane of Y, then one of pairs at a quarter of the resolution: Cb Cr (NV12), or Cr Cb (NV21).
    SemiPlanar {
        /// NV21.
        red_first: bool,
    },
    /// Two pixels in four bytes: Y Cb Y Cr (YUYV), or Cb Y Cr Y (UYVY).
    Packed422 {
        /// YUYV.
        luma_first: bool,
    },
    /// Three bytes a pixel: R G B, or B G R.
    Rgb {
        /// B G R.
        blue_first: bool,
    },
}

impl Packing {
    /// Bytes that a row of the first plane needs at least.
    pub(crate) const fn min_stride(self, width: usize) -> usize {
        match self {
            Self::Planar { .. } | Self::Grey | Self::SemiPlanar { .. } => width,
            Self::Packed422 { .. } => 4 * width.div_ceil(2),
            Self::Rgb { .. } => 3 * width,
        }
    }
}

/// Everything that must be known to read a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Order of samples.
    pub packing: Packing,
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// Bytes from one row of the first plane to the next.
    pub stride: usize,
    /// Whether Y uses 0..=255 and not 16..=235.
    pub full_range: bool,
    /// Which colours Cb and Cr stand for.
    pub matrix: Matrix,
}

impl Layout {
    /// A layout without gaps between rows.
    ///
    /// # Errors
    /// [`RawError::Size`].
    pub fn new(
        packing: Packing,
        width: usize,
        height: usize,
        full_range: bool,
        matrix: Matrix,
    ) -> Result<Self, RawError> {
        let stride = packing.min_stride(width.min(MAX_SIDE));
        let layout = Self { packing, width, height, stride, full_range, matrix };
        layout.check()?;
        Ok(layout)
    }

    /// Whether such a frame can exist.
    ///
    /// # Errors
    /// [`RawError::Size`] or [`RawError::Stride`].
    pub fn check(&self) -> Result<(), RawError> {
        let &Self { width, height, stride, .. } = self;
        let side = 1..=MAX_SIDE;
        if !side.contains(&width) || !side.contains(&height) || width * height > MAX_PIXELS {
            return Err(RawError::Size { width, height });
        }
        let expected = self.packing.min_stride(width);
        // The upper bound keeps the sums in `bytes` far from overflow.
        if stride < expected || stride > 16 * MAX_SIDE {
            return Err(RawError::Stride { expected, found: stride });
        }
        Ok(())
    }

    /// Width and height of the planes of Cb and Cr, in samples; none for grey and RGB.
    fn chroma_size(&self) -> (usize, usize) {
        let (x, y) = match self.packing {
            Packing::Planar { subsampling, .. } => subsampling.factors(),
            Packing::SemiPlanar { .. } => (2, 2),
            Packing::Packed422 { .. } => (2, 1),
            Packing::Grey | Packing::Rgb { .. } => return (0, 0),
        };
        (self.width.div_ceil(x), self.height.div_ceil(y))
    }

    /// Bytes from one row of a colour plane to the next. Padding is shared out as in the first plane.
    fn chroma_stride(&self) -> usize {
        match self.packing {
            Packing::Planar { subsampling, .. } => self.stride.div_ceil(subsampling.factors().0),
            Packing::SemiPlanar { .. } => self.stride.next_multiple_of(2),
            _ => 0,
        }
    }

    /// Bytes of a whole frame.
    pub fn bytes(&self) -> usize {
        let luma = self.stride * self.height;
        let chroma = self.chroma_stride() * self.chroma_size().1;
        match self.packing {
            Packing::Planar { .. } => luma + 2 * chroma,
            Packing::SemiPlanar { .. } => luma + chroma,
            Packing::Grey | Packing::Packed422 { .. } | Packing::Rgb { .. } => luma,
        }
    }

    /// Row `y` of Y.
    fn luma(&self, data: &[u8], y: usize, out: &mut [u8]) {
        let row = &data[y * self.stride..];
        match self.packing {
            Packing::Packed422 { luma_first } => {
                let first = usize::from(!luma_first);
                for (out, &v) in out.iter_mut().zip(row[first..].iter().step_by(2)) {
                    *out = v;
                }
            }
            _ => out.copy_from_slice(&row[..self.width]),
        }
    }

    /// Row `k` of Cb and Cr, at their own resolution.
    fn chroma(&self, data: &[u8], k: usize, cb: &mut [u8], cr: &mut [u8]) {
        let (width, height) = self.chroma_size();
        let stride = self.chroma_stride();
        let planes = self.stride * self.height;
        match self.packing {
            Packing::Planar { .. } => {
                let (first, second) = (planes + k * stride, planes + (height + k) * stride);
                cb.copy_from_slice(&data[first..first + width]);
                cr.copy_from_slice(&data[second..second + width]);
            }
            Packing::SemiPlanar { red_first } => {
                let row = &data[planes + k * stride..][..2 * width];
                let (cb, cr) = if red_first { (cr, cb) } else { (cb, cr) };
                for (pair, (cb, cr)) in row.chunks_exact(2).zip(cb.iter_mut().zip(cr)) {
                    (*cb, *cr) = (pair[0], pair[1]);
                }
            }
            Packing::Packed422 { luma_first } => {
                let first = usize::from(luma_first);
                let row = &data[k * self.stride..][..4 * width];
                for (four, (cb, cr)) in row.chunks_exact(4).zip(cb.iter_mut().zip(cr)) {
                    (*cb, *cr) = (four[first], four[first + 2]);
                }
            }
            Packing::Grey | Packing::Rgb { .. } => {}
        }
    }

    fn siting(&self) -> Siting {
        match self.packing {
            Packing::Planar { siting, .. } => siting,
            _ => Siting::Left,
        }
    }
}

/// A frame as an image: colour is brought to full resolution by linear interpolation and everything to full
/// range. Frames without colour give [`Space::Grey`], all others `wanted`.
///
/// # Shapes
/// `data` as `layout` says; the result is `[height, width, channels]`.
///
/// # Errors
/// [`RawError`] when the layout is impossible or `data` is shorter than it needs.
pub fn to_image(layout: &Layout, data: &[u8], wanted: Space) -> Result<(Image, Space), RawError> {
    layout.check()?;
    let (width, height) = (layout.width, layout.height);
    if data.len() < layout.bytes() {
        return Err(RawError::Length { expected: layout.bytes(), found: data.len() });
    }
    let size = RawError::Size { width, height };
    let image = |channels, pixels| Image::new(width, height, channels, pixels).map_err(|_| size);
    let tables = Tables::new(layout.matrix, layout.full_range);
    match layout.packing {
        Packing::Grey => {
            let mut pixels = vec![0; width * height];
            for (y, row) in pixels.chunks_exact_mut(width).enumerate() {
                layout.luma(data, y, row);
                row.iter_mut().for_each(|v| *v = tables.full_luma(*v));
            }
            Ok((image(1, pixels)?, Space::Grey))
        }
        Packing::Rgb { blue_first } => {
            let mut pixels = Vec::with_capacity(3 * width * height);
            for y in 0..height {
                for p in data[y * layout.stride..][..3 * width].chunks_exact(3) {
                    let rgb = if blue_first { [p[2], p[1], p[0]] } else { [p[0], p[1], p[2]] };
                    pixels.extend(if wanted == Space::YCbCr { from_rgb(rgb) } else { rgb });
                }
            }
            Ok((image(3, pixels)?, if wanted == Space::YCbCr { wanted } else { Space::Rgb }))
        }
        _ => {
            let mut pixels = vec![0; 3 * width * height];
            let mut chroma = Chroma::new(layout);
            let mut luma = vec![0; width];
            for (y, row) in pixels.chunks_exact_mut(3 * width).enumerate() {
                layout.luma(data, y, &mut luma);
                chroma.row(data, y);
                let samples = luma.iter().zip(&chroma.cb).zip(&chroma.cr);
                for (pixel, ((&y, &cb), &cr)) in row.chunks_exact_mut(3).zip(samples) {
                    pixel.copy_from_slice(&match wanted {
                        Space::YCbCr => tables.full(y, cb, cr),
                        _ => tables.rgb(y, cb, cr),
                    });
                }
            }
            Ok((image(3, pixels)?, if wanted == Space::YCbCr { wanted } else { Space::Rgb }))
        }
    }
}

/// Rows of Cb and Cr at the resolution of Y.
struct Chroma<'a> {
    layout: &'a Layout,
    /// Two rows of either, at their own resolution, and which rows they are.
    near: [[Vec<u8>; 2]; 2],
    held: [usize; 2],
    mixed: Vec<u8>,
    cb: Vec<u8>,
    cr: Vec<u8>,
}

impl<'a> Chroma<'a> {
    fn new(layout: &'a Layout) -> Self {
        let width = layout.chroma_size().0;
        let pair = || [vec![0; width], vec![0; width]];
        Self {
            layout,
            near: [pair(), pair()],
            held: [usize::MAX; 2],
            mixed: vec![0; width],
            cb: vec![0; layout.width],
            cr: vec![0; layout.width],
        }
    }

    fn row(&mut self, data: &[u8], y: usize) {
        let (_, rows) = self.layout.chroma_size();
        let siting = self.layout.siting();
        // The rows above and below, and the weight of the upper one in quarters.
        let (above, below, weight) = if rows == self.layout.height {
            (y, y, 4)
        } else {
            let k = y / 2;
            match (siting, y % 2) {
                (Siting::TopLeft, 0) => (k, k, 4),
                (Siting::TopLeft, _) => (k, (k + 1).min(rows - 1), 2),
                (_, 0) => (k.saturating_sub(1), k, 1),
                (_, _) => (k, (k + 1).min(rows - 1), 3),
            }
        };
        let (upper, lower) = (self.hold(data, above), self.hold(data, below));
        for channel in 0..2 {
            let (a, b) = (&self.near[upper][channel], &self.near[lower][channel]);
            for (mixed, (&a, &b)) in self.mixed.iter_mut().zip(a.iter().zip(b)) {
                *mixed = ((u16::from(a) * weight + u16::from(b) * (4 - weight) + 2) / 4) as u8;
            }
            let out = if channel == 0 { &mut self.cb } else { &mut self.cr };
            widen(&self.mixed, out, siting);
        }
    }

    /// Reads row `k` unless it is held already; where it is then. Neighbours never share a place.
    fn hold(&mut self, data: &[u8], k: usize) -> usize {
        let at = k % 2;
        if self.held[at] != k {
            let [cb, cr] = &mut self.near[at];
            self.layout.chroma(data, k, cb, cr);
            self.held[at] = k;
        }
        at
    }
}

/// A row of colour samples at the resolution of Y.
fn widen(samples: &[u8], out: &mut [u8], siting: Siting) {
    let n = samples.len();
    if n == out.len() {
        out.copy_from_slice(samples);
        return;
    }
    let factor = out.len().div_ceil(n);
    for (x, out) in out.iter_mut().enumerate() {
        let (k, phase) = (x / factor, x % factor);
        // Position in 2·factor-ths of a sample, relative to sample k.
        let offset = match siting {
            Siting::Centre => 2 * phase as isize + 1 - factor as isize,
            Siting::Left | Siting::TopLeft => 2 * phase as isize,
        };
        let other = if offset < 0 { k.saturating_sub(1) } else { (k + 1).min(n - 1) };
        let (unit, weight) = (2 * factor as u32, offset.unsigned_abs() as u32);
        let sum = u32::from(samples[k]) * (unit - weight) + u32::from(samples[other]) * weight;
        *out = ((sum + unit / 2) / unit) as u8;
    }
}
