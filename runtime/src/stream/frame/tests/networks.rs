//! The networks that everything is tried on.

use super::small_swinir;
use crate::arch::edsr::{Config, graph};
use crate::arch::swinir;
use crate::model::{Filter, Model};
use crate::testing::{
    aligned_graph, attention_graph, i16_graph, narrow_graph, pooled_graph, prelu_graph, quantized_graph,
    quantized_swinir, random_model, reduced_graph, shuffled_graph, unet_graph, wide_graph,
};

pub(super) fn networks() -> Vec<(&'static str, Model)> {
    let paper = Config { num_feat: 20, num_block: 2, ..Config::light(4) };
    let classical = swinir::Config { tail: swinir::Tail::Classical(8), ..small_swinir(3) };
    let shifted =
        Config { mean_shift: true, res_scale: 0.1, ..Config { num_feat: 8, num_block: 1, ..paper } };
    vec![
        ("edge x2", random_model(graph(&Config::edge(2, 16, 2)), 1)),
        ("edge x3", random_model(graph(&Config::edge(3, 12, 1)), 2)),
        ("edge x4", random_model(graph(&Config::edge(4, 32, 1)), 3)),
        ("paper x4", random_model(graph(&paper), 4)),
        ("paper x3, mean shift", random_model(graph(&Config { upscale: 3, ..shifted }), 5)),
        ("swinir", random_model(swinir::graph(&small_swinir(2)), 9)),
        ("swinir, classical tail", random_model(swinir::graph(&classical), 10)),
        ("int8 x2 bilinear", random_model(quantized_graph(16, 2, Filter::Bilinear), 6)),
        ("int8 x3 nearest", random_model(quantized_graph(7, 3, Filter::Nearest), 7)),
        ("int8 x4 bicubic", random_model(quantized_graph(40, 4, Filter::Bicubic), 8)),
        ("16-bit x2", random_model(i16_graph(16, 2), 11)),
        ("16-bit x3", random_model(i16_graph(7, 3), 12)),
        ("int8, few channels of 16", random_model(narrow_graph(16), 14)),
        ("int8 swinir, heads of 10", random_model(quantized_swinir(6, 10, 8), 11)),
        ("int8 swinir, heads of 5", random_model(quantized_swinir(3, 5, 4), 12)),
        ("int8 swinir, windows of 5", random_model(quantized_swinir(2, 32, 5), 13)),
        ("int8, few channels of 7", random_model(narrow_graph(7), 15)),
        ("int8, few channels of 72", random_model(narrow_graph(72), 16)),
        (
            "paper x2, whole vectors",
            random_model(graph(&Config { num_feat: 32, num_block: 1, ..Config::light(2) }), 17),
        ),
        ("int8, shuffled twice", random_model(shuffled_graph(32), 18)),
        ("int8, shuffled twice, by panels of parts", random_model(shuffled_graph(10), 19)),
        ("prelu", random_model(prelu_graph(12, false), 20)),
        ("int8, prelu", random_model(prelu_graph(12, true), 21)),
        ("int8, prelu of 150 channels", random_model(prelu_graph(150, true), 22)),
        ("attention on pixels", random_model(attention_graph(12, false), 24)),
        ("int8, attention on pixels", random_model(attention_graph(12, true), 25)),
        ("int8, attention on pixels of 150 channels", random_model(attention_graph(150, true), 26)),
        ("pooled", random_model(pooled_graph(12, false), 23)),
        ("int8, pooled", random_model(pooled_graph(16, true), 24)),
        ("int8, pooled, of 150 channels", random_model(pooled_graph(150, true), 25)),
        ("reduced x4 / 2", random_model(reduced_graph(12, 4, 2, Filter::SharpBicubic, false), 28)),
        ("int8, reduced x4 / 2", random_model(reduced_graph(16, 4, 2, Filter::SharpBicubic, true), 29)),
        ("int8, reduced x3 / 3", random_model(reduced_graph(7, 3, 3, Filter::Bilinear, true), 30)),
        ("int8, reduced x8 / 4", random_model(reduced_graph(8, 8, 4, Filter::Bicubic, true), 31)),
        ("int8, reduced x6 / 2", random_model(reduced_graph(8, 6, 2, Filter::Nearest, true), 32)),
        ("reduced x2 / 2", random_model(reduced_graph(4, 2, 2, Filter::Bilinear, false), 33)),
        ("fractions", random_model(unet_graph(8, false, false), 34)),
        ("int8, fractions", random_model(unet_graph(12, true, false), 35)),
        ("int8, fractions and the whole image", random_model(unet_graph(8, true, true), 36)),
        ("int8 x2, aligned corners", random_model(quantized_graph(12, 2, Filter::AlignedBilinear), 37)),
        ("x3, aligned corners", random_model(aligned_graph(7, 3), 38)),
        ("int8 x4 nearest of 64 channels", random_model(wide_graph(64, 4), 39)),
        ("int8 x3 bicubic of PyTorch", random_model(quantized_graph(8, 3, Filter::SharpBicubic), 27)),
    ]
}
