//! The engine against a slow executor, and against itself: every instruction set, band height and way of
//! delivering rows gives the same bits.

mod margin;
mod multiple;
mod networks;

use super::*;
use crate::arch::edsr::{Config, graph};
use crate::arch::{stand_in, swinir};
use crate::cpu::isa::Isa;
use crate::model::{DType, Filter, Model};
use crate::stream::error::PlanError;
use crate::stream::options::PlanOptions;
use crate::stream::packed::PackedModel;
use crate::testing::{Rng, grey_graph, label, pooled_graph, quantized_graph, random_model, reference_edge};
use networks::networks;

fn run(model: &Model, options: &PlanOptions, pixels: &[u8], width: usize) -> Vec<u8> {
    let plan = Plan::new(model, width, options).unwrap();
    let mut workspace = plan.workspace();
    let height = pixels.len() / plan.in_row_bytes();
    let mut out = vec![0; plan.out_row_bytes() * height * usize::from(model.upscale())];
    plan.run_image(&mut workspace, pixels, height, &mut out).unwrap();
    out
}

/// An image size that the network can pool, no smaller than this one.
fn fitting(model: &Model, width: usize, height: usize) -> (usize, usize) {
    let fits = |size: &usize| model.sizes(*size, *size).is_some();
    let least = (1..64).map(|n| n * model.graph().pad_multiple()).find(fits).unwrap();
    match least > model.graph().pad_multiple() {
        true => (width.max(least), height.max(least)),
        false => (width, height),
    }
}

fn small_swinir(upscale: u8) -> swinir::Config {
    swinir::Config {
        embed_dim: 12,
        depths: vec![2, 2],
        num_heads: vec![2, 3],
        window_size: 4,
        mean_shift: true,
        ..swinir::Config::light(upscale)
    }
}

#[test]
fn memory_that_is_not_there_is_an_error() {
    let model = random_model(graph(&Config::edge(2, 8, 1)), 1);
    let mut plan = Plan::new(&model, 4, &PlanOptions::default()).unwrap();
    let pixels = Rng(3).bytes(4 * model.in_channels());
    assert_eq!(run(&model, &PlanOptions::default(), &pixels, 4), {
        let mut out = vec![0; 8 * 2 * 3];
        plan.run_image(&mut plan.try_workspace().unwrap(), &pixels, 1, &mut out).unwrap();
        out
    });
    let places = plan.layout.places.as_mut().unwrap();
    places.arena_bytes = isize::MAX as usize & !63;
    let bytes = places.arena_bytes as u64;
    assert_eq!(plan.try_workspace().err(), Some(PlanError::Memory { bytes }));
}

/// Padding is written once, with the zero points of the plan that the workspace was made by.
#[test]
fn a_workspace_of_another_plan_is_refused() {
    let with_zero_point = |zero_point| {
        let mut graph = quantized_graph(8, 2, Filter::Bilinear);
        for node in &mut graph.nodes {
            match &mut node.dtype {
                DType::I8 { zero_point: z, .. } if *z == 7 => *z = zero_point,
                DType::I8 { .. } | DType::I16 { .. } | DType::F32 => {}
            }
        }
        Plan::new(&random_model(graph, 1), 8, &PlanOptions::default()).unwrap()
    };
    let (one, other) = (with_zero_point(7), with_zero_point(9));
    assert_eq!(one.arena_bytes(4), other.arena_bytes(4), "all sizes are the same");
    let mut workspace = one.workspace();
    assert_eq!(other.begin(&mut workspace, 4).err(), Some(RunError::Workspace));
    assert!(one.begin(&mut workspace, 4).is_ok());
}

/// Every frame of a plan of shared weights is that of a plan of its own.
#[test]
fn shared_weights_give_the_same_bits() {
    for (name, model) in networks() {
        let options = PlanOptions::default();
        let packed = PackedModel::new(&model, &options).unwrap();
        for width in [3, 16] {
            let (width, height) = fitting(&model, width, 5);
            let pixels = Rng(7).bytes(width * height * model.in_channels());
            let plan = Plan::of(&packed, width, &options).unwrap();
            let mut out = vec![0; plan.out_row_bytes() * height * usize::from(model.upscale())];
            plan.run_image(&mut plan.workspace(), &pixels, height, &mut out).unwrap();
            assert!(out == run(&model, &options, &pixels, width), "{name} {width}");
        }
    }
}

#[test]
fn edges_equal_a_whole_image_executor() {
    for (name, model) in networks() {
        let (width, height) = fitting(&model, 11, 9);
        let (width, height) = match model.graph().pad_multiple() {
            1 => (width, height),
            // Edges are then larger than the image; how it is extended is checked by the reference outputs.
            multiple => (3 * multiple, 2 * multiple),
        };
        let pixels = Rng(99).bytes(width * height * model.in_channels());
        let plan = Plan::new(&model, width, &PlanOptions { observable: true, ..Default::default() }).unwrap();
        let mut edges: Vec<Vec<f64>> = vec![vec![]; model.graph().nodes.len()];
        plan.observe(&mut plan.workspace(), &pixels, height, &mut |id, y, row| {
            let mut values = vec![0.0; row.len()];
            row.read(&mut values);
            let edge = &mut edges[usize::from(id)];
            assert_eq!(edge.len(), y * values.len(), "rows come in order");
            edge.extend(values.iter().map(|&v| f64::from(v)));
        })
        .unwrap();
        for (id, node) in (0..).zip(&model.graph().nodes) {
            // Each edge is checked from the engine's own inputs, so that differences do not add up.
            let expected = reference_edge(&model, id, &edges, &pixels, width, height);
            let found = &edges[usize::from(id)];
            assert_eq!(found.len(), expected.len(), "{name}: all rows of {}", node.name);
            // Floats differ by their rounding; integers by one step where a value falls between two.
            let step = f64::from(crate::program::scale_of(node.dtype));
            let limit = if node.dtype == DType::F32 { 2e-5 } else { 1.001 * step };
            let mut off = 0;
            for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
                let difference = (found - expected).abs() / expected.abs().max(1.0);
                assert!(difference <= limit, "{name}: {} value {i}: {found}, expected {expected}", node.name);
                off += usize::from(difference > 0.5 * limit);
            }
            // A ratio of scales of 1/60 puts every 60th value on a tie.
            let few = found.len() < 50 && off < 2;
            assert!(
                few || off * 50 <= found.len(),
                "{name}: {off} of {} values of {}",
                found.len(),
                node.name
            );
        }
    }
}

#[test]
fn every_instruction_set_gives_the_same_bits() {
    for (name, model) in networks() {
        for (width, height) in [(1, 1), (1, 7), (5, 1), (17, 5), (40, 12), (150, 2)] {
            let (width, height) = fitting(&model, width, height);
            let pixels = Rng(width as u64).bytes(width * height * model.in_channels());
            let options = |isa| PlanOptions { isa: Some(isa), ..Default::default() };
            let expected = run(&model, &options(Isa::Scalar), &pixels, width);
            for isa in Isa::available() {
                let case = label(&[("width", width), ("height", height)]);
                assert!(
                    run(&model, &options(isa), &pixels, width) == expected,
                    "{name} on {} {case}",
                    isa.name()
                );
            }
        }
    }
}

/// Models of the luma.
#[test]
fn networks_of_one_channel_give_the_same_bits() {
    for (upscale, quantized) in [(3, false), (2, true), (4, true)] {
        let model = random_model(grey_graph(12, upscale, quantized), 23);
        assert_eq!((model.in_channels(), model.out_channels()), (1, 1));
        let pixels = Rng(5).bytes(23 * 14);
        let plain = PlanOptions::default().isa(Isa::Scalar).observable(true);
        let expected = run(&model, &plain, &pixels, 23);
        assert!(expected.iter().any(|&p| p != expected[0]), "x{upscale} does something");
        for isa in Isa::available() {
            let found = run(&model, &PlanOptions::default().isa(isa), &pixels, 23);
            assert!(found == expected, "x{upscale} on {}", isa.name());
        }
    }
}

/// Weights and activations in the range of Winograd's convolution in 8 bits, and activations beyond it.
#[test]
fn networks_for_winograd_in_8_bits_give_the_same_bits() {
    let light = graph(&Config { num_feat: 32, num_block: 1, ..Config::light(4) });
    let edge = graph(&Config::edge(2, 16, 2));
    let models = [
        ("edge x2", stand_in::int8_winograd(&edge)),
        ("paper x4", stand_in::int8_winograd(&light)),
        ("edge x2, all of the range", stand_in::int8(&edge)),
        ("paper x4, all of the range", stand_in::int8(&light)),
    ];
    for (name, graph) in models {
        let model = stand_in::weighted_winograd(graph).unwrap();
        for (width, height) in [(2, 3), (17, 6), (60, 9), (150, 4)] {
            let pixels = Rng(width as u64).bytes(width * height * model.in_channels());
            let scalar = PlanOptions { isa: Some(Isa::Scalar), ..Default::default() };
            let expected = run(&model, &scalar, &pixels, width);
            assert!(expected.iter().any(|&p| p != expected[0]), "{name} does something");
            for isa in Isa::available() {
                for (band, threads) in [(None, 1), (Some(1), 1), (Some(3), 3)] {
                    let options = PlanOptions { isa: Some(isa), band, threads, ..Default::default() };
                    let case = label(&[("width", width), ("height", height), ("threads", threads)]);
                    assert!(
                        run(&model, &options, &pixels, width) == expected,
                        "{name} on {} {case}",
                        isa.name()
                    );
                }
            }
        }
    }
}

/// The end of a real-time network, which some instruction sets compute in one step.
#[test]
fn interpolated_images_with_corrections_are_the_same_bits() {
    for upscale in [2, 3, 4] {
        let model = stand_in::weighted(stand_in::int8(&graph(&Config::edge(upscale, 16, 1)))).unwrap();
        for (width, height) in [(1, 1), (2, 3), (5, 2), (33, 9), (64, 5)] {
            let pixels = Rng(height as u64).bytes(width * height * model.in_channels());
            let plain = PlanOptions { isa: Some(Isa::Scalar), observable: true, ..Default::default() };
            let expected = run(&model, &plain, &pixels, width);
            for isa in Isa::available() {
                for threads in [1, 2] {
                    let options = PlanOptions { isa: Some(isa), threads, ..Default::default() };
                    let found = run(&model, &options, &pixels, width);
                    assert!(found == expected, "x{upscale} on {} {width}x{height}", isa.name());
                }
            }
        }
    }
}

#[test]
fn rewrites_for_speed_change_no_bit() {
    for (name, model) in networks() {
        for (width, height) in [(1, 1), (2, 3), (18, 7)] {
            let (width, height) = fitting(&model, width, height);
            let pixels = Rng(4).bytes(width * height * model.in_channels());
            let plain = PlanOptions { observable: true, ..Default::default() };
            let expected = run(&model, &plain, &pixels, width);
            assert!(
                run(&model, &PlanOptions::default(), &pixels, width) == expected,
                "{name} {width}x{height}"
            );
        }
    }
}

/// The same bits on every processor, not only on every instruction set of one: the numbers below are checked
/// on x86-64 and, under emulation, on aarch64.
#[test]
fn the_bits_do_not_depend_on_the_processor() {
    let crcs: Vec<u32> = networks()
        .iter()
        .map(|(_, model)| {
            let (width, height) = fitting(model, 23, 14);
            let pixels = Rng(5).bytes(width * height * model.in_channels());
            crc32fast::hash(&run(model, &PlanOptions::default(), &pixels, width))
        })
        .collect();
    let expected = [
        3_494_667_546,
        4_258_378_480,
        2_956_091_277,
        990_669_934,
        1_830_135_734,
        3_900_753_377,
        217_166_755,
        3_627_171_954,
        2_948_326_026,
        3_038_975_966,
        1_639_935_156,
        1_232_244_952,
        3_331_872_389,
        1_610_563_655,
        3_430_977_600,
        903_238_439,
        2_154_146_393,
        3_384_031_111,
        677_105_733,
        4_201_053_639,
        3_731_956_753,
        382_000_561,
        462_657_847,
        2_701_207_482,
        4_210_137_034,
        2_778_026_671,
        714_955_621,
        2_508_838_412,
        520_832_105,
        3_041_781_131,
        2_644_837_505,
        3_061_489_817,
        4_003_984_177,
        1_456_473_437,
        54_492_070,
        3_074_038_660,
        810_583_891,
        3_783_202_427,
        2_328_789_903,
        2_234_999_321,
        198_678_672,
        1_094_202_408,
        2_988_989_677_u32,
    ];
    assert_eq!(crcs, expected);
}

#[test]
fn every_band_height_gives_the_same_bits() {
    for (name, model) in networks() {
        for (width, height) in [(1, 1), (3, 2), (19, 23)] {
            let (width, height) = fitting(&model, width, height);
            let pixels = Rng(7).bytes(width * height * model.in_channels());
            let expected = run(&model, &PlanOptions { band: Some(64), ..Default::default() }, &pixels, width);
            for band in (1..=9).chain([height, 32]) {
                let options = PlanOptions { band: Some(band), ..Default::default() };
                let case = label(&[("width", width), ("height", height), ("band", band)]);
                assert!(run(&model, &options, &pixels, width) == expected, "{name} {case}");
            }
        }
    }
}

#[test]
fn every_number_of_threads_gives_the_same_bits() {
    for (name, model) in networks() {
        for width in [1, 3, 50] {
            let (width, height) = fitting(&model, width, 6);
            let pixels = Rng(8).bytes(width * height * model.in_channels());
            let expected = run(&model, &PlanOptions::default(), &pixels, width);
            for threads in 2..=5 {
                let options = PlanOptions { threads, ..Default::default() };
                let case = label(&[("width", width), ("threads", threads)]);
                assert!(run(&model, &options, &pixels, width) == expected, "{name} {case}");
            }
        }
    }
}

/// Little work for every operator, instruction set and kind of loop: what tools can watch that make programs hundreds
/// of times slower.
#[test]
fn small_images_take_every_path() {
    for (name, model) in networks() {
        // One unit of columns and a ragged rest.
        let (width, height) = fitting(&model, 9, 2);
        let pixels = Rng(21).bytes(width * height * model.in_channels());
        let run = |options| run(&model, &options, &pixels, width);
        let expected = run(PlanOptions { isa: Some(Isa::Scalar), band: Some(1), ..Default::default() });
        for isa in Isa::available() {
            let options = PlanOptions { isa: Some(isa), threads: 2, ..Default::default() };
            assert!(run(options) == expected, "{name} on {}", isa.name());
        }
    }
}

#[test]
fn rows_leave_as_soon_as_they_can() {
    let model = random_model(graph(&Config::edge(2, 8, 1)), 1);
    let plan = Plan::new(&model, 4, &PlanOptions { band: Some(1), ..Default::default() }).unwrap();
    let mut workspace = plan.workspace();
    let pixels = Rng(3).bytes(20 * 12);
    let mut whole = vec![0; 40 * 24];
    plan.run_image(&mut workspace, &pixels, 20, &mut whole).unwrap();

    let mut frame = plan.begin(&mut workspace, 20).unwrap();
    let mut rows = vec![];
    let mut counts = vec![];
    for row in pixels.chunks(12) {
        frame.push(row, &mut |y, pixels| rows.push((y, pixels.to_vec()))).unwrap();
        counts.push(frame.rows_out());
    }
    // Five convolutions look one row ahead each: head, two in the block, one after it, tail.
    assert_eq!(counts[..7], [0, 0, 0, 0, 0, 2, 4]);
    assert_eq!(counts[19], 40);
    for (i, (y, pixels)) in rows.iter().enumerate() {
        assert_eq!((i, pixels.as_slice()), (*y, &whole[y * 24..(y + 1) * 24]));
    }
}

#[test]
fn a_workspace_forgets_the_last_image() {
    let model = random_model(quantized_graph(8, 2, Filter::Bilinear), 1);
    let plan = Plan::new(&model, 6, &PlanOptions::default()).unwrap();
    let mut workspace = plan.workspace();
    let mut run = |seed| {
        let pixels = Rng(seed).bytes(6 * 5 * model.in_channels());
        let mut out = vec![0; 12 * 10 * 3];
        plan.run_image(&mut workspace, &pixels, 5, &mut out).unwrap();
        out
    };
    let first = run(1);
    assert_ne!(run(2), first);
    assert_eq!(run(1), first);
}

#[test]
fn an_abandoned_frame_leaves_no_trace() {
    let model = random_model(quantized_graph(8, 2, Filter::Bilinear), 1);
    let plan = Plan::new(&model, 6, &PlanOptions::default()).unwrap();
    let pixels = Rng(1).bytes(6 * 5 * model.in_channels());
    let mut expected = vec![0; 12 * 10 * 3];
    plan.run_image(&mut plan.workspace(), &pixels, 5, &mut expected).unwrap();
    let mut workspace = plan.workspace();
    plan.begin(&mut workspace, 100)
        .unwrap()
        .push(&Rng(2).bytes(6 * 7 * model.in_channels()), &mut |_, _| {})
        .unwrap();
    let mut out = vec![0; 12 * 10 * 3];
    plan.run_image(&mut workspace, &pixels, 5, &mut out).unwrap();
    assert!(out == expected);
}

/// A network that keeps the image: images of other heights in the same workspace, one that was left half way, and what is
/// too small.
#[test]
fn images_that_are_kept_leave_no_trace() {
    for quantized in [false, true] {
        let model = random_model(pooled_graph(12, quantized), 24);
        let plan = Plan::new(&model, 21, &PlanOptions::default()).unwrap();
        assert!(plan.keeps_image());
        let mut workspace = plan.workspace();
        for height in [17, 40, 15, 40, 23] {
            let pixels = Rng(height as u64).bytes(21 * height * 3);
            let mut out = vec![0; plan.out_row_bytes() * height * 2];
            plan.run_image(&mut workspace, &pixels, height, &mut out).unwrap();
            assert!(out == run(&model, &PlanOptions::default(), &pixels, 21), "{height} rows");
            let half = &pixels[..21 * 3 * (height / 2)];
            plan.begin(&mut workspace, height).unwrap().push(half, &mut |_, _| {}).unwrap();
            assert!(plan.arena_bytes(height).unwrap() <= workspace.arena.len() * 64);
        }
        let small = PlanError::Small { width: 21, height: 14 };
        assert_eq!(plan.begin(&mut workspace, 14).err(), Some(RunError::Plan(small)));
        assert_eq!(plan.arena_bytes(14), Err(small));
        assert!(plan.arena_bytes(100).unwrap() > plan.arena_bytes(50).unwrap());
        assert!(matches!(plan.arena_bytes(1 << 24), Err(PlanError::Memory { .. })));
        let narrow = Plan::new(&model, 14, &PlanOptions::default()).unwrap();
        assert!(narrow.begin(&mut narrow.workspace(), 100).is_err());
    }
}

#[test]
fn wrong_lengths_are_refused() {
    let model = random_model(graph(&Config::edge(2, 8, 1)), 1);
    let plan = Plan::new(&model, 4, &PlanOptions::default()).unwrap();
    let mut workspace = plan.workspace();
    let mut out = [0; 8 * 4 * 3];
    let length = |what, expected, found| Err(RunError::Length { what, expected, found });
    assert_eq!(plan.run_image(&mut workspace, &[0; 24], 2, &mut out[1..]), length("output image", 96, 95));
    assert_eq!(plan.run_image(&mut workspace, &[0; 23], 2, &mut out), length("input rows", 24, 23));
    let too_many = plan.run_image(&mut workspace, &[0; 36], 2, &mut out);
    assert_eq!(too_many, Err(RunError::Rows { expected: 2, found: 3 }));
    assert!(matches!(plan.begin(&mut workspace, 0), Err(RunError::Rows { .. })));
    let other = Plan::new(&model, 50, &PlanOptions::default()).unwrap();
    assert_eq!(other.begin(&mut workspace, 3).err(), Some(RunError::Workspace));
    let int8 = random_model(quantized_graph(8, 2, Filter::Nearest), 1);
    let plan = Plan::new(&int8, 4, &PlanOptions::default()).unwrap();
    let floats = plan.run_image_f32(&mut plan.workspace(), &[0.0; 12], 1, &mut [0.0; 48]);
    assert_eq!(floats, Err(RunError::NotFloat));
}
