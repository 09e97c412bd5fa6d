//! Rows of the formats that are taken, as the engine has them: three bytes of RGB or one of grey.

use gst_video::{VideoFormat, VideoFormatInfo};
use mcir_upscale::colour::Space;

/// All formats that are taken. Those with opacity are not: it would be lost.
pub const FORMATS: [VideoFormat; 7] = [
    VideoFormat::Rgb,
    VideoFormat::Bgr,
    VideoFormat::Rgbx,
    VideoFormat::Bgrx,
    VideoFormat::Xrgb,
    VideoFormat::Xbgr,
    VideoFormat::Gray8,
];

/// Where the samples of a pixel are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pixels {
    /// Bytes of a pixel.
    bytes: usize,
    /// Of red, green and blue; of grey, three times the same.
    at: [usize; 3],
    /// What the engine takes.
    pub space: Space,
}

impl Pixels {
    /// Of a format; none where it is not among [`FORMATS`].
    pub fn of(format: VideoFormat) -> Option<Self> {
        if !FORMATS.contains(&format) {
            return None;
        }
        let info = VideoFormatInfo::from_format(format);
        let bytes = usize::try_from(info.pixel_stride()[0]).ok()?;
        if info.is_gray() {
            return Some(Self { bytes, at: [0; 3], space: Space::Grey });
        }
        let at = |component: usize| info.poffset()[component] as usize;
        Some(Self { bytes, at: [at(0), at(1), at(2)], space: Space::Rgb })
    }

    /// Appends a row of so many pixels to one of RGB or grey.
    ///
    /// # Panics
    /// If the row is shorter.
    pub fn read(&self, row: &[u8], width: usize, out: &mut Vec<u8>) {
        let row = &row[..width * self.bytes];
        match (self.space, self.bytes, self.at) {
            (Space::Grey, ..) | (_, 3, [0, 1, 2]) => out.extend_from_slice(row),
            _ => out.extend(row.chunks_exact(self.bytes).flat_map(|p| self.at.map(|at| p[at]))),
        }
    }

    /// Writes a row of RGB or grey; what a format has besides is 255.
    ///
    /// # Panics
    /// If there is no room for it.
    pub fn write(&self, row: &[u8], out: &mut [u8]) {
        let pixels = row.len() / self.space.channels();
        let out = &mut out[..pixels * self.bytes];
        match (self.space, self.bytes, self.at) {
            (Space::Grey, ..) | (_, 3, [0, 1, 2]) => out.copy_from_slice(row),
            _ => {
                for (out, pixel) in out.chunks_exact_mut(self.bytes).zip(row.chunks_exact(3)) {
                    out.fill(255);
                    for (at, sample) in self.at.iter().zip(pixel) {
                        out[*at] = *sample;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_where_the_formats_have_them() {
        gst::init().unwrap();
        for (format, red) in [
            (VideoFormat::Rgb, [1, 0, 0, 1, 0, 0].as_slice()),
            (VideoFormat::Bgr, &[0, 0, 1, 0, 0, 1]),
            (VideoFormat::Rgbx, &[1, 0, 0, 255, 1, 0, 0, 255]),
            (VideoFormat::Bgrx, &[0, 0, 1, 255, 0, 0, 1, 255]),
            (VideoFormat::Xrgb, &[255, 1, 0, 0, 255, 1, 0, 0]),
            (VideoFormat::Xbgr, &[255, 0, 0, 1, 255, 0, 0, 1]),
        ] {
            let pixels = Pixels::of(format).unwrap();
            let mut rgb = Vec::new();
            // Rows may be longer than they need to be.
            pixels.read(&[red, &[7; 5]].concat(), 2, &mut rgb);
            assert_eq!(rgb, [1, 0, 0, 1, 0, 0], "{format}");
            let mut row = vec![9; red.len() + 3];
            pixels.write(&rgb, &mut row);
            assert_eq!(row, [red, &[9; 3]].concat(), "{format}");
        }
        let grey = Pixels::of(VideoFormat::Gray8).unwrap();
        let (mut read, mut written) = (Vec::new(), [0; 4]);
        grey.read(&[1, 2, 3, 4], 3, &mut read);
        grey.write(&read, &mut written);
        assert_eq!((grey.space, written), (Space::Grey, [1, 2, 3, 0]));
        for format in [VideoFormat::Rgba, VideoFormat::I420, VideoFormat::Rgb16, VideoFormat::Gray16Le] {
            assert_eq!(Pixels::of(format), None);
        }
    }
}
