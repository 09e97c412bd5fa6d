//! The stage in the middle: a captured frame becomes an image, and the engine enlarges it row by row.

use super::error::CameraError;
use super::raw::Space;
use super::rows::{Rows, RowsWriter};
use super::source::Shot;
use mcir_files::MAX_PIXELS;
use mcir_runtime::exec::Workspace;
use mcir_runtime::image::Image;
use mcir_runtime::model::{DType, Filter, Graph, Model, Op};
use mcir_runtime::plan::{Plan, PlanOptions};
use mcir_upscale::error::{Error, Result};
use mcir_upscale::upscaler::{Upscaler, grey};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What the network sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// Colour.
    Rgb,
    /// Brightness only; colour is interpolated, as eyes see little detail in it.
    Y,
}

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
    options: PlanOptions,
    mode: Mode,
    colours: Option<(Plan, [Workspace; 2])>,
}

impl Worker {
    /// Prepares nothing yet; plans are made for the first frame.
    pub fn new(upscaler: Upscaler, options: PlanOptions, mode: Mode) -> Self {
        Self { upscaler, options, mode, colours: None }
    }

    /// The model and its plan.
    pub fn upscaler(&self) -> &Upscaler {
        &self.upscaler
    }

    /// A captured frame as an image.
    ///
    /// # Errors
    /// When the frame is damaged, or too large once enlarged.
    pub fn convert(&self, shot: &Shot, name: &str) -> Result<(Image, Space)> {
        let wanted = if self.mode == Mode::Y { Space::YCbCr } else { Space::Rgb };
        let (image, space) = shot.pixels.to_image(wanted, name)?;
        let upscale = self.upscaler.model().upscale();
        let (width, height) = (image.width(), image.height());
        if (width * height * upscale * upscale) as u64 > MAX_PIXELS {
            return Err(CameraError::TooLarge { width, height, upscale }.into());
        }
        Ok((image, space))
    }

    /// A picture to be filled, of the size that the model makes of `small`.
    pub fn rows_for(&self, small: &Image, space: Space) -> (Arc<Rows>, RowsWriter) {
        let upscale = self.upscaler.model().upscale();
        Rows::new((small.width() * upscale, small.height() * upscale), space)
    }

    /// Enlarges an image into `out`.
    ///
    /// # Errors
    /// [`Error::Plan`] or [`Error::Run`].
    pub fn enlarge(&mut self, small: &Image, space: Space, mut out: RowsWriter) -> Result<()> {
        let start = Instant::now();
        let name = self.upscaler.model().name.clone();
        let failed = |source| Error::Run { name: name.clone(), source };
        match space {
            Space::Rgb => {
                let mut frame = self.upscaler.frame(small.width(), small.height())?;
                for y in 0..small.height() {
                    frame.push(small.row(y), &mut |_, row| out.push(row)).map_err(failed)?;
                }
            }
            Space::Grey => {
                let mut frame = self.upscaler.frame(small.width(), small.height())?;
                let (mut rgb, mut luma) = (Vec::new(), Vec::new());
                for y in 0..small.height() {
                    replicate(small.row(y), 1, &mut rgb);
                    let mut take = |_, row: &[u8]| {
                        luma.clear();
                        luma.extend(row.chunks_exact(3).map(grey));
                        out.push(&luma);
                    };
                    frame.push(&rgb, &mut take).map_err(failed)?;
                }
            }
            Space::YCbCr => self.luma_and_colours(small, &mut out)?,
        }
        out.finish(start.elapsed());
        Ok(())
    }

    /// Brightness through the network, colour through the engine's interpolation; each gives its rows when it
    /// can.
    fn luma_and_colours(&mut self, small: &Image, out: &mut RowsWriter) -> Result<()> {
        let model = self.upscaler.model();
        let (name, upscale) = (model.name.clone(), model.upscale());
        if self.colours.as_ref().is_none_or(|(plan, _)| plan.width() != small.width()) {
            let plan = Plan::new(&interpolation(upscale), small.width(), &self.options)
                .map_err(|source| Error::Plan { name: name.clone(), source })?;
            let workspace =
                || plan.try_workspace().map_err(|source| Error::Plan { name: name.clone(), source });
            let workspaces = [workspace()?, workspace()?];
            self.colours = Some((plan, workspaces));
        }
        let (plan, [for_cb, for_cr]) = self.colours.as_mut().expect("the plan was just made");
        let failed = |source| Error::Run { name: name.clone(), source };
        let mut cb = plan.begin(for_cb, small.height()).map_err(failed)?;
        let mut cr = plan.begin(for_cr, small.height()).map_err(failed)?;
        let mut luma = self.upscaler.frame(small.width(), small.height())?;
        let (mut rgb, mut samples, mut row) = (Vec::new(), Vec::new(), Vec::new());
        // Rows that are made, of Y, Cb and Cr; the three come at different times.
        let mut made: [VecDeque<Vec<u8>>; 3] = Default::default();
        for y in 0..small.height() {
            let pixels = small.row(y);
            replicate(pixels, 3, &mut rgb);
            luma.push(&rgb, &mut |_, row| made[0].push_back(row.chunks_exact(3).map(grey).collect()))
                .map_err(failed)?;
            for (channel, frame) in [(1, &mut cb), (2, &mut cr)] {
                samples.clear();
                samples.extend(pixels.iter().skip(channel).step_by(3));
                frame.push(&samples, &mut |_, row| made[channel].push_back(row.to_vec())).map_err(failed)?;
            }
            while let [Some(luma), Some(cb), Some(cr)] = made.each_ref().map(VecDeque::front) {
                row.clear();
                row.extend(luma.iter().zip(cb).zip(cr).flat_map(|((&y, &cb), &cr)| [y, cb, cr]));
                out.push(&row);
                made.iter_mut().for_each(|rows| drop(rows.pop_front()));
            }
        }
        Ok(())
    }
}

/// The first of every `step` samples, three times.
fn replicate(row: &[u8], step: usize, rgb: &mut Vec<u8>) {
    rgb.clear();
    rgb.extend(row.iter().step_by(step).flat_map(|&v| [v; 3]));
}

/// A network that only interpolates one channel: the engine then streams colour as it streams brightness. Images
/// have one channel or three, so Cb and Cr each go through it.
fn interpolation(upscale: usize) -> Model {
    let mut graph = Graph::new(1, DType::F32);
    let op = Op::Resize { upscale: upscale as u8, filter: Filter::Bicubic };
    graph.push("colours", op, &[0], DType::F32);
    Model::new(graph, &[vec![], vec![]], vec![])
        .expect("interpolation by a model's factor is a valid network")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raw::{from_rgb, ycbcr_to_rgb};
    use mcir_runtime::image::resize_bicubic;
    use mcir_runtime::metrics::psnr_y;
    use mcir_upscale::cards;
    use mcir_upscale::models::NamedModel;

    fn enlarged(mode: Mode, small: &Image, space: Space) -> Image {
        let upscaler = Upscaler::new(
            NamedModel::default_for(2, mcir_upscale::embedded::Kind::Clean).unwrap(),
            PlanOptions::default(),
        );
        let mut worker = Worker::new(upscaler, PlanOptions::default(), mode);
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
