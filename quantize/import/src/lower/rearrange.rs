//! Parts of an image and their rearrangement: slices, indices, and rolling an image by putting its parts in another order.

use super::{Lowering, Value, Why, border, fold};
use crate::array::{self, Array};
use crate::net::Layer;
use crate::view::View;

/// Some rows or columns of an image, which only mean something together with the others.
#[derive(Debug, Clone)]
pub(super) struct Cut {
    whole: View,
    axis: usize,
    from: usize,
    size: usize,
}

impl Lowering<'_> {
    pub(super) fn slice(
        &mut self,
        layer: &Layer,
        view: &View,
        arrays: &[Option<&Array>],
    ) -> Result<Vec<Value>, Why> {
        let mut view = view.clone();
        let dims = view.dims();
        let parts = fold::slices(layer, arrays, &dims, self.net.opset).ok_or("its places are no constant")?;
        let alone = parts.len() == 1;
        let mut cut = [[0; 2]; 2];
        for (axis, chosen) in parts {
            let (first, size) = (chosen.first().copied().unwrap_or(0), chosen.len());
            if size == dims[axis] && first == 0 {
                continue;
            }
            let step = chosen.get(1).map_or(1, |next| next.saturating_sub(first));
            let even = size > 0 && step > 0 && chosen.windows(2).all(|w| w[1] == w[0] + step);
            if let Some(side) = border::side(&view, axis) {
                if even && step > 1 {
                    let part = view.strided(axis, first, step).filter(|v| v.dims()[axis] == size);
                    view = part.ok_or("it leaves rows or columns out that are no blocks of the image")?;
                    continue;
                }
                let rest = dims[axis].saturating_sub(first + size);
                match even {
                    true if first == rest || (first == 0 && self.was_added(&view, side, rest)) => {
                        cut[side] = [first as i64, rest as i64];
                    }
                    true if alone => {
                        return Ok(vec![Value::Cut(Box::new(Cut { whole: view, axis, from: first, size }))]);
                    }
                    _ => return Err("it takes a part of the image that is not its middle".into()),
                }
                continue;
            }
            let part = (even && step == 1).then(|| view.slice(axis, first, size)).flatten();
            view = part.ok_or("it takes a part of the image, or not all channels of a range")?;
        }
        if cut == [[0; 2]; 2] { Ok(vec![Value::View(view)]) } else { self.crop(layer, &view, cut) }
    }

    pub(super) fn split(
        &self,
        layer: &Layer,
        view: &View,
        sizes: Option<Vec<i64>>,
    ) -> Result<Vec<Value>, Why> {
        let dims = view.dims();
        let axis = array::index(layer.int("axis", 0), dims.len()).ok_or("its axis is not there")?;
        let count = layer.outputs.len().max(1);
        let sizes = sizes.unwrap_or_else(|| vec![dims[axis].div_ceil(count) as i64; count]);
        let mut first = 0;
        let mut parts = Vec::new();
        for size in sizes {
            let size = (size.max(0) as usize).min(dims[axis].saturating_sub(first));
            parts.push(match view.slice(axis, first, size).filter(|_| size > 0) {
                Some(part) => Value::View(part),
                None if size > 0 && border::side(view, axis).is_some() => {
                    Value::Cut(Box::new(Cut { whole: view.clone(), axis, from: first, size }))
                }
                None => return Err("it cuts an axis that is not one of channels".into()),
            });
            first += size;
        }
        Ok(parts)
    }

    /// The end of an image before its beginning.
    pub(super) fn rolled(&self, layer: &Layer, inputs: &[Option<Value>]) -> Option<Result<Vec<Value>, Why>> {
        let cuts: Option<Vec<&Cut>> = inputs
            .iter()
            .map(|value| match value {
                Some(Value::Cut(cut)) => Some(&**cut),
                _ => None,
            })
            .collect();
        let cuts = cuts.filter(|cuts| !cuts.is_empty())?;
        let first = cuts[0];
        let size = first.whole.dims()[first.axis];
        let mut next = first.from;
        let fits = cuts.iter().all(|cut| {
            let follows = cut.whole == first.whole && cut.axis == first.axis && cut.from == next % size;
            next += cut.size;
            follows
        });
        let axis = array::index(layer.int("axis", 0), first.whole.axes.len());
        let view = (fits && next == first.from + size && axis == Some(first.axis))
            .then(|| first.whole.rolled(first.axis, first.from))
            .flatten();
        let why = || "it joins parts of an image otherwise than in a circle".to_string();
        Some(view.map(|view| vec![Value::View(view)]).ok_or_else(why))
    }

    /// `Gather`: some or all of an axis, at regular steps, as new axes. It is what a view by strides of a tensor becomes.
    pub(super) fn gather(&self, layer: &Layer, view: &View, indices: &Array) -> Result<Vec<Value>, Why> {
        let axis = array::index(layer.int("axis", 0), view.axes.len()).ok_or("its axis is not there")?;
        let size = view.dims()[axis];
        let chosen: Option<Vec<usize>> = indices.ints().iter().map(|&i| array::index(i, size)).collect();
        let chosen = chosen.filter(|chosen| !chosen.is_empty()).ok_or("its indices are beyond the axis")?;
        let around = chosen.len() == size && chosen.windows(2).all(|w| w[1] == (w[0] + 1) % size);
        if around && chosen[0] != 0 && indices.dims.len() == 1 && border::side(view, axis).is_some() {
            let view = view.rolled(axis, chosen[0]).ok_or("it rolls something else than rows or columns")?;
            return Ok(vec![Value::View(view)]);
        }
        // Steps along each axis of the indices; all of them must follow from these.
        let mut steps = vec![0; indices.dims.len()];
        let mut apart = 1;
        for (step, &count) in steps.iter_mut().zip(&indices.dims).rev() {
            if count > 1 {
                *step = chosen[apart].checked_sub(chosen[0]).ok_or("its indices go backwards")?;
            }
            apart *= count;
        }
        let even = chosen.iter().enumerate().all(|(at, &index)| {
            let mut rest = at;
            let mut sum = chosen[0];
            for (step, &count) in steps.iter().zip(&indices.dims).rev() {
                sum += step * (rest % count);
                rest /= count;
            }
            sum == index
        });
        let places: Vec<(usize, usize)> = indices.dims.iter().copied().zip(steps).collect();
        let found = even.then(|| view.picked(axis, chosen[0], &places)).flatten();
        let why = || "its indices are no regular steps along channels, rows or columns".to_string();
        found.map(|view| vec![Value::View(view)]).ok_or_else(why)
    }
}
