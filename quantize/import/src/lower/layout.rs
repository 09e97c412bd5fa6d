//! Images whose axes stand in another order than `[1, C, H, W]`: operators that work on each pixel or value by itself do not
//! mind it.

use super::{Lowering, Value, Why};
use crate::array::{self, Array};
use crate::view::{Of, Piece, View};

impl Lowering<'_> {
    /// The axis of a view that has channels of its image, all or a range, if each of the others counts pixels and all of them are
    /// there once, in any order.
    pub(super) fn channel_axis(&self, view: &View) -> Option<usize> {
        let [_, height, width] = self.sizes(view.node);
        let place =
            view.axes.iter().position(|axis| matches!(axis[..], [Piece { of: Of::Channel(1), .. }]))?;
        let (mut rows, mut columns) = (1usize, 1usize);
        for piece in view.axes.iter().enumerate().filter(|(i, _)| *i != place).flat_map(|(_, axis)| axis) {
            match piece.of {
                Of::Row(_) => rows = rows.saturating_mul(piece.size),
                Of::Column(_) => columns = columns.saturating_mul(piece.size),
                Of::Channel(_) | Of::Repeat => return None,
            }
        }
        let whole = view.origin == [0; 2] && [rows, columns] == [height, width];
        whole.then_some(place)
    }

    /// The pixels of a view with that axis in their usual order.
    fn pixels_of(&self, view: &View, place: usize) -> View {
        let [_, height, width] = self.sizes(view.node);
        let image = View::image(view.node, [view.dims()[place], height, width]);
        View { factor: view.factor, first: view.first, ..image }
    }

    /// An operator on each pixel of an image, whose axes may stand in any order: they are in their usual place for it, and where
    /// they were behind it.
    pub(super) fn turned(
        &mut self,
        view: &View,
        operator: impl FnOnce(&mut Self, &View) -> Result<Vec<Value>, Why>,
    ) -> Result<Vec<Value>, Why> {
        let x = usual(view);
        if let (true, Some(place)) = (!view.is_image() && x == *view, self.channel_axis(view)) {
            let x = self.pixels_of(view, place);
            let mut results = operator(self, &x)?;
            for value in &mut results {
                let Value::View(made) = value else { continue };
                let [channels, height, width] = self.sizes(made.node);
                let plain = *made == View::image(made.node, [channels, height, width]);
                if !plain || self.sizes(view.node)[1..] != [height, width] {
                    return Err("its axes cannot be turned back".into());
                }
                let mut axes = view.axes.clone();
                axes[place] = match channels {
                    1 => Vec::new(),
                    size => vec![Piece { size, of: Of::Channel(1) }],
                };
                *made = View { axes, roll: view.roll, ..made.clone() };
            }
            return Ok(results);
        }
        let turned = x != *view;
        let mut results = operator(self, &x)?;
        for value in &mut results {
            if let (true, Value::View(view)) = (turned, value) {
                *view = view.transpose(&[0, 2, 3, 1]).ok_or("its axes cannot be turned back")?;
            }
        }
        Ok(results)
    }

    /// A constant as one number for each channel of a view, whatever the order of its axes. `None` if it differs from pixel to
    /// pixel.
    pub(super) fn by_channel(&self, view: &View, array: &Array) -> Option<Vec<f32>> {
        let (x, turned) = (usual(view), usual_array(view, array));
        let (place, dims, array) = match (x.is_image(), self.channel_axis(view)) {
            (true, _) => (1, x.dims(), turned),
            (false, Some(place)) => (place, view.dims(), array.clone()),
            (false, None) => return None,
        };
        array::common(&dims, &array.dims).filter(|common| *common == dims)?;
        if let Some(one) = array.scalar() {
            return Some(vec![one as f32; dims[place]]);
        }
        let mut sizes = vec![1; dims.len() - array.dims.len()];
        sizes.extend(&array.dims);
        let varied: Vec<usize> = (0..sizes.len()).filter(|&i| sizes[i] > 1).collect();
        (varied == [place]).then(|| array.floats())
    }

    /// The images behind two views that have the same axes in the same order, if that is another one than usual.
    pub(super) fn alike(&mut self, a: &View, b: &View) -> Result<Option<[usize; 2]>, Why> {
        let same = a.axes == b.axes && a.roll == b.roll && !a.is_image();
        let (true, Some(first), Some(second)) = (same, self.channel_axis(a), self.channel_axis(b)) else {
            return Ok(None);
        };
        let [a, b] = [self.pixels_of(a, first), self.pixels_of(b, second)];
        Ok(Some([self.node_of(&a)?, self.node_of(&b)?]))
    }
}

/// A view with channels last as one with channels first; others as they are.
pub(super) fn usual(view: &View) -> View {
    let turned = (view.axes.len() == 4).then(|| view.transpose(&[0, 3, 1, 2])).flatten();
    match turned {
        Some(turned) if !view.is_image() && turned.is_image() => turned,
        _ => view.clone(),
    }
}

/// A constant beside a view, turned as [`usual`] turns the view.
fn usual_array(view: &View, array: &Array) -> Array {
    if usual(view) == *view || array.dims.len() > 4 {
        return array.clone();
    }
    let mut dims = vec![1; 4 - array.dims.len()];
    dims.extend(&array.dims);
    let whole = Array { dims, ..array.clone() };
    whole.transpose(&[0, 3, 1, 2]).unwrap_or(whole)
}
