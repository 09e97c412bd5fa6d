//! What is joined, and that taking it apart again gives the parts.

use super::*;
use crate::arch::edsr::{Config, graph};
use crate::arch::stand_in;
use crate::cpu::conv::WinogradKernel;
use crate::cpu::isa::Isa;
use crate::cpu::steps;
use crate::model::Filter;
use crate::model::{DType, Model};
use crate::testing::{quantized_graph, random_model, shuffled_graph};

/// The program as an instruction set runs it.
fn run_by(model: &Model, isa: Isa) -> Program {
    let cpu = isa.cpu().unwrap();
    Program::new(model).split(|program, id| steps::takes(program, id, cpu))
}

#[test]
fn the_channel_order_changes_only_between_convolution_and_shuffle() {
    let model = random_model(quantized_graph(8, 2, Filter::Nearest), 1);
    for (id, node) in (0..).zip(&model.graph().nodes) {
        let expected = matches!(node.name.as_str(), "conv_last" | "shuffle");
        assert_eq!(fuse::shuffle_order(&model, id) == Order::Rows, expected, "{}", node.name);
    }
}

#[test]
fn the_interpolated_image_is_added_before_the_shuffle() {
    let model = random_model(quantized_graph(8, 4, Filter::Bilinear), 1);
    let program = Program::new(&model);
    assert!(matches!(program.nodes().last().unwrap().work, Work::BilinearSkip(_)));
    // Resize, sum and shuffle are one; conv2 and its residual sum are one.
    assert_eq!(program.nodes().len(), model.graph().nodes.len() - 3);
    let apart = program.split(|_, _| false);
    let [.., resize, add, shuffle] = apart.nodes() else { panic!("there are three parts") };
    assert!(matches!(resize.work, Work::LowResize(_)) && matches!(add.work, Work::Add(_)));
    assert!(matches!(shuffle.work, Work::PixelShuffle { upscale: 4, order: Order::Rows }));
    assert_eq!((resize.edge.channels, add.edge.channels, shuffle.edge.channels), (48, 48, 3));
    let extents = [resize, add, shuffle].map(|node| node.edge.extent);
    assert_eq!(extents, [1, 1, 4].map(crate::model::Extent::Times));
    assert_eq!(apart.nodes().len(), model.graph().nodes.len() - 1);
    // Only exact for bilinear, and only for integers.
    let float = random_model(graph(&Config::edge(4, 8, 2)), 1);
    for other in [random_model(quantized_graph(8, 4, Filter::Bicubic), 1), float] {
        let program = Program::new(&other);
        assert!(program.nodes().iter().all(|n| !matches!(n.work, Work::BilinearSkip(_))));
    }
}

#[test]
fn the_end_of_a_network_is_one_step_where_there_is_a_kernel() {
    let float = graph(&Config::edge(4, 8, 1));
    let model = stand_in::weighted(stand_in::int8(&float)).unwrap();
    for isa in Isa::available() {
        let program = run_by(&model, isa);
        let one = matches!(program.nodes().last().unwrap().work, Work::BilinearSkip(_));
        assert_eq!(one, isa.cpu().unwrap().image_add.is_some(), "{}", isa.name());
        // Only where the interpolated image's 16 bits are exact.
        let other = random_model(quantized_graph(8, 2, Filter::Bilinear), 1);
        assert!(run_by(&other, isa).nodes().iter().all(|n| !matches!(n.work, Work::BilinearSkip(_))));
    }
}

#[test]
fn residual_sums_and_conversions_are_done_with_their_convolution() {
    let model = random_model(quantized_graph(8, 2, Filter::Bilinear), 1);
    let program = Program::new(&model);
    let fused: Vec<_> = program
        .nodes()
        .iter()
        .filter_map(|n| match &n.work {
            Work::Convolution(conv) => {
                let Epilogue { residual, narrow, .. } = conv.epilogue;
                (residual.is_some() || narrow.is_some()).then_some((
                    n.origin,
                    residual.is_some(),
                    narrow.is_some(),
                ))
            }
            _ => None,
        })
        .collect();
    // conv_first with its conversion; conv2 with the sum that reads it and the conversion of that.
    assert_eq!(fused, [(1, false, true), (4, true, true)]);
    assert_eq!(program.nodes().iter().filter(|n| matches!(n.work, Work::Narrowed)).count(), 2);
}

#[test]
fn whole_panels_are_written_where_the_shuffle_would_put_them() {
    let shuffled = |program: &Program| {
        let shuffles = |n: &&Node| match &n.work {
            Work::Convolution(conv) => conv.epilogue.shuffle.is_some_and(|s| s.upscale == 2),
            _ => false,
        };
        program.nodes().iter().filter(shuffles).count()
    };
    for isa in Isa::available() {
        let geometry = isa.cpu().unwrap().i8.geometry;
        let widest = (geometry.lanes * geometry.max_nv) as u16;
        let shuffles = |num_feat| shuffled(&run_by(&random_model(shuffled_graph(num_feat), 1), isa));
        let afterwards = isa.cpu().unwrap().winograd.is_some_and(WinogradKernel::shuffles_afterwards);
        let expected = if afterwards { 0 } else { 2 };
        assert_eq!(shuffles(widest), expected, "{}", isa.name());
        assert_eq!(shuffles(widest / 2 + 1), 0, "{}", isa.name());
    }
    assert_eq!(
        shuffled(&Program::new(&random_model(shuffled_graph(7), 1))),
        2,
        "the program leaves the choice"
    );
}

#[test]
fn biases_have_the_zero_point_folded_in_and_sums_are_bounded() {
    let model = random_model(quantized_graph(8, 2, Filter::Bilinear), 1);
    let program = Program::one_to_one(&model);
    for (id, node) in program.nodes().iter().enumerate() {
        let Work::Convolution(conv) = &node.work else { continue };
        let Numbers::I8 { weights, bias, largest, .. } = &conv.numbers else { continue };
        let DType::I8 { zero_point, .. } = program.reads(id)[0] else { panic!("8 bits are read") };
        let depth = weights.len() / conv.out_channels;
        let graph_bias = model.i32s(node.origin, crate::model::Role::Bias);
        for (n, row) in weights.chunks(depth).enumerate() {
            let at =
                |stored: i64| i64::from(bias[n]) + row.iter().map(|&w| stored * i64::from(w)).sum::<i64>();
            assert_eq!(at(i64::from(zero_point)), i64::from(graph_bias[n]), "real zeros leave the bias");
            assert!([-128, 127].iter().all(|&v| at(v).abs() <= largest[n]));
        }
    }
}
