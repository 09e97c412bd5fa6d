//! The element itself.

use crate::caps::{self, Way};
use crate::pixels::{FORMATS, Pixels};
use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::subclass::BaseTransformMode;
use gst_base::subclass::prelude::*;
use gst_video::prelude::*;
use gst_video::subclass::prelude::*;
use gst_video::{VideoCapsBuilder, VideoFrameRef, VideoInfo};
use mcir_runtime::plan::{MAX_THREADS, PlanOptions};
use mcir_upscale::args::all_threads;
use mcir_upscale::embedded::Kind;
use mcir_upscale::error::Error;
use mcir_upscale::models::{ModelArgs, NamedModel};
use mcir_upscale::upscaler::Upscaler;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new("mcirsr", gst::DebugColorFlags::empty(), Some("super-resolution"))
});

/// Most pixels of an enlarged frame.
const MAX_PIXELS: u64 = 1 << 28;

/// What a user sets.
#[derive(Debug, Clone, PartialEq)]
struct Settings {
    model: Option<String>,
    /// 0 for the model's, or 4.
    upscale: u32,
    /// Below 0 for what the model has by itself, or 0.75 where no model is named.
    strength: f32,
    /// 0 for all processors.
    threads: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { model: None, upscale: 0, strength: -1.0, threads: 0 }
    }
}

impl Settings {
    /// As `mcir-board camera` chooses.
    fn choose(&self) -> Result<NamedModel, Error> {
        let args = ModelArgs {
            model: self.model.clone().filter(|name| !name.is_empty()),
            upscale: (self.upscale > 0).then(|| self.upscale.to_string()),
            strength: (self.strength >= 0.0).then_some(self.strength),
        };
        NamedModel::choose(&args, Kind::Camera)
    }

    fn upscaler(&self, model: NamedModel) -> Upscaler {
        let threads = match self.threads as usize {
            0 => all_threads(),
            threads => threads.min(MAX_THREADS),
        };
        Upscaler::new(model, PlanOptions::default().threads(threads))
    }
}

#[derive(Default)]
struct State {
    settings: Settings,
    /// What is set has been changed since it was made.
    stale: bool,
    upscaler: Option<Upscaler>,
    /// The factor of what is set, once it was asked for; none where there is no such model.
    factor: Option<Option<i32>>,
}

impl State {
    fn changed(&mut self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.settings);
        (self.stale, self.factor) = (true, None);
    }

    fn factor(&mut self) -> Option<i32> {
        if let (Some(upscaler), false) = (&self.upscaler, self.stale) {
            return i32::try_from(upscaler.model().upscale()).ok();
        }
        let settings = &self.settings;
        *self
            .factor
            .get_or_insert_with(|| settings.choose().ok().and_then(|m| i32::try_from(m.upscale()).ok()))
    }
}

/// The element's part that is ours.
#[derive(Default)]
pub struct McirSr {
    state: Mutex<State>,
}

impl McirSr {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A message with what to do about it, in the words of the properties.
fn advice(error: &Error) -> String {
    let help = match error {
        Error::NoModel { embedded, .. } | Error::NoEmbedded { embedded, .. } => {
            format!("set model to the path of a file, or to one of {embedded}")
        }
        Error::Strength { families, .. } => format!("leave strength out, or set model to one of {families}"),
        Error::Upscale { found, .. } => format!("leave upscale out, or set it to {found}"),
        error => error.help(),
    };
    format!("{error}; {help}")
}

#[glib::object_subclass]
impl ObjectSubclass for McirSr {
    const NAME: &'static str = "McirSr";
    type Type = crate::McirSr;
    type ParentType = gst_video::VideoFilter;
}

impl ObjectImpl for McirSr {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            vec![
                glib::ParamSpecString::builder("model")
                    .nick("Model")
                    .blurb(
                        "Model file or folder, or the name of an embedded model (mcir-board models lists them); \
                         by default the one for the factor, which cleans up",
                    )
                    .mutable_ready()
                    .build(),
                glib::ParamSpecUInt::builder("upscale")
                    .nick("Factor")
                    .blurb("Factor for width and height, 2 to 4; 0 is the model's, or 4 without a model")
                    .maximum(4)
                    .mutable_ready()
                    .build(),
                glib::ParamSpecFloat::builder("strength")
                    .nick("Strength")
                    .blurb(
                        "How much to clean up, 0 (nothing) to 1, in steps of 0.25; below 0 the model as it is, or 0.75 \
                         without a model",
                    )
                    .minimum(-1.0)
                    .maximum(1.0)
                    .default_value(-1.0)
                    .mutable_playing()
                    .build(),
                glib::ParamSpecUInt::builder("threads")
                    .nick("Threads")
                    .blurb("Threads of the engine; 0 is all processors")
                    .maximum(MAX_THREADS as u32)
                    .mutable_ready()
                    .build(),
            ]
        });
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        let wrong = "GObject checks the type of a value";
        self.state().changed(|settings| match pspec.name() {
            "model" => settings.model = value.get().expect(wrong),
            "upscale" => settings.upscale = value.get().expect(wrong),
            "strength" => settings.strength = value.get().expect(wrong),
            "threads" => settings.threads = value.get().expect(wrong),
            name => unreachable!("there is no property {name}"),
        });
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        let state = self.state();
        match pspec.name() {
            "model" => state.settings.model.to_value(),
            "upscale" => state.settings.upscale.to_value(),
            "strength" => state.settings.strength.to_value(),
            "threads" => state.settings.threads.to_value(),
            name => unreachable!("there is no property {name}"),
        }
    }
}

impl GstObjectImpl for McirSr {}

impl ElementImpl for McirSr {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "mcir super-resolution",
                "Filter/Effect/Video",
                "Enlarges video with a super-resolution network, and cleans it up",
                "The authors of mcir",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let template = |name, direction, side| {
                let caps = VideoCapsBuilder::new()
                    .format_list(FORMATS)
                    .width_range(1..=side)
                    .height_range(1..=side)
                    // Rows of two fields would be taken for neighbours.
                    .field("interlace-mode", "progressive")
                    .build();
                gst::PadTemplate::new(name, direction, gst::PadPresence::Always, &caps)
                    .expect("the caps of a template are fine")
            };
            vec![
                template("sink", gst::PadDirection::Sink, caps::MAX_SIDE),
                template("src", gst::PadDirection::Src, caps::MAX_LARGE_SIDE),
            ]
        });
        &TEMPLATES
    }
}

impl BaseTransformImpl for McirSr {
    const MODE: BaseTransformMode = BaseTransformMode::NeverInPlace;
    const PASSTHROUGH_ON_SAME_CAPS: bool = false;
    const TRANSFORM_IP_ON_PASSTHROUGH: bool = false;

    fn start(&self) -> Result<(), gst::ErrorMessage> {
        let mut state = self.state();
        let model = state.settings.choose().map_err(|error| match error {
            Error::NoModel { .. } | Error::NoEmbedded { .. } => {
                gst::error_msg!(gst::ResourceError::NotFound, ("{}", advice(&error)))
            }
            Error::Upscale { .. } | Error::Strength { .. } => {
                gst::error_msg!(gst::LibraryError::Settings, ("{}", advice(&error)))
            }
            _ => gst::error_msg!(gst::ResourceError::OpenRead, ("{}", advice(&error))),
        })?;
        gst::info!(CAT, imp = self, "{} {} x{}", model.name, model.precision(), model.upscale());
        state.upscaler = Some(state.settings.upscaler(model));
        state.stale = false;
        drop(state);
        self.parent_start()
    }

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        self.state().upscaler = None;
        self.parent_stop()
    }

    fn transform_caps(
        &self,
        direction: gst::PadDirection,
        caps: &gst::Caps,
        filter: Option<&gst::Caps>,
    ) -> Option<gst::Caps> {
        let way = if direction == gst::PadDirection::Sink { Way::Enlarged } else { Way::Reduced };
        let factor = self.state().factor();
        let carried = caps::carried(caps, factor, way);
        gst::debug!(CAT, imp = self, "{way:?} by {factor:?}: {caps} gives {carried}");
        Some(match filter {
            Some(filter) => filter.intersect_with_mode(&carried, gst::CapsIntersectMode::First),
            None => carried,
        })
    }
}

impl VideoFilterImpl for McirSr {
    fn set_info(
        &self,
        _: &gst::Caps,
        small: &VideoInfo,
        _: &gst::Caps,
        large: &VideoInfo,
    ) -> Result<(), gst::LoggableError> {
        let (width, height) = (large.width(), large.height());
        if u64::from(width) * u64::from(height) > MAX_PIXELS {
            let (from, pixels) = (format!("{}x{}", small.width(), small.height()), MAX_PIXELS);
            gst::element_imp_error!(
                self,
                gst::CoreError::Negotiation,
                ("frames of {from} pixels become {width}x{height}, and at most {pixels} pixels are made; use smaller frames")
            );
            return Err(gst::loggable_error!(CAT, "too many pixels: {width}x{height}"));
        }
        Ok(())
    }

    fn transform_frame(
        &self,
        small: &VideoFrameRef<&gst::BufferRef>,
        large: &mut VideoFrameRef<&mut gst::BufferRef>,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let mut state = self.state();
        if state.stale {
            self.follow(&mut state);
        }
        let upscaler = state.upscaler.as_mut().ok_or(gst::FlowError::Flushing)?;
        enlarge(upscaler, small, large).map_err(|error| {
            gst::element_imp_error!(self, gst::StreamError::Failed, ("{}", advice(&error)));
            gst::FlowError::Error
        })?;
        Ok(gst::FlowSuccess::Ok)
    }
}

impl McirSr {
    /// Takes another strength between two frames. Where that is nothing, what ran before goes on.
    fn follow(&self, state: &mut State) {
        state.stale = false;
        let factor = state.upscaler.as_ref().map(|upscaler| upscaler.model().upscale());
        match state.settings.choose() {
            Ok(model) if Some(model.upscale()) == factor => {
                state.upscaler = Some(state.settings.upscaler(model));
            }
            Ok(_) => {}
            Err(error) => gst::element_imp_warning!(
                self,
                gst::LibraryError::Settings,
                ("the strength stays as it was, because {}", advice(&error))
            ),
        }
    }
}

fn enlarge(
    upscaler: &mut Upscaler,
    small: &VideoFrameRef<&gst::BufferRef>,
    large: &mut VideoFrameRef<&mut gst::BufferRef>,
) -> Result<(), Error> {
    let (width, height) = (small.width() as usize, small.height() as usize);
    let pixels = Pixels::of(small.format()).expect("only formats of the template are negotiated");
    let stride = |strides: &[i32]| usize::try_from(strides[0]).expect("rows of these formats go down");
    let (from, to) = (stride(small.plane_stride()), stride(large.plane_stride()));
    let data = small.plane_data(0).expect("these formats have one plane");
    let out = large.plane_data_mut(0).expect("these formats have one plane");
    let mut row = Vec::with_capacity(width * pixels.space.channels());
    let mut lines = upscaler.lines(pixels.space, width, height)?;
    let mut y_out = 0;
    for y in 0..height {
        row.clear();
        pixels.read(&data[y * from..], width, &mut row);
        lines.push(&row, &mut |_, large_row| {
            pixels.write(large_row, &mut out[y_out * to..]);
            y_out += 1;
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
