//! PSNR and SSIM of a network on pairs of images.

use crate::data::pairs::Pair;
use crate::net::Net;
use burn::tensor::{Tensor, TensorData};
use image::RgbImage;

/// Quality of one image.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct ImageScore {
    /// Name of the image.
    pub name: String,
    /// PSNR on Y in dB, border of `upscale` pixels cropped.
    pub psnr_y_db: f64,
    /// SSIM on Y, same border.
    pub ssim_y: f64,
}

/// Quality on a set of images: means, and each of them.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Scores {
    /// Mean of the images' PSNR.
    pub psnr_y_db: f64,
    /// Mean of the images' SSIM.
    pub ssim_y: f64,
    /// Every image.
    pub images: Vec<ImageScore>,
}

/// Upscales each pair's low-resolution image and compares it with the original.
///
/// # Panics
/// If there is no pair, or the network has another upscaling factor than the pairs.
pub fn evaluate(net: &Net, pairs: &[Pair]) -> Scores {
    assert!(!pairs.is_empty(), "an evaluation needs images");
    let images: Vec<_> = pairs.iter().map(|pair| score(pair, &upscale(net, &pair.lr))).collect();
    let mean = |f: fn(&ImageScore) -> f64| images.iter().map(f).sum::<f64>() / images.len() as f64;
    Scores { psnr_y_db: mean(|i| i.psnr_y_db), ssim_y: mean(|i| i.ssim_y), images }
}

/// The network's output for an image, rounded to 8 bits.
pub fn upscale(net: &Net, lr: &RgbImage) -> RgbImage {
    let device = net.device();
    let (w, h) = (lr.width() as usize, lr.height() as usize);
    let raw = lr.as_raw();
    let plane = |c: usize| raw.iter().skip(c).step_by(3).map(|&v| f32::from(v) / 255.0);
    let values: Vec<f32> = (0..3).flat_map(plane).collect();
    let sr = net.forward(Tensor::from_data(TensorData::new(values, [1, 3, h, w]), &device));
    let [_, _, h, w] = sr.dims();
    let values = sr.permute([0, 2, 3, 1]).into_data().try_into_vec::<f32>().expect("images are f32");
    let bytes = values.iter().map(|v| (v * 255.0).round().clamp(0.0, 255.0) as u8).collect();
    RgbImage::from_raw(w as u32, h as u32, bytes).expect("one byte for each value")
}

fn score(pair: &Pair, sr: &RgbImage) -> ImageScore {
    let border = pair.hr.width() / pair.lr.width();
    ImageScore { name: pair.name.clone(), psnr_y_db: psnr_y(sr, &pair.hr, border), ssim_y: 0.0 }
}

fn psnr_y(a: &RgbImage, b: &RgbImage, border: u32) -> f64 {
    let y = |p: &image::Rgb<u8>| {
        16.0 + (65.481 * f64::from(p[0]) + 128.553 * f64::from(p[1]) + 24.966 * f64::from(p[2])) / 255.0
    };
    let (mut sum, mut n) = (0.0, 0.0);
    for j in border..b.height() - border {
        for i in border..b.width() - border {
            let d = y(a.get_pixel(i, j)) - y(b.get_pixel(i, j));
            sum += d * d;
            n += 1.0;
        }
    }
    10.0 * (255.0 * 255.0 * n / sum).log10()
}
