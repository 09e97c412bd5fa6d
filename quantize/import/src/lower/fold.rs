//! Operators on constants, and what is known of an image's sizes: the arithmetic that exporters leave in the graph.

use crate::array::{self, Array};
use crate::net::{Attribute, Layer};

/// Result of an operator whose inputs are all constants; `None` for an operator or a form that is not done here.
pub fn constant(layer: &Layer, inputs: &[Option<&Array>], opset: i64) -> Option<Array> {
    let input = |k: usize| inputs.get(k).copied().flatten();
    let two = || Some((input(0)?, input(1)?));
    match layer.kind.as_str() {
        "Constant" => value(layer),
        "Identity" | "Dropout" => input(0).cloned(),
        "Shape" => Some(shape(&input(0)?.dims, layer)),
        "Size" => Some(Array::new(Vec::new(), vec![input(0)?.values.len() as f64], true)),
        "Cast" => {
            // To floats, or to integers, which are cut.
            let integer = !matches!(layer.int("to", 1), 1 | 10 | 11 | 16);
            Some(input(0)?.map(integer, |v| if integer { v.trunc() } else { v }))
        }
        "Gather" => input(0)?.gather(input(1)?, layer.int("axis", 0)),
        "Concat" => Array::concat(&inputs.iter().copied().collect::<Option<Vec<_>>>()?, layer.int("axis", 0)),
        "Unsqueeze" => {
            let x = input(0)?;
            let axes = axes(layer, input(1))?;
            let rank = x.dims.len() + axes.len();
            let mut at: Vec<usize> = axes.iter().map(|&a| array::index(a, rank)).collect::<Option<_>>()?;
            at.sort_unstable();
            let mut dims = x.dims.clone();
            at.into_iter().for_each(|axis| dims.insert(axis.min(dims.len()), 1));
            Some(Array { dims, ..x.clone() })
        }
        "Squeeze" => {
            let x = input(0)?;
            let gone: Option<Vec<usize>> = axes(layer, input(1))
                .map(|a| a.iter().filter_map(|&a| array::index(a, x.dims.len())).collect());
            let keep = |i: usize| gone.as_ref().map_or(x.dims[i] != 1, |gone| !gone.contains(&i));
            let dims: Vec<usize> = (0..x.dims.len()).filter(|&i| keep(i)).map(|i| x.dims[i]).collect();
            (array::product(&dims) == Some(x.values.len())).then(|| Array { dims, ..x.clone() })
        }
        "Reshape" => input(0)?.reshape(&input(1)?.ints()),
        "Flatten" => {
            let x = input(0)?;
            let axis = match layer.int("axis", 1) {
                axis if axis < 0 => axis + x.dims.len() as i64,
                axis => axis,
            };
            let outer = x.dims.get(..usize::try_from(axis).ok()?)?.iter().product::<usize>();
            x.reshape(&[outer as i64, -1])
        }
        "Transpose" => {
            let x = input(0)?;
            let order: Vec<usize> = match layer.ints("perm") {
                Some(perm) => perm.iter().map(|&p| usize::try_from(p).ok()).collect::<Option<_>>()?,
                None => (0..x.dims.len()).rev().collect(),
            };
            x.transpose(&order)
        }
        "Slice" => {
            let mut x = input(0)?.clone();
            for (axis, chosen) in slices(layer, inputs, &x.dims, opset)? {
                x = x.take(axis, &chosen);
            }
            Some(x)
        }
        "Expand" => {
            let x = input(0)?;
            let wanted: Vec<usize> =
                input(1)?.ints().iter().map(|&d| usize::try_from(d).ok()).collect::<Option<_>>()?;
            x.broadcast(&array::common(&x.dims, &wanted)?)
        }
        "ConstantOfShape" => {
            let wanted: Vec<usize> =
                input(0)?.ints().iter().map(|&d| usize::try_from(d).ok()).collect::<Option<_>>()?;
            let one = match layer.attributes.get("value") {
                Some(Attribute::Tensor(value)) => value.clone(),
                _ => Array::new(vec![1], vec![0.0], false),
            };
            one.reshape(&vec![1; wanted.len()])?.broadcast(&wanted)
        }
        "Range" => {
            let (start, end, step) = (input(0)?.scalar()?, input(1)?.scalar()?, input(2)?.scalar()?);
            let count = ((end - start) / step).ceil();
            let fits = (0.0..=65536.0).contains(&count);
            fits.then(|| {
                let values = (0..count as usize).map(|i| start + step * i as f64).collect::<Vec<_>>();
                Array::new(vec![values.len()], values, inputs[0].is_some_and(|a| a.integer))
            })
        }
        "Where" => {
            let (test, (a, b)) = (input(0)?, (input(1)?, input(2)?));
            let dims = array::common(&array::common(&test.dims, &a.dims)?, &b.dims)?;
            let [test, a, b] = [test, a, b].map(|x| x.broadcast(&dims));
            let (test, a, b) = (test?, a?, b?);
            let pick = |i: usize| if test.values[i] != 0.0 { a.values[i] } else { b.values[i] };
            Some(Array::new(dims, (0..test.values.len()).map(pick).collect(), a.integer))
        }
        "Tile" => {
            let (x, times) = (input(0)?, input(1)?.ints());
            // Each axis as two, of which the first is repeated.
            let pairs: Option<Vec<[usize; 2]>> = (times.len() == x.dims.len())
                .then(|| {
                    times
                        .iter()
                        .zip(&x.dims)
                        .map(|(&n, &size)| Some([usize::try_from(n).ok()?, size]))
                        .collect()
                })
                .flatten();
            let pairs = pairs?;
            let split: Vec<i64> = pairs.iter().flat_map(|[_, size]| [1, *size as i64]).collect();
            let whole = x.reshape(&split)?.broadcast(&pairs.concat())?;
            let dims: Option<Vec<usize>> = pairs.iter().map(|pair| array::product(pair)).collect();
            Some(Array { dims: dims?, ..whole })
        }
        "ScatterND" => scatter(input(0)?, input(1)?, input(2)?),
        "ReduceProd" => {
            Some(Array::new(Vec::new(), vec![input(0)?.values.iter().product()], input(0)?.integer))
        }
        "Add" => two().and_then(|(a, b)| a.zip(b, a.integer, |a, b| a + b)),
        "Sub" => two().and_then(|(a, b)| a.zip(b, a.integer, |a, b| a - b)),
        "Mul" => two().and_then(|(a, b)| a.zip(b, a.integer, |a, b| a * b)),
        "Div" => two().and_then(|(a, b)| {
            let integer = a.integer;
            a.zip(b, integer, move |a, b| if integer { (a / b).trunc() } else { a / b })
        }),
        "Mod" => two().and_then(|(a, b)| a.zip(b, a.integer, f64::rem_euclid)),
        "Pow" => two().and_then(|(a, b)| a.zip(b, a.integer, f64::powf)),
        "Min" => two().and_then(|(a, b)| a.zip(b, a.integer, f64::min)),
        "Max" => two().and_then(|(a, b)| a.zip(b, a.integer, f64::max)),
        "Equal" => two().and_then(|(a, b)| a.zip(b, true, |a, b| f64::from(a == b))),
        "Greater" => two().and_then(|(a, b)| a.zip(b, true, |a, b| f64::from(a > b))),
        "Less" => two().and_then(|(a, b)| a.zip(b, true, |a, b| f64::from(a < b))),
        "GreaterOrEqual" => two().and_then(|(a, b)| a.zip(b, true, |a, b| f64::from(a >= b))),
        "LessOrEqual" => two().and_then(|(a, b)| a.zip(b, true, |a, b| f64::from(a <= b))),
        "Or" => two().and_then(|(a, b)| a.zip(b, true, |a, b| f64::from(a != 0.0 || b != 0.0))),
        "Xor" => two().and_then(|(a, b)| a.zip(b, true, |a, b| f64::from((a != 0.0) != (b != 0.0)))),
        "Sign" => Some(input(0)?.map(input(0)?.integer, |v| if v == 0.0 { 0.0 } else { v.signum() })),
        "Exp" => Some(input(0)?.map(false, f64::exp)),
        "Log" => Some(input(0)?.map(false, f64::ln)),
        "And" => two().and_then(|(a, b)| a.zip(b, true, |a, b| f64::from(a != 0.0 && b != 0.0))),
        "Not" => Some(input(0)?.map(true, |v| f64::from(v == 0.0))),
        "Neg" => Some(input(0)?.map(input(0)?.integer, |v| -v)),
        "Abs" => Some(input(0)?.map(input(0)?.integer, f64::abs)),
        "Floor" => Some(input(0)?.map(false, f64::floor)),
        "Ceil" => Some(input(0)?.map(false, f64::ceil)),
        "Round" => Some(input(0)?.map(false, f64::round_ties_even)),
        "Sqrt" => Some(input(0)?.map(false, f64::sqrt)),
        "Reciprocal" => Some(input(0)?.map(false, |v| 1.0 / v)),
        _ => None,
    }
}

/// An array with some of its values, or parts, replaced.
fn scatter(x: &Array, indices: &Array, updates: &Array) -> Option<Array> {
    let depth = *indices.dims.last()?;
    let inner: usize = x.dims.get(depth..)?.iter().product();
    let count = indices.values.len().checked_div(depth)?;
    let mut found = x.clone();
    if updates.values.len() != count * inner {
        return None;
    }
    for (place, update) in indices.ints().chunks_exact(depth).zip(updates.values.chunks(inner.max(1))) {
        let mut at = 0;
        for (&i, &size) in place.iter().zip(&x.dims) {
            at = at * size + array::index(i, size)?;
        }
        found.values.get_mut(at * inner..(at + 1) * inner)?.copy_from_slice(update);
    }
    Some(found)
}

/// What a `Constant` holds, in any of the forms of its attributes.
fn value(layer: &Layer) -> Option<Array> {
    layer.attributes.values().next().map(|attribute| match attribute {
        Attribute::Tensor(array) => array.clone(),
        Attribute::Float(f) => Array::new(Vec::new(), vec![f64::from(*f)], false),
        Attribute::Int(i) => Array::new(Vec::new(), vec![*i as f64], true),
        Attribute::Floats(list) => {
            Array::new(vec![list.len()], list.iter().map(|f| f64::from(*f)).collect(), false)
        }
        Attribute::Ints(list) => Array::list(list.iter().copied()),
        Attribute::Text(_) => Array::new(vec![0], Vec::new(), false),
    })
}

/// Sizes of a tensor as a constant, or a range of them.
pub fn shape(dims: &[usize], layer: &Layer) -> Array {
    let at = |i: i64| (if i < 0 { i + dims.len() as i64 } else { i }).clamp(0, dims.len() as i64) as usize;
    let (start, end) = (at(layer.int("start", 0)), at(layer.int("end", dims.len() as i64)));
    Array::list(dims[start..end.max(start)].iter().map(|&d| d as i64))
}

/// Axes, which are an attribute up to operator set 12 and an input from 13 on.
pub fn axes(layer: &Layer, input: Option<&Array>) -> Option<Vec<i64>> {
    layer.ints("axes").map(<[i64]>::to_vec).or_else(|| input.map(Array::ints))
}

/// The places that a `Slice` takes of each axis it names.
pub fn slices(
    layer: &Layer,
    inputs: &[Option<&Array>],
    dims: &[usize],
    opset: i64,
) -> Option<Vec<(usize, Vec<usize>)>> {
    let input = |k: usize| inputs.get(k).copied().flatten().map(Array::ints);
    let (starts, ends, axes, steps) = match opset {
        ..10 => {
            let list = |name: &str| layer.ints(name).map(<[i64]>::to_vec);
            (list("starts")?, list("ends")?, list("axes"), None)
        }
        10.. => (input(1)?, input(2)?, input(3), input(4)),
    };
    let axes = axes.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let mut found = Vec::new();
    for (i, (&start, &end)) in starts.iter().zip(&ends).enumerate() {
        let axis = array::index(*axes.get(i)?, dims.len())?;
        let step = steps.as_ref().map_or(Some(1), |s| s.get(i).copied())?;
        let size = dims[axis] as i64;
        let clamp = |v: i64, low: i64, high: i64| (if v < 0 { v + size } else { v }).clamp(low, high);
        let chosen: Vec<usize> = match step {
            1.. => (clamp(start, 0, size)..clamp(end, 0, size))
                .step_by(step as usize)
                .map(|v| v as usize)
                .collect(),
            ..0 => {
                let (start, end) =
                    (clamp(start, 0, size - 1), if end < -size { -1 } else { clamp(end, -1, size - 1) });
                (end + 1..=start).rev().step_by(step.unsigned_abs() as usize).map(|v| v as usize).collect()
            }
            0 => return None,
        };
        found.push((axis, chosen));
    }
    Some(found)
}
