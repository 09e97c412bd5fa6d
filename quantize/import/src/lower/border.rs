//! What happens at the borders of an image: padding, extending, cropping.
//!
//! The engine's convolutions keep the size. One that does not computes the same within its smaller image, and how much smaller
//! that is is all there is to know ([`Node::margin`](crate::draft::Node)): in the end the image that goes in is extended, so that
//! what is lost lies outside of it. Zeros, or pixels that are repeated, are then only right at the border of all of the image;
//! around a smaller one they are refused.

use super::{Lowering, Padded, Value, Why};
use crate::array::Array;
use crate::draft::{Node, Size, Work};
use crate::net::Layer;
use crate::view::{Of, View};

/// Whether an axis of a view counts rows (0) or columns (1).
pub(super) fn side(view: &View, axis: usize) -> Option<usize> {
    match view.axes.get(axis)?.first()?.of {
        Of::Row => Some(0),
        Of::Column => Some(1),
        Of::Channel(_) | Of::Repeat => None,
    }
}

impl Lowering<'_> {
    /// Zeros around an image, for the convolution behind them; repeated pixels around the image that goes in; or, with
    /// numbers below zero, less of an image.
    pub(super) fn pad(
        &mut self,
        layer: &Layer,
        view: &View,
        array: &dyn Fn(usize) -> Option<Array>,
    ) -> Result<Vec<Value>, Why> {
        let pads = layer.ints("pads").map(<[i64]>::to_vec).or_else(|| array(1).map(|a| a.ints()));
        let pads = pads.ok_or("its sizes are no constant")?;
        let value = array(2).and_then(|a| a.scalar()).unwrap_or_else(|| layer.float("value", 0.0).into());
        if pads.iter().all(|p| *p == 0) {
            return Ok(vec![Value::View(view.clone())]);
        }
        match (layer.text("mode", "constant"), &pads[..]) {
            (_, &[0, 0, top, left, 0, 0, bottom, right])
                if top <= 0 && left <= 0 && [bottom, right] == [top, left] && view.is_image() =>
            {
                self.crop(layer, view, [top, left].map(|p| p.saturating_neg()))
            }
            ("constant", &[0, 0, top, left, 0, 0, bottom, right])
                if value == 0.0 && top > 0 && [left, bottom, right] == [top; 3] && view.is_image() =>
            {
                let padded = Padded { view: view.clone(), around: top as usize, fill: Vec::new() };
                Ok(vec![Value::Padded(padded)])
            }
            ("edge", &[0, 0, top, left, 0, 0, bottom, right])
                if top > 0 && [left, bottom, right] == [top; 3] && view.is_image() =>
            {
                self.extend(layer, view, top)
            }
            (mode, _) => Err(format!(
                "it pads by {pads:?} ({mode}); the same number of zeros on all sides before a convolution is done, and repeated \
                 pixels around the image that goes in"
            )),
        }
    }

    /// Less of an image, by so many rows above and below and columns left and right.
    pub(super) fn crop(&mut self, layer: &Layer, view: &View, by: [i64; 2]) -> Result<Vec<Value>, Why> {
        let x = self.image(view)?;
        let [_, height, width] = self.sizes(x);
        if [(height, by[0]), (width, by[1])].iter().any(|&(side, by)| 2 * by.min(1 << 32) >= side as i64) {
            return Err("it leaves nothing of the image".into());
        }
        let node = self.same(layer, x);
        self.shrink(node, by)?;
        Ok(self.value(node))
    }

    /// The image that goes in, with repeated pixels around it.
    fn extend(&mut self, layer: &Layer, view: &View, by: i64) -> Result<Vec<Value>, Why> {
        let x = self.image(view)?;
        // What came before would have another border.
        let first = self.extended == 0 && !self.draft.nodes.iter().any(|n| matches!(n.work, Work::Conv(_)));
        if !self.is_input(x) || !first || by > 1024 {
            return Err(
                "it repeats pixels at the borders of something else than the image that goes in".into()
            );
        }
        let node = self.same(layer, x);
        self.extended = by as usize;
        self.draft.nodes[node].margin = [-by; 2];
        Ok(self.value(node))
    }

    /// Whether a node's image is the one that goes in, or that in another range.
    pub(super) fn is_input(&self, node: usize) -> bool {
        let node = &self.draft.nodes[node];
        match node.work {
            Work::Input => true,
            Work::Affine { .. } => node.margin == [0; 2] && self.is_input(node.inputs[0]),
            _ => false,
        }
    }

    /// Whether the border of a node's image is that of all of the image.
    pub(super) fn is_whole(&self, node: usize, side: usize) -> bool {
        let Node { size, margin, .. } = &self.draft.nodes[node];
        match size {
            Size::Times(upscale) => margin[side] == -((self.extended * upscale) as i64),
            Size::Pooled(_) => true,
        }
    }

    /// Counts rows and columns that a node's image is smaller by, on each side.
    pub(super) fn shrink(&mut self, node: usize, by: [i64; 2]) -> Result<(), Why> {
        if by != [0; 2] && matches!(self.draft.nodes[node].size, Size::Pooled(_)) {
            return Err("it makes what was pooled smaller, at its borders".into());
        }
        for (margin, by) in self.draft.nodes[node].margin.iter_mut().zip(by) {
            *margin += by;
        }
        let [_, height, width] = self.sizes(node);
        if height == 0 || width == 0 {
            return Err(
                "nothing of the image is left: it is too small, or the network has too many convolutions \
                        without padding"
                    .into(),
            );
        }
        Ok(())
    }

    /// Pixels that the image must be extended by, for all of the output's size to be there.
    pub(super) fn margin(&self, output: usize) -> Result<usize, Why> {
        let node = &self.draft.nodes[output];
        let largest = node.margin[0].max(node.margin[1]);
        let Size::Times(upscale) = node.size else {
            return Err("an image whose size is not a multiple of the input's".into());
        };
        match (self.extended, node.margin) {
            (0, _) => Ok(usize::try_from(largest).unwrap_or(0).div_ceil(upscale)),
            (extended, [0, 0]) => Ok(extended),
            (extended, margin) => Err(format!(
                "the image is extended by {extended} pixels, and the output is not cropped by as much: {margin:?} are missing"
            )),
        }
    }

    /// A node that changes nothing, which [`simplify`](crate::draft::simplify) takes away.
    fn same(&mut self, layer: &Layer, x: usize) -> usize {
        let channels = self.draft.nodes[x].channels;
        self.push(layer, Work::Affine { scale: vec![1.0; channels], shift: vec![0.0; channels] }, &[x])
    }
}
