//! Gains by seed as a picture: one column for each loss and set, a dot for each seed.

use super::scores::{GroupReport, Pair};
use std::fmt::Write;

const LEFT: f64 = 64.0;
const TOP: f64 = 40.0;
const HEIGHT: f64 = 220.0;
/// Width of a column in pixels.
const COLUMN: f64 = 120.0;
/// Gains up to this are always in the picture, in dB: smaller ones must not look large.
const RANGE_DB: f64 = 0.02;

/// The picture: hollow dots are f32, filled ones int8; a line joins those of one seed.
pub fn svg(group: &GroupReport, sets: &[String]) -> String {
    let gains = group.variants.iter().flat_map(|v| &v.pairs);
    let all = gains.flat_map(|p| p.f32_db.iter().chain(p.int8_db.iter().flatten()));
    let range = all.fold(RANGE_DB, |range, gain| range.max(gain.abs())) * 1.15;
    let variants: Vec<_> = group.variants.iter().filter(|v| !v.pairs.is_empty()).collect();
    let width = LEFT + COLUMN * (variants.len() * sets.len()) as f64 + 16.0;
    let y = |db: f64| TOP + HEIGHT / 2.0 * (1.0 - db / range);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {}\" width=\"{width}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"20\">gain of SPN by seed, dB PSNR-Y (○ f32, ● int8)</text>\n",
        TOP + HEIGHT + 48.0
    );
    for tick in [-1.0, -0.5, 0.0, 0.5, 1.0].map(|t| t * range / 1.15) {
        let (stroke, y) = (if tick == 0.0 { "#333" } else { "#ddd" }, y(tick));
        let _ = writeln!(
            out,
            "<line x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{:.1}\" y2=\"{y:.1}\" stroke=\"{stroke}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{tick:+.3}</text>",
            width - 16.0,
            LEFT - 6.0,
            y + 4.0
        );
    }
    for (column, (variant, set)) in
        variants.iter().flat_map(|v| (0..sets.len()).map(move |set| (v, set))).enumerate()
    {
        let left = LEFT + COLUMN * column as f64;
        for (i, pair) in variant.pairs.iter().enumerate() {
            let x = left + COLUMN * (i as f64 + 1.0) / (variant.pairs.len() as f64 + 1.0);
            dots(&mut out, x, pair, set, y);
        }
        for (line, text) in [format!("λ = {}", variant.lambda), sets[set].clone()].iter().enumerate() {
            let _ = writeln!(
                out,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                left + COLUMN / 2.0,
                TOP + HEIGHT + 18.0 + 16.0 * line as f64,
                text.replace('&', "&amp;").replace('<', "&lt;")
            );
        }
    }
    out.push_str("</svg>\n");
    out
}

fn dots(out: &mut String, x: f64, pair: &Pair, set: usize, y: impl Fn(f64) -> f64) {
    let float = y(pair.f32_db[set]);
    if let Some(int8) = pair.int8_db.as_ref().map(|db| y(db[set])) {
        let _ = writeln!(
            out,
            "<line x1=\"{x:.1}\" y1=\"{float:.1}\" x2=\"{x:.1}\" y2=\"{int8:.1}\" stroke=\"#1f6feb\"/>\
             <circle cx=\"{x:.1}\" cy=\"{int8:.1}\" r=\"4\" fill=\"#1f6feb\"/>"
        );
    }
    let _ = writeln!(
        out,
        "<circle cx=\"{x:.1}\" cy=\"{float:.1}\" r=\"4\" fill=\"white\" stroke=\"#1f6feb\"><title>seed {}</title></circle>",
        pair.seed
    );
}
