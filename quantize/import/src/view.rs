//! How a foreign tensor looks at the channels, rows and columns of an image.
//!
//! Exporters write a pixel shuffle as a reshape, a transpose and a reshape, repeat channels by expanding an axis of one, and
//! move channels to the end and back. None of it computes anything, so none of it becomes an operator: a tensor is a list of
//! axes, each made of pieces of the image it looks at, and only what is left at the end is turned into operators.

use crate::array;

/// Most channels that a view may have, those spread over rows and columns among them.
const MAX_CHANNELS: usize = 1 << 16;

/// A piece of an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// Its size; never one.
    pub size: usize,
    /// What it counts.
    pub of: Of,
}

/// What a piece of an axis counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// Channels, so many apart.
    Channel(usize),
    /// Nothing: the same value again.
    Repeat,
    /// Rows, so many apart.
    Row(usize),
    /// Columns, so many apart.
    Column(usize),
}

impl Of {
    /// Those that have so many of this between them.
    fn times(self, count: usize) -> Self {
        match self {
            Self::Channel(apart) => Self::Channel(apart * count),
            Self::Row(apart) => Self::Row(apart * count),
            Self::Column(apart) => Self::Column(apart * count),
            Self::Repeat => Self::Repeat,
        }
    }
}

/// A factor on all values that is put off until something computes with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Factor(u32);

impl Factor {
    /// None.
    pub const ONE: Self = Self::of(1.0);

    /// This one.
    pub const fn of(factor: f32) -> Self {
        Self(factor.to_bits())
    }

    /// Its value.
    pub const fn value(self) -> f32 {
        f32::from_bits(self.0)
    }
}

/// A row and a column.
pub type Place = [usize; 2];

/// A tensor that looks at an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// Number of the image.
    pub node: usize,
    /// Channel at which all counting begins.
    pub first: usize,
    /// Row and column at which all counting begins.
    pub origin: Place,
    /// Rows and columns by which the image is rolled: it begins with this one, and ends with the one before it.
    pub roll: Place,
    /// What its values are multiplied with.
    pub factor: Factor,
    /// The pieces of each axis, outermost first; none for an axis of size one.
    pub axes: Vec<Vec<Piece>>,
}

/// What a view is of its image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// The channel of the image behind each channel of the view.
    pub channels: Vec<usize>,
    /// Rows and columns of the image that become one; one for all of them.
    pub stride: usize,
    /// Which of them each channel of the view is.
    pub places: Vec<Place>,
    /// Factor by which the view spreads channels over rows and columns; one for none. The channels of a pixel of the view
    /// then lie behind each other, row by row.
    pub shuffle: usize,
    /// Whether the factor only repeats pixels.
    pub repeats: bool,
}

impl View {
    /// An image as `[1, C, H, W]`.
    pub fn image(node: usize, [channels, height, width]: [usize; 3]) -> Self {
        let piece = |size, of| if size == 1 { Vec::new() } else { vec![Piece { size, of }] };
        let axes = vec![
            Vec::new(),
            piece(channels, Of::Channel(1)),
            piece(height, Of::Row(1)),
            piece(width, Of::Column(1)),
        ];
        Self { axes, ..Self::of(node) }
    }

    /// One without axes.
    pub fn of(node: usize) -> Self {
        Self { node, first: 0, origin: [0; 2], roll: [0; 2], factor: Factor::ONE, axes: Vec::new() }
    }

    /// With an axis of all rows or columns that begins with another one, the ones before it at the end. `None` if it is none.
    pub fn rolled(&self, axis: usize, from: usize) -> Option<Self> {
        let side = match self.axes[axis][..] {
            [Piece { of: Of::Row(1), .. }] => 0,
            [Piece { of: Of::Column(1), .. }] => 1,
            _ => return None,
        };
        let size = self.dims()[axis];
        let mut view = self.clone();
        view.roll[side] = (view.roll[side] + from) % size;
        (self.origin[side] == 0).then_some(view)
    }

    /// With an axis replaced by others, of these sizes and steps along it, from its element `base` on. `None` if a step does not
    /// stay within a piece.
    pub fn picked(&self, axis: usize, base: usize, places: &[(usize, usize)]) -> Option<Self> {
        // Elements from one of a piece to the next, and where in it the counting begins.
        let mut pieces = Vec::new();
        let (mut apart, mut rest) = (1, base);
        for piece in self.axes[axis].iter().rev() {
            pieces.push((*piece, apart, rest % piece.size));
            rest /= piece.size;
            apart *= piece.size;
        }
        let mut view = self.clone();
        let mut axes = Vec::new();
        let mut last = vec![0; pieces.len()];
        for &(size, step) in places {
            if size == 1 {
                axes.push(Vec::new());
                continue;
            }
            if step == 0 {
                axes.push(vec![Piece { size, of: Of::Repeat }]);
                continue;
            }
            let k = pieces.iter().rposition(|(_, apart, _)| step.is_multiple_of(*apart))?;
            let (piece, apart, _) = pieces[k];
            last[k] += (size - 1) * (step / apart);
            axes.push(vec![Piece { size, of: piece.of.times(step / apart) }]);
        }
        for ((piece, _, begins), last) in pieces.iter().zip(&last) {
            if begins + last >= piece.size {
                return None;
            }
            match piece.of {
                Of::Channel(apart) => view.first += begins * apart,
                Of::Row(apart) => view.origin[0] += begins * apart,
                Of::Column(apart) => view.origin[1] += begins * apart,
                Of::Repeat => {}
            }
        }
        view.axes.splice(axis..=axis, axes);
        Some(view)
    }

    /// Sizes.
    pub fn dims(&self) -> Vec<usize> {
        let size =
            |axis: &Vec<Piece>| axis.iter().fold(1usize, |size, piece| size.saturating_mul(piece.size));
        self.axes.iter().map(size).collect()
    }

    /// With other sizes; 0 keeps one, −1 is what is left. `None` if an axis would end inside a piece.
    pub fn reshape(&self, target: &[i64]) -> Option<Self> {
        let dims = self.dims();
        let target = array::resolve(target, &dims, array::product(&dims)?)?;
        let mut pieces = self.axes.concat().into_iter();
        let mut open: Option<Piece> = None;
        let mut axes = Vec::new();
        for mut size in target {
            let mut axis = Vec::new();
            while size > 1 {
                let piece = open.take().or_else(|| pieces.next())?;
                if size.is_multiple_of(piece.size) {
                    size /= piece.size;
                    append(&mut axis, piece);
                } else if piece.size.is_multiple_of(size) {
                    // The outer part belongs here, the inner one to the next axis.
                    let inner = piece.size / size;
                    append(&mut axis, Piece { size, of: piece.of.times(inner) });
                    open = Some(Piece { size: inner, of: piece.of });
                    size = 1;
                } else {
                    return None;
                }
            }
            axes.push(axis);
        }
        Some(Self { axes, ..*self })
    }

    /// With its axes in another order.
    pub fn transpose(&self, order: &[usize]) -> Option<Self> {
        let mut seen = vec![false; self.axes.len()];
        let mut take = |&axis: &usize| {
            let fresh = seen.get(axis) == Some(&false);
            if let Some(seen) = seen.get_mut(axis) {
                *seen = true;
            }
            fresh.then(|| self.axes[axis].clone())
        };
        let axes: Option<Vec<_>> = order.iter().map(&mut take).collect();
        (order.len() == self.axes.len()).then_some(Self { axes: axes?, ..*self })
    }

    /// With axes of size one repeated, as far as these sizes say so.
    pub fn expand(&self, dims: &[usize]) -> Option<Self> {
        let wanted = array::common(&self.dims(), dims)?;
        let new = wanted.len() - self.axes.len();
        let axes =
            wanted.iter().enumerate().map(|(i, &size)| match i.checked_sub(new).map(|i| &self.axes[i]) {
                Some(axis) if !axis.is_empty() || size == 1 => axis.clone(),
                _ if size == 1 => Vec::new(),
                _ => vec![Piece { size, of: Of::Repeat }],
            });
        Some(Self { axes: axes.collect(), ..*self })
    }

    /// With an axis repeated as a whole, so many times.
    pub fn tile(&self, axis: usize, times: usize) -> Self {
        let mut view = self.clone();
        if times > 1 {
            view.axes[axis].insert(0, Piece { size: times, of: Of::Repeat });
        }
        view
    }

    /// Every so many rows or columns of an axis, from one on. `None` if it is no plain one, or is not divided by that.
    pub fn strided(&self, axis: usize, from: usize, step: usize) -> Option<Self> {
        let mut view = self.clone();
        let [Piece { size, of }] = self.axes[axis][..] else { return None };
        if step == 0 || from >= step || !size.is_multiple_of(step) {
            return None;
        }
        let side = match of {
            Of::Row(_) => 0,
            Of::Column(_) => 1,
            Of::Channel(_) | Of::Repeat => return None,
        };
        let (Of::Row(apart) | Of::Column(apart)) = of else { return None };
        view.origin[side] += from * apart;
        view.axes[axis] =
            if size == step { Vec::new() } else { vec![Piece { size: size / step, of: of.times(step) }] };
        Some(view)
    }

    /// A part of an axis of channels. `None` if it is no plain one.
    pub fn slice(&self, axis: usize, from: usize, size: usize) -> Option<Self> {
        let mut view = self.clone();
        match self.axes[axis][..] {
            _ if from == 0 && size == self.dims()[axis] => {}
            [Piece { of: Of::Channel(apart), .. }] => {
                view.first += from * apart;
                view.axes[axis] =
                    if size == 1 { Vec::new() } else { vec![Piece { size, of: Of::Channel(apart) }] };
            }
            _ => return None,
        }
        Some(view)
    }

    /// With axes of size one added, at places in the result.
    pub fn unsqueeze(&self, axes: &[i64]) -> Option<Self> {
        let rank = self.axes.len() + axes.len();
        let mut at: Vec<usize> = axes.iter().map(|&axis| array::index(axis, rank)).collect::<Option<_>>()?;
        at.sort_unstable();
        let mut view = self.clone();
        at.into_iter().for_each(|axis| view.axes.insert(axis.min(view.axes.len()), Vec::new()));
        Some(view)
    }

    /// Without these axes of size one; all of them if none are named.
    pub fn squeeze(&self, axes: Option<&[i64]>) -> Option<Self> {
        let gone: Vec<usize> = match axes {
            Some(axes) => {
                axes.iter().map(|&axis| array::index(axis, self.axes.len())).collect::<Option<_>>()?
            }
            None => (0..self.axes.len()).filter(|&i| self.axes[i].is_empty()).collect(),
        };
        if gone.iter().any(|&i| !self.axes[i].is_empty()) {
            return None;
        }
        let axes = self.axes.iter().enumerate().filter(|(i, _)| !gone.contains(i));
        Some(Self { axes: axes.map(|(_, axis)| axis.clone()).collect(), ..*self })
    }

    /// What it is of its image: some channels of it, perhaps spread over rows and columns, or some of the rows and columns
    /// gathered into channels. Axes may stand in any order, as long as rows come before columns. `None` if it is something
    /// else, such as a part of the rows.
    pub fn picture(&self) -> Option<Picture> {
        if self.roll != [0; 2] {
            return None;
        }
        // The axis whose first piece counts rows (columns) farthest apart, what follows it, and how far apart they are.
        let with = |apart: fn(Of) -> Option<usize>| {
            let largest = self.axes.iter().flatten().filter_map(|p| apart(p.of)).max();
            // A single row or column leaves nothing to count.
            let Some(largest) = largest else { return Some((None, &[][..], 1)) };
            let mut found = self
                .axes
                .iter()
                .enumerate()
                .filter(|(_, axis)| axis.first().is_some_and(|p| apart(p.of) == Some(largest)));
            let (place, axis) = found.next()?;
            Some((Some(place), &axis[1..], largest))
        };
        let (row, rows, stride) = with(|of| if let Of::Row(apart) = of { Some(apart) } else { None })?;
        let (column, columns, across) =
            with(|of| if let Of::Column(apart) = of { Some(apart) } else { None })?;
        if row.zip(column).is_some_and(|(row, column)| row >= column) || stride != across {
            return None;
        }
        let rest = self.axes.iter().enumerate().filter(|(i, _)| Some(*i) != row && Some(*i) != column);
        let channels: Vec<Piece> = rest.flat_map(|(_, axis)| axis).copied().collect();
        let inner = |pieces: &[Piece]| pieces.iter().fold(1usize, |size, p| size.saturating_mul(p.size));
        let shuffle = inner(rows);
        let all = [&channels, rows, columns].concat();
        // Not both at a time; and all that is counted of a block of rows and columns is within it.
        let gathers = |p: &Piece| matches!(p.of, Of::Row(_) | Of::Column(_));
        if inner(columns) != shuffle
            || inner(&all) > MAX_CHANNELS
            || [rows, columns].concat().iter().any(gathers)
            || self.origin.iter().any(|&at| at >= stride)
        {
            return None;
        }
        let mut list = vec![(self.first, self.origin)];
        for piece in &all {
            let step = |i: usize, (channel, [y, x]): (usize, Place)| match piece.of {
                Of::Channel(apart) => (channel + i * apart, [y, x]),
                Of::Repeat => (channel, [y, x]),
                Of::Row(apart) => (channel, [y + i * apart, x]),
                Of::Column(apart) => (channel, [y, x + i * apart]),
            };
            list = list.iter().flat_map(|&base| (0..piece.size).map(move |i| step(i, base))).collect();
        }
        if list.iter().any(|(_, [y, x])| *y >= stride || *x >= stride) {
            return None;
        }
        let repeats = shuffle > 1 && [rows, columns].concat().iter().all(|p| p.of == Of::Repeat);
        if repeats {
            list = list.into_iter().step_by(shuffle * shuffle).collect();
        }
        let (channels, places) = list.into_iter().unzip();
        Some(Picture { channels, stride, places, shuffle, repeats })
    }

    /// Whether its axes are those of `[1, C, H, W]`, which operators on images need.
    pub fn is_image(&self) -> bool {
        match &self.axes[..] {
            [batch, _, rows, columns] => {
                // Of a single row or column there is nothing to count.
                let counts = |axis: &[Piece], is: fn(&Of) -> bool| axis.first().is_none_or(|p| is(&p.of));
                batch.is_empty()
                    && counts(rows, |of| matches!(of, Of::Row(_)))
                    && counts(columns, |of| matches!(of, Of::Column(_)))
                    && self.picture().is_some()
            }
            _ => false,
        }
    }
}

/// Puts a piece behind an axis; with the one before it if both together count as one.
fn append(axis: &mut Vec<Piece>, piece: Piece) {
    match axis.last_mut() {
        Some(last) if last.of == piece.of.times(piece.size) => {
            *last = Piece { size: last.size * piece.size, of: piece.of };
        }
        _ => axis.push(piece),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(channels: usize) -> View {
        View::image(0, [channels, 10, 14])
    }

    #[test]
    fn a_reshaped_and_transposed_tensor_is_a_pixel_shuffle() {
        let view = image(12).reshape(&[1, 3, 2, 2, 10, 14]).expect("splits channels");
        let view =
            view.transpose(&[0, 1, 4, 2, 5, 3]).expect("an order").reshape(&[1, 3, 20, 28]).expect("joins");
        assert_eq!(view.dims(), [1, 3, 20, 28]);
        let places = vec![[0; 2]; 12];
        let expected = Picture { channels: (0..12).collect(), stride: 1, places, shuffle: 2, repeats: false };
        assert_eq!(view.picture(), Some(expected));
        // TensorFlow's order: the place in the block is the outer part.
        let view = image(12).reshape(&[1, 2, 2, 3, 10, 14]).expect("splits channels");
        let view =
            view.transpose(&[0, 3, 4, 1, 5, 2]).expect("an order").reshape(&[1, 3, 20, 28]).expect("joins");
        assert_eq!(view.picture().expect("a picture").channels, [0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11]);
    }

    #[test]
    fn rows_and_columns_are_gathered_into_channels() {
        let view = image(3).reshape(&[1, 3, 5, 2, 7, 2]).expect("splits rows and columns");
        let view =
            view.transpose(&[0, 1, 3, 5, 2, 4]).expect("an order").reshape(&[1, 12, 5, 7]).expect("joins");
        assert!(view.is_image());
        let picture = view.picture().expect("a picture");
        assert_eq!((picture.stride, picture.shuffle), (2, 1));
        assert_eq!(picture.channels, [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]);
        assert_eq!(picture.places[..4], [[0, 0], [0, 1], [1, 0], [1, 1]]);
        // One of four.
        let part = image(3).strided(2, 1, 2).and_then(|v| v.strided(3, 0, 2)).expect("every other");
        assert_eq!(part.dims(), [1, 3, 5, 7]);
        assert_eq!(part.picture().expect("a picture").places, [[1, 0]; 3]);
        assert_eq!(image(3).strided(2, 0, 3), None, "ten rows are no multiple of three");
        // And back.
        let whole = view.reshape(&[1, 3, 2, 2, 5, 7]).and_then(|v| v.transpose(&[0, 1, 4, 2, 5, 3]));
        let whole = whole.and_then(|v| v.reshape(&[1, 3, 10, 14])).expect("joins");
        assert_eq!(whole, image(3));
    }

    #[test]
    fn channels_are_repeated_cut_and_moved() {
        let view = image(3).unsqueeze(&[2]).expect("an axis").expand(&[1, 3, 4, 10, 14]).expect("repeats");
        let view = view.reshape(&[1, 12, 10, 14]).expect("joins");
        assert_eq!(view.picture().expect("a picture").channels, [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]);
        let part = image(8).slice(1, 2, 3).expect("a part");
        assert_eq!(part.picture().expect("a picture").channels, [2, 3, 4]);
        let last = image(3).transpose(&[0, 2, 3, 1]).expect("an order");
        assert!(!last.is_image() && last.transpose(&[0, 3, 1, 2]).expect("back").is_image());
        assert_eq!(last.picture().expect("in any order").channels, [0, 1, 2]);
        assert_eq!(image(3).tile(1, 2).picture().expect("a picture").channels, [0, 1, 2, 0, 1, 2]);
        let nearest = image(3).reshape(&[1, 3, 10, 1, 14, 1]).expect("axes").expand(&[1, 3, 10, 2, 14, 2]);
        let nearest = nearest.expect("repeats").reshape(&[1, 3, 20, 28]).expect("joins").picture();
        let nearest = nearest.expect("a picture");
        assert_eq!((nearest.channels, nearest.shuffle, nearest.repeats), (vec![0, 1, 2], 2, true));
        let cut = image(3).reshape(&[1, 3, 5, 2, 14]).expect("splits rows");
        assert_eq!(cut.picture(), None, "rows alone cannot be cut");
        assert_eq!(image(3).transpose(&[0, 1, 3, 2]).expect("an order").picture(), None, "nor turned");
    }
}
