//! Straight edges at many angles, a fan of lines, a shaded ball, on a smooth gradient.

use super::SIDE;
use super::canvas::{Canvas, Colour, Point, mix, shade};
use core::f64::consts::{PI, TAU};
use mcir_runtime::image::Image;

const INK: Colour = [0.10, 0.11, 0.16];
const PAPER: Colour = [0.96, 0.96, 0.93];
const STAR: (Point, f64, f64) = ([104.0, 104.0], 84.0, 24.0);
const BALL: (Point, f64) = ([292.0, 296.0], 62.0);

pub fn draw() -> Image {
    let mut canvas = Canvas::painted(|p| {
        ball(p).or_else(|| star(p)).or_else(|| squares(p)).unwrap_or_else(|| background(p))
    });
    // Line widths from well below a low-resolution pixel to above it.
    for i in 0..14 {
        let angle = PI * 0.5 * (f64::from(i) + 0.35) / 14.0;
        let width = 0.8 + 0.28 * f64::from(i);
        let from = [14.0 + 40.0 * libm::cos(angle), 374.0 - 40.0 * libm::sin(angle)];
        let to = [14.0 + 164.0 * libm::cos(angle), 374.0 - 164.0 * libm::sin(angle)];
        canvas.stroke(from, to, width, if i % 3 == 2 { [0.72, 0.10, 0.18] } else { INK });
    }
    canvas.develop()
}

fn background([x, y]: Point) -> Colour {
    let (u, v) = (x / SIDE as f64, y / SIDE as f64);
    mix(mix([0.55, 0.74, 0.90], [0.95, 0.86, 0.62], u), [0.86, 0.62, 0.66], v * v)
}

/// A Siemens star: the closer to its centre, the finer.
fn star([x, y]: Point) -> Option<Colour> {
    let (centre, radius, spokes) = STAR;
    let (dx, dy) = (x - centre[0], y - centre[1]);
    let r = libm::sqrt(dx * dx + dy * dy);
    if r > radius {
        return None;
    }
    let dark = libm::sin(libm::atan2(dy, dx) * spokes) > 0.0;
    Some(if dark && r > 3.0 { INK } else { PAPER })
}

/// Nested squares, each turned a little further than the one around it.
fn squares([x, y]: Point) -> Option<Colour> {
    let (dx, dy) = (x - 286.0, y - 104.0);
    let mut colour = None;
    for i in 0..9 {
        let side = 76.0 - 8.5 * f64::from(i);
        let angle = TAU * (4.0 + 5.5 * f64::from(i)) / 360.0;
        let (sin, cos) = (libm::sin(angle), libm::cos(angle));
        let (u, v) = (dx * cos + dy * sin, dy * cos - dx * sin);
        if libm::fabs(u).max(libm::fabs(v)) > side {
            break;
        }
        colour = Some(match i % 3 {
            0 => INK,
            1 => PAPER,
            _ => [0.13, 0.45, 0.62],
        });
    }
    colour
}

/// A ball lit from the upper left, with a narrow highlight.
fn ball([x, y]: Point) -> Option<Colour> {
    let (centre, radius) = BALL;
    let (u, v) = ((x - centre[0]) / radius, (y - centre[1]) / radius);
    let r2 = u * u + v * v;
    if r2 > 1.0 {
        return None;
    }
    let w = libm::sqrt(1.0 - r2);
    let light = (-0.48 * u - 0.60 * v + 0.64 * w).max(0.0);
    let body = shade([0.82, 0.28, 0.20], 0.25 + 0.75 * light);
    Some(mix(body, [1.0, 1.0, 1.0], libm::pow(light, 40.0)))
}
