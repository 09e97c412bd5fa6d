//! Pooling, and the pixels that a convolution with a stride keeps.

use super::{Lowering, Value, Why};
use crate::draft::{NO_MARGIN, Work};
use crate::net::Layer;
use crate::view::View;
use mcir_runtime::model::Pool;

impl Lowering<'_> {
    /// A pooling, unless too little is left for it. Of an image that convolutions without padding have made smaller its windows
    /// begin with what there is of it.
    pub(super) fn pool(&mut self, name: String, pool: Pool, node: usize) -> Result<usize, Why> {
        let [_, height, width] = self.sizes(node);
        let (Some(rows), Some(columns)) = (pool.size(height), pool.size(width)) else {
            return Err(format!("of {width}x{height} pixels there is nothing left"));
        };
        let margin = self.draft.nodes[node].margin;
        if margin == NO_MARGIN && (self.draft.thinned(node, pool).is_some() || !self.draft.exact) {
            return Ok(self.draft.push(name, Work::Pool(pool), &[node]));
        }
        let [[before, _], _] = margin;
        if margin[0][0] != margin[1][0] || before < 0 {
            return Err(
                "it pools an image that is cropped in rows otherwise than in columns, or extended".into()
            );
        }
        // Window v begins at row stride·v − pool.before of what there is, which is row `before` of the engine's image.
        let stride = i64::from(pool.stride);
        let start = before - i64::from(pool.before);
        let (first, phase) = (start.div_euclid(stride), start.rem_euclid(stride));
        let lowest = i64::from(pool.window) + phase - stride;
        let after = 0_i64.clamp(lowest, lowest + stride - 1);
        let shifted = Pool { before: -phase as i8, after: after as i8, ..pool };
        if first < 0 || self.draft.thinned(node, shifted).is_none() {
            if margin == NO_MARGIN {
                return Ok(self.draft.push(name, Work::Pool(pool), &[node]));
            }
            return Err("it pools an image that convolutions without padding, or cropping, made smaller; strides of images \
                        whose sides they divide are done"
                .into());
        }
        let whole = self.draft.whole(node).map(|side| (side / usize::from(pool.stride)) as i64);
        let made = self.draft.push(name, Work::Pool(shifted), &[node]);
        let left = [rows, columns].map(|side| side as i64);
        self.draft.nodes[made].margin = [0, 1].map(|side| [first, whole[side] - left[side] - first]);
        Ok(made)
    }

    /// `MaxPool` with square windows.
    pub(super) fn max_pool(&mut self, layer: &Layer, view: &View) -> Result<Vec<Value>, Why> {
        let x = self.image(view)?;
        let side = |name: &str, default: i64| match layer.ints(name) {
            Some(&[a, b]) if a == b => Ok(a),
            None => Ok(default),
            Some(other) => Err(format!("its {name} are {other:?}; the same for rows and columns are done")),
        };
        let (window, stride) = (side("kernel_shape", 0)?, side("strides", 1)?);
        let pads = match layer.ints("pads") {
            Some(&[top, left, bottom, right]) if (top, bottom) == (left, right) => [top, bottom],
            None => [0; 2],
            Some(other) => {
                return Err(format!("it pads by {other:?}; the same for rows and columns is done"));
            }
        };
        let plain = side("dilations", 1)? == 1
            && layer.int("ceil_mode", 0) == 0
            && matches!(layer.text("auto_pad", "NOTSET"), "NOTSET" | "VALID" | "")
            && layer.outputs.len() == 1;
        let fits = (1..=15).contains(&window)
            && (1..=8).contains(&stride)
            && pads.iter().all(|pad| (0..window).contains(pad));
        if !plain || !fits {
            return Err(
                "windows of up to 15 pixels with strides of up to 8 are done, without gaps, rounded down"
                    .into(),
            );
        }
        let pool =
            Pool { window: window as u8, stride: stride as u8, before: pads[0] as i8, after: pads[1] as i8 };
        let node = self.pool(layer.name.clone(), pool, x)?;
        Ok(self.value(node))
    }
}

/// The pixels that a convolution with a stride keeps of one without, whose kernel has its centre `centre` rows behind the first
/// of its weights.
pub(super) fn thinning(
    stride: usize,
    (tall, wide): (usize, usize),
    pads: &[usize],
    centre: usize,
    layer: &Layer,
) -> Result<Pool, Why> {
    let &[top, left, bottom, right] = pads else { return Err(format!("its padding is {pads:?}")) };
    let given = matches!(layer.text("auto_pad", "NOTSET"), "NOTSET" | "VALID" | "");
    if tall != wide || (top, bottom) != (left, right) || !given {
        return Err(
            "with a stride, a square kernel and the same padding of rows and columns, in numbers, are done"
                .into(),
        );
    }
    let [tall, top, bottom, centre] = [tall, top, bottom, centre].map(|side| side as i64);
    let before = top - centre;
    let after = top + bottom - tall + 1 - before;
    match (i8::try_from(before), i8::try_from(after)) {
        (Ok(before @ -8..=0), Ok(after @ -8..=0)) => {
            Ok(Pool { window: 1, stride: stride as u8, before, after })
        }
        _ => Err(format!("it pads by {pads:?}, beyond the middle of its kernel")),
    }
}
