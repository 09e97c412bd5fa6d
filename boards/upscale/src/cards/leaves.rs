//! Dead leaves: textured discs of all sizes that cover one another.
//!
//! With radii that follow a power law such a picture has the edges, occlusions and spectrum of natural images.
//!
//! # Source
//! Lee, Mumford, Huang, "Occlusion models for natural images", 2001.

use super::SIDE;
use super::canvas::{Canvas, Colour, Point, mix, shade};
use super::noise::{Sequence, fractal};
use mcir_runtime::image::Image;

const LEAVES: u32 = 5200;
const RADIUS: (f64, f64) = (2.5, 72.0);
const PALETTE: [Colour; 8] = [
    [0.24, 0.36, 0.17],
    [0.42, 0.52, 0.22],
    [0.66, 0.63, 0.30],
    [0.80, 0.52, 0.22],
    [0.55, 0.24, 0.15],
    [0.30, 0.24, 0.20],
    [0.72, 0.74, 0.70],
    [0.28, 0.40, 0.52],
];

pub fn draw() -> Image {
    let mut canvas = Canvas::painted(|_| PALETTE[0]);
    let mut random = Sequence::new(2024);
    for seed in 0..LEAVES {
        let leaf = Leaf::new(seed, &mut random);
        canvas.paint_around(leaf.centre, leaf.reach(), |p| leaf.colour(p));
    }
    canvas.develop()
}

struct Leaf {
    seed: u32,
    centre: Point,
    radius: f64,
    /// Cosine and sine of the direction of the long axis.
    axis: [f64; 2],
    /// Long axis divided by short axis.
    slenderness: f64,
    colour: Colour,
    /// Stripes a pixel across the leaf; 0 for mottled leaves.
    stripes: f64,
    grain: f64,
}

impl Leaf {
    fn new(seed: u32, random: &mut Sequence) -> Self {
        let side = SIDE as f64;
        // Inverse of the distribution function of a density that falls with the third power of the radius.
        let (low, high) = (1.0 / (RADIUS.0 * RADIUS.0), 1.0 / (RADIUS.1 * RADIUS.1));
        let radius = 1.0 / libm::sqrt(random.between(high, low));
        let angle = random.between(0.0, core::f64::consts::PI);
        let colours = [random.unit(), random.unit()].map(|v| PALETTE[(v * 8.0) as usize]);
        Self {
            seed,
            centre: [random.between(-20.0, side + 20.0), random.between(-20.0, side + 20.0)],
            radius,
            axis: [libm::cos(angle), libm::sin(angle)],
            slenderness: random.between(1.0, 2.6),
            colour: shade(mix(colours[0], colours[1], 0.35), random.between(0.7, 1.25)),
            stripes: if random.unit() < 0.4 { random.between(0.06, 0.24) } else { 0.0 },
            grain: random.between(0.15, 0.7),
        }
    }

    fn reach(&self) -> f64 {
        self.radius * libm::sqrt(self.slenderness)
    }

    fn colour(&self, [x, y]: Point) -> Option<Colour> {
        let (dx, dy) = (x - self.centre[0], y - self.centre[1]);
        let (u, v) = (dx * self.axis[0] + dy * self.axis[1], dy * self.axis[0] - dx * self.axis[1]);
        let stretch = libm::sqrt(self.slenderness);
        let r2 = (u * u / self.slenderness + v * v * self.slenderness) / (self.radius * self.radius);
        if r2 > 1.0 {
            return None;
        }
        let texture = if self.stripes > 0.0 {
            // Veins that bend with the outline.
            0.5 + 0.5 * libm::sin(core::f64::consts::TAU * self.stripes * (u - libm::fabs(v) * stretch * 0.5))
        } else {
            fractal(self.seed, x * self.grain, y * self.grain, 3)
        };
        // Darker towards the rim, so that leaves look curved.
        Some(shade(self.colour, (0.72 + 0.5 * texture) * (1.08 - 0.38 * r2)))
    }
}
