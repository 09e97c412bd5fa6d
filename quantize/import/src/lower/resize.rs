//! Interpolation.

use super::{Lowering, Value, Why};
use crate::array::Array;
use crate::draft::{NO_MARGIN, Ratio, Size, Work};
use crate::net::{Attribute, Layer};
use crate::view::View;
use mcir_runtime::model::Filter;

/// Most channels of an image that the engine makes smaller.
const MOST_CHANNELS: usize = 64;

impl Lowering<'_> {
    /// Interpolation by a whole factor.
    pub(super) fn resize(
        &mut self,
        layer: &Layer,
        view: &View,
        array: &dyn Fn(usize) -> Option<Array>,
    ) -> Result<Vec<Value>, Why> {
        let x = self.image(view)?;
        let dims = view.dims();
        // Operator set 9 and before, 10, and since: the factors move from attribute to second to third input.
        let factors =
            || [2, 1].into_iter().filter_map(array).find(|a| a.values.len() == dims.len() && !a.integer);
        let given = match &layer.attributes.get("scales") {
            Some(Attribute::Floats(list)) => Some(list.iter().map(|f| f64::from(*f)).collect()),
            _ => factors().map(|a| a.values),
        };
        let sizes = || {
            array(3).map(|a| a.values.iter().zip(&dims).map(|(size, d)| size / *d as f64).collect::<Vec<_>>())
        };
        let factors: Vec<f64> = given.or_else(sizes).ok_or("its factors are no constant")?;
        if let Size::Pooled(_) = self.draft.nodes[x].size {
            return self.resize_like(layer, x, &dims, &factors);
        }
        let [1.0, 1.0, down, across] = factors[..] else {
            return Err(format!(
                "it resizes by {factors:?}; rows and columns by the same whole number are done"
            ));
        };
        let r = down.round();
        let less = (1.0 / down).round();
        if down == across && (1.0 / down - less).abs() < 1e-6 && (2.0..=8.0).contains(&less) {
            return self.fraction(layer, x, less as usize);
        }
        if down != across || (down - r).abs() > 1e-6 || !(1.0..=16.0).contains(&r) {
            return Err(format!(
                "it resizes by {down}x{across}; the same whole number up to 16 is done, or one in a whole number up to 8"
            ));
        }
        if r == 1.0 {
            return Ok(vec![Value::View(view.clone())]);
        }
        let filter = kernel(layer)?;
        if filter == Filter::AlignedBilinear && self.draft.nodes[x].margin != NO_MARGIN {
            return Err("it aligns the corners of an image that convolutions without padding, or cropping, made smaller, or \
                        that was extended; with half-pixel centres that is done"
                .into());
        }
        let is_whole = self.is_whole(x, 0) && self.is_whole(x, 1);
        // Pixels at the border are repeated: around an image that was extended so, that is what is there.
        if filter != Filter::Nearest && !is_whole && !self.is_input(x) {
            return Err(
                "it interpolates an image that convolutions without padding, or cropping, made smaller"
                    .into(),
            );
        }
        let node = self.enlarge(layer.name.clone(), Work::Resize(r as usize, filter), x, r as usize)?;
        Ok(self.value(node))
    }

    /// Interpolation to a whole fraction of the size, as networks have it that enlarge more than they are asked for.
    fn fraction(&mut self, layer: &Layer, x: usize, factor: usize) -> Result<Vec<Value>, Why> {
        let filter = kernel(layer)?;
        if filter == Filter::AlignedBilinear {
            return Err(
                "it makes an image smaller with aligned corners; with half-pixel centres that is done".into(),
            );
        }
        let rounded = layer.text("coordinate_transformation_mode", "half_pixel") != "asymmetric"
            && layer.kind != "Upsample";
        // Of two pixels that are as near the first is taken, as there is none in the middle.
        let first = factor == 2 && layer.text("nearest_mode", "round_prefer_floor") == "round_prefer_floor";
        if filter == Filter::Nearest && rounded && !first {
            return Err("it takes the nearest pixel of a smaller image's centres; with asymmetric coordinates, rounded \
                        down, it is done"
                .into());
        }
        if filter != Filter::Nearest && layer.int("antialias", 0) != 0 {
            return Err(
                "it smooths while it makes the image smaller (antialias); without that it is done".into()
            );
        }
        if self.draft.nodes[x].channels > MOST_CHANNELS {
            return Err(format!("it makes an image of more than {MOST_CHANNELS} channels smaller"));
        }
        match self.draft.nodes[x].size {
            Size::Times(Ratio { times, .. }) if times.is_multiple_of(factor) => {}
            Size::Times(_)
                if self.draft.exact && self.draft.whole(x).iter().all(|side| side.is_multiple_of(factor)) => {
            }
            Size::Times(Ratio { times, of }) => {
                return Err(format!(
                    "it makes an image of {times}/{of} of the input's size {factor} times smaller, which does not divide it"
                ));
            }
            Size::Pooled(_) => unreachable!("what was pooled is resized like another image"),
        }
        if !(self.is_whole(x, 0) && self.is_whole(x, 1)) {
            return Err("it makes an image smaller that convolutions without padding, or cropping, have made smaller \
                        already"
                .into());
        }
        let node = self.push(layer, Work::Reduce(factor, filter), &[x]);
        Ok(self.value(node))
    }

    /// Interpolation of what was pooled to the size that some image before it has.
    fn resize_like(
        &mut self,
        layer: &Layer,
        x: usize,
        dims: &[usize],
        factors: &[f64],
    ) -> Result<Vec<Value>, Why> {
        let sizes: Vec<usize> =
            dims.iter().zip(factors).map(|(d, f)| (*d as f64 * f + 1e-6) as usize).collect();
        let like = (0..self.draft.nodes.len())
            .find(|&node| self.sizes(node)[1..] == sizes[2..] && self.draft.nodes[node].margin == NO_MARGIN);
        let like = like.filter(|_| sizes[..2] == dims[..2]).ok_or_else(|| {
            format!("it resizes what was pooled to {sizes:?}, which is not the size of any image before it")
        })?;
        let places = layer.text("coordinate_transformation_mode", "half_pixel");
        let filter = match (layer.text("mode", "nearest"), places) {
            ("linear", "half_pixel" | "pytorch_half_pixel") => Filter::Bilinear,
            ("linear", "align_corners") => Filter::AlignedBilinear,
            ("nearest", "asymmetric") if layer.text("nearest_mode", "") == "floor" => Filter::Nearest,
            (mode, places) => {
                return Err(format!(
                    "it interpolates what was pooled {mode} with {places} coordinates; bilinear with half-pixel centres \
                     or aligned corners, and nearest with asymmetric coordinates rounded down, are done"
                ));
            }
        };
        let node = self.push(layer, Work::Interpolate(filter), &[x, like]);
        Ok(self.value(node))
    }
}

/// The kernel of an interpolation by a whole factor.
fn kernel(layer: &Layer) -> Result<Filter, Why> {
    let places = layer.text(
        "coordinate_transformation_mode",
        if layer.kind == "Upsample" { "asymmetric" } else { "half_pixel" },
    );
    Ok(match (layer.text("mode", "nearest"), places) {
        // With a whole factor all of these take the same pixel.
        ("nearest", "asymmetric")
            if layer.kind == "Upsample" || layer.text("nearest_mode", "floor") == "floor" =>
        {
            Filter::Nearest
        }
        ("nearest", "half_pixel" | "pytorch_half_pixel")
            if matches!(
                layer.text("nearest_mode", "round_prefer_floor"),
                "round_prefer_floor" | "round_prefer_ceil"
            ) =>
        {
            Filter::Nearest
        }
        ("linear", "half_pixel" | "pytorch_half_pixel") => Filter::Bilinear,
        ("linear", "align_corners") => Filter::AlignedBilinear,
        ("cubic", "half_pixel" | "pytorch_half_pixel")
            if layer.float("cubic_coeff_a", -0.75) == -0.5 && layer.int("exclude_outside", 0) == 0 =>
        {
            Filter::Bicubic
        }
        ("cubic", "half_pixel" | "pytorch_half_pixel")
            if layer.float("cubic_coeff_a", -0.75) == -0.75 && layer.int("exclude_outside", 0) == 0 =>
        {
            Filter::SharpBicubic
        }
        (mode, "align_corners") => {
            return Err(format!("it interpolates {mode} with align_corners; bilinearly that is done"));
        }
        (mode, places) => {
            return Err(format!(
                "it interpolates {mode} with {places} coordinates; nearest pixels, bilinear with half-pixel centres or aligned corners and \
                     bicubic with a = -0.5 or -0.75 are done"
            ));
        }
    })
}
