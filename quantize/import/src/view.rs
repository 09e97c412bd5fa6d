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
    /// Rows.
    Row,
    /// Columns.
    Column,
}

/// A tensor that looks at an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// Number of the image.
    pub node: usize,
    /// Channel at which all counting begins.
    pub first: usize,
    /// The pieces of each axis, outermost first; none for an axis of size one.
    pub axes: Vec<Vec<Piece>>,
}

/// What a view is of its image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// The channel of the image behind each channel of the view.
    pub channels: Vec<usize>,
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
            piece(height, Of::Row),
            piece(width, Of::Column),
        ];
        Self { node, first: 0, axes }
    }

    /// Sizes.
    pub fn dims(&self) -> Vec<usize> {
        let size =
            |axis: &Vec<Piece>| axis.iter().fold(1usize, |size, piece| size.saturating_mul(piece.size));
        self.axes.iter().map(size).collect()
    }

    /// With other sizes; 0 keeps one, −1 is what is left. `None` if an axis would end inside a row.
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
                    axis.push(piece);
                } else if piece.size.is_multiple_of(size) {
                    // The outer part belongs here, the inner one to the next axis.
                    let inner = piece.size / size;
                    let of = match piece.of {
                        Of::Channel(apart) => Of::Channel(apart * inner),
                        Of::Repeat => Of::Repeat,
                        Of::Row | Of::Column => return None,
                    };
                    axis.push(Piece { size, of });
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

    /// What it is of its image: some channels of it, perhaps spread over rows and columns. Axes may stand in any order, as
    /// long as rows come before columns. `None` if it is something else, such as a part of the rows.
    pub fn picture(&self) -> Option<Picture> {
        let with = |of: Of| {
            let found: Vec<&Vec<Piece>> =
                self.axes.iter().filter(|axis| axis.iter().any(|p| p.of == of)).collect();
            match found[..] {
                [axis] if axis[0].of == of => Some(&axis[1..]),
                // A single row or column leaves nothing to count.
                [] => Some(&[][..]),
                _ => None,
            }
        };
        let (rows, columns) = (with(Of::Row)?, with(Of::Column)?);
        let place = |of: Of| self.axes.iter().position(|axis| axis.first().is_some_and(|p| p.of == of));
        if let (Some(row), Some(column)) = (place(Of::Row), place(Of::Column))
            && row > column
        {
            return None;
        }
        let rest = self.axes.iter().filter(|axis| !axis.iter().any(|p| matches!(p.of, Of::Row | Of::Column)));
        let channels: Vec<Piece> = rest.flatten().copied().collect();
        let inner = |pieces: &[Piece]| pieces.iter().fold(1usize, |size, p| size.saturating_mul(p.size));
        let shuffle = inner(rows);
        let all = [&channels, rows, columns].concat();
        if inner(columns) != shuffle || inner(&all) > MAX_CHANNELS {
            return None;
        }
        let mut list = vec![self.first];
        for piece in &all {
            let step = match piece.of {
                Of::Channel(apart) => apart,
                Of::Repeat => 0,
                Of::Row | Of::Column => return None,
            };
            list = list.iter().flat_map(|&base| (0..piece.size).map(move |i| base + i * step)).collect();
        }
        let repeats = shuffle > 1 && [rows, columns].concat().iter().all(|p| p.of == Of::Repeat);
        if repeats {
            list = list.into_iter().step_by(shuffle * shuffle).collect();
        }
        Some(Picture { channels: list, shuffle, repeats })
    }

    /// Whether its axes are those of `[1, C, H, W]`, which operators on images need.
    pub fn is_image(&self) -> bool {
        let has = |axis: &[Piece], of: Of| axis.first().is_some_and(|p| p.of == of);
        match &self.axes[..] {
            [batch, channels, rows, columns] => {
                let plain = channels.iter().all(|p| matches!(p.of, Of::Channel(_) | Of::Repeat));
                // Of a single row or column there is nothing to count.
                let counts = |axis: &[Piece], of: Of| axis.is_empty() || has(axis, of);
                batch.is_empty() && plain && counts(rows, Of::Row) && counts(columns, Of::Column)
            }
            _ => false,
        }
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
        let expected = Picture { channels: (0..12).collect(), shuffle: 2, repeats: false };
        assert_eq!(view.picture(), Some(expected));
        // TensorFlow's order: the place in the block is the outer part.
        let view = image(12).reshape(&[1, 2, 2, 3, 10, 14]).expect("splits channels");
        let view =
            view.transpose(&[0, 3, 4, 1, 5, 2]).expect("an order").reshape(&[1, 3, 20, 28]).expect("joins");
        assert_eq!(view.picture().expect("a picture").channels, [0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11]);
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
        assert_eq!(nearest, Some(Picture { channels: vec![0, 1, 2], shuffle: 2, repeats: true }));
        assert_eq!(image(3).reshape(&[1, 3, 5, 2, 14]), None, "rows cannot be cut");
        assert_eq!(image(3).transpose(&[0, 1, 3, 2]).expect("an order").picture(), None, "nor turned");
    }
}
