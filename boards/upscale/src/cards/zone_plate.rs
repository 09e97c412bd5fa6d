//! Rings whose frequency grows with the distance from the centre, up to beyond what the small image can hold.

use super::SIDE;
use super::canvas::{Canvas, Colour, mix};
use core::f64::consts::PI;
use mcir_runtime::image::Image;

const DARK: Colour = [0.06, 0.09, 0.20];
const LIGHT: Colour = [0.98, 0.95, 0.86];
const WARM: Colour = [0.93, 0.55, 0.33];
/// Cycles a pixel in the corners. A x4 image can hold 0.125, a x2 image 0.25.
const CORNER_FREQUENCY: f64 = 0.30;

pub fn draw() -> Image {
    let centre = SIDE as f64 / 2.0;
    let corner = centre * core::f64::consts::SQRT_2;
    Canvas::painted(|[x, y]| {
        let (dx, dy) = (x - centre, y - centre);
        let r2 = dx * dx + dy * dy;
        // The phase is the integral of the frequency, which is proportional to the radius.
        let wave = 0.5 + 0.5 * libm::cos(PI * CORNER_FREQUENCY * r2 / corner);
        // Two opposite quarters are orange, so that colour errors show beside errors in brightness.
        let light = if (dx > 0.0) == (dy > 0.0) { LIGHT } else { WARM };
        mix(DARK, light, wave)
    })
    .develop()
}
