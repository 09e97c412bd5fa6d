//! A model that runs on pictures of any kind: their rows in, rows of larger pictures out.
//!
//! Networks are for RGB or for Y, brightness alone. Either takes every picture:
//!
//! | picture | network for RGB                            | network for Y, or `--mode y`              |
//! |---------|--------------------------------------------|-------------------------------------------|
//! | colour  | as it is                                   | Y by the network, Cb and Cr interpolated  |
//! | grey    | by the network's form for Y (`Model::luma`) | as it is                                 |
//!
//! A network for RGB whose ends are not linear has no form for Y; it sees grey as RGB, and the luma of what it makes is kept.

mod engine;
mod lines;
mod network;
mod opacity;

use crate::args::Mode;
use crate::colour::Space;
use crate::device::Accelerator;
use crate::error::{Error, Result};
use crate::models::NamedModel;
use engine::Engine;
pub use lines::Lines;
use mcir_files::{self as files, Picture};
use mcir_runtime::image::Image;
use mcir_runtime::model::{DType, Filter, Graph, Model, Op};
use mcir_runtime::plan::{Plan, PlanOptions};
use network::{Network, Whole};
use opacity::Opacity;

/// Rows that are given to the engine between two reports of progress.
const ROWS_PER_REPORT: usize = 16;
/// Largest factor of one interpolation.
const MAX_FACTOR: usize = 8;

/// Upscales pictures with one model. Pictures of equal width share one plan, and all plans the packed weights.
pub struct Upscaler {
    model: NamedModel,
    options: PlanOptions,
    mode: Mode,
    gpu: Option<Accelerator>,
    network: Engine<1>,
    /// The form for Y of a network for RGB: not looked for yet, or perhaps there is none.
    luma: Option<Option<Engine<1>>>,
    chroma: Engine<2>,
}

impl Upscaler {
    /// Prepares nothing yet; the plan is made for the first picture.
    pub fn new(model: NamedModel, options: PlanOptions) -> Self {
        let (network, chroma) =
            (Engine::new(model.model.clone()), Engine::new(interpolation(model.upscale())));
        Self { model, options, mode: Mode::Rgb, gpu: None, network, luma: None, chroma }
    }

    /// The same, with the network on brightness alone if the mode says so.
    #[must_use]
    pub fn mode(self, mode: Mode) -> Self {
        Self { mode, ..self }
    }

    /// The same, with the network on a GPU as far as that goes; where it does not, [`Upscaler::take_note`] tells why.
    #[must_use]
    pub fn on(self, gpu: Option<&Accelerator>) -> Self {
        Self { gpu: gpu.cloned(), network: self.network.on(gpu), ..self }
    }

    /// The model.
    pub fn model(&self) -> &NamedModel {
        &self.model
    }

    /// The network's plan for the last picture's width and kind.
    pub fn plan(&self) -> Option<&Plan> {
        self.network.plan().or_else(|| self.luma.as_ref()?.as_ref()?.plan())
    }

    /// Name of the GPU that the last picture was made on; nothing for the processor.
    pub fn gpu(&self) -> Option<&str> {
        self.network.gpu().or_else(|| self.luma.as_ref()?.as_ref()?.gpu())
    }

    /// What the user should know about the GPU, once: why the processor does its work.
    pub fn take_note(&mut self) -> Option<String> {
        let luma = self.luma.iter_mut().flatten().find_map(Engine::take_note);
        self.network.take_note().or(luma).map(|note| format!("{}: {note}", self.model.name))
    }

    /// Working memory and packed weights that the last picture took, interpolation of colours included.
    pub fn memory_bytes(&self) -> Option<usize> {
        let luma = self.luma.iter().flatten().map(Engine::memory_bytes).sum::<usize>();
        let ran = self.plan().is_some() || self.gpu().is_some();
        ran.then(|| self.network.memory_bytes() + luma + self.chroma.memory_bytes())
    }

    /// What colour pictures take the shortest way in: RGB, or Y, Cb and Cr where brightness goes its own way.
    pub fn space(&self) -> Space {
        if self.mode == Mode::Y || self.model.model.in_channels() == 1 { Space::YCbCr } else { Space::Rgb }
    }

    /// Upscales an image, RGB or grey.
    ///
    /// `progress` is called with the number of input rows done.
    ///
    /// # Errors
    /// [`Error::Plan`] when the engine cannot take the width, [`Error::Run`], [`mcir_files::Error::Image`].
    pub fn run(&mut self, image: &Image, progress: &mut dyn FnMut(usize)) -> Result<Image> {
        let (upscale, name) = (self.model.upscale(), self.model.name.clone());
        let (width, height) = (image.width() * upscale, image.height() * upscale);
        let mut out = files::buffer(&name, width * height * image.channels())?;
        let space = if image.channels() == 1 { Space::Grey } else { Space::Rgb };
        let mut lines = self.lines(space, image.width(), image.height())?;
        for y in 0..image.height() {
            lines.push(image.row(y), &mut |_, row| out.extend_from_slice(row))?;
            if (y + 1).is_multiple_of(ROWS_PER_REPORT) || y + 1 == image.height() {
                progress(y + 1);
            }
        }
        Image::new(width, height, image.channels(), out).map_err(Error::image(&name))
    }

    /// Begins an RGB image on a GPU and comes back at once; [`Upscaler::take`] then waits for it. Two can be on their way: a camera's next
    /// frame is prepared while the last one is made. `false` where the image has to go the way of [`Upscaler::lines`], which
    /// it may when all images that were begun are taken.
    pub fn submit(&mut self, image: &Image) -> bool {
        let as_it_is = self.space() == Space::Rgb && image.channels() == 3;
        as_it_is && self.network.submit([image.width(), image.height()], image.data())
    }

    /// Waits for the image that was begun first and gives `sink` its rows. `false` where the GPU has failed: no row was given, and
    /// the image has to go the way of [`Upscaler::lines`].
    pub fn take(&mut self, width: usize, sink: &mut dyn FnMut(&[u8])) -> bool {
        let row = width * self.model.upscale() * self.model.model.out_channels();
        match self.network.take() {
            Some(picture) => {
                picture.chunks_exact(row).for_each(sink);
                true
            }
            None => false,
        }
    }

    /// Begins a picture of this width and height, which is then given row by row.
    ///
    /// # Errors
    /// [`Error::Plan`] when the engine cannot take the width, [`Error::Run`].
    pub fn lines(&mut self, space: Space, width: usize, height: usize) -> Result<Lines<'_>> {
        let Self { model, options, network, luma, chroma, gpu, .. } = self;
        let for_y = model.model.in_channels() == 1;
        let apart = space == Space::YCbCr || space == Space::Rgb && (for_y || self.mode == Mode::Y);
        let mut replicated = false;
        let mut engine = network;
        if !for_y && (apart || space == Space::Grey) {
            match luma.get_or_insert_with(|| model.model.luma().map(|m| Engine::new(m).on(gpu.as_ref()))) {
                Some(luma) => {
                    engine.rest();
                    engine = luma;
                }
                None => replicated = true,
            }
        } else if let Some(Some(luma)) = luma {
            luma.rest();
        }
        let name = model.name.as_str();
        let network = if engine.prepare_on_gpu([width, height]) {
            Network::Gpu(Whole { engine, options, size: [width, height], rows: Vec::new() })
        } else {
            let [frame] = engine.frames(name, options, width, height)?;
            Network::Cpu(frame)
        };
        let chroma = if apart {
            Some(chroma.frames(name, options, width, height)?)
        } else {
            chroma.rest();
            None
        };
        Ok(Lines { name, space, network, replicated, chroma, buffers: lines::Buffers::default() })
    }

    /// Upscales a picture row by row: `sink` gets every row of the result, `[width, channels]`, from the top, and returns
    /// whether it wants more. Opacity is enlarged with bicubic interpolation.
    ///
    /// `progress` is called with the number of input rows done.
    ///
    /// # Errors
    /// As [`Upscaler::run`].
    pub fn run_rows(
        &mut self,
        picture: &Picture,
        sink: &mut dyn FnMut(&[u8]) -> bool,
        progress: &mut dyn FnMut(usize),
    ) -> Result<()> {
        let (upscale, name) = (self.model.upscale(), self.model.name.clone());
        let (channels, colours, height) = (picture.channels(), picture.colours(), picture.height());
        let mut opacity = picture.has_alpha().then(|| Opacity::new(picture, upscale, &name));
        let space = if colours == 1 { Space::Grey } else { Space::Rgb };
        let mut lines = self.lines(space, picture.width(), height)?;
        let (mut rows, mut plain, mut out) = (Vec::new(), Vec::new(), Vec::new());
        // What went wrong while rows were handed out, or nothing when no more are wanted.
        let mut ended: Option<Result<()>> = None;
        for start in (0..height).step_by(ROWS_PER_REPORT) {
            let end = (start + ROWS_PER_REPORT).min(height);
            rows.clear();
            picture.rows(start..end, &mut rows);
            for row in rows.chunks_exact(picture.width() * channels) {
                let take = &mut |y: usize, row: &[u8]| {
                    if ended.is_some() {
                        return;
                    }
                    let row = match opacity.as_mut().map(|opacity| opacity.row(y)) {
                        None => row,
                        Some(Ok(alpha)) => {
                            out.clear();
                            for (pixel, &alpha) in row.chunks_exact(colours).zip(alpha) {
                                out.extend_from_slice(pixel);
                                out.push(alpha);
                            }
                            &out
                        }
                        Some(Err(error)) => {
                            ended = Some(Err(error));
                            return;
                        }
                    };
                    if !sink(row) {
                        ended = Some(Ok(()));
                    }
                };
                if picture.has_alpha() {
                    plain.clear();
                    plain.extend(row.chunks_exact(channels).flat_map(|p| &p[..colours]));
                    lines.push(&plain, take)?;
                } else {
                    lines.push(row, take)?;
                }
            }
            if let Some(ended) = ended {
                return ended;
            }
            progress(end);
        }
        Ok(())
    }
}

/// A network that only interpolates one channel: the engine then streams colour as it streams brightness. Images
/// have one channel or three, so Cb and Cr each go through it.
fn interpolation(upscale: usize) -> Model {
    let mut graph = Graph::new(1, DType::PIXEL);
    let (mut rest, mut x) = (upscale, 0);
    // Factors of networks are products of what one operator can do.
    while let Some(factor) = (2..=MAX_FACTOR).rev().find(|factor| rest % factor == 0) {
        let op = Op::Resize { upscale: factor as u8, filter: Filter::Bicubic };
        x = graph.push(format!("colours.{x}"), op, &[x], DType::PIXEL);
        rest /= factor;
    }
    if x == 0 {
        graph.push("colours", Op::Convert, &[0], DType::PIXEL);
    }
    let params = vec![vec![]; graph.nodes.len()];
    Model::new(graph, &params, vec![]).expect("interpolation by a model's factor is a valid network")
}

#[cfg(test)]
mod tests;
