//! JPEG, with its colour in full resolution. The encoder asks for rows, so it runs beside the one who makes them.

use super::{EncodeError, Header, Produce};
use jpeg_encoder::{Encoder, EncodingError, ImageBuffer, JpegColorType, SamplingFactor, rgb_to_ycbcr};
use jpeg_encoder::{PixelDensity, PixelDensityUnit};
use std::cell::{Cell, RefCell};
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, sync_channel};

/// Quality, of 100: upscaled detail should not be lost again.
const QUALITY: u8 = 95;
/// Rows between the two: one line of blocks.
const ROWS_BETWEEN: usize = 8;

impl From<EncodingError> for EncodeError {
    fn from(error: EncodingError) -> Self {
        match error {
            EncodingError::IoError(source) => Self::Io(source),
            error => Self::Refused(error.to_string()),
        }
    }
}

/// Rows as the encoder asks for them: in order, the last one again where a block reaches beyond it.
struct Rows<'a> {
    size: (usize, usize),
    channels: usize,
    rows: Receiver<Vec<u8>>,
    current: RefCell<Option<(u16, Vec<u8>)>>,
    ended: &'a Cell<bool>,
}

impl ImageBuffer for Rows<'_> {
    fn get_jpeg_color_type(&self) -> JpegColorType {
        if self.channels == 1 { JpegColorType::Luma } else { JpegColorType::Ycbcr }
    }

    fn width(&self) -> u16 {
        self.size.0 as u16
    }

    fn height(&self) -> u16 {
        self.size.1 as u16
    }

    fn fill_buffers(&self, y: u16, buffers: &mut [Vec<u8>; 4]) {
        let mut current = self.current.borrow_mut();
        if current.as_ref().is_none_or(|(at, _)| *at != y) {
            match self.rows.recv() {
                Ok(row) => *current = Some((y, row)),
                // No rows come any more: what is encoded now reaches no file.
                Err(_) => {
                    self.ended.set(true);
                    *current = Some((y, vec![0; self.size.0 * self.channels]));
                }
            }
        }
        let (_, row) = current.as_ref().expect("a row was just put there");
        if self.channels == 1 {
            buffers[0].extend_from_slice(row);
            return;
        }
        for pixel in row.chunks_exact(3) {
            let (y, cb, cr) = rgb_to_ycbcr(pixel[0], pixel[1], pixel[2]);
            buffers[0].push(y);
            buffers[1].push(cb);
            buffers[2].push(cr);
        }
    }
}

/// Ends the encoder where its rows end.
struct Until<'a, W> {
    out: W,
    ended: &'a Cell<bool>,
}

impl<W: Write> Write for Until<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.ended.get() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

pub(super) fn encode(
    out: &mut (impl Write + Send),
    header: &Header<'_>,
    produce: &mut Produce<'_>,
) -> Result<(), EncodeError> {
    let (sender, rows) = sync_channel(ROWS_BETWEEN);
    let (size, channels) = ((header.width, header.height), header.channels);
    let (icc_profile, density) = (header.icc_profile, header.about.density);
    std::thread::scope(|scope| {
        let encoder = scope.spawn(move || {
            let ended = Cell::new(false);
            let mut encoder = Encoder::new(Until { out, ended: &ended }, QUALITY);
            encoder.set_sampling_factor(SamplingFactor::F_1_1);
            if let Some(density) = density {
                let side = |v: f64| (v.round() as u16).max(1);
                let unit = if density.per_inch {
                    PixelDensityUnit::Inches
                } else {
                    PixelDensityUnit::PixelAspectRatio
                };
                encoder.set_density(PixelDensity { density: (side(density.x), side(density.y)), unit });
            }
            if let Some(icc) = icc_profile {
                // A profile that does not fit into its segments is left out.
                let _ = encoder.add_icc_profile(icc);
            }
            let rows = Rows { size, channels, rows, current: RefCell::new(None), ended: &ended };
            encoder.encode_image(rows).map_err(EncodeError::from)
        });
        produce(&mut |row| sender.send(row.to_vec()).is_ok());
        drop(sender);
        encoder.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
