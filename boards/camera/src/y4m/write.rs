//! Writing: 4:2:0 with the colour samples in the middle of their pixels, in video range.

use super::super::raw::{Matrix, Space, Studio};
use std::io::{self, Write};

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
    frame: Vec<u8>,
    width: usize,
    height: usize,
    space: Space,
    studio: Studio,
    luma: Vec<u8>,
    /// Cb, then Cr.
    chroma: [Vec<u8>; 2],
    /// Sums of Cb and Cr over two rows and two columns, and the pixels in them.
    sums: Vec<[u32; 3]>,
    row: usize,
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
        let colour = if space == Space::Grey { "mono" } else { "420jpeg" };
        writeln!(out, "YUV4MPEG2 W{width} H{height} F{n}:{d} Ip A{x}:{y} C{colour} XCOLORRANGE=LIMITED")?;
        let columns = if space == Space::Grey { 0 } else { width.div_ceil(2) };
        Ok(Self {
            out,
            frame: Vec::new(),
            width,
            height,
            space,
            studio: Studio::new(matrix),
            luma: Vec::with_capacity(width * height),
            chroma: [Vec::new(), Vec::new()],
            sums: vec![[0; 3]; columns],
            row: 0,
        })
    }

    /// Width and height of all frames.
    pub fn size(&self) -> (usize, usize) {
        (self.width, self.height)
    }

    /// Whether frames of this kind can follow.
    pub fn takes(&self, size: (usize, usize), space: Space) -> bool {
        (self.width, self.height) == size && self.space == space
    }

    /// The next row of a frame; the last one writes it out.
    ///
    /// # Errors
    /// What the system says.
    ///
    /// # Panics
    /// If the row has another length than the header promises.
    pub fn row(&mut self, row: &[u8]) -> io::Result<()> {
        assert_eq!(row.len(), self.width * self.space.channels(), "a row has the stream's width");
        if self.space == Space::Grey {
            self.luma.extend(row.iter().map(|&v| Studio::of_grey(v)));
        } else {
            for (pixels, sums) in row.chunks(6).zip(&mut self.sums) {
                for pixel in pixels.chunks_exact(3) {
                    let pixel = [pixel[0], pixel[1], pixel[2]];
                    let [y, cb, cr] = match self.space {
                        Space::YCbCr => self.studio.of_full(pixel),
                        _ => self.studio.of_rgb(pixel),
                    };
                    self.luma.push(y);
                    *sums = [sums[0] + u32::from(cb), sums[1] + u32::from(cr), sums[2] + 1];
                }
            }
        }
        self.row += 1;
        let last = self.row == self.height;
        if last || self.row.is_multiple_of(2) {
            for sums in &mut self.sums {
                let [cb, cr, n] = std::mem::take(sums);
                self.chroma[0].push(((cb + n / 2) / n) as u8);
                self.chroma[1].push(((cr + n / 2) / n) as u8);
            }
        }
        if last {
            self.frame.clear();
            self.frame.extend(b"FRAME\n");
            for plane in std::iter::once(&mut self.luma).chain(&mut self.chroma) {
                self.frame.append(plane);
            }
            self.row = 0;
            self.out.write_all(&self.frame)?;
            self.out.flush()?;
        }
        Ok(())
    }

    /// What was written to.
    pub fn into_inner(self) -> W {
        self.out
    }
}
