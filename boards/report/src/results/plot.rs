//! The gains as a picture: a row for each change and set, with the interval that 95 of 100 such studies would hold the true
//! gain in.

use super::scores::Evidence;
use super::stats::Stat;
use std::fmt::Write;

/// Space for names on the left.
const LEFT: f64 = 360.0;
const TOP: f64 = 64.0;
const WIDTH: f64 = 440.0;
/// Height of a row.
const ROW: f64 = 22.0;
/// Gains up to this are always in the picture, in dB: smaller ones must not look large.
const RANGE_DB: f64 = 0.05;
const FLOAT: &str = "#d97706";
const INT8: &str = "#1f6feb";

/// A row: what was changed, the set, and the gains.
struct Line<'a> {
    /// In the first row of a change.
    change: Option<(&'a str, &'a str, usize)>,
    set: &'a str,
    f32: Option<Stat>,
    int8: Option<Stat>,
}

/// The picture; none without pairs.
pub fn svg(evidence: &Evidence) -> Option<String> {
    let mut lines = Vec::new();
    for group in &evidence.groups {
        for variant in group.variants.iter().filter(|v| !v.pairs.is_empty()) {
            for (i, (set, gain)) in evidence.sets.iter().zip(&variant.gains).enumerate() {
                let name = group.setting.split(", ").next().unwrap_or_default();
                let change = (i == 0).then_some((name, variant.change.as_str(), variant.pairs.len()));
                lines.push(Line { change, set, f32: gain.f32, int8: gain.int8 });
            }
        }
    }
    if lines.is_empty() {
        return None;
    }
    let ends = |stat: Stat| stat.interval.unwrap_or((stat.mean, stat.mean));
    let all = lines.iter().flat_map(|l| [l.f32, l.int8]).flatten().map(ends);
    let range = all.fold(RANGE_DB, |range, (low, high)| range.max(-low).max(high));
    // A round step with three or four of them to each side.
    let step = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0]
        .into_iter()
        .find(|s| range / s <= 4.0)
        .unwrap_or(range);
    let ticks = (range / step).ceil() as i32;
    let edge = f64::from(ticks) * step;
    let x = |db: f64| LEFT + WIDTH * (0.5 + 0.5 * db / edge);
    let heads = lines.iter().filter(|l| l.change.is_some()).count() as f64;
    let bottom = TOP + ROW * (lines.len() as f64 + heads);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {w} {h}\" width=\"{w}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"16\" y=\"24\" font-size=\"15\">Gain of a change over its twin, dB PSNR-Y: mean and 95 % interval</text>\n\
         <circle cx=\"{LEFT}\" cy=\"42\" r=\"4\" fill=\"{FLOAT}\"/><text x=\"{a}\" y=\"46\">f32</text>\
         <circle cx=\"{b}\" cy=\"42\" r=\"4\" fill=\"{INT8}\"/><text x=\"{c}\" y=\"46\">int8</text>\n",
        w = LEFT + WIDTH + 24.0,
        h = bottom + 40.0,
        a = LEFT + 10.0,
        b = LEFT + 60.0,
        c = LEFT + 70.0,
    );
    for tick in -ticks..=ticks {
        let (db, stroke) = (f64::from(tick) * step, if tick == 0 { "#333" } else { "#ddd" });
        let _ = writeln!(
            out,
            "<line x1=\"{x:.1}\" y1=\"{TOP}\" x2=\"{x:.1}\" y2=\"{bottom}\" stroke=\"{stroke}\"/>\
             <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{db:+.2}</text>",
            bottom + 18.0,
            x = x(db),
        );
    }
    let mut y = TOP;
    for line in &lines {
        if let Some((name, change, pairs)) = line.change {
            y += ROW;
            let (name, change) = (escape(name), escape(change));
            let plural = if pairs == 1 { "" } else { "s" };
            let _ = writeln!(
                out,
                "<text x=\"16\" y=\"{:.1}\"><tspan font-weight=\"bold\">{name}</tspan>, {pairs} pair{plural}<title>{change}</title>\
                 </text><text x=\"176\" y=\"{:.1}\" fill=\"#555\">{}</text>",
                y - 6.0,
                y - 6.0,
                short(&change),
            );
        }
        y += ROW;
        let _ = writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 12.0,
            y - 6.0,
            escape(line.set)
        );
        for (stat, colour, shift) in [(line.f32, FLOAT, -14.0), (line.int8, INT8, -7.0)] {
            let Some(stat) = stat else { continue };
            let (low, high) = ends(stat);
            let _ = writeln!(
                out,
                "<line x1=\"{:.1}\" y1=\"{y:.1}\" x2=\"{:.1}\" y2=\"{y:.1}\" stroke=\"{colour}\" stroke-width=\"2\"/>\
                 <circle cx=\"{:.1}\" cy=\"{y:.1}\" r=\"3.5\" fill=\"{colour}\"><title>{:+.3} dB</title></circle>",
                x(low),
                x(high),
                x(stat.mean),
                stat.mean,
                y = y + shift,
            );
        }
    }
    out.push_str("</svg>\n");
    Some(out)
}

/// As much of a description as fits.
fn short(text: &str) -> String {
    const LONGEST: usize = 90;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", text[..end].trim_end_matches([',', ' '])),
        None => text.into(),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
