//! The tables as Markdown.

use super::scores::{Evidence, GroupReport, RunReport, Spread, Variant};
use crate::report::Quality;
use std::fmt::Write;

/// The document. `plots` is the name that the pictures beside it start with.
pub fn text(evidence: &Evidence, notes: Option<&str>, plots: Option<&str>) -> String {
    let mut out = String::from("# Does SPN help small, quantized models?\n\n");
    let _ = writeln!(
        out,
        "Written by `mcir-board results` from the models and logs of the runs; PSNR and SSIM on Y, borders of \
         `upscale` pixels cropped. A gain is the difference of two runs with the same seed, data order, schedule \
         and length that differ in the SPN loss alone.\n"
    );
    if let Some(notes) = notes {
        let _ = writeln!(out, "{}\n", notes.trim());
    }
    summary(&mut out, evidence);
    for (i, group) in evidence.groups.iter().enumerate() {
        section(&mut out, i + 1, group, &evidence.sets, plots);
    }
    out
}

/// A line for each loss of each setting.
fn summary(out: &mut String, evidence: &Evidence) {
    if evidence.groups.iter().flat_map(|g| &g.variants).all(|v| v.pairs.is_empty()) {
        let _ = writeln!(out, "No run has a twin yet.\n");
        return;
    }
    let _ = writeln!(out, "## Gains of SPN over its twin, PSNR-Y in dB: mean (smallest to largest)\n");
    let _ = write!(out, "| setting | SPN | seeds |");
    for set in &evidence.sets {
        let _ = write!(out, " {set} f32 | {set} int8 |");
    }
    let _ = writeln!(out, " verdict |\n|---|---|---|{}---|", "---|---|".repeat(evidence.sets.len()));
    for (i, group) in evidence.groups.iter().enumerate() {
        for variant in group.variants.iter().filter(|v| !v.pairs.is_empty()) {
            let name = group.setting.split(", ").next().unwrap_or_default();
            let _ =
                write!(out, "| [{name}](#setting-{}) | {} | {} |", i + 1, variant.spn, variant.pairs.len());
            for set in 0..evidence.sets.len() {
                for int8 in [false, true] {
                    let _ = write!(out, " {} |", spread(variant.spread(set, int8)));
                }
            }
            let _ = writeln!(out, " {} |", verdict(variant, evidence.sets.len()));
        }
    }
    let _ = writeln!(out);
}

fn spread(spread: Option<Spread>) -> String {
    match spread {
        None => "–".into(),
        Some(s) if s.count == 1 => format!("{:+.3}", s.mean),
        Some(s) => format!("{:+.3} ({:+.3} to {:+.3})", s.mean, s.min, s.max),
    }
}

/// What the seeds say about the deployed model (f32 where there is no int8), on all sets together.
fn verdict(variant: &Variant, sets: usize) -> &'static str {
    let spreads: Vec<Spread> = (0..sets)
        .filter_map(|set| variant.spread(set, true).or_else(|| variant.spread(set, false)))
        .collect();
    let all = |test: fn(&Spread) -> bool| spreads.iter().all(test);
    if variant.pairs.len() < 3 {
        "fewer than three seeds: none"
    } else if all(|s| s.min > 0.0) {
        "a gain in every seed and set"
    } else if all(|s| s.max < 0.0) {
        "a loss in every seed and set"
    } else {
        "no gain beyond the spread"
    }
}

/// All runs of one setting.
fn section(out: &mut String, number: usize, group: &GroupReport, sets: &[String], plots: Option<&str>) {
    let _ = writeln!(out, "<a id=\"setting-{number}\"></a>\n\n## {}\n", group.setting);
    let cost = &group.cost;
    let (w, h) = cost.size;
    let figures = |(ms, bytes): (f64, usize)| format!("{ms:.1} ms, {:.1} MB", bytes as f64 / 1e6);
    let _ = writeln!(
        out,
        "One {w}x{h} image, {} thread{}, {}: f32 {}{}.\n",
        cost.threads,
        if cost.threads == 1 { "" } else { "s" },
        cost.isa,
        figures(cost.f32),
        cost.int8.map_or_else(String::new, |c| format!("; int8 {}", figures(c))),
    );
    if let (Some(stem), true) = (plots, group.variants.iter().any(|v| !v.pairs.is_empty())) {
        let _ = writeln!(out, "![gains by seed]({stem}-{number}.svg)\n");
    }
    let _ = write!(out, "| run | λ | seed |");
    for set in sets {
        let _ = write!(out, " {set} f32 | {set} int8 | drop |");
    }
    let _ = writeln!(out, " training |\n|---|---|---|{}---|", "---|---|---|".repeat(sets.len()));
    for run in &group.runs {
        line(out, run, sets.len());
    }
    let _ = writeln!(
        out,
        "\nTo train one again: `mcir-train train -c NAME/config.toml -o RUN`; to quantize it: `mcir-quantize run \
         RUN/model.mcir -c CALIBRATION_IMAGES -o RUN/model.int8.mcir`.\n"
    );
}

fn line(out: &mut String, run: &RunReport, sets: usize) {
    let _ = write!(out, "| {} | {} | {} |", run.name, run.lambda, run.seed);
    let cell = |q: &Quality| format!("{:.3} / {:.4}", q.psnr_y_db, q.ssim_y);
    for set in 0..sets {
        let float = &run.scores.f32[set];
        let int8 = run.scores.int8.as_ref().map(|q| &q[set]);
        let drop = int8.map_or("–".into(), |q| format!("{:.3}", float.psnr_y_db - q.psnr_y_db));
        let _ = write!(out, " {} | {} | {drop} |", cell(float), int8.map_or("–".into(), cell));
    }
    let _ = writeln!(out, " {} |", run.seconds.map_or("–".into(), |s| format!("{:.0} min", s / 60.0)));
}

#[cfg(test)]
mod tests {
    use super::super::scores::Pair;
    use super::*;

    fn variant(gains: &[(f64, f64)]) -> Variant {
        let pair = |(seed, &(f, q)): (usize, &(f64, f64))| Pair {
            seed: seed as i64,
            f32_db: vec![f],
            int8_db: Some(vec![q]),
        };
        Variant { spn: "λ = 1".into(), lambda: 1.0, pairs: gains.iter().enumerate().map(pair).collect() }
    }

    #[test]
    fn a_verdict_needs_three_seeds_that_agree_in_int8() {
        assert_eq!(verdict(&variant(&[(0.1, 0.1), (0.1, 0.1)]), 1), "fewer than three seeds: none");
        let agree = [(-0.1, 0.01), (0.1, 0.02), (0.1, 0.03)];
        assert_eq!(verdict(&variant(&agree), 1), "a gain in every seed and set");
        assert_eq!(verdict(&variant(&agree.map(|(f, q)| (f, -q))), 1), "a loss in every seed and set");
        let mixed = [(0.1, 0.1), (0.1, 0.1), (0.1, -0.001)];
        assert_eq!(verdict(&variant(&mixed), 1), "no gain beyond the spread");
    }

    #[test]
    fn a_spread_shows_its_ends() {
        let v = variant(&[(0.01, 0.0), (0.03, 0.0)]);
        assert_eq!(spread(v.spread(0, false)), "+0.020 (+0.010 to +0.030)");
        assert_eq!(spread(variant(&[(-0.01, 0.0)]).spread(0, false)), "-0.010");
        assert_eq!(spread(variant(&[]).spread(0, true)), "–");
    }
}
