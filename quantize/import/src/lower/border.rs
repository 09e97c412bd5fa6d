//! What happens at the borders of an image: padding, extending, cropping.
//!
//! The engine's convolutions keep the size. One that does not computes the same within its smaller image, and how much smaller
//! that is is all there is to know ([`Node::margin`](crate::draft::Node)): in the end the image that goes in is extended, so that
//! what is lost lies outside of it. Zeros, or pixels that are repeated, are then only right at the border of all of the image;
//! around a smaller one they are refused.

use super::{Lowering, Padded, Value, Why};
use crate::array::Array;
use crate::draft::{Conv, Margin, NO_MARGIN, Node, Ratio, Size, Work};
use crate::net::Layer;
use crate::view::{Of, View};
use mcir_runtime::model::{PadMode, Pool};

/// Whether an axis of a view counts rows (0) or columns (1).
pub(super) fn side(view: &View, axis: usize) -> Option<usize> {
    match view.axes.get(axis)?.first()?.of {
        Of::Row(_) => Some(0),
        Of::Column(_) => Some(1),
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
        let mode = match layer.text("mode", "constant") {
            "reflect" => Some(PadMode::Reflect),
            "edge" => Some(PadMode::Edge),
            "constant" if value == 0.0 => Some(PadMode::Zero),
            _ => None,
        };
        if let (Some(mode), &[0, 0, 0, 0, 0, 0, below, right]) = (mode, &pads[..])
            && let Some(filled) = self.filled(view, [below, right], mode)
        {
            return Ok(filled);
        }
        if pads.iter().all(|p| *p == 0) {
            return Ok(vec![Value::View(view.clone())]);
        }
        match (layer.text("mode", "constant"), &pads[..]) {
            (_, &[0, 0, top, left, 0, 0, bottom, right])
                if top <= 0 && left <= 0 && [bottom, right] == [top, left] && view.is_image() =>
            {
                self.crop(layer, view, [top, left].map(|p| [p.saturating_neg(); 2]))
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
    pub(super) fn crop(&mut self, layer: &Layer, view: &View, by: Margin) -> Result<Vec<Value>, Why> {
        let x = self.image(view)?;
        let [_, height, width] = self.sizes(x);
        let gone = |[before, after]: [i64; 2]| before.min(1 << 32) + after.min(1 << 32);
        if [(height, by[0]), (width, by[1])].iter().any(|&(side, by)| gone(by) >= side as i64) {
            return Err("it leaves nothing of the image".into());
        }
        let node = self.same(layer, x);
        self.shrink(node, by)?;
        Ok(self.value(node))
    }

    /// Whether nothing was computed but the range of the image that goes in, and a view is that.
    fn is_first(&self, view: &View) -> bool {
        /// A range and a mean take a few nodes.
        const MOST: usize = 64;
        let plain = *view == View::image(view.node, self.sizes(view.node));
        plain
            && self.draft.nodes.len() <= MOST
            && self.extended == 0
            && self.draft.padded.is_none()
            && self.is_input(view.node)
            && (0..self.draft.nodes.len()).all(|node| self.is_input(node))
    }

    /// The image that goes in, extended below and at the right to a multiple, if that is what these rows and columns do.
    pub(super) fn filled(&mut self, view: &View, more: [i64; 2], mode: PadMode) -> Option<Vec<Value>> {
        if !more.iter().all(|more| (0..=1024).contains(more)) || !view.is_image() {
            return None;
        }
        let more = more.map(|more| more as usize);
        // Once more, as another branch sees it.
        if let Some([height, width]) = self.draft.padded {
            let added = [self.draft.image[0] - height, self.draft.image[1] - width];
            let channels = self.draft.nodes[view.node].channels;
            let before =
                *view == View::image(view.node, [channels, height, width]) && self.is_input(view.node);
            let same = added == more && self.draft.padding.is_some_and(|(_, known)| known == mode);
            return (before && same).then(|| self.value(view.node));
        }
        self.is_first(view).then(|| self.fill_to_multiple(view, more, mode))
    }

    /// All that follows sees the image so.
    fn fill_to_multiple(&mut self, view: &View, more: [usize; 2], mode: PadMode) -> Vec<Value> {
        let multiple = self.draft.padding.map_or(1, |(multiple, _)| multiple);
        self.draft.padding = Some((multiple, mode));
        if more != [0; 2] {
            let [height, width] = self.draft.image;
            self.draft.padded = Some([height, width]);
            self.draft.image = [height + more[0], width + more[1]];
        }
        self.value(view.node)
    }

    /// Two images of which as much is there, with what is there of both at the same places: one is moved by a convolution that
    /// takes another pixel. Strides that begin at another row make it necessary.
    pub(super) fn aligned(&mut self, layer: &Layer, nodes: &mut [usize]) -> Result<(), Why> {
        /// Pixels that a kernel of nine reaches.
        const MOST: i64 = 4;
        let before = |l: &Self, node: usize| l.draft.nodes[node].margin.map(|side| side[0]);
        let size = |l: &Self, node: usize| (l.draft.nodes[node].size, l.sizes(node)[1..].to_vec());
        if nodes.iter().any(|&node| size(self, node) != size(self, nodes[0])) {
            return Err("its inputs have different sizes, or are cropped otherwise".into());
        }
        let most = [0, 1].map(|side| nodes.iter().map(|&node| before(self, node)[side]).max().unwrap_or(0));
        for node in nodes {
            let have = before(self, *node);
            let [down, right] = [most[0] - have[0], most[1] - have[1]];
            if [down, right] == [0; 2] {
                continue;
            }
            if down.max(right) > MOST {
                return Err(format!(
                    "its inputs lie {down} rows and {right} columns apart, after strides that begin at different ones; up to {MOST} \
                     are done"
                ));
            }
            let channels = self.draft.nodes[*node].channels;
            let reach = down.max(right) as usize;
            let kernel = 2 * reach + 1;
            self.spend(channels, channels * kernel * kernel)?;
            let mut weight = vec![0.0; channels * channels * kernel * kernel];
            let tap = (reach - down as usize) * kernel + reach - right as usize;
            (0..channels).for_each(|c| weight[(c * channels + c) * kernel * kernel + tap] = 1.0);
            let conv = Conv { kernel, weight, bias: vec![0.0; channels], relu: false };
            let moved = self.draft.push(format!("{}.moved", layer.name), Work::Conv(conv), &[*node]);
            self.shrink(moved, [[down, -down], [right, -right]])?;
            *node = moved;
        }
        Ok(())
    }

    /// Whether so many rows (columns) at the end of an image are those that it was extended by to a multiple.
    pub(super) fn was_added(&self, view: &View, side: usize, rest: usize) -> bool {
        let (Some(padded), &[_, _, height, width]) = (self.draft.padded, &view.dims()[..]) else {
            return false;
        };
        let (whole, image) = ([height, width][side], self.draft.image[side]);
        view.is_image() && rest > 0 && rest * image == whole * (image - padded[side])
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
        self.draft.nodes[node].margin = [[-by; 2]; 2];
        Ok(self.value(node))
    }

    /// What the network has of a node's image, where something looks at all of it.
    pub(super) fn cropped(&mut self, layer: &Layer, node: usize) -> Result<usize, Why> {
        /// Most that a pooling leaves out on each side.
        const MOST: i64 = 8;
        let margin = self.draft.nodes[node].margin;
        if self.extended > 0 || margin[0] != margin[1] || margin[0].iter().any(|m| !(0..256).contains(m)) {
            return Err("it looks at the whole of an image that is extended, or cropped in rows otherwise than in columns".into());
        }
        let ([mut before, mut after], mut node) = (margin[0], node);
        while before > 0 || after > 0 {
            let less = [before, after].map(|m| m.min(MOST));
            (before, after) = (before - less[0], after - less[1]);
            let [before, after] = less.map(|m| -(m as i8));
            let pool = Pool { window: 1, stride: 1, before, after };
            node = self.draft.push(format!("{}.inner", layer.name), Work::Pool(pool), &[node]);
        }
        Ok(node)
    }

    /// Whether a node's image is the one that goes in, or that in another range.
    pub(super) fn is_input(&self, node: usize) -> bool {
        let mut node = &self.draft.nodes[node];
        while let (Work::Affine { .. }, NO_MARGIN) = (&node.work, node.margin) {
            node = &self.draft.nodes[node.inputs[0]];
        }
        node.work == Work::Input
    }

    /// Whether the border of a node's image is that of all of the image.
    pub(super) fn is_whole(&self, node: usize, side: usize) -> bool {
        let Node { size, margin, .. } = &self.draft.nodes[node];
        match size {
            Size::Times(ratio) => margin[side] == [-(ratio.of_side(self.extended) as i64); 2],
            Size::Pooled(_) => true,
        }
    }

    /// Counts rows and columns that a node's image is smaller by, on each side.
    pub(super) fn shrink(&mut self, node: usize, by: Margin) -> Result<(), Why> {
        if by != NO_MARGIN && matches!(self.draft.nodes[node].size, Size::Pooled(_)) {
            return Err("it makes what was pooled smaller, at its borders".into());
        }
        for (margin, by) in self.draft.nodes[node].margin.iter_mut().flatten().zip(by.iter().flatten()) {
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
        let mut node = self.draft.nodes[output].clone();
        // What the image was extended by is cropped.
        if let (Some(padded), Size::Times(ratio)) = (self.draft.padded, node.size) {
            for side in [0, 1] {
                let added = ratio.of_side(self.draft.image[side] - padded[side]) as i64;
                if node.margin[side] == [0, added] {
                    node.margin[side] = [0; 2];
                }
            }
        }
        let largest = node.margin.iter().flatten().copied().max().unwrap_or(0);
        let Size::Times(Ratio { times: upscale, of: 1 }) = node.size else {
            return Err("an image whose size is not a multiple of the input's".into());
        };
        match (self.extended, node.margin) {
            (0, _) => Ok(usize::try_from(largest).unwrap_or(0).div_ceil(upscale)),
            (extended, NO_MARGIN) => Ok(extended),
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
