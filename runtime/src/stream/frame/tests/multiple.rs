//! Networks at a fraction of the resolution, which see the image extended to a multiple.

use super::*;
use crate::model::{Extent, Graph, PadMode};
use crate::testing::unet_graph;

/// The same with another way to extend the image.
fn with(model: &Model, margin: u16, pad_mode: PadMode) -> Model {
    let params: Vec<_> = (0..model.graph().nodes.len() as NodeId).map(|id| model.params(id)).collect();
    Model::new(Graph { margin, pad_mode, ..model.graph().clone() }, &params, vec![]).unwrap()
}

/// The image with a margin, and then as large as the network sees it, which is `inside`.
fn extended(pixels: &[u8], width: usize, margin: usize, inside: [usize; 2], mode: PadMode) -> Vec<u8> {
    let height = pixels.len() / (3 * width);
    let place = |at: usize, size: usize| {
        let with_margin = size + 2 * margin;
        let mirrored = match (at < with_margin, mode) {
            (true, _) | (_, PadMode::Edge) => at,
            (_, PadMode::Zero) => return None,
            // Back and forth.
            (_, PadMode::Reflect) => {
                let (mut at, mut step, mut left) = (0_i64, 1, at);
                while left > 0 {
                    if at + step < 0 || at + step >= with_margin as i64 {
                        step = -step;
                    }
                    if with_margin > 1 {
                        at += step;
                    }
                    left -= 1;
                }
                at as usize
            }
        };
        Some(mirrored.saturating_sub(margin).min(size - 1))
    };
    let mut out = vec![];
    for y in 0..inside[0] {
        for x in 0..inside[1] {
            match (place(y, height), place(x, width)) {
                (Some(y), Some(x)) => out.extend_from_slice(&pixels[3 * (y * width + x)..][..3]),
                _ => out.extend_from_slice(&[0; 3]),
            }
        }
    }
    out
}

/// It does to an image of any size what it does to one that is extended before, and crops.
#[test]
fn a_multiple_extends_the_image_and_crops() {
    for (quantized, whole) in [(false, false), (true, false), (true, true), (false, true)] {
        let model = random_model(unet_graph(6, quantized, whole), 3);
        for (margin, mode) in [
            (0, PadMode::Reflect),
            (0, PadMode::Edge),
            (0, PadMode::Zero),
            (3, PadMode::Edge),
            (2, PadMode::Reflect),
        ] {
            let model = with(&model, margin, mode);
            let plain = with(&model, 0, PadMode::Reflect);
            for (width, height) in [(1, 1), (2, 7), (9, 5), (16, 12), (21, 30)] {
                let pixels = Rng(8).bytes(width * height * 3);
                let inside = [model.graph().seen(height), model.graph().seen(width)];
                assert!(inside.iter().all(|side| side.is_multiple_of(4)));
                let around = extended(&pixels, width, margin.into(), inside, mode);
                let large = run(&plain, &PlanOptions::default(), &around, inside[1]);
                let margin = usize::from(margin);
                let rows = large.chunks_exact(2 * inside[1] * 3).skip(2 * margin).take(2 * height);
                let expected: Vec<u8> =
                    rows.flat_map(|row| &row[2 * margin * 3..][..2 * width * 3]).copied().collect();
                for isa in Isa::available() {
                    for (band, threads) in
                        [(None, 1), (Some(1), 1), (Some(2), 2), (Some(3), 1), (Some(5), 1), (Some(16), 2)]
                    {
                        let options = PlanOptions { isa: Some(isa), band, threads, ..Default::default() };
                        let found = run(&model, &options, &pixels, width);
                        let case =
                            label(&[("width", width), ("band", band.unwrap_or(0)), ("margin", margin)]);
                        assert!(found == expected, "{quantized} {whole} {mode:?} on {} {case}", isa.name());
                    }
                }
            }
            let bytes = model.to_bytes();
            assert_eq!(bytes[4], 3, "a version that older programs refuse");
            assert_eq!(Model::from_bytes(bytes).unwrap().graph(), model.graph());
        }
    }
}

/// It streams: its memory is that of a few rows.
#[test]
fn fractions_of_the_image_stream() {
    let model = random_model(unet_graph(6, true, false), 3);
    let of = |name: &str| {
        let id = model.graph().nodes.iter().position(|node| node.name == name).unwrap();
        model.shape(id as NodeId).extent
    };
    assert_eq!(of("down.0.stride"), Extent::Part { times: 1, of: 2 });
    assert_eq!(of("body.1"), Extent::Part { times: 1, of: 4 });
    assert_eq!([of("skip.1"), of("skip.0")], [Extent::Part { times: 1, of: 2 }, Extent::Times(1)]);
    let plan = Plan::new(&model, 64, &PlanOptions::default()).unwrap();
    assert!(!plan.keeps_image());
    assert_eq!(plan.memory_bytes(64).unwrap(), plan.memory_bytes(4096).unwrap());
    // Rows leave before all have arrived.
    let (pixels, mut workspace) = (Rng(1).bytes(64 * 3 * 64), plan.workspace());
    let mut frame = plan.begin(&mut workspace, 64).unwrap();
    frame.push(&pixels[..48 * 64 * 3], &mut |_, _| {}).unwrap();
    assert!(frame.rows_out() > 20, "{}", frame.rows_out());
}
