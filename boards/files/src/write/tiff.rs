//! TIFF without compression, strip by strip.

use super::{EncodeError, Header, Produce, pass_rows};
use std::io::{Seek, Write};
use tiff::TiffError;
use tiff::encoder::Rational;
use tiff::encoder::colortype::{ColorType, Gray8, RGB8};
use tiff::encoder::{TiffEncoder, TiffKind};
use tiff::tags::{ExtraSamples, ResolutionUnit, Tag};

/// Bytes of a strip, about: many readers take one strip at a time.
const STRIP: usize = 1 << 16;
/// Beyond this many bytes of pixels offsets need more than 32 bits.
const MAX_CLASSIC: u64 = u32::MAX as u64 - (1 << 26);

impl From<TiffError> for EncodeError {
    fn from(error: TiffError) -> Self {
        match error {
            TiffError::IoError(source) => Self::Io(source),
            error => Self::Refused(error.to_string()),
        }
    }
}

pub(super) fn encode(
    out: &mut (impl Write + Seek),
    header: &Header<'_>,
    produce: &mut Produce<'_>,
) -> Result<(), EncodeError> {
    if header.stride() as u64 * header.height as u64 <= MAX_CLASSIC {
        of_kind(TiffEncoder::new(out)?, header, produce)
    } else {
        of_kind(TiffEncoder::new_big(out)?, header, produce)
    }
}

fn of_kind<W: Write + Seek, K: TiffKind>(
    encoder: TiffEncoder<W, K>,
    header: &Header<'_>,
    produce: &mut Produce<'_>,
) -> Result<(), EncodeError> {
    match header.channels {
        1 | 2 => strips::<Gray8, W, K>(encoder, header, produce),
        _ => strips::<RGB8, W, K>(encoder, header, produce),
    }
}

fn strips<C: ColorType<Inner = u8>, W: Write + Seek, K: TiffKind>(
    mut encoder: TiffEncoder<W, K>,
    header: &Header<'_>,
    produce: &mut Produce<'_>,
) -> Result<(), EncodeError> {
    let mut image = encoder.new_image::<C>(header.width as u32, header.height as u32)?;
    let rows = (STRIP / header.stride()).clamp(1, header.height);
    if header.has_alpha() {
        image.extra_samples(&[ExtraSamples::UnassociatedAlpha])?;
    }
    image.rows_per_strip(rows as u32)?;
    if let Some(density) = header.about.density {
        let side = |v: f64| Rational { n: (v * 1000.0).round() as u32, d: 1000 };
        image.resolution_unit(if density.per_inch { ResolutionUnit::Inch } else { ResolutionUnit::None });
        image.x_resolution(side(density.x));
        image.y_resolution(side(density.y));
    }
    if let Some(icc) = header.icc_profile {
        image.encoder().write_tag(Tag::IccProfile, icc)?;
    }
    let (mut strip, mut rest) = (Vec::new(), header.height);
    pass_rows(produce, |row| {
        strip.extend_from_slice(row);
        rest = rest.saturating_sub(1);
        if strip.len() == rows * header.stride() || rest == 0 {
            image.write_strip(&strip)?;
            strip.clear();
        }
        Ok::<_, TiffError>(())
    })?;
    Ok(image.finish()?)
}
