//! Writing: 4:2:0 with the colour samples in the middle of their pixels, in video range.

use super::super::raw::{Matrix, Packer, Packing, Siting, Space, Subsampling};
use std::io::{self, Write};

const PLANAR: Packing = Packing::Planar { subsampling: Subsampling::Quarter, siting: Siting::Centre };
/// What stands before a frame.
const FRAME: &[u8] = b"FRAME\n";

/// Bytes of a frame behind its line in a stream that begins with this header of [`Writer::new`]; `None` for others.
pub fn written_frame_bytes(header: &[u8]) -> Option<u64> {
    let fields = std::str::from_utf8(header).ok()?.strip_suffix('\n')?.strip_prefix("YUV4MPEG2 ")?;
    let field = |letter: char| fields.split(' ').find_map(|field| field.strip_prefix(letter));
    let (width, height): (u64, u64) = (field('W')?.parse().ok()?, field('H')?.parse().ok()?);
    let luma = width.checked_mul(height).filter(|&bytes| bytes > 0)?;
    match field('C')? {
        "mono" => Some(luma),
        "420jpeg" => luma.checked_add(2 * width.div_ceil(2).checked_mul(height.div_ceil(2))?),
        _ => None,
    }
}

/// What a stream says besides its pixels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Facts {
    /// Frames per second.
    pub rate: Option<(u32, u32)>,
    /// Width and height of a pixel.
    pub aspect: Option<(u32, u32)>,
}

/// Writes frames of one size, row by row. A frame is given on in one piece when it is whole, and then flushed.
pub struct Writer<W> {
    out: W,
    packer: Packer,
}

impl<W: Write> Writer<W> {
    /// Writes the header.
    ///
    /// # Errors
    /// What the system says.
    pub fn new(
        mut out: W,
        (width, height): (usize, usize),
        space: Space,
        matrix: Matrix,
        facts: Facts,
    ) -> io::Result<Self> {
        let (n, d) = facts.rate.unwrap_or((30, 1));
        let (x, y) = facts.aspect.unwrap_or((1, 1));
        let (colour, packing) =
            if space == Space::Grey { ("mono", Packing::Grey) } else { ("420jpeg", PLANAR) };
        writeln!(out, "YUV4MPEG2 W{width} H{height} F{n}:{d} Ip A{x}:{y} C{colour} XCOLORRANGE=LIMITED")?;
        Ok(Self { out, packer: Packer::new(packing, (width, height), width, space, matrix, FRAME) })
    }

    /// Width and height of all frames.
    pub fn size(&self) -> (usize, usize) {
        self.packer.size()
    }

    /// Whether frames of this kind can follow.
    pub fn takes(&self, size: (usize, usize), space: Space) -> bool {
        self.packer.size() == size && self.packer.space() == space
    }

    /// The next row of a frame; the last one writes it out.
    ///
    /// # Errors
    /// What the system says.
    ///
    /// # Panics
    /// If the row has another length than the header promises.
    pub fn row(&mut self, row: &[u8]) -> io::Result<()> {
        if let Some(frame) = self.packer.row(row) {
            self.out.write_all(frame)?;
            self.out.flush()?;
        }
        Ok(())
    }

    /// What was written to.
    pub fn into_inner(self) -> W {
        self.out
    }
}
