//! A model with the plan for the width that was last seen: pictures in, rows of larger ones out.

use crate::error::{Error, Result};
use crate::models::NamedModel;
use mcir_files::{self as files, Picture};
use mcir_runtime::exec::{Frame, Workspace};
use mcir_runtime::image::{Image, resize_bicubic};
use mcir_runtime::plan::{PackedModel, Plan, PlanOptions};
use std::ops::Range;

/// Rows that are given to the engine between two reports of progress.
const ROWS_PER_REPORT: usize = 16;

/// Upscales pictures with one model. Pictures of equal width share one plan, and all plans the packed weights.
pub struct Upscaler {
    model: NamedModel,
    options: PlanOptions,
    packed: Option<PackedModel>,
    ready: Option<(Plan, Workspace)>,
}

impl Upscaler {
    /// Prepares nothing yet; the plan is made for the first picture.
    pub fn new(model: NamedModel, options: PlanOptions) -> Self {
        Self { model, options, packed: None, ready: None }
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
    /// [`Error::Plan`] when the engine cannot take the width, [`Error::Run`], [`mcir_files::Error::Image`].
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
        Image::new(width, height, image.channels(), out).map_err(Error::image(&name))
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
            let plan = match &self.packed {
                Some(packed) => Plan::of(packed, width, &self.options),
                None => Plan::new(&self.model.model, width, &self.options),
            };
            let plan = plan.map_err(|source| Error::Plan { name: name.clone(), source })?;
            self.packed = Some(plan.packed().clone());
            let workspace =
                plan.try_workspace().map_err(|source| Error::Plan { name: name.clone(), source })?;
            self.ready = Some((plan, workspace));
        }
        let (plan, workspace) = self.ready.as_mut().expect("the plan was just made");
        plan.begin(workspace, height).map_err(|source| Error::Run { name: name.clone(), source })
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
        let mut frame = self.frame(picture.width(), height)?;
        let (mut rows, mut rgb, mut out) = (Vec::new(), Vec::new(), Vec::new());
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
                    out.clear();
                    if let Err(error) = lay_out(y, row, colours, opacity.as_mut(), &mut out) {
                        ended = Some(Err(error));
                    } else if !sink(&out) {
                        ended = Some(Ok(()));
                    }
                };
                rgb.clear();
                match colours {
                    1 => rgb.extend(row.iter().step_by(channels).flat_map(|&v| [v; 3])),
                    _ => rgb.extend(row.chunks_exact(channels).flat_map(|p| [p[0], p[1], p[2]])),
                }
                frame.push(&rgb, take).map_err(|source| Error::Run { name: name.clone(), source })?;
            }
            if let Some(ended) = ended {
                return ended;
            }
            progress(end);
        }
        Ok(())
    }
}

/// A row of the result: as many colours as the picture has, and its opacity.
fn lay_out(
    y: usize,
    row: &[u8],
    colours: usize,
    opacity: Option<&mut Opacity<'_>>,
    out: &mut Vec<u8>,
) -> Result<()> {
    let pixels = row.chunks_exact(3);
    match (opacity, colours) {
        (None, 1) => out.extend(pixels.map(grey)),
        (None, _) => out.extend_from_slice(row),
        (Some(opacity), 1) => {
            out.extend(pixels.zip(opacity.row(y)?).flat_map(|(p, &alpha)| [grey(p), alpha]));
        }
        (Some(opacity), _) => {
            out.extend(pixels.zip(opacity.row(y)?).flat_map(|(p, &alpha)| [p[0], p[1], p[2], alpha]));
        }
    }
    Ok(())
}

/// Opacity, enlarged a few rows at a time.
struct Opacity<'a> {
    picture: &'a Picture,
    upscale: usize,
    name: &'a str,
    /// Output rows that are there: the image's, from the first to before the last of these.
    band: Option<(Image, usize, Range<usize>)>,
}

impl<'a> Opacity<'a> {
    fn new(picture: &'a Picture, upscale: usize, name: &'a str) -> Self {
        Self { picture, upscale, name, band: None }
    }

    /// Row `y` of the enlarged picture. The same as if the whole were enlarged at once, but for a rounding at factor 3
    /// where a value lies right between two.
    fn row(&mut self, y: usize) -> Result<&[u8]> {
        if !self.band.as_ref().is_some_and(|(_, _, rows)| rows.contains(&y)) {
            let (name, upscale, height) = (self.name, self.upscale, self.picture.height());
            let start = y / upscale / OPACITY_BAND * OPACITY_BAND;
            let end = (start + OPACITY_BAND).min(height);
            let around = start.saturating_sub(OPACITY_REACH)..(end + OPACITY_REACH).min(height);
            let first = around.start * upscale;
            let size = (self.picture.width() * upscale, around.len() * upscale);
            let alpha = self.picture.alpha(around, name)?;
            let enlarged = resize_bicubic(&alpha, size.0, size.1).map_err(Error::image(name))?;
            self.band = Some((enlarged, first, start * upscale..end * upscale));
        }
        let (image, first, _) = self.band.as_ref().expect("the band was just made");
        Ok(image.row(y - first))
    }
}

/// Rows of opacity that are enlarged together.
const OPACITY_BAND: usize = 32;
/// Rows around them that bicubic interpolation looks at.
const OPACITY_REACH: usize = 3;

/// Luma with the weights of BT.601, full range.
pub fn grey(pixel: &[u8]) -> u8 {
    let [r, g, b] = [pixel[0], pixel[1], pixel[2]].map(u32::from);
    ((299 * r + 587 * g + 114 * b + 500) / 1000) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opacity_in_bands_is_that_of_the_whole() {
        for (width, height) in [(5, 3), (7, 32), (9, 33), (4, 100)] {
            let pixels = (0..width * height * 2).map(|i| (i * i * 31 + i) as u8).collect();
            let picture = Picture::new(width, height, 2, pixels);
            let all = picture.alpha(0..height, "").unwrap();
            for upscale in [2, 3, 4] {
                let whole = resize_bicubic(&all, width * upscale, height * upscale).unwrap();
                let mut opacity = Opacity::new(&picture, upscale, "");
                for y in 0..whole.height() {
                    let row = opacity.row(y).unwrap();
                    let off = row.iter().zip(whole.row(y)).map(|(a, b)| a.abs_diff(*b)).max();
                    assert!(off <= Some(u8::from(upscale == 3)), "{width}x{height} x{upscale}, row {y}");
                }
            }
        }
    }
}
