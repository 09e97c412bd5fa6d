//! The surface that cards are drawn on: 16 samples a pixel, averaged at the end.

use super::SIDE;
use mcir_runtime::image::Image;

/// Samples along one side of a pixel.
const OVERSAMPLING: usize = 4;
const SAMPLES: usize = SIDE * OVERSAMPLING;

/// Red, green and blue in 0..=1, in the encoded (not linear) domain.
pub type Colour = [f32; 3];
/// Position in pixels from the upper left corner.
pub type Point = [f64; 2];

/// Between `a` and `b`: `a` at 0, `b` at 1.
pub fn mix(a: Colour, b: Colour, t: f64) -> Colour {
    let t = t.clamp(0.0, 1.0) as f32;
    [0, 1, 2].map(|c| a[c] + (b[c] - a[c]) * t)
}

/// The colour with its brightness multiplied.
pub fn shade(colour: Colour, factor: f64) -> Colour {
    colour.map(|v| v * factor as f32)
}

pub struct Canvas {
    samples: Vec<Colour>,
}

impl Canvas {
    /// A canvas with the colour that `paint` has at each sample.
    pub fn painted(paint: impl Fn(Point) -> Colour) -> Self {
        let positions = (0..SAMPLES * SAMPLES).map(|i| position(i % SAMPLES, i / SAMPLES));
        Self { samples: positions.map(paint).collect() }
    }

    /// Paints the samples of the square around `centre` where `paint` has a colour.
    pub fn paint_around(&mut self, centre: Point, reach: f64, paint: impl Fn(Point) -> Option<Colour>) {
        let range = |at: f64| {
            let first = (at - reach) * OVERSAMPLING as f64;
            let last = (at + reach) * OVERSAMPLING as f64;
            // Casts saturate, so what lies outside the canvas becomes an empty range.
            (first.max(0.0) as usize)..(libm::ceil(last).max(0.0) as usize).min(SAMPLES)
        };
        for y in range(centre[1]) {
            for x in range(centre[0]) {
                if let Some(colour) = paint(position(x, y)) {
                    self.samples[y * SAMPLES + x] = colour;
                }
            }
        }
    }

    /// A line with round ends.
    pub fn stroke(&mut self, from: Point, to: Point, width: f64, colour: Colour) {
        let (dx, dy) = (to[0] - from[0], to[1] - from[1]);
        let length = libm::sqrt(dx * dx + dy * dy);
        let centre = [(from[0] + to[0]) / 2.0, (from[1] + to[1]) / 2.0];
        self.paint_around(centre, (length + width) / 2.0 + 1.0, |[x, y]| {
            let (px, py) = (x - from[0], y - from[1]);
            let along = ((px * dx + py * dy) / (length * length).max(1e-9)).clamp(0.0, 1.0);
            let (ox, oy) = (px - along * dx, py - along * dy);
            (ox * ox + oy * oy <= width * width / 4.0).then_some(colour)
        });
    }

    /// The picture: samples averaged over each pixel.
    pub fn develop(self) -> Image {
        let mut data = Vec::with_capacity(SIDE * SIDE * 3);
        for y in 0..SIDE {
            for x in 0..SIDE {
                let mut sum = [0.0f64; 3];
                for row in y * OVERSAMPLING..(y + 1) * OVERSAMPLING {
                    let start = row * SAMPLES + x * OVERSAMPLING;
                    for sample in &self.samples[start..start + OVERSAMPLING] {
                        sum.iter_mut().zip(sample).for_each(|(s, &v)| *s += f64::from(v));
                    }
                }
                let scale = 255.0 / (OVERSAMPLING * OVERSAMPLING) as f64;
                data.extend(sum.map(|s| libm::round((s * scale).clamp(0.0, 255.0)) as u8));
            }
        }
        Image::new(SIDE, SIDE, 3, data).expect("a card has SIDE x SIDE RGB pixels")
    }
}

/// Centre of a sample in pixels.
fn position(x: usize, y: usize) -> Point {
    [x, y].map(|v| (v as f64 + 0.5) / OVERSAMPLING as f64)
}
