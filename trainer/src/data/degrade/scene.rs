//! What lies between a scene and the lens: haze and rain. What is drawn is a handful of numbers; the picture that they make
//! follows from these alone.

use super::planes::Planes;
use super::unit;
use crate::seed::Stream;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Haze, by the model of atmospheric scattering: `I = J·t + A·(1 − t)` with the transmission `t = exp(−β·d)`.
///
/// # Source
/// Li et al., "Benchmarking Single-Image Dehazing and Beyond" (RESIDE), TIP 2019: the ranges of `β` and `A`. Their depths are
/// measured; for photographs without any they are made up here: a ground that rises to the horizon, with objects and hills
/// of plasma noise on it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Haze {
    /// Probability.
    pub prob: f64,
    /// Scattering coefficient for a depth of 1, the farthest.
    pub beta: [f64; 2],
    /// Light of the air, grey, in 0..1.
    pub light: [f64; 2],
    /// Depth of what is nearest, in 0..1.
    pub near: [f64; 2],
    /// Share of the noise in the depth, in 0..1; the rest is the ground.
    pub rough: [f64; 2],
}

impl Default for Haze {
    fn default() -> Self {
        Self { prob: 0.0, beta: [0.6, 1.8], light: [0.7, 1.0], near: [0.0, 0.5], rough: [0.2, 0.8] }
    }
}

/// Streaks of rain that are added to the image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rain {
    /// Probability.
    pub prob: f64,
    /// Streaks on a square of 100 pixels.
    pub density: [f64; 2],
    /// Their length in pixels of the low-resolution image.
    pub length: [f64; 2],
    /// Their lean in degrees from the vertical.
    pub lean: [f64; 2],
    /// How bright they are at most, in 0..1.
    pub brightness: [f64; 2],
}

impl Default for Rain {
    fn default() -> Self {
        Self {
            prob: 0.0,
            density: [20.0, 120.0],
            length: [6.0, 24.0],
            lean: [-25.0, 25.0],
            brightness: [0.2, 0.6],
        }
    }
}

/// Haze as drawn for an image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scattering {
    /// Scattering coefficient.
    pub beta: f64,
    /// Light of the air.
    pub light: f64,
    /// Depth of what is nearest.
    pub near: f64,
    /// Share of noise.
    pub rough: f64,
    /// Lean of the ground, as the rise of its horizon over the width.
    pub tilt: f64,
    /// Of the noise.
    pub noise: u64,
    /// The picture that the image is a part of.
    pub part: Part,
}

/// Which part of a picture an image is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Part {
    /// All of it.
    Whole,
    /// A patch of a square picture of this side in pixels, at a place in 0..1 of where it may lie.
    Of {
        /// Side of the picture.
        side: f64,
        /// Place along x and y.
        place: [f64; 2],
    },
}

/// Sides of the pictures that training patches are parts of.
const PICTURE: [f64; 2] = [256.0, 640.0];
/// Most lean of the ground.
const TILT: f64 = 0.25;
/// Cells of the coarsest noise along a picture, and layers of noise, each twice as fine.
const CELLS: f64 = 3.0;
const LAYERS: u32 = 5;

fn within(stream: &mut Stream, [low, high]: [f64; 2]) -> f64 {
    low + (high - low) * unit(stream)
}

impl Haze {
    /// Draws haze for a whole picture.
    pub(super) fn draw(&self, stream: &mut Stream) -> Scattering {
        Scattering {
            beta: within(stream, self.beta),
            light: within(stream, self.light),
            near: within(stream, self.near),
            rough: within(stream, self.rough),
            tilt: within(stream, [-TILT, TILT]),
            noise: stream.bits(),
            part: Part::Whole,
        }
    }
}

impl Scattering {
    /// The same haze on a patch, whose place in its picture is drawn.
    pub(super) fn on_a_part(self, stream: &mut Stream) -> Self {
        let side = within(stream, PICTURE);
        Self { part: Part::Of { side, place: [unit(stream), unit(stream)] }, ..self }
    }

    /// Depths of the pixels of an image of a width and height, in 0..1, row by row.
    pub fn depths(&self, width: usize, height: usize) -> Vec<f32> {
        let [w, h] = [width, height].map(|side| side as f64);
        let (picture, corner) = match self.part {
            Part::Whole => ([w, h], [0.0; 2]),
            Part::Of { side, place: [x, y] } => {
                let picture = [w.max(side), h.max(side)];
                (picture, [x * (picture[0] - w), y * (picture[1] - h)])
            }
        };
        let cell = picture[0].max(picture[1]) / CELLS;
        let mut depths = Vec::with_capacity(width * height);
        for y in 0..height {
            let y = corner[1] + y as f64 + 0.5;
            for x in 0..width {
                let x = corner[0] + x as f64 + 0.5;
                let ground = 1.0 - y / picture[1] + self.tilt * (x / picture[0] - 0.5);
                let noise = plasma(self.noise, x / cell, y / cell);
                let rise = ((1.0 - self.rough) * ground + self.rough * noise).clamp(0.0, 1.0);
                depths.push((self.near + (1.0 - self.near) * rise) as f32);
            }
        }
        depths
    }

    /// The image through the haze.
    pub fn apply(&self, image: &mut Planes) {
        let (beta, light) = (self.beta as f32, self.light as f32);
        let depths = self.depths(image.width, image.height);
        let through: Vec<f32> = depths.iter().map(|d| (-beta * d).exp()).collect();
        for plane in image.data.chunks_exact_mut(through.len()) {
            plane.iter_mut().zip(&through).for_each(|(v, t)| *v = *v * t + light * (1.0 - t));
        }
    }
}

/// Noise of several sizes in 0..1, with a mean of about a half.
fn plasma(seed: u64, x: f64, y: f64) -> f64 {
    let (mut sum, mut most, mut share) = (0.0, 0.0, 1.0);
    for layer in 0..LAYERS {
        let scale = f64::from(1_u32 << layer);
        sum += share * between(seed ^ u64::from(layer) << 60, x * scale, y * scale);
        most += share;
        share *= 0.5;
    }
    // Sums crowd around the middle.
    (0.5 + 1.6 * (sum / most - 0.5)).clamp(0.0, 1.0)
}

/// Between the values of the four corners of a cell, smoothly.
fn between(seed: u64, x: f64, y: f64) -> f64 {
    let (i, j) = (x.floor(), y.floor());
    let smooth = |t: f64| t * t * (3.0 - 2.0 * t);
    let (u, v) = (smooth(x - i), smooth(y - j));
    let at = |di: f64, dj: f64| {
        let place = ((i + di) as i64 as u64) << 32 ^ ((j + dj) as i64 as u64 & 0xffff_ffff);
        unit(&mut Stream::new(seed, crate::seed::Purpose::Degrade, place))
    };
    let row = |dj: f64| at(0.0, dj) + u * (at(1.0, dj) - at(0.0, dj));
    let (top, bottom) = (row(0.0), row(1.0));
    top + v * (bottom - top)
}

/// Rain as drawn for an image; lengths in pixels of the low-resolution image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Streaks {
    /// Streaks on a square of 100 pixels.
    pub density: f64,
    /// Length.
    pub length: f64,
    /// Lean in degrees.
    pub lean: f64,
    /// Brightness at most.
    pub brightness: f64,
}

impl Rain {
    pub(super) fn draw(&self, stream: &mut Stream) -> Streaks {
        Streaks {
            density: within(stream, self.density),
            length: within(stream, self.length),
            lean: within(stream, self.lean),
            brightness: within(stream, self.brightness),
        }
    }
}

impl Streaks {
    /// Adds the streaks, whose places are drawn here, to an image that is larger by a factor.
    pub fn apply(&self, image: &mut Planes, upscale: usize, stream: &mut Stream) {
        let scale = upscale as f64;
        let (w, h) = (image.width as f64, image.height as f64);
        let (length, (sin, cos)) = (self.length * scale, self.lean.to_radians().sin_cos());
        // As many begin outside as reach in from there.
        let (wide, high) = (w + 2.0 * length, h + 2.0 * length);
        let count = (self.density * wide * high / (100.0 * scale).powi(2)).round() as usize;
        let mut layer = vec![0.0_f32; image.width * image.height];
        for _ in 0..count {
            let (x, y) = (wide * unit(stream) - length, high * unit(stream) - length);
            let (bright, long) =
                (self.brightness * within(stream, [0.4, 1.0]), length * within(stream, [0.5, 1.0]));
            let steps = (2.0 * long).ceil().max(1.0) as usize;
            for step in 0..steps {
                let along = (step as f64 + 0.5) / steps as f64;
                // Ends fade out.
                let value = 0.5 * bright * (4.0 * along * (1.0 - along)).sqrt();
                splat(&mut layer, image.width, x + along * long * sin, y + along * long * cos, value);
            }
        }
        for plane in image.data.chunks_exact_mut(layer.len()) {
            plane.iter_mut().zip(&layer).for_each(|(v, s)| *v = (*v + s).min(1.0));
        }
    }
}

/// Divides a value among the four pixels around a point.
fn splat(layer: &mut [f32], width: usize, x: f64, y: f64, value: f64) {
    let (i, j) = ((x - 0.5).floor(), (y - 0.5).floor());
    let (u, v) = (x - 0.5 - i, y - 0.5 - j);
    let height = layer.len() / width;
    for (di, dj, share) in [
        (0.0, 0.0, (1.0 - u) * (1.0 - v)),
        (1.0, 0.0, u * (1.0 - v)),
        (0.0, 1.0, (1.0 - u) * v),
        (1.0, 1.0, u * v),
    ] {
        let (x, y) = (i + di, j + dj);
        if x >= 0.0 && y >= 0.0 && x < width as f64 && y < height as f64 {
            layer[y as usize * width + x as usize] += (share * value) as f32;
        }
    }
}

impl fmt::Display for Scattering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "haze {:.2} light {:.2} depth {:.2} to 1", self.beta, self.light, self.near)
    }
}

impl fmt::Display for Streaks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { density, length, lean, brightness } = self;
        write!(f, "rain {density:.0} x {length:.1} at {lean:.0} degrees up to {brightness:.2}")
    }
}

#[cfg(test)]
mod tests;
