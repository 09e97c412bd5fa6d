//! For tests: reference data, found beside the workspace or where `MCIR_SHARED_DATA` says, and pictures made up.

#[path = "../../tests/src/skip.rs"]
mod skip;

use crate::seed::{Purpose, Stream};
use mcir_runtime::image::Image;
use std::path::{Path, PathBuf};

/// A file or folder of the reference data; says so when it is not there and the test is skipped.
pub fn path(name: &str) -> Option<PathBuf> {
    let root = std::env::var_os("MCIR_SHARED_DATA").map(PathBuf::from);
    let root = root.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"));
    let path = root.join(name);
    if path.exists() {
        return Some(path);
    }
    skip::skip(format_args!("{} is not there; set MCIR_SHARED_DATA to run this test", path.display()));
    None
}

/// Shape and values of a little-endian f32 `.npy` file.
pub fn npy(path: &Path) -> (Vec<usize>, Vec<f32>) {
    let bytes = std::fs::read(path).expect("the reference file can be read");
    assert_eq!(&bytes[..6], b"\x93NUMPY");
    let header = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let text = String::from_utf8_lossy(&bytes[10..header]);
    assert!(text.contains("'<f4'") && text.contains("'fortran_order': False"), "{text}");
    let shape = text.split('(').nth(1).and_then(|s| s.split(')').next()).expect("a shape");
    let shape = shape.split(',').filter_map(|n| n.trim().parse().ok()).collect();
    let floats = bytes[header..].chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    (shape, floats.collect())
}

/// A smooth random picture, RGB.
pub fn picture(index: u64, width: usize, height: usize) -> Image {
    let mut stream = Stream::new(3, Purpose::Weights, index);
    let waves: Vec<[f32; 4]> = (0..6).map(|_| std::array::from_fn(|_| stream.symmetric(1.0))).collect();
    let value = |x: usize, y: usize, c: usize| {
        let at = |w: &[f32; 4]| (w[0] * x as f32 + w[1] * y as f32 + w[2] * (6.0 + c as f32)).sin() * w[3];
        (128.0 + 60.0 * waves.iter().map(at).sum::<f32>()).clamp(0.0, 255.0) as u8
    };
    let data = (0..width * height * 3).map(|i| value(i / 3 % width, i / 3 / width, i % 3)).collect();
    Image::new(width, height, 3, data).expect("an image")
}
