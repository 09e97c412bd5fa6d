use super::*;
use crate::colour::{from_rgb, grey, ycbcr_to_rgb};
use mcir_runtime::arch::{edsr, stand_in};
use mcir_runtime::image::resize_bicubic;
use mcir_runtime::model::{Activation, NodeId, Pool};

const SIZE: (usize, usize) = (23, 17);

fn upscaler(model: &Model, mode: Mode) -> Upscaler {
    let model = NamedModel { name: "test".into(), model: model.clone(), file_bytes: 0 };
    Upscaler::new(model, PlanOptions::default()).mode(mode)
}

/// A network of so many channels, by 2.
fn network(channels: u16, quantized: bool) -> Model {
    let graph = edsr::graph(&edsr::Config { channels, ..edsr::Config::edge(2, 8, 1) });
    stand_in::weighted(if quantized { stand_in::int8(&graph) } else { graph }).unwrap()
}

fn image(channels: usize) -> Image {
    let (width, height) = SIZE;
    // In the middle of the range: interpolation stays inside of it.
    let value = |i: usize| 64 + (i * 7 + i / 5 % 11 * 13 + i * i % 29) as u8 / 2;
    Image::new(width, height, channels, (0..width * height * channels).map(value).collect()).unwrap()
}

/// What the engine makes of an image with a model of as many channels.
fn direct(model: &Model, small: &Image) -> Vec<u8> {
    let plan = Plan::new(model, small.width(), &PlanOptions::default()).unwrap();
    let mut out = vec![0; small.data().len() * 4];
    plan.run_image(&mut plan.workspace(), small.data(), small.height(), &mut out).unwrap();
    out
}

fn plane(image: &Image, channel: usize) -> Image {
    let data = image.data().chunks_exact(3).map(|p| p[channel]).collect();
    Image::new(image.width(), image.height(), 1, data).unwrap()
}

/// The picture in Y, Cb and Cr.
fn apart(image: &Image) -> Image {
    let data = image.data().chunks_exact(3).flat_map(|p| from_rgb([p[0], p[1], p[2]])).collect();
    Image::new(image.width(), image.height(), 3, data).unwrap()
}

fn lines(upscaler: &mut Upscaler, space: Space, small: &Image) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rows = 0;
    let mut lines = upscaler.lines(space, small.width(), small.height()).unwrap();
    for y in 0..small.height() {
        let mut take = |at: usize, row: &[u8]| {
            assert_eq!(at, rows);
            rows += 1;
            out.extend_from_slice(row);
        };
        lines.push(small.row(y), &mut take).unwrap();
    }
    assert_eq!(rows, 2 * small.height());
    out
}

#[test]
fn networks_for_y_take_grey_as_it_is_and_the_brightness_of_colours() {
    for quantized in [false, true] {
        let model = network(1, quantized);
        let mut upscaler = upscaler(&model, Mode::Rgb);
        assert_eq!(upscaler.space(), Space::YCbCr);
        let small = image(1);
        assert_eq!(upscaler.run(&small, &mut |_| {}).unwrap().data(), direct(&model, &small));
        let grey_bytes = upscaler.memory_bytes().unwrap();

        let colours = apart(&image(3));
        let found = lines(&mut upscaler, Space::YCbCr, &colours);
        let large = Image::new(2 * SIZE.0, 2 * SIZE.1, 3, found.clone()).unwrap();
        assert_eq!(plane(&large, 0).data(), direct(&model, &plane(&colours, 0)));
        for channel in [1, 2] {
            let interpolated = resize_bicubic(&plane(&colours, channel), 2 * SIZE.0, 2 * SIZE.1).unwrap();
            let off = plane(&large, channel)
                .data()
                .iter()
                .zip(interpolated.data())
                .map(|(a, b)| a.abs_diff(*b))
                .max();
            // One rounds once, the other after each direction.
            assert!(off <= Some(2), "channel {channel}: {off:?}");
        }
        // Cb and Cr have working memory of their own.
        assert!(upscaler.memory_bytes().unwrap() > grey_bytes);

        let rgb: Vec<u8> = found.chunks_exact(3).flat_map(|p| ycbcr_to_rgb([p[0], p[1], p[2]])).collect();
        assert_eq!(upscaler.run(&image(3), &mut |_| {}).unwrap().data(), rgb);
        assert_eq!(upscaler.run(&small, &mut |_| {}).unwrap().data(), direct(&model, &small));
    }
}

#[test]
fn networks_for_rgb_take_grey_in_their_form_for_y() {
    for quantized in [false, true] {
        let model = network(3, quantized);
        let luma = model.luma().unwrap();
        let (small, colours) = (image(1), image(3));
        let mut rgb = upscaler(&model, Mode::Rgb);
        assert_eq!(rgb.space(), Space::Rgb);
        assert_eq!(rgb.run(&colours, &mut |_| {}).unwrap().data(), direct(&model, &colours));
        assert_eq!(rgb.run(&small, &mut |_| {}).unwrap().data(), direct(&luma, &small));
        assert_eq!(rgb.plan().unwrap().model().in_channels(), 1);
        // Close to what the network for RGB makes of it.
        let replicated: Vec<u8> = direct(&model, &small.to_rgb()).chunks_exact(3).map(grey).collect();
        let found = direct(&luma, &small);
        let off: Vec<_> = found.iter().zip(&replicated).map(|(a, b)| a.abs_diff(*b)).collect();
        let mean = off.iter().map(|&d| f64::from(d)).sum::<f64>() / off.len() as f64;
        // Weights of no meaning, as these are, lose more in 8 bits than those of a trained network.
        let (most_allowed, mean_allowed) = if quantized { (8, 1.0) } else { (1, 0.3) };
        assert!(
            off.iter().max() <= Some(&most_allowed) && mean < mean_allowed,
            "{:?}, {mean}",
            off.iter().max()
        );
        assert_eq!(rgb.run(&colours, &mut |_| {}).unwrap().data(), direct(&model, &colours));
        assert_eq!(rgb.plan().unwrap().model().in_channels(), 3);

        let mut y = upscaler(&model, Mode::Y);
        assert_eq!(y.space(), Space::YCbCr);
        let found = lines(&mut y, Space::YCbCr, &colours);
        let large = Image::new(2 * SIZE.0, 2 * SIZE.1, 3, found).unwrap();
        assert_eq!(plane(&large, 0).data(), direct(&luma, &plane(&colours, 0)));
    }
}

#[test]
fn a_network_without_a_form_for_y_sees_grey_as_rgb() {
    let mut graph = network(3, false).graph().clone();
    let last = graph.output();
    graph.push("relu", Op::Activation(Activation::Relu), &[last], DType::F32);
    let like = network(3, false);
    let mut params: Vec<_> = (0..like.graph().nodes.len() as NodeId).map(|id| like.params(id)).collect();
    params.push(vec![]);
    let model = Model::new(graph, &params, vec![]).unwrap();
    assert!(model.luma().is_none());
    let small = image(1);
    let expected: Vec<u8> = direct(&model, &small.to_rgb()).chunks_exact(3).map(grey).collect();
    assert_eq!(upscaler(&model, Mode::Rgb).run(&small, &mut |_| {}).unwrap().data(), expected);
    let found = lines(&mut upscaler(&model, Mode::Y), Space::YCbCr, &small.to_rgb());
    assert_eq!(found.chunks_exact(3).map(|p| p[0]).collect::<Vec<_>>(), expected);
}

#[test]
fn colours_are_interpolated_by_every_factor_that_a_network_can_have() {
    for upscale in [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 15, 16] {
        assert_eq!(usize::from(interpolation(upscale).upscale()), upscale);
    }
}

/// A network that pools its picture: what is too small for it is told so.
#[test]
fn too_small_a_picture_is_no_fault_of_the_program() {
    let mut graph = Graph::new(3, DType::F32);
    let pool = Pool { window: 3, stride: 2, before: 0, after: 0 };
    let low = graph.push("pool", Op::MaxPool(pool), &[0], DType::F32);
    graph.push("up", Op::Interpolate { filter: Filter::Bilinear }, &[low, 0], DType::F32);
    let bytes = Model::new(graph, &[vec![], vec![], vec![]], vec![]).unwrap().to_bytes();
    let model = NamedModel::received("pooled", bytes.clone(), bytes.len()).unwrap();
    let mut upscaler = Upscaler::new(model, PlanOptions::default());
    let picture = |side: usize| Image::new(side, side, 3, vec![90; side * side * 3]).unwrap();
    let error = upscaler.run(&picture(2), &mut |_| {}).unwrap_err();
    assert!(error.to_string().contains("2x2 pixels is too small"), "{error}");
    assert!(error.help().contains("a larger image"), "{}", error.help());
    assert_eq!(upscaler.run(&picture(3), &mut |_| {}).unwrap(), picture(3));
    assert!(upscaler.memory_bytes().unwrap() > 0);
}
