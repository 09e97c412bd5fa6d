//! A brick wall with windows, seen at an angle: regular texture whose frequency rises towards one side.

use super::SIDE;
use super::canvas::{Canvas, Colour, Point, mix, shade};
use super::noise::{fractal, hash};
use mcir_runtime::image::Image;

const MORTAR: Colour = [0.80, 0.77, 0.72];
const FRAME: Colour = [0.95, 0.95, 0.92];
/// Bricks and windows in wall units; about one pixel at the near side.
const BRICK: [f64; 2] = [26.0, 11.0];
const BAY: [f64; 2] = [104.0, 132.0];

pub fn draw() -> Image {
    Canvas::painted(|p| {
        let [u, v] = to_wall(p);
        let colour = window([u, v]).unwrap_or_else(|| brick([u, v]));
        // The far side is in haze.
        mix(colour, [0.72, 0.78, 0.86], 0.35 * p[0] / SIDE as f64)
    })
    .develop()
}

/// Picture to wall: the wall recedes to the right, about 2.7 times finer at the right border than at the left.
fn to_wall([x, y]: Point) -> Point {
    let depth = 1.0 / (1.0 - x / (SIDE as f64 * 1.6));
    let horizon = SIDE as f64 * 0.55;
    [x * depth, (y - horizon) * depth + 4000.0]
}

fn brick([u, v]: Point) -> Colour {
    let row = libm::floor(v / BRICK[1]);
    let shifted = u + BRICK[0] * 0.5 * (row - 2.0 * libm::floor(row / 2.0));
    let column = libm::floor(shifted / BRICK[0]);
    let (x, y) = (shifted - column * BRICK[0], v - row * BRICK[1]);
    let grain = fractal(11, u * 0.45, v * 0.45, 3);
    if x < 2.2 || y < 2.0 {
        return shade(MORTAR, 0.80 + 0.25 * grain);
    }
    let tone = hash(5, column as i64, row as i64);
    let base = mix([0.58, 0.26, 0.18], [0.76, 0.42, 0.28], tone);
    // Light from above catches the upper edge of each brick.
    let lit = if y < 3.4 { 1.12 } else { 1.0 };
    shade(base, lit * (0.78 + 0.40 * grain))
}

fn window([u, v]: Point) -> Option<Colour> {
    let (x, y) = (u - BAY[0] * libm::floor(u / BAY[0]), v - BAY[1] * libm::floor(v / BAY[1]));
    let (x, y) = (x - 30.0, y - 26.0);
    if !(0.0..46.0).contains(&x) || !(0.0..78.0).contains(&y) {
        return None;
    }
    // A sill below, a frame around, and bars between six panes.
    if y > 72.0 {
        return Some(shade(FRAME, 0.82));
    }
    let bar = |t: f64, pitch: f64| t - pitch * libm::floor(t / pitch) < 2.4;
    if bar(x, 21.8) || bar(y, 23.2) || x > 43.6 || y > 69.6 {
        return Some(FRAME);
    }
    // Panes mirror the sky; blinds in some of them.
    let (column, row) = (libm::floor(u / BAY[0]), libm::floor(v / BAY[1]));
    let sky = mix([0.16, 0.22, 0.32], [0.52, 0.66, 0.82], fractal(23, u * 0.03, v * 0.03, 2));
    let blinds = hash(7, column as i64, row as i64) < 0.5 && y < 46.0;
    let slat = y - 3.0 * libm::floor(y / 3.0) < 1.5;
    Some(if blinds && slat { mix(sky, [0.93, 0.90, 0.82], 0.8) } else { sky })
}
