//! Constants of a foreign network, and arithmetic on them: what exporters leave of `x.shape[2] * 2`.

use crate::error::ImportError;

/// Most elements of a constant; far above any network that the engine runs.
const MAX_ELEMENTS: usize = 1 << 26;

/// A constant tensor, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// Sizes, outermost first; none for a single number.
    pub dims: Vec<usize>,
    /// Values. Integers are exact up to 2^53, beyond which no network counts.
    pub values: Vec<f64>,
    /// Whether they are integers, which divide without a rest.
    pub integer: bool,
}

impl Array {
    /// Of values whose number fits the sizes.
    pub fn new(dims: Vec<usize>, values: Vec<f64>, integer: bool) -> Self {
        debug_assert_eq!(dims.iter().product::<usize>(), values.len());
        Self { dims, values, integer }
    }

    /// A list of integers.
    pub fn list(values: impl IntoIterator<Item = i64>) -> Self {
        let values: Vec<f64> = values.into_iter().map(|v| v as f64).collect();
        Self { dims: vec![values.len()], values, integer: true }
    }

    /// As integers.
    pub fn ints(&self) -> Vec<i64> {
        self.values.iter().map(|&v| v as i64).collect()
    }

    /// As floats.
    pub fn floats(&self) -> Vec<f32> {
        self.values.iter().map(|&v| v as f32).collect()
    }

    /// The only value, if there is just one.
    pub fn scalar(&self) -> Option<f64> {
        match self.values[..] {
            [one] => Some(one),
            _ => None,
        }
    }

    /// Index of an axis that may count from the end.
    pub fn axis(&self, axis: i64) -> Option<usize> {
        index(axis, self.dims.len())
    }

    /// The same values with other sizes; 0 keeps a size, −1 is what is left.
    pub fn reshape(&self, target: &[i64]) -> Option<Self> {
        let dims = resolve(target, &self.dims, self.values.len())?;
        Some(Self { dims, ..self.clone() })
    }

    /// With its axes in another order.
    pub fn transpose(&self, order: &[usize]) -> Option<Self> {
        let rank = self.dims.len();
        let mut seen = vec![false; rank];
        let fits = order.len() == rank
            && order.iter().all(|&axis| axis < rank && !std::mem::replace(&mut seen[axis], true));
        fits.then(|| {
            let dims: Vec<usize> = order.iter().map(|&axis| self.dims[axis]).collect();
            self.gather_by(&dims, |place| {
                let mut from = vec![0; rank];
                order.iter().zip(place).for_each(|(&axis, &at)| from[axis] = at);
                from
            })
        })
    }

    /// A new array whose value at each place is the one at another place here.
    fn gather_by(&self, dims: &[usize], from: impl Fn(&[usize]) -> Vec<usize>) -> Self {
        let mut place = vec![0; dims.len()];
        let count = dims.iter().product();
        let mut values = Vec::with_capacity(count);
        for _ in 0..count {
            let at = from(&place).iter().zip(&self.dims).fold(0, |at, (&i, &size)| at * size + i);
            values.push(self.values[at]);
            for (i, &size) in place.iter_mut().zip(dims).rev() {
                *i += 1;
                if *i < size {
                    break;
                }
                *i = 0;
            }
        }
        Self { dims: dims.to_vec(), values, integer: self.integer }
    }

    /// Repeated along axes of size one.
    pub fn broadcast(&self, dims: &[usize]) -> Option<Self> {
        let shift = dims.len().checked_sub(self.dims.len())?;
        let fits = self.dims.iter().zip(&dims[shift..]).all(|(&own, &wanted)| own == wanted || own == 1);
        if !fits || product(dims)? > MAX_ELEMENTS {
            return None;
        }
        Some(self.gather_by(dims, |place| {
            place[shift..].iter().zip(&self.dims).map(|(&i, &size)| if size == 1 { 0 } else { i }).collect()
        }))
    }

    /// `operation` of two arrays, broadcast to one size.
    pub fn zip(&self, other: &Self, integer: bool, operation: impl Fn(f64, f64) -> f64) -> Option<Self> {
        let dims = common(&self.dims, &other.dims)?;
        let (a, b) = (self.broadcast(&dims)?, other.broadcast(&dims)?);
        let values = a.values.iter().zip(&b.values).map(|(a, b)| operation(*a, *b)).collect();
        Some(Self { dims, values, integer })
    }

    /// `operation` of every value.
    pub fn map(&self, integer: bool, operation: impl Fn(f64) -> f64) -> Self {
        Self { dims: self.dims.clone(), values: self.values.iter().map(|v| operation(*v)).collect(), integer }
    }

    /// Slices at `indices` of an axis. Indices that are a single number take the axis away.
    pub fn gather(&self, indices: &Self, axis: i64) -> Option<Self> {
        let axis = self.axis(axis)?;
        let size = self.dims[axis];
        let chosen: Option<Vec<usize>> = indices.ints().iter().map(|&i| index(i, size)).collect();
        let taken = self.take(axis, &chosen?);
        let dims = [&self.dims[..axis], &indices.dims, &self.dims[axis + 1..]].concat();
        Some(Self { dims, ..taken })
    }

    /// The slices `chosen` of an axis.
    pub fn take(&self, axis: usize, chosen: &[usize]) -> Self {
        let mut dims = self.dims.clone();
        dims[axis] = chosen.len();
        self.gather_by(&dims, |place| {
            let mut from = place.to_vec();
            from[axis] = chosen[place[axis]];
            from
        })
    }

    /// Arrays behind each other along an axis.
    pub fn concat(parts: &[&Self], axis: i64) -> Option<Self> {
        let first = parts.first()?;
        let axis = first.axis(axis)?;
        let same = |part: &&Self| {
            part.dims.len() == first.dims.len()
                && part.dims.iter().zip(&first.dims).enumerate().all(|(i, (a, b))| i == axis || a == b)
        };
        if !parts.iter().all(same) {
            return None;
        }
        let mut dims = first.dims.clone();
        dims[axis] = parts.iter().map(|part| part.dims[axis]).sum();
        let outer: usize = dims[..axis].iter().product();
        let mut values = Vec::new();
        for i in 0..outer {
            for part in parts {
                let run: usize = part.dims[axis..].iter().product();
                values.extend_from_slice(&part.values[i * run..(i + 1) * run]);
            }
        }
        Some(Self { dims, values, integer: first.integer })
    }
}

/// Sizes of two arrays broadcast against each other.
pub fn common(a: &[usize], b: &[usize]) -> Option<Vec<usize>> {
    let rank = a.len().max(b.len());
    let size = |dims: &[usize], i: usize| (i + dims.len()).checked_sub(rank).map_or(1, |i| dims[i]);
    (0..rank)
        .map(|i| match (size(a, i), size(b, i)) {
            (a, b) if a == b || b == 1 => Some(a),
            (1, b) => Some(b),
            _ => None,
        })
        .collect()
}

/// An index that may count from the end.
pub fn index(at: i64, size: usize) -> Option<usize> {
    let size = i64::try_from(size).ok()?;
    let at = if at < 0 { at + size } else { at };
    (0..size).contains(&at).then_some(at as usize)
}

/// Product of sizes, if it is no absurd number.
pub fn product(dims: &[usize]) -> Option<usize> {
    dims.iter().try_fold(1usize, |product, &size| product.checked_mul(size))
}

/// Sizes of a reshape, in which 0 keeps one and −1 is what is left.
pub fn resolve(target: &[i64], from: &[usize], count: usize) -> Option<Vec<usize>> {
    let mut dims = Vec::with_capacity(target.len());
    let mut open = None;
    for (i, &size) in target.iter().enumerate() {
        dims.push(match size {
            -1 if open.is_none() => {
                open = Some(i);
                1
            }
            0 => *from.get(i)?,
            size => usize::try_from(size).ok()?,
        });
    }
    let known = product(&dims)?;
    if let Some(open) = open {
        dims[open] = if known > 0 && count.is_multiple_of(known) { count / known } else { return None };
    }
    (product(&dims)? == count).then_some(dims)
}

/// Bits of a half-precision number as a number.
pub fn half(bits: u16) -> f64 {
    let (sign, exponent, fraction) = (bits >> 15, i32::from(bits >> 10 & 31), f64::from(bits & 1023));
    let size = match exponent {
        0 => fraction * 2f64.powi(-24),
        31 => f64::INFINITY * if fraction == 0.0 { 1.0 } else { f64::NAN },
        _ => (1.0 + fraction / 1024.0) * 2f64.powi(exponent - 15),
    };
    if sign == 1 { -size } else { size }
}

/// An array of a file, whose sizes are not trusted.
///
/// # Errors
/// [`ImportError::Constant`].
pub fn checked(name: &str, dims: &[i64], values: Vec<f64>, integer: bool) -> Result<Array, ImportError> {
    let wrong = || ImportError::Constant { name: name.into() };
    let dims: Vec<usize> =
        dims.iter().map(|&d| usize::try_from(d).map_err(|_| wrong())).collect::<Result<_, _>>()?;
    if product(&dims) != Some(values.len()) {
        return Err(wrong());
    }
    Ok(Array { dims, values, integer })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_precision_is_that_of_ieee() {
        for (bits, value) in
            [(0x3c00, 1.0), (0xc000, -2.0), (0x0001, 2f64.powi(-24)), (0x7bff, 65504.0), (0x8000, 0.0)]
        {
            assert_eq!(half(bits), value, "{bits:#x}");
        }
        assert!(half(0x7c00).is_infinite() && half(0x7e00).is_nan());
    }

    #[test]
    fn axes_are_moved_and_repeated_as_numpy_does_it() {
        let a = Array::new(vec![2, 3], (0..6).map(f64::from).collect(), true);
        assert_eq!(a.transpose(&[1, 0]).expect("fits").values, [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
        assert_eq!(a.transpose(&[0, 0]), None);
        assert_eq!(
            a.gather(&Array::list([-1]), 1).expect("fits"),
            Array::new(vec![2, 1], vec![2.0, 5.0], true)
        );
        let row = Array::new(vec![3], vec![10.0, 20.0, 30.0], true);
        let sum = a.zip(&row, true, |a, b| a + b).expect("broadcasts");
        assert_eq!(sum.values, [10.0, 21.0, 32.0, 13.0, 24.0, 35.0]);
        assert_eq!(a.zip(&Array::list([1, 2]), true, |a, _| a), None);
        let twice = Array::concat(&[&a, &a], 1).expect("fits");
        assert_eq!((twice.dims, &twice.values[..7]), (vec![2, 6], &[0.0, 1.0, 2.0, 0.0, 1.0, 2.0, 3.0][..]));
        assert_eq!(a.reshape(&[0, -1, 1]).expect("fits").dims, [2, 3, 1]);
        assert_eq!(a.reshape(&[4, -1]), None);
    }
}
