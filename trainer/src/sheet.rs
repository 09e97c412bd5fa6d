//! Pictures made of pictures, to look at what a training sees.

use mcir_runtime::image::Image;

/// The gap between tiles in pixels; white.
const GAP: usize = 4;

/// The square in the middle of an RGB image, or what there is of it.
pub fn middle(image: &Image, side: usize) -> Image {
    let (width, height) = (image.width().min(side), image.height().min(side));
    let (x, y) = ((image.width() - width) / 2, (image.height() - height) / 2);
    let rows = image.data().chunks_exact(3 * image.width()).skip(y).take(height);
    let data = rows.flat_map(|row| &row[3 * x..3 * (x + width)]).copied().collect();
    Image::new(width, height, 3, data).expect("a part of an image")
}

/// An RGB image with every pixel as a square of `by` pixels.
pub fn enlarge(image: &Image, by: usize) -> Image {
    let (width, height) = (image.width() * by, image.height() * by);
    let pixel = |i: usize| 3 * (i / width / by * image.width() + i % width / by);
    let data = (0..width * height).flat_map(|i| &image.data()[pixel(i)..][..3]).copied().collect();
    Image::new(width, height, 3, data).expect("as many pixels")
}

/// RGB images of up to `side` pixels side by side, so many in a row.
///
/// # Panics
/// If there is none, or one is larger.
pub fn grid(tiles: &[Image], columns: usize, side: usize) -> Image {
    let place = |n: usize| n * (side + GAP) + GAP;
    let (width, height) = (place(columns), place(tiles.len().div_ceil(columns)));
    let mut data = vec![255; 3 * width * height];
    for (i, tile) in tiles.iter().enumerate() {
        assert!(tile.width() <= side && tile.height() <= side, "a tile fits its place");
        let (x, y) = (place(i % columns), place(i / columns));
        for (row, pixels) in tile.data().chunks_exact(3 * tile.width()).enumerate() {
            data[3 * ((y + row) * width + x)..][..pixels.len()].copy_from_slice(pixels);
        }
    }
    Image::new(width, height, 3, data).expect("a grid has pixels")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_lie_where_they_should() {
        let tile = |v: u8| Image::new(2, 1, 3, vec![v; 6]).expect("an image");
        let picture = grid(&[tile(1), enlarge(&middle(&tile(2), 1), 2), tile(3)], 2, 2);
        assert_eq!((picture.width(), picture.height()), (16, 16));
        let at = |x: usize, y: usize| picture.data()[3 * (y * 16 + x)];
        assert_eq!([at(3, 4), at(4, 4), at(5, 4), at(4, 5)], [255, 1, 1, 255]);
        assert_eq!([at(10, 4), at(11, 5), at(12, 4), at(4, 10)], [2, 2, 255, 3]);
    }
}
