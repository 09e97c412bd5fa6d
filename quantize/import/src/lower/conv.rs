//! Convolutions in all their forms, as the one that the engine has: stride 1, an odd square kernel, zeros around the image.

use super::pool::thinning;
use super::{Lowering, Padded, Value, Why};
use crate::array::Array;
use crate::draft::{Conv, Work};
use crate::net::{Attribute, Layer};
use crate::view::View;
use mcir_runtime::model::{Activation, PadMode};

/// Largest side of a kernel.
const MAX_KERNEL: usize = 9;

impl Lowering<'_> {
    /// `Conv`, and onnxruntime's `FusedConv` with what follows it.
    pub(super) fn conv(
        &mut self,
        layer: &Layer,
        inputs: &[Option<Value>],
        array: &dyn Fn(usize) -> Option<Array>,
    ) -> Result<Vec<Value>, Why> {
        let padded = match inputs.first() {
            Some(Some(Value::View(view))) => Padded { view: view.clone(), around: 0, fill: Vec::new() },
            Some(Some(Value::Padded(padded))) => padded.clone(),
            _ => return Err("its input is no image".into()),
        };
        let (padded, pads) = self.evened(layer, padded);
        let mut x = self.image(&padded.view)?;
        if layer.int("point", 0) == 1 && self.sizes(x)[1..] != [1, 1] {
            return Err("a layer of all pixels of an image is done where there is one, after a mean".into());
        }
        let weight = array(1).ok_or("its weights are no constant")?;
        let [outputs, group_inputs, height, width] = weight.dims[..] else {
            return Err(format!("its weights have {} axes, not four", weight.dims.len()));
        };
        let groups = usize::try_from(layer.int("group", 1)).unwrap_or(0);
        let inputs_here = self.draft.nodes[x].channels;
        if groups == 0 || group_inputs * groups != inputs_here || outputs % groups != 0 || outputs == 0 {
            return Err(format!(
                "it reads {inputs_here} channels with weights for {group_inputs} in {groups} groups"
            ));
        }
        let pair = |name: &str| match layer.ints(name) {
            Some(&[a, b]) => Ok((a.max(0) as usize, b.max(0) as usize)),
            None => Ok((1, 1)),
            Some(other) => Err(format!("{name} is {other:?}")),
        };
        let stride = match pair("strides")? {
            (down, across) if down == across && (1..=8).contains(&down) => down,
            (down, across) => {
                return Err(format!("its strides are {down} and {across}; the same up to 8 is done"));
            }
        };
        let (dilate_y, dilate_x) = pair("dilations")?;
        let span =
            |size: usize, dilation: usize| size.saturating_sub(1).saturating_mul(dilation).saturating_add(1);
        let (tall, wide) = (span(height, dilate_y), span(width, dilate_x));
        let kernel = tall.max(wide) | 1;
        let odd = !tall.is_multiple_of(2) && !wide.is_multiple_of(2);
        if stride == 1 && !odd || kernel > MAX_KERNEL {
            return Err(format!(
                "its kernel covers {tall}x{wide} pixels; odd sides up to {MAX_KERNEL} are done"
            ));
        }
        let pads = match layer.text("auto_pad", "NOTSET") {
            "SAME_UPPER" | "SAME_LOWER" => [tall / 2, wide / 2].repeat(2),
            "VALID" => vec![0; 4],
            _ => pads.iter().map(|&p| p.max(0) as usize).collect(),
        };
        let [up, left, down, right] = pads[..] else { return Err(format!("pads is {pads:?}")) };
        let all = [up, left].map(|p| p.saturating_add(padded.around));
        let top = (kernel - tall).div_ceil(2);
        let first_column = (kernel - wide).div_ceil(2);
        let thinning = match stride {
            1 => None,
            _ if !padded.fill.is_empty() => {
                return Err("it has a stride, and reads pixels around the image".into());
            }
            _ => {
                let pads: Vec<usize> = pads.iter().map(|p| p.saturating_add(padded.around)).collect();
                Some(thinning(stride, (tall, wide), &pads, kernel / 2 - top, layer)?)
            }
        };
        if stride == 1 && ([up, left] != [down, right] || (!padded.fill.is_empty() && [up, left] != [0; 2])) {
            return Err(format!("it pads by {pads:?}; the same on opposite sides, and once, is done"));
        }
        // What is around a convolution of one pixel is the same for all pixels there: it goes to the next one.
        let passes = stride == 1 && (tall, wide) == (1, 1) && all != [0; 2];
        if stride == 1 && !passes && (all[0] > tall / 2 || all[1] > wide / 2) {
            return Err(format!(
                "it pads by {all:?} (rows, columns) where {:?} keep the size: its output would be larger than its input",
                [tall / 2, wide / 2]
            ));
        }
        if passes && (all[0] != all[1] || layer.kind == "FusedConv") {
            return Err(format!("it pads by {pads:?}, which a convolution of one pixel should not"));
        }
        for (side, pads) in all.into_iter().enumerate() {
            if pads > 0 && !self.is_whole(x, side) {
                return Err(
                    "it pads an image that convolutions without padding, or cropping, made smaller".into()
                );
            }
        }
        // Spread over a square kernel and over all inputs; what is not there is zero.
        let area = kernel * kernel;
        self.spend(outputs, inputs_here * area)?;
        let mut dense = vec![0.0; outputs * inputs_here * area];
        for (at, &w) in weight.values.iter().enumerate() {
            let (o, i) = (at / (group_inputs * height * width), at / (height * width) % group_inputs);
            let (ky, kx) = (at / width % height, at % width);
            let input = o / (outputs / groups) * group_inputs + i;
            let tap = (top + ky * dilate_y) * kernel + first_column + kx * dilate_x;
            dense[(o * inputs_here + input) * area + tap] = w as f32;
        }
        let bias = match array(2) {
            Some(bias) if bias.values.len() == outputs => bias.floats(),
            Some(bias) => {
                return Err(format!("its bias has {} values for {outputs} channels", bias.values.len()));
            }
            None => vec![0.0; outputs],
        };
        let mut bias = bias;
        if !padded.fill.is_empty() {
            // With the value around it taken off, there are zeros around the image.
            let rows = dense.chunks_exact(inputs_here * area);
            for (bias, row) in bias.iter_mut().zip(rows) {
                let taps = row.chunks_exact(area).zip(&padded.fill);
                *bias += taps.map(|(taps, fill)| taps.iter().sum::<f32>() * fill).sum::<f32>();
            }
            let shift = padded.fill.iter().map(|fill| -fill).collect();
            x = self.push(layer, Work::Affine { scale: vec![1.0; inputs_here], shift }, &[x]);
        }
        let fill = bias.clone();
        let conv = Conv { kernel, weight: dense, bias, relu: false };
        let mut node = self.push(layer, Work::Conv(conv), &[x]);
        if passes {
            let view = View::image(node, self.sizes(node));
            return Ok(vec![Value::Padded(Padded { view, around: all[0], fill })]);
        }
        match thinning {
            Some(pool) => node = self.pool(format!("{}.stride", layer.name), pool, node)?,
            None => self.shrink(node, [tall / 2 - all[0], wide / 2 - all[1]].map(|by| [by as i64; 2]))?,
        }
        if let Some(Some(Value::View(added))) = inputs.get(3) {
            let added = self.node_of(added)?;
            node = self.push(layer, Work::Add { scale: 1.0 }, &[added, node]);
        }
        if layer.kind == "FusedConv" {
            let params = match layer.attributes.get("activation_params") {
                Some(Attribute::Floats(list)) => &list[..],
                _ => &[],
            };
            let param = |k: usize, default: f32| params.get(k).copied().unwrap_or(default);
            let activation = match layer.text("activation", "") {
                "" => None,
                "Relu" => Some(Activation::Relu),
                "LeakyRelu" => Some(Activation::LeakyRelu { slope: param(0, 0.01) }),
                "Tanh" => Some(Activation::Tanh),
                "Sigmoid" => Some(Activation::Sigmoid),
                "HardSigmoid" => Some(Activation::HardSigmoid { alpha: param(0, 0.2), beta: param(1, 0.5) }),
                other => return Err(format!("its activation {other} is not done")),
            };
            if let Some(activation) = activation {
                node = self.push(layer, Work::Activation(activation), &[node]);
            }
        }
        Ok(self.value(node))
    }

    /// What a convolution reads and by how much it pads that, where zeros that extend the image to a multiple stand in its own
    /// padding, as optimizers write it.
    fn evened(&mut self, layer: &Layer, padded: Padded) -> (Padded, Vec<i64>) {
        let pads = layer.ints("pads").map_or(vec![0; 4], <[i64]>::to_vec);
        let given = matches!(layer.text("auto_pad", "NOTSET"), "NOTSET" | "");
        if let (true, &[up, left, down, right], 0) = (given, &pads[..], padded.around)
            && [up, left] != [down, right]
            && let Some(filled) = self.filled(
                &padded.view,
                [down.saturating_sub(up), right.saturating_sub(left)],
                PadMode::Zero,
            )
            && let [Value::View(view)] = &filled[..]
        {
            return (Padded { view: view.clone(), ..padded }, vec![up, left, up, left]);
        }
        (padded, pads)
    }

    /// `ConvTranspose` that enlarges by its stride: a convolution that makes all pixels of a block as channels, and a pixel
    /// shuffle.
    pub(super) fn conv_transpose(
        &mut self,
        layer: &Layer,
        x: usize,
        array: &dyn Fn(usize) -> Option<Array>,
    ) -> Result<Vec<Value>, Why> {
        let weight = array(1).ok_or("its weights are no constant")?;
        let [inputs, group_outputs, k, wide] = weight.dims[..] else {
            return Err(format!("its weights have {} axes, not four", weight.dims.len()));
        };
        let groups = usize::try_from(layer.int("group", 1)).unwrap_or(0);
        if groups == 0 || inputs != self.draft.nodes[x].channels || inputs % groups != 0 {
            return Err("its weights are for other channels".into());
        }
        let same = |name: &str, list: Option<&[i64]>, default: usize| match list {
            None => Ok(default),
            Some(&[a, b]) if a == b && (0..=64).contains(&a) => Ok(a as usize),
            Some(other) => {
                Err(format!("{name} is {other:?}; the same for rows and columns, up to 64, is done"))
            }
        };
        let of = |name: &str, default: usize| same(name, layer.ints(name), default);
        let (stride, more) = (of("strides", 1)?, of("output_padding", 0)?);
        let pads = layer.ints("pads").unwrap_or(&[0; 4]);
        let [before, after] = match pads.split_at_checked(2) {
            Some((before, after)) => [same("pads", Some(before), 0)?, same("pads", Some(after), 0)?],
            None => return Err(format!("pads is {pads:?}")),
        };
        if k != wide || of("dilations", 1)? != 1 {
            return Err("its kernel is not square, or has gaps".into());
        }
        if layer.text("auto_pad", "NOTSET") != "NOTSET" || layer.ints("output_shape").is_some() {
            return Err(
                "its padding follows from the size of the image; export it with padding in numbers".into()
            );
        }
        // What more padding than for whole multiples cuts off, on both sides.
        let cut = (stride + before + after).checked_sub(k + more).filter(|cut| cut.is_multiple_of(2));
        let Some(cut) = cut.filter(|_| (1..=4).contains(&stride)).map(|cut| cut as i64 / 2) else {
            return Err(format!(
                "its output is not {stride} times as large as its input (kernel {k}, padding {pads:?}, output padding {more})"
            ));
        };
        // Output row Y·s + d gets input row Y − t through tap d + padding + s·t.
        let (s, p, last) = (stride as i64, before as i64 - cut, k as i64 - 1);
        // Rows from outside are zeros at the border of all of the image only.
        let outside = cut + p - last <= -s || p > cut;
        if outside && !(self.is_whole(x, 0) && self.is_whole(x, 1)) {
            return Err(
                "it pads an image that convolutions without padding, or cropping, made smaller".into()
            );
        }
        let reach = (s - 1 + p).div_euclid(s).max((last - p).div_euclid(s)).max(0);
        let kernel = 2 * reach as usize + 1;
        if kernel > MAX_KERNEL {
            return Err(format!("its kernel reaches {reach} pixels far; 4 are done"));
        }
        let outputs = group_outputs * groups;
        let (area, block) = (kernel * kernel, stride * stride);
        self.spend(outputs * block, inputs * area)?;
        let mut dense = vec![0.0; outputs * block * inputs * area];
        for o in 0..outputs {
            let group = o / group_outputs;
            for i in (group * inputs / groups)..((group + 1) * inputs / groups) {
                for (dy, dx) in (0..s).flat_map(|dy| (0..s).map(move |dx| (dy, dx))) {
                    for (jy, jx) in
                        (0..kernel as i64).flat_map(|jy| (0..kernel as i64).map(move |jx| (jy, jx)))
                    {
                        let (ky, kx) = (dy + p + s * (reach - jy), dx + p + s * (reach - jx));
                        if !(0..=last).contains(&ky) || !(0..=last).contains(&kx) {
                            continue;
                        }
                        let channel = o * block + (dy * s + dx) as usize;
                        let tap = (jy as usize) * kernel + jx as usize;
                        let from =
                            ((i * group_outputs + o % group_outputs) * k + ky as usize) * k + kx as usize;
                        dense[(channel * inputs + i) * area + tap] = weight.values[from] as f32;
                    }
                }
            }
        }
        let bias = array(2).map_or(vec![0.0; outputs], |b| b.floats());
        if bias.len() != outputs {
            return Err(format!("its bias has {} values for {outputs} channels", bias.len()));
        }
        let bias = bias.iter().flat_map(|b| vec![*b; block]).collect();
        let node = self.push(layer, Work::Conv(Conv { kernel, weight: dense, bias, relu: false }), &[x]);
        let node = match stride {
            1 => node,
            _ => self.enlarge(layer.name.clone(), Work::Shuffle(stride), node, stride)?,
        };
        self.shrink(node, [[cut; 2]; 2])?;
        Ok(self.value(node))
    }
}
