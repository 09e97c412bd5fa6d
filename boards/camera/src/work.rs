//! The stage in the middle: a captured frame becomes an image, and the engine enlarges it row by row.

use super::choice::Chooser;
use super::error::CameraError;
use super::raw::Space;
use super::rows::{Rows, RowsWriter};
use super::source::Shot;
use mcir_files::MAX_PIXELS;
use mcir_runtime::image::Image;
use mcir_upscale::error::Result;
use mcir_upscale::upscaler::Upscaler;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A frame on its way to the outputs. Its large picture may still be in the making.
#[derive(Debug, Clone)]
pub struct Job {
    /// Number of the frame among those that were not dropped, from 1.
    pub id: u64,
    /// The camera's picture.
    pub small: Arc<Image>,
    /// What the samples of `small` are.
    pub space: Space,
    /// The super-resolved picture.
    pub rows: Arc<Rows>,
    /// When the frame began to arrive.
    pub began: Instant,
    /// Time to arrive, to wait, and to become an image.
    pub before: [Duration; 3],
}

/// Runs frames through a model.
pub struct Worker {
    upscaler: Upscaler,
    chooser: Option<Chooser>,
    /// Of the last frame: what is chosen must be able to run it.
    seen: Option<(usize, usize, Space)>,
}

impl Worker {
    /// Prepares nothing yet; plans are made for the first frame.
    pub fn new(upscaler: Upscaler) -> Self {
        Self { upscaler, chooser: None, seen: None }
    }

    /// The same, with a model that viewers may change.
    #[must_use]
    pub fn chosen_by(self, chooser: Option<Chooser>) -> Self {
        Self { chooser, ..self }
    }

    /// Whether a viewer has chosen another model. Before the first frame nobody knows whether it could run.
    pub fn is_to_change(&self) -> bool {
        self.seen.is_some() && self.chooser.as_ref().is_some_and(Chooser::waits)
    }

    /// Changes the model, between two frames, where a viewer has chosen another.
    ///
    /// # Errors
    /// When it cannot be made, or not for frames such as the last one; what ran before goes on.
    pub fn follow(&mut self) -> Result<()> {
        let Some(chooser) = &self.chooser else { return Ok(()) };
        let seen = self.seen;
        let able = |mut upscaler: Upscaler| {
            if let Some((width, height, space)) = seen {
                room_for(&upscaler, width, height)?;
                upscaler.lines(space, width, height)?;
            }
            Ok(upscaler)
        };
        match chooser.chosen().map(|chosen| chosen.and_then(able)) {
            None => Ok(()),
            Some(Ok(upscaler)) => {
                chooser.runs(&upscaler);
                self.upscaler = upscaler;
                Ok(())
            }
            Some(Err(error)) => {
                chooser.keep();
                Err(error)
            }
        }
    }

    /// The model and its plan.
    pub fn upscaler(&self) -> &Upscaler {
        &self.upscaler
    }

    /// What the user should know about the GPU, once.
    pub fn take_note(&mut self) -> Option<String> {
        self.upscaler.take_note()
    }

    /// A captured frame as an image.
    ///
    /// # Errors
    /// When the frame is damaged, or too large once enlarged.
    pub fn convert(&mut self, shot: &Shot, name: &str) -> Result<(Image, Space)> {
        let (image, space) = shot.pixels.to_image(self.upscaler.space(), name)?;
        let (width, height) = (image.width(), image.height());
        room_for(&self.upscaler, width, height)?;
        self.seen = Some((width, height, space));
        Ok((image, space))
    }

    /// A picture to be filled, of the size that the model makes of `small`.
    pub fn rows_for(&self, small: &Image, space: Space) -> (Arc<Rows>, RowsWriter) {
        let upscale = self.upscaler.model().upscale();
        Rows::new((small.width() * upscale, small.height() * upscale), space)
    }

    /// Begins an image on the GPU, if there is one that takes it: then [`Worker::finish`] is for it.
    pub fn begin(&mut self, small: &Image, space: Space) -> bool {
        space == Space::Rgb && self.upscaler.submit(small)
    }

    /// Waits for the image that was begun first, since `start`, and puts it into `out`. Where the GPU has failed the processor makes it.
    ///
    /// # Errors
    /// As [`Worker::enlarge`].
    pub fn finish(&mut self, small: &Image, space: Space, mut out: RowsWriter, start: Instant) -> Result<()> {
        if self.upscaler.take(small.width(), &mut |row| out.push(row)) {
            out.finish(start.elapsed());
            return Ok(());
        }
        self.enlarge(small, space, out)
    }

    /// Enlarges an image into `out`.
    ///
    /// # Errors
    /// [`Error::Plan`](mcir_upscale::error::Error::Plan) or [`Error::Run`](mcir_upscale::error::Error::Run).
    pub fn enlarge(&mut self, small: &Image, space: Space, mut out: RowsWriter) -> Result<()> {
        let start = Instant::now();
        let mut lines = self.upscaler.lines(space, small.width(), small.height())?;
        for y in 0..small.height() {
            lines.push(small.row(y), &mut |_, row| out.push(row))?;
        }
        out.finish(start.elapsed());
        Ok(())
    }
}

/// Refuses frames that are too large once enlarged.
fn room_for(upscaler: &Upscaler, width: usize, height: usize) -> Result<()> {
    let upscale = upscaler.model().upscale();
    match (width * height * upscale * upscale) as u64 > MAX_PIXELS {
        true => Err(CameraError::TooLarge { width, height, upscale }.into()),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raw::{from_rgb, ycbcr_to_rgb};
    use mcir_runtime::image::resize_bicubic;
    use mcir_runtime::metrics::psnr_y;
    use mcir_runtime::plan::PlanOptions;
    use mcir_upscale::args::Mode;
    use mcir_upscale::cards;
    use mcir_upscale::models::NamedModel;

    fn enlarged(mode: Mode, small: &Image, space: Space) -> Image {
        let upscaler = Upscaler::new(
            NamedModel::default_for(2, mcir_upscale::embedded::Kind::Clean).unwrap(),
            PlanOptions::default(),
        );
        let mut worker = Worker::new(upscaler.mode(mode));
        let (rows, writer) = worker.rows_for(small, space);
        worker.enlarge(small, space, writer).unwrap();
        rows.image().unwrap()
    }

    fn map(image: &Image, f: impl Fn([u8; 3]) -> [u8; 3]) -> Image {
        let data = image.data().chunks_exact(3).flat_map(|p| f([p[0], p[1], p[2]])).collect();
        Image::new(image.width(), image.height(), 3, data).unwrap()
    }

    #[test]
    fn rows_are_those_of_the_whole_picture() {
        let small = cards::draw()[0].image.crop(10, 20, 61, 37).unwrap();
        let mut upscaler = Upscaler::new(
            NamedModel::default_for(2, mcir_upscale::embedded::Kind::Clean).unwrap(),
            PlanOptions::default(),
        );
        let whole = upscaler.run(&small, &mut |_| {}).unwrap();
        assert_eq!(enlarged(Mode::Rgb, &small, Space::Rgb), whole);
    }

    #[test]
    fn brightness_alone_beats_bicubic_too() {
        let (mut total, mut bicubic) = (0.0, 0.0);
        let cards = cards::draw();
        for card in &cards {
            let side = cards::SIDE / 2;
            let small = resize_bicubic(&card.image, side, side).unwrap();
            let large = map(&enlarged(Mode::Y, &map(&small, from_rgb), Space::YCbCr), ycbcr_to_rgb);
            total += psnr_y(&large, &card.image, 2).unwrap();
            let interpolated = resize_bicubic(&small, cards::SIDE, cards::SIDE).unwrap();
            bicubic += psnr_y(&interpolated, &card.image, 2).unwrap();
        }
        let gain = (total - bicubic) / cards.len() as f64;
        assert!(gain > 0.3, "{gain} dB over bicubic");
    }

    #[test]
    fn colour_is_interpolated_as_elsewhere() {
        let small = cards::draw()[1].image.crop(3, 5, 40, 30).unwrap();
        let large = enlarged(Mode::Y, &small, Space::YCbCr);
        let interpolated = resize_bicubic(&small, 80, 60).unwrap();
        let differ = large.data().chunks_exact(3).zip(interpolated.data().chunks_exact(3));
        // One rounds once, the other after each direction.
        let worst = differ.flat_map(|(a, b)| [a[1].abs_diff(b[1]), a[2].abs_diff(b[2])]).max();
        assert!(worst <= Some(2), "{worst:?}");
    }

    #[test]
    fn grey_stays_grey() {
        let card = &cards::draw()[0].image;
        let luma: Vec<u8> = card.data().chunks_exact(3).map(|p| p[1]).collect();
        let small = Image::new(card.width(), card.height(), 1, luma).unwrap().crop(0, 0, 33, 20).unwrap();
        let mut upscaler = Upscaler::new(
            NamedModel::default_for(2, mcir_upscale::embedded::Kind::Clean).unwrap(),
            PlanOptions::default(),
        );
        assert_eq!(enlarged(Mode::Rgb, &small, Space::Grey), upscaler.run(&small, &mut |_| {}).unwrap());
    }
}
