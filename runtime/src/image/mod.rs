//! Owned 8-bit images: [`Image`], cropping, luma, and the MATLAB-compatible bicubic [`resize_bicubic`].
//!
//! What belongs here: the one image type that crates hand to each other, and the one resampler that makes
//! low-resolution images and the bicubic baseline. What does not: decoding files (`image` crate, outside the
//! engine) and quality measures ([`metrics`](crate::metrics)).

mod owned;
mod resize;
#[cfg(test)]
pub(crate) mod tests;

pub use owned::{Image, ImageError};
pub use resize::resize_bicubic;
