//! Ring buffers: the capacities are enough, and no more than needed.

use super::*;
use crate::arch::edsr::{Config, graph};
use crate::arch::{stand_in, swinir};
use crate::cpu::conv::WinogradKernel;
use crate::model::Filter;
use crate::program::lower::{Action, shuffle_order};
use crate::program::order::Order;
use crate::stream::schedule::{needs, schedule};
use crate::testing::{quantized_graph, random_model, shuffled_graph};
use alloc::vec;

fn model() -> Model {
    random_model(graph(&Config::edge(4, 8, 2)), 1)
}

#[test]
fn capacities_are_bands_plus_what_readers_look_back() {
    let model = model();
    let all = needs(&lower::one_to_one(&model), 4, 1);
    let id = |name: &str| model.graph().nodes.iter().position(|n| n.name == name).unwrap();
    let of = |name: &str| all[id(name)].rows;
    // A 3x3 convolution reads one row above and one below: its input keeps two rows beside the band.
    assert_eq!(of("body.0.conv1"), 4 + 2);
    // The first block's sum is two convolutions behind, and its first convolution looks one row back.
    assert_eq!(of("conv_first"), 4 + 5);
    // The image waits for the whole network: seven rows, and bilinear looks one back and one forward.
    assert_eq!(of("input"), 4 + 7 + 1);
    // The interpolated image does not run ahead of the correction that is added to it.
    assert_eq!(of("base"), 16);
    assert_eq!(of("image_add"), 16);
    // Pointwise work is done in the tick; what a 3x3 convolution looks back to stays.
    assert!(!all[id("conv_last")].stays && !all[id("base")].stays);
    assert!(all[id("body.0.conv1")].stays && all[id("input")].stays && all[id("image_add")].stays);
}

/// Rings that share memory are never alive at the same time, and those that keep rows share with none.
#[test]
fn rings_overlap_only_in_time() {
    let mut models = vec![(model(), 1), (random_model(quantized_graph(8, 4, Filter::Bilinear), 1), 1)];
    // Half a million random weights take Miri half an hour.
    if !cfg!(miri) {
        models.push((random_model(swinir::graph(&swinir::Config::edge(2)), 1), 8));
    }
    for (model, multiple) in models {
        for nodes in [lower::one_to_one(&model), lower::lower(&model, Isa::Scalar.cpu().unwrap())] {
            let (rings, bytes) = rings::lay_out(&nodes, 64, 3, multiple);
            let all = needs(&nodes, 3, multiple);
            assert_eq!(rings.iter().map(|r| r.range().end).max().unwrap() as u64, bytes);
            let total: usize = rings.iter().map(Ring::bytes).sum();
            assert!((bytes as usize) < total, "something is shared");
            for (a, b) in (0..rings.len()).flat_map(|a| (0..a).map(move |b| (a, b))) {
                let overlap =
                    rings[a].offset < rings[b].range().end && rings[b].offset < rings[a].range().end;
                let meet = rings::life_of(&nodes, a).meets(rings::life_of(&nodes, b));
                assert!(!overlap || !(all[a].stays || all[b].stays || meet), "edges {a} and {b}");
                assert!(!overlap || rings[a].pad + rings[b].pad == 0, "padding of {a} or {b} is overwritten");
            }
        }
    }
}

#[test]
fn memory_grows_with_width_only() {
    let model = model();
    let (_, bytes) = rings::lay_out(&lower::lower(&model, Isa::Scalar.cpu().unwrap()), 33, 3, 1);
    let (_, double) = rings::lay_out(&lower::lower(&model, Isa::Scalar.cpu().unwrap()), 66, 3, 1);
    assert!(double > bytes && double <= 2 * bytes);
}

#[test]
fn impossible_options_are_refused() {
    let model = model();
    let new = |width, options: PlanOptions| Plan::new(&model, width, &options).map(|p| p.width());
    let default = PlanOptions::default();
    assert_eq!(new(0, default), Err(PlanError::Width { found: 0, limit: MAX_WIDTH }));
    assert_eq!(new(MAX_WIDTH + 1, default), Err(PlanError::Width { found: MAX_WIDTH + 1, limit: MAX_WIDTH }));
    assert_eq!(
        new(8, PlanOptions { band: Some(0), ..default }),
        Err(PlanError::Band { found: 0, limit: MAX_BAND })
    );
    if let Some(&isa) = [Isa::Neon, Isa::Avx2, Isa::NeonDot].iter().find(|isa| !isa.is_available()) {
        assert_eq!(
            new(8, PlanOptions { isa: Some(isa), ..default }),
            Err(PlanError::Isa { name: isa.name() })
        );
    }
    let wide = random_model(graph(&Config { num_feat: 512, num_block: 4, ..Config::light(4) }), 1);
    assert!(matches!(Plan::new(&wide, MAX_WIDTH, &default), Err(PlanError::Memory { .. })));
}

#[test]
fn the_channel_order_changes_only_between_convolution_and_shuffle() {
    let model = random_model(quantized_graph(8, 2, Filter::Nearest), 1);
    for (id, node) in (0..).zip(&model.graph().nodes) {
        let expected = matches!(node.name.as_str(), "conv_last" | "shuffle");
        assert_eq!(shuffle_order(&model, id) == Order::Rows, expected, "{}", node.name);
    }
}

#[test]
fn the_interpolated_image_is_added_before_the_shuffle() {
    let model = random_model(quantized_graph(8, 4, Filter::Bilinear), 1);
    let nodes = lower::lower(&model, Isa::Scalar.cpu().unwrap());
    let actions: Vec<Action> = nodes.iter().map(|n| n.action).collect();
    assert_eq!(
        actions[actions.len() - 3..],
        [Action::ShuffledResize, Action::Operator(Order::Torch), Action::Shuffle(4)]
    );
    // conv2 and its residual sum are one step.
    assert_eq!(nodes.len(), model.graph().nodes.len() - 1);
    // Only exact for bilinear, and only for integers.
    for other in [random_model(quantized_graph(8, 4, Filter::Bicubic), 1), self::model()] {
        assert!(
            lower::lower(&other, Isa::Scalar.cpu().unwrap())
                .iter()
                .all(|n| n.action != Action::ShuffledResize)
        );
    }
}

#[test]
fn the_end_of_a_network_is_one_step_where_there_is_a_kernel() {
    let float = graph(&Config::edge(4, 8, 1));
    let model = stand_in::weighted(stand_in::int8(&float)).unwrap();
    for isa in Isa::available() {
        let nodes = lower::lower(&model, isa.cpu().unwrap());
        let one = matches!(nodes.last().unwrap().action, Action::ImageAdd { .. });
        assert_eq!(one, isa.cpu().unwrap().image_add.is_some(), "{}", isa.name());
        // Only where the interpolated image's 16 bits are exact.
        let other = random_model(quantized_graph(8, 2, Filter::Bilinear), 1);
        assert!(
            lower::lower(&other, isa.cpu().unwrap())
                .iter()
                .all(|n| !matches!(n.action, Action::ImageAdd { .. }))
        );
    }
}

#[test]
fn residual_sums_and_conversions_are_done_with_their_convolution() {
    let model = random_model(quantized_graph(8, 2, Filter::Bilinear), 1);
    let nodes = lower::lower(&model, Isa::Scalar.cpu().unwrap());
    let chains: Vec<_> = nodes
        .iter()
        .filter_map(|n| match n.action {
            Action::Convolution { conv, sum, convert } => Some((conv, sum, convert)),
            _ => None,
        })
        .collect();
    // conv_first with its conversion; conv2 with the sum that reads it and the conversion of that.
    assert_eq!(chains, [(1, None, Some(2)), (4, Some(5), Some(6))]);
    assert_eq!(nodes.iter().filter(|n| n.action == Action::Along).count(), 2);
    // The schedule never lets the two edges of a step drift apart.
    let (mut ready, mut rows) = (vec![0; nodes.len()], vec![0; nodes.len()]);
    for fed in 1..40 {
        schedule(&nodes, fed, &mut ready, &mut rows);
        for id in 1..nodes.len() {
            assert!(nodes[id].action != Action::Along || rows[id] == rows[id - 1]);
        }
    }
}

#[test]
fn whole_panels_are_written_where_the_shuffle_would_put_them() {
    for isa in Isa::available() {
        let geometry = isa.cpu().unwrap().i8;
        let widest = (geometry.lanes * geometry.max_nv) as u16;
        let shuffles = |num_feat| {
            let nodes = lower::lower(&random_model(shuffled_graph(num_feat), 1), isa.cpu().unwrap());
            nodes.iter().filter(|n| n.action == Action::ShuffledConvolution(2)).count()
        };
        let four_rows = matches!(isa.cpu().unwrap().winograd, Some(WinogradKernel::F4x4(_)));
        let expected = if four_rows { 0 } else { 2 };
        assert_eq!(shuffles(widest), expected, "{}", isa.name());
        assert_eq!(shuffles(widest / 2 + 1), 0, "{}", isa.name());
    }
}
