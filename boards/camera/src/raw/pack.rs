//! Frames as video files and devices take them: row by row, in video range.

use super::colour::{Matrix, Studio};
use super::{Packing, Space, Subsampling};

/// Puts rows of pixels together to frames of Y, Cb and Cr. Colour that several pixels share is their mean, so that its samples lie
/// in the middle of them.
pub struct Packer {
    packing: Packing,
    width: usize,
    height: usize,
    stride: usize,
    space: Space,
    studio: Studio,
    /// What stands before every frame, and the frame.
    bytes: Vec<u8>,
    head: usize,
    /// Sums of Cb and Cr over the pixels that share them, and their number.
    sums: Vec<[u32; 3]>,
    row: usize,
}

impl Packer {
    /// Whether frames can be written like this: 4:2:0 in planes or two planes, 4:2:2 packed, and grey.
    pub const fn writes(packing: Packing) -> bool {
        matches!(
            packing,
            Packing::Planar { subsampling: Subsampling::Quarter, .. }
                | Packing::SemiPlanar { .. }
                | Packing::Packed422 { .. }
                | Packing::Grey
        )
    }

    /// For rows of `space`, in frames with `head` before each of them. `stride` are the bytes from one row of the first plane to the
    /// next; the planes of 4:2:0 have half of it.
    ///
    /// # Panics
    /// If frames [cannot](Self::writes) be written like this, a side is 0, or the stride is too short.
    pub fn new(
        packing: Packing,
        (width, height): (usize, usize),
        stride: usize,
        space: Space,
        matrix: Matrix,
        head: &[u8],
    ) -> Self {
        assert!(Self::writes(packing), "{packing:?} is not written");
        assert!(width > 0 && height > 0 && stride >= packing.min_stride(width), "rows have room");
        let frame = Self::bytes(packing, (width, height), stride);
        let mut bytes = Vec::with_capacity(head.len() + frame);
        bytes.extend(head);
        // Grey is no colour; what lies between rows is never seen.
        bytes.resize(head.len() + frame, 128);
        let columns = if packing == Packing::Grey { 0 } else { width.div_ceil(2) };
        let (studio, head, sums) = (Studio::new(matrix), head.len(), vec![[0; 3]; columns]);
        Self { packing, width, height, stride, space, studio, bytes, head, sums, row: 0 }
    }

    /// Bytes of a frame.
    pub fn bytes(packing: Packing, (width, height): (usize, usize), stride: usize) -> usize {
        let rows = height.div_ceil(2);
        match packing {
            Packing::Planar { .. } => stride * height + 2 * stride.div_ceil(2) * rows,
            Packing::SemiPlanar { .. } => stride * height + stride.next_multiple_of(2) * rows,
            _ => stride.max(width) * height,
        }
    }

    /// Width and height of all frames.
    pub fn size(&self) -> (usize, usize) {
        (self.width, self.height)
    }

    /// What rows are.
    pub fn space(&self) -> Space {
        self.space
    }

    /// The next row of a frame; with the last one comes the frame, behind its head.
    ///
    /// # Panics
    /// If the row has another length than the width says.
    pub fn row(&mut self, row: &[u8]) -> Option<&[u8]> {
        assert_eq!(row.len(), self.width * self.space.channels(), "a row has the frame's width");
        let start = self.head + self.row * self.stride;
        let line = &mut self.bytes[start..];
        let luma = |x: usize| match self.packing {
            Packing::Packed422 { luma_first } => 2 * x + usize::from(!luma_first),
            _ => x,
        };
        if self.space == Space::Grey {
            for (x, &v) in row.iter().enumerate() {
                line[luma(x)] = Studio::of_grey(v);
            }
        } else {
            for (x, pixel) in row.chunks_exact(3).enumerate() {
                let pixel = [pixel[0], pixel[1], pixel[2]];
                let [y, cb, cr] = match self.space {
                    Space::YCbCr => self.studio.of_full(pixel),
                    _ => self.studio.of_rgb(pixel),
                };
                line[luma(x)] = y;
                if let Some(sums) = self.sums.get_mut(x / 2) {
                    *sums = [sums[0] + u32::from(cb), sums[1] + u32::from(cr), sums[2] + 1];
                }
            }
            self.chroma();
        }
        self.row += 1;
        if self.row < self.height {
            return None;
        }
        self.row = 0;
        Some(&self.bytes)
    }

    /// Writes the colour of the rows that share it, with the last of them.
    fn chroma(&mut self) {
        let (shared, line) = match self.packing {
            Packing::Packed422 { .. } => (true, self.row),
            _ => (self.row % 2 == 1 || self.row + 1 == self.height, self.row / 2),
        };
        if !shared {
            return;
        }
        let planes = self.head + self.stride * self.height;
        let (stride, rows) = (self.stride.div_ceil(2), self.height.div_ceil(2));
        for (k, sums) in self.sums.iter_mut().enumerate() {
            let [cb, cr, n] = std::mem::take(sums);
            let (first, second) = match self.packing {
                Packing::Planar { .. } => {
                    let first = planes + line * stride + k;
                    (first, first + rows * stride)
                }
                Packing::SemiPlanar { red_first } => {
                    let first = planes + line * self.stride.next_multiple_of(2) + 2 * k;
                    (first + usize::from(red_first), first + usize::from(!red_first))
                }
                Packing::Packed422 { luma_first } => {
                    let first = self.head + line * self.stride + 4 * k + usize::from(luma_first);
                    (first, first + 2)
                }
                Packing::Grey | Packing::Rgb { .. } => return,
            };
            self.bytes[first] = ((cb + n / 2) / n) as u8;
            self.bytes[second] = ((cr + n / 2) / n) as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Layout, Siting, to_image};
    use super::*;
    use mcir_runtime::image::Image;

    const PLANAR: Packing = Packing::Planar { subsampling: Subsampling::Quarter, siting: Siting::Centre };
    const ALL: [Packing; 6] = [
        PLANAR,
        Packing::SemiPlanar { red_first: false },
        Packing::SemiPlanar { red_first: true },
        Packing::Packed422 { luma_first: true },
        Packing::Packed422 { luma_first: false },
        Packing::Grey,
    ];

    fn packed(packing: Packing, image: &Image, stride: usize, space: Space, matrix: Matrix) -> Vec<u8> {
        let size = (image.width(), image.height());
        let mut packer = Packer::new(packing, size, stride, space, matrix, b"");
        let mut frame = None;
        for y in 0..size.1 {
            frame = packer.row(image.row(y)).map(<[u8]>::to_vec);
            assert_eq!(frame.is_some(), y + 1 == size.1);
        }
        frame.unwrap()
    }

    /// Colours that change slowly, so that what shares a sample is nearly the same.
    fn picture(width: usize, height: usize) -> Image {
        let data = (0..width * height).flat_map(|i| {
            let (x, y) = (i % width, i / width);
            [40 + 2 * x as u8, 200 - 2 * y as u8, 60 + (x + y) as u8]
        });
        Image::new(width, height, 3, data.collect()).unwrap()
    }

    #[test]
    fn what_is_written_is_read() {
        let image = picture(26, 18);
        for packing in ALL {
            for matrix in [Matrix::Bt601, Matrix::Bt709] {
                for more in [0, 6] {
                    let stride = packing.min_stride(26) + more;
                    let frame = packed(packing, &image, stride, Space::Rgb, matrix);
                    let mut layout = Layout::new(packing, 26, 18, false, matrix).unwrap();
                    layout.stride = stride;
                    assert_eq!(frame.len(), layout.bytes(), "{packing:?}");
                    let (read, _) = to_image(&layout, &frame, Space::Rgb).unwrap();
                    if packing == Packing::Grey {
                        continue;
                    }
                    // Inside, where nobody mirrors: the reader may take another place for the samples of colour, half a pixel away.
                    let inside = |image: &Image| image.crop(2, 2, 20, 14).unwrap();
                    let (read, wanted) = (inside(&read), inside(&image));
                    let worst = read.data().iter().zip(wanted.data()).map(|(a, b)| a.abs_diff(*b)).max();
                    assert!(worst <= Some(4), "{packing:?} {matrix:?}: {worst:?}");
                }
            }
        }
    }

    #[test]
    fn bytes_are_where_the_formats_have_them() {
        // White, black, and two of pure red (BT.601: 81, 90, 240).
        let data = [[255; 3], [0; 3], [255, 0, 0], [255, 0, 0]].concat();
        let image = Image::new(4, 1, 3, data).unwrap();
        let of = |packing, stride| packed(packing, &image, stride, Space::Rgb, Matrix::Bt601);
        assert_eq!(of(PLANAR, 4), [235, 16, 81, 81, 128, 90, 128, 240]);
        assert_eq!(of(Packing::SemiPlanar { red_first: false }, 4), [235, 16, 81, 81, 128, 128, 90, 240]);
        assert_eq!(of(Packing::SemiPlanar { red_first: true }, 4), [235, 16, 81, 81, 128, 128, 240, 90]);
        assert_eq!(of(Packing::Packed422 { luma_first: true }, 8), [235, 128, 16, 128, 81, 90, 81, 240]);
        assert_eq!(of(Packing::Packed422 { luma_first: false }, 8), [128, 235, 128, 16, 90, 81, 240, 81]);
        assert_eq!(of(Packing::Grey, 4), [235, 16, 81, 81]);
        // BT.709 has another weight for red.
        let hd = packed(PLANAR, &image, 4, Space::Rgb, Matrix::Bt709);
        assert_eq!(hd, [235, 16, 63, 63, 128, 102, 128, 240]);
    }

    #[test]
    fn grey_has_no_colour_and_odd_sides_share_with_fewer() {
        let grey = Image::new(3, 3, 1, vec![128; 9]).unwrap();
        let frame = packed(PLANAR, &grey, 3, Space::Grey, Matrix::Bt601);
        assert_eq!((&frame[..9], &frame[9..]), (&[126; 9][..], &[128; 8][..]));
        let red = Image::new(3, 3, 3, [255, 0, 0].repeat(9)).unwrap();
        let frame = packed(PLANAR, &red, 3, Space::Rgb, Matrix::Bt601);
        assert_eq!((&frame[9..13], &frame[13..]), (&[90; 4][..], &[240; 4][..]));
    }

    #[test]
    fn a_head_stands_before_every_frame() {
        let mut packer = Packer::new(Packing::Grey, (2, 1), 2, Space::Grey, Matrix::Bt601, b"FRAME\n");
        for value in [0, 255] {
            let expected = [b"FRAME\n".as_slice(), &[Studio::of_grey(value); 2]].concat();
            assert_eq!(packer.row(&[value; 2]), Some(&*expected));
        }
    }
}
