//! Ring buffers: the capacities are enough, and no more than needed.

use super::*;
use crate::arch::edsr::{Config, graph};
use crate::arch::swinir;
use crate::model::Filter;
use crate::program::Program;
use crate::stream::schedule::{last_level, needs, schedule};
use crate::testing::{pooled_graph, quantized_graph, random_model};
use alloc::vec;

fn model() -> Model {
    random_model(graph(&Config::edge(4, 8, 2)), 1)
}

fn flows(program: Program) -> Vec<Flow> {
    Flow::of(program.nodes())
}

#[test]
fn capacities_are_bands_plus_what_readers_look_back() {
    let model = model();
    let all = needs(&flows(Program::one_to_one(&model)), 4, 1);
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
        for nodes in [flows(Program::one_to_one(&model)), flows(Program::new(&model))] {
            let (rings, bytes) = rings::lay_out(&nodes, 64, 3, multiple, &[]);
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

/// The same for a network of several levels, where a level's rings are all there for as long as it streams.
#[test]
fn rings_of_levels_overlap_only_in_time() {
    for model in [pooled_graph(12, true), pooled_graph(20, false)].map(|graph| random_model(graph, 1)) {
        for program in [Program::one_to_one(&model), Program::new(&model)] {
            let nodes = Flow::of(program.nodes());
            assert_eq!(last_level(&nodes), 4, "pooled, then looked at as a whole, twice");
            let sizes = model.sizes(30, 40).unwrap();
            let size = |node: &crate::program::Node| sizes[usize::from(node.origin)];
            let sizes: Vec<[usize; 2]> = program.nodes().iter().map(size).collect();
            let (rings, bytes) = rings::lay_out(&nodes, 40, 3, 1, &sizes);
            let lives = rings::lives(&nodes, &needs(&nodes, 3, 1), &rings);
            assert!((bytes as usize) < rings.iter().map(Ring::bytes).sum(), "something is shared");
            for (a, b) in (0..rings.len()).flat_map(|a| (0..a).map(move |b| (a, b))) {
                let overlap =
                    rings[a].offset < rings[b].range().end && rings[b].offset < rings[a].range().end;
                assert!(!overlap || !lives[a].meets(lives[b]), "edges {a} and {b}");
            }
        }
    }
}

#[test]
fn memory_grows_with_width_only() {
    let model = model();
    let (_, bytes) = rings::lay_out(&flows(Program::new(&model)), 33, 3, 1, &[]);
    let (_, double) = rings::lay_out(&flows(Program::new(&model)), 66, 3, 1, &[]);
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
fn a_step_that_writes_two_edges_never_lets_them_drift_apart() {
    let nodes = flows(Program::new(&random_model(quantized_graph(8, 2, Filter::Bilinear), 1)));
    let (mut ready, mut rows) = (vec![0; nodes.len()], vec![0; nodes.len()]);
    for fed in 1..40 {
        schedule(&nodes, 0, fed, &mut ready, &mut rows);
        for id in 1..nodes.len() {
            assert!(!nodes[id].with_previous || rows[id] == rows[id - 1]);
        }
    }
}

#[test]
fn plans_of_several_widths_share_their_weights() {
    let model = random_model(quantized_graph(16, 2, Filter::Bilinear), 1);
    let options = PlanOptions::default();
    let packed = PackedModel::new(&model, &options).unwrap();
    let plans = [8, 9, 64].map(|width| Plan::of(&packed, width, &options).unwrap());
    for plan in &plans {
        assert!(plan.packed().is_same(&packed) && plan.weight_bytes() == packed.weight_bytes());
    }
    // The plan that packed them shares them as well; another one's are its own.
    let first = Plan::new(&model, 8, &options).unwrap();
    assert!(Plan::of(first.packed(), 10, &options).unwrap().packed().is_same(first.packed()));
    assert!(!first.packed().is_same(&packed));
}
