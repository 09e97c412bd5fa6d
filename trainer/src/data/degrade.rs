//! Low-resolution images from high-resolution ones.

use mcir_runtime::image::{Image, ImageError, resize_bicubic};

/// Crops at the right and at the bottom to a multiple of `upscale`, then downscales as MATLAB's `imresize`
/// does with 8-bit images. Returns the low-resolution and the cropped image.
///
/// # Errors
/// The image is smaller than `upscale` pixels in a direction.
pub fn downscale(hr: &Image, upscale: usize) -> Result<(Image, Image), ImageError> {
    let hr = hr.crop_to_multiple(upscale)?;
    let lr = resize_bicubic(&hr, hr.width() / upscale, hr.height() / upscale)?;
    Ok((lr, hr))
}
