//! One picture from an input to an output, with the model that it gets: what the verb does, and whoever else upscales.

use crate::args::Mode;
use crate::device::Accelerator;
use crate::embedded::{self, Kind};
use crate::error::{Error, Result};
use crate::models::{ModelArgs, NamedModel};
use crate::upscaler::Upscaler;
use mcir_files::{self as files, Format, Header, Input, MAX_PIXELS, Output, Picture};
use mcir_runtime::plan::PlanOptions;
use serde::Serialize;
use std::fmt;
use std::time::{Duration, Instant};

/// A picture that was upscaled.
#[derive(Debug, Serialize)]
pub struct Upscaled {
    /// Where it came from.
    pub input: String,
    /// Where it went.
    pub output: String,
    /// The model.
    pub model: String,
    /// Width of the output in pixels.
    pub width: usize,
    /// Height of the output in pixels.
    pub height: usize,
    /// Time in the engine, without reading and writing files.
    pub engine_ms: f64,
    /// What the user should know.
    pub notes: Vec<String>,
    /// Why the model is another than the one for clean pictures; its words are among the notes.
    #[serde(skip)]
    pub why: Option<Why>,
}

/// How far a picture is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It is decoded, which cannot be stopped.
    Reading,
    /// Input rows that went through the engine.
    Rows {
        /// Rows done.
        done: usize,
        /// All rows.
        of: usize,
    },
}

/// Why a picture is cleaned up although nobody asked for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Why {
    /// Quality of the JPEG, as libjpeg counts it.
    pub jpeg_quality: u8,
    /// The camera model that is taken.
    pub camera: String,
    /// The model that would enlarge it as it is.
    pub clean: String,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { jpeg_quality, camera, .. } = self;
        let options = embedded::asked_for(camera);
        write!(
            f,
            "is a JPEG of quality {jpeg_quality}, and cleaned up: {options}; --strength 0 enlarges it as it is"
        )
    }
}

/// The model that was asked for, or the two that are chosen from for each picture.
pub struct Models {
    /// The one that was asked for, or the one for clean pictures.
    first: Upscaler,
    /// The one for damaged pictures, where the picture decides.
    camera: Option<Upscaler>,
    /// Whether the last picture was for that one.
    damaged: bool,
}

/// JPEGs of lower quality are better off cleaned up: on Set14 at x4 a strength of 0.75 and one of 0 are equal at 90
/// (`boards/models/README.md` has the table).
const CLEAN_JPEG: u8 = 90;

impl Models {
    /// What the options ask for. Where they name neither model nor strength, each picture decides: a JPEG that was compressed so
    /// much that it shows gets the camera model of the factor, everything else the one for clean pictures.
    ///
    /// # Errors
    /// As [`NamedModel::choose`].
    pub fn choose(
        args: &ModelArgs,
        mode: Mode,
        options: PlanOptions,
        gpu: Option<&Accelerator>,
    ) -> Result<Self> {
        let with = |model| Upscaler::new(model, options).mode(mode).on(gpu);
        let first = with(NamedModel::choose(args, Kind::Clean)?);
        let asked = args.model.is_some() || args.strength.is_some();
        // Without a camera model for the factor there is nothing to choose from.
        let camera = if asked { None } else { NamedModel::choose(args, Kind::Camera).ok() };
        Ok(Self { first, camera: camera.map(with), damaged: false })
    }

    /// This model for all pictures.
    pub fn only(upscaler: Upscaler) -> Self {
        Self { first: upscaler, camera: None, damaged: false }
    }

    /// What to upscale a picture with, and why if it is not just enlarged.
    fn of(&mut self, picture: &Picture) -> (&mut Upscaler, Option<Why>) {
        let quality = picture.jpeg_quality.filter(|&quality| quality < CLEAN_JPEG);
        match (&mut self.camera, quality) {
            (Some(camera), Some(jpeg_quality)) => {
                self.damaged = true;
                let clean = self.first.model().name.clone();
                let why = Why { jpeg_quality, camera: camera.model().name.clone(), clean };
                (camera, Some(why))
            }
            _ => {
                self.damaged = false;
                (&mut self.first, None)
            }
        }
    }

    /// What the last picture was upscaled with.
    pub fn last(&self) -> &Upscaler {
        self.camera.as_ref().filter(|_| self.damaged).unwrap_or(&self.first)
    }

    /// Upscales a picture. Rows are written while they are computed, so that memory does not grow with the height of the output.
    ///
    /// `watch` is told how far it is, and returns whether it is to go on.
    ///
    /// # Errors
    /// Those of reading ([`Input::read`]), of the engine ([`Upscaler::run_rows`]) and of writing ([`files::write`]);
    /// [`Error::Stopped`] when `watch` wants no more.
    pub fn upscale(
        &mut self,
        input: &Input,
        output: &Output,
        format: Format,
        watch: &mut dyn FnMut(Step) -> bool,
    ) -> Result<Upscaled> {
        let stopped = || Error::Stopped { name: input.name() };
        if !watch(Step::Reading) {
            return Err(stopped());
        }
        let mut picture = input.read(MAX_PIXELS)?;
        picture.spread_colours(&input.name())?;
        let (upscaler, why) = self.of(&picture);
        let upscale = upscaler.model().upscale();
        let (width, height) = (picture.width() * upscale, picture.height() * upscale);
        let of = picture.height();
        if !watch(Step::Rows { done: 0, of }) {
            return Err(stopped());
        }
        let header = Header {
            width,
            height,
            channels: picture.channels(),
            icc_profile: picture.icc_profile.as_deref(),
            about: picture.about,
        };
        let (engine, written) = files::write(output, format, &header, |sink| {
            let (start, mut encoding) = (Instant::now(), Duration::ZERO);
            // The engine tells rows going in and takes rows coming out by two ways.
            let more = std::cell::Cell::new(true);
            let mut progress = |done| more.set(watch(Step::Rows { done, of }));
            let mut take = |row: &[u8]| {
                let start = Instant::now();
                let wanted = sink(row) && more.get();
                encoding += start.elapsed();
                wanted
            };
            upscaler.run_rows(&picture, &mut take, &mut progress)?;
            if !more.get() {
                return Err(stopped());
            }
            Ok::<_, Error>(start.elapsed().saturating_sub(encoding))
        })?;
        let mut notes = picture.notes;
        notes.extend(written);
        notes.extend(why.as_ref().map(Why::to_string));
        let told = upscaler.take_note().map(|note| format!("is made without the GPU: {note}"));
        notes.extend(told);
        let model = upscaler.model().name.clone();
        let (input, output, engine_ms) = (input.name(), output.name(), engine.as_secs_f64() * 1e3);
        Ok(Upscaled { input, output, model, width, height, engine_ms, notes, why })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_wants_no_more_gets_an_error_and_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let (input, output) = (folder.path().join("in.png"), folder.path().join("out.png"));
        let pixels = (0..64 * 96 * 3).map(|i| (i * 7 % 251) as u8).collect();
        let image = mcir_runtime::image::Image::new(64, 96, 3, pixels).unwrap();
        files::write_image(&Output::new(&input), &image, Format::Png).unwrap();
        let args = ModelArgs { upscale: Some("2".into()), ..ModelArgs::default() };
        let mut models = Models::choose(&args, Mode::Rgb, PlanOptions::default(), None).unwrap();
        let mut steps = Vec::new();
        for stop_at in 0..4 {
            steps.clear();
            let mut watch = |step| {
                steps.push(step);
                steps.len() <= stop_at
            };
            let result = models.upscale(&Input::new(&input), &Output::new(&output), Format::Png, &mut watch);
            assert!(matches!(result, Err(Error::Stopped { .. })), "{stop_at}");
            assert!(!output.exists());
        }
        let rows = |done| Step::Rows { done, of: 96 };
        assert_eq!(steps, [Step::Reading, rows(0), rows(16), rows(32)]);
        let done = models.upscale(&Input::new(&input), &Output::new(&output), Format::Png, &mut |_| true);
        assert_eq!((done.unwrap().height, models.last().model().upscale()), (192, 2));
        assert!(output.exists());
    }
}
