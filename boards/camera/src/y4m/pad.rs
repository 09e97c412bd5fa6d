//! Rows with padding. The format has none, but GStreamer's y4menc writes its buffers as they are (until 1.24): rows of every
//! plane begin at multiples of four bytes, and planes of 4:2:0 have an even number of luma rows.

use super::super::raw::{Layout, Packing, Subsampling};

/// A plane: bytes of a row, bytes from row to row, rows, rows with those that are padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Plane {
    width: usize,
    stride: usize,
    rows: usize,
    padded_rows: usize,
}

/// How the planes of a frame are padded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Padding([Plane; 3]);

impl Padding {
    /// As GStreamer pads this layout; `None` where it adds nothing.
    pub fn of(layout: &Layout) -> Option<Self> {
        let Packing::Planar { subsampling, .. } = layout.packing else { return None };
        let (width, height) = (layout.width, layout.height);
        let (x, y) = subsampling.factors();
        let to = |v: usize, n: usize| v.next_multiple_of(n);
        // As `fill_planes` of gst-plugins-base/gst-libs/gst/video/video-info.c has it.
        let (stride, rows) = match subsampling {
            Subsampling::Quarter => (to(to(width, 2) / 2, 4), to(height, 2)),
            Subsampling::Half => (to(width, 8) / 2, height),
            Subsampling::FourInARow => (to(width, 16) / 4, height),
            Subsampling::None => (to(width, 4), height),
        };
        let luma = Plane { width, stride: to(width, 4), rows: height, padded_rows: rows };
        let chroma = Plane {
            width: width.div_ceil(x),
            stride,
            rows: height.div_ceil(y),
            padded_rows: rows.div_ceil(y),
        };
        let padding = Self([luma, chroma, chroma]);
        (padding.bytes() > layout.bytes()).then_some(padding)
    }

    /// Bytes of a padded frame.
    pub fn bytes(&self) -> usize {
        self.0.iter().map(|plane| plane.stride * plane.padded_rows).sum()
    }

    /// A frame without its padding.
    pub fn removed(&self, padded: &[u8]) -> Vec<u8> {
        let (mut tight, mut rest) = (Vec::with_capacity(padded.len()), padded);
        for plane in &self.0 {
            let (own, after) = rest.split_at(plane.stride * plane.padded_rows);
            for row in own.chunks_exact(plane.stride).take(plane.rows) {
                tight.extend_from_slice(&row[..plane.width]);
            }
            rest = after;
        }
        tight
    }
}
