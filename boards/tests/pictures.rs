//! The picture at the top of the README is what the shipped models make of drawn cards.
//!
//! `MCIR_WRITE=1 cargo test --release -p mcir-boards --test pictures` draws it anew.

use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ImageFormat, RgbImage};
use mcir_boards::cards;
use mcir_boards::models::NamedModel;
use mcir_boards::upscaler::Upscaler;
use mcir_runtime::image::{Image, resize_bicubic};
use mcir_runtime::plan::PlanOptions;
use std::path::Path;

const UPSCALE: usize = 4;
/// Place and size of what is shown of a card: left, top, width, height.
type Part = [usize; 4];
/// White between the parts, in pixels.
const GAP: u32 = 6;

/// The image after a JPEG file of low quality.
fn damaged(image: &Image, quality: u8) -> Image {
    let (width, height) = (image.width() as u32, image.height() as u32);
    let rgb = RgbImage::from_raw(width, height, image.data().to_vec()).unwrap();
    let mut file = Vec::new();
    rgb.write_with_encoder(JpegEncoder::new_with_quality(&mut file, quality)).unwrap();
    let back = image::load_from_memory_with_format(&file, ImageFormat::Jpeg).unwrap().to_rgb8();
    Image::new(image.width(), image.height(), 3, back.into_raw()).unwrap()
}

/// A card, reduced and perhaps damaged: interpolated, by a model, and the card.
fn row(card: &str, model: &str, quality: Option<u8>, [left, top, width, height]: Part) -> [Image; 3] {
    let card = cards::draw().into_iter().find(|c| c.name == card).unwrap().image;
    let side = cards::SIDE / UPSCALE;
    let mut small = resize_bicubic(&card, side, side).unwrap();
    if let Some(quality) = quality {
        small = damaged(&small, quality);
    }
    let model = NamedModel::open(model).unwrap();
    let ours = Upscaler::new(model, PlanOptions::default()).run(&small, &mut |_| {}).unwrap();
    let bicubic = resize_bicubic(&small, cards::SIDE, cards::SIDE).unwrap();
    [bicubic, ours, card].map(|image| image.crop(left, top, width, height).unwrap())
}

fn drawn() -> RgbImage {
    let size = [288, 190];
    let part = |x, y| [x, y, size[0], size[1]];
    let rows = [
        row("edges", "edsr-edge-m-x4", None, part(0, 10)),
        row("text", "edsr-edge-m-x4", None, part(0, 0)),
        row("edges", "edsr-edge-m-x4-camera", Some(50), part(96, 194)),
    ];
    let [width, height] = size.map(|side| side as u32 + GAP);
    let white = image::Rgb([255; 3]);
    let mut sheet = RgbImage::from_pixel(3 * width - GAP, rows.len() as u32 * height - GAP, white);
    for (y, row) in rows.into_iter().enumerate() {
        for (x, part) in row.into_iter().enumerate() {
            let part = RgbImage::from_raw(size[0] as u32, size[1] as u32, part.into_data()).unwrap();
            let (x, y) = (x as u32 * width, y as u32 * height);
            image::imageops::replace(&mut sheet, &part, x.into(), y.into());
        }
    }
    sheet
}

#[test]
fn the_picture_of_the_readme_is_what_the_models_make() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/cards.png");
    let drawn = drawn();
    if std::env::var_os("MCIR_WRITE").is_some() {
        let file = std::fs::File::create(&path).unwrap();
        let small = PngEncoder::new_with_quality(file, CompressionType::Best, FilterType::Adaptive);
        drawn.write_with_encoder(small).unwrap();
    }
    let shown = image::open(&path).unwrap().to_rgb8();
    assert!(shown == drawn, "draw it anew: MCIR_WRITE=1 cargo test --release -p mcir-boards --test pictures");
}
