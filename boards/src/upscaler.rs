//! A model with the plan for the width that was last seen: whole pictures in, whole pictures out.

use crate::error::{Error, Result};
use crate::files::{self, Picture};
use crate::models::NamedModel;
use mcir_runtime::exec::{Frame, Workspace};
use mcir_runtime::image::{Image, ImageError, resize_bicubic};
use mcir_runtime::plan::{Plan, PlanOptions};

/// Rows that are given to the engine between two reports of progress.
const ROWS_PER_REPORT: usize = 16;

/// Upscales pictures with one model. Pictures of equal width share one plan.
pub struct Upscaler {
    model: NamedModel,
    options: PlanOptions,
    ready: Option<(Plan, Workspace)>,
}

impl Upscaler {
    /// Prepares nothing yet; the plan is made for the first picture.
    pub fn new(model: NamedModel, options: PlanOptions) -> Self {
        Self { model, options, ready: None }
    }

    /// The model.
    pub fn model(&self) -> &NamedModel {
        &self.model
    }

    /// The plan for the last picture's width.
    pub fn plan(&self) -> Option<&Plan> {
        self.ready.as_ref().map(|(plan, _)| plan)
    }

    /// Upscales an image. A grey one is run as RGB and its result is made grey again.
    ///
    /// `progress` is called with the number of input rows done.
    ///
    /// # Errors
    /// [`Error::Plan`] when the engine cannot take the width, [`Error::Run`], [`Error::Image`].
    pub fn run(&mut self, image: &Image, progress: &mut dyn FnMut(usize)) -> Result<Image> {
        let (upscale, name) = (self.model.upscale(), self.model.name.clone());
        let failed = |source| Error::Run { name: name.clone(), source };
        let (width, height) = (image.width() * upscale, image.height() * upscale);
        let mut out = files::buffer(&name, width * height * image.channels())?;
        let mut frame = self.frame(image.width(), image.height())?;
        let mut rgb = Vec::new();
        for start in (0..image.height()).step_by(ROWS_PER_REPORT) {
            let end = (start + ROWS_PER_REPORT).min(image.height());
            for y in start..end {
                if image.channels() == 3 {
                    frame.push(image.row(y), &mut |_, row| out.extend_from_slice(row)).map_err(failed)?;
                } else {
                    rgb.clear();
                    rgb.extend(image.row(y).iter().flat_map(|&v| [v; 3]));
                    frame
                        .push(&rgb, &mut |_, row| out.extend(row.chunks_exact(3).map(grey)))
                        .map_err(failed)?;
                }
            }
            progress(end);
        }
        Image::new(width, height, image.channels(), out).map_err(|source| image_error(&name, source))
    }

    /// Begins an image of this width and height, which is then given row by row.
    ///
    /// # Errors
    /// [`Error::Plan`] when the engine cannot take the width, [`Error::Run`].
    pub fn frame(&mut self, width: usize, height: usize) -> Result<Frame<'_>> {
        let name = &self.model.name;
        if self.ready.as_ref().is_none_or(|(plan, _)| plan.width() != width) {
            // The old workspace goes before the new one comes.
            self.ready = None;
            let plan = Plan::new(&self.model.model, width, &self.options)
                .map_err(|source| Error::Plan { name: name.clone(), source })?;
            let workspace =
                plan.try_workspace().map_err(|source| Error::Plan { name: name.clone(), source })?;
            self.ready = Some((plan, workspace));
        }
        let (plan, workspace) = self.ready.as_mut().expect("the plan was just made");
        plan.begin(workspace, height).map_err(|source| Error::Run { name: name.clone(), source })
    }

    /// Upscales a picture; opacity is enlarged with bicubic interpolation.
    ///
    /// # Errors
    /// As [`Upscaler::run`].
    pub fn run_picture(&mut self, picture: &Picture, progress: &mut dyn FnMut(usize)) -> Result<Picture> {
        let colour = self.run(&picture.colour, progress)?;
        let enlarge = |alpha: &Image| resize_bicubic(alpha, colour.width(), colour.height());
        let alpha = picture.alpha.as_ref().map(enlarge).transpose();
        let alpha = alpha.map_err(|source| image_error(&self.model.name, source))?;
        let (icc_profile, notes) = (picture.icc_profile.clone(), picture.notes.clone());
        Ok(Picture { colour, alpha, icc_profile, notes })
    }
}

fn image_error(name: &str, source: ImageError) -> Error {
    Error::Image { name: name.into(), source }
}

/// Luma with the weights of BT.601, full range.
pub(crate) fn grey(pixel: &[u8]) -> u8 {
    let [r, g, b] = [pixel[0], pixel[1], pixel[2]].map(u32::from);
    ((299 * r + 587 * g + 114 * b + 500) / 1000) as u8
}
