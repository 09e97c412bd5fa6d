//! Test cards that the project draws itself, so that models can be compared on a machine without any images.
//!
//! Each card strains one thing that super-resolution gets wrong: fine periodic detail (`zone-plate`), straight
//! and slanted edges next to smooth shading (`edges`), thin strokes (`text`), regular texture in perspective
//! (`facade`) and the mix of occlusions and textures of natural images (`leaves`). Everything is computed in
//! f64 with `libm`, so that a card has the same pixels on every platform; what is *not* claimed is that figures
//! on the cards compare with published ones on photographs.

mod canvas;
mod edges;
mod facade;
mod leaves;
mod noise;
#[cfg(test)]
mod tests;
mod text;
mod zone_plate;

use mcir_runtime::image::Image;

/// Width and height of a card in pixels; a multiple of 2, 3 and 4.
pub const SIDE: usize = 384;

/// A drawn test image.
#[derive(Debug, Clone)]
pub struct Card {
    /// Short name, for tables.
    pub name: &'static str,
    /// `[SIDE, SIDE, 3]`.
    pub image: Image,
}

/// Draws all cards, always the same.
pub fn draw() -> Vec<Card> {
    [
        ("zone-plate", zone_plate::draw as fn() -> Image),
        ("edges", edges::draw),
        ("text", text::draw),
        ("facade", facade::draw),
        ("leaves", leaves::draw),
    ]
    .map(|(name, draw)| Card { name, image: draw() })
    .into()
}
