//! Networks that see the image with a margin.

use super::*;
use crate::model::Graph;

/// The same with a margin.
fn with_margin(model: &Model, margin: u16) -> Model {
    let params: Vec<_> = (0..model.graph().nodes.len() as NodeId).map(|id| model.params(id)).collect();
    Model::new(Graph { margin, ..model.graph().clone() }, &params, vec![]).unwrap()
}

/// The image with `margin` pixels more on every side, which repeat those at its edges.
fn extended(pixels: &[u8], width: usize, channels: usize, margin: usize) -> Vec<u8> {
    let height = pixels.len() / (width * channels);
    let near = |at: usize, size: usize| at.saturating_sub(margin).min(size - 1);
    let places = (0..height + 2 * margin).flat_map(|y| (0..width + 2 * margin).map(move |x| (y, x)));
    let pixel = |(y, x)| {
        let at = (near(y, height) * width + near(x, width)) * channels;
        pixels[at..at + channels].iter().copied()
    };
    places.flat_map(pixel).collect()
}

/// A network with a margin does what it does without one to an image that has it, and crops.
#[test]
fn a_margin_repeats_the_edges_and_crops() {
    let all = networks().into_iter().filter(|(_, model)| model.graph().pad_multiple() == 1);
    for ((name, model), margin) in all.step_by(3).zip([1, 7, 3, 2].into_iter().cycle()) {
        let with = with_margin(&model, margin);
        let (margin, r, channels) = (usize::from(margin), usize::from(model.upscale()), model.out_channels());
        for (width, height) in [(1, 1), (3, 9), (18, 5)] {
            let (width, height) = fitting(&model, width, height);
            let pixels = Rng(8).bytes(width * height * model.in_channels());
            let around = extended(&pixels, width, model.in_channels(), margin);
            let whole = run(&model, &PlanOptions::default(), &around, width + 2 * margin);
            let row = (width + 2 * margin) * r * channels;
            let expected: Vec<u8> = whole
                .chunks_exact(row)
                .skip(margin * r)
                .take(height * r)
                .flat_map(|row| &row[margin * r * channels..(margin + width) * r * channels])
                .copied()
                .collect();
            for isa in Isa::available() {
                for (band, threads) in [(None, 1), (Some(1), 1), (Some(3), 2), (Some(16), 1)] {
                    let options = PlanOptions { isa: Some(isa), band, threads, ..Default::default() };
                    let found = run(&with, &options, &pixels, width);
                    let case = label(&[("width", width), ("band", band.unwrap_or(0)), ("threads", threads)]);
                    assert!(found == expected, "{name} on {} {case}", isa.name());
                }
            }
            // Row by row, and then another image in the same workspace.
            let plan = Plan::new(&with, width, &PlanOptions::default()).unwrap();
            let mut workspace = plan.workspace();
            for _ in 0..2 {
                let mut found = vec![];
                let mut frame = plan.begin(&mut workspace, height).unwrap();
                for row in pixels.chunks(plan.in_row_bytes()) {
                    frame.push(row, &mut |_, row| found.extend_from_slice(row)).unwrap();
                }
                let more = frame.push(&pixels[..plan.in_row_bytes()], &mut |_, _| {}).unwrap_err();
                assert_eq!(more, RunError::Rows { expected: height, found: height + 1 });
                assert!(found == expected, "{name}, row by row");
            }
        }
        let bytes = with.to_bytes();
        assert_eq!(bytes[4], 2, "a version that older programs refuse");
        assert_eq!(Model::from_bytes(bytes).unwrap().graph(), with.graph());
    }
}

/// A margin and windows: the image with its margin is reflected.
#[test]
fn a_margin_comes_before_windows() {
    let model = random_model(swinir::graph(&small_swinir(2)), 9);
    let with = with_margin(&model, 3);
    let (width, height) = (5, 7);
    let pixels = Rng(8).bytes(width * height * 3);
    let whole = run(&model, &PlanOptions::default(), &extended(&pixels, width, 3, 3), width + 6);
    let found = run(&with, &PlanOptions::default(), &pixels, width);
    for (y, row) in found.chunks_exact(2 * width * 3).enumerate() {
        let at = ((y + 6) * 2 * (width + 6) + 6) * 3;
        assert!(row == &whole[at..at + row.len()], "row {y}");
    }
}
