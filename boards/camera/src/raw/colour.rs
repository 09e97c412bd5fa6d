//! Between RGB and Y, Cb, Cr as video has them: of either matrix, in full or studio range.

use mcir_upscale::colour::{BITS, from_rgb, to_u8, ycbcr_to_rgb};

/// Which colours Cb and Cr stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Matrix {
    /// ITU-R BT.601: standard definition, JPEG, most USB cameras.
    #[default]
    #[value(name = "601")]
    Bt601,
    /// ITU-R BT.709: high definition.
    #[value(name = "709")]
    Bt709,
}

impl Matrix {
    /// Shares of red and blue in luma.
    const fn shares(self) -> (f64, f64) {
        match self {
            Self::Bt601 => (0.299, 0.114),
            Self::Bt709 => (0.2126, 0.0722),
        }
    }
}

/// What every sample value adds to red, green and blue.
pub(super) struct Tables {
    luma: [i32; 256],
    cr_red: [i32; 256],
    cb_green: [i32; 256],
    cr_green: [i32; 256],
    cb_blue: [i32; 256],
    matrix: Matrix,
    /// Range of Cb and Cr, as a factor to full range.
    chroma: [u8; 256],
}

impl Tables {
    pub fn new(matrix: Matrix, full_range: bool) -> Self {
        let (red, blue) = matrix.shares();
        let green = 1.0 - red - blue;
        let (black, luma_range, chroma_range) =
            if full_range { (0.0, 255.0, 255.0) } else { (16.0, 219.0, 224.0) };
        let table = |f: &dyn Fn(f64) -> f64| {
            std::array::from_fn(|v| (f(v as f64) * f64::from(1 << BITS)).round() as i32)
        };
        let unit = |v: f64| (v - 128.0) / chroma_range * 255.0;
        Self {
            luma: table(&|v| (v - black) / luma_range * 255.0),
            cr_red: table(&|v| unit(v) * 2.0 * (1.0 - red)),
            cb_green: table(&|v| -unit(v) * 2.0 * blue * (1.0 - blue) / green),
            cr_green: table(&|v| -unit(v) * 2.0 * red * (1.0 - red) / green),
            cb_blue: table(&|v| unit(v) * 2.0 * (1.0 - blue)),
            matrix,
            chroma: std::array::from_fn(|v| (unit(v as f64) + 128.0).round().clamp(0.0, 255.0) as u8),
        }
    }

    pub fn rgb(&self, y: u8, cb: u8, cr: u8) -> [u8; 3] {
        let (cb, cr) = (usize::from(cb), usize::from(cr));
        let y = self.luma[usize::from(y)];
        [
            to_u8(y + self.cr_red[cr]),
            to_u8(y + self.cb_green[cb] + self.cr_green[cr]),
            to_u8(y + self.cb_blue[cb]),
        ]
    }

    pub fn full_luma(&self, y: u8) -> u8 {
        to_u8(self.luma[usize::from(y)])
    }

    /// BT.601 in full range.
    pub fn full(&self, y: u8, cb: u8, cr: u8) -> [u8; 3] {
        match self.matrix {
            Matrix::Bt601 => [self.full_luma(y), self.chroma[usize::from(cb)], self.chroma[usize::from(cr)]],
            Matrix::Bt709 => from_rgb(self.rgb(y, cb, cr)),
        }
    }
}

/// Turns pixels into Y, Cb, Cr of a matrix in 16..=235, as video has them.
pub struct Studio {
    weights: [[i32; 3]; 3],
    matrix: Matrix,
}

impl Studio {
    /// For this matrix.
    pub fn new(matrix: Matrix) -> Self {
        let (red, blue) = matrix.shares();
        let green = 1.0 - red - blue;
        let fixed = |scale: f64| move |v: f64| (v * scale * f64::from(1 << BITS) / 255.0).round() as i32;
        Self {
            weights: [
                [red, green, blue].map(fixed(219.0)),
                [-red, -green, red + green].map(|v| v / (2.0 * (1.0 - blue))).map(fixed(224.0)),
                [green + blue, -green, -blue].map(|v| v / (2.0 * (1.0 - red))).map(fixed(224.0)),
            ],
            matrix,
        }
    }

    /// A pixel of RGB.
    pub fn of_rgb(&self, rgb: [u8; 3]) -> [u8; 3] {
        let dot = |w: [i32; 3], offset: i32| {
            let sum: i32 = w.iter().zip(rgb).map(|(w, v)| w * i32::from(v)).sum();
            to_u8(sum + (offset << BITS))
        };
        [dot(self.weights[0], 16), dot(self.weights[1], 128), dot(self.weights[2], 128)]
    }

    /// A pixel of Y, Cb, Cr of BT.601 in full range.
    pub fn of_full(&self, [y, cb, cr]: [u8; 3]) -> [u8; 3] {
        // Positive before the division, so that it rounds to the nearest everywhere.
        let narrow = |v: u8| (((i32::from(v) - 128) * 224 + 128 * 255 + 127) / 255) as u8;
        match self.matrix {
            Matrix::Bt601 => [Self::of_grey(y), narrow(cb), narrow(cr)],
            Matrix::Bt709 => self.of_rgb(ycbcr_to_rgb([y, cb, cr])),
        }
    }

    /// A grey value.
    pub fn of_grey(grey: u8) -> u8 {
        ((u32::from(grey) * 219 + 127) / 255 + 16) as u8
    }
}
