//! What the samples of pictures are, and the way between RGB and Y, Cb, Cr of BT.601 in full range, as in JPEG files (JFIF).

/// What the samples of a picture are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Space {
    /// Red, green, blue.
    Rgb,
    /// Y, Cb, Cr of BT.601 in full range, as in JPEG files.
    YCbCr,
    /// One channel, full range.
    Grey,
}

impl Space {
    /// Samples a pixel.
    pub const fn channels(self) -> usize {
        match self {
            Self::Rgb | Self::YCbCr => 3,
            Self::Grey => 1,
        }
    }
}

/// Fraction bits of [`to_u8`].
pub const BITS: u32 = 16;

/// The nearest sample to a number with [`BITS`] bits of fraction.
pub const fn to_u8(fixed: i32) -> u8 {
    let rounded = (fixed + (1 << (BITS - 1))) >> BITS;
    if rounded < 0 {
        0
    } else if rounded > 255 {
        255
    } else {
        rounded as u8
    }
}

/// RGB as Y, Cb, Cr.
#[inline]
pub fn from_rgb([r, g, b]: [u8; 3]) -> [u8; 3] {
    let [r, g, b] = [r, g, b].map(i32::from);
    [
        to_u8(19595 * r + 38470 * g + 7471 * b),
        to_u8(-11059 * r - 21709 * g + 32768 * b + (128 << BITS)),
        to_u8(32768 * r - 27439 * g - 5329 * b + (128 << BITS)),
    ]
}

/// Y, Cb, Cr as RGB.
pub fn ycbcr_to_rgb([y, cb, cr]: [u8; 3]) -> [u8; 3] {
    let (y, cb, cr) = (i32::from(y) << BITS, i32::from(cb) - 128, i32::from(cr) - 128);
    [to_u8(y + 91881 * cr), to_u8(y - 22554 * cb - 46802 * cr), to_u8(y + 116_130 * cb)]
}

/// The luma of an RGB pixel.
pub fn grey(pixel: &[u8]) -> u8 {
    let [r, g, b] = [pixel[0], pixel[1], pixel[2]].map(u32::from);
    ((299 * r + 587 * g + 114 * b + 500) / 1000) as u8
}
