//! Means and deviations, of an image or of a pixel's channels, which exporters write as the arithmetic that they are: sums, a
//! division by the number of pixels, differences, squares, roots. What is only a step on the way is kept as a [`Part`]; what
//! comes out at the end is one of the engine's operators.

use super::{Lowering, Value, Why};
use crate::array::{self, Array};
use crate::draft::Work;
use crate::lower::{fold, layout::usual};
use crate::net::Layer;
use crate::view::View;
use mcir_runtime::model::Statistic;

/// What is averaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    /// All rows and columns, for each channel.
    Image,
    /// The channels of each pixel.
    Channels,
}

/// A step on the way to a statistic of the image `x`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Part {
    /// As the network has it, perhaps with channels last.
    x: View,
    step: Step,
}

#[derive(Debug, Clone, PartialEq)]
enum Step {
    /// Sums over some axes so far, to be divided by so much.
    Sum { of: Terms, axes: Vec<usize>, divisor: f64 },
    /// The mean of each pixel's channels.
    Mean,
    /// `x − mean`
    Centred(Over),
    /// `(x − mean)²`
    Square(Over),
    /// Mean square, and a small number added.
    Variance(Over, f64),
    /// Root of that, of channels.
    Deviation(f64),
    /// One over that.
    Inverse(f64),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Terms {
    Values,
    Squares(Over),
}

impl Lowering<'_> {
    /// What an operator makes of parts, or the part that it makes of an image; nothing if it does neither.
    pub(super) fn statistic(
        &mut self,
        layer: &Layer,
        inputs: &[Option<Value>],
    ) -> Option<Result<Vec<Value>, Why>> {
        let operands = [0, 1].map(|k| inputs.get(k).and_then(Option::as_ref));
        let number = |value: Option<&Value>| match value {
            Some(Value::Constant(array)) => array.scalar(),
            _ => None,
        };
        match (layer.kind.as_str(), operands) {
            ("Identity" | "Dropout" | "Cast", [Some(Value::Part(of)), _]) => part(&of.x, of.step.clone()),
            ("Transpose", [Some(Value::Part(of)), _]) => {
                let order: Vec<usize> = layer.ints("perm")?.iter().map(|&p| p.max(0) as usize).collect();
                part(&of.x.transpose(&order)?, of.step.clone())
            }
            ("GlobalAveragePool", [Some(Value::View(x)), _]) if x.is_image() => {
                Some(self.global(layer, x, Statistic::Mean))
            }
            ("ReduceMean" | "ReduceSum", [Some(value @ (Value::View(_) | Value::Part(_))), axes]) => {
                let axes = match axes {
                    Some(Value::Constant(axes)) => Some(axes),
                    _ => None,
                };
                Some(self.reduce(layer, value, axes))
            }
            ("Sub", [Some(Value::View(x)), Some(Value::Part(Part { x: of, step: Step::Mean }))])
                if x == of =>
            {
                part(of, Step::Centred(Over::Channels))
            }
            ("Sub", [Some(Value::View(x)), Some(Value::View(mean))]) if self.is_mean_of(mean, x) => {
                part(x, Step::Centred(Over::Image))
            }
            ("Mul", [Some(Value::Part(a)), Some(Value::Part(b))]) => match (&a.step, &b.step) {
                (Step::Centred(over), _) if a == b => part(&a.x, Step::Square(*over)),
                (Step::Centred(Over::Channels), Step::Inverse(eps))
                | (Step::Inverse(eps), Step::Centred(Over::Channels))
                    if a.x == b.x =>
                {
                    Some(self.norm(layer, &a.x, *eps))
                }
                _ => None,
            },
            ("Div", [Some(Value::Part(a)), Some(Value::Part(b))]) => match (&a.step, &b.step) {
                (Step::Centred(Over::Channels), Step::Deviation(eps)) if a.x == b.x => {
                    Some(self.norm(layer, &a.x, *eps))
                }
                _ => None,
            },
            ("Mul" | "Div" | "Add" | "Pow", [Some(Value::Part(of)), by]) => {
                self.with_number(layer, of, number(by)?)
            }
            ("Mul" | "Add", [by, Some(Value::Part(of))]) => self.with_number(layer, of, number(by)?),
            // One over it.
            ("Div", [one, Some(Value::Part(Part { x, step: Step::Deviation(eps) }))])
                if number(one) == Some(1.0) =>
            {
                part(x, Step::Inverse(*eps))
            }
            ("Reciprocal", [Some(Value::Part(Part { x, step: Step::Deviation(eps) })), _]) => {
                part(x, Step::Inverse(*eps))
            }
            ("Sqrt", [Some(Value::Part(of)), _]) => self.with_power(layer, of, 0.5),
            ("LayerNormalization", [Some(Value::View(x)), _]) => self.layer_norm(layer, x, inputs),
            // By the root of the mean square: of what is centred, onnxruntime writes a norm so.
            (
                "SimplifiedLayerNormalization",
                [
                    Some(Value::Part(Part { x, step: Step::Centred(Over::Channels) })),
                    Some(Value::Constant(_)),
                ],
            ) => {
                let weight = inputs.get(1).cloned().flatten();
                self.layer_norm(layer, x, &[None, weight])
            }
            _ => None,
        }
    }

    fn with_number(&mut self, layer: &Layer, of: &Part, by: f64) -> Option<Result<Vec<Value>, Why>> {
        match (layer.kind.as_str(), &of.step) {
            ("Pow", _) => self.with_power(layer, of, by),
            ("Mul" | "Div", Step::Sum { of: terms, axes, divisor }) => {
                let divisor = if layer.kind == "Div" { divisor * by } else { divisor / by };
                Some(self.settle(layer, &of.x, *terms, axes.clone(), divisor))
            }
            ("Add", Step::Variance(over, eps)) => part(&of.x, Step::Variance(*over, eps + by)),
            _ => None,
        }
    }

    fn with_power(&mut self, layer: &Layer, of: &Part, power: f64) -> Option<Result<Vec<Value>, Why>> {
        match (&of.step, power) {
            (Step::Centred(over), 2.0) => part(&of.x, Step::Square(*over)),
            (Step::Variance(Over::Channels, eps), 0.5) => part(&of.x, Step::Deviation(*eps)),
            (Step::Variance(Over::Channels, eps), -0.5) => part(&of.x, Step::Inverse(*eps)),
            (Step::Variance(Over::Image, 0.0), 0.5) => Some(self.global(layer, &of.x, Statistic::Deviation)),
            _ => None,
        }
    }

    /// Sums or means over some axes.
    fn reduce(&mut self, layer: &Layer, value: &Value, axes: Option<&Array>) -> Result<Vec<Value>, Why> {
        let (x, of, mut all, mut divisor) = match value {
            Value::View(x) => (x.clone(), Terms::Values, Vec::new(), 1.0),
            Value::Part(Part { x, step: Step::Square(over) }) => {
                (x.clone(), Terms::Squares(*over), Vec::new(), 1.0)
            }
            Value::Part(Part { x, step: Step::Sum { of, axes, divisor } }) => {
                (x.clone(), *of, axes.clone(), *divisor)
            }
            _ => return Err("it averages something else than an image or squares".into()),
        };
        let turned = usual(&x) != x;
        // Of pixels in another order the channels of each are averaged.
        let place = if usual(&x).is_image() { None } else { self.channel_axis(&x) };
        if !usual(&x).is_image() && place.is_none() {
            return Err("its input has its axes in another order than an image".into());
        }
        let dims = self.image_dims(&x);
        let named = fold::axes(layer, axes).ok_or("its axes are no constant")?;
        for &axis in &named {
            let axis = array::index(axis, x.axes.len()).ok_or("its axes are not there")?;
            let axis = match place {
                Some(place) if axis == place => 1,
                Some(_) => {
                    return Err(
                        "it averages over an axis of pixels that are not in the order of an image".into()
                    );
                }
                None if turned => [0, 2, 3, 1][axis],
                None => axis,
            };
            if axis == 0 || all.contains(&axis) {
                return Err("it averages over an axis that has no pixels".into());
            }
            if layer.kind == "ReduceMean" {
                divisor *= dims[axis] as f64;
            }
            all.push(axis);
        }
        let mut found = self.settle(layer, &x, of, all, divisor)?;
        if layer.int("keepdims", 1) == 0 {
            let Some(Value::View(view)) = found.first_mut() else {
                return Err(
                    "it drops the axes of a step on the way to a mean; export it with keepdims".into()
                );
            };
            *view = view.squeeze(Some(&named)).ok_or("it drops axes that are more than one value")?;
        }
        Ok(found)
    }

    /// A mean, once sums over all of an image's rows and columns, or over all channels, are divided by their number.
    fn settle(
        &mut self,
        layer: &Layer,
        x: &View,
        of: Terms,
        mut axes: Vec<usize>,
        divisor: f64,
    ) -> Result<Vec<Value>, Why> {
        axes.sort_unstable();
        let dims = self.image_dims(x);
        let count: f64 = axes.iter().map(|&axis| dims[axis] as f64).product();
        let step = match (&axes[..], of) {
            _ if (divisor - count).abs() > 1e-6 * count => Step::Sum { of, axes, divisor },
            ([2, 3], Terms::Values) => return self.global(layer, x, Statistic::Mean),
            ([2, 3], Terms::Squares(Over::Image)) => Step::Variance(Over::Image, 0.0),
            ([1], Terms::Values) => Step::Mean,
            ([1], Terms::Squares(Over::Channels)) => Step::Variance(Over::Channels, 0.0),
            _ => Step::Sum { of, axes, divisor },
        };
        Ok(vec![Value::Part(Part { x: x.clone(), step })])
    }

    /// A statistic of a whole image; the same one is made once.
    fn global(&mut self, layer: &Layer, x: &View, statistic: Statistic) -> Result<Vec<Value>, Why> {
        self.turned(x, |l, x| {
            let node = l.image(x)?;
            let node = l.cropped(layer, node)?;
            let work = Work::Global(statistic);
            let made = l.draft.nodes.iter().position(|n| n.work == work && n.inputs == [node]);
            let node = made.unwrap_or_else(|| l.push(layer, work, &[node]));
            Ok(l.value(node))
        })
    }

    /// Sizes of the image that a view is, whatever the order of its axes.
    fn image_dims(&self, x: &View) -> Vec<usize> {
        let usual = usual(x);
        if usual.is_image() { usual.dims() } else { View::image(x.node, self.sizes(x.node)).dims() }
    }

    fn is_mean_of(&self, mean: &View, x: &View) -> bool {
        let node = &self.draft.nodes[mean.node];
        let x = usual(x);
        mean.is_image()
            && node.work == Work::Global(Statistic::Mean)
            && x == View::image(x.node, self.sizes(x.node))
            && node.inputs == [x.node]
    }

    /// A norm over the channels of each pixel, with neither weight nor bias.
    fn norm(&mut self, layer: &Layer, x: &View, eps: f64) -> Result<Vec<Value>, Why> {
        self.turned(x, |l, x| {
            let x = l.image(x)?;
            let channels = l.draft.nodes[x].channels;
            let (weight, bias) = (vec![1.0; channels], vec![0.0; channels]);
            let node = l.push(layer, Work::LayerNorm { eps: eps as f32, weight, bias }, &[x]);
            Ok(l.value(node))
        })
    }

    /// `SkipLayerNormalization`: a sum, the last of its outputs, and a norm of it, the first.
    pub(super) fn skip_norm(
        &mut self,
        layer: &Layer,
        a: &View,
        b: &View,
        inputs: &[Option<Value>],
    ) -> Result<Vec<Value>, Why> {
        if inputs.get(4).is_some_and(Option::is_some) {
            return Err("it adds a bias between a sum and its norm; without one it is done".into());
        }
        let sum = self.pair(layer, Work::Add { scale: 1.0 }, a, b)?;
        let [Value::View(view)] = &sum[..] else { return Err("its sum is no image".into()) };
        let of = |k: usize| inputs.get(k).cloned().flatten();
        let norm = self.layer_norm(layer, view, &[None, of(2), of(3)]);
        let norm = norm.ok_or("its norm is not over the channels of each pixel")??;
        Ok([norm, sum.clone(), sum.clone(), sum].concat())
    }

    /// `LayerNormalization` over the last axis, where that is the channels'.
    fn layer_norm(
        &mut self,
        layer: &Layer,
        view: &View,
        inputs: &[Option<Value>],
    ) -> Option<Result<Vec<Value>, Why>> {
        let last = array::index(layer.int("axis", -1), view.axes.len()) == Some(view.axes.len() - 1);
        let of_channels = usual(view).is_image() || self.channel_axis(view) == view.axes.len().checked_sub(1);
        if !last || view.is_image() || !of_channels {
            return None;
        }
        let eps = f64::from(layer.float("epsilon", 1e-5));
        let values = |k: usize, default: f32, channels: usize| match inputs.get(k) {
            Some(Some(Value::Constant(array))) if array.values.len() == channels => Some(array.floats()),
            None | Some(None) => Some(vec![default; channels]),
            _ => None,
        };
        Some(self.turned(view, |l, x| {
            let x = l.image(x)?;
            let channels = l.draft.nodes[x].channels;
            let why = || Why::from("its weights are no constant of one value for each channel");
            let (weight, bias) =
                (values(1, 1.0, channels).ok_or_else(why)?, values(2, 0.0, channels).ok_or_else(why)?);
            let node = l.push(layer, Work::LayerNorm { eps: eps as f32, weight, bias }, &[x]);
            Ok(l.value(node))
        }))
    }
}

fn part(x: &View, step: Step) -> Option<Result<Vec<Value>, Why>> {
    Some(Ok(vec![Value::Part(Part { x: x.clone(), step })]))
}
