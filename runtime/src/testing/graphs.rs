//! Small graphs that have everything.

use crate::model::{Activation, Conv2d, DType, Filter, Graph, Op, Pool, Statistic};
use alloc::format;

/// A quantized graph with every operator and dtype that the engine has: `num_feat` features, x`upscale`.
pub fn quantized_graph(num_feat: u16, upscale: u8, filter: Filter) -> Graph {
    let conv = |from, to, kernel, activation| {
        Op::Conv2d(Conv2d { in_channels: from, out_channels: to, kernel, activation })
    };
    let i8 = |scale, zero_point| DType::I8 { scale, zero_point };
    let i16 = |scale| DType::I16 { scale };
    let n = num_feat;
    let mut g = Graph::new(3, DType::PIXEL);
    let first = g.push("conv_first", conv(3, n, 3, None), &[0], i16(0.0003));
    let q = g.push("q0", Op::Convert, &[first], i8(0.02, 7));
    let a = g.push("conv1", conv(n, n, 5, Some(Activation::Relu)), &[q], i8(0.01, -128));
    let b = g.push("conv2", conv(n, n, 1, None), &[a], i16(0.0004));
    let sum = g.push("add", Op::Add { res_scale: 0.5 }, &[first, b], i16(0.0005));
    let q = g.push("q1", Op::Convert, &[sum], i8(0.03, -3));
    let q = g.push("gelu", Op::Activation(Activation::Gelu), &[q], i8(0.02, -100));
    let f = g.push("to_float", Op::Convert, &[q], DType::F32);
    let f = g.push("conv_float", conv(n, n, 3, Some(Activation::LeakyRelu { slope: 0.1 })), &[f], DType::F32);
    let q = g.push("q2", Op::Convert, &[f], i8(0.05, 1));
    let r2 = u16::from(upscale) * u16::from(upscale);
    let last = g.push("conv_last", conv(n, 3 * r2, 3, None), &[q], i16(0.0006));
    let x = g.push("shuffle", Op::PixelShuffle { upscale }, &[last], i16(0.0006));
    let base = g.push("base", Op::Resize { upscale, filter }, &[0], i16(1.0 / (255.0 * 64.0)));
    g.push("image_add", Op::Add { res_scale: 1.0 }, &[base, x], DType::PIXEL);
    g
}

/// A quantized graph whose convolutions read 16 bits wherever that is possible: plain, with the sums that are
/// done along with them, and before a pixel shuffle.
pub fn i16_graph(num_feat: u16, upscale: u8) -> Graph {
    let conv = |from, to, kernel, activation| {
        Op::Conv2d(Conv2d { in_channels: from, out_channels: to, kernel, activation })
    };
    let i16 = |scale| DType::I16 { scale };
    let n = num_feat;
    let mut g = Graph::new(3, DType::PIXEL);
    let first = g.push("conv_first", conv(3, n, 3, None), &[0], i16(0.0003));
    let a = g.push("conv1", conv(n, n, 5, Some(Activation::Relu)), &[first], i16(0.0004));
    let b = g.push("conv2", conv(n, n, 3, None), &[a], i16(0.00047));
    let sum = g.push("add", Op::Add { res_scale: 0.5 }, &[first, b], i16(0.0005));
    let q = g.push("q", Op::Convert, &[sum], DType::I8 { scale: 0.04, zero_point: -3 });
    let c = g.push("conv3", conv(n, n, 1, None), &[q], i16(0.0006));
    let d = g.push(
        "conv4",
        conv(n, n, 3, Some(Activation::Relu)),
        &[c],
        DType::I8 { scale: 0.06, zero_point: -128 },
    );
    let e = g.push("conv5", conv(n, n, 1, None), &[d], i16(0.0007));
    let sum = g.push("add2", Op::Add { res_scale: 1.0 }, &[e, sum], i16(0.0007));
    let r2 = u16::from(upscale) * u16::from(upscale);
    let last = g.push("conv_last", conv(n, 3 * r2, 3, None), &[sum], i16(0.0006));
    let x = g.push("shuffle", Op::PixelShuffle { upscale }, &[last], i16(0.0006));
    let base =
        g.push("base", Op::Resize { upscale, filter: Filter::Bilinear }, &[0], i16(1.0 / (255.0 * 64.0)));
    g.push("image_add", Op::Add { res_scale: 1.0 }, &[base, x], DType::PIXEL);
    g
}

/// A quantized graph whose convolutions have fewer channels than a vector has lanes.
pub fn narrow_graph(num_feat: u16) -> Graph {
    let conv = |from, to, kernel, activation| {
        Op::Conv2d(Conv2d { in_channels: from, out_channels: to, kernel, activation })
    };
    let i8 = |scale, zero_point| DType::I8 { scale, zero_point };
    let n = num_feat;
    let mut g = Graph::new(3, DType::PIXEL);
    let x = g.push("conv_first", conv(3, n, 3, None), &[0], i8(0.02, 7));
    let x = g.push("to_four", conv(n, 4, 5, None), &[x], i8(0.03, -3));
    let x = g.push("to_two", conv(4, 2, 3, Some(Activation::Relu)), &[x], i8(0.02, -128));
    let x = g.push("from_two", conv(2, n, 3, Some(Activation::Relu)), &[x], i8(0.01, -128));
    let x = g.push("to_one", conv(n, 1, 9, None), &[x], i8(0.03, 0));
    let x = g.push("from_one", conv(1, n, 1, None), &[x], i8(0.01, 0));
    g.push("conv_last", conv(n, 3, 3, None), &[x], DType::PIXEL);
    g
}

/// A quantized network x4 that shuffles twice before its last convolution, as EDSR-light does.
pub fn shuffled_graph(num_feat: u16) -> Graph {
    let conv = |from, to, activation| {
        Op::Conv2d(Conv2d { in_channels: from, out_channels: to, kernel: 3, activation })
    };
    let n = num_feat;
    let (sum, byte) = (DType::I16 { scale: 0.0013 }, DType::I8 { scale: 0.03, zero_point: -9 });
    let mut g = Graph::new(3, DType::PIXEL);
    let x = g.push("conv_first", conv(3, n, None), &[0], DType::I8 { scale: 0.02, zero_point: 7 });
    let x = g.push("upsample.0", conv(n, 4 * n, None), &[x], sum);
    let x = g.push("upsample.1", Op::PixelShuffle { upscale: 2 }, &[x], sum);
    let x = g.push("quantize", Op::Convert, &[x], byte);
    let x = g.push("upsample.2", conv(n, 4 * n, Some(Activation::Relu)), &[x], byte);
    let x = g.push("upsample.3", Op::PixelShuffle { upscale: 2 }, &[x], byte);
    g.push("conv_last", conv(n, 3, None), &[x], DType::PIXEL);
    g
}

/// A network of one channel, as models of the luma have it: an interpolated image and a correction.
pub fn grey_graph(num_feat: u16, upscale: u8, quantized: bool) -> Graph {
    let conv = |from, to, activation| {
        Op::Conv2d(Conv2d { in_channels: from, out_channels: to, kernel: 3, activation })
    };
    let dtype = |dtype| if quantized { dtype } else { DType::F32 };
    let r = u16::from(upscale);
    let unit = 255.0 * f32::from(4 * r * r);
    let i16 = dtype(DType::I16 { scale: 1.0 / unit });
    let mut g = Graph::new(1, dtype(DType::PIXEL));
    let narrow = dtype(DType::I8 { scale: 0.02, zero_point: -128 });
    let x = g.push("conv_first", conv(1, num_feat, Some(Activation::Relu)), &[0], narrow);
    let x = g.push("conv_last", conv(num_feat, r * r, None), &[x], i16);
    let x = g.push("shuffle", Op::PixelShuffle { upscale }, &[x], i16);
    let base = g.push("base", Op::Resize { upscale, filter: Filter::Bilinear }, &[0], i16);
    g.push("image_add", Op::Add { res_scale: 1.0 }, &[base, x], dtype(DType::PIXEL));
    g
}

/// A network that enlarges by `upscale` and then reduces by `factor`, with a convolution behind: on floats, or between quantized
/// types.
pub fn reduced_graph(num_feat: u16, upscale: u8, factor: u8, filter: Filter, quantized: bool) -> Graph {
    let conv = |from, to, kernel| {
        Op::Conv2d(Conv2d { in_channels: from, out_channels: to, kernel, activation: None })
    };
    let dtype = |dtype| if quantized { dtype } else { DType::F32 };
    let i16 = |scale| dtype(DType::I16 { scale });
    let r2 = u16::from(upscale) * u16::from(upscale);
    let mut g = Graph::new(3, dtype(DType::PIXEL));
    let x = g.push("feature", conv(3, num_feat, 5), &[0], dtype(DType::I8 { scale: 0.02, zero_point: 7 }));
    let x = g.push("upsample", conv(num_feat, 3 * r2, 3), &[x], i16(0.0007));
    let x = g.push("shuffle", Op::PixelShuffle { upscale }, &[x], i16(0.0007));
    let base = g.push("base", Op::Resize { upscale, filter: Filter::Nearest }, &[0], dtype(DType::PIXEL));
    let x = g.push("image_add", Op::Add { res_scale: 1.0 }, &[base, x], i16(0.0005));
    let x = g.push(
        "reduce",
        Op::Reduce { factor, filter },
        &[x],
        dtype(DType::I8 { scale: 0.01, zero_point: 2 }),
    );
    g.push("sharpen", conv(3, 3, 3), &[x], dtype(DType::PIXEL));
    g
}

/// A network x2 with PReLUs, as FSRCNN has them: on floats, or between all pairs of quantized types.
pub fn prelu_graph(num_feat: u16, quantized: bool) -> Graph {
    let conv = |from, to, kernel| {
        Op::Conv2d(Conv2d { in_channels: from, out_channels: to, kernel, activation: None })
    };
    let dtype = |dtype| if quantized { dtype } else { DType::F32 };
    let i8 = |scale, zero_point| dtype(DType::I8 { scale, zero_point });
    let i16 = |scale| dtype(DType::I16 { scale });
    let n = num_feat;
    let mut g = Graph::new(3, dtype(DType::PIXEL));
    let x = g.push("feature", conv(3, n, 5), &[0], i8(0.02, 7));
    let x = g.push("feature.prelu", Op::PRelu, &[x], i8(0.013, -20));
    let x = g.push("map", conv(n, n, 3), &[x], i8(0.03, -3));
    let x = g.push("map.prelu", Op::PRelu, &[x], i16(0.0007));
    let x = g.push("expand", conv(n, n, 1), &[x], i16(0.0013));
    let x = g.push("expand.prelu", Op::PRelu, &[x], i16(0.0011));
    let x = g.push("narrow.prelu", Op::PRelu, &[x], i8(0.02, 3));
    let x = g.push("upsample", conv(n, 12, 3), &[x], dtype(DType::PIXEL));
    g.push("shuffle", Op::PixelShuffle { upscale: 2 }, &[x], dtype(DType::PIXEL));
    g
}

/// A network x2 with an attention on every pixel, as SPAN has it, and the activations of the networks around: on floats, or
/// between all pairs of quantized types.
pub fn attention_graph(num_feat: u16, quantized: bool) -> Graph {
    let conv = |from, to, kernel, activation| {
        Op::Conv2d(Conv2d { in_channels: from, out_channels: to, kernel, activation })
    };
    let act = Op::Activation;
    let dtype = |dtype| if quantized { dtype } else { DType::F32 };
    let i8 = |scale, zero_point| dtype(DType::I8 { scale, zero_point });
    let i16 = |scale| dtype(DType::I16 { scale });
    let n = num_feat;
    let mut g = Graph::new(3, dtype(DType::PIXEL));
    let first = g.push("conv_first", conv(3, n, 3, None), &[0], i8(0.02, 7));
    let x = g.push("silu", act(Activation::Silu), &[first], i8(0.013, -100));
    let x = g.push("conv1", conv(n, n, 3, None), &[x], i16(0.0003));
    let sum = g.push("add", Op::Add { res_scale: 1.0 }, &[x, first], i16(0.0005));
    let gate = g.push("sigmoid", act(Activation::Sigmoid), &[first], i16(0.00004));
    let gate = g.push("shift", Op::Affine, &[gate], i16(0.00003));
    let x = g.push("mul", Op::Mul, &[sum, gate], i16(0.0002));
    let y = g.push("hard_swish", act(Activation::HardSwish { alpha: 0.2, beta: 0.4 }), &[x], i8(0.01, -90));
    let y = g.push("mul1", Op::Mul, &[y, first], i8(0.02, 3));
    let float = Some(Activation::Silu).filter(|_| !quantized);
    let y = g.push("conv2", conv(n, n, 1, float), &[y], i8(0.02, -3));
    let y = g.push("tanh", act(Activation::Tanh), &[y], i8(1.0 / 127.0, 0));
    let gate =
        g.push("hard_sigmoid", act(Activation::HardSigmoid { alpha: 0.21, beta: 0.5 }), &[x], i16(0.0001));
    let y = g.push("mul2", Op::Mul, &[gate, y], i8(0.006, -9));
    let y = g.push("mul3", Op::Mul, &[y, x], i8(0.004, 11));
    let x = g.push("upsample", conv(n, 12, 3, None), &[y], dtype(DType::PIXEL));
    g.push("shuffle", Op::PixelShuffle { upscale: 2 }, &[x], dtype(DType::PIXEL));
    g
}

/// A network x2 in which a branch is pooled, as RLFN's attention is, and another looks at the whole image: in three levels.
pub fn pooled_graph(num_feat: u16, quantized: bool) -> Graph {
    let conv = |from, to, kernel, activation| {
        Op::Conv2d(Conv2d { in_channels: from, out_channels: to, kernel, activation })
    };
    let dtype = |dtype| if quantized { dtype } else { DType::F32 };
    let i8 = |scale, zero_point| dtype(DType::I8 { scale, zero_point });
    let n = num_feat;
    let mut g = Graph::new(3, dtype(DType::PIXEL));
    let mut x = g.push("first", conv(3, n, 3, None), &[0], i8(0.02, 7));
    for i in 0..2 {
        let name = |part: &str| format!("{i}.{part}");
        let small = g.push(name("squeeze"), conv(n, 6, 1, None), &[x], i8(0.03, -3));
        // A convolution with stride 2 and without padding, then windows of 7 with stride 3.
        let y = g.push(name("conv"), conv(6, 6, 3, None), &[small], i8(0.02, 9));
        let half = Pool { window: 1, stride: 2, before: -1, after: -1 };
        let y = g.push(name("half"), Op::MaxPool(half), &[y], i8(0.02, 9));
        let third = Pool { window: 7, stride: 3, before: 0, after: 0 };
        let y = g.push(name("third"), Op::MaxPool(third), &[y], i8(0.02, 9));
        let y = g.push(name("low.0"), conv(6, 6, 3, Some(Activation::Relu)), &[y], i8(0.01, -128));
        let z = g.push(name("low.1"), conv(6, 6, 3, None), &[y], i8(0.02, 1));
        let y = g.push(name("low.add"), Op::Add { res_scale: 1.0 }, &[y, z], i8(0.02, -9));
        let bilinear = Op::Interpolate { filter: Filter::Bilinear };
        let y = g.push(name("up"), bilinear, &[y, small], i8(0.015, -4));
        let y = g.push(name("sum"), Op::Add { res_scale: 1.0 }, &[y, small], i8(0.0317, 1));
        let y = g.push(name("expand"), conv(6, n, 3, None), &[y], i8(0.02, 2));
        let statistic = if i == 0 { Statistic::Mean } else { Statistic::Deviation };
        let z = g.push(name("pool"), Op::GlobalPool { statistic }, &[y], DType::F32);
        let z = g.push(name("fc"), conv(n, n, 1, Some(Activation::Relu)), &[z], DType::F32);
        let nearest = Op::Interpolate { filter: Filter::Nearest };
        let z = g.push(name("spread"), nearest, &[z, y], i8(0.02, 0));
        x = g.push(name("add"), Op::Add { res_scale: 0.7 }, &[y, z], i8(0.0413, 3));
    }
    let x = g.push("upsample", conv(n, 12, 3, None), &[x], dtype(DType::PIXEL));
    g.push("shuffle", Op::PixelShuffle { upscale: 2 }, &[x], dtype(DType::PIXEL));
    g
}

/// A quantized SwinIR x2 with a plain and a shifted layer, `num_heads` heads of `head` channels.
pub fn quantized_swinir(num_heads: u16, head: u16, window_size: u8) -> Graph {
    let conv = |from, to, kernel| {
        Op::Conv2d(Conv2d { in_channels: from, out_channels: to, kernel, activation: None })
    };
    let i8 = |scale, zero_point| DType::I8 { scale, zero_point };
    let i16 = |scale| DType::I16 { scale };
    let norm = Op::LayerNorm { eps: 1e-5 };
    let n = num_heads * head;
    let mut g = Graph::new(3, DType::PIXEL);
    let first = g.push("conv_first", conv(3, n, 3), &[0], i16(0.0003));
    let mut x = g.push("patch_embed.norm", norm, &[first], i16(0.0002));
    for (i, shift) in [0, window_size / 2].into_iter().enumerate() {
        let name = |part: &str| format!("blocks.{i}.{part}");
        let y = g.push(name("norm1"), norm, &[x], i8(0.01, 3));
        let y = g.push(name("qkv"), conv(n, 3 * n, 1), &[y], i8(0.015, -9));
        let attention = Op::WindowAttention { num_heads, window_size, shift };
        let y = g.push(name("attn"), attention, &[y], i8(0.006, 5));
        let y = g.push(name("proj"), conv(n, n, 1), &[y], i16(0.0003));
        x = g.push(name("add1"), Op::Add { res_scale: 1.0 }, &[x, y], i16(0.0003));
        let y = g.push(name("norm2"), norm, &[x], i8(0.01, -5));
        let y = g.push(name("fc1"), conv(n, 2 * n, 1), &[y], i8(0.02, 11));
        let y = g.push(name("gelu"), Op::Activation(Activation::Gelu), &[y], i8(0.015, -115));
        let y = g.push(name("fc2"), conv(2 * n, n, 1), &[y], i16(0.0004));
        x = g.push(name("add2"), Op::Add { res_scale: 1.0 }, &[x, y], i16(0.0005));
    }
    let y = g.push("norm", norm, &[x], i8(0.02, 0));
    let y = g.push("conv_after_body", conv(n, n, 3), &[y], i16(0.0004));
    let y = g.push("body_add", Op::Add { res_scale: 1.0 }, &[y, first], i8(0.03, 1));
    let y = g.push("upsample.0", conv(n, 12, 3), &[y], DType::PIXEL);
    g.push("upsample.1", Op::PixelShuffle { upscale: 2 }, &[y], DType::PIXEL);
    g
}

/// A network x2 that works at a half and a quarter of the resolution between the ends, as U-Nets do: on floats, or between
/// quantized types. With `whole` it looks at all of the image at the bottom.
pub fn unet_graph(num_feat: u16, quantized: bool, whole: bool) -> Graph {
    let conv = |from, to, kernel, activation| {
        Op::Conv2d(Conv2d { in_channels: from, out_channels: to, kernel, activation })
    };
    let dtype = |dtype| if quantized { dtype } else { DType::F32 };
    let i8 = |scale, zero_point| dtype(DType::I8 { scale, zero_point });
    let n = num_feat;
    let mut g = Graph { multiple: 4, ..Graph::new(3, dtype(DType::PIXEL)) };
    let first = g.push("first", conv(3, n, 3, None), &[0], i8(0.02, 7));
    let x = g.push("down.0", conv(n, n, 3, Some(Activation::Relu)), &[first], i8(0.02, -128));
    // A convolution with stride 2 that begins at the second row.
    let half = Pool { window: 1, stride: 2, before: -1, after: 0 };
    let x = g.push("down.0.stride", Op::MaxPool(half), &[x], i8(0.02, -128));
    let second = g.push("body.0", conv(n, n, 3, None), &[x], i8(0.03, -3));
    let windows = Pool { window: 3, stride: 2, before: 1, after: 0 };
    let x = g.push("down.1", Op::MaxPool(windows), &[second], i8(0.03, -3));
    let mut x = g.push("body.1", conv(n, n, 3, Some(Activation::Relu)), &[x], i8(0.01, -128));
    if whole {
        let z = g.push("mean", Op::GlobalPool { statistic: Statistic::Mean }, &[x], DType::F32);
        let z = g.push("fc", conv(n, n, 1, None), &[z], DType::F32);
        let z = g.push("spread", Op::Interpolate { filter: Filter::Nearest }, &[z, x], i8(0.02, 0));
        x = g.push("gate", Op::Mul, &[x, z], i8(0.013, 5));
    }
    let x = g.push("up.1", conv(n, 4 * n, 1, None), &[x], i8(0.02, 1));
    let x = g.push("up.1.shuffle", Op::PixelShuffle { upscale: 2 }, &[x], i8(0.02, 1));
    let x = g.push("skip.1", Op::Add { res_scale: 1.0 }, &[x, second], i8(0.0413, 2));
    let x = g.push("up.0", Op::Resize { upscale: 2, filter: Filter::Bilinear }, &[x], i8(0.03, -4));
    let x = g.push("skip.0", Op::Add { res_scale: 0.5 }, &[first, x], i8(0.0413, 3));
    // Half of the image, and twice the image in one step from there.
    let x = g.push("reduce", Op::Reduce { factor: 2, filter: Filter::Bicubic }, &[x], i8(0.03, 3));
    let x = g.push("upsample", conv(n, 48, 3, None), &[x], dtype(DType::PIXEL));
    g.push("shuffle", Op::PixelShuffle { upscale: 4 }, &[x], dtype(DType::PIXEL));
    g
}

/// A network on floats whose features, and those that were pooled, are enlarged with aligned corners.
pub fn aligned_graph(num_feat: u16, upscale: u8) -> Graph {
    let conv =
        |from, to| Op::Conv2d(Conv2d { in_channels: from, out_channels: to, kernel: 3, activation: None });
    let (n, filter) = (num_feat, Filter::AlignedBilinear);
    let mut g = Graph::new(3, DType::F32);
    let first = g.push("first", conv(3, n), &[0], DType::F32);
    let pool = Pool { window: 3, stride: 3, before: 1, after: 1 };
    let x = g.push("pool", Op::MaxPool(pool), &[first], DType::F32);
    let x = g.push("back", Op::Interpolate { filter }, &[x, first], DType::F32);
    let x = g.push("add", Op::Add { res_scale: 1.0 }, &[x, first], DType::F32);
    let x = g.push("enlarged", Op::Resize { upscale, filter }, &[x], DType::F32);
    g.push("last", conv(n, 3), &[x], DType::F32);
    g
}

/// A quantized network that enlarges its features, as ESRGAN does.
pub fn wide_graph(num_feat: u16, upscale: u8) -> Graph {
    let conv =
        |from, to| Op::Conv2d(Conv2d { in_channels: from, out_channels: to, kernel: 3, activation: None });
    let i8 = DType::I8 { scale: 0.02, zero_point: -7 };
    let mut g = Graph::new(3, DType::PIXEL);
    let x = g.push("first", conv(3, num_feat), &[0], i8);
    let x = g.push("enlarged", Op::Resize { upscale, filter: Filter::Nearest }, &[x], i8);
    g.push("last", conv(num_feat, 3), &[x], DType::PIXEL);
    g
}
