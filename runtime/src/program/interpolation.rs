//! Interpolating filters: which pixels an output pixel is made of, and with which weights.

use crate::model::Filter;

/// Most taps a dimension.
pub const MAX_TAPS: usize = 4;
/// Largest factor.
pub const MAX_UPSCALE: usize = 8;

/// Taps of one phase: first tap relative to the low-resolution pixel, and the weights.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Phase {
    /// First tap.
    pub first: isize,
    /// Weights of the taps.
    pub weights: [f32; MAX_TAPS],
}

/// The phases of a filter, of which there are as many as the factor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Phases {
    /// The phases; those behind the factor are zero.
    pub all: [Phase; MAX_UPSCALE],
    /// What the weights of a phase sum up to.
    pub total: f32,
    /// Taps of a phase.
    pub taps: usize,
}

/// The phases of a filter for factor `r`. The weights of `Bilinear` are integers, so that sums of pixels are exact. Those of
/// `AlignedBilinear` depend on the size of the image: it has none, and no taps.
pub fn phases(filter: Filter, r: usize) -> Phases {
    let mut phases = [Phase::default(); MAX_UPSCALE];
    let (total, taps) = match filter {
        Filter::Nearest => (1.0, 1),
        Filter::Bilinear => ((2 * r) as f32, 2),
        Filter::Bicubic | Filter::SharpBicubic => (1.0, 4),
        Filter::AlignedBilinear => (1.0, 0),
    };
    for (j, phase) in phases.iter_mut().enumerate().take(r) {
        // The output pixel's centre lies `centre / 2r` pixels from the low-resolution pixel's.
        let centre = 2 * j as isize + 1 - r as isize;
        let before = centre < 0;
        match filter {
            Filter::Nearest => phase.weights[0] = 1.0,
            Filter::AlignedBilinear => {}
            Filter::Bilinear => {
                phase.first = if before { -1 } else { 0 };
                let right = centre.rem_euclid(2 * r as isize) as f32;
                phase.weights[..2].copy_from_slice(&[total - right, right]);
            }
            Filter::Bicubic | Filter::SharpBicubic => {
                let cubic = |x| cubic(x, if filter == Filter::Bicubic { -0.5 } else { -0.75 });
                phase.first = if before { -2 } else { -1 };
                let t = centre.rem_euclid(2 * r as isize) as f32 / (2 * r) as f32;
                phase.weights = [cubic(1.0 + t), cubic(t), cubic(1.0 - t), cubic(2.0 - t)];
            }
        }
    }
    Phases { all: phases, total, taps }
}

/// The taps of a reduction by `factor` relative to pixel `factor · x`, and how many there are.
pub fn reduction(filter: Filter, factor: u8) -> (Phase, usize) {
    let (first, taps) = filter.reduced(factor);
    let weights = match (filter, taps) {
        (_, 2) => [0.5, 0.5, 0.0, 0.0],
        (Filter::Bicubic, 4) => between(-0.5),
        (Filter::SharpBicubic, 4) => between(-0.75),
        _ => [1.0, 0.0, 0.0, 0.0],
    };
    (Phase { first: isize::from(first), weights }, usize::from(taps))
}

/// Weights half-way between the two pixels in the middle.
fn between(a: f32) -> [f32; MAX_TAPS] {
    [1.5, 0.5, 0.5, 1.5].map(|x| cubic(x, a))
}

/// Keys' kernel.
fn cubic(x: f32, a: f32) -> f32 {
    if x <= 1.0 {
        ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a
    } else {
        0.0
    }
}
